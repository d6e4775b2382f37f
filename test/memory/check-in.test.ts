import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { CheckIn } from '../../src/memory/check-in.js';
import { HeapTrim } from '../../src/memory/heap-trim.js';
import { MallocTrim } from '../../src/memory/malloc-trim.js';
import { ProcessRecord } from '../../src/memory/process-board.js';
import { Region } from '../../src/memory/region.js';
import { monotonicMs } from '../../src/util/clock.js';
import { testShape } from '../helpers/test-shape.js';

let record: ProcessRecord;

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
  record = ProcessRecord.ofPeer(Region.create(testShape()), 0);
});

afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
});

const total = (counts: readonly number[]): number => counts.reduce((sum, count) => sum + count, 0);

describe('a process that checks in', () => {
  it('is seen, and its memory told, as soon as it starts; the stack of the one before is gone', () => {
    record.stack = 'at last';
    const checkIn = new CheckIn({ record });
    expect([record.stack, record.seenAt]).toEqual(['', 0]);
    checkIn.start();
    expect(Math.abs(record.seenAt - monotonicMs())).toBeLessThan(1000);
    expect(record.residentBytes).toBeGreaterThan(1e6);
    checkIn.stop();
  });

  it('tells ten times a second that its loop turns, and how late it was', () => {
    const checkIn = new CheckIn({ record });
    checkIn.start();
    record.seenAt = 1;
    vi.advanceTimersByTime(99);
    expect([record.seenAt, total(record.loopDelays.counts)]).toEqual([1, 0]);
    vi.advanceTimersByTime(1);
    expect(record.seenAt).toBeGreaterThan(1);
    vi.advanceTimersByTime(900);
    expect(total(record.loopDelays.counts)).toBe(10);
    expect(record.loopDelays.seconds).toBeGreaterThanOrEqual(0); // a turn that comes early is not late
    checkIn.stop();
    vi.advanceTimersByTime(1000);
    expect(total(record.loopDelays.counts)).toBe(10);
  });

  it('tells of a block whose stack was taken, once, and forgets the stack', () => {
    const told: unknown[] = [];
    const checkIn = new CheckIn({ record, stoodStill: (stoodMs, stack) => told.push([typeof stoodMs, stack]) });
    checkIn.start();
    record.stack = 'at slow';
    vi.advanceTimersByTime(300);
    expect([told, record.stack]).toEqual([[['number', 'at slow']], '']);
    checkIn.stop();
  });

  it('tells by how much a turn came too late', () => {
    const checkIn = new CheckIn({ record });
    checkIn.start();
    const until = performance.now() + 130; // so the next turn, due after 100 ms, is late
    while (performance.now() < until);
    vi.advanceTimersByTime(100);
    const { seconds } = record.loopDelays;
    expect(seconds).toBeGreaterThan(0.025);
    expect(seconds).toBeLessThan(20);
    checkIn.stop();
  });

  it('looks at its memory and its loop once a second', () => {
    const measured: number[] = [];
    vi.spyOn(process.memoryUsage, 'rss').mockReturnValueOnce(1000).mockReturnValueOnce(2000).mockReturnValue(3000);
    const checkIn = new CheckIn({ record, measured: (bytes) => measured.push(bytes) });
    checkIn.start();
    expect(record.residentBytes).toBe(1000);
    vi.advanceTimersByTime(999);
    expect([measured, record.residentBytes]).toEqual([[], 1000]);
    vi.advanceTimersByTime(1);
    expect([measured, record.residentBytes]).toEqual([[2000], 2000]);
    vi.advanceTimersByTime(1000);
    expect([measured, record.residentBytes]).toEqual([[2000, 3000], 3000]);
    checkIn.stop();
  });

  it('looks no less often where its loop is blocked', () => {
    const measured: number[] = [];
    const begin = performance.now();
    const now = vi.spyOn(performance, 'now').mockReturnValue(begin);
    const checkIn = new CheckIn({ record, measured: (bytes) => measured.push(bytes) });
    checkIn.start();
    for (const [at, looks] of [
      [400, 0],
      [800, 0],
      [1200, 1],
      [1300, 1],
      [3000, 2],
    ] as const) {
      now.mockReturnValue(begin + at);
      vi.advanceTimersByTime(100);
      expect(measured, `at ${at}`).toHaveLength(looks);
    }
    checkIn.stop();
  });

  it('counts as idle what its thread has slept unknown to the event loop', () => {
    const ran = vi.spyOn(ProcessRecord.prototype, 'loopRan');
    let blockedMs = 0;
    const checkIn = new CheckIn({ record, isThread: true, blockedMs: () => blockedMs });
    checkIn.start();
    vi.advanceTimersByTime(1000);
    blockedMs = 1e6; // more than can be
    vi.advanceTimersByTime(1000);
    expect(ran.mock.calls[1]?.[0]).toBe(0);
    expect(ran.mock.calls[1]?.[1]).toBeGreaterThanOrEqual(1e6);
    vi.advanceTimersByTime(1000);
    expect(ran.mock.calls[2]?.[1]).toBeLessThan(1e6);
    checkIn.stop();
  });

  it('tells the most that it has held where there is no /proc', () => {
    vi.spyOn(process.memoryUsage, 'rss').mockImplementation(() => {
      throw new Error('ENOENT');
    });
    const before = process.resourceUsage().maxRSS * 1024;
    new CheckIn({ record }).start();
    // It may grow between two looks.
    expect(record.residentBytes).toBeGreaterThanOrEqual(before);
    expect(record.residentBytes).toBeLessThanOrEqual(process.resourceUsage().maxRSS * 1024);
  });

  it.each([false, true])(
    'gives memory back, once a second, and tells malloc when it has collected (thread: %s)',
    async (isThread) => {
      const heap = vi.spyOn(HeapTrim.prototype, 'look').mockResolvedValueOnce(false).mockResolvedValueOnce(true);
      const malloc = vi.spyOn(MallocTrim.prototype, 'look').mockReturnValue();
      const checkIn = new CheckIn({ record, isThread });
      checkIn.start();
      for (const second of [1, 2]) {
        vi.advanceTimersByTime(1000);
        await Promise.resolve();
        expect([heap.mock.calls.length, malloc.mock.calls.length]).toEqual([second, second]);
      }
      expect(malloc.mock.calls).toEqual([[false], [true]]);
      checkIn.stop();
    },
  );

  it('has no memory of its own where it is a thread', () => {
    const checkIn = new CheckIn({ record, isThread: true, measured: () => expect.unreachable() });
    checkIn.start();
    vi.advanceTimersByTime(2000);
    expect(record.residentBytes).toBe(0);
    expect(total(record.loopDelays.counts)).toBe(20);
    checkIn.stop();
  });
});
