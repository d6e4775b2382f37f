/**
 * Sleep state lives in shared memory, so that a bell (a system call) is rung only for a sleeper, and only once.
 *
 * The epoch is odd while its owner sleeps. A waker remembers the epoch it rang for in its own memory: a process killed
 * between any two steps leaves nothing inconsistent behind.
 */
import { type DoorbellDescriptors, ringDoorbell } from '../os/doorbell.js';

/** The sleeper's side. */
export class Sleeper {
  readonly #shared: Int32Array;
  readonly #index: number;
  #epoch: number;

  constructor(shared: Int32Array, index: number) {
    this.#shared = shared;
    this.#index = index;
    this.#epoch = Atomics.load(shared, index);
    this.wake();
  }

  /** Announces sleep. The caller must then check all its rings once more. */
  sleep(): void {
    if ((this.#epoch & 1) === 0) this.#store(this.#epoch + 1);
  }

  wake(): void {
    if ((this.#epoch & 1) === 1) this.#store(this.#epoch + 1);
  }

  #store(epoch: number): void {
    this.#epoch = epoch | 0;
    Atomics.store(this.#shared, this.#index, this.#epoch);
  }
}

/** Called by a process that has published data. */
export interface Wakes {
  /** Call it after publishing the data for the sleeper. @returns false when no ring was needed */
  wake(): boolean;
  /** Rings whether the other side sleeps or not. */
  ring(): void;
}

/** The other side: rings for a sleeper. */
export class Waker implements Wakes {
  readonly #shared: Int32Array;
  readonly #index: number;
  readonly #bell: DoorbellDescriptors;
  #rungFor = 0;

  constructor(shared: Int32Array, index: number, bell: DoorbellDescriptors) {
    this.#shared = shared;
    this.#index = index;
    this.#bell = bell;
  }

  wake(): boolean {
    const epoch = Atomics.load(this.#shared, this.#index);
    if ((epoch & 1) === 0 || epoch === this.#rungFor) return false;
    this.#rungFor = epoch;
    this.ring();
    return true;
  }

  ring(): void {
    ringDoorbell(this.#bell);
  }
}
