/**
 * Who may hold something in shared memory: one record per process, or thread, that has taken a lock. A lock holds its owner's
 * word: the number of the record, and the incarnation it had then. So a dead owner is recognised even when its record, or its
 * pid, belongs to another process by now.
 *
 * ```
 * record, 24 B: ┌─────┬─────────────┬────────┬──────┬───────────┐   word: ┌─────────────┬────────────┐
 *               │ pid │ incarnation │ thread │ bell │ startTime │         │ incarnation │ record + 1 │
 *               └─────┴─────────────┴────────┴──────┴───────────┘         └── 21 bits ──┴── 10 bits ─┘
 *
 * pid: 0 free │ pid + 2^30 that process is just checking in │ pid its owner │ -pid its owner is dead
 * ```
 */

import { threadId } from 'node:worker_threads';
import { crc32 } from 'node:zlib';
import { ServerError } from '../errors/index.js';
import { float64, int32, layoutRecord } from '../memory/record.js';
import { isRunning, processStartTime } from '../os/other-process.js';

export const MAX_OWNERS = 1023;
const RECORD_BYTES = 24;
/** Records 0 to 1,022, and one left over. */
export const OWNERS_BYTES = 1024 * RECORD_BYTES;

const RECORD_BITS = 10;
const RECORD_MASK = (1 << RECORD_BITS) - 1;
/** A word is positive, so that 0 can say "free" and the sign is left for the lock's own use. */
const INCARNATION_MASK = (1 << 21) - 1;

const record = layoutRecord(
  { pid: int32(), incarnation: int32(), thread: int32(), bell: int32(), startTime: float64() },
  RECORD_BYTES,
).at;
/** Larger than any pid. The record changes hands: no word of it has a living owner. */
const CHECKING_IN = 2 ** 30;
const INTS = RECORD_BYTES / 4;
const FLOATS = RECORD_BYTES / 8;

/** What tests replace. */
export interface OwnersParts {
  readonly pid?: number;
  readonly thread?: number;
  /** False for a process that has ended, reaped or not. */
  readonly isRunning?: (pid: number) => boolean;
  /** Tells a process from a later one with its pid. */
  readonly startTimeOf?: (pid: number) => string | undefined;
}

/** One per process or thread, and per memory that has owners. */
export class Owners {
  readonly #int32: Int32Array;
  readonly #float64: Float64Array;
  readonly #parts: Required<OwnersParts>;
  #word = 0;
  /** Of this process, once it was asked for. */
  #startTime: number | undefined;

  /** @param memory `OWNERS_BYTES`, zeroed at first */
  constructor(memory: ArrayBuffer, at: number, parts: OwnersParts = {}) {
    this.#int32 = new Int32Array(memory, at, OWNERS_BYTES / 4);
    this.#float64 = new Float64Array(memory, at, OWNERS_BYTES / 8);
    this.#parts = { pid: process.pid, thread: threadId, isRunning, startTimeOf: processStartTime, ...parts };
  }

  /** Of this process or thread, which checks in when it is first asked for: more than 0. @throws ServerError ERR_SHARED_OWNERS */
  get word(): number {
    if (this.#word === 0) this.#word = this.#checkIn();
    return this.#word;
  }

  /** Whether the owner of that word can still go on. Asks the kernel: costs some 10 µs. */
  isAlive(word: number): boolean {
    const index = (word & RECORD_MASK) - 1;
    const at = index * INTS;
    if (this.#incarnation(at) !== word >>> RECORD_BITS) return false;
    const pid = this.#read(at + record.pid);
    return pid > 0 && pid < CHECKING_IN && this.#isSame(pid, this.#startTimeAt(index));
  }

  /** The process of the owner of that word; 0: it is known to be dead. */
  pidOf(word: number): number {
    const at = ((word & RECORD_MASK) - 1) * INTS;
    const pid = this.#read(at + record.pid);
    return this.#incarnation(at) === word >>> RECORD_BITS && pid > 0 && pid < CHECKING_IN ? pid : 0;
  }

  /** The doorbell of the owner of that word, as it has told it; −1: none, it looks by itself. */
  bellOf(word: number): number {
    return this.#read(((word & RECORD_MASK) - 1) * INTS + record.bell) - 1;
  }

  /** This process can be woken by that doorbell. */
  set bell(index: number) {
    Atomics.store(this.#int32, ((this.word & RECORD_MASK) - 1) * INTS + record.bell, index + 1);
  }

  /** Whoever has reaped a process says so: from now on its words are those of a dead owner, and nobody asks the kernel. */
  markDead(pid: number): void {
    for (let at = 0; at < MAX_OWNERS * INTS; at += INTS) {
      if (this.#read(at + record.pid) === pid) Atomics.compareExchange(this.#int32, at + record.pid, pid, -pid);
    }
  }

  /** Nobody has any of them: of memory that no other process has open. Not while this process holds a word itself. */
  reset(): void {
    for (let at = 0; at < MAX_OWNERS * INTS; at += INTS) {
      Atomics.add(this.#int32, at + record.incarnation, 1);
      Atomics.store(this.#int32, at + record.pid, 0);
    }
  }

  /** The pid comes last: whoever reads it finds the start time that belongs to it. */
  #checkIn(): number {
    const { pid, thread } = this.#parts;
    for (let tries = 0; tries < MAX_OWNERS; tries++) {
      const index = (pid + thread + tries) % MAX_OWNERS;
      if (!this.#claim(index)) continue;
      const at = index * INTS;
      const incarnation = (Atomics.add(this.#int32, at + record.incarnation, 1) + 1) & INCARNATION_MASK;
      Atomics.store(this.#int32, at + record.thread, thread);
      Atomics.store(this.#int32, at + record.bell, 0);
      this.#float64[index * FLOATS + record.startTime] = this.#ownStartTime();
      Atomics.store(this.#int32, at + record.pid, pid);
      return (incarnation << RECORD_BITS) | (index + 1);
    }
    throw new ServerError('ERR_SHARED_OWNERS', { limit: MAX_OWNERS });
  }

  /** A record that nobody has, or whose owner is dead. */
  #claim(index: number): boolean {
    const at = index * INTS + record.pid;
    const found = this.#read(at);
    if (found > 0 && this.#isTaken(found, index)) return false;
    return Atomics.compareExchange(this.#int32, at, found, this.#parts.pid + CHECKING_IN) === found;
  }

  #isTaken(found: number, index: number): boolean {
    if (found < CHECKING_IN) return this.#isSame(found, this.#startTimeAt(index));
    return this.#parts.isRunning(found - CHECKING_IN);
  }

  /** A start time of 0 is that of a system that does not tell it. */
  #isSame(pid: number, startTime: number): boolean {
    if (pid === this.#parts.pid) return startTime === this.#ownStartTime();
    if (!this.#parts.isRunning(pid)) return false;
    return startTime === 0 || hashOf(this.#parts.startTimeOf(pid)) === startTime;
  }

  #ownStartTime(): number {
    const { pid, startTimeOf } = this.#parts;
    this.#startTime ??= hashOf(startTimeOf(pid));
    return this.#startTime;
  }

  #startTimeAt(index: number): number {
    return this.#float64[index * FLOATS + record.startTime] ?? 0;
  }

  #incarnation(at: number): number {
    return this.#read(at + record.incarnation) & INCARNATION_MASK;
  }

  #read(index: number): number {
    return Atomics.load(this.#int32, index);
  }
}

function hashOf(text: string | undefined): number {
  return text === undefined ? 0 : crc32(text) + 1;
}
