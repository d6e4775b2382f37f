/** The figures of reactors and workers: each record is written by its owner and read by whoever wants to know. */
import { REACTOR_RECORD_BYTES, WORKER_RECORD_BYTES } from './layout.js';
import type { Region } from './region.js';

/** Float64 fields of a reactor's record. */
export const ReactorCounter = {
  accepted: 0,
  closed: 1,
  receivedBytes: 2,
  sentBytes: 3,
  dispatched: 4,
  replies: 5,
  /** Replies to connections that were gone. */
  discarded: 6,
  /** Callbacks of the event loop. */
  wakeUps: 7,
  /** How often reading stopped because a worker was behind. */
  stalls: 8,
  /** Bytes that wait in its memory now, in and out. */
  buffered: 9,
  /** HTTP requests that were refused by the reactor: 4xx, 501, 505, and 503 of maxConcurrency. */
  httpRefused: 12,
  /** HTTP requests, and bodies, that took too long: 408, 503. */
  httpTimedOut: 13,
  /** HTTP requests whose worker has died: 502. */
  badGateways: 14,
  /** HTTP requests answered with a file, without a worker. */
  filesServed: 15,
} as const;
/** Int32 fields between the floats: 20 to 23. */
const REACTOR_CONNECTIONS = 20;
const REACTOR_SLEEP = 21;
const REACTOR_OCCUPIED = 22;
const REACTOR_UNDER_WAY = 23;

/**
 * Float64 fields of a worker's record, kept once per lane: while a worker is replaced two processes bear its id, and
 * each writes its own. All but `startedAt` are totals since the server started.
 */
export const WorkerCounter = {
  received: 0,
  receivedBytes: 1,
  sent: 2,
  sentBytes: 3,
  callbackErrors: 4,
  connects: 5,
  closes: 6,
  /** Bytes that wait in its memory to be sent, now. */
  held: 7,
} as const;
type WorkerCounter = (typeof WorkerCounter)[keyof typeof WorkerCounter];
const COUNTERS_PER_LANE = 8;
/** Int32 fields, behind the floats of both lanes. */
export const WorkerField = {
  pid: 32,
  generation: 33,
  /** The lane whose process takes packets now. */
  lane: 34,
  state: 35,
  restarts: 36,
  lastExitCode: 37,
  lastSignal: 38,
  connections: 39,
  sleepOfLane0: 40,
  sleepOfLane1: 41,
  /** While callbacks run: since when, see `busyStamp`; 0 otherwise. */
  busy: 42,
  /** Callbacks whose promise has not settled. */
  pending: 43,
  /** Every process of this id, also one that boots or drains: who has to be gone before a new manager begins. */
  processOfLane0: 44,
  processOfLane1: 45,
  /** Task workers: how many more tasks it can run now. */
  room: 46,
  /** HTTP: 1 while it waits for uploads to end before another process takes over: it is given no further ones. */
  dismissing: 47,
} as const;
type WorkerField = (typeof WorkerField)[keyof typeof WorkerField];
const STARTED_AT = 24;

const STAMP_MASK = 0x3fffffff;

/** The time in ms, in 30 bits, and never 0. */
export function busyStamp(): number {
  return Date.now() & STAMP_MASK || 1;
}

/** How long ago a stamp was made, in ms; 0 for none. */
export function msSince(stamp: number): number {
  const ms = (Date.now() - stamp) & STAMP_MASK;
  return stamp === 0 || ms > STAMP_MASK / 2 ? 0 : ms; // a clock that was set back is no time at work
}

export class ReactorBoard {
  readonly #int32: Int32Array;
  readonly #float64: Float64Array;
  readonly #at: number;

  constructor(region: Region) {
    this.#int32 = region.int32;
    this.#float64 = region.float64;
    this.#at = region.layout.reactorsAt;
  }

  add(reactor: number, counter: number, amount: number): void {
    const index = this.#float(reactor) + counter;
    this.#float64[index] = (this.#float64[index] ?? 0) + amount;
  }

  set(reactor: number, counter: number, value: number): void {
    this.#float64[this.#float(reactor) + counter] = value;
  }

  read(reactor: number, counter: number): number {
    return this.#float64[this.#float(reactor) + counter] ?? 0;
  }

  /** Living connections, those on their way from the accepting thread included. */
  connections(reactor: number): number {
    return Atomics.load(this.#int32, this.#int(reactor) + REACTOR_CONNECTIONS);
  }

  addConnections(reactor: number, amount: number): void {
    Atomics.add(this.#int32, this.#int(reactor) + REACTOR_CONNECTIONS, amount);
  }

  /** Slots in use: connections and those that ended but whose `close` no worker has seen yet. */
  occupied(reactor: number): number {
    return Atomics.load(this.#int32, this.#int(reactor) + REACTOR_OCCUPIED);
  }

  addOccupied(reactor: number, amount: number): void {
    Atomics.add(this.#int32, this.#int(reactor) + REACTOR_OCCUPIED, amount);
  }

  /** HTTP requests that its connections are owed an answer to. */
  underWay(reactor: number): number {
    return Atomics.load(this.#int32, this.#int(reactor) + REACTOR_UNDER_WAY);
  }

  /** Twice per request, so without `Atomics`, which is a call on Node 20: who reads it may be a moment behind. */
  setUnderWay(reactor: number, count: number): void {
    this.#int32[this.#int(reactor) + REACTOR_UNDER_WAY] = count;
  }

  /** Where the reactor's sleep is told: see `Sleeper`. */
  sleepIndex(reactor: number): number {
    return this.#int(reactor) + REACTOR_SLEEP;
  }

  #float(reactor: number): number {
    return this.#at / 8 + (reactor * REACTOR_RECORD_BYTES) / 8;
  }

  #int(reactor: number): number {
    return this.#at / 4 + (reactor * REACTOR_RECORD_BYTES) / 4;
  }
}

export class WorkerBoard {
  readonly #int32: Int32Array;
  readonly #float64: Float64Array;
  readonly #at: number;

  constructor(region: Region) {
    this.#int32 = region.int32;
    this.#float64 = region.float64;
    this.#at = region.layout.workersAt;
  }

  /** Where a worker process finds its own counters. */
  counterIndex(worker: number, lane: number): number {
    return this.#float(worker) + lane * COUNTERS_PER_LANE;
  }

  read(worker: number, counter: WorkerCounter): number {
    const at = this.#float(worker) + counter;
    return (this.#float64[at] ?? 0) + (this.#float64[at + COUNTERS_PER_LANE] ?? 0);
  }

  /** The process of this lane is gone, and with it what waited in its memory. */
  forgetHeld(worker: number, lane: number): void {
    this.#float64[this.counterIndex(worker, lane) + WorkerCounter.held] = 0;
  }

  /** Unix time in ms at which the present process of this id became ready. */
  startedAt(worker: number): number {
    return this.#float64[this.#float(worker) + STARTED_AT] ?? 0;
  }

  setStartedAt(worker: number, time: number): void {
    this.#float64[this.#float(worker) + STARTED_AT] = time;
  }

  field(worker: number, field: WorkerField): number {
    return Atomics.load(this.#int32, this.#int(worker) + field);
  }

  setField(worker: number, field: WorkerField, value: number): void {
    Atomics.store(this.#int32, this.#int(worker) + field, value);
  }

  addField(worker: number, field: WorkerField, amount: number): number {
    return Atomics.add(this.#int32, this.#int(worker) + field, amount);
  }

  setProcess(worker: number, lane: number, pid: number): void {
    this.setField(worker, lane === 0 ? WorkerField.processOfLane0 : WorkerField.processOfLane1, pid);
  }

  processes(worker: number): number[] {
    const pids = [this.field(worker, WorkerField.processOfLane0), this.field(worker, WorkerField.processOfLane1)];
    return pids.filter((pid) => pid !== 0);
  }

  forgetProcess(worker: number, pid: number): void {
    for (const field of [WorkerField.processOfLane0, WorkerField.processOfLane1]) {
      if (this.field(worker, field) === pid) this.setField(worker, field, 0);
    }
  }

  sleepIndex(worker: number, lane: number): number {
    return this.#int(worker) + (lane === 0 ? WorkerField.sleepOfLane0 : WorkerField.sleepOfLane1);
  }

  #float(worker: number): number {
    return this.#at / 8 + (worker * WORKER_RECORD_BYTES) / 8;
  }

  #int(worker: number): number {
    return this.#at / 4 + (worker * WORKER_RECORD_BYTES) / 4;
  }
}
