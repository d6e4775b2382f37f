import { afterEach, expect, it } from 'vitest';
import { endCommandLines } from '../helpers/command-line.js';
import { operate } from '../soak/operated.js';

afterEach(endCommandLines);

it('reloads, kills, rotations and scaling under load fail no request (the long form is a soak)', async () => {
  const done = await operate({ seconds: 9, roundSeconds: 3, connections: 50, warmUpSeconds: 6 });
  console.log({ ...done, result: { answered: done.result.answered } });
  expect(done.rounds).toBeGreaterThanOrEqual(2);
  expect(done.result.ended).toEqual([]);
  expect(done.result.faults).toEqual([]);
  // A worker that is killed may take the one packet with it that it has in hand.
  expect(done.lost).toBeLessThanOrEqual(done.killed);
  expect(done.result.answered).toBeGreaterThan(1000);
});
