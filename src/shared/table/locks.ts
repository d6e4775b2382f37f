/**
 * The locks of a table: one per stripe, and the allocator's. One that is free takes a single atomic operation; how to wait for
 * another one, and whom to inherit it from, knows `OwnedLock`.
 */
import { OwnedLock } from '../owned-lock.js';
import type { Owners } from '../owners.js';

/** How long a writer waits for a living one, which may be stopped. */
export const PATIENCE_MS = 1000;

export class Locks {
  readonly #int32: Int32Array;
  readonly #owners: Owners;
  readonly #lock: OwnedLock;
  #word = 0;

  constructor(int32: Int32Array, owners: Owners, patienceMs: number) {
    this.#int32 = int32;
    this.#owners = owners;
    this.#lock = new OwnedLock(int32, owners, patienceMs);
  }

  /**
   * @param at of the lock; figures that its owner adds to: its waits, and its inheritances
   * @returns false when a living owner has held it for the whole time
   */
  acquire(at: number, waitsAt: number, brokenAt: number): boolean {
    if (this.#word === 0) this.#word = this.#owners.word;
    return Atomics.compareExchange(this.#int32, at, 0, this.#word) === 0 || this.#wait(at, waitsAt, brokenAt);
  }

  release(at: number): void {
    Atomics.store(this.#int32, at, 0);
  }

  #wait(at: number, waitsAt: number, brokenAt: number): boolean {
    const acquired = this.#lock.acquire(at);
    if (acquired === 'busy') return false;
    this.#count(waitsAt);
    if (acquired === 'inherited') this.#count(brokenAt);
    return true;
  }

  #count(at: number): void {
    this.#int32[at] = (this.#int32[at] ?? 0) + 1;
  }
}
