/**
 * Tasks in shared memory, without anyone in the middle: callers put them into slots of their own, task workers take them
 * from there, the word of each slot decides every race. The manager only clears up after the dead. Runs in every process.
 */
import { ServerError } from '../errors/index.js';
import type { Region } from '../memory/region.js';
import { queueOfMessages, queueOfTaskWorker } from './layout.js';
import { Ledger } from './ledger.js';
import { Counter, type ExchangeMemory } from './memory.js';
import type { Peers } from './peers.js';
import { Queue } from './queue.js';
import { Purpose, type Records } from './record.js';
import { endMessage, type Slots, signalOwner } from './slots.js';
import type { ClaimedTask, DeadPeer, GivenTask, TaskCounts, TaskOutcome, TaskQueue } from './task-queue.js';
import { type EncodedValue, encodeError, encodeValue } from './value.js';
import * as Word from './word.js';
import { GONE, SlotState } from './word.js';

export interface SharedTaskQueueParts {
  readonly region: Region;
  readonly memory: ExchangeMemory;
  readonly records: Records;
  readonly slots: Slots;
  readonly peers: Peers;
  /** Who this process is. */
  readonly peer: number;
  /** How many tasks may wait at once, all callers together. */
  readonly limit: number;
  /** How often a task is run again whose task worker has died. */
  readonly retries: number;
}

/** A task in the hand of the task worker that runs it. */
class SharedTask implements ClaimedTask {
  readonly id: number;
  readonly fromWorkerId: number;
  readonly owner: number;
  readonly slot: number;
  readonly index: number;
  readonly #parts: SharedTaskQueueParts;

  constructor(parts: SharedTaskQueueParts, owner: number, slot: number, index: number) {
    this.#parts = parts;
    this.owner = owner;
    this.slot = slot;
    this.index = index;
    this.id = idOf(parts.memory.int32[parts.memory.ticketIndex(owner, slot)] ?? 0);
    this.fromWorkerId = parts.peers.idOf(owner);
  }

  readData(): unknown | Promise<unknown> {
    return this.#parts.records.readData(this.owner, this.slot);
  }

  get isAborted(): boolean {
    return (Atomics.load(this.#parts.memory.int32, this.index) & Word.ABORTED) !== 0;
  }
}

export class SharedTaskQueue implements TaskQueue {
  readonly #parts: SharedTaskQueueParts;
  readonly #memory: ExchangeMemory;
  readonly #int32: Int32Array;
  readonly #ledger: Ledger;
  /** Queues this process puts tasks into: 0 for whoever is free, then one per task worker. */
  readonly #out: Queue[];
  /** Queues this task worker takes from, one or two of every peer. */
  #in: Queue[] = [];

  constructor(parts: SharedTaskQueueParts) {
    this.#parts = parts;
    this.#memory = parts.memory;
    this.#int32 = parts.memory.int32;
    this.#ledger = new Ledger(parts.memory);
    this.#out = Array.from({ length: 1 + parts.memory.shape.taskWorkers }, (_, q) => this.#queue(q, parts.peer));
  }

  /** In a task worker, before it claims. */
  takeFor(taskWorkerId: number): void {
    const { shape } = this.#memory;
    const own = queueOfTaskWorker(shape, taskWorkerId);
    this.#in = [];
    for (let peer = 0; peer < shape.peers; peer++) this.#in.push(this.#queue(0, peer), this.#queue(own, peer));
  }

  // ——— callers ———

  give(data: unknown, target: number): GivenTask {
    const value = encodeValue(data);
    const queue = this.#queueFor(target);
    if (!queue.hasRoom() || this.#isFull()) throw this.#refuse();
    const { slots, records, peer, peers } = this.#parts;
    const slot = slots.take();
    if (slot < 0) throw this.#refuse();
    const index = this.#memory.wordIndex(peer, slot);
    const word = Atomics.load(this.#int32, index);
    try {
      records.describe(peer, slot, Purpose.task, target);
      records.writeData(peer, slot, value);
    } catch (error) {
      slots.release(slot);
      throw new ServerError('ERR_DATA_STORE', { bytes: value.bytes.length }, { cause: error });
    }
    const ticket = this.#memory.nextTicket();
    this.#int32[this.#memory.ticketIndex(peer, slot)] = ticket;
    const queued = Word.inState(word, SlotState.queued);
    this.#ledger.change(peer, index, word, queued, Counter.submitted);
    queue.push(Word.entryOf(peer, slot, queued));
    if (target < 0) peers.wakeFreeTaskWorker();
    else peers.wakeProcess(target);
    return { id: idOf(ticket), handle: slot };
  }

  giveUp(slot: number): boolean {
    const { peer, peers, slots } = this.#parts;
    const index = this.#memory.wordIndex(peer, slot);
    for (;;) {
      const word = Atomics.load(this.#int32, index);
      const state = Word.stateOf(word);
      if (state === SlotState.queued) {
        if (!this.#ledger.change(peer, index, word, Word.freed(word), Counter.timedOut)) continue;
        slots.release(slot);
        return true;
      }
      if (state !== SlotState.running) return false;
      if (!this.#ledger.change(peer, index, word, word | Word.ABORTED, Counter.timedOut)) continue;
      peers.ring(Word.runnerOf(word));
      return true;
    }
  }

  takeEnded(callback: (slot: number, outcome: TaskOutcome) => void): boolean {
    const { slots, records, peer } = this.#parts;
    return slots.takeSignalled((slot) => {
      const state = Word.stateOf(Atomics.load(this.#int32, this.#memory.wordIndex(peer, slot)));
      if (state !== SlotState.done && state !== SlotState.failed) return;
      if (records.isMessage(peer, slot)) return slots.release(slot);
      callback(slot, { failed: state === SlotState.failed, value: readSafely(() => records.readResult(peer, slot)) });
    });
  }

  release(slot: number): void {
    this.#parts.slots.release(slot);
  }

  get hasEnded(): boolean {
    return this.#parts.slots.hasSignals;
  }

  // ——— task workers ———

  claim(): SharedTask | undefined {
    for (;;) {
      const found = this.#oldest();
      if (found === undefined) return undefined;
      const { queue, entry } = found;
      const owner = Word.ownerOfEntry(entry);
      const slot = Word.slotOfEntry(entry);
      const index = this.#memory.wordIndex(owner, slot);
      const word = Atomics.load(this.#int32, index);
      if (Word.stateOf(word) !== SlotState.queued || !Word.isOfUse(entry, word)) continue;
      const running = Word.runBy(word, this.#parts.peer);
      if (Atomics.compareExchange(this.#int32, index, word, running) !== word) continue;
      queue.shift(entry);
      return new SharedTask(this.#parts, owner, slot, index);
    }
  }

  finish(task: SharedTask, failed: boolean, value: unknown): boolean {
    const { peer, peers } = this.#parts;
    const { owner, slot, index } = task;
    let outcome = this.#encode(failed, value);
    let written = false;
    for (;;) {
      const word = Atomics.load(this.#int32, index);
      if (Word.isUnwanted(word)) {
        this.#drop(owner, slot, index, outcome.failed ? Counter.failed : Counter.done);
        return false;
      }
      if (!written) outcome = this.#store(owner, slot, outcome);
      written = true;
      const ended = Word.inState(word, outcome.failed ? SlotState.failed : SlotState.done);
      if (!this.#ledger.change(peer, index, word, ended, outcome.failed ? Counter.failed : Counter.done)) continue;
      signalOwner(this.#memory, owner, slot);
      peers.wake(owner);
      return true;
    }
  }

  get hasWaiting(): boolean {
    return this.#in.some((queue) => queue.peek() !== 0);
  }

  // ——— the manager ———

  recover(dead: DeadPeer): void {
    this.#ledger.settle(dead.peer);
    const { shape } = this.#memory;
    let queued = false;
    for (let owner = 0; owner < shape.peers; owner++) {
      this.#eachSlot(owner, (slot, index, word) => {
        const state = Word.stateOf(word);
        if (Word.runnerOf(word) !== dead.peer) return;
        if (state === SlotState.running) queued = this.#recoverRun(owner, slot, index, dead) || queued;
        else if (state === SlotState.done || state === SlotState.failed) this.#signalAgain(owner, slot);
      });
    }
    this.#recoverOwned(dead.peer);
    if (queued) this.#parts.peers.ringTaskWorkers();
  }

  recoverKeeper(): void {
    const { peer } = this.#parts;
    this.#ledger.settle(peer);
    this.#recoverOwned(peer);
    // Tasks of others that were to be run again, and may not have got as far as a queue.
    for (let owner = 0; owner < this.#memory.shape.peers; owner++) {
      this.#eachSlot(owner, (slot, _index, word) => {
        if (Word.stateOf(word) === SlotState.queued && Word.triesOf(word) > 0) this.#queueAgain(owner, slot, word);
      });
    }
  }

  counts(): TaskCounts {
    const total = (counter: Counter): number => this.#memory.total(counter);
    const [queued, running] = this.#countStates();
    return {
      submitted: total(Counter.submitted),
      queued,
      running,
      done: total(Counter.done),
      failed: total(Counter.failed),
      timedOut: total(Counter.timedOut),
      dropped: total(Counter.dropped),
      retried: total(Counter.retried),
      refused: total(Counter.refused),
    };
  }

  // ——— inside ———

  #queue(queue: number, peer: number): Queue {
    return new Queue(this.#memory, queue, peer);
  }

  #queueFor(target: number): Queue {
    return this.#out[target < 0 ? 0 : queueOfTaskWorker(this.#memory.shape, target)] as Queue;
  }

  /** Entries of tasks that were given up count until their turn comes, so a long queue is looked through before it is full. */
  #isFull(): boolean {
    const { limit } = this.#parts;
    const { peers } = this.#memory.shape;
    let entries = 0;
    for (let queue = 0; queue < this.#out.length; queue++) {
      for (let peer = 0; peer < peers; peer++) {
        const at = this.#memory.endsIndex(queue, peer);
        entries += (Atomics.load(this.#int32, at + 1) - Atomics.load(this.#int32, at)) | 0;
      }
    }
    return entries >= limit && this.#countStates()[0] >= limit;
  }

  #refuse(): ServerError {
    const { peer, limit } = this.#parts;
    const at = this.#memory.counterIndex(peer, Counter.refused);
    this.#memory.float64[at] = (this.#memory.float64[at] ?? 0) + 1;
    return new ServerError('ERR_TASK_QUEUE_FULL', { limit });
  }

  /** The entry of the task with the lowest ticket. */
  #oldest(): { queue: Queue; entry: number } | undefined {
    let best: Queue | undefined;
    let bestEntry = 0;
    let bestTicket = 0;
    for (const queue of this.#in) {
      const entry = queue.peek();
      if (entry === 0) continue;
      const ticket = this.#int32[this.#memory.ticketIndex(Word.ownerOfEntry(entry), Word.slotOfEntry(entry))] ?? 0;
      if (best !== undefined && ((ticket - bestTicket) | 0) >= 0) continue;
      best = queue;
      bestEntry = entry;
      bestTicket = ticket;
    }
    return best === undefined ? undefined : { queue: best, entry: bestEntry };
  }

  #encode(failed: boolean, value: unknown): EncodedValue & { failed: boolean } {
    if (failed) return { ...encodeError(value), failed };
    try {
      return { ...encodeValue(value), failed };
    } catch (error) {
      return { ...encodeError(error), failed: true };
    }
  }

  #store(owner: number, slot: number, outcome: EncodedValue & { failed: boolean }): EncodedValue & { failed: boolean } {
    try {
      this.#parts.records.writeResult(owner, slot, outcome);
      return outcome;
    } catch (error) {
      const failure = new ServerError('ERR_DATA_STORE', { bytes: outcome.bytes.length }, { cause: error });
      const encoded = { ...encodeError(failure), failed: true };
      this.#parts.records.writeResult(owner, slot, encoded);
      return encoded;
    }
  }

  /** Nobody waits: a task whose time was over has been counted then, any other is counted now. */
  #drop(owner: number, slot: number, index: number, counter: Counter): void {
    const { records, peer } = this.#parts;
    let word = Atomics.load(this.#int32, index);
    if ((word & Word.ABORTED) === 0) {
      // Marked first: without its data it must not be run again.
      this.#ledger.change(peer, index, word, word | Word.ABORTED, counter, Counter.dropped);
      records.free(owner, slot);
      Atomics.store(this.#int32, index, Word.freed(word));
      return;
    }
    records.free(owner, slot);
    while (!this.#ledger.change(peer, index, word, Word.freed(word), Counter.dropped)) {
      word = Atomics.load(this.#int32, index); // its owner has died just now
    }
  }

  /** @returns true when the task waits to be run again */
  #recoverRun(owner: number, slot: number, index: number, dead: DeadPeer): boolean {
    const { retries, peer, records } = this.#parts;
    for (;;) {
      const word = Atomics.load(this.#int32, index);
      if (Word.stateOf(word) !== SlotState.running || Word.runnerOf(word) !== dead.peer) return false;
      if (records.isMessage(owner, slot)) {
        endMessage(this.#memory, records, owner, slot); // not given to the next one
        return false;
      }
      if (word & Word.ABORTED) {
        records.free(owner, slot);
        if (Atomics.compareExchange(this.#int32, index, word, Word.freed(word)) === word) return false;
      } else if (Word.triesOf(word) < retries) {
        const again = Word.tryAgain(word);
        if (!this.#ledger.change(peer, index, word, again, Counter.retried)) continue;
        this.#queueAgain(owner, slot, again);
        return true;
      } else if (word & GONE) {
        this.#drop(owner, slot, index, Counter.failed);
        return false;
      } else {
        const { workerId, exitCode, signal } = dead;
        const tries = Word.triesOf(word) + 1;
        const error = new ServerError('ERR_TASK_WORKER_DIED', { workerId, exitCode, signal, tries });
        records.writeResult(owner, slot, encodeError(error));
        if (!this.#ledger.change(peer, index, word, Word.inState(word, SlotState.failed), Counter.failed)) continue;
        this.#signalAgain(owner, slot);
        return false;
      }
    }
  }

  #recoverOwned(owner: number): void {
    const { records } = this.#parts;
    let newest = -1;
    let newestTicket = 0;
    this.#eachSlot(owner, (slot, index) => {
      for (;;) {
        const word = Atomics.load(this.#int32, index);
        const state = Word.stateOf(word);
        if (state === SlotState.free || (word & GONE) !== 0) return;
        if (state === SlotState.queued || state === SlotState.running) {
          if (Atomics.compareExchange(this.#int32, index, word, word | GONE) !== word) continue;
          const ticket = this.#int32[this.#memory.ticketIndex(owner, slot)] ?? 0;
          const isNewer = newest < 0 || ((ticket - newestTicket) | 0) > 0;
          if (state === SlotState.queued && isNewer) [newest, newestTicket] = [slot, ticket];
          return;
        }
        const isResult = state !== SlotState.writing && !records.isMessage(owner, slot);
        records.free(owner, slot);
        if (isResult) this.#ledger.change(this.#parts.peer, index, word, Word.freed(word), Counter.dropped);
        else Atomics.store(this.#int32, index, Word.freed(word));
        return;
      }
    });
    if (newest >= 0) this.#pushIfMissing(owner, newest);
  }

  /** It may have died before the entry was written; only the last one can be missing, and once more does no harm. */
  #pushIfMissing(owner: number, slot: number): void {
    const word = Atomics.load(this.#int32, this.#memory.wordIndex(owner, slot));
    const { shape } = this.#memory;
    const target = this.#parts.records.target(owner, slot);
    const forTask = target < 0 ? 0 : queueOfTaskWorker(shape, target);
    const isMessage = this.#parts.records.isMessage(owner, slot);
    const queue = this.#queue(isMessage ? queueOfMessages(shape, target) : forTask, owner);
    const entry = Word.entryOf(owner, slot, word);
    if (queue.newest !== entry && queue.hasRoom()) queue.push(entry);
  }

  /** Into the manager's own queue, so that each queue keeps its one producer; the ticket keeps its place in the line. */
  #queueAgain(owner: number, slot: number, word: number): void {
    const meant = this.#queueFor(this.#parts.records.target(owner, slot));
    const queue = meant.hasRoom() ? meant : this.#queueFor(-1);
    queue.push(Word.entryOf(owner, slot, word));
  }

  #signalAgain(owner: number, slot: number): void {
    signalOwner(this.#memory, owner, slot);
    this.#parts.peers.ring(owner);
  }

  #eachSlot(owner: number, callback: (slot: number, index: number, word: number) => void): void {
    const used = this.#memory.used(owner);
    const first = this.#memory.wordIndex(owner, 0);
    for (let slot = 0; slot < used; slot++) callback(slot, first + slot, Atomics.load(this.#int32, first + slot));
  }

  #countStates(): [queued: number, running: number] {
    let queued = 0;
    let running = 0;
    for (let owner = 0; owner < this.#memory.shape.peers; owner++) {
      this.#eachSlot(owner, (slot, _index, word) => {
        const state = Word.stateOf(word);
        if (state !== SlotState.queued && state !== SlotState.running) return;
        if ((word & Word.ABORTED) !== 0 || this.#parts.records.isMessage(owner, slot)) return;
        if (state === SlotState.queued) queued++;
        else running++;
      });
    }
    return [queued, running];
  }
}

/** The first task has id 1. */
const idOf = (ticket: number): number => (ticket >>> 0) + 1;

/** A value that cannot be read is an error for whoever waits for it, not for this process. */
function readSafely(read: () => unknown): unknown | Promise<unknown> {
  try {
    return read();
  } catch (error) {
    return Promise.reject(error);
  }
}
