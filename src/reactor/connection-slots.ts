/**
 * Which slots of the connection table this reactor may use next: slot = index × reactors + reactor. The reactor
 * takes the longest unused slot first, and reuses a slot only after the worker has seen the `close` of its last
 * connection. So the table entry that a worker reads during a callback belongs to the connection of that callback.
 */
import { Fifo } from '../util/fifo.js';

/** N free slots rest before one of them is reused; beyond that no new part of the table is touched. */
const RESTING_SLOTS = 1024;

interface Gone {
  readonly slot: number;
  /** True once the worker has passed the last event of that connection. */
  isSeen(): boolean;
}

export class ConnectionSlots {
  readonly #reactor: number;
  readonly #reactors: number;
  readonly #capacity: number;
  readonly #free = new Fifo<number>();
  readonly #gone: Fifo<Gone>[];
  #untouched = 0;

  constructor(reactor: number, reactors: number, slots: number, workers: number) {
    this.#reactor = reactor;
    this.#reactors = reactors;
    this.#capacity = Math.floor(slots / reactors);
    this.#gone = Array.from({ length: workers }, () => new Fifo<Gone>());
  }

  /** @returns −1 when all are in use */
  take(): number {
    const rested = this.#free.size >= RESTING_SLOTS || this.#untouched === this.#capacity;
    if (rested) return this.#free.shift() ?? -1;
    return this.#untouched++ * this.#reactors + this.#reactor;
  }

  /**
   * Takes the slots over from the preceding process. @param isFree by the table; undefined: it was never used
   * @returns the slots in use
   */
  restore(isFree: (slot: number) => boolean | undefined): number[] {
    const used: number[] = [];
    for (let index = 0; index < this.#capacity; index++) {
      const slot = index * this.#reactors + this.#reactor;
      const free = isFree(slot);
      if (free === undefined) break; // slots are touched in order
      if (free) this.#free.push(slot);
      else used.push(slot);
      this.#untouched = index + 1;
    }
    return used;
  }

  /** The connection is gone; its slot waits until the worker has seen the end. */
  leave(worker: number, slot: number, isSeen: () => boolean): void {
    this.#gone[worker]?.push({ slot, isSeen });
  }

  /** @returns how many slots became free */
  reclaim(): number {
    let count = 0;
    for (const gone of this.#gone) {
      while (gone.peek()?.isSeen()) {
        this.#free.push(gone.shift()?.slot ?? 0);
        count++;
      }
    }
    return count;
  }
}
