import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Spares } from '../../src/reactor/spares.js';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

function filled(count: number): Spares<number> {
  const spares = new Spares<number>(2, 10);
  for (let i = 0; i < count; i++) spares.give(i);
  return spares;
}

describe('spares', () => {
  it('give back what they were given, the last first, and nothing more', () => {
    const spares = filled(3);
    expect([spares.take(), spares.take(), spares.take(), spares.take()]).toEqual([2, 1, 0, undefined]);
  });

  it('have a bound', () => {
    expect(filled(11).size).toBe(10);
  });

  it('go where nothing needs them, but for a few; then no timer runs', () => {
    const spares = filled(8);
    vi.advanceTimersByTime(2000);
    expect([spares.size, vi.getTimerCount()]).toEqual([2, 0]);
  });

  it('stay while as many are needed at a time, and go when fewer are', () => {
    const spares = filled(8);
    const use = (count: number): void => {
      for (const item of Array.from({ length: count }, () => spares.take())) spares.give(item as number);
    };
    for (let i = 0; i < 20; i++) {
      use(7);
      vi.advanceTimersByTime(500);
    }
    expect(spares.size).toBeGreaterThanOrEqual(7);
    for (let i = 0; i < 20; i++) {
      use(4);
      vi.advanceTimersByTime(500);
    }
    expect(spares.size).toBe(4);
  });

  it('few ones need no timer', () => {
    filled(2);
    expect(vi.getTimerCount()).toBe(0);
  });
});
