/**
 * Many send(2) in one system call, by io_uring(7) of Linux. The kernel has done all of them, in order, when the call
 * returns: nothing is under way behind it, and nothing has to be polled.
 */
import * as C from './constants.js';
import { addressOf, allocateStable, EINTR, isLinux, lastErrno, libc } from './libc.js';
import { mapShared } from './memory.js';
import { closeDescriptor, send } from './socket.js';

const ENTRIES = 1024;
const MASK = ENTRIES - 1;
const RESULTS = 2 * ENTRIES;
const RESULT_MASK = RESULTS - 1;

// Words of struct io_uring_params.
const PARAMS_WORDS = 30;
const SETUP_FLAGS = 2;
const FEATURES = 5;
const SUBMISSIONS = 10;
const COMPLETIONS = 20;
// Words of struct io_sqring_offsets and io_cqring_offsets, which lie in it.
const HEAD = 0;
const TAIL = 1;
const CQES = 5;
const ARRAY = 6;
// Words of struct io_uring_sqe.
const SQE_WORDS = 16;
const OPCODE = 0;
const DESCRIPTOR = 1;
const ADDRESS_LOW = 4;
const ADDRESS_HIGH = 5;
const LENGTH = 6;
const MSG_FLAGS = 7;
const USER_DATA = 8;
// Words of struct io_uring_cqe.
const CQE_WORDS = 4;
const RESULT = 2;

/** Linux 6.1 and later. */
export const FOR_ONE_THREAD = C.IORING_SETUP_SINGLE_ISSUER | C.IORING_SETUP_DEFER_TASKRUN;
export const FOR_OLD_KERNELS = 0;

const WORD_BYTES = 4;
/** No errno. */
const NOT_DONE = -(2 ** 31);

export class SendBatch {
  readonly #ring: number;
  readonly #shared: Uint32Array;
  readonly #sqes: Int32Array;
  readonly #cqes: Int32Array;
  /** Where words of #shared lie that both sides move. */
  readonly #tail: number;
  readonly #doneHead: number;
  readonly #doneTail: number;
  readonly #results = new Int32Array(ENTRIES);
  #count = 0;
  #isUsable = true;

  /**
   * @param setups flags of the ring, those that are tried first
   * @returns undefined where the kernel does not have io_uring, or does not let us use it (containers often do not)
   */
  static open(setups: readonly number[] = [FOR_ONE_THREAD, FOR_OLD_KERNELS]): SendBatch | undefined {
    if (!isLinux) return undefined;
    for (const flags of setups) {
      const batch = SendBatch.#openWith(flags);
      if (batch !== undefined) return batch;
    }
    return undefined;
  }

  static #openWith(flags: number): SendBatch | undefined {
    const memory = allocateStable(PARAMS_WORDS * WORD_BYTES);
    const params = new Int32Array(memory.buffer, memory.byteOffset, PARAMS_WORDS);
    params[SETUP_FLAGS] = flags;
    const ring = libc.io_uring_setup(C.SYS_io_uring_setup, ENTRIES, addressOf(memory));
    if (ring < 0) return undefined;
    try {
      // A kernel that has not this knows no sends either (5.6): each would fail.
      if (((params[FEATURES] as number) & C.IORING_FEAT_FAST_POLL) === 0) throw new Error('the kernel is too old');
      return new SendBatch(ring, params);
    } catch {
      closeDescriptor(ring);
      return undefined;
    }
  }

  private constructor(ring: number, params: Int32Array) {
    this.#ring = ring;
    const of = (part: number, field: number): number => params[part + field] as number;
    const arrayAt = of(SUBMISSIONS, ARRAY);
    const cqesAt = of(COMPLETIONS, CQES);
    const bytes = Math.max(arrayAt + ENTRIES * WORD_BYTES, cqesAt + RESULTS * CQE_WORDS * WORD_BYTES);
    const memory = mapShared(ring, C.IORING_OFF_SQ_RING, bytes);
    this.#shared = new Uint32Array(memory);
    this.#cqes = new Int32Array(memory, cqesAt, RESULTS * CQE_WORDS);
    this.#sqes = new Int32Array(mapShared(ring, C.IORING_OFF_SQES, ENTRIES * SQE_WORDS * WORD_BYTES));
    this.#tail = of(SUBMISSIONS, TAIL) / WORD_BYTES;
    this.#doneHead = of(COMPLETIONS, HEAD) / WORD_BYTES;
    this.#doneTail = of(COMPLETIONS, TAIL) / WORD_BYTES;
    for (let i = 0; i < ENTRIES; i++) {
      this.#shared[arrayAt / WORD_BYTES + i] = i;
      this.#sqes[i * SQE_WORDS + OPCODE] = C.IORING_OP_SEND;
      this.#sqes[i * SQE_WORDS + MSG_FLAGS] = C.MSG_NOSIGNAL | C.MSG_DONTWAIT;
    }
  }

  /** False behind a call that the kernel has refused: what it had has left by send(2), and no more is to be added. */
  get isUsable(): boolean {
    return this.#isUsable;
  }

  get isFull(): boolean {
    return this.#count === ENTRIES;
  }

  /** Its number in the batch is how many were added before. */
  add(descriptor: number, address: number, length: number): void {
    const sqes = this.#sqes;
    const tail = this.#shared[this.#tail] as number;
    const at = (tail & MASK) * SQE_WORDS;
    sqes[at + DESCRIPTOR] = descriptor;
    sqes[at + ADDRESS_LOW] = address;
    sqes[at + ADDRESS_HIGH] = address / 2 ** 32;
    sqes[at + LENGTH] = length;
    sqes[at + USER_DATA] = this.#count;
    this.#results[this.#count++] = NOT_DONE;
    this.#shared[this.#tail] = tail + 1;
  }

  /** Sends what was added, from where it lies now. `resultOf` then tells what became of each, until more is added. */
  submit(): void {
    const first = (this.#shared[this.#tail] as number) - this.#count;
    for (let left = this.#count; left > 0; ) {
      const flags = C.IORING_ENTER_GETEVENTS;
      const taken = libc.io_uring_enter(C.SYS_io_uring_enter, this.#ring, left, 0, flags, 0, 0);
      if (taken > 0) left -= taken;
      else if (lastErrno() !== EINTR) break;
    }
    this.#collect();
    this.#sendRest(first);
    this.#count = 0;
  }

  /** @returns bytes the kernel took, or the negative error number */
  resultOf(number: number): number {
    return this.#results[number] as number;
  }

  close(): void {
    this.#isUsable = false;
    closeDescriptor(this.#ring);
  }

  #collect(): void {
    const shared = this.#shared;
    const cqes = this.#cqes;
    const results = this.#results;
    const tail = shared[this.#doneTail] as number;
    let head = shared[this.#doneHead] as number;
    for (; head !== tail; head = (head + 1) >>> 0) {
      const at = (head & RESULT_MASK) * CQE_WORDS;
      results[cqes[at] as number] = cqes[at + RESULT] as number;
    }
    shared[this.#doneHead] = head;
  }

  #sendRest(first: number): void {
    for (let i = 0; i < this.#count; i++) {
      if (this.#results[i] !== NOT_DONE) continue;
      this.#isUsable = false;
      const sqes = this.#sqes;
      const at = ((first + i) & MASK) * SQE_WORDS;
      const address = (sqes[at + ADDRESS_HIGH] as number) * 2 ** 32 + ((sqes[at + ADDRESS_LOW] as number) >>> 0);
      this.#results[i] = send(sqes[at + DESCRIPTOR] as number, address, sqes[at + LENGTH] as number);
    }
  }
}
