import { afterEach, expect, it } from 'vitest';
import { endCommandLines } from '../helpers/command-line.js';
import { operate } from './operated.js';

afterEach(endCommandLines);

const MINUTES = Number(process.env['SOAK_OPERATED_MINUTES'] ?? 10);

it('ten minutes of reloads, kills, rotations and scaling under load lose no more than what killed workers had in hand, and grow no memory', async () => {
  const seconds = MINUTES * 60;
  const done = await operate({ seconds, roundSeconds: 10, connections: 100, warmUpSeconds: seconds / 5 });
  console.log({ ...done, result: { answered: done.result.answered } });
  expect(done.result.ended).toEqual([]);
  expect(done.result.faults).toEqual([]);
  // The packet that a killed worker is handling is not retried: it might kill the next one.
  expect(done.lost).toBeLessThanOrEqual(done.killed);
  expect(done.masterSlope).toBeLessThan(1);
  expect(done.managerSlope).toBeLessThan(1);
});
