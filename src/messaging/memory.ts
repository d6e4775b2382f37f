/** The messaging area of one process: the places of the fields, not their meaning. Runs in every process. */

import {
  type MessagingLayout,
  type MessagingShape,
  PEER_RECORD_BYTES,
  QUEUE_INTS,
  queueNum,
  SHORT_QUEUE,
} from '../memory/messaging-layout.js';
import { float64, int32, layoutRecord, numbered } from '../memory/record.js';
import type { Region } from '../memory/region.js';
import { mapShared } from '../os/memory.js';

/** Totals since the start, one set per peer. Queued and running tasks are counted in the slots themselves. */
export const Counter = numbered([
  'submitted',
  'done',
  'failed',
  'timedOut',
  /** Results that came when their caller no longer waited. */
  'dropped',
  /** Runs again after the death of a task worker. */
  'retried',
  /** Tasks refused because the queue was full. */
  'refused',
  'messages',
]);
export type Counter = (typeof Counter)[keyof typeof Counter];

/** Int32 fields of a peer's ledger: see `Ledger`. */
export const LedgerField = numbered(['armed', 'counterA', 'counterB', 'wordIndex', 'oldWord', 'newWord']);
/** The new totals of two counters. */
const LEDGER_TARGETS = 2;

const peerRecord = layoutRecord(
  {
    counters: float64(Object.keys(Counter).length),
    /** How far it has written the overflow file. */
    overflowPosition: float64(),
    ledgerTargets: float64(LEDGER_TARGETS),
    /** How many of its slots have ever been used. */
    used: int32(),
    ledger: int32(Object.keys(LedgerField).length),
  },
  PEER_RECORD_BYTES,
).at;

const TICKET = 0;

/** The slots of one peer: 512 bytes each, see `record.ts`. */
export interface SlotMemory {
  readonly bytes: Buffer;
  readonly int32: Int32Array;
  readonly float64: Float64Array;
}

export class MessagingMemory {
  readonly layout: MessagingLayout;
  readonly int32: Int32Array;
  readonly float64: Float64Array;
  readonly #region: Region;
  readonly #slots: (SlotMemory | undefined)[] = [];

  constructor(region: Region) {
    this.#region = region;
    this.layout = region.layout.messaging;
    const memory = mapShared(region.descriptor, this.layout.at, this.layout.sharedBytes);
    this.int32 = new Int32Array(memory);
    this.float64 = new Float64Array(memory);
  }

  get shape(): MessagingShape {
    return this.layout.shape;
  }

  get queues(): number {
    return queueNum(this.shape);
  }

  /** A number that grows with each task of the server: its id, and its place in the line. */
  nextTicket(): number {
    return Atomics.add(this.int32, TICKET, 1);
  }

  /** The number that the next task gets. */
  get ticket(): number {
    return Atomics.load(this.int32, TICKET);
  }

  wordIndex(peer: number, slot: number): number {
    return this.layout.wordsAt + peer * this.shape.slots + slot;
  }

  ticketIndex(peer: number, slot: number): number {
    return this.layout.ticketsAt + peer * this.shape.slots + slot;
  }

  /** The place of the first of a peer's `bitWords` words: one bit per slot that has news for its owner. */
  bitsIndex(peer: number): number {
    return this.layout.bitsAt + peer * this.layout.bitWords;
  }

  /** The place of a queue's head; after it its tail and whether the producer waits. */
  endsIndex(queue: number, peer: number): number {
    return this.layout.endsAtIndex + (queue * this.shape.peers + peer) * QUEUE_INTS;
  }

  entriesIndex(queue: number, peer: number): number {
    const { entriesAt, longQueue } = this.layout;
    const { peers } = this.shape;
    if (queue === 0) return entriesAt + peer * longQueue;
    return entriesAt + peers * longQueue + ((queue - 1) * peers + peer) * SHORT_QUEUE;
  }

  queueLength(queue: number): number {
    return queue === 0 ? this.layout.longQueue : SHORT_QUEUE;
  }

  /** How many slots of a peer have ever been used: searches stop there. */
  used(peer: number): number {
    return Atomics.load(this.int32, this.#peerInt(peer) + peerRecord.used);
  }

  setUsed(peer: number, count: number): void {
    Atomics.store(this.int32, this.#peerInt(peer) + peerRecord.used, count);
  }

  /** The places of the integers and the floats of a peer's ledger. */
  ledgerIndex(peer: number): number {
    return this.#peerInt(peer) + peerRecord.ledger;
  }

  ledgerTargetsIndex(peer: number): number {
    return this.#peerFloat(peer) + peerRecord.ledgerTargets;
  }

  counterIndex(peer: number, counter: Counter): number {
    return this.#peerFloat(peer) + peerRecord.counters + counter;
  }

  /** Over all peers. */
  total(counter: Counter): number {
    let sum = 0;
    for (let peer = 0; peer < this.shape.peers; peer++) sum += this.float64[this.counterIndex(peer, counter)] ?? 0;
    return sum;
  }

  overflowPositionIndex(peer: number): number {
    return this.#peerFloat(peer) + peerRecord.overflowPosition;
  }

  /** Mapped on first use. */
  slotsOf(peer: number): SlotMemory {
    const known = this.#slots[peer];
    if (known !== undefined) return known;
    const { slotsAt, slotBytesPerPeer } = this.layout;
    const memory = mapShared(this.#region.descriptor, slotsAt + peer * slotBytesPerPeer, slotBytesPerPeer);
    const slots = {
      bytes: Buffer.from(memory),
      int32: new Int32Array(memory),
      float64: new Float64Array(memory),
    };
    this.#slots[peer] = slots;
    return slots;
  }

  #peerInt(peer: number): number {
    return this.layout.peersAt + (peer * PEER_RECORD_BYTES) / 4;
  }

  #peerFloat(peer: number): number {
    return this.layout.peersAt / 2 + (peer * PEER_RECORD_BYTES) / 8;
  }
}
