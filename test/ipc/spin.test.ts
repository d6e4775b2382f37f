import { beforeEach, expect, it } from 'vitest';
import { SPIN_MS, Spin } from '../../src/ipc/spin.js';

let nowMs: number;
let spin: Spin;
/** Looks at the clock pass 1 µs. */
const clock = (): number => {
  nowMs += 0.001;
  return nowMs;
};
beforeEach(() => {
  nowMs = 1000;
  spin = new Spin(clock, true);
});

/** Sleeps in a row of 50 µs, ended by work. @returns how many before the process stays awake */
const shortSleepsUntilOn = (): number => {
  for (let count = 1; count <= 5000; count++) {
    spin.woke(true, 0.05);
    if (spin.isWorthwhile) return count;
  }
  return Number.POSITIVE_INFINITY;
};
/** Waits for work that comes after so many ms. */
const wait = (afterMs: number): boolean => {
  const at = nowMs + afterMs;
  return spin.wait(() => nowMs >= at);
};

it('a process that is woken now and then sleeps at once', () => {
  expect(spin.isWorthwhile).toBe(false);
  for (let i = 0; i < 1000; i++) spin.woke(true, 0.3);
  for (let i = 0; i < 1000; i++) spin.woke(false, 0.05); // by a client, say
  for (let i = 0; i < 1000; i++) spin.woke(i % 4 > 0, 0.05);
  expect(spin.isWorthwhile).toBe(false);
});

it('a process that work wakes in quick succession stays awake, and finds the next at once', () => {
  expect(shortSleepsUntilOn()).toBe(4);
  for (let i = 0; i < 100; i++) expect(wait(0.005)).toBe(true);
  expect(spin.isWorthwhile).toBe(true);
});

it('waits 0.1 ms at most, and a few times in vain before it sleeps again', () => {
  shortSleepsUntilOn();
  const began = nowMs;
  expect(wait(Number.POSITIVE_INFINITY)).toBe(false);
  expect(nowMs - began).toBeLessThan(SPIN_MS + 0.01);
  expect(spin.isWorthwhile).toBe(true);
  for (let i = 0; i < 3; i++) wait(Number.POSITIVE_INFINITY);
  expect(spin.isWorthwhile).toBe(false);
});

it('finds work that takes as long as a wake-up, and sleeps the next time', () => {
  shortSleepsUntilOn();
  for (let i = 0; i < 4; i++) expect(wait(0.07)).toBe(true);
  expect(spin.isWorthwhile).toBe(false);
});

it('asks for twice as many short sleeps after each time in vain, up to 1024, and for few after success', () => {
  const inVain = (): void => {
    while (spin.isWorthwhile) wait(Number.POSITIVE_INFINITY);
  };
  const counts = Array.from({ length: 10 }, () => {
    const count = shortSleepsUntilOn();
    inVain();
    return count;
  });
  expect(counts).toEqual([4, 8, 16, 32, 64, 128, 256, 512, 1024, 1024]);
  shortSleepsUntilOn();
  wait(0.005);
  inVain();
  expect(shortSleepsUntilOn()).toBe(8);
});

it('on one core the other process could not work meanwhile', () => {
  spin = new Spin(clock, false);
  expect(shortSleepsUntilOn()).toBe(Number.POSITIVE_INFINITY);
});
