/**
 * This peer's own slots: which are free, and which have news. Only the owner takes slots; when another process frees one
 * (whose caller no longer waits), the owner finds it when it runs short. Runs in every process.
 */
import type { MessagingMemory } from './memory.js';
import type { Records } from './record.js';
import { freed, GONE, inState, nextUse, SlotState, stateOf } from './word.js';

export class Slots {
  readonly #memory: MessagingMemory;
  readonly #records: Records;
  readonly #peer: number;
  /** Lowest last: slots used before are reused first, so that little memory is touched. */
  #free: number[] = [];
  #used: number;

  constructor(memory: MessagingMemory, records: Records, peer: number) {
    this.#memory = memory;
    this.#records = records;
    this.#peer = peer;
    this.#used = memory.used(peer);
    this.#search();
  }

  /** @returns a slot in state `writing`; −1 when all are in use */
  take(): number {
    let slot = this.#free.pop() ?? this.#fresh();
    if (slot < 0 && this.#search()) slot = this.#free.pop() ?? -1;
    if (slot < 0) return -1;
    const index = this.#memory.wordIndex(this.#peer, slot);
    const word = Atomics.load(this.#memory.int32, index);
    if (stateOf(word) !== SlotState.free) return this.take(); // found twice
    this.#records.free(this.#peer, slot); // left by a death between two steps
    Atomics.store(this.#memory.int32, index, nextUse(word));
    return slot;
  }

  /** The owner no longer needs it. */
  release(slot: number): void {
    const index = this.#memory.wordIndex(this.#peer, slot);
    this.#records.free(this.#peer, slot);
    Atomics.store(this.#memory.int32, index, freed(Atomics.load(this.#memory.int32, index)));
    this.releasedAlready(slot);
  }

  releasedAlready(slot: number): void {
    this.#free.push(slot);
  }

  /** Calls back for each slot whose word was changed by another process since the last call. */
  takeSignalled(callback: (slot: number) => void): boolean {
    const { int32, layout } = this.#memory;
    const first = this.#memory.bitsIndex(this.#peer);
    const words = (this.#used + 31) >>> 5;
    let found = false;
    for (let i = 0; i < words && i < layout.bitWords; i++) {
      if (Atomics.load(int32, first + i) === 0) continue;
      found = true;
      let bits = Atomics.exchange(int32, first + i, 0);
      while (bits !== 0) {
        const bit = 31 - Math.clz32(bits & -bits);
        bits &= bits - 1;
        callback(i * 32 + bit);
      }
    }
    return found;
  }

  get hasSignals(): boolean {
    const { int32 } = this.#memory;
    const first = this.#memory.bitsIndex(this.#peer);
    for (let i = 0; i < (this.#used + 31) >>> 5; i++) if (Atomics.load(int32, first + i) !== 0) return true;
    return false;
  }

  #fresh(): number {
    if (this.#used >= this.#memory.shape.slots) return -1;
    const slot = this.#used++;
    this.#memory.setUsed(this.#peer, this.#used);
    return slot;
  }

  #search(): boolean {
    const { int32 } = this.#memory;
    this.#free = [];
    for (let slot = this.#used - 1; slot >= 0; slot--) {
      if (stateOf(Atomics.load(int32, this.#memory.wordIndex(this.#peer, slot))) === SlotState.free)
        this.#free.push(slot);
    }
    return this.#free.length > 0;
  }
}

/** Marks the slot for its owner to check. Any process. */
export function signalOwner(memory: MessagingMemory, peer: number, slot: number): void {
  Atomics.or(memory.int32, memory.bitsIndex(peer) + (slot >>> 5), 1 << (slot & 31));
}

/** The receiver has taken the message (or died with it): returns the slot to its owner. */
export function endMessage(memory: MessagingMemory, records: Records, owner: number, slot: number): void {
  const index = memory.wordIndex(owner, slot);
  const word = Atomics.load(memory.int32, index);
  const isGone = (word & GONE) !== 0;
  if (isGone) records.free(owner, slot);
  const to = isGone ? freed(word) : inState(word, SlotState.done);
  if (Atomics.compareExchange(memory.int32, index, word, to) !== word) return endMessage(memory, records, owner, slot);
  if (!isGone) signalOwner(memory, owner, slot);
}
