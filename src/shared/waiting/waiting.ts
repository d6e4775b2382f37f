/**
 * What waits in this process for something in shared memory. Whoever changes that memory rings the doorbells of the processes
 * that wait for it; the loop of a rung process then looks at its waiters. A timer looks too: it is what a script without a
 * server has, and what is left when the one that should have rung died first.
 */
import { type Clock, systemClock, type TimerHandle } from '../../util/clock.js';
import type { Owners } from '../owners.js';

/** Without a doorbell the timer begins here and doubles. */
const FIRST_MS = 1;
const LAST_MS = 20;
const FIRST_WITH_BELL_MS = 50;
const LAST_WITH_BELL_MS = 250;
/** Asking the kernel about a holder costs some 10 µs: each waiter does it this often at most. */
const DEAD_MS = 100;

export interface Waiter {
  /** A promise hangs on it: until it is settled, the process does not end by itself. */
  readonly isAwaited: boolean;
  /** Something may have changed. */
  look(): void;
  /** The one that it waits for may have died. */
  lookForDead(): void;
}

/** What tests replace. */
export interface WaitingParts {
  readonly clock?: Clock;
  /** Calls back in a later turn of the loop. */
  readonly soon?: (callback: () => void) => void;
}

/** One per process or thread. */
export class Waiting {
  readonly clock: Clock;
  readonly #soon: (callback: () => void) => void;
  readonly #waiters = new Set<Waiter>();
  /** Of all that have waited: few, one per arena. */
  readonly #owners = new Set<Owners>();
  #ring: ((bell: number) => void) | undefined;
  #ownBell = -1;
  #timer: TimerHandle | undefined;
  #dueMs = 0;
  #delayMs = 0;
  #lookedForDeadMs = 0;
  #isSoon = false;

  constructor({ clock = systemClock, soon = setImmediate }: WaitingParts = {}) {
    this.clock = clock;
    this.#soon = soon;
  }

  /** Waiters in this process. */
  get size(): number {
    return this.#waiters.size;
  }

  setRinger(ring: (bell: number) => void, ownBell: number): void {
    this.#ring = ring;
    this.#ownBell = ownBell;
    for (const owners of this.#owners) this.#tellBell(owners);
  }

  add(waiter: Waiter, owners: Owners): void {
    if (!this.#owners.has(owners)) {
      this.#owners.add(owners);
      this.#tellBell(owners);
    }
    this.#waiters.add(waiter);
    this.#delayMs = this.#hasBell ? FIRST_WITH_BELL_MS : FIRST_MS;
    // A timer that is due before is not put off: with a new waiter at any time none would ever look.
    if (this.#timer === undefined || this.clock.now() + this.#delayMs < this.#dueMs) this.#restart();
    else if (waiter.isAwaited) (this.#timer as Partial<NodeJS.Timeout>).ref?.();
  }

  remove(waiter: Waiter): void {
    this.#waiters.delete(waiter);
    if (this.#waiters.size === 0) this.#stop();
  }

  look(): void {
    if (this.#waiters.size === 0) return;
    for (const waiter of [...this.#waiters]) waiter.look();
  }

  /** This process looks once the present turn of its loop is over. */
  lookSoon(): void {
    if (this.#isSoon) return;
    this.#isSoon = true;
    this.#soon(() => {
      this.#isSoon = false;
      this.look();
    });
  }

  /** Wakes the owner of that word. One without a doorbell looks by its timer. */
  ring(owners: Owners, word: number): void {
    if (word === owners.word) {
      this.lookSoon();
      return;
    }
    const bell = owners.bellOf(word);
    if (bell >= 0) this.#ring?.(bell);
  }

  get #hasBell(): boolean {
    return this.#ownBell >= 0;
  }

  #tellBell(owners: Owners): void {
    if (this.#hasBell) owners.bell = this.#ownBell;
  }

  #restart(): void {
    this.#stop();
    this.#dueMs = this.clock.now() + this.#delayMs;
    this.#timer = this.clock.setTimeout(() => this.#tick(), this.#delayMs);
    if ([...this.#waiters].some(({ isAwaited }) => isAwaited)) return;
    (this.#timer as Partial<NodeJS.Timeout>).unref?.();
  }

  #stop(): void {
    if (this.#timer !== undefined) this.clock.clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  #tick(): void {
    this.#timer = undefined;
    this.#delayMs = Math.min(this.#delayMs * 2, this.#hasBell ? LAST_WITH_BELL_MS : LAST_MS);
    try {
      this.look();
      if (this.clock.now() - this.#lookedForDeadMs >= DEAD_MS) this.#lookForDead();
    } finally {
      if (this.#waiters.size > 0) this.#restart();
    }
  }

  #lookForDead(): void {
    this.#lookedForDeadMs = this.clock.now();
    for (const waiter of [...this.#waiters]) waiter.lookForDead();
    this.look();
  }
}

/** Of this process or thread. */
export const ourWaiting = new Waiting();

/**
 * Gives this process its doorbell.
 *
 * @param ring wakes the process that has that doorbell
 * @param ownBell others learn it when this process first waits, or now if it does already
 */
export function setRinger(ring: (bell: number) => void, ownBell: number): void {
  ourWaiting.setRinger(ring, ownBell);
}

/** Called in each turn of the loop in which the doorbell may have been rung. */
export function lookAtWaiters(): void {
  ourWaiting.look();
}
