/** What `setTimeout` gave, for `clearTimeout` and nothing else. */
export type TimerHandle = unknown;

/** Time as the supervising code sees it, so that tests can turn it by hand. */
export interface Clock {
  /** Milliseconds that only ever grow; not the time of day. */
  now(): number;
  setTimeout(callback: () => void, ms: number): TimerHandle;
  clearTimeout(handle: TimerHandle): void;
}

/** What `performance.now()`, which begins at 0 in each process and thread, lacks to the clock of the machine. */
const ORIGIN_MS = Number(process.hrtime.bigint() / 1000n) / 1000 - performance.now();

/**
 * Milliseconds, with a fraction, of a clock that is the same in every process and thread of the machine and that nobody
 * sets (CLOCK_MONOTONIC). Every duration is told by it; `Date.now()` is for a time of day that is shown.
 */
export function monotonicMs(): number {
  return performance.now() + ORIGIN_MS;
}

export const systemClock: Clock = {
  now: () => performance.now(),
  setTimeout: (callback, ms) => setTimeout(callback, ms),
  clearTimeout: (handle) => clearTimeout(handle as NodeJS.Timeout | undefined),
};
