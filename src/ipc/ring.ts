/**
 * A ring of frames in shared memory with one writer and one reader, in two processes (or threads).
 *
 * Positions are 32-bit counters that wrap; `(position - base) & (size - 1)` is the place. The ring is mapped twice in a row,
 * so each frame is contiguous and recv(2) and send(2) can use it in place. Frames between head and tail outlive both
 * processes: the successor of a killed worker continues with the next packet.
 *
 * A ring that is empty begins again at its first place, by a new base: so it takes memory for as much as has waited in it
 * at one time, not for its whole size as soon as so much has passed through it.
 *
 * ```
 * header (int32):  0 tail, 1 base (writer)   16 head (reader)   32 bytes to which the reader empties it for a writer that waits
 * ```
 * What one end writes lies on a cache line of its own.
 */
import type { RingPlace } from '../memory/layout.js';
import type { Region } from '../memory/region.js';
import { frameBytes, HEADER_BYTES, wordOf } from './frame.js';

const TAIL = 0;
const BASE = 1;
const HEAD = 16;
const WRITER_WAITS = 32;

/** Below this place an empty ring need not begin again: it is little memory, and to ask costs a look at what the reader writes. */
const REWIND_FROM = 65_536;

/** Published bytes waiting in a ring, read without mapping it. */
export function queuedBytesAt(region: Region, place: RingPlace): number {
  const at = place.headerAt / 4;
  return (Atomics.load(region.int32, at + TAIL) - Atomics.load(region.int32, at + HEAD)) | 0;
}

class RingEnd {
  readonly size: number;
  /** The ring's bytes, twice. */
  readonly bytes: Buffer;
  readonly address: number;
  protected readonly mask: number;
  protected readonly shared: Int32Array;
  protected readonly at: number;
  protected readonly int32: Int32Array;
  protected readonly float64: Float64Array;
  /** The position whose place is the first. */
  protected base: number;

  constructor(region: Region, place: RingPlace) {
    const { buffer, address } = region.mapRing(place);
    this.size = place.bytes;
    this.mask = place.bytes - 1;
    this.bytes = Buffer.from(buffer);
    this.address = address;
    this.int32 = new Int32Array(buffer);
    this.float64 = new Float64Array(buffer);
    this.shared = region.int32;
    this.at = place.headerAt / 4;
    this.base = Atomics.load(this.shared, this.at + BASE);
  }

  /** Published bytes that the reader has not released. Any process may read it. */
  get queuedBytes(): number {
    return (Atomics.load(this.shared, this.at + TAIL) - Atomics.load(this.shared, this.at + HEAD)) | 0;
  }
}

export class RingWriter extends RingEnd {
  #tail: number;
  #published: number;
  #knownHead: number;

  constructor(region: Region, place: RingPlace) {
    super(region, place);
    this.#tail = Atomics.load(this.shared, this.at + TAIL);
    this.#published = this.#tail;
    this.#knownHead = Atomics.load(this.shared, this.at + HEAD);
  }

  get words(): Int32Array {
    return this.int32;
  }

  /**
   * Free bytes, headers included. Reads the reader's progress only when `wanted` does not fit by the cached value.
   * @param within so much of the ring, as if it had no more
   */
  room(wanted: number, within = this.size): number {
    let free = within - ((this.#tail - this.#knownHead) | 0);
    if (free < wanted) {
      this.#knownHead = Atomics.load(this.shared, this.at + HEAD);
      free = within - ((this.#tail - this.#knownHead) | 0);
    }
    return free;
  }

  hasRoom(wanted: number, within = this.size): boolean {
    return this.room(wanted, within) >= wanted;
  }

  /** Free bytes as of the last look at the reader's progress. */
  get knownRoom(): number {
    return this.size - ((this.#tail - this.#knownHead) | 0);
  }

  /** Where the payload of the next frame goes, as an index into `bytes` (and offset from `address`). */
  get payloadAt(): number {
    return this.#place + HEADER_BYTES;
  }

  /** Writes two words at the place of the next payload. */
  putWords(first: number, second: number): void {
    const at = (this.#place + HEADER_BYTES) >> 2;
    this.int32[at] = first;
    this.int32[at + 1] = second;
  }

  /** Completes the frame whose payload was written at `payloadAt`. The caller has checked the room. */
  commit(type: number, flags: number, detail: number, sessionId: number, payloadBytes: number): void {
    const at = this.#place;
    this.int32[at >> 2] = payloadBytes;
    this.int32[(at >> 2) + 1] = wordOf(type, flags, detail);
    this.float64[(at >> 3) + 1] = sessionId;
    this.#tail = (this.#tail + frameBytes(payloadBytes)) | 0;
  }

  /** The end position of the last frame committed: compare with `isConsumed`. */
  get position(): number {
    return this.#tail;
  }

  /** True when the reader has gone past this position. */
  isConsumed(position: number): boolean {
    if (((this.#knownHead - position) | 0) >= 0) return true;
    this.#knownHead = Atomics.load(this.shared, this.at + HEAD);
    return ((this.#knownHead - position) | 0) >= 0;
  }

  get unpublishedBytes(): number {
    return (this.#tail - this.#published) | 0;
  }

  /** Makes all committed frames visible to the reader. @returns true when there were new ones */
  publish(): boolean {
    if (this.#tail === this.#published) return false;
    this.#published = this.#tail;
    Atomics.store(this.shared, this.at + TAIL, this.#tail);
    return true;
  }

  /** Begins again at the first place if nothing is in the ring. Not between the room for a frame and its `commit`. */
  rewind(): void {
    if (this.#place < REWIND_FROM || this.#tail !== this.#published) return;
    this.#knownHead = Atomics.load(this.shared, this.at + HEAD);
    if (this.#knownHead !== this.#tail) return;
    // The reader looks at the base whenever it has looked at the tail, and a tail beyond its head is stored behind this.
    this.base = this.#tail;
    Atomics.store(this.shared, this.at + BASE, this.base);
  }

  get #place(): number {
    return (this.#tail - this.base) & this.mask;
  }

  /**
   * Requests a ring of the bell from the reader once half of it is free. @param within as `room`
   * @returns false when it is free already: an earlier request stands
   */
  waitForRoom(within = this.size): boolean {
    const before = this.shared[this.at + WRITER_WAITS] ?? 0;
    const half = within / 2;
    Atomics.store(this.shared, this.at + WRITER_WAITS, half);
    if (!this.hasRoom(half, within)) return true;
    Atomics.store(this.shared, this.at + WRITER_WAITS, before);
    return false;
  }
}

export class RingReader extends RingEnd {
  #head: number;
  #tail: number;

  constructor(region: Region, place: RingPlace) {
    super(region, place);
    this.#head = Atomics.load(this.shared, this.at + HEAD);
    this.#tail = this.#head;
  }

  /** Reloads the reader's position, after another process has read in between. */
  resync(): void {
    this.#head = Atomics.load(this.shared, this.at + HEAD);
    this.#tail = this.#head;
  }

  /** True when a frame is available; reads the writer's progress only when the cached value is used up. */
  available(): boolean {
    return this.#head !== this.#tail || this.look();
  }

  /** The same, and reads the writer's progress in any case. */
  look(): boolean {
    this.#tail = Atomics.load(this.shared, this.at + TAIL);
    this.base = Atomics.load(this.shared, this.at + BASE);
    return this.#head !== this.#tail;
  }

  /** True when a frame is left of those seen at the last look. */
  get hasVisible(): boolean {
    return this.#head !== this.#tail;
  }

  get length(): number {
    return this.int32[this.#place >> 2] ?? 0;
  }
  /** Type, flags and detail: see `wordOf`. */
  get word(): number {
    return this.int32[(this.#place >> 2) + 1] ?? 0;
  }
  get sessionId(): number {
    return this.float64[(this.#place >> 3) + 1] ?? 0;
  }
  get payloadAt(): number {
    return this.#place + HEADER_BYTES;
  }
  /** The first two words of the payload: see `putWords`. */
  get firstWord(): number {
    return this.int32[(this.#place + HEADER_BYTES) >> 2] ?? 0;
  }
  get secondWord(): number {
    return this.int32[((this.#place + HEADER_BYTES) >> 2) + 1] ?? 0;
  }
  get #place(): number {
    return (this.#head - this.base) & this.mask;
  }

  /** False when the frame claims more than was published: the writer is broken, and later frames cannot be trusted. */
  get isSound(): boolean {
    const length = this.length;
    return length >= 0 && frameBytes(length) <= ((this.#tail - this.#head) | 0);
  }

  /** Moves to the next frame; the bytes of the current one stay untouched until `release`. */
  advance(): void {
    this.#head = (this.#head + frameBytes(this.length)) | 0;
  }

  /** Returns the room of all frames passed so far to the writer. */
  release(): void {
    Atomics.store(this.shared, this.at + HEAD, this.#head);
  }

  /** True once when the writer waits and there is the room it waits for: the caller rings the writer's bell. */
  writerWantsBell(): boolean {
    const index = this.at + WRITER_WAITS;
    const most = this.shared[index] ?? 0;
    if (most === 0) return false;
    const used = (Atomics.load(this.shared, this.at + TAIL) - this.#head) | 0;
    if (used > most) return false;
    Atomics.store(this.shared, index, 0);
    return true;
  }

  /** Discards all frames. */
  discard(): void {
    this.#tail = Atomics.load(this.shared, this.at + TAIL);
    this.#head = this.#tail;
    this.release();
  }
}
