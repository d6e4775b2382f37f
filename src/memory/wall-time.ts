/**
 * The time of day of what happened, for showing it. Records in shared memory bear readings of the monotonic clock, which
 * nobody sets; this turns them into Unix time by what the machine's clock shows now. So after a step of that clock an age
 * that a user works out (`Date.now() - connectedAt`) is still right.
 */
import { monotonicMs } from '../util/clock.js';

/** `Date.now()` says whole milliseconds: looking until it goes on finds out what it hides. */
const CALIBRATION_MS = 2;
/** A process that was not run between two looks at the clocks looks again. */
const LOOKS = 3;

export class WallTime {
  readonly #float64: Float64Array;
  readonly #at: number;

  /** @param float64 at `at` all processes keep the same difference, so that all show the same time for the same event */
  constructor(float64: Float64Array, at: number) {
    this.#float64 = float64;
    this.#at = at;
  }

  /** Once, in the process that makes the memory. */
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

  /** The kept difference stays while it fits what the clocks show; else it is moved as little as is needed. */
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
