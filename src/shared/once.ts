/** One process computes, all get the result. */
import { crc32 } from 'node:zlib';
import { describe, ServerError, told } from '../errors/index.js';
import { float64, int32, layoutRecord } from '../memory/record.js';
import { alignTo } from '../util/align.js';
import { monotonicMs } from '../util/clock.js';
import type { SharedObject } from './arena.js';
import type { Figures } from './figures.js';
import { attach } from './objects.js';
import { Calls } from './waiting/calls.js';
import { callable, checkDeclaration, checkSignal, milliseconds, optionsObject, whole } from './waiting/check.js';
import { acquireOptions } from './waiting/held.js';
import { GRANTED, type Queue, Queue as QueueOf, type QueueParts, queueBytes, WAITING } from './waiting/queue.js';
import { giveUpSurely, waitFor } from './waiting/wait-for.js';

const CELL_HEAD_BYTES = 32;
const cell = layoutRecord(
  { state: int32(), hash: int32(), keyBytes: int32(), valueBytes: int32(), expiresAt: float64() },
  CELL_HEAD_BYTES,
).at;
const EMPTY = 0;
/** Who leads is the slot that holds it; without one, the next caller leads. */
const COMPUTING = 1;
const READY = 2;
/** Only for those who waited for it. */
const RETIRED = 3;

/** What a `Once` is declared with, the same in every process. */
export interface OnceOptions {
  /** The same in each process. Default: the order of declaration. */
  readonly name?: string;
  /** Keys at a time, computed or kept. Default 256. */
  readonly keys?: number;
  /** Longest key. Default 128. */
  readonly keyBytes?: number;
  /** Longest result, as node:v8 serialises it. Default 16,384. Memory: keys × (32 + keyBytes + valueBytes), once written. */
  readonly valueBytes?: number;
  /** Calls at a time that wait or compute: one per process and key. Default 1,024; 32 bytes each. */
  readonly waiters?: number;
}

/** How long the result of `Once.run` is kept, and how long a call waits for another one's. */
export interface OnceRunOptions {
  /** How long later callers get the same result, in ms. Default 0: only those who waited get it. */
  readonly leaseMs?: number;
  /** Longest wait for the one that computes, in ms. Default: without end. A call that computes itself goes on. */
  readonly timeoutMs?: number;
  /** Ends the wait; `run` rejects with the signal's reason. A call that computes itself goes on. */
  readonly signal?: AbortSignal;
}

/**
 * A call by key that runs in one process at a time; callers in all processes get its result. A leader that dies is followed by
 * one who waited. An error is not kept: it goes to the callers of the leader's process, and those of the next try for themselves.
 */
export class Once {
  readonly #calls: Calls;

  /** @throws ServerError ERR_OPTION_RANGE, ERR_OPTION_TYPE, ERR_SHARED_NAME, ERR_SHARED_SCHEMA, ERR_SHARED_LIMIT */
  constructor(options: OnceOptions = {}) {
    checkDeclaration(options, ['keys', 'keyBytes', 'valueBytes', 'waiters']);
    const keys = whole('keys', options.keys, [1, 65_536], 256);
    const keyBytes = whole('keyBytes', options.keyBytes, [1, 4096], 128);
    const valueBytes = whole('valueBytes', options.valueBytes, [1, 2 ** 26], 16_384);
    const waiters = whole('waiters', options.waiters, [1, 65_536], 1024);
    const schema = `once with ${keys} keys of ${keyBytes} bytes, results of ${valueBytes} bytes, for ${waiters} waiters`;
    const bytes = queueBytes(waiters) + keys * cellBytes(keyBytes, valueBytes);
    this.#calls = new Calls(new OnceCells(attach({ kind: 'once', name: options.name, schema, bytes })));
  }

  /**
   * Calls `fn`, or waits for the one who does. Its caller gets what it returned, the others a copy. A call that gives up leaves
   * the others waiting, and the one that computes goes on for them.
   * @throws what `fn` throws; the reason of the signal; ServerError ERR_SHARED_TIMEOUT, ERR_SHARED_VALUE_SIZE, ERR_SHARED_KEYS,
   *   ERR_SHARED_WAITERS, ERR_SHARED_STUCK
   */
  async run<T>(key: string, fn: () => T | PromiseLike<T>, options: OnceRunOptions = {}): Promise<T> {
    callable('fn', fn);
    optionsObject(options, ['leaseMs', ...acquireOptions]);
    const leaseMs = milliseconds('leaseMs', options.leaseMs) ?? 0;
    const timeoutMs = milliseconds('timeoutMs', options.timeoutMs);
    checkSignal(options.signal);
    return (await this.#calls.run(key, { fn, leaseMs, timeoutMs, signal: options.signal })) as T;
  }
}

/** A call as the memory sees it. */
export interface OnceCall {
  /** Called when it is this process that computes. */
  lead(): Promise<Buffer>;
  /** How long the result is kept. Asked once there is one. */
  readonly leaseMs: number;
  /** Ends the wait for another process. */
  readonly signal?: AbortSignal;
}

/** What tests replace. */
export interface OnceParts extends QueueParts {
  readonly now?: () => number;
}

/** The view of the memory; values are bytes. */
export class OnceCells {
  readonly queue: Queue;
  readonly #object: SharedObject;
  readonly #shape: { readonly keys: number; readonly keyBytes: number; readonly valueBytes: number };
  readonly #int32: Int32Array;
  readonly #float64: Float64Array;
  readonly #bytes: Buffer;
  readonly #from: number;
  readonly #cellBytes: number;
  readonly #now: () => number;
  readonly #pinned: Uint8Array;

  constructor(object: SharedObject, { now = monotonicMs, ...parts }: OnceParts = {}) {
    const found = /with (\d+) keys of (\d+) bytes, results of (\d+) bytes, for (\d+) waiters/.exec(object.schema);
    const [keys = 0, keyBytes = 0, valueBytes = 0, slots = 0] = (found ?? []).slice(1).map(Number);
    this.#object = object;
    this.#shape = { keys, keyBytes, valueBytes };
    this.#int32 = new Int32Array(object.memory);
    this.#float64 = new Float64Array(object.memory);
    this.#bytes = Buffer.from(object.memory);
    this.#from = queueBytes(slots);
    this.#cellBytes = cellBytes(keyBytes, valueBytes);
    this.#now = now;
    this.#pinned = new Uint8Array(keys);
    this.queue = new QueueOf(object, { at: 0, slots, option: 'waiters' }, () => this.#grant(), parts);
  }

  /** @throws ServerError ERR_OPTION_TYPE, ERR_SHARED_VALUE_SIZE */
  checkKey(key: string): Buffer {
    if (typeof key !== 'string' || !key.isWellFormed()) {
      const expected = 'a string of well-formed Unicode';
      throw told(new ServerError('ERR_OPTION_TYPE', { name: 'key', expected, received: describe(key) }));
    }
    const bytes = Buffer.from(key);
    if (bytes.length > this.#shape.keyBytes) throw this.#tooLong('key', bytes.length, 'keyBytes');
    return bytes;
  }

  /** @throws what `lead` throws; the reason of the signal; ServerError ERR_SHARED_* */
  async run(key: Buffer, call: OnceCall): Promise<Buffer> {
    const entered = this.#enter(key);
    if (typeof entered !== 'number') return entered;
    const { queue } = this;
    const index = entered;
    const take = () => this.#take(index);
    const giveUp = () => queue.locked(() => queue.leave(index, false));
    const timedOut = () => 'lead' as const;
    const wait = { queue, take, giveUp, timeoutMs: undefined, signal: call.signal, timedOut };
    const taken = take() ?? (await waitFor<Buffer | 'lead'>(wait));
    return taken === 'lead' ? this.#lead(index, call) : taken;
  }

  /** Results that are kept. */
  get kept(): number {
    let count = 0;
    for (let index = 0; index < this.#shape.keys; index++) if (this.#state(index) === READY) count++;
    return count;
  }

  async #lead(index: number, call: OnceCall): Promise<Buffer> {
    const { queue } = this;
    let isDone = false;
    try {
      const bytes = await call.lead();
      if (bytes.length > this.#shape.valueBytes) throw this.#tooLong('result', bytes.length, 'valueBytes');
      queue.locked(() => {
        this.#publish(queue.want(index), bytes, call.leaseMs);
        queue.leave(index, false);
      });
      isDone = true;
      return bytes;
    } finally {
      if (!isDone) this.#leave(index);
    }
  }

  /** As soon as the guard is free: a slot left behind would keep others waiting for as long as this process lives. */
  #leave(index: number): void {
    const { queue } = this;
    giveUpSurely({ queue, giveUp: () => queue.locked(() => queue.leave(index, false)) });
  }

  /** @returns the kept result, or the slot that leads or waits */
  #enter(key: Buffer): Buffer | number {
    const entered = this.#tryEnter(key);
    if (typeof entered !== 'string') return entered;
    this.queue.settle('all');
    const again = this.#tryEnter(key);
    if (typeof again !== 'string') return again;
    if (again === 'waiters') throw this.queue.full();
    const { kind, name } = this.#object;
    throw new ServerError('ERR_SHARED_KEYS', { kind, name, limit: this.#shape.keys });
  }

  #tryEnter(key: Buffer): Buffer | number | 'waiters' | 'keys' {
    return this.queue.locked(() => {
      const found = this.#find(key);
      if (found >= 0 && this.#state(found) === READY && this.#isKept(found)) return this.#value(found);
      if (found >= 0 && this.#state(found) === READY) this.#setState(found, RETIRED);
      const index = found >= 0 && this.#state(found) === COMPUTING ? found : this.#begin(key);
      if (index < 0) return 'keys';
      const slot = this.queue.enter(index);
      return slot < 0 ? 'waiters' : slot;
    });
  }

  /** Only its own slot is looked at without the guard. */
  #take(index: number): Buffer | 'lead' | undefined {
    const { queue } = this;
    if (queue.state(index) !== GRANTED) return undefined;
    const at = queue.want(index);
    if (this.#state(at) === COMPUTING) {
      queue.take(index);
      return 'lead';
    }
    const bytes = this.#value(at);
    this.#leave(index);
    return bytes;
  }

  /** Under the guard. All who wait for a result that is there get it; without a leader, the longest waiting leads. */
  #grant(): void {
    const { queue } = this;
    const led = this.#markPinned(GRANTED);
    /** By cell without a leader. */
    const longest = new Map<number, number>();
    for (let slot = 0; slot < queue.top; slot++) {
      if (queue.state(slot) !== WAITING) continue;
      const at = queue.want(slot);
      if (this.#state(at) !== COMPUTING) queue.grant(slot);
      else if (led[at] === 0 && isLonger(queue, slot, longest.get(at))) longest.set(at, slot);
    }
    for (const slot of longest.values()) queue.grant(slot);
  }

  /**
   * One look at each slot for all cells: the guard is held meanwhile.
   * @returns valid until the next call: 1 for each cell that a slot of at least this state refers to
   */
  #markPinned(least: number): Uint8Array {
    const { queue } = this;
    this.#pinned.fill(0);
    for (let slot = 0; slot < queue.top; slot++) if (queue.state(slot) >= least) this.#pinned[queue.want(slot)] = 1;
    return this.#pinned;
  }

  #find(key: Buffer): number {
    const hash = crc32(key) | 0;
    for (let index = 0; index < this.#shape.keys; index++) {
      const state = this.#state(index);
      if (state !== COMPUTING && state !== READY) continue;
      if (this.#int(index, cell.hash) === hash && this.#key(index).equals(key)) return index;
    }
    return -1;
  }

  /** @returns the cell, which nobody computes yet; −1: all are in use */
  #begin(key: Buffer): number {
    const index = this.#reusable();
    if (index < 0) return -1;
    this.#setState(index, EMPTY);
    this.#int32[this.#ints(index) + cell.hash] = crc32(key) | 0;
    this.#int32[this.#ints(index) + cell.keyBytes] = key.length;
    key.copy(this.#bytes, this.#at(index) + CELL_HEAD_BYTES);
    this.#setState(index, COMPUTING);
    return index;
  }

  /** One that is not needed; else the result that is kept for the shortest time. */
  #reusable(): number {
    let found = -1;
    const pinned = this.#markPinned(WAITING);
    for (let index = 0; index < this.#shape.keys; index++) {
      if (this.#state(index) === EMPTY) return index;
      if (pinned[index] === 1) continue;
      if (this.#state(index) !== READY || !this.#isKept(index)) return index;
      if (found < 0 || this.#expiresAt(index) < this.#expiresAt(found)) found = index;
    }
    return found;
  }

  #publish(index: number, bytes: Buffer, leaseMs: number): void {
    bytes.copy(this.#bytes, this.#valueAt(index));
    this.queue.step();
    this.#int32[this.#ints(index) + cell.valueBytes] = bytes.length;
    this.#float64[this.#at(index) / 8 + cell.expiresAt] = this.#now() + leaseMs;
    this.#setState(index, READY);
  }

  #setState(index: number, state: number): void {
    this.queue.step();
    Atomics.store(this.#int32, this.#ints(index) + cell.state, state);
    this.queue.step();
  }

  #state(index: number): number {
    return this.#int(index, cell.state);
  }

  #isKept(index: number): boolean {
    return this.#expiresAt(index) > this.#now();
  }

  #expiresAt(index: number): number {
    return this.#float64[this.#at(index) / 8 + cell.expiresAt] ?? 0;
  }

  #key(index: number): Buffer {
    const at = this.#at(index) + CELL_HEAD_BYTES;
    return this.#bytes.subarray(at, at + this.#int(index, cell.keyBytes));
  }

  /** A copy. */
  #value(index: number): Buffer {
    const at = this.#valueAt(index);
    return Buffer.from(this.#bytes.subarray(at, at + this.#int(index, cell.valueBytes)));
  }

  #valueAt(index: number): number {
    return this.#at(index) + CELL_HEAD_BYTES + alignTo(this.#shape.keyBytes, 8);
  }

  #int(index: number, field: number): number {
    return this.#int32[this.#ints(index) + field] ?? 0;
  }

  #at(index: number): number {
    return this.#from + index * this.#cellBytes;
  }

  #ints(index: number): number {
    return this.#at(index) / 4;
  }

  #tooLong(what: string, bytes: number, option: 'keyBytes' | 'valueBytes'): ServerError {
    const { kind, name } = this.#object;
    return new ServerError('ERR_SHARED_VALUE_SIZE', { kind, name, what, bytes, limit: this.#shape[option], option });
  }
}

/** From the shared memory alone. `held`: calls that compute, or take their result. */
export function onceFigures(object: SharedObject): Figures {
  const cells = new OnceCells(object);
  return { bytes: object.memory.byteLength, keys: cells.kept, ...cells.queue.figures() };
}

/** Called in the manager once it has reaped a process. */
export function settleDeadOnce(object: SharedObject): void {
  const { queue } = new OnceCells(object);
  queue.settle('all');
  queue.ringGranted();
}

function isLonger(queue: Queue, slot: number, than: number | undefined): boolean {
  return than === undefined || queue.ticket(slot) < queue.ticket(than);
}

function cellBytes(keyBytes: number, valueBytes: number): number {
  return CELL_HEAD_BYTES + alignTo(keyBytes, 8) + alignTo(valueBytes, 8);
}
