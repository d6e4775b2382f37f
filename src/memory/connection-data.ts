/**
 * The user's data of each connection (`conn.data`), serialised: written by any process, readable from every process without a
 * message. It lies outside of the workers, so that it survives reloads and crashes.
 *
 * ```
 * record, 256 B, one per slot                                 long data, 2 × 4 KiB per slot
 * ┌──────┬─────────┬───────────────────┬─────────┬─────────┐  ┌─────────┬─────────┐
 * │ lock │ version │ session, size and │ half 0  │ half 1  │  │ half 0  │ half 1  │  for data above 108 B
 * │      │         │ checksum, twice   │ 108 B   │ 108 B   │  │ 4 KiB   │ 4 KiB   │
 * └──────┴─────────┴───────────────────┴─────────┴─────────┘  └─────────┴─────────┘
 * ```
 * The lowest bit of the version names the half that counts. A writer fills the other one and then adds 1 to the version: a
 * writer killed before that leaves the preceding value. Writers of one slot take turns by its lock; readers take none. A
 * writer that is stopped for long loses its turn, and may spoil the half that counts when it goes on: readers recognise that by
 * the checksum and take the preceding value, until it, or the next writer, has filled that half again.
 *
 * Address space: slots × 256 B, and slots × 8 KiB mapped in pieces of 16 MiB when they are first used (with the default
 * `maxConnections` 131,072 slots: 32 MiB and at most 1 GiB). Memory: the pages of records in use (a page holds 16), and up to
 * 8 KiB for each connection that has had long data, until `clear`.
 */
import { crc32 } from 'node:zlib';
import { PAGE_BYTES, punchHole } from '../os/memory.js';
import { DATA_RECORD_BYTES, LONG_DATA_BYTES } from './layout.js';
import { float64, int32, layoutRecord } from './record.js';
import type { Region } from './region.js';
import { type LockParts, SharedLock } from './shared-lock.js';

const layout = layoutRecord(
  {
    /** See `SharedLock`. */
    lock: int32(),
    version: int32(),
    /** Of each half. */
    sessionId: float64(2),
    size: int32(2),
    checksum: int32(2),
  },
  DATA_RECORD_BYTES,
);
const record = layout.at;
const INTS = DATA_RECORD_BYTES / 4;
const FLOATS = DATA_RECORD_BYTES / 8;

/** The longest data. */
export const MAX_DATA_BYTES = LONG_DATA_BYTES;
/** The longest data that lies in the record itself. */
export const SHORT_DATA_BYTES = (DATA_RECORD_BYTES - layout.usedBytes) / 2;

/** In the size of a half: no data. */
const CLEARED = 0x7fff;
/** Beside the size of a half: its long data was written, so its pages take memory. */
const HAS_PAGES = 0x8000;

/** Slots whose long data is mapped at once: 16 MiB. */
const PIECE_SLOTS = 2048;
/** Another writer seizes the lock after this time: a lost value is better than a blocked process. */
const PATIENCE_MS = 100;
/** Each further try of a read needs two writes during one read; of a write, a stop of that time in the midst of it. */
const MAX_TRIES = 64;
/** Of reads of a half that no writer should be writing. */
const MAX_SPOILT_TRIES = 8;

const EMPTY = new Uint8Array(0);

/** For tests. */
export interface DataParts extends Partial<LockParts> {
  /** Called before each step of a write. */
  readonly atStep?: () => void;
}

/** One per process or thread. Runs in workers, which write and read, and in reactors, which clear. */
export class ConnectionData {
  readonly #region: Region;
  readonly #mask: number;
  readonly #int32: Int32Array;
  readonly #float64: Float64Array;
  readonly #bytes: Buffer;
  readonly #lock: SharedLock;
  readonly #atStep: () => void;
  readonly #pieces: Buffer[] = [];

  constructor(region: Region, { atStep, ...lock }: DataParts = {}) {
    const { shape, data } = region.layout;
    const memory = data.bytes === 0 ? new ArrayBuffer(0) : region.part(data.at, data.bytes);
    this.#region = region;
    this.#mask = shape.dataSlots - 1;
    this.#int32 = new Int32Array(memory);
    this.#float64 = new Float64Array(memory);
    this.#bytes = Buffer.from(memory);
    this.#lock = new SharedLock(this.#int32, { patienceMs: PATIENCE_MS, ...lock });
    this.#atStep = atStep ?? (() => {});
  }

  /**
   * The last write wins. That of an ended session is dropped once a later session of its slot has written.
   * @returns false when `bytes` are more than `MAX_DATA_BYTES`, or no port has such data; then nothing has changed
   */
  write(sessionId: number, bytes: Uint8Array): boolean {
    if (bytes.length > MAX_DATA_BYTES || this.#isNowhere) return false;
    this.#update(sessionId, bytes);
    return true;
  }

  /** @returns a copy; undefined when this session has no data. Never a mixture of two writes */
  read(sessionId: number): Buffer | undefined {
    if (this.#isNowhere) return undefined;
    const slot = this.#slotOf(sessionId);
    for (let tries = 0; tries < MAX_TRIES; tries++) {
      const version = this.#version(slot);
      const half = version & 1;
      const isMissing = !this.#isOf(sessionId, half);
      const found = isMissing ? undefined : this.#copy(sessionId, half);
      if (found !== undefined) return found;
      if (this.#version(slot) !== version) continue;
      if (isMissing) return undefined;
      if (tries >= MAX_SPOILT_TRIES) return this.#copy(sessionId, half ^ 1);
    }
    return undefined;
  }

  /** The session has no data from now on. Frees the pages of its long data. */
  clear(sessionId: number): void {
    if (this.#isNowhere) return;
    const slot = this.#slotOf(sessionId);
    const hasData = [0, 1].some((half) => this.#sessionId(slot, half) === sessionId);
    if (hasData || this.#hasPages(slot)) this.#update(sessionId, undefined);
  }

  get #isNowhere(): boolean {
    return this.#mask < 0;
  }

  #slotOf(sessionId: number): number {
    return (sessionId >>> 0) & this.#mask;
  }

  #version(slot: number): number {
    return Atomics.load(this.#int32, slot * INTS + record.version);
  }

  #sessionId(slot: number, half: number): number {
    return this.#float64[slot * FLOATS + record.sessionId + half] ?? 0;
  }

  #size(slot: number, half: number): number {
    return (this.#int32[slot * INTS + record.size + half] ?? 0) & CLEARED;
  }

  #hasPages(slot: number): boolean {
    return [0, 1].some((half) => ((this.#int32[slot * INTS + record.size + half] ?? 0) & HAS_PAGES) !== 0);
  }

  #isOf(sessionId: number, half: number): boolean {
    const slot = this.#slotOf(sessionId);
    return this.#sessionId(slot, half) === sessionId && this.#size(slot, half) !== CLEARED;
  }

  /** @returns undefined where the half is another session's, or is being written */
  #copy(sessionId: number, half: number): Buffer | undefined {
    const slot = this.#slotOf(sessionId);
    const size = this.#size(slot, half);
    if (size > MAX_DATA_BYTES) return undefined;
    const found = Buffer.from(this.#room(slot, half, size).subarray(0, size));
    return this.#int32[slot * INTS + record.checksum + half] === checksumOf(sessionId, found) ? found : undefined;
  }

  #update(sessionId: number, bytes: Uint8Array | undefined): void {
    const slot = this.#slotOf(sessionId);
    const lock = slot * INTS + record.lock;
    for (let tries = 0; tries < MAX_TRIES; tries++) {
      if (!this.#lock.acquire(lock)) this.#lock.seize(lock);
      const isOvertaken = this.#isOvertaken(sessionId);
      const isDone = isOvertaken || this.#replace(sessionId, bytes);
      if (isDone && !isOvertaken && bytes === undefined) this.#freePages(slot);
      this.#lock.release(lock);
      if (isDone) return;
    }
  }

  /** The slot has gone to a later session, which has written. */
  #isOvertaken(sessionId: number): boolean {
    const slot = this.#slotOf(sessionId);
    return this.#sessionId(slot, this.#version(slot) & 1) > sessionId;
  }

  /** @returns false when another writer has seized the lock meanwhile: the half may be spoilt, and is filled again */
  #replace(sessionId: number, bytes: Uint8Array | undefined): boolean {
    const slot = this.#slotOf(sessionId);
    const version = this.#version(slot);
    const step = this.#isWhole(slot, version & 1) ? 1 : 2;
    this.#atStep();
    this.#fill(sessionId, (version + step) & 1, bytes);
    this.#atStep();
    const next = (version + step) | 0;
    const found = Atomics.compareExchange(this.#int32, slot * INTS + record.version, version, next);
    this.#atStep();
    return found === version;
  }

  #isWhole(slot: number, half: number): boolean {
    const size = this.#size(slot, half);
    const bytes = size > MAX_DATA_BYTES ? EMPTY : this.#room(slot, half, size).subarray(0, size);
    return this.#int32[slot * INTS + record.checksum + half] === checksumOf(this.#sessionId(slot, half), bytes);
  }

  #fill(sessionId: number, half: number, given: Uint8Array | undefined): void {
    const slot = this.#slotOf(sessionId);
    const ints = slot * INTS;
    const bytes = given ?? EMPTY;
    const isLong = bytes.length > SHORT_DATA_BYTES;
    const pages = isLong ? HAS_PAGES : (this.#int32[ints + record.size + half] ?? 0) & HAS_PAGES;
    // First: `clear` frees only pages that are marked.
    this.#int32[ints + record.size + half] = (given?.length ?? CLEARED) | pages;
    this.#atStep();
    this.#room(slot, half, bytes.length).set(bytes);
    this.#atStep();
    this.#float64[slot * FLOATS + record.sessionId + half] = sessionId;
    this.#int32[ints + record.checksum + half] = checksumOf(sessionId, bytes);
  }

  /** Where data of that size lies. */
  #room(slot: number, half: number, size: number): Buffer {
    if (size > SHORT_DATA_BYTES) return this.#longRoom(slot, half);
    const at = slot * DATA_RECORD_BYTES + layout.usedBytes + half * SHORT_DATA_BYTES;
    return this.#bytes.subarray(at, at + SHORT_DATA_BYTES);
  }

  #longRoom(slot: number, half: number): Buffer {
    const index = Math.floor(slot / PIECE_SLOTS);
    this.#pieces[index] ??= this.#mapPiece(index);
    const at = ((slot % PIECE_SLOTS) * 2 + half) * LONG_DATA_BYTES;
    return this.#pieces[index].subarray(at, at + LONG_DATA_BYTES);
  }

  #mapPiece(index: number): Buffer {
    const { at, bytes } = this.#region.layout.longData;
    const from = index * PIECE_SLOTS * 2 * LONG_DATA_BYTES;
    return Buffer.from(this.#region.part(at + from, Math.min(PIECE_SLOTS * 2 * LONG_DATA_BYTES, bytes - from)));
  }

  /** With the lock held: a later session may write at once. Pages that several slots share (macOS) stay. */
  #freePages(slot: number): void {
    if (!this.#hasPages(slot) || PAGE_BYTES > LONG_DATA_BYTES) return;
    const at = this.#region.layout.longData.at + slot * 2 * LONG_DATA_BYTES;
    punchHole(this.#region.descriptor, at, 2 * LONG_DATA_BYTES);
    for (const half of [0, 1]) Atomics.and(this.#int32, slot * INTS + record.size + half, ~HAS_PAGES);
  }
}

/** Of the data and its session, so that an unfinished write is recognised. */
function checksumOf(sessionId: number, bytes: Uint8Array): number {
  const high = Math.floor(sessionId / 2 ** 32);
  return crc32(bytes, ((sessionId >>> 0) ^ Math.imul(high + bytes.length, 0x9e3779b1)) >>> 0) | 0;
}
