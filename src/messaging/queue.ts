/**
 * The queues of the messaging area: one producer each (a peer), any number of consumers. An entry names a slot; the
 * consumer that changes the slot's word by compare-and-swap has the task. So an entry may be stale or duplicated, and a
 * killed consumer leaves nothing half done. Runs in every process.
 */
import type { MessagingMemory } from './memory.js';
import { isOfUse, ownerOfEntry, SlotState, slotOfEntry, stateOf } from './word.js';

export class Queue {
  readonly #memory: MessagingMemory;
  readonly #int32: Int32Array;
  readonly #head: number;
  readonly #entries: number;
  readonly #mask: number;

  constructor(memory: MessagingMemory, queue: number, producer: number) {
    this.#memory = memory;
    this.#int32 = memory.int32;
    this.#head = memory.endsIndex(queue, producer);
    this.#entries = memory.entriesIndex(queue, producer);
    this.#mask = memory.queueLength(queue) - 1;
  }

  /** Entries, including stale ones. */
  get length(): number {
    return (Atomics.load(this.#int32, this.#head + 1) - Atomics.load(this.#int32, this.#head)) | 0;
  }

  get isEmpty(): boolean {
    return Atomics.load(this.#int32, this.#head) === Atomics.load(this.#int32, this.#head + 1);
  }

  /** Producer only. True when `push` will succeed. */
  hasRoom(): boolean {
    if (this.length <= this.#mask) return true;
    this.peek(); // skips stale entries
    return this.length <= this.#mask;
  }

  /** Producer only. The slot must be queued already. */
  push(entry: number): void {
    const tail = Atomics.load(this.#int32, this.#head + 1);
    Atomics.store(this.#int32, this.#entries + (tail & this.#mask), entry);
    Atomics.store(this.#int32, this.#head + 1, (tail + 1) | 0);
  }

  /** The first entry whose slot is queued; 0 when there is none. */
  peek(): number {
    const int32 = this.#int32;
    for (;;) {
      const head = Atomics.load(int32, this.#head);
      if (head === Atomics.load(int32, this.#head + 1)) return 0;
      const entry = Atomics.load(int32, this.#entries + (head & this.#mask));
      const word = Atomics.load(int32, this.#memory.wordIndex(ownerOfEntry(entry), slotOfEntry(entry)));
      if (stateOf(word) === SlotState.queued && isOfUse(entry, word)) return entry;
      this.#advance(head);
    }
  }

  /** After the slot of the first entry was taken. Only saves the next consumer a check. */
  shift(entry: number): void {
    const head = Atomics.load(this.#int32, this.#head);
    if (Atomics.load(this.#int32, this.#entries + (head & this.#mask)) === entry) this.#advance(head);
  }

  /** The last entry pushed, if it is still queued; otherwise 0. */
  get newest(): number {
    if (this.isEmpty) return 0;
    const tail = Atomics.load(this.#int32, this.#head + 1);
    return Atomics.load(this.#int32, this.#entries + ((tail - 1) & this.#mask));
  }

  /** Producer only. @returns true when there is no room; the consumer then rings when there is. */
  waitForRoom(): boolean {
    Atomics.store(this.#int32, this.#head + 2, 1);
    return !this.hasRoom();
  }

  /** Consumer only. True once when the producer waits and half of the queue is empty. */
  takeWaiting(): boolean {
    if (Atomics.load(this.#int32, this.#head + 2) === 0 || this.length > this.#mask >> 1) return false;
    Atomics.store(this.#int32, this.#head + 2, 0);
    return true;
  }

  #advance(head: number): void {
    Atomics.compareExchange(this.#int32, this.#head, head, (head + 1) | 0);
  }
}
