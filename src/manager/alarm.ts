/** The one timer of the manager: it rings when the next thing is due. */
import type { Clock, TimerHandle } from '../util/clock.js';

export class Alarm {
  readonly #clock: Clock;
  readonly #ring: () => void;
  #timer: TimerHandle | undefined;
  #due = Number.POSITIVE_INFINITY;

  constructor(clock: Clock, ring: () => void) {
    this.#clock = clock;
    this.#ring = ring;
  }

  /** @param due monotonic ms; infinite: nothing is due */
  setTo(due: number): void {
    if (due === this.#due) return;
    if (this.#timer !== undefined) this.#clock.clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#due = due;
    if (due === Number.POSITIVE_INFINITY) return;
    const wait = Math.max(1, due - this.#clock.now());
    this.#timer = this.#clock.setTimeout(() => {
      this.#due = Number.POSITIVE_INFINITY;
      this.#ring();
    }, wait);
  }
}
