import { describe, expect, it } from 'vitest';
import { MallocTrim } from '../../src/memory/malloc-trim.js';

function open(tookMs = 0) {
  let [now, cpuMs, trims] = [5000, 100, 0];
  const trim = new MallocTrim({
    trim: () => {
      trims++;
      now += tookMs;
    },
    cpuMs: () => cpuMs,
    now: () => now,
  });
  /** Seconds with so much work of all threads. @returns trims in them */
  return (cpu: number, count = 1, hasCollected = false): number => {
    const before = trims;
    for (let i = 0; i < count; i++) {
      now += 1000;
      cpuMs += cpu * 1000;
      trim.look(hasCollected);
    }
    return trims - before;
  };
}

describe('memory that was freed', () => {
  it('is given back once when the whole process has been quiet for four seconds', () => {
    const seconds = open();
    expect(seconds(1.7, 10)).toBe(0);
    expect(seconds(0.04, 3)).toBe(0);
    expect(seconds(0.06)).toBe(0);
    expect(seconds(0.04, 3)).toBe(0);
    expect(seconds(0.04)).toBe(1);
    expect(seconds(0.04, 300)).toBe(0);
    expect([seconds(0.06), seconds(0.04, 4)]).toEqual([0, 1]);
  });

  it('is given back again where the thread has collected its garbage later', () => {
    const seconds = open();
    expect(seconds(0, 10)).toBe(1);
    expect([seconds(0, 1, true), seconds(0, 10)]).toEqual([1, 0]);
    expect([seconds(0.06), seconds(0, 2), seconds(0, 1, true), seconds(0, 10)]).toEqual([0, 0, 0, 1]);
  });

  it.each([
    [1, 5],
    [10, 5],
    [20, 10],
    [200, 100],
  ])('is given back again behind more work: one that took %i ms, %i s later at the soonest', (tookMs, restSeconds) => {
    const seconds = open(tookMs);
    expect(seconds(0, 4)).toBe(1);
    expect(seconds(0.5)).toBe(0);
    expect(seconds(0, restSeconds - 2)).toBe(0);
    expect(seconds(0)).toBe(1);
  });
});
