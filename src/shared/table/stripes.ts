/** Chains of rows, which their stripe's lock guards: inserting, deleting, and what the dead have left. */
import { row, stripe, stripeOf } from './layout.js';
import type { Locks } from './locks.js';
import type { RowAllocator } from './row-allocator.js';
import type { Rows } from './rows.js';

export class Stripes {
  readonly #rows: Rows;
  readonly #int32: Int32Array;
  readonly #locks: Locks;
  readonly #allocator: RowAllocator;
  readonly #atStep: () => void;

  constructor(rows: Rows, locks: Locks, allocator: RowAllocator, atStep: () => void) {
    this.#rows = rows;
    this.#int32 = rows.int32;
    this.#locks = locks;
    this.#allocator = allocator;
    this.#atStep = atStep;
  }

  /** @returns false when a living owner has held it, or the allocator that is needed for repair, for the whole time */
  lock(hash: number): boolean {
    const at = stripeOf(hash);
    if (!this.#locks.acquire(at + stripe.lock, at + stripe.waits, at + stripe.broken)) return false;
    return this.#int32[at + stripe.row] === 0 || this.#repair(at);
  }

  unlock(hash: number): void {
    this.#locks.release(stripeOf(hash) + stripe.lock);
  }

  /** Links a row in the making, and makes it true. */
  insert(index: number, hash: number): void {
    const at = this.#rows.at(index);
    const head = this.#rows.headOf(hash);
    const stripeAt = stripeOf(hash);
    this.#int32[at + row.next] = this.#int32[head] ?? 0;
    this.#atStep();
    this.#rows.publish(head, index + 1);
    this.#atStep();
    this.#rows.publish(at + row.hash, hash);
    this.#atStep();
    this.#int32[stripeAt + stripe.row] = 0;
    this.#atStep();
  }

  /** With the allocator locked too. @param at where the row begins */
  remove(at: number, hash: number): void {
    const stripeAt = stripeOf(hash);
    this.#int32[stripeAt + stripe.hash] = hash;
    this.#int32[stripeAt + stripe.row] = this.#rows.indexOf(at) + 1;
    this.#atStep();
    this.#rows.publish(at + row.hash, 0);
    this.#atStep();
    this.#discard(stripeAt);
  }

  /** Takes the row of the journal, whose hash is 0, out of its chain if it is there, and gives it back. */
  #discard(stripeAt: number): void {
    const number = this.#int32[stripeAt + stripe.row] ?? 0;
    const version = this.#rows.at(number - 1) + row.version;
    this.#rows.publish(version, ((this.#int32[version] ?? 0) + 2) | 0);
    this.#atStep();
    this.#unlink(this.#rows.headOf(this.#int32[stripeAt + stripe.hash] ?? 0), number);
    this.#atStep();
    // After the row has left its chain, before it is in another one: a reader that was led there finds this changed.
    Atomics.add(this.#int32, stripeAt + stripe.left, 1);
    this.#atStep();
    this.#allocator.give(stripeAt);
  }

  #unlink(head: number, number: number): void {
    let from = head;
    for (let next = this.#int32[from] ?? 0; next > 0; next = this.#int32[from] ?? 0) {
      const link = this.#rows.at(next - 1) + row.next;
      if (next === number) {
        this.#rows.publish(from, this.#int32[link] ?? 0);
        return;
      }
      from = link;
    }
  }

  /** Whoever held it died. The allocator comes first: its own repair may settle the journal of this stripe. */
  #repair(stripeAt: number): boolean {
    if (!this.#allocator.lock()) {
      this.#locks.release(stripeAt + stripe.lock);
      return false;
    }
    const number = this.#int32[stripeAt + stripe.row] ?? 0;
    if (number !== 0) this.#finish(stripeAt, number);
    this.#allocator.unlock();
    return true;
  }

  #finish(stripeAt: number, number: number): void {
    const isThere = this.#int32[this.#rows.at(number - 1) + row.hash] !== 0;
    if (isThere) this.#int32[stripeAt + stripe.row] = 0;
    else this.#discard(stripeAt);
  }
}
