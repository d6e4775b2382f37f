/**
 * The layout of the messaging area: the part of the shared region through which processes exchange tasks and messages.
 * Every process (a peer) has its own slots; a slot holds one task or message and is written by its owner. Data that other
 * processes search lies apart from the slots, so that a search touches little memory:
 *
 * ```
 * ┌────────┬─────────────┬──────────────────┬───────┬─────────┬───────┬─────────┬─────────────────────────┐
 * │ header │ peers       │ queue ends       │ words │ tickets │ bells │ entries │ slots                   │
 * │ 64 B   │ peer × 256 B│ queue × peer × 16│ 4 each│ 4 each  │ bits  │ 4 each  │ peer × 512 B × slots    │
 * └────────┴─────────────┴──────────────────┴───────┴─────────┴───────┴─────────┴─────────────────────────┘
 *   mapped by every process, as one piece ────────────────────────────────────────┘  mapped peer by peer
 * ```
 * The file is sparse: unused parts take no memory.
 */
import { PAGE_BYTES } from '../os/memory.js';
import { alignTo } from '../util/align.js';

export interface MessagingShape {
  /** Process ids: workers, task workers, user processes. */
  readonly processes: number;
  readonly firstTaskWorker: number;
  readonly taskWorkers: number;
  readonly peers: number;
  /** Slots of each peer, at most `MAX_SLOTS`. */
  readonly slots: number;
}

export interface MessagingLayout {
  readonly shape: MessagingShape;
  /** Byte offset in the region's file. */
  readonly at: number;
  /** The part every process maps. */
  readonly sharedBytes: number;
  /** Places of Int32 fields, counted from `at`. */
  readonly peersAt: number;
  readonly endsAtIndex: number;
  readonly wordsAt: number;
  readonly ticketsAt: number;
  readonly bitsAt: number;
  /** Entries of the common queue, then those of the short ones. */
  readonly entriesAt: number;
  readonly bitWords: number;
  /** Entries of the queue of tasks for any free task worker; a power of two. */
  readonly longQueue: number;
  /** Bytes of one peer's slots; they begin at `slotsAt` in the file. */
  readonly slotBytesPerPeer: number;
  readonly slotsAt: number;
  readonly endsAt: number;
}

export const MAX_SLOTS = 65_535;
export const HEADER_INTS = 16;
export const PEER_RECORD_BYTES = 256;
export const SLOT_BYTES = 512;
/** Head, tail, and 1 while the producer waits for room. */
export const QUEUE_INTS = 4;
/** Messages of one sender that may wait at once, for all receivers together. */
export const MESSAGE_SLOTS = 2048;
/** Entries of a queue for one process: tasks meant for one task worker, and messages. */
export const SHORT_QUEUE = 1024;

/** Queue 0: tasks for any free task worker. Then one per task worker, then one per process for messages. */
export function queueNum(shape: MessagingShape): number {
  return 1 + shape.taskWorkers + shape.processes;
}

export function queueOfTaskWorker(shape: MessagingShape, id: number): number {
  return 1 + id - shape.firstTaskWorker;
}

export function queueOfMessages(shape: MessagingShape, id: number): number {
  return 1 + shape.taskWorkers + id;
}

export function layoutMessaging(at: number, shape: MessagingShape): MessagingLayout {
  const { peers, slots } = shape;
  const bitWords = Math.ceil(slots / 32);
  // Twice the number of slots: entries of abandoned tasks stay until their turn comes.
  const longQueue = 2 ** Math.ceil(Math.log2(slots * 2));
  const peersAt = HEADER_INTS;
  const endsAtIndex = peersAt + (peers * PEER_RECORD_BYTES) / 4;
  const wordsAt = endsAtIndex + queueNum(shape) * peers * QUEUE_INTS;
  const ticketsAt = wordsAt + peers * slots;
  const bitsAt = ticketsAt + peers * slots;
  const entriesAt = bitsAt + peers * bitWords;
  const ints = entriesAt + peers * longQueue + (queueNum(shape) - 1) * peers * SHORT_QUEUE;
  const sharedBytes = alignTo(ints * 4, PAGE_BYTES);
  const slotBytesPerPeer = alignTo(slots * SLOT_BYTES, PAGE_BYTES);
  const slotsAt = at + sharedBytes;
  return {
    shape,
    at,
    sharedBytes,
    peersAt,
    endsAtIndex,
    wordsAt,
    ticketsAt,
    bitsAt,
    entriesAt,
    bitWords,
    longQueue,
    slotBytesPerPeer,
    slotsAt,
    endsAt: slotsAt + peers * slotBytesPerPeer,
  };
}
