/** The result of `setTimeout`, only for `clearTimeout`. */
export type TimerHandle = unknown;

/** The clock of the supervising code, which tests can advance by hand. */
export interface Clock {
  /** Monotonic milliseconds; not the time of day. */
  now(): number;
  setTimeout(callback: () => void, ms: number): TimerHandle;
  clearTimeout(handle: TimerHandle): void;
}

/** The difference between the machine's clock and `performance.now()`, which begins at 0 in each process and thread. */
const ORIGIN_MS = Number(process.hrtime.bigint() / 1000n) / 1000 - performance.now();

/**
 * Milliseconds, with a fraction, of a clock that is the same in every process and thread of the machine and cannot be set
 * (CLOCK_MONOTONIC). Use it for every duration, and `Date.now()` only for a displayed time of day.
 */
export function monotonicMs(): number {
  return performance.now() + ORIGIN_MS;
}

export const systemClock: Clock = {
  now: () => performance.now(),
  setTimeout: (callback, ms) => setTimeout(callback, ms),
  clearTimeout: (handle) => clearTimeout(handle as NodeJS.Timeout | undefined),
};
