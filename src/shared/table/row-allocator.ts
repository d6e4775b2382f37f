/**
 * Which rows are free: those never used, and a chain of those given back. A row is taken, or given back, by one store; before
 * it, the allocator says what it is about to do, so that whoever inherits its lock can tell whether that store was made.
 */
import { allocator as at, row, stripe } from './layout.js';
import type { Locks } from './locks.js';
import type { Rows } from './rows.js';

export class RowAllocator {
  readonly #rows: Rows;
  readonly #int32: Int32Array;
  readonly #locks: Locks;
  readonly #atStep: () => void;

  constructor(rows: Rows, locks: Locks, atStep: () => void) {
    this.#rows = rows;
    this.#int32 = rows.int32;
    this.#locks = locks;
    this.#atStep = atStep;
  }

  /** Rows in use. */
  get live(): number {
    return Atomics.load(this.#int32, at.live);
  }

  get isFull(): boolean {
    return this.live >= this.#rows.layout.rows;
  }

  /** No row of that number, or above, has ever been used. */
  get used(): number {
    return Atomics.load(this.#int32, at.used);
  }

  /** @returns false when a living owner has held it for the whole time */
  lock(): boolean {
    if (!this.#locks.acquire(at.lock, at.waits, at.broken)) return false;
    if (this.#int32[at.doing] !== 0) this.#repair();
    return true;
  }

  unlock(): void {
    this.#locks.release(at.lock);
  }

  /** Takes a row, which from then on is in the stripe's journal. Both are locked. @returns its number; −1: there is none */
  take(stripeAt: number, hash: number): number {
    const int32 = this.#int32;
    const free = int32[at.firstFree] ?? 0;
    const index = free > 0 ? free - 1 : (int32[at.used] ?? 0);
    if (index >= this.#rows.layout.rows) return -1;
    this.#announce(index + 1, stripeAt, 1);
    int32[stripeAt + stripe.hash] = hash;
    int32[stripeAt + stripe.row] = index + 1;
    this.#atStep();
    if (free > 0) int32[at.firstFree] = int32[this.#rows.at(index) + row.next] ?? 0;
    else int32[at.used] = index + 1;
    this.#settle();
    return index;
  }

  /** Gives back the row in the stripe's journal. Both are locked. */
  give(stripeAt: number): void {
    const int32 = this.#int32;
    const number = int32[stripeAt + stripe.row] ?? 0;
    int32[this.#rows.at(number - 1) + row.next] = int32[at.firstFree] ?? 0;
    this.#atStep();
    this.#announce(-number, stripeAt, -1);
    int32[at.firstFree] = number;
    this.#atStep();
    int32[stripeAt + stripe.row] = 0;
    this.#settle();
  }

  #announce(doing: number, stripeAt: number, change: number): void {
    const int32 = this.#int32;
    int32[at.liveAfter] = (int32[at.live] ?? 0) + change;
    int32[at.stripe] = stripeAt;
    this.#atStep();
    int32[at.doing] = doing;
    this.#atStep();
  }

  #settle(): void {
    const int32 = this.#int32;
    this.#atStep();
    int32[at.live] = int32[at.liveAfter] ?? 0;
    this.#atStep();
    int32[at.doing] = 0;
    this.#atStep();
  }

  /** Each step may be made again by the next owner, should this one die too. */
  #repair(): void {
    const int32 = this.#int32;
    const doing = int32[at.doing] ?? 0;
    const number = Math.abs(doing);
    const isFree = int32[at.firstFree] === number || int32[at.used] === number - 1;
    if (isFree) int32[(int32[at.stripe] ?? 0) + stripe.row] = 0;
    this.#atStep();
    if (isFree === doing < 0) this.#settle();
    else int32[at.doing] = 0;
  }
}
