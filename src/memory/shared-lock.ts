/**
 * Locks in shared memory, for work of a few microseconds, between the processes and threads of one server. A word holds its
 * owner's pid and thread, so that a waiter can take it from a process that was killed; 0: free. Each lock guards memory that
 * is consistent after every single store, so the next owner goes on where the dead one stopped.
 */
import { threadId } from 'node:worker_threads';
import { isRunning } from '../os/other-process.js';
import { pauseThread } from '../os/pause.js';
import { monotonicMs } from '../util/clock.js';

/** Enough for a holder that runs on another core. */
const SPINS = 500;
const NAP_MS = 1;
/** Linux has no pid above 2^22. */
const THREAD_BITS = 8;

export interface LockParts {
  /** How long to wait for an owner that lives: it may be stopped, or get no processor. */
  readonly patienceMs: number;
  /** The owner's word. */
  readonly owner?: number;
  readonly isRunning?: (pid: number) => boolean;
}

export class SharedLock {
  readonly #int32: Int32Array;
  readonly #patienceMs: number;
  readonly #owner: number;
  readonly #isRunning: (pid: number) => boolean;

  constructor(int32: Int32Array, parts: LockParts) {
    this.#int32 = int32;
    this.#patienceMs = parts.patienceMs;
    this.#owner = parts.owner ?? ownerWord(process.pid, threadId);
    this.#isRunning = parts.isRunning ?? isRunning;
  }

  /** Blocks while another owner has it. @returns false when a living owner has held it for the whole time */
  acquire(index: number): boolean {
    for (let spin = 0; spin < SPINS; spin++) {
      if (Atomics.compareExchange(this.#int32, index, 0, this.#owner) === 0) return true;
    }
    return this.#wait(index, monotonicMs() + this.#patienceMs);
  }

  /** Takes it from an owner that may still live; only for memory whose readers recognise what two writers have mixed. */
  seize(index: number): void {
    Atomics.store(this.#int32, index, this.#owner);
  }

  /** Does nothing where another owner has seized it. */
  release(index: number): void {
    Atomics.compareExchange(this.#int32, index, this.#owner, 0);
  }

  #wait(index: number, until: number): boolean {
    for (;;) {
      const owner = Atomics.compareExchange(this.#int32, index, 0, this.#owner);
      if (owner === 0 || this.#inherit(index, owner)) return true;
      if (monotonicMs() >= until) return false;
      pauseThread(NAP_MS);
    }
  }

  /** Of several waiters one takes it. */
  #inherit(index: number, owner: number): boolean {
    if (this.#isRunning(owner >>> THREAD_BITS)) return false;
    return Atomics.compareExchange(this.#int32, index, owner, this.#owner) === owner;
  }
}

export function ownerWord(pid: number, thread: number): number {
  return (pid << THREAD_BITS) | (thread & ((1 << THREAD_BITS) - 1));
}
