/** Room for a row in a table that is full: one that has expired, or, in a table that evicts, one that was not read for long. */
import { allocator as at, row, stripe, stripeOf } from './layout.js';
import type { RowAllocator } from './row-allocator.js';
import type { Rows } from './rows.js';
import type { Stripes } from './stripes.js';

/** A search of a whole table that has found nothing is repeated when the next row expires, or after this time. */
const SEARCH_EVERY_MS = 100;
/** Searches take at most one part in so many of a process's time. */
const SEARCH_SHARE = 5;

/** `busy`: a living owner has held a lock for the whole time. */
export type Room = 'made' | 'none' | 'busy';

export class RoomMaker {
  readonly #rows: Rows;
  readonly #int32: Int32Array;
  readonly #stripes: Stripes;
  readonly #allocator: RowAllocator;
  readonly #now: () => number;
  #searchAgainAt = 0;

  constructor(rows: Rows, stripes: Stripes, allocator: RowAllocator, now: () => number) {
    this.#rows = rows;
    this.#int32 = rows.int32;
    this.#stripes = stripes;
    this.#allocator = allocator;
    this.#now = now;
  }

  /** With nothing locked. Another process may be faster and take the room. */
  make(): Room {
    return this.#rows.layout.isEvicting ? this.#evict() : this.#expel();
  }

  /** Takes the row out if it is still there. @returns false when a living owner has held a lock for the whole time */
  remove(index: number, hash: number): boolean {
    if (!this.#stripes.lock(hash)) return false;
    const isThere = this.#int32[this.#rows.at(index) + row.hash] === hash;
    const isDone = !isThere || this.#removeLocked(this.#rows.at(index), hash);
    this.#stripes.unlock(hash);
    return isDone;
  }

  #removeLocked(rowAt: number, hash: number): boolean {
    if (!this.#allocator.lock()) return false;
    this.#stripes.remove(rowAt, hash);
    this.#allocator.unlock();
    return true;
  }

  /** Second chance: a row that was read since the hand came by last stays for one more turn. */
  #evict(): Room {
    const { rows } = this.#rows.layout;
    for (let steps = 0; steps < 2 * rows; steps++) {
      const index = this.#nextIndex();
      const hash = this.#int32[this.#rows.at(index) + row.hash] ?? 0;
      if (hash === 0 || this.#isSpared(index)) continue;
      if (!this.remove(index, hash)) return 'busy';
      const count = stripeOf(hash) + stripe.evictions;
      Atomics.add(this.#int32, count, 1);
      return 'made';
    }
    return 'made'; // others have made it
  }

  #isSpared(index: number): boolean {
    const { bytes } = this.#rows.views;
    const byte = this.#rows.layout.touchedAt + index;
    if (bytes[byte] === 0 || this.#isExpired(index)) return false;
    bytes[byte] = 0;
    return true;
  }

  #expel(): Room {
    const began = this.#now();
    if (this.#int32[at.hasExpiry] === 0 || began < this.#searchAgainAt) return 'none';
    let next = began + SEARCH_EVERY_MS;
    for (let steps = 0; steps < this.#rows.layout.rows; steps++) {
      const index = this.#nextIndex();
      const hash = this.#int32[this.#rows.at(index) + row.hash] ?? 0;
      if (hash === 0) continue;
      if (this.#isExpired(index)) return this.remove(index, hash) ? 'made' : 'busy';
      next = Math.min(next, this.#rows.expiresAt(this.#halfOf(index)));
    }
    const now = this.#now();
    this.#searchAgainAt = Math.max(next, now + (now - began) * SEARCH_SHARE);
    return 'none';
  }

  /** A hint: two processes may get the same one. */
  #nextIndex(): number {
    const hand = (this.#int32[at.hand] ?? 0) % this.#rows.layout.rows;
    this.#int32[at.hand] = hand + 1;
    return hand;
  }

  #isExpired(index: number): boolean {
    return this.#rows.isExpired(this.#halfOf(index));
  }

  /** The half that counts. */
  #halfOf(index: number): number {
    const rowAt = this.#rows.at(index);
    return this.#rows.halfOf(rowAt, this.#rows.version(rowAt));
  }
}
