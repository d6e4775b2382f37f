/**
 * Converts event times for display. Records in shared memory hold readings of the monotonic clock, which cannot be set;
 * this turns them into Unix time by the machine's current clock. So after a step of that clock an age that a user computes
 * (`Date.now() - connectedAt`) is still right.
 */
import { monotonicMs } from '../util/clock.js';

/** `Date.now()` has whole milliseconds: polling until it changes reveals the fraction. */
const CALIBRATION_MS = 2;
/** Readings of the clocks, repeated because the process may be preempted between two of them. */
const LOOKS = 3;

export class WallTime {
  readonly #float64: Float64Array;
  readonly #at: number;

  /** @param float64 all processes share the difference at `at`, so that all show the same time for the same event */
  constructor(float64: Float64Array, at: number) {
    this.#float64 = float64;
    this.#at = at;
  }

  /** Once, in the process that creates the memory. */
  set(): void {
    const until = monotonicMs() + CALIBRATION_MS;
    this.#float64[this.#at] = Date.now() - monotonicMs();
    while (monotonicMs() < until) this.#look();
  }

  /** @returns Unix ms, never ahead of the clock; 0 (it has not happened) stays 0 */
  unixMs(monotonic: number): number {
    if (monotonic === 0) return 0;
    const now = this.#look();
    return Math.min(now, Math.floor(monotonic + (this.#float64[this.#at] ?? 0)));
  }

  /** Keeps the stored difference while it matches the clocks; otherwise moves it as little as needed. */
  #look(): number {
    let before = monotonicMs();
    let now = Date.now();
    let after = monotonicMs();
    for (let look = 1; look < LOOKS && after - before > 1; look++) {
      before = monotonicMs();
      now = Date.now();
      after = monotonicMs();
    }
    const kept = this.#float64[this.#at] ?? 0;
    const fitting = Math.min(Math.max(kept, now - after), now + 1 - before);
    if (fitting !== kept) this.#float64[this.#at] = fitting;
    return now;
  }
}
