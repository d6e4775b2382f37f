/**
 * The messages of a topic: a ring of bytes under a lock, whose oldest messages make room for new ones.
 *
 * ```
 * ┌────────┬──────────┬───────────────────────────┐   slot:    owner │ asleep
 * │ header │ slots    │ ring of messages          │   message: sequence │ bytes, 16 B; then the value, padded to 16 B;
 * │ 128 B  │ 8 B each │ padded to 16 B            │            it goes on at the beginning where the ring ends
 * └────────┴──────────┴───────────────────────────┘
 * ```
 * The header has the state twice: where the oldest message begins and which it is, where the next one goes and which that
 * will be. A publisher fills the copy that is not in use, then stores one word, `version`, whose lowest bit says which copy
 * counts. It makes room that way before it overwrites, and shows the new message that way once it is whole. A publisher that
 * dies between any two stores leaves nothing to repair.
 */
import { ServerError } from '../../errors/index.js';
import { float64, int32, layoutRecord } from '../../memory/record.js';
import { alignTo } from '../../util/align.js';
import type { SharedObject } from '../arena.js';
import { OwnedLock } from '../owned-lock.js';

const HEADER_BYTES = 128;
const STATE_FLOATS = 4;
const header = layoutRecord(
  {
    ...{ guard: int32(), version: int32(), top: int32(), gaps: float64(), states: float64(2 * STATE_FLOATS) },
    unreadable: int32(),
  },
  HEADER_BYTES,
).at;
const SLOT_BYTES = 8;
const slot = layoutRecord({ owner: int32(), asleep: int32() }, SLOT_BYTES).at;
/** Also what places in the ring are multiples of. */
const MESSAGE_HEAD_BYTES = 16;
const message = layoutRecord({ sequence: float64(), bytes: int32() }, MESSAGE_HEAD_BYTES).at;
/** A publisher waits this long for a process that is stopped in the midst of its work. */
const PATIENCE_MS = 1000;
/** A subscriber tries again later: its loop goes on. */
const READER_PATIENCE_MS = 3;
/** What a subscriber copies at a time, at least one message: some 10 µs under the lock. */
const BATCH_BYTES = 65_536;

export interface TopicShape {
  readonly bytes: number;
  readonly maxValueBytes: number;
  readonly subscribers: number;
}

/** Where a subscriber is: the next message that it reads. */
export interface Place {
  readonly position: number;
  readonly sequence: number;
}

export interface Message {
  readonly sequence: number;
  readonly value: Buffer;
}

/** What `read` finds. */
export interface Batch {
  /** In their order. */
  readonly messages: readonly Message[];
  /** The oldest message that was there. */
  readonly oldest: number;
  readonly next: Place;
  /** There are none behind these, and the slot is asleep until a publisher rings. */
  readonly isLast: boolean;
}

/** What tests replace. */
export interface RingParts {
  readonly patienceMs?: number;
  readonly batchBytes?: number;
  /** Called before each store that others see, and between the pieces of a message. */
  readonly atStep?: () => void;
}

interface State {
  /** Bytes ever written before the oldest message, and before the next one. */
  readonly begin: number;
  readonly end: number;
  readonly oldest: number;
  readonly next: number;
}

export function topicBytes({ bytes, subscribers }: TopicShape): number {
  return ringAt(subscribers) + bytes;
}

export class MessageRing {
  readonly object: SharedObject;
  readonly shape: TopicShape;
  readonly #int32: Int32Array;
  readonly #float64: Float64Array;
  readonly #bytes: Buffer;
  readonly #ringAt: number;
  readonly #publishers: OwnedLock;
  readonly #readers: OwnedLock;
  readonly #batchBytes: number;
  readonly #step: () => void;
  /** A death that a test has made up leaves all as it is. */
  #isDead = false;

  constructor(object: SharedObject, parts: RingParts = {}) {
    const { patienceMs = PATIENCE_MS, batchBytes = BATCH_BYTES, atStep = () => {} } = parts;
    const found = /of (\d+) bytes, values of (\d+) bytes, for (\d+) subscribers/.exec(object.schema);
    const [bytes = 0, maxValueBytes = 0, subscribers = 0] = (found ?? []).slice(1).map(Number);
    this.object = object;
    this.shape = { bytes, maxValueBytes, subscribers };
    this.#int32 = new Int32Array(object.memory);
    this.#float64 = new Float64Array(object.memory);
    this.#bytes = Buffer.from(object.memory);
    this.#ringAt = ringAt(subscribers);
    this.#publishers = new OwnedLock(this.#int32, object.owners, patienceMs);
    this.#readers = new OwnedLock(this.#int32, object.owners, Math.min(patienceMs, READER_PATIENCE_MS));
    this.#batchBytes = batchBytes;
    this.#step = () => this.#mortal(atStep);
  }

  /** Another one than before: there may be something new. */
  get version(): number {
    return Atomics.load(this.#int32, header.version);
  }

  /** Messages since the beginning. */
  get published(): number {
    return this.#state.next;
  }

  /** How often a subscriber was overtaken. */
  get gaps(): number {
    return this.#float(header.gaps);
  }

  /** How often a subscriber could not read a message, and has passed over it. */
  get unreadable(): number {
    return Atomics.load(this.#int32, header.unreadable) >>> 0;
  }

  countUnreadable(): void {
    Atomics.add(this.#int32, header.unreadable, 1);
  }

  /** @returns the words of the subscribers to ring. @throws ServerError ERR_SHARED_STUCK, ERR_SHARED_VALUE_SIZE */
  publish(value: Buffer): number[] {
    const { maxValueBytes: limit } = this.shape;
    const bytes = value.length;
    if (bytes > limit) {
      const option = 'maxValueBytes';
      throw new ServerError('ERR_SHARED_VALUE_SIZE', { ...this.#names, what: 'value', bytes, limit, option });
    }
    return this.#locked(() => {
      this.#makeRoom(messageBytes(bytes));
      this.#append(value);
      return this.#wakeAll();
    });
  }

  /** Takes a slot. @returns it, and the place of the next message. @throws ServerError ERR_SHARED_STUCK, ERR_SHARED_WAITERS */
  enter(): { readonly slot: number; readonly place: Place } {
    return this.#locked(() => {
      const index = this.#freeSlot();
      this.#storeSlot(index, slot.asleep, 1);
      this.#store(header.top, Math.max(this.#top, index + 1));
      this.#storeSlot(index, slot.owner, this.object.owners.word);
      return { slot: index, place: this.#end };
    });
  }

  leave(index: number): void {
    this.#storeSlot(index, slot.owner, 0);
  }

  /**
   * Copies what has come since, and marks the slot asleep when that is all.
   * @returns undefined: another process is at work, or has stopped in the midst of it
   */
  read(index: number, place: Place): Batch | undefined {
    if (this.#readers.acquire(header.guard) === 'busy') return undefined;
    try {
      return this.#readAll(index, place);
    } finally {
      if (!this.#isDead) this.#readers.release(header.guard);
    }
  }

  #readAll(index: number, place: Place): Batch {
    const { begin, end, oldest } = this.#state;
    const isOvertaken = place.position < begin;
    if (isOvertaken) this.#float64[header.gaps] = this.gaps + 1;
    const { messages, next } = this.#copy(isOvertaken ? { position: begin, sequence: oldest } : place, end);
    const isLast = next.position === end;
    if (isLast) this.#storeSlot(index, slot.asleep, 1);
    return { messages, oldest, next, isLast };
  }

  /** Where a subscriber begins that wants new messages alone. Under the lock, as `enter`. @throws ServerError ERR_SHARED_STUCK */
  now(): Place {
    return this.#locked(() => this.#end);
  }

  /** Slots of processes that live. */
  get subscribers(): number {
    return this.#owners.filter((word) => word !== 0 && this.object.owners.isAlive(word)).length;
  }

  /** The words of those that have slots, each once. */
  get subscribed(): ReadonlySet<number> {
    return new Set(this.#owners.filter((word) => word !== 0));
  }

  /** Frees the slots of the dead. */
  settle(): void {
    for (const [index, word] of this.#owners.entries()) {
      if (word === 0 || this.object.owners.isAlive(word)) continue;
      Atomics.compareExchange(this.#int32, this.#slotAt(index) + slot.owner, word, 0);
    }
  }

  // ——— the rest is done with the lock ———

  #locked<T>(work: () => T): T {
    if (this.#publishers.acquire(header.guard) === 'busy') throw new ServerError('ERR_SHARED_STUCK', this.#names);
    try {
      const result = work();
      this.#step();
      return result;
    } finally {
      if (!this.#isDead) this.#unlock();
    }
  }

  #unlock(): void {
    this.#publishers.release(header.guard);
    this.#step();
  }

  #mortal(atStep: () => void): void {
    try {
      atStep();
    } catch (error) {
      this.#isDead = true;
      throw error;
    }
  }

  #makeRoom(bytes: number): void {
    const state = this.#state;
    let { begin, oldest } = state;
    while (state.end + bytes - begin > this.shape.bytes) {
      begin += messageBytes(this.#bytesOf(begin));
      oldest++;
    }
    if (oldest !== state.oldest) this.#commit({ ...state, begin, oldest });
  }

  #append(value: Buffer): void {
    const state = this.#state;
    const at = this.#byteOf(state.end);
    this.#float64[at / 8 + message.sequence] = state.next;
    this.#step();
    this.#int32[at / 4 + message.bytes] = value.length;
    this.#step();
    this.#write(state.end + MESSAGE_HEAD_BYTES, value);
    this.#commit({ ...state, end: state.end + messageBytes(value.length), next: state.next + 1 });
  }

  /** The store of `version` is what makes it so. */
  #commit({ begin, end, oldest, next }: State): void {
    const version = (this.version + 1) | 0;
    const at = stateAt(version);
    for (const [index, value] of [begin, end, oldest, next].entries()) {
      this.#step();
      this.#float64[at + index] = value;
    }
    this.#store(header.version, version);
  }

  get #state(): State {
    const at = stateAt(this.version);
    return { begin: this.#float(at), end: this.#float(at + 1), oldest: this.#float(at + 2), next: this.#float(at + 3) };
  }

  get #end(): Place {
    const { end, next } = this.#state;
    return { position: end, sequence: next };
  }

  /** Each is rung once until it has fallen asleep again. One whose publisher dies here looks by its timer. */
  #wakeAll(): number[] {
    const words: number[] = [];
    for (let index = 0; index < this.#top; index++) {
      if (this.#int32[this.#slotAt(index) + slot.asleep] === 0) continue;
      this.#storeSlot(index, slot.asleep, 0);
      const word = this.#owner(index);
      if (word !== 0) words.push(word);
    }
    return words;
  }

  #copy(from: Place, end: number): { readonly messages: Message[]; readonly next: Place } {
    const messages: Message[] = [];
    let { position, sequence } = from;
    for (let copied = 0; position < end && copied < this.#batchBytes; sequence++) {
      const bytes = this.#bytesOf(position);
      const carried = this.#float(this.#byteOf(position) / 8 + message.sequence);
      messages.push({ sequence: carried, value: this.#copyOf(position + MESSAGE_HEAD_BYTES, bytes) });
      position += messageBytes(bytes);
      copied += messageBytes(bytes);
    }
    return { messages, next: { position, sequence } };
  }

  #write(position: number, value: Buffer): void {
    const left = this.#ringAt + this.shape.bytes - this.#byteOf(position);
    value.copy(this.#bytes, this.#byteOf(position), 0, left);
    this.#step();
    if (value.length > left) value.copy(this.#bytes, this.#ringAt, left);
  }

  #copyOf(position: number, bytes: number): Buffer {
    const at = this.#byteOf(position);
    const left = this.#ringAt + this.shape.bytes - at;
    if (bytes <= left) return Buffer.from(this.#bytes.subarray(at, at + bytes));
    return Buffer.concat([
      this.#bytes.subarray(at, at + left),
      this.#bytes.subarray(this.#ringAt, this.#ringAt + bytes - left),
    ]);
  }

  #freeSlot(): number {
    const index = this.#emptySlot();
    if (index >= 0) return index;
    this.settle();
    const again = this.#emptySlot();
    if (again >= 0) return again;
    const { subscribers: limit } = this.shape;
    throw new ServerError('ERR_SHARED_WAITERS', { ...this.#names, limit, option: 'subscribers' });
  }

  /** −1: none. */
  #emptySlot(): number {
    const index = this.#owners.indexOf(0);
    if (index >= 0) return index;
    return this.#top < this.shape.subscribers ? this.#top : -1;
  }

  get #owners(): number[] {
    return Array.from({ length: this.#top }, (_, index) => this.#owner(index));
  }

  #owner(index: number): number {
    return Atomics.load(this.#int32, this.#slotAt(index) + slot.owner);
  }

  get #top(): number {
    return this.#int32[header.top] ?? 0;
  }

  #storeSlot(index: number, field: number, value: number): void {
    this.#store(this.#slotAt(index) + field, value);
  }

  #store(index: number, value: number): void {
    this.#step();
    Atomics.store(this.#int32, index, value);
  }

  #slotAt(index: number): number {
    return (HEADER_BYTES + index * SLOT_BYTES) / 4;
  }

  #float(index: number): number {
    return this.#float64[index] ?? 0;
  }

  #bytesOf(position: number): number {
    return this.#int32[this.#byteOf(position) / 4 + message.bytes] ?? 0;
  }

  #byteOf(position: number): number {
    return this.#ringAt + (position % this.shape.bytes);
  }

  get #names(): { kind: string; name: string } {
    return { kind: this.object.kind, name: this.object.name };
  }
}

function ringAt(subscribers: number): number {
  return alignTo(HEADER_BYTES + subscribers * SLOT_BYTES, MESSAGE_HEAD_BYTES);
}

function stateAt(version: number): number {
  return header.states + (version & 1) * STATE_FLOATS;
}

function messageBytes(bytes: number): number {
  return MESSAGE_HEAD_BYTES + alignTo(bytes, MESSAGE_HEAD_BYTES);
}
