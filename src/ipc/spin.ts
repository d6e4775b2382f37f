/**
 * Whether a process stays awake for a moment before it sleeps, in the hope of work. To wake another process costs 20 to
 * 60 µs where its core is idle, above all in a virtual machine, and a task in quick succession less than 10. It stays awake
 * only where that has lately saved a wake-up: an idle server sleeps.
 */
import { availableParallelism } from 'node:os';

/** The longest time awake without work, in ms. */
export const SPIN_MS = 0.1;
/** Work that takes longer to come is not worth staying awake for: a wake-up costs about as much, in ms. */
const QUICK_MS = 0.04;
/** A sleep this short shows that work comes in quick succession, two wake-ups included, in ms. */
const SHORT_SLEEP_MS = 0.2;
/** Waits in a row that were not worth it, after which the process sleeps again at once. */
const MAX_MISSES = 4;
/** Short sleeps in a row before it stays awake; twice as many after every time that was in vain. */
const FEWEST_SHORT_SLEEPS = 4;
const MOST_SHORT_SLEEPS = 1024;
const LOOKS_PER_CLOCK = 8;

const cores = availableParallelism();

export class Spin {
  readonly #now: () => number;
  readonly #canHelp: boolean;
  #on = false;
  #misses = 0;
  #shortSleeps = 0;
  #needed = FEWEST_SHORT_SLEEPS;

  /** @param now a clock in ms @param canHelp false where the process that has to send the work needs this very core */
  constructor(now = () => performance.now(), canHelp = cores > 1) {
    this.#now = now;
    this.#canHelp = canHelp;
  }

  /** Staying awake has lately been worth it. */
  get isWorthwhile(): boolean {
    return this.#on;
  }

  /** Looks for work until there is some, or the time is up. @returns false when there was none */
  wait(hasWork: () => boolean): boolean {
    const began = this.#now();
    for (;;) {
      for (let look = 0; look < LOOKS_PER_CLOCK; look++) {
        if (hasWork()) return this.#found(this.#now() - began);
      }
      if (this.#now() - began >= SPIN_MS) return this.#missed();
    }
  }

  /** The process was woken while it expected work. @param byWork by that work @param sleptMs since its last turn */
  woke(byWork: boolean, sleptMs: number): void {
    this.#shortSleeps = byWork && sleptMs <= SHORT_SLEEP_MS ? this.#shortSleeps + 1 : 0;
    if (!this.#canHelp || this.#shortSleeps < this.#needed) return;
    this.#on = true;
    this.#misses = 0;
    this.#shortSleeps = 0;
  }

  #found(afterMs: number): true {
    if (afterMs > QUICK_MS) this.#missed();
    else this.#misses = 0;
    if (this.#misses === 0) this.#needed = FEWEST_SHORT_SLEEPS;
    return true;
  }

  #missed(): false {
    if (++this.#misses < MAX_MISSES) return false;
    this.#on = false;
    this.#needed = Math.min(2 * this.#needed, MOST_SHORT_SLEEPS);
    return false;
  }
}
