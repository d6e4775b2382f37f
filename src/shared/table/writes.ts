/** What changes rows: each operation locks one stripe, for less than a microsecond, and nothing in between can fail. */
import { ServerError } from '../../errors/index.js';
import type { Owners } from '../owners.js';
import { type Column, INT, INT32, STRING } from './columns.js';
import type { Keys } from './keys.js';
import { allocator as allocatorAt, row, STRIPES, stripeOf } from './layout.js';
import { Locks } from './locks.js';
import { RoomMaker } from './room.js';
import { RowAllocator } from './row-allocator.js';
import { isSame, type RowImage, type Views } from './row-image.js';
import type { RowCopy, Rows } from './rows.js';
import { Stripes } from './stripes.js';
import { LENGTH_MASK } from './text.js';

/** When a row expires: as before. */
export const KEEP = -1;
export const NEVER = 0;

/** For tests: the patience with living owners, and what is called before each step that another process may see. */
export interface WriteParts {
  readonly patienceMs: number;
  readonly now: () => number;
  readonly atStep: () => void;
}

export interface TableParts {
  readonly name: string;
  readonly rows: Rows;
  readonly keys: Keys;
  readonly owners: Owners;
}

/** How a write ended that holds a lock. `refused`: the row is not as the caller wants it. */
type Outcome = 'done' | 'refused' | 'full' | 'busy';

/** When `put` writes: always; if there is no such row; if the row holds what an image holds. */
export type Condition = 'always' | 'new' | RowImage;

export class Writes {
  readonly allocator: RowAllocator;
  readonly #name: string;
  readonly #rows: Rows;
  readonly #int32: Int32Array;
  readonly #keys: Keys;
  readonly #stripes: Stripes;
  readonly #room: RoomMaker;
  readonly #atStep: () => void;
  #isChanging = false;

  constructor({ name, rows, keys, owners }: TableParts, { patienceMs, now, atStep }: WriteParts) {
    const locks = new Locks(rows.int32, owners, patienceMs);
    this.#name = name;
    this.#rows = rows;
    this.#int32 = rows.int32;
    this.#keys = keys;
    this.allocator = new RowAllocator(rows, locks, atStep);
    this.#stripes = new Stripes(rows, locks, this.allocator, atStep);
    this.#room = new RoomMaker(rows, this.#stripes, this.allocator, now);
    this.#atStep = atStep;
  }

  /**
   * Writes the image to the row of the key that was taken last.
   * @param expires a time, `NEVER` or `KEEP`
   * @returns false when the condition is not met. @throws ServerError ERR_TABLE_FULL, ERR_TABLE_BUSY, ERR_TABLE_NESTED
   */
  put(hash: number, image: RowImage, condition: Condition, expires: number): boolean {
    for (;;) {
      this.#lock(hash);
      const outcome = this.#putLocked(hash, image, condition, expires);
      this.#stripes.unlock(hash);
      if (outcome === 'done' || outcome === 'refused') return outcome === 'done';
      this.#makeRoom(outcome);
    }
  }

  /** @returns the value afterwards; NaN: the column cannot hold it; undefined: there is no such row */
  add(hash: number, column: Column, by: number): number | undefined {
    this.#lock(hash);
    const at = this.#findLive(hash);
    const value = at < 0 ? undefined : this.#addLocked(at, column, by);
    this.#stripes.unlock(hash);
    return value;
  }

  /** @param into gets the row before. @returns whether there was one */
  remove(hash: number, into?: Views): boolean {
    this.#lock(hash);
    const at = this.#rows.findLocked(hash, this.#keys);
    const isThere = at >= 0 && !this.#isExpired(at);
    if (isThere && into !== undefined) this.#copyOut(at, into);
    const isDone = at < 0 || this.#removeLocked(at, hash);
    this.#stripes.unlock(hash);
    if (!isDone) throw this.#busy();
    return isThere;
  }

  /**
   * The only operation that runs the user's code with a lock held: others wait for it.
   * @param change gets a copy of the row, and fills the image
   */
  update(hash: number, image: RowImage, expires: number, change: (row: RowCopy) => void): void {
    for (;;) {
      this.#lock(hash);
      const outcome = this.#updateLocked(hash, image, expires, change);
      this.#stripes.unlock(hash);
      if (outcome === 'done') return;
      this.#makeRoom(outcome);
    }
  }

  clear(): void {
    for (let index = 0; index < STRIPES; index++) this.#clearStripe(index);
  }

  #lock(hash: number): void {
    if (this.#isChanging) throw new ServerError('ERR_TABLE_NESTED', { table: this.#name });
    if (!this.#stripes.lock(hash)) throw this.#busy();
    this.#atStep();
  }

  #busy(): ServerError {
    return new ServerError('ERR_TABLE_BUSY', { table: this.#name });
  }

  #makeRoom(outcome: Outcome): void {
    const room = outcome === 'full' ? this.#room.make() : 'busy';
    if (room === 'busy') throw this.#busy();
    if (room === 'none') {
      throw new ServerError('ERR_TABLE_FULL', { table: this.#name, rows: this.#rows.layout.rows });
    }
  }

  #putLocked(hash: number, image: RowImage, condition: Condition, expires: number): Outcome {
    const at = this.#rows.findLocked(hash, this.#keys);
    const isThere = at >= 0 && !this.#isExpired(at);
    if (condition !== 'always' && !this.#isMet(condition, isThere, at)) return 'refused';
    if (at < 0) return this.#insert(hash, image, expires);
    this.#replace(at, image, isThere, expires);
    return 'done';
  }

  #isMet(condition: RowImage | 'new', isThere: boolean, at: number): boolean {
    if (condition === 'new') return !isThere;
    return isThere && this.#holds(at, condition);
  }

  #holds(at: number, image: RowImage): boolean {
    const half = this.#currentHalf(at);
    const { all } = this.#rows.layout.columns;
    for (let index = 0; index < image.count; index++) {
      const column = all[image.given[index] ?? 0];
      if (column !== undefined && !isSame(image.views, this.#rows.views, half, column)) return false;
    }
    return true;
  }

  #insert(hash: number, image: RowImage, expires: number): Outcome {
    const index = this.#take(hash);
    if (typeof index !== 'number') return index;
    const at = this.#rows.at(index);
    this.#atStep();
    this.#fill(this.#currentHalf(at), image, -1, Math.max(expires, NEVER));
    this.#atStep();
    this.#writeKey(at);
    if (this.#rows.layout.isEvicting) this.#rows.views.bytes[this.#rows.layout.touchedAt + index] = 0;
    this.#atStep();
    this.#stripes.insert(index, hash);
    return 'done';
  }

  #take(hash: number): number | 'full' | 'busy' {
    if (!this.allocator.lock()) return 'busy';
    const index = this.allocator.take(stripeOf(hash), hash);
    this.allocator.unlock();
    return index < 0 ? 'full' : index;
  }

  #writeKey(at: number): void {
    const { words, length } = this.#keys;
    for (let index = 0; index * 4 < length; index++) this.#int32[at + row.key + index] = words[index] ?? 0;
    this.#int32[at + row.keyBytes] = length;
  }

  /** The half that does not count gets the new values, and then counts. */
  #replace(at: number, image: RowImage, isThere: boolean, expires: number): void {
    const version = this.#int32[at + row.version] ?? 0;
    const from = isThere ? this.#rows.halfOf(at, version) : -1;
    const until = expires !== KEEP ? expires : isThere ? (this.#rows.views.float64[from / 2] ?? NEVER) : NEVER;
    this.#atStep();
    this.#fill(this.#rows.halfOf(at, version + 1), image, from, until);
    this.#atStep();
    this.#rows.publish(at + row.version, (version + 1) | 0);
    this.#atStep();
    if (this.#rows.layout.isEvicting) this.#rows.touch(at);
  }

  /** @param from the half that gives what is not in the image; −1: zeros */
  #fill(to: number, image: RowImage, from: number, expires: number): void {
    if (!image.isComplete) this.#fillFrom(to, from);
    const { all } = this.#rows.layout.columns;
    for (let index = 0; index < image.count; index++) {
      const column = all[image.given[index] ?? 0];
      if (column !== undefined) this.#copyIn(to, image, column);
    }
    this.#rows.views.float64[to / 2] = expires;
    if (expires !== NEVER && this.#int32[allocatorAt.hasExpiry] === 0) this.#int32[allocatorAt.hasExpiry] = 1;
  }

  #fillFrom(to: number, from: number): void {
    const int32 = this.#int32;
    const { words } = this.#rows.layout.columns;
    if (from < 0) int32.fill(0, to, to + words);
    else if (words > MANY_WORDS) int32.copyWithin(to, from, from + words);
    else for (let index = 0; index < words; index++) int32[to + index] = int32[from + index] ?? 0;
  }

  #copyIn(to: number, { views }: RowImage, { at, kind, words }: Column): void {
    const used = kind < STRING ? words : 1 + ((((views.int32[at] ?? 0) & LENGTH_MASK) + 3) >>> 2);
    if (used > MANY_WORDS) this.#int32.set(views.int32.subarray(at, at + used), to + at);
    else for (let index = at; index < at + used; index++) this.#int32[to + index] = views.int32[index] ?? 0;
  }

  #copyOut(at: number, into: Views): void {
    const half = this.#currentHalf(at);
    into.int32.set(this.#int32.subarray(half, half + this.#rows.layout.columns.words));
  }

  #findLive(hash: number): number {
    const at = this.#rows.findLocked(hash, this.#keys);
    return at >= 0 && this.#isExpired(at) ? -1 : at;
  }

  #isExpired(at: number): boolean {
    return this.#rows.isExpired(this.#currentHalf(at));
  }

  /** With the lock held nobody else changes the version. */
  #currentHalf(at: number): number {
    return this.#rows.halfOf(at, this.#int32[at + row.version] ?? 0);
  }

  /** One aligned store is never torn, so it may go into the half that counts. */
  #addLocked(at: number, column: Column, by: number): number {
    const version = this.#int32[at + row.version] ?? 0;
    const place = this.#rows.halfOf(at, version) + column.at;
    const value = column.kind === INT32 ? this.#addInt32(place, by) : this.#addFloat(place, by, column.kind === INT);
    this.#atStep();
    this.#rows.publish(at + row.version, (version + 2) | 0);
    this.#atStep();
    return value;
  }

  #addInt32(place: number, by: number): number {
    const value = (this.#int32[place] ?? 0) + by;
    if ((value | 0) !== value) return Number.NaN;
    this.#atStep();
    this.#int32[place] = value;
    return value;
  }

  #addFloat(place: number, by: number, isInt: boolean): number {
    const { float64 } = this.#rows.views;
    const value = (float64[place / 2] ?? 0) + by;
    if (isInt && !Number.isSafeInteger(value)) return Number.NaN;
    this.#atStep();
    float64[place / 2] = value;
    return value;
  }

  #removeLocked(at: number, hash: number): boolean {
    if (!this.allocator.lock()) return false;
    this.#stripes.remove(at, hash);
    this.allocator.unlock();
    return true;
  }

  #updateLocked(hash: number, image: RowImage, expires: number, change: (row: RowCopy) => void): Outcome {
    const at = this.#rows.findLocked(hash, this.#keys);
    if (at < 0 && this.allocator.isFull) return 'full';
    this.#isChanging = true;
    try {
      change(
        at < 0 || this.#isExpired(at) ? this.#rows.empty() : this.#rows.copy(this.#rows.views, this.#currentHalf(at)),
      );
    } catch (error) {
      this.#stripes.unlock(hash);
      throw error;
    } finally {
      this.#isChanging = false;
    }
    return this.#putLocked(hash, image, 'always', expires);
  }

  #clearStripe(hash: number): void {
    this.#lock(hash);
    let isDone = true;
    for (let head = hash; head <= this.#rows.layout.headMask && isDone; head += STRIPES)
      isDone = this.#clearChain(head);
    this.#stripes.unlock(hash);
    if (!isDone) throw this.#busy();
  }

  #clearChain(head: number): boolean {
    for (;;) {
      const first = this.#int32[this.#rows.headOf(head)] ?? 0;
      if (first === 0) return true;
      const at = this.#rows.at(first - 1);
      if (!this.#removeLocked(at, this.#int32[at + row.hash] ?? 0)) return false;
    }
  }
}

/** Copied by a native call. */
const MANY_WORDS = 64;
