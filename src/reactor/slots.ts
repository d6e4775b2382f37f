/**
 * Which slots of the connection table this reactor may use next: slot = index × reactors + reactor. The longest unused
 * comes first, and a slot is used again only when the worker has seen the `close` of its last connection, so that what
 * a worker reads in the table during a callback is about the connection it was called for.
 */
import { Fifo } from '../util/fifo.js';

/** So many free slots rest before one of them is used again; beyond that no new part of the table is touched. */
const RESTING_SLOTS = 1024;

interface Gone {
  readonly slot: number;
  /** True once the worker has gone past the last event of that connection. */
  isSeen(): boolean;
}

export class Slots {
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

  /** The connection is gone; its slot waits until its worker knows. */
  leave(worker: number, slot: number, isSeen: () => boolean): void {
    this.#gone[worker]?.push({ slot, isSeen });
  }

  /** @returns how many slots came free */
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
