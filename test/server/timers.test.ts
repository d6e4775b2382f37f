import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Timers } from '../../src/server/timers.js';

let timers: Timers;
let failed: unknown[];
/** Ids of timers whose callback was called. */
let called: number[];

beforeEach(() => {
  vi.useFakeTimers();
  [failed, called] = [[], []];
  timers = new Timers((error) => failed.push(error));
});
afterEach(() => vi.useRealTimers());

const note = (id: number): unknown => called.push(id);

describe('a timer', () => {
  it('of after() calls once, at its time, with its id', () => {
    const id = timers.after(100, note);
    vi.advanceTimersByTime(99);
    expect(called).toEqual([]);
    vi.advanceTimersByTime(1);
    expect(called).toEqual([id]);
    vi.advanceTimersByTime(1000);
    expect(called).toEqual([id]);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('of tick() calls again and again until it is cleared', () => {
    const id = timers.tick(100, note);
    vi.advanceTimersByTime(350);
    expect(called).toEqual([id, id, id]);
    expect(timers.clear(id)).toBe(true);
    vi.advanceTimersByTime(1000);
    expect(called).toHaveLength(3);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('has an id of its own, above 0, that is never used again', () => {
    const ids = [timers.tick(1, note), timers.after(1, note)];
    for (const id of ids) timers.clear(id);
    ids.push(timers.tick(1, note), timers.after(1, note));
    expect(new Set(ids).size).toBe(4);
    expect(Math.min(...ids)).toBeGreaterThan(0);
  });

  it('may clear itself in its callback', () => {
    const id = timers.tick(10, (own) => {
      note(own);
      timers.clear(own);
    });
    vi.advanceTimersByTime(100);
    expect(called).toEqual([id]);
  });
});

describe('clear() is false', () => {
  it.each([0, -1, 7, Number.NaN])('for the id %d, which no timer has', (id) => {
    expect(timers.clear(id)).toBe(false);
  });

  it('for a timer of after() that has called, also within its callback', () => {
    let within: boolean | undefined;
    const id = timers.after(1, (own) => {
      within = timers.clear(own);
    });
    vi.advanceTimersByTime(1);
    expect([within, timers.clear(id)]).toEqual([false, false]);
  });

  it('the second time', () => {
    const id = timers.tick(1, note);
    expect([timers.clear(id), timers.clear(id)]).toEqual([true, false]);
  });
});

describe('a callback that fails', () => {
  it.each([
    [
      'throws',
      () => {
        throw new Error('no');
      },
    ],
    ['rejects', () => Promise.reject(new Error('no'))],
  ])('because it %s is told, and tick() goes on', async (_title, callback) => {
    timers.tick(10, callback);
    await vi.advanceTimersByTimeAsync(30);
    expect(failed).toEqual([new Error('no'), new Error('no'), new Error('no')]);
  });
});

describe('what is no timer', () => {
  it.each([0, 0.5, -1, 2 ** 31, Number.NaN, Number.POSITIVE_INFINITY, '10', undefined, null, 10n])(
    'is refused: %s ms',
    (ms) => {
      for (const make of [timers.tick, timers.after]) {
        expect(() => make.call(timers, ms as number, note)).toThrow(
          expect.objectContaining({
            code: 'ERR_TIMER',
            detail: { expected: 'milliseconds from 1 to 2147483647', received: expect.any(String) },
          }),
        );
      }
      expect(vi.getTimerCount()).toBe(0);
    },
  );

  it.each([1, 1.5, 2 ** 31 - 1])('is not %d ms', (ms) => {
    timers.clear(timers.tick(ms, note));
    timers.clear(timers.after(ms, note));
  });

  it.each([undefined, null, 'callback', {}])('is refused: the callback %s', (callback) => {
    expect(() => timers.after(1, callback as () => void)).toThrow(
      expect.objectContaining({
        code: 'ERR_TIMER',
        detail: expect.objectContaining({ expected: 'a function to call' }),
      }),
    );
  });
});
