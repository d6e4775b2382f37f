import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { monotonicMs, systemClock } from '../../src/util/index.js';
import { FakeClock } from '../helpers/fake-clock.js';

test('the time of the system clock only grows', () => {
  const first = systemClock.now();
  expect(systemClock.now()).toBeGreaterThanOrEqual(first);
});

test('a timer of the system clock fires', async () => {
  await new Promise<void>((resolve) => systemClock.setTimeout(resolve, 1));
});

test('a cleared timer of the system clock does not fire', async () => {
  const handle = systemClock.setTimeout(() => expect.unreachable(), 1);
  systemClock.clearTimeout(handle);
  systemClock.clearTimeout(undefined);
  await new Promise<void>((resolve) => systemClock.setTimeout(resolve, 20));
});

test('the fake clock fires timers in the order in which they are due, at their own time', () => {
  const clock = new FakeClock();
  const fired: string[] = [];
  const note = (name: string) => () => fired.push(`${name}@${clock.now()}`);
  clock.setTimeout(note('late'), 30);
  clock.setTimeout(note('first'), 10);
  clock.setTimeout(note('second'), 10);
  clock.advance(10);
  expect(fired).toEqual(['first@10', 'second@10']);
  clock.advance(100);
  expect(fired.at(-1)).toBe('late@30');
  expect(clock.now()).toBe(110);
});

test('a timer set by a timer fires in the same advance when it is due', () => {
  const clock = new FakeClock();
  const fired: number[] = [];
  clock.setTimeout(() => clock.setTimeout(() => fired.push(clock.now()), 5), 5);
  clock.advance(9);
  expect([fired, clock.pending]).toEqual([[], 1]);
  clock.advance(1);
  expect([fired, clock.pending]).toEqual([[10], 0]);
});

test('a cleared timer of the fake clock does not fire', () => {
  const clock = new FakeClock();
  clock.clearTimeout(clock.setTimeout(() => expect.unreachable(), 1));
  clock.clearTimeout(undefined);
  clock.advance(10);
});

test('is one clock for all processes and threads of the machine', async () => {
  const script = 'process.stdout.write(String(Number(process.hrtime.bigint() / 1000n) / 1000))';
  const before = monotonicMs();
  const { stdout } = await promisify(execFile)(process.execPath, ['-e', script]);
  expect(Number(stdout)).toBeGreaterThan(before);
  expect(Number(stdout)).toBeLessThan(monotonicMs());
});
