/**
 * Locks in shared memory for work of a few microseconds. A word holds its owner (see `Owners`); 0: free. A lock of a living
 * owner is never broken: a process that was stopped for a minute may go on where it stood. The lock of a dead owner goes to
 * the next one, who first finishes or undoes what the dead one had begun.
 */

import { pauseThread } from '../os/pause.js';
import { monotonicMs } from '../util/clock.js';
import type { Owners } from './owners.js';

/** Enough for a holder that runs on another core. */
const SPINS = 500;
const NAP_MS = 1;

/** `inherited`: its last owner died with the lock held. `busy`: a living owner has held it for the whole time. */
export type Acquired = 'free' | 'inherited' | 'busy';

export class OwnedLock {
  readonly #int32: Int32Array;
  readonly #owners: Owners;
  readonly #patienceMs: number;

  constructor(int32: Int32Array, owners: Owners, patienceMs: number) {
    this.#int32 = int32;
    this.#owners = owners;
    this.#patienceMs = patienceMs;
  }

  /** Blocks this thread while another owner has it. It is not reentrant. */
  acquire(index: number): Acquired {
    const { word } = this.#owners;
    for (let spin = 0; spin < SPINS; spin++) {
      if (Atomics.compareExchange(this.#int32, index, 0, word) === 0) return 'free';
    }
    return this.#wait(index, word);
  }

  release(index: number): void {
    Atomics.compareExchange(this.#int32, index, this.#owners.word, 0);
  }

  #wait(index: number, word: number): Acquired {
    const until = monotonicMs() + this.#patienceMs;
    for (;;) {
      const owner = Atomics.compareExchange(this.#int32, index, 0, word);
      if (owner === 0) return 'free';
      if (!this.#owners.isAlive(owner) && Atomics.compareExchange(this.#int32, index, owner, word) === owner) {
        return 'inherited';
      }
      if (monotonicMs() >= until) return 'busy';
      pauseThread(NAP_MS);
    }
  }
}
