/**
 * The entries of a shared cache: a log per stripe, whose oldest entries make room for new ones; one that was read since it was
 * written gets a second chance at the head. An entry is found through its place in the index, which is written last: a process
 * that dies before leaves bytes that nobody sees, and the next writer has nothing to repair.
 *
 * Readers take no lock. They copy, and look then whether the tail has passed what they copied: a writer moves the tail before
 * it overwrites. (Only processors that keep the order of stores and of loads allow that; on others readers take the lock.)
 */
import type { SharedObject } from '../arena.js';
import type { KeyHash } from '../key-hash.js';
import type { OwnedLock } from '../owned-lock.js';
import * as L from './layout.js';
import { copyOut, decode, type Encoded, Form, UNREADABLE, write } from './values.js';

const KEEPS_ORDER = process.arch === 'x64' || process.arch === 'ia32';
/** Entries that get a second chance for one that is written. */
const MOST_RESCUES = 8;
const WIDE_KEY = 16;
const FORM_MASK = 15;
const LATIN1_LIMIT = 256;

export interface Found {
  readonly value: unknown;
  /** In ms of the clock of the cache; Infinity: never. */
  readonly expiresAt: number;
  readonly staleUntil: number;
}

export interface Times {
  readonly expiresAt: number;
  readonly staleUntil: number;
}

export class RingLog {
  readonly #int32: Int32Array;
  readonly #float64: Float64Array;
  readonly #bytes: Buffer;
  readonly #lock: OwnedLock;
  readonly #stripes: number;
  readonly #sets: number;
  readonly #ring: number;
  readonly #ringAt: number;
  readonly #stripeBytes: number;
  readonly #positions: number;
  readonly #step: () => void;

  /** @param step tests stop a writer there: called before each store that others see, and between pieces of an entry */
  constructor(object: SharedObject, { stripes, sets, ring }: L.Geometry, lock: OwnedLock, step: () => void = () => {}) {
    this.#int32 = new Int32Array(object.memory);
    this.#float64 = new Float64Array(object.memory);
    this.#bytes = Buffer.from(object.memory);
    this.#lock = lock;
    this.#stripes = stripes;
    this.#sets = sets;
    this.#ring = ring;
    this.#ringAt = L.ringAt(sets);
    this.#stripeBytes = this.#ringAt + ring * L.UNIT;
    this.#positions = L.positionsOf(ring);
    this.#step = step;
  }

  /** In bytes, of the stripe of that hash. */
  stripeOf({ high }: KeyHash): number {
    return L.HEADER_BYTES + ((high >>> 0) % this.#stripes) * this.#stripeBytes;
  }

  read(hash: KeyHash, key: string): Found | undefined {
    const stripe = this.stripeOf(hash);
    if (KEEPS_ORDER) return this.#read(stripe, hash, key);
    if (!this.acquire(stripe)) return undefined;
    const found = this.#read(stripe, hash, key);
    this.release(stripe);
    return found;
  }

  /** @returns false: a process that was stopped holds the stripe */
  write(hash: KeyHash, key: string, value: Encoded, times: Times): boolean {
    const stripe = this.stripeOf(hash);
    if (!this.acquire(stripe)) return false;
    const isWide = isWideKey(key);
    const valueAt = L.ENTRY_BYTES + key.length * (isWide ? 2 : 1);
    const units = Math.ceil((valueAt + value.length) / L.UNIT);
    this.#makeRoom(stripe, units);
    const position = this.#head(stripe);
    const at = this.#byteOf(stripe, position);
    const ints = at / 4;
    this.#int32[ints + L.entryAt.form] = value.form | (isWide ? WIDE_KEY : 0);
    this.#int32[ints + L.entryAt.low] = hash.low;
    this.#int32[ints + L.entryAt.high] = hash.high;
    this.#int32[ints + L.entryAt.keyLength] = key.length;
    this.#int32[ints + L.entryAt.valueBytes] = value.length;
    this.#float64[at / 8 + L.entryAt.expiresAt] = times.expiresAt;
    this.#float64[at / 8 + L.entryAt.staleUntil] = times.staleUntil;
    this.#step();
    this.#bytes.write(key, at + L.ENTRY_BYTES, isWide ? 'utf16le' : 'latin1');
    this.#step();
    write(value, this.#bytes, at + valueAt);
    this.#append(stripe, units);
    this.#publish(stripe, hash, key, position);
    this.release(stripe);
    return true;
  }

  /** @returns whether it was there */
  delete(hash: KeyHash, key: string): boolean {
    const stripe = this.stripeOf(hash);
    if (!this.acquire(stripe)) return false;
    const slot = this.#slotOf(stripe, hash, key);
    if (slot >= 0) this.#store(slot + L.WAYS, 0);
    this.release(stripe);
    return slot >= 0;
  }

  acquire(stripe: number): boolean {
    const acquired = this.#lock.acquire(stripe / 4 + L.stripeAt.lock);
    if (acquired === 'inherited') Atomics.add(this.#int32, stripe / 4 + L.stripeAt.inherited, 1);
    return acquired !== 'busy';
  }

  release(stripe: number): void {
    this.#lock.release(stripe / 4 + L.stripeAt.lock);
  }

  count(hash: KeyHash, counter: 'hits' | 'misses'): void {
    Atomics.add(this.#int32, this.stripeOf(hash) / 4 + L.stripeAt[counter], 1);
  }

  // ——— reading ———

  #read(stripe: number, hash: KeyHash, key: string): Found | undefined {
    const slot = this.#slotOf(stripe, hash, key);
    if (slot < 0) return undefined;
    const place = Atomics.load(this.#int32, slot + L.WAYS);
    if (place === 0) return undefined;
    const position = place >>> 1;
    const at = this.#byteOf(stripe, position);
    const kind = this.#int32[at / 4 + L.entryAt.form] ?? 0;
    const length = this.#int32[at / 4 + L.entryAt.valueBytes] ?? 0;
    const expiresAt = this.#float64[at / 8 + L.entryAt.expiresAt] ?? 0;
    const staleUntil = this.#float64[at / 8 + L.entryAt.staleUntil] ?? 0;
    const valueAt = at + L.ENTRY_BYTES + key.length * (kind & WIDE_KEY ? 2 : 1);
    // What is overwritten meanwhile may claim any length.
    if (length < 0 || valueAt + length > stripe + this.#stripeBytes) return undefined;
    const form = kind & FORM_MASK;
    const data = copyOut(form, this.#bytes, valueAt, length);
    if (!this.#isKeyAt(at, hash, key) || !this.#isThere(stripe, position)) return undefined;
    if (this.#int32[slot + 2 * L.WAYS] === 0) this.#int32[slot + 2 * L.WAYS] = 1;
    const value = decode(form, data);
    return value === UNREADABLE ? undefined : { value, expiresAt, staleUntil };
  }

  /** Of the key in the index: where its tag is; its place and its mark are `WAYS` and `2 * WAYS` behind. −1: it has none. */
  #slotOf(stripe: number, hash: KeyHash, key: string): number {
    const set = this.#setOf(stripe, hash.low);
    for (let slot = set; slot < set + L.WAYS; slot++) {
      if (this.#int32[slot] !== hash.high) continue;
      const place = Atomics.load(this.#int32, slot + L.WAYS);
      if (place === 0 || !this.#isThere(stripe, place >>> 1)) continue;
      if (this.#isKeyAt(this.#byteOf(stripe, place >>> 1), hash, key)) return slot;
    }
    return -1;
  }

  #setOf(stripe: number, low: number): number {
    return (stripe + L.indexAt) / 4 + ((low >>> 0) % this.#sets) * L.SET_INTS;
  }

  #isKeyAt(at: number, { low, high }: KeyHash, key: string): boolean {
    const ints = at / 4;
    const { length } = key;
    if (this.#int32[ints + L.entryAt.low] !== low || this.#int32[ints + L.entryAt.high] !== high) return false;
    if (this.#int32[ints + L.entryAt.keyLength] !== length) return false;
    const isWide = ((this.#int32[ints + L.entryAt.form] ?? 0) & WIDE_KEY) !== 0;
    const bytes = this.#bytes;
    let from = at + L.ENTRY_BYTES;
    for (let i = 0; i < length; i++) {
      const unit = isWide ? (bytes[from++] ?? 0) | ((bytes[from++] ?? 0) << 8) : bytes[from++];
      if (unit !== key.charCodeAt(i)) return false;
    }
    return true;
  }

  /** Between tail and head. */
  #isThere(stripe: number, position: number): boolean {
    const tail = this.#tail(stripe);
    return this.#distance(tail, position) < this.#distance(tail, this.#head(stripe));
  }

  #distance(from: number, to: number): number {
    return to >= from ? to - from : to - from + this.#positions;
  }

  #moved(position: number, units: number): number {
    return (position + units) % this.#positions;
  }

  #byteOf(stripe: number, position: number): number {
    return stripe + this.#ringAt + (position % this.#ring) * L.UNIT;
  }

  #head(stripe: number): number {
    return Atomics.load(this.#int32, stripe / 4 + L.stripeAt.head);
  }

  #tail(stripe: number): number {
    return Atomics.load(this.#int32, stripe / 4 + L.stripeAt.tail);
  }

  // ——— writing, with the lock ———

  #store(index: number, value: number): void {
    this.#step();
    Atomics.store(this.#int32, index, value);
  }

  /** What lies at the head is whole. */
  #append(stripe: number, units: number): void {
    const head = this.#head(stripe);
    this.#int32[this.#byteOf(stripe, head) / 4 + L.entryAt.units] = units;
    this.#store(stripe / 4 + L.stripeAt.head, this.#moved(head, units));
  }

  #makeRoom(stripe: number, units: number): void {
    let rescues = MOST_RESCUES;
    while (this.#free(stripe) < units + this.#padFor(stripe, units)) {
      if (this.#evictOldest(stripe, rescues > 0)) rescues--;
    }
    this.#pad(stripe, units);
  }

  #free(stripe: number): number {
    return this.#ring - this.#distance(this.#tail(stripe), this.#head(stripe));
  }

  /** An entry does not go over the end of the ring. */
  #padFor(stripe: number, units: number): number {
    const left = this.#ring - (this.#head(stripe) % this.#ring);
    return left < units ? left : 0;
  }

  #pad(stripe: number, units: number): void {
    const pad = this.#padFor(stripe, units);
    if (pad === 0) return;
    this.#int32[this.#byteOf(stripe, this.#head(stripe)) / 4 + L.entryAt.form] = Form.pad;
    this.#append(stripe, pad);
  }

  /** @returns true: it had been read, and is at the head now */
  #evictOldest(stripe: number, mayRescue: boolean): boolean {
    const tail = this.#tail(stripe);
    const at = this.#byteOf(stripe, tail);
    const units = this.#int32[at / 4 + L.entryAt.units] ?? 0;
    const slot = this.#slotAt(stripe, tail);
    const isRead = slot >= 0 && this.#int32[slot + 2 * L.WAYS] === 1;
    const kept = isRead && mayRescue ? Buffer.from(this.#bytes.subarray(at, at + units * L.UNIT)) : undefined;
    if (slot >= 0) this.#store(slot + L.WAYS, 0);
    this.#store(stripe / 4 + L.stripeAt.tail, this.#moved(tail, units));
    if (kept !== undefined && this.#free(stripe) >= units + this.#padFor(stripe, units)) {
      this.#rescue(stripe, slot, kept);
      return true;
    }
    if (slot >= 0) this.#countEviction(stripe);
    return false;
  }

  #rescue(stripe: number, slot: number, kept: Buffer): void {
    const units = kept.length / L.UNIT;
    this.#pad(stripe, units);
    const position = this.#head(stripe);
    this.#bytes.set(kept, this.#byteOf(stripe, position));
    this.#append(stripe, units);
    this.#int32[slot + 2 * L.WAYS] = 0;
    this.#store(slot + L.WAYS, placeOf(position));
  }

  /** Of the entry at that position; −1: it was deleted, or written again, or is no entry. */
  #slotAt(stripe: number, position: number): number {
    const ints = this.#byteOf(stripe, position) / 4;
    if (this.#int32[ints + L.entryAt.form] === Form.pad) return -1;
    const set = this.#setOf(stripe, this.#int32[ints + L.entryAt.low] ?? 0);
    const place = placeOf(position);
    for (let slot = set; slot < set + L.WAYS; slot++) if (this.#int32[slot + L.WAYS] === place) return slot;
    return -1;
  }

  #publish(stripe: number, hash: KeyHash, key: string, position: number): void {
    const known = this.#slotOf(stripe, hash, key);
    const slot = known >= 0 ? known : this.#emptySlot(stripe, hash);
    this.#int32[slot + 2 * L.WAYS] = 0;
    this.#store(slot + L.WAYS, placeOf(position));
  }

  /** With the key's tag, and no place yet. */
  #emptySlot(stripe: number, hash: KeyHash): number {
    const set = this.#setOf(stripe, hash.low);
    let slot = -1;
    for (let each = set; each < set + L.WAYS && slot < 0; each++) {
      if (this.#int32[each + L.WAYS] === 0) slot = each;
    }
    if (slot < 0) {
      slot = this.#oldestSlot(stripe, set);
      this.#store(slot + L.WAYS, 0);
      this.#countEviction(stripe);
    }
    this.#int32[slot] = hash.high;
    return slot;
  }

  /** Preferably one that was not read. */
  #oldestSlot(stripe: number, set: number): number {
    const tail = this.#tail(stripe);
    let oldest = set;
    let least = Number.POSITIVE_INFINITY;
    for (let slot = set; slot < set + L.WAYS; slot++) {
      const isRead = this.#int32[slot + 2 * L.WAYS] === 1;
      const age = this.#distance(tail, (this.#int32[slot + L.WAYS] ?? 0) >>> 1) + (isRead ? this.#ring : 0);
      if (age >= least) continue;
      least = age;
      oldest = slot;
    }
    return oldest;
  }

  #countEviction(stripe: number): void {
    const index = stripe / 4 + L.stripeAt.evictions;
    this.#int32[index] = ((this.#int32[index] ?? 0) + 1) | 0;
  }
}

function placeOf(position: number): number {
  return (position * 2 + 1) | 0;
}

function isWideKey(key: string): boolean {
  for (let i = 0; i < key.length; i++) if (key.charCodeAt(i) >= LATIN1_LIMIT) return true;
  return false;
}
