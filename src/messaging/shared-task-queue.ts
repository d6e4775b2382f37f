/**
 * Tasks in shared memory: callers put them into their own slots, task workers take them from there, and the word of each
 * slot decides every race. There is no broker. Runs in every process.
 */
import { ServerError } from '../errors/index.js';
import { queueOfTaskWorker } from '../memory/messaging-layout.js';
import type { Region } from '../memory/region.js';
import { Ledger } from './ledger.js';
import { Counter, type MessagingMemory } from './memory.js';
import type { Peers } from './peers.js';
import { Queue } from './queue.js';
import { notStored, Purpose, type Records } from './record.js';
import { dropTask, eachSlot } from './shared-task-keeper.js';
import { type Slots, signalOwner } from './slots.js';
import type { ClaimedTask, GivenTask, TaskCounts, TaskOutcome, TaskQueue } from './task-queue.js';
import { type EncodedValue, encodeError, encodeValue, ValueKind, withTrace } from './value.js';
import * as Word from './word.js';
import { SlotState } from './word.js';

export interface SharedTaskQueueParts {
  readonly region: Region;
  readonly memory: MessagingMemory;
  readonly records: Records;
  readonly slots: Slots;
  readonly peers: Peers;
  /** The peer number of this process. */
  readonly peer: number;
  /** How many tasks may wait at once, all callers together. */
  readonly limit: number;
  /** How often a task is retried after its task worker has died. */
  readonly retries: number;
}

/** Retried tasks have old tickets: at the latest after this many tasks all queues are compared again. */
const CLAIMS_PER_COMPARISON = 32;

/** A task claimed by the task worker that runs it. */
class SharedTask implements ClaimedTask {
  readonly id: number;
  readonly fromWorkerId: number;
  readonly isJob: boolean;
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
    this.isJob = parts.records.isJob(owner, slot);
  }

  readData(): unknown | Promise<unknown> {
    return this.#parts.records.readData(this.owner, this.slot);
  }

  get isAborted(): boolean {
    const word = Atomics.load(this.#parts.memory.int32, this.index);
    return this.isJob ? Word.isUnwanted(word) : (word & Word.ABORTED) !== 0;
  }
}

export class SharedTaskQueue implements TaskQueue {
  readonly #parts: SharedTaskQueueParts;
  readonly #memory: MessagingMemory;
  readonly #int32: Int32Array;
  readonly #ledger: Ledger;
  /** Queues this process puts tasks into: 0 for any free task worker, then one per task worker. */
  readonly #out: Queue[];
  /** Queues this task worker takes from, one or two of every peer. */
  #in: Queue[] = [];
  /** The queue last found to have the oldest task: while its tasks have lower tickets than this, no other has an older. */
  #best: Queue | undefined;
  #bestUntil = 0;
  #bestLeft = 0;
  /** Entries of all queues, when the next ticket was `countedAt`. */
  #counted = Number.POSITIVE_INFINITY;
  #countedAt = 0;

  constructor(parts: SharedTaskQueueParts) {
    this.#parts = parts;
    this.#memory = parts.memory;
    this.#int32 = parts.memory.int32;
    this.#ledger = new Ledger(parts.memory, parts.peer);
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

  give(data: unknown, target: number, isJob = false, trace?: string): GivenTask {
    const plain = encodeValue(data);
    const value = trace === undefined ? plain : withTrace(plain, trace);
    const queue = this.#queueFor(target);
    if (!queue.hasRoom() || this.#isFull()) throw this.#refuse();
    const { slots, records, peer, peers } = this.#parts;
    const slot = slots.take();
    if (slot < 0) throw this.#refuse();
    const index = this.#memory.wordIndex(peer, slot);
    const word = Atomics.load(this.#int32, index);
    try {
      records.describe(peer, slot, isJob ? Purpose.job : Purpose.task, target);
      records.writeData(peer, slot, value);
    } catch (error) {
      slots.release(slot);
      throw notStored(value.length, error);
    }
    const ticket = this.#memory.nextTicket();
    this.#int32[this.#memory.ticketIndex(peer, slot)] = ticket;
    const queued = Word.inState(word, SlotState.queued);
    this.#ledger.change(index, word, queued, Counter.submitted);
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
        if (!this.#ledger.change(index, word, Word.freed(word), Counter.timedOut)) continue;
        slots.release(slot);
        return true;
      }
      if (state !== SlotState.running) return false;
      if (!this.#ledger.change(index, word, word | Word.ABORTED, Counter.timedOut)) continue;
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
      const queue = this.#oldest();
      const entry = queue?.peek() ?? 0;
      if (queue === undefined || entry === 0) return undefined;
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
    const { memory, records, peers } = this.#parts;
    const { owner, slot, index } = task;
    let outcome = this.#encode(failed, value);
    let written = false;
    for (;;) {
      const word = Atomics.load(this.#int32, index);
      if (Word.isUnwanted(word)) {
        dropTask({ memory, records, ledger: this.#ledger }, owner, slot, counterOf(outcome));
        return false;
      }
      if (!written) outcome = this.#store(owner, slot, outcome);
      written = true;
      const ended = Word.inState(word, hasFailed(outcome) ? SlotState.failed : SlotState.done);
      if (!this.#ledger.change(index, word, ended, counterOf(outcome))) continue;
      signalOwner(this.#memory, owner, slot);
      peers.wake(owner);
      return true;
    }
  }

  get hasWaiting(): boolean {
    if (this.#best !== undefined && this.#best.peek() !== 0) return true;
    return this.#in.some((queue) => queue.peek() !== 0);
  }

  // ——— figures ———

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

  /**
   * Each waiting task has a ticket of its own, so the queues are counted only where the tickets given since the last count
   * could have filled them. (A task retried meanwhile may have had its ticket before: as many too many may wait.)
   */
  #isFull(): boolean {
    const { limit } = this.#parts;
    const { ticket } = this.#memory;
    if (this.#counted + ((ticket - this.#countedAt) >>> 0) < limit) return false;
    this.#counted = this.#countEntries();
    this.#countedAt = ticket;
    if (this.#counted < limit) return false;
    // Entries of abandoned tasks count until their turn comes, so a long queue is scanned before it counts as full.
    return this.#countStates()[0] >= limit;
  }

  #countEntries(): number {
    const { peers } = this.#memory.shape;
    let entries = 0;
    for (let queue = 0; queue < this.#out.length; queue++) {
      for (let peer = 0; peer < peers; peer++) {
        const at = this.#memory.endsIndex(queue, peer);
        entries += (Atomics.load(this.#int32, at + 1) - Atomics.load(this.#int32, at)) | 0;
      }
    }
    return entries;
  }

  #refuse(): ServerError {
    const { peer, limit } = this.#parts;
    const at = this.#memory.counterIndex(peer, Counter.refused);
    this.#memory.float64[at] = (this.#memory.float64[at] ?? 0) + 1;
    return new ServerError('ERR_TASK_QUEUE_FULL', { limit });
  }

  /** The queue whose first task has the lowest ticket. */
  #oldest(): Queue | undefined {
    if (this.#bestLeft-- > 0) {
      const entry = this.#best?.peek() ?? 0;
      if (entry !== 0 && ((this.#ticketOf(entry) - this.#bestUntil) | 0) < 0) return this.#best;
    }
    return this.#compareAll();
  }

  #compareAll(): Queue | undefined {
    let best: Queue | undefined;
    let lowest = this.#memory.ticket; // no later task is older
    let second = lowest;
    for (const queue of this.#in) {
      const entry = queue.peek();
      if (entry === 0) continue;
      const ticket = this.#ticketOf(entry);
      if (best === undefined || ((ticket - lowest) | 0) < 0) {
        second = best === undefined ? second : lowest;
        [best, lowest] = [queue, ticket];
      } else if (((ticket - second) | 0) < 0) second = ticket;
    }
    this.#best = best;
    this.#bestUntil = second;
    this.#bestLeft = CLAIMS_PER_COMPARISON;
    return best;
  }

  #ticketOf(entry: number): number {
    return this.#int32[this.#memory.ticketIndex(Word.ownerOfEntry(entry), Word.slotOfEntry(entry))] ?? 0;
  }

  #encode(failed: boolean, value: unknown): EncodedValue {
    if (failed) return encodeError(value);
    try {
      return encodeValue(value);
    } catch (error) {
      return encodeError(error);
    }
  }

  #store(owner: number, slot: number, outcome: EncodedValue): EncodedValue {
    try {
      this.#parts.records.writeResult(owner, slot, outcome);
      return outcome;
    } catch (error) {
      return this.#parts.records.writeError(owner, slot, notStored(outcome.length, error));
    }
  }

  #countStates(): [queued: number, running: number] {
    let queued = 0;
    let running = 0;
    for (let owner = 0; owner < this.#memory.shape.peers; owner++) {
      eachSlot(this.#memory, owner, (slot, _index, word) => {
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

const hasFailed = (outcome: EncodedValue): boolean => outcome.kind === ValueKind.error;
const counterOf = (outcome: EncodedValue): Counter => (hasFailed(outcome) ? Counter.failed : Counter.done);

/** A value that cannot be read is an error for its caller, not for this process. */
function readSafely(read: () => unknown): unknown | Promise<unknown> {
  try {
    return read();
  } catch (error) {
    return Promise.reject(error);
  }
}
