/** What `setTimeout` gave, for `clearTimeout` and nothing else. */
export type TimerHandle = unknown;

/** Time as the supervising code sees it, so that tests can turn it by hand. */
export interface Clock {
  /** Milliseconds that only ever grow; not the time of day. */
  now(): number;
  setTimeout(callback: () => void, ms: number): TimerHandle;
  clearTimeout(handle: TimerHandle): void;
}

export const systemClock: Clock = {
  now: () => performance.now(),
  setTimeout: (callback, ms) => setTimeout(callback, ms),
  clearTimeout: (handle) => clearTimeout(handle as NodeJS.Timeout | undefined),
};
