/** What `setTimeout` gave, for `clearTimeout`. */
export type TimerHandle = object;

/** Time as the supervising code sees it, so that tests can turn it by hand. */
export interface Clock {
  /** Milliseconds that only ever grow; not the time of day. */
  now(): number;
  setTimeout(callback: () => void, ms: number): TimerHandle;
  clearTimeout(handle: TimerHandle | undefined): void;
}

export const systemClock: Clock = {
  now: () => performance.now(),
  setTimeout: (callback, ms) => setTimeout(callback, ms),
  clearTimeout: (handle) => clearTimeout(handle as NodeJS.Timeout | undefined),
};
