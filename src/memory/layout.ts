/**
 * The layout of the shared region. One anonymous file holds everything the processes of one server share; each process
 * maps it and finds its parts by the arithmetic below, from the few numbers of `RegionShape`.
 *
 * ```
 * ┌────────┬───────────┬───────────┬─────────────┬──────────────────┬───────────┬───────────────┬──────────────┬─────────────┬──────────┐
 * │ header │ reactors  │ workers   │ processes   │ connection table │ addresses │ TLS           │ ring headers │ rings       │ messaging │
 * │ 4 KiB  │ R × 384 B │ P × 256 B │ 4 KiB each  │ slots × 192 B    │ 512 KiB   │ slots × T B   │ 256 B each   │ mapped twice│          │
 * └────────┴───────────┴───────────┴─────────────┴──────────────────┴───────────┴───────────────┴──────────────┴─────────────┴──────────┘
 * ```
 * T is 768, or up to 4,096 where clients show certificates. P processes have an id: workers first, then task workers, then
 * the user's own. The messaging area (tasks and messages between processes) has its own layout: `messaging-layout.ts`.
 *
 * Every counter has one writer, the owner of its record, so a crash cannot leave it wrong.
 */

import { PAGE_BYTES } from '../os/memory.js';
import { layoutMessaging, type MessagingLayout } from './messaging-layout.js';

export interface RegionShape {
  readonly reactorNum: number;
  readonly workerNum: number;
  readonly taskWorkerNum: number;
  readonly userProcessNum: number;
  /** Slots of the connection table; a power of two. */
  readonly slots: number;
  /** As many as `slots` where a port speaks TLS, else 0. */
  readonly tlsSlots: number;
  /** Bytes of each TLS record: more where clients show certificates. */
  readonly tlsRecordBytes: number;
  /** Bytes of each ring between a reactor and a worker; a power of two. */
  readonly ringBytes: number;
  /** How many tasks and messages of one process may be in flight. */
  readonly messageSlots: number;
}

export const HEADER_BYTES = 4096;
export const REACTOR_RECORD_BYTES = 384;
export const WORKER_RECORD_BYTES = 256;
/** See `process-board.ts`. */
export const PROCESS_RECORD_BYTES = 4096;
export const CONNECTION_RECORD_BYTES = 192;
export const RING_HEADER_BYTES = 256;
/** The result of a handshake. */
export const TLS_RECORD_BYTES = 768;
/** The same, and the client's certificate. */
export const TLS_CERTIFICATE_RECORD_BYTES = 4096;
/** Two tables of counters by address: see `AddressCounters`. */
export const ADDRESS_COUNTERS = 65_536;
/** Rings of the manager and of the accepting thread: a few short frames each. */
export const SMALL_RING_BYTES = 65536;

/** Each process id has two lanes, so that the successor can already send while the old process drains. */
export const LANES_PER_WORKER = 2;

export interface RingPlace {
  readonly headerAt: number;
  readonly dataAt: number;
  readonly bytes: number;
}

export interface RegionLayout {
  readonly shape: RegionShape;
  readonly reactorsAt: number;
  readonly workersAt: number;
  readonly processesAt: number;
  readonly connectionsAt: number;
  readonly addressesAt: number;
  readonly tlsAt: number;
  /** End of the part that is mapped once, from the start. */
  readonly plainBytes: number;
  readonly totalBytes: number;
  /** Reactor → worker: packets and events. */
  inbound(reactor: number, worker: number): RingPlace;
  /** Sender → reactor: replies and requests. `sender` is a peer: see `peerOf`. */
  outbound(reactor: number, sender: number): RingPlace;
  readonly messaging: MessagingLayout;
}

const alignTo = (value: number, unit: number): number => Math.ceil(value / unit) * unit;

/** Processes with an id: workers, task workers, user processes. */
export function processNum(shape: RegionShape): number {
  return shape.workerNum + shape.taskWorkerNum + shape.userProcessNum;
}

/** The number of a process as a sender and receiver: one peer per lane of each id, the manager, the master. */
export function peerOf(id: number, lane: number): number {
  return id * LANES_PER_WORKER + lane;
}

/** The number of the other process that may have the same id. */
export function otherLaneOf(peer: number): number {
  return peer ^ 1;
}

export function peerOfManager(shape: RegionShape): number {
  return processNum(shape) * LANES_PER_WORKER;
}

export function peerOfMaster(shape: RegionShape): number {
  return peerOfManager(shape) + 1;
}

export function peerNum(shape: RegionShape): number {
  return peerOfManager(shape) + 2;
}

export function layoutRegion(shape: RegionShape): RegionLayout {
  const { reactorNum, workerNum } = shape;
  const senders = peerNum(shape);
  const reactorsAt = HEADER_BYTES;
  const workersAt = reactorsAt + reactorNum * REACTOR_RECORD_BYTES;
  const processesAt = alignTo(workersAt + processNum(shape) * WORKER_RECORD_BYTES, PROCESS_RECORD_BYTES);
  const connectionsAt = processesAt + (senders + reactorNum) * PROCESS_RECORD_BYTES;
  const addressesAt = connectionsAt + shape.slots * CONNECTION_RECORD_BYTES;
  const tlsAt = addressesAt + 2 * ADDRESS_COUNTERS * 4;
  const ringHeadersAt = tlsAt + shape.tlsSlots * shape.tlsRecordBytes;
  const ringsPerReactor = workerNum + senders;
  const plainBytes = alignTo(ringHeadersAt + reactorNum * ringsPerReactor * RING_HEADER_BYTES, PAGE_BYTES);
  const largeRings = workerNum + peerOfManager(shape);
  const dataPerReactor = largeRings * shape.ringBytes + 2 * SMALL_RING_BYTES;

  const place = (reactor: number, index: number): RingPlace => {
    const small = Math.max(0, index - largeRings);
    return {
      headerAt: ringHeadersAt + (reactor * ringsPerReactor + index) * RING_HEADER_BYTES,
      dataAt: plainBytes + reactor * dataPerReactor + (index - small) * shape.ringBytes + small * SMALL_RING_BYTES,
      bytes: index < largeRings ? shape.ringBytes : SMALL_RING_BYTES,
    };
  };

  const messagingAt = plainBytes + reactorNum * dataPerReactor;
  const messaging = layoutMessaging(messagingAt, {
    processes: processNum(shape),
    firstTaskWorker: workerNum,
    taskWorkers: shape.taskWorkerNum,
    peers: peerNum(shape),
    slots: shape.messageSlots,
  });

  return {
    shape,
    reactorsAt,
    workersAt,
    processesAt,
    connectionsAt,
    addressesAt,
    tlsAt,
    plainBytes,
    totalBytes: messaging.endsAt,
    inbound: (reactor, worker) => place(reactor, worker),
    outbound: (reactor, sender) => place(reactor, workerNum + sender),
    messaging,
  };
}
