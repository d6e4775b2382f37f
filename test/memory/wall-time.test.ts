import { afterEach, expect, it, vi } from 'vitest';
import { WallTime } from '../../src/memory/wall-time.js';
import { monotonicMs } from '../../src/util/clock.js';

const HOUR = 3_600_000;

afterEach(() => {
  vi.restoreAllMocks();
});

it('is the time of day of a reading, never ahead of the clock, and the same whenever and by whom it is asked for', () => {
  const memory = new Float64Array(1);
  const time = new WallTime(memory, 0);
  time.set();
  const before = Date.now();
  const reading = monotonicMs();
  const after = Date.now();
  const first = time.unixMs(reading);
  expect(first).toBeGreaterThanOrEqual(before - 1);
  expect(first).toBeLessThanOrEqual(after);
  for (let i = 0; i < 1000; i++) expect(new WallTime(memory, 0).unixMs(reading)).toBe(first);
  expect(time.unixMs(monotonicMs() + 5000)).toBeLessThanOrEqual(Date.now());
});

it.each([HOUR, -HOUR, 500])('follows a clock that is set by %i ms, so that ages stay what they are', (step) => {
  const time = new WallTime(new Float64Array(1), 0);
  time.set();
  const reading = monotonicMs() - 60_000;
  const first = time.unixMs(reading);
  const now = Date.now;
  vi.spyOn(Date, 'now').mockImplementation(() => now() + step);
  expect(Math.abs(time.unixMs(reading) - first - step)).toBeLessThanOrEqual(2);
});

it('leaves what has not happened at 0', () => {
  expect(new WallTime(new Float64Array(1), 0).unixMs(0)).toBe(0);
});
