/**
 * The layout of the shared region. One anonymous file holds everything the processes of one server share; each process
 * maps it and finds its parts by the arithmetic below, from the few numbers of `RegionShape`.
 *
 * ```
 * ┌────────┬───────────┬───────────┬─────────────┬──────────────────┬───────────┬─────────────┬──────────────┐
 * │ header │ reactors  │ workers   │ processes   │ connection table │ addresses │ TLS         │ ring headers │ mapped once,
 * │ 4 KiB  │ R × 384 B │ P × 384 B │ 4 KiB each  │ slots × 192 B    │ 512 KiB   │ slots × T B │ 256 B each   │ by every process
 * ├────────┴─────┬─────┴─────┬─────┴─────────────┴───┬──────────────┴───────┬───┴─────────────┴──────────────┘
 * │ rings        │ messaging │ rooms                 │ data of connections  │ log            │
 * │ mapped twice │           │ see `room-board.ts`   │ `connection-data.ts` │ `log-board.ts` │ mapped by the processes
 * └──────────────┴───────────┴───────────────────────┴──────────────────────┴────────────────┘ that need them
 * ```
 * T is 768, or up to 4,096 where clients show certificates. P processes have an id: workers first, then task workers, then
 * the user's own. The messaging area (tasks and messages between processes) has its own layout: `messaging-layout.ts`.
 *
 * A figure has one writer, the owner of its record, so a crash cannot leave it wrong. Several processes count connections (of
 * a reactor, a worker, an address), by atomic additions; `dead-connections.ts` takes off those of a dead process.
 */

import { PAGE_BYTES } from '../os/memory.js';
import { alignTo } from '../util/align.js';
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
  /** As many as `slots` where a port speaks WebSocket, else 0. */
  readonly dataSlots: number;
  /** The most rooms at once: a power of two, or 0 where no port speaks WebSocket. */
  readonly rooms: number;
  /** Bytes of each ring between a reactor and a worker; a power of two. */
  readonly ringBytes: number;
  /** How many tasks and messages of one process may be in flight. */
  readonly messageSlots: number;
  /** Lines of the log that are kept for the dashboard; 0 where it is off. */
  readonly logSlots: number;
}

export const HEADER_BYTES = 4096;
export const REACTOR_RECORD_BYTES = 384;
export const WORKER_RECORD_BYTES = 384;
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

/** A connection's data, where it is short: see `connection-data.ts`. */
export const DATA_RECORD_BYTES = 256;
/** The longest data of a connection; each has two of these, for data that does not fit its record. */
export const LONG_DATA_BYTES = 4096;
/** See `room-board.ts`. */
export const ROOM_HEADER_BYTES = 64;
/** The longest name of a room, in UTF-8. */
export const ROOM_NAME_BYTES = 128;
/** Hash, stamp, next and length, then the name. */
export const ROOM_RECORD_BYTES = 16 + ROOM_NAME_BYTES;

/** See `log-board.ts`. */
export const LOG_HEADER_BYTES = 64;
export const LOG_SLOT_BYTES = 2176;

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
  /** Header, heads of chains, records; then a counter for each room and reactor. Each part begins on a page. */
  readonly rooms: AreaPlace;
  readonly roomCounters: AreaPlace;
  /** A record for each connection; then the long data of each. */
  readonly data: AreaPlace;
  readonly longData: AreaPlace;
  readonly log: AreaPlace;
}

/** A part of the file that is mapped by itself. */
export interface AreaPlace {
  readonly at: number;
  readonly bytes: number;
}

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
  const [rooms, roomCounters, data, longData, log] = layoutAreas(messaging.endsAt, [
    shape.rooms === 0 ? 0 : ROOM_HEADER_BYTES + shape.rooms * (4 + ROOM_RECORD_BYTES),
    shape.rooms * reactorNum * 4,
    shape.dataSlots * DATA_RECORD_BYTES,
    shape.dataSlots * 2 * LONG_DATA_BYTES,
    shape.logSlots === 0 ? 0 : LOG_HEADER_BYTES + shape.logSlots * LOG_SLOT_BYTES,
  ]);

  return {
    shape,
    reactorsAt,
    workersAt,
    processesAt,
    connectionsAt,
    addressesAt,
    tlsAt,
    plainBytes,
    totalBytes: alignTo(log.at + log.bytes, PAGE_BYTES),
    inbound: (reactor, worker) => place(reactor, worker),
    outbound: (reactor, sender) => place(reactor, workerNum + sender),
    messaging,
    rooms,
    roomCounters,
    data,
    longData,
    log,
  };
}

/** One area behind the other, each on a page of its own. */
function layoutAreas<const B extends readonly number[]>(at: number, sizes: B): { [I in keyof B]: AreaPlace } {
  let next = at;
  const places = sizes.map((bytes): AreaPlace => {
    const place = { at: next, bytes };
    next = alignTo(next + bytes, PAGE_BYTES);
    return place;
  });
  return places as { [I in keyof B]: AreaPlace };
}
