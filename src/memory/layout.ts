/**
 * What lies where in the shared region. One anonymous file holds everything the processes of one server share; each
 * process maps it and finds its parts by the arithmetic below, from the few numbers of `RegionShape`.
 *
 * ```
 * ┌────────────┬──────────────┬─────────────┬──────────────────┬──────────────┬───────────────────────────┐
 * │ header     │ reactors     │ workers     │ connection table │ ring headers │ rings                     │
 * │ 4 KiB      │ R × 128 B    │ W × 256 B   │ slots × 128 B    │ 256 B each   │ page-aligned, mapped twice│
 * └────────────┴──────────────┴─────────────┴──────────────────┴──────────────┴───────────────────────────┘
 * ```
 * Every counter has one writer, the owner of the record it stands in, so a crash cannot leave it wrong.
 */
import { PAGE_BYTES } from '../os/memory.js';

export interface RegionShape {
  readonly reactorNum: number;
  readonly workerNum: number;
  /** Slots of the connection table; a power of two. */
  readonly slots: number;
  /** Bytes of each ring between a reactor and a worker; a power of two. */
  readonly ringBytes: number;
}

export const HEADER_BYTES = 4096;
export const REACTOR_RECORD_BYTES = 128;
export const WORKER_RECORD_BYTES = 256;
export const CONNECTION_RECORD_BYTES = 128;
export const RING_HEADER_BYTES = 256;
/** Rings of the manager and of the accepting thread: a few short frames each. */
export const SMALL_RING_BYTES = 65536;

/** Each worker id has two lanes, so that its successor can already send while the one before drains. */
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
  readonly connectionsAt: number;
  /** End of the part that is mapped once, from the start. */
  readonly plainBytes: number;
  readonly totalBytes: number;
  /** Reactor → worker: packets and events. */
  inbound(reactor: number, worker: number): RingPlace;
  /** Sender → reactor: replies and requests. See `senderOfWorker`. */
  outbound(reactor: number, sender: number): RingPlace;
  /** How many senders each reactor has. */
  readonly senders: number;
}

const alignTo = (value: number, unit: number): number => Math.ceil(value / unit) * unit;

export function senderOfWorker(worker: number, lane: number): number {
  return worker * LANES_PER_WORKER + lane;
}

export function senderOfManager(shape: RegionShape): number {
  return shape.workerNum * LANES_PER_WORKER;
}

export function senderOfMaster(shape: RegionShape): number {
  return shape.workerNum * LANES_PER_WORKER + 1;
}

export function layoutRegion(shape: RegionShape): RegionLayout {
  const { reactorNum, workerNum } = shape;
  const senders = workerNum * LANES_PER_WORKER + 2;
  const reactorsAt = HEADER_BYTES;
  const workersAt = reactorsAt + reactorNum * REACTOR_RECORD_BYTES;
  const connectionsAt = workersAt + workerNum * WORKER_RECORD_BYTES;
  const ringHeadersAt = connectionsAt + shape.slots * CONNECTION_RECORD_BYTES;
  const ringsPerReactor = workerNum + senders;
  const plainBytes = alignTo(ringHeadersAt + reactorNum * ringsPerReactor * RING_HEADER_BYTES, PAGE_BYTES);
  const workerRings = workerNum + workerNum * LANES_PER_WORKER;
  const dataPerReactor = workerRings * shape.ringBytes + 2 * SMALL_RING_BYTES;

  const place = (reactor: number, index: number): RingPlace => {
    const small = Math.max(0, index - workerRings);
    return {
      headerAt: ringHeadersAt + (reactor * ringsPerReactor + index) * RING_HEADER_BYTES,
      dataAt: plainBytes + reactor * dataPerReactor + (index - small) * shape.ringBytes + small * SMALL_RING_BYTES,
      bytes: index < workerRings ? shape.ringBytes : SMALL_RING_BYTES,
    };
  };

  return {
    shape,
    reactorsAt,
    workersAt,
    connectionsAt,
    plainBytes,
    totalBytes: plainBytes + reactorNum * dataPerReactor,
    senders,
    inbound: (reactor, worker) => place(reactor, worker),
    outbound: (reactor, sender) => place(reactor, workerNum + sender),
  };
}
