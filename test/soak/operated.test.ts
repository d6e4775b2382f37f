import { afterEach, expect, it } from 'vitest';
import { endCommandLines } from '../helpers/command-line.js';
import { operate } from './operated.js';

afterEach(endCommandLines);

const MINUTES = Number(process.env['SOAK_OPERATED_MINUTES'] ?? 10);

it('ten minutes of reloads, kills, rotations and scaling under load fail no request and grow no memory', async () => {
  const seconds = MINUTES * 60;
  const done = await operate({ seconds, roundSeconds: 10, connections: 100, warmUpSeconds: seconds / 5 });
  console.log({ ...done, result: { answered: done.result.answered } });
  expect(done.result.ended).toEqual([]);
  expect(done.result.faults).toEqual([]);
  expect(done.lost).toBe(0);
  expect(done.masterSlope).toBeLessThan(1);
  expect(done.managerSlope).toBeLessThan(1);
});
