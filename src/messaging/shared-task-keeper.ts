/**
 * Cleans up after dead processes: tasks they ran are retried or fail, tasks they waited for are dropped when they end, and
 * missing counts are added. Runs in the manager, before another process takes the dead one's place.
 */
import { ServerError } from '../errors/index.js';
import { queueOfMessages, queueOfTaskWorker } from '../memory/messaging-layout.js';
import { Ledger } from './ledger.js';
import { Counter, type MessagingMemory } from './memory.js';
import { Queue } from './queue.js';
import type { Records } from './record.js';
import type { SharedTaskQueueParts } from './shared-task-queue.js';
import { endMessage, signalOwner } from './slots.js';
import type { DeadPeer, TaskKeeper } from './task-queue.js';
import * as Word from './word.js';
import { ABORTED, GONE, SlotState } from './word.js';

export class SharedTaskKeeper implements TaskKeeper {
  readonly #parts: SharedTaskQueueParts;
  readonly #memory: MessagingMemory;
  readonly #int32: Int32Array;
  readonly #ledger: Ledger;

  constructor(parts: SharedTaskQueueParts) {
    this.#parts = parts;
    this.#memory = parts.memory;
    this.#int32 = parts.memory.int32;
    this.#ledger = new Ledger(parts.memory, parts.peer);
  }

  recover(dead: DeadPeer): void {
    this.#ledger.settle(dead.peer);
    for (let owner = 0; owner < this.#memory.shape.peers; owner++) {
      eachSlot(this.#memory, owner, (slot, index, word) => {
        if (Word.runnerOf(word) === dead.peer) this.#recoverRun(owner, slot, index, dead);
      });
    }
    this.#recoverOwned(dead.peer);
    // The dead process may have been rung for a task that it will not take now.
    this.#parts.peers.ringTaskWorkers();
  }

  recoverKeeper(): void {
    const { peer } = this.#parts;
    this.#ledger.settle(peer);
    this.#recoverOwned(peer);
    // Tasks of other owners that were to be retried, and may not have reached a queue.
    for (let owner = 0; owner < this.#memory.shape.peers; owner++) {
      eachSlot(this.#memory, owner, (slot, _index, word) => {
        if (Word.stateOf(word) === SlotState.queued && Word.triesOf(word) > 0) this.#queueAgain(owner, slot, word);
      });
    }
  }

  // ——— tasks it ran ———

  #recoverRun(owner: number, slot: number, index: number, dead: DeadPeer): void {
    const { records } = this.#parts;
    let word = Atomics.load(this.#int32, index);
    const state = Word.stateOf(word);
    if (state === SlotState.done || state === SlotState.failed) return this.#tellOwner(owner, slot);
    if (state !== SlotState.running) return;
    if (records.isMessage(owner, slot)) return endMessage(this.#memory, records, owner, slot); // messages are not retried
    while (!this.#settleRun(owner, slot, index, word, dead)) word = Atomics.load(this.#int32, index);
  }

  /** @returns false when its owner has changed the word meanwhile */
  #settleRun(owner: number, slot: number, index: number, word: number, dead: DeadPeer): boolean {
    const { records } = this.#parts;
    const retries = records.isJob(owner, slot) ? 0 : this.#parts.retries;
    if (Word.triesOf(word) < retries && (word & ABORTED) === 0) {
      const again = Word.tryAgain(word);
      if (!this.#ledger.change(index, word, again, Counter.retried)) return false;
      this.#queueAgain(owner, slot, again);
      return true;
    }
    if (Word.isUnwanted(word)) {
      dropTask({ memory: this.#memory, records, ledger: this.#ledger }, owner, slot, Counter.failed);
      return true;
    }
    const { workerId, exitCode, signal, why } = dead;
    const tries = Word.triesOf(word) + 1;
    const error = new ServerError('ERR_TASK_WORKER_DIED', { workerId, exitCode, signal, why, tries });
    records.writeError(owner, slot, error);
    if (!this.#ledger.change(index, word, Word.inState(word, SlotState.failed), Counter.failed)) return false;
    this.#tellOwner(owner, slot);
    return true;
  }

  /** Into the manager's own queue, so that each queue keeps its one producer; the ticket keeps its place in the order. */
  #queueAgain(owner: number, slot: number, word: number): void {
    const { shape } = this.#memory;
    const target = this.#parts.records.target(owner, slot);
    const meant = new Queue(this.#memory, target < 0 ? 0 : queueOfTaskWorker(shape, target), this.#parts.peer);
    const queue = meant.hasRoom() ? meant : new Queue(this.#memory, 0, this.#parts.peer);
    queue.push(Word.entryOf(owner, slot, word));
  }

  #tellOwner(owner: number, slot: number): void {
    signalOwner(this.#memory, owner, slot);
    this.#parts.peers.ring(owner);
  }

  // ——— tasks it owned ———

  #recoverOwned(owner: number): void {
    let newest = -1;
    let newestTicket = 0;
    eachSlot(this.#memory, owner, (slot, index) => {
      if (!this.#disown(owner, slot, index)) return;
      const ticket = this.#int32[this.#memory.ticketIndex(owner, slot)] ?? 0;
      if (newest >= 0 && ((ticket - newestTicket) | 0) <= 0) return;
      [newest, newestTicket] = [slot, ticket];
    });
    if (newest >= 0) this.#pushIfMissing(owner, newest);
  }

  /** @returns true when it still waits in a queue */
  #disown(owner: number, slot: number, index: number): boolean {
    const word = Atomics.load(this.#int32, index);
    const state = Word.stateOf(word);
    if (state === SlotState.free || (word & GONE) !== 0) return false;
    if (state === SlotState.queued || state === SlotState.running) {
      if (Atomics.compareExchange(this.#int32, index, word, word | GONE) !== word)
        return this.#disown(owner, slot, index);
      return state === SlotState.queued;
    }
    const { records } = this.#parts;
    const isResult = state !== SlotState.writing && !records.isMessage(owner, slot);
    records.free(owner, slot);
    if (isResult) this.#ledger.change(index, word, Word.freed(word), Counter.dropped);
    else Atomics.store(this.#int32, index, Word.freed(word));
    return false;
  }

  /** The owner may have died before it wrote the entry; only the last one can be missing, and a duplicate does no harm. */
  #pushIfMissing(owner: number, slot: number): void {
    const { shape } = this.#memory;
    const { records } = this.#parts;
    const word = Atomics.load(this.#int32, this.#memory.wordIndex(owner, slot));
    const target = records.target(owner, slot);
    const forTask = target < 0 ? 0 : queueOfTaskWorker(shape, target);
    const isMessage = records.isMessage(owner, slot);
    const queue = new Queue(this.#memory, isMessage ? queueOfMessages(shape, target) : forTask, owner);
    const entry = Word.entryOf(owner, slot, word);
    if (queue.newest !== entry && queue.hasRoom()) queue.push(entry);
  }
}

/** What a slot is changed by. */
interface SlotAccess {
  readonly memory: MessagingMemory;
  readonly records: Records;
  readonly ledger: Ledger;
}

/**
 * Ends a task whose caller no longer waits: a task that timed out was counted then, any other is counted now under
 * `counter`. The slot is left for its owner to find.
 */
export function dropTask({ memory, records, ledger }: SlotAccess, owner: number, slot: number, counter: Counter): void {
  const index = memory.wordIndex(owner, slot);
  let word = Atomics.load(memory.int32, index);
  if ((word & ABORTED) === 0) {
    // Marked first: once its data is freed it must not run again.
    ledger.change(index, word, word | ABORTED, counter, Counter.dropped);
    records.free(owner, slot);
    Atomics.store(memory.int32, index, Word.freed(word));
    return;
  }
  records.free(owner, slot);
  while (!ledger.change(index, word, Word.freed(word), Counter.dropped)) {
    word = Atomics.load(memory.int32, index); // its owner has died just now
  }
}

/** Every slot of `owner` that was ever used. */
export function eachSlot(
  memory: MessagingMemory,
  owner: number,
  callback: (slot: number, index: number, word: number) => void,
): void {
  const used = memory.used(owner);
  const first = memory.wordIndex(owner, 0);
  for (let slot = 0; slot < used; slot++) callback(slot, first + slot, Atomics.load(memory.int32, first + slot));
}
