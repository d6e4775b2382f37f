/** Figures of a running server, read from shared memory: available in any process, even when a worker hangs. */

import type { ProcessRole } from '../ipc/inheritance.js';
import { ReactorBoard, ReactorCounter, WorkerBoard, WorkerCounter, WorkerField } from '../memory/boards.js';
import { ClusterRecord } from '../memory/cluster-record.js';
import { peerOf, processNum } from '../memory/layout.js';
import { addHistograms, type Histogram, ProcessRecord, quantile, STANDS_STILL_MS } from '../memory/process-board.js';
import type { Region } from '../memory/region.js';
import { RoomBoard, type RoomTotals } from '../memory/room-board.js';
import type { TaskCounts } from '../messaging/task-queue.js';
import { type SharedObjectStats, sharedObjects } from '../shared/registry.js';

import { monotonicMs } from '../util/clock.js';

import { signalName } from '../util/signal-name.js';

/** Counters are totals since the start; times Unix time in ms; sizes bytes. Swoole: stats(). */
export interface ServerStats {
  /** When the server started, in ms since 1970 (as `Date.now()`). Swoole: start_time, in seconds. */
  startedAt: number;
  /** Open connections. Swoole: connection_num. */
  connectionNum: number;
  /** Connections accepted since the start. Swoole: accept_count. */
  acceptCount: number;
  /** Connections closed since the start. Swoole: close_count. */
  closeCount: number;
  /** Reactors: threads in PROCESS mode, one per worker in BASE mode. */
  reactorNum: number;
  /** The wanted number of workers, without task workers. Swoole: worker_num. */
  workerNum: number;
  /** Workers that have a process and run no callback. Swoole: idle_worker_num. */
  idleWorkerNum: number;
  /** Packets that reactors dispatched to workers. Swoole: dispatch_count. */
  dispatchCount: number;
  /** Packets that workers have called `receive` for. Swoole: request_count. */
  requestCount: number;
  /** Sends of workers. Swoole: response_count. */
  responseCount: number;
  /** Sends that reached the reactor after their connection had gone. */
  discardCount: number;
  /** Bytes received from clients since the start. Swoole: total_recv_bytes. */
  receivedBytes: number;
  /** Bytes that the kernel has taken for clients since the start. Swoole: total_send_bytes. */
  sentBytes: number;
  /** Bytes buffered by the server now: queued for sending, and of incomplete packets. */
  bufferedBytes: number;
  /** Reactors that read no client now, because the server holds more than `maxBufferedBytes`. */
  pausedReactorNum: number;
  /** For how long the first of them has read none, in ms; 0: all read. */
  pausedMs: number;
  /** Callbacks that threw, or whose promise was rejected, since the start. */
  callbackErrors: number;
  /** HTTP answers with a status of 500 and above, since the start: of workers, not those of `server.response()`. */
  serverErrorCount: number;
  /** Callbacks whose promise has not settled. */
  pendingCallbacks: number;
  /** How often a reactor stopped reading from a client because its worker was behind. */
  stallCount: number;
  /** HTTP requests in flight: a worker has yet to answer them. */
  underWayNum: number;
  /**
   * HTTP requests that the server refused by itself: 4xx (also 429 of rateLimit), 501, 505, and 503 above maxConcurrency; of
   * HTTP/2 also those that took too long.
   */
  refusedCount: number;
  /** HTTP/2 streams that were reset because their client did not take its answer. */
  streamResetCount: number;
  /** Requests of HTTP/1 that took too long, or were not answered in time: 408, 503. */
  timedOutCount: number;
  /** HTTP requests whose worker has died: 502. */
  badGatewayCount: number;
  /** HTTP requests answered with a file, without a worker: those of HTTP/1. */
  filesServedCount: number;
  /** Respawns of workers, task workers and processes of your own. */
  workerRestarts: number;
  /** Successful reloads. Swoole: reload_count. */
  reloadCount: number;
  /** Failed reloads, after which the old workers served on. */
  failedReloadCount: number;
  /** Task workers. Swoole: task_worker_num. */
  taskWorkerNum: number;
  /** Task workers that could take a task now. Swoole: task_idle_worker_num. */
  idleTaskWorkerNum: number;
  /** Tasks since the start: submitted = queued + running + done + failed + timedOut, always. */
  tasks: TaskCounts;
  /** Messages sent by `sendMessage`. */
  messageCount: number;
  /** Tables, locks, caches and other objects that all processes share. */
  shared: SharedObjectStats[];
  /** Open WebSockets. */
  webSockets: number;
  /** Messages that came by WebSocket. */
  messagesReceived: number;
  /** How many WebSockets have ended by each code (RFC 6455 7.4), by code; `other`: codes of your own. Only those that occurred. */
  closeCodes: Record<string, number>;
  /** Rooms that have members. */
  rooms: number;
  /** Memberships: a connection in two rooms counts twice. */
  roomMembers: number;
  /** Messages that processes have published to rooms, with or without members. */
  messagesPublished: number;
  /** Published messages that were sent to members, each member counted. */
  roomDeliveries: number;
  /** Published messages that members did not get because they did not keep up: see `slowConsumer`. */
  roomDrops: number;
  /** This node among several; null without the option `cluster`. */
  cluster: ClusterStats | null;
}

/** As the broker process of this node has written them, at each change and every second. Counters are totals since the start. */
export interface ClusterStats {
  /** `'up'`: messages reach other nodes. `'down'` also while the broker process is dead, or has not written for 5 s. */
  state: 'up' | 'reconnecting' | 'down';
  /** Living nodes, this one included; while the state is not `'up'`, as last known. */
  nodeNum: number;
  /** Rooms with members here, to which this node subscribes. */
  followedRooms: number;
  /** Messages that the engine has taken from this node. */
  published: number;
  /** Messages of the engine that came to subscribers here. */
  delivered: number;
  /** Messages that are known to be lost: refused by the driver, or not taken in time by a process of this node. */
  lost: number;
  /** Connections to the engine that replaced a lost one. */
  reconnects: number;
  /** Bytes that the engine has not confirmed yet. */
  bufferedBytes: number;
  /** Durable jobs that this node runs; null without the option `cluster.jobs`. */
  jobs: ClusterJobStats | null;
}

/** Runs of durable jobs on this node. What waits in the engine, `server.jobs.counts(name)` tells. */
export interface ClusterJobStats {
  /** Under way now. */
  running: number;
  /** Whose end the engine has recorded. */
  done: number;
  /** Attempts that ended with an error: each is tried again, or the job is dead. */
  failed: number;
}

export type WorkerInfoState = 'absent' | 'busy' | 'idle';

/** The counts and the state of a process with an id. */
interface WorkerCounts {
  /** Process id in the server: workers from 0, then task workers, then processes of your own. */
  id: number;
  /** `'worker'`, `'task'` or `'user'`. */
  role: ProcessRole;
  /** 0 while no process of this id takes packets. */
  pid: number;
  /** `absent`: there is no process; `busy`: a callback runs; `idle`: it waits. Swoole: getWorkerStatus(). */
  state: WorkerInfoState;
  /** Which reload it belongs to. */
  generation: number;
  /** When its process started, in ms since 1970. */
  startedAt: number;
  /** How long its process has been running, in ms. */
  uptimeMs: number;
  /** Open connections whose packets it gets. */
  connections: number;
  /** Packets it has called `receive` for, for a task worker tasks; all processes of this id together. */
  requestCount: number;
  /** Bytes of these packets. */
  receivedBytes: number;
  /** Its sends to clients. */
  responseCount: number;
  /** Bytes of these sends. */
  sentBytes: number;
  /** Its callbacks that threw, or whose promise was rejected. */
  callbackErrors: number;
  /** Its HTTP answers with a status of 500 and above. */
  serverErrorCount: number;
  /** Callbacks whose promise has not settled. */
  pendingCallbacks: number;
  /** How often a process of this id was respawned. */
  restarts: number;
  /** Exit code of the last process of this id that ended; 0 if none has. */
  lastExitCode: number;
  /** 9 for SIGKILL; 0: none. */
  lastSignal: number;
  /** 'SIGKILL'; null: none. */
  lastSignalName: string | null;
  /** Task workers: running tasks. */
  runningTasks: number;
}

/** The figures of a worker, a task worker or a process of your own. Its counts outlive a process. */
export interface WorkerInfo extends WorkerCounts {
  /**
   * Seconds within which half of all callbacks (task workers: tasks) since the start have ended. The command line and the
   * dashboard get those of the last ten seconds, 0 where none has ended.
   */
  latencyP50: number;
  /** Seconds within which 99 of 100 of them have ended. */
  latencyP99: number;
  /** Seconds within which all of them have ended: the longest took at least half of it. */
  latencyMax: number;
  /** Share of the last second in which its event loop was busy, 0 to 1. */
  loopUtilisation: number;
  /** Time since its event loop last turned, in ms. */
  loopStandsMs: number;
  /** Resident memory in bytes, as last reported. */
  residentBytes: number;
  /** Its event loop has not turned for a second; null: it has. */
  standsStill: StandsStill | null;
}

/** An event loop that is blocked. */
export interface StandsStill {
  /** For how long. */
  sinceMs: number;
  /** Where, a line per call; empty: unknown, as without the option `workerTimeoutMs`, and before 1 s or 70% of it. */
  stack: string;
}

/** A reactor thread of PROCESS mode. Counters are totals since the start. */
export interface ReactorState {
  /** From 0. */
  id: number;
  /** Open connections. */
  connections: number;
  /** Connections it has got. */
  acceptCount: number;
  bytesIn: number;
  bytesOut: number;
  /** Bytes buffered in its memory now. */
  bufferedBytes: number;
  /** Packets dispatched to workers. */
  dispatchCount: number;
  /** How often it stopped reading because a worker was behind. */
  stallCount: number;
  /** Open WebSockets. */
  webSockets: number;
  /** Within which 99 of 100 turns of its event loop were late, since the start. */
  loopDelayMs: number;
  /** Share of the last second in which its event loop was busy, 0 to 1. */
  loopUtilisation: number;
  /** Time since its event loop last turned. */
  loopStandsMs: number;
}

export function readStats(region: Region, tasks: TaskCounts, messageCount: number): ServerStats {
  const { reactorNum, taskWorkerNum } = region.shape;
  const reactors = new ReactorBoard(region);
  const board = new WorkerBoard(region);
  // Includes the work of workers that `scale` has ended.
  const processes = allIds(region).map((id) => readCounts(region, board, id));
  const workers = processes.filter((process) => process.role === 'worker');
  const overReactors = (read: (reactor: number) => number): number => sum(ofReactors(region, read));
  const counter = (index: number): number => overReactors((r) => reactors.read(r, index));
  const overWorkers = (read: (worker: WorkerCounts) => number): number => sum(workers.map(read));
  return {
    startedAt: region.startedAt,
    connectionNum: counter(ReactorCounter.accepted) - counter(ReactorCounter.closed),
    acceptCount: counter(ReactorCounter.accepted),
    closeCount: counter(ReactorCounter.closed),
    reactorNum,
    workerNum: region.activeWorkerNum,
    idleWorkerNum: workers.filter((worker) => worker.state === 'idle').length,
    dispatchCount: counter(ReactorCounter.dispatched),
    requestCount: overWorkers((worker) => worker.requestCount),
    responseCount: overWorkers((worker) => worker.responseCount),
    discardCount: counter(ReactorCounter.discarded),
    receivedBytes: counter(ReactorCounter.receivedBytes),
    sentBytes: counter(ReactorCounter.sentBytes),
    bufferedBytes:
      counter(ReactorCounter.buffered) +
      overWorkers(({ id }) => board.read(id, WorkerCounter.held) + board.http2(id).heldBytes),
    ...readPauses(region, reactors),
    callbackErrors: overWorkers((worker) => worker.callbackErrors),
    serverErrorCount: overWorkers((worker) => worker.serverErrorCount),
    pendingCallbacks: overWorkers((worker) => worker.pendingCallbacks),
    stallCount: counter(ReactorCounter.stalls),
    underWayNum: overReactors((r) => reactors.underWay(r)) + board.streamsUnderWay(region.shape.workerNum),
    refusedCount: counter(ReactorCounter.httpRefused) + overWorkers(({ id }) => board.http2(id).refused),
    streamResetCount: overWorkers(({ id }) => board.http2(id).reset),
    timedOutCount: counter(ReactorCounter.httpTimedOut),
    badGatewayCount: counter(ReactorCounter.badGateways),
    filesServedCount: counter(ReactorCounter.filesServed),
    workerRestarts: sum(processes.map((process) => process.restarts)),
    reloadCount: region.reloads,
    failedReloadCount: region.reloadsFailed,
    taskWorkerNum,
    idleTaskWorkerNum: processes.filter(({ role, state }) => role === 'task' && state === 'idle').length,
    tasks,
    messageCount,
    ...readWebSockets(region, reactors),
    shared: sharedObjects(),
    cluster: new ClusterRecord(region).read() ?? null,
  };
}

function readPauses(region: Region, board: ReactorBoard): Pick<ServerStats, 'pausedReactorNum' | 'pausedMs'> {
  const paused = ofReactors(region, (r) => board.read(r, ReactorCounter.pausedAt)).filter((since) => since > 0);
  const pausedMs = Math.max(0, ...paused.map((since) => Math.round(monotonicMs() - since)));
  return { pausedReactorNum: paused.length, pausedMs };
}

/** Those of `readStats` that cost least: read more often than once a second. */
export function readTraffic(region: Region): Pick<ServerStats, 'connectionNum' | 'requestCount' | 'filesServedCount'> {
  const reactors = new ReactorBoard(region);
  const board = new WorkerBoard(region);
  const counter = (index: number): number => sum(ofReactors(region, (reactor) => reactors.read(reactor, index)));
  return {
    connectionNum: counter(ReactorCounter.accepted) - counter(ReactorCounter.closed),
    requestCount: sum(
      Array.from({ length: region.shape.workerNum }, (_, id) => board.read(id, WorkerCounter.received)),
    ),
    filesServedCount: counter(ReactorCounter.filesServed),
  };
}

type WebSocketStats = Pick<
  ServerStats,
  | ('webSockets' | 'messagesReceived' | 'closeCodes' | 'rooms' | 'roomMembers')
  | ('messagesPublished' | 'roomDeliveries' | 'roomDrops')
>;

function readWebSockets(region: Region, board: ReactorBoard): WebSocketStats {
  const each = (index: number): number[] => ofReactors(region, (reactor) => board.read(reactor, index));
  const { rooms, members: roomMembers } = readRooms(region);
  return {
    webSockets: sum(each(ReactorCounter.webSockets)),
    messagesReceived: sum(each(ReactorCounter.messages)),
    closeCodes: Object.fromEntries([...readCloseCodes(region)].filter(([, count]) => count > 0)),
    ...{ rooms, roomMembers },
    // Each comes to every reactor; in BASE mode one whose worker is being replaced misses some.
    messagesPublished: Math.max(...each(ReactorCounter.published)),
    roomDeliveries: sum(each(ReactorCounter.deliveries)),
    roomDrops: sum(each(ReactorCounter.drops)),
  };
}

/** How many rooms and members there are now. */
export function readRooms(region: Region): RoomTotals {
  return region.shape.rooms === 0 ? { rooms: 0, members: 0 } : new RoomBoard(region).totals();
}

/** How often WebSockets have ended by each code that is counted; `other`: by another one. */
export function readCloseCodes(region: Region): Map<string, number> {
  const board = new ReactorBoard(region);
  const counts = new Map<string, number>();
  for (const { code, count } of ofReactors(region, (reactor) => board.closes(reactor)).flat()) {
    const name = code === 0 ? 'other' : String(code);
    counts.set(name, (counts.get(name) ?? 0) + count);
  }
  return counts;
}

/** The current ones. */
export function readWorkers(region: Region): WorkerInfo[] {
  return readEveryWorker(region).filter(({ id }) => isThere(region, id));
}

/** The current ones and the workers that `scale` has ended, for the sums of counters. */
export function readEveryWorker(region: Region): WorkerInfo[] {
  const board = new WorkerBoard(region);
  const hasBeen = (id: number): boolean => isThere(region, id) || board.startedAt(id) > 0;
  return allIds(region)
    .filter(hasBeen)
    .map((id) => ({ ...readCounts(region, board, id), ...readHealth(region, board, id) }));
}

/** In BASE mode there are none. */
export function readReactors(region: Region): ReactorState[] {
  const board = new ReactorBoard(region);
  return ofReactors(region, (id) => {
    const record = ProcessRecord.ofReactor(region, id);
    return {
      id,
      connections: board.connections(id),
      acceptCount: board.read(id, ReactorCounter.accepted),
      bytesIn: board.read(id, ReactorCounter.receivedBytes),
      bytesOut: board.read(id, ReactorCounter.sentBytes),
      bufferedBytes: board.read(id, ReactorCounter.buffered),
      dispatchCount: board.read(id, ReactorCounter.dispatched),
      stallCount: board.read(id, ReactorCounter.stalls),
      webSockets: board.read(id, ReactorCounter.webSockets),
      loopDelayMs: quantile(record.loopDelays, 0.99) * 1000,
      loopUtilisation: record.loopUtilisation,
      loopStandsMs: msSinceSeen(record.seenAt),
    };
  });
}

/** Seconds within which half, 99 of 100, and all have ended; 0: none has. */
export interface Latencies {
  readonly latencyP50: number;
  readonly latencyP99: number;
  readonly latencyMax: number;
}

export function latenciesOf(callbacks: Histogram): Latencies {
  const within = (share: number): number => quantile(callbacks, share);
  return { latencyP50: within(0.5), latencyP99: within(0.99), latencyMax: within(1) };
}

/** Of all processes of this id. */
export function callbacksOf(region: Region, id: number): Histogram {
  return addHistograms([0, 1].map((lane) => ProcessRecord.ofPeer(region, peerOf(id, lane)).callbacks));
}

function allIds(region: Region): number[] {
  return Array.from({ length: processNum(region.shape) }, (_, id) => id);
}

function ofReactors<T>({ shape: { reactorNum } }: Region, read: (reactor: number) => T): T[] {
  return Array.from({ length: reactorNum }, (_, reactor) => read(reactor));
}

function isThere(region: Region, id: number): boolean {
  return id >= region.shape.workerNum || id < Math.max(region.seatNum, region.activeWorkerNum);
}

function roleOf({ shape: { workerNum, taskWorkerNum } }: Region, id: number): ProcessRole {
  if (id < workerNum) return 'worker';
  return id < workerNum + taskWorkerNum ? 'task' : 'user';
}

function readCounts(region: Region, board: WorkerBoard, id: number): WorkerCounts {
  const role = roleOf(region, id);
  const pid = board.field(id, WorkerField.pid);
  const startedAt = board.startedAt(id);
  const pending = board.field(id, WorkerField.pending);
  const isBusy = role === 'task' ? board.field(id, WorkerField.room) <= 0 : board.field(id, WorkerField.busy) !== 0;
  const presentState = isBusy ? 'busy' : 'idle';
  return {
    id,
    role,
    pid,
    state: pid === 0 ? 'absent' : presentState,
    generation: board.field(id, WorkerField.generation),
    startedAt: region.unixMs(startedAt),
    uptimeMs: pid === 0 ? 0 : Math.round(monotonicMs() - startedAt),
    connections: board.field(id, WorkerField.connections),
    requestCount: board.read(id, WorkerCounter.received),
    receivedBytes: board.read(id, WorkerCounter.receivedBytes),
    responseCount: board.read(id, WorkerCounter.sent),
    sentBytes: board.read(id, WorkerCounter.sentBytes),
    callbackErrors: board.read(id, WorkerCounter.callbackErrors),
    serverErrorCount: board.read(id, WorkerCounter.answers5xx),
    pendingCallbacks: role === 'task' ? 0 : pending,
    restarts: board.field(id, WorkerField.restarts),
    lastExitCode: board.field(id, WorkerField.lastExitCode),
    lastSignal: board.field(id, WorkerField.lastSignal),
    lastSignalName: signalName(board.field(id, WorkerField.lastSignal)),
    runningTasks: role === 'task' ? pending : 0,
  };
}

type Health = Omit<WorkerInfo, keyof WorkerCounts>;

/** Costs more, so it is skipped where only sums are needed. */
function readHealth(region: Region, board: WorkerBoard, id: number): Health {
  const latencies = latenciesOf(callbacksOf(region, id));
  if (board.field(id, WorkerField.pid) === 0) {
    return { ...latencies, loopUtilisation: 0, loopStandsMs: 0, residentBytes: 0, standsStill: null };
  }
  const present = ProcessRecord.ofPeer(region, peerOf(id, board.field(id, WorkerField.lane)));
  const { loopUtilisation, seenAt, residentBytes } = present;
  const loopStandsMs = msSinceSeen(seenAt);
  const standsStill = loopStandsMs < STANDS_STILL_MS ? null : { sinceMs: loopStandsMs, stack: present.stack };
  return { ...latencies, loopUtilisation, loopStandsMs, residentBytes, standsStill };
}

function msSinceSeen(seenAt: number): number {
  return seenAt === 0 ? 0 : Math.max(0, Math.round(monotonicMs() - seenAt));
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
