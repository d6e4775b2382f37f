/** The figures of reactors and workers: each record is written by its owner and readable from every process. */
import { monotonicMs } from '../util/clock.js';
import { LANES_PER_WORKER, REACTOR_RECORD_BYTES, WORKER_RECORD_BYTES } from './layout.js';
import { float64, int32, layoutRecord, numbered } from './record.js';
import type { Region } from './region.js';

/** Float64 counters of a reactor's record. */
export const ReactorCounter = numbered([
  'accepted',
  'closed',
  'receivedBytes',
  'sentBytes',
  'dispatched',
  'replies',
  /** Replies to connections that had gone. */
  'discarded',
  /** Callbacks of the event loop. */
  'wakeUps',
  /** How often it stopped reading because a worker was behind. */
  'stalls',
  /** Bytes buffered in its memory now, in and out. */
  'buffered',
  /** HTTP requests that the reactor refused: 4xx (also 429 of rateLimit), 501, 505, and 503 of maxConcurrency. */
  'httpRefused',
  /** HTTP requests, and bodies, that took too long: 408, 503. */
  'httpTimedOut',
  /** HTTP requests whose worker has died: 502. */
  'badGateways',
  /** HTTP requests answered with a file, without a worker. */
  'filesServed',
  /** WebSockets, now. */
  'webSockets',
  /** Messages that came by WebSocket. */
  'messages',
  /** What processes have published to rooms: each publication comes to every reactor. */
  'published',
  /** Publications sent to members, and those that slow members did not get. */
  'deliveries',
  'drops',
  /** 1 while it reads no client, because the server holds more than `maxBufferedBytes`. */
  'paused',
  /** Since when, in ms of `monotonicMs()`; 0: it is not paused. */
  'pausedAt',
]);

/** How WebSockets end: the codes of RFC 6455 7.4 that are counted one by one. */
export const closeCodesCounted = [1000, 1001, 1002, 1003, 1005, 1006, 1007, 1008, 1009, 1011, 1012, 1013] as const;

const reactorRecord = layoutRecord(
  {
    counters: float64(Object.keys(ReactorCounter).length),
    /** By `closeCodesCounted`; the last one: all other codes. */
    closes: float64(closeCodesCounted.length + 1),
    connections: int32(),
    sleep: int32(),
    occupied: int32(),
    underWay: int32(),
  },
  REACTOR_RECORD_BYTES,
).at;

/**
 * Float64 counters of a worker's record, one set per lane: while a worker is replaced, two processes have its id, and each
 * writes its own set. Totals since the server started, except `held`.
 */
export const WorkerCounter = numbered([
  'received',
  'receivedBytes',
  'sent',
  'sentBytes',
  'callbackErrors',
  'connects',
  'closes',
  /** HTTP answers by the class of their status; what is below 300 counts as 2xx. */
  'answers2xx',
  'answers3xx',
  'answers4xx',
  'answers5xx',
  /** Bytes queued for sending in its memory, now. */
  'held',
]);
type WorkerCounter = (typeof WorkerCounter)[keyof typeof WorkerCounter];
const COUNTERS_PER_LANE = Object.keys(WorkerCounter).length;

/** Float64: the figures of HTTP/2 in a worker, once per lane: see `Http2Record`. */
const Http2Counter = numbered(['refused', 'reset', 'heldBytes']);
const HTTP2_PER_LANE = Object.keys(Http2Counter).length;

const workerRecord = layoutRecord(
  {
    counters: float64(COUNTERS_PER_LANE * LANES_PER_WORKER),
    startedAt: float64(),
    http2: float64(HTTP2_PER_LANE * LANES_PER_WORKER),
    pid: int32(),
    generation: int32(),
    lane: int32(),
    state: int32(),
    restarts: int32(),
    lastExitCode: int32(),
    lastSignal: int32(),
    connections: int32(),
    sleepOfLane0: int32(),
    sleepOfLane1: int32(),
    busy: int32(),
    pending: int32(),
    processOfLane0: int32(),
    processOfLane1: int32(),
    room: int32(),
    looking: int32(),
    dismissing: int32(),
    streamsOfLane0: int32(),
    streamsOfLane1: int32(),
    ready: int32(),
  },
  WORKER_RECORD_BYTES,
).at;

/** Int32 fields of a worker's record. */
export const WorkerField = {
  pid: workerRecord.pid,
  generation: workerRecord.generation,
  /** The lane whose process takes packets now. */
  lane: workerRecord.lane,
  state: workerRecord.state,
  restarts: workerRecord.restarts,
  lastExitCode: workerRecord.lastExitCode,
  lastSignal: workerRecord.lastSignal,
  connections: workerRecord.connections,
  sleepOfLane0: workerRecord.sleepOfLane0,
  sleepOfLane1: workerRecord.sleepOfLane1,
  /** While callbacks run: their start, see `busyStamp`; 0 otherwise. */
  busy: workerRecord.busy,
  /** Callbacks whose promise has not settled. */
  pending: workerRecord.pending,
  /** Every process of this id, booting and draining ones included: all must be gone before a new manager begins. */
  processOfLane0: workerRecord.processOfLane0,
  processOfLane1: workerRecord.processOfLane1,
  /** Task workers: how many more tasks it can run now. */
  room: workerRecord.room,
  /** Task workers: odd while it looks for tasks by itself: see `Spin`. */
  looking: workerRecord.looking,
  /** HTTP: 1 while it waits for uploads to end before another process takes over: it gets no new uploads. */
  dismissing: workerRecord.dismissing,
  /** HTTP/2 requests in flight in a process: see `Http2Record`. */
  streamsOfLane0: workerRecord.streamsOfLane0,
  streamsOfLane1: workerRecord.streamsOfLane1,
  /** The pid of the process that has become ready last. */
  ready: workerRecord.ready,
} as const;
type WorkerField = (typeof WorkerField)[keyof typeof WorkerField];

const STAMP_MASK = 0x3fffffff;

/** The time in ms, in 30 bits, and never 0. */
export function busyStamp(): number {
  return monotonicMs() & STAMP_MASK || 1;
}

/** The age of a stamp in ms; 0 for none. */
export function msSince(stamp: number): number {
  const ms = (monotonicMs() - stamp) & STAMP_MASK;
  return stamp === 0 || ms > STAMP_MASK / 2 ? 0 : ms; // a stamp of this very millisecond
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
    const index = this.#float(reactor) + reactorRecord.counters + counter;
    this.#float64[index] = (this.#float64[index] ?? 0) + amount;
  }

  set(reactor: number, counter: number, value: number): void {
    this.#float64[this.#float(reactor) + reactorRecord.counters + counter] = value;
  }

  read(reactor: number, counter: number): number {
    return this.#float64[this.#float(reactor) + reactorRecord.counters + counter] ?? 0;
  }

  /** A WebSocket has ended. @param code RFC 6455 7.4 */
  countClose(reactor: number, code: number): void {
    const place = (closeCodesCounted as readonly number[]).indexOf(code);
    const index = this.#closes(reactor) + (place < 0 ? closeCodesCounted.length : place);
    this.#float64[index] = (this.#float64[index] ?? 0) + 1;
  }

  /** How often WebSockets have ended by each code; 0: by another one. */
  closes(reactor: number): { code: number; count: number }[] {
    return [...closeCodesCounted, 0].map((code, i) => ({ code, count: this.#float64[this.#closes(reactor) + i] ?? 0 }));
  }

  #closes(reactor: number): number {
    return this.#float(reactor) + reactorRecord.closes;
  }

  /** Live connections, including those on their way from the accepting thread. */
  connections(reactor: number): number {
    return Atomics.load(this.#int32, this.#int(reactor) + reactorRecord.connections);
  }

  addConnections(reactor: number, amount: number): void {
    Atomics.add(this.#int32, this.#int(reactor) + reactorRecord.connections, amount);
  }

  /** Slots in use: live connections, and ended ones whose `close` no worker has seen yet. */
  occupied(reactor: number): number {
    return Atomics.load(this.#int32, this.#int(reactor) + reactorRecord.occupied);
  }

  addOccupied(reactor: number, amount: number): void {
    Atomics.add(this.#int32, this.#int(reactor) + reactorRecord.occupied, amount);
  }

  /** HTTP requests in flight on its connections. */
  underWay(reactor: number): number {
    return Atomics.load(this.#int32, this.#int(reactor) + reactorRecord.underWay);
  }

  setUnderWay(reactor: number, count: number): void {
    this.#int32[this.#int(reactor) + reactorRecord.underWay] = count;
  }

  /** Only that reactor calls it: twice per request, so without `Atomics`, which is a call on Node 20; readers may see a slightly old value. */
  countUnderWay(reactor: number, change: 1 | -1): void {
    const at = this.#int(reactor) + reactorRecord.underWay;
    this.#int32[at] = (this.#int32[at] ?? 0) + change;
  }

  /** The place of the reactor's sleep state: see `Sleeper`. */
  sleepIndex(reactor: number): number {
    return this.#int(reactor) + reactorRecord.sleep;
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

  /** The place of a worker process's own counters. */
  counterIndex(worker: number, lane: number): number {
    return this.#float(worker) + workerRecord.counters + lane * COUNTERS_PER_LANE;
  }

  read(worker: number, counter: WorkerCounter): number {
    const at = this.counterIndex(worker, 0) + counter;
    return (this.#float64[at] ?? 0) + (this.#float64[at + COUNTERS_PER_LANE] ?? 0);
  }

  /** The process of this lane is gone, and with it the bytes queued in its memory. */
  forgetHeld(worker: number, lane: number): void {
    this.#float64[this.counterIndex(worker, lane) + WorkerCounter.held] = 0;
  }

  /** In ms of `monotonicMs()`: when the current process of this id became ready; 0: there was none yet. */
  startedAt(worker: number): number {
    return this.#float64[this.#float(worker) + workerRecord.startedAt] ?? 0;
  }

  setStartedAt(worker: number, time: number): void {
    this.#float64[this.#float(worker) + workerRecord.startedAt] = time;
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

  /** Each look has a number of its own, so that whoever relies on it does so once: the process may be stopped meanwhile. */
  setLooking(worker: number, looks: boolean): void {
    const look = this.field(worker, WorkerField.looking);
    if ((look & 1) !== Number(looks)) this.setField(worker, WorkerField.looking, look + 1);
  }

  setProcess(worker: number, lane: number, pid: number): void {
    this.setField(worker, lane === 0 ? WorkerField.streamsOfLane0 : WorkerField.streamsOfLane1, 0);
    this.setField(worker, lane === 0 ? WorkerField.processOfLane0 : WorkerField.processOfLane1, pid);
  }

  /** One that leaves, or comes, besides the one that serves. */
  hasTwoProcesses(worker: number): boolean {
    return this.field(worker, WorkerField.processOfLane0) !== 0 && this.field(worker, WorkerField.processOfLane1) !== 0;
  }

  processes(worker: number): number[] {
    const pids = [this.field(worker, WorkerField.processOfLane0), this.field(worker, WorkerField.processOfLane1)];
    return pids.filter((pid) => pid !== 0);
  }

  forgetProcess(worker: number, pid: number): void {
    for (const lane of [0, 1]) {
      const field = lane === 0 ? WorkerField.processOfLane0 : WorkerField.processOfLane1;
      if (this.field(worker, field) === pid) this.setProcess(worker, lane, 0);
    }
  }

  /** HTTP/2 requests in flight in the processes of the first `workers` ids. */
  streamsUnderWay(workers: number): number {
    let sum = 0;
    for (let worker = 0; worker < workers; worker++) sum += this.#streamsOf(worker);
    return sum;
  }

  /** The figures of HTTP/2 in the processes of a worker id. */
  http2(worker: number): { underWay: number; refused: number; reset: number; heldBytes: number } {
    const at = this.#float(worker) + workerRecord.http2;
    const both = (field: number): number =>
      (this.#float64[at + field] ?? 0) + (this.#float64[at + HTTP2_PER_LANE + field] ?? 0);
    const underWay = this.#streamsOf(worker);
    return {
      underWay,
      refused: both(Http2Counter.refused),
      reset: both(Http2Counter.reset),
      heldBytes: both(Http2Counter.heldBytes),
    };
  }

  /** The place of one process's part of them. */
  http2Index(worker: number, lane: number): number {
    return this.#float(worker) + workerRecord.http2 + lane * HTTP2_PER_LANE;
  }

  sleepIndex(worker: number, lane: number): number {
    return this.#int(worker) + (lane === 0 ? WorkerField.sleepOfLane0 : WorkerField.sleepOfLane1);
  }

  #streamsOf(worker: number): number {
    return this.field(worker, WorkerField.streamsOfLane0) + this.field(worker, WorkerField.streamsOfLane1);
  }

  #float(worker: number): number {
    return this.#at / 8 + (worker * WORKER_RECORD_BYTES) / 8;
  }

  #int(worker: number): number {
    return this.#at / 4 + (worker * WORKER_RECORD_BYTES) / 4;
  }
}

/** The figures of HTTP/2 in one process, written by that process. */
export class Http2Record {
  readonly #board: WorkerBoard;
  readonly #float64: Float64Array;
  readonly #worker: number;
  readonly #at: number;
  readonly #streams: WorkerField;

  constructor(region: Region, worker: number, lane: number) {
    this.#board = new WorkerBoard(region);
    this.#float64 = region.float64;
    this.#worker = worker;
    this.#at = this.#board.http2Index(worker, lane);
    this.#streams = lane === 0 ? WorkerField.streamsOfLane0 : WorkerField.streamsOfLane1;
    this.#board.setField(worker, this.#streams, 0);
    this.held(0);
  }

  /** One request more, or one fewer, is in flight. */
  countUnderWay(change: 1 | -1): void {
    this.#board.addField(this.#worker, this.#streams, change);
  }

  countRefused(): void {
    this.#add(Http2Counter.refused);
  }

  countReset(): void {
    this.#add(Http2Counter.reset);
  }

  /** Bytes of answers that clients have not taken, now. */
  held(bytes: number): void {
    this.#float64[this.#at + Http2Counter.heldBytes] = bytes;
  }

  #add(field: number): void {
    this.#float64[this.#at + field] = (this.#float64[this.#at + field] ?? 0) + 1;
  }
}
