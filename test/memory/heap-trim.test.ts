import { getHeapStatistics } from 'node:v8';
import { describe, expect, it } from 'vitest';
import { HeapTrim } from '../../src/memory/heap-trim.js';

const MIB = 2 ** 20;

function open(used = 20, taken = 40, tookMs = 0) {
  const heap = { used_heap_size: used * MIB, total_heap_size: taken * MIB, external_memory: 0 };
  let now = 0;
  let collections = 0;
  const trim = new HeapTrim({
    collect: async () => {
      collections++;
      now += tookMs;
      return tookMs;
    },
    statistics: () => heap,
    now: () => now,
  });
  /** Seconds with so much work. @returns collections in them */
  const seconds = async (active: number, count = 1): Promise<number> => {
    const before = collections;
    for (let i = 0; i < count; i++) {
      now += 1000;
      await trim.look(active);
    }
    return collections - before;
  };
  return { heap, seconds };
}

describe('memory that V8 does not use', () => {
  it('is given back once when a process has become quiet', async () => {
    const { seconds } = open();
    expect(await seconds(0.5, 10)).toBe(0);
    expect(await seconds(0.001)).toBe(0);
    expect(await seconds(0.001)).toBe(1);
    expect(await seconds(0.001, 300)).toBe(0);
  });

  it.each([
    [0, 2],
    [20, 10],
    [400, 60],
  ])('is given back again behind more work: a collection of %i ms, not before %i s', async (tookMs, restSeconds) => {
    const { seconds } = open(20, 40, tookMs);
    expect(await seconds(0.001, 2)).toBe(1);
    expect(await seconds(0.3, 1)).toBe(0);
    expect(await seconds(0.001, restSeconds - 2)).toBe(0);
    expect(await seconds(0.001, 2)).toBe(1);
  });

  it('stays while there is a little to do all the time', async () => {
    expect(await open().seconds(0.03, 100)).toBe(0);
  });

  it('stays where a collection would stop the process for long, and where it would bring little', async () => {
    expect(await open(100, 300).seconds(0, 10)).toBe(0);
    expect(await open(20, 20.99).seconds(0, 10)).toBe(0);
    expect(await open(20, 21).seconds(0, 10)).toBe(1);
  });

  it('is given back where buffers have grown since the last time, and not for those that stay', async () => {
    const { heap, seconds } = open(20, 20.5);
    heap.external_memory = MIB - 1;
    expect(await seconds(0, 10)).toBe(0);
    heap.external_memory = 100 * MIB;
    expect(await seconds(0, 10)).toBe(0); // it has done nothing since
    expect(await seconds(0.5)).toBe(0);
    expect(await seconds(0, 2)).toBe(1);
    heap.external_memory = 100.9 * MIB;
    expect([await seconds(0.5), await seconds(0, 10)]).toEqual([0, 0]);
    heap.external_memory = 101 * MIB;
    expect([await seconds(0.5), await seconds(0, 10)]).toEqual([0, 1]);
  });

  it('is given back sooner where much may come: after a hundred times what the last collection took', async () => {
    const { heap, seconds } = open(20, 40, 100);
    expect(await seconds(0, 2)).toBe(1);
    heap.external_memory = 12 * MIB + 20 * MIB;
    expect([await seconds(0.5), await seconds(0, 8), await seconds(0)]).toEqual([0, 0, 1]);
    heap.external_memory += 31 * MIB;
    expect([await seconds(0.5), await seconds(0, 48), await seconds(0)]).toEqual([0, 0, 1]);
  });

  it('stays where Node cannot collect, which is asked once', async () => {
    let asked = 0;
    const trim = new HeapTrim({
      collect: async () => {
        asked++;
        throw new Error('no inspector');
      },
      statistics: () => ({ used_heap_size: 0, total_heap_size: 100 * MIB, external_memory: 0 }),
    });
    for (let second = 0; second < 10; second++) await trim.look(second % 5 === 0 ? 1 : 0);
    expect(asked).toBe(1);
  });

  it('really goes back to the system', async () => {
    let garbage: unknown[] = [];
    for (let i = 0; i < 200_000; i++) garbage.push({ i });
    garbage = [];
    const before = getHeapStatistics().total_heap_size;
    const trim = new HeapTrim({
      statistics: () => ({ used_heap_size: 0, total_heap_size: before, external_memory: 0 }),
    });
    await trim.look(0);
    await trim.look(0);
    expect(getHeapStatistics().total_heap_size).toBeLessThan(before);
  });
});
