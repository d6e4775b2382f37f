/** Figures of a running server, read from shared memory: right from any process, also when a worker hangs. */
import { ReactorBoard, ReactorCounter, WorkerBoard, WorkerCounter, WorkerField } from '../memory/boards.js';
import type { Region } from '../memory/region.js';

/** Counters are totals since the start; times Unix time in ms; sizes bytes. Swoole: stats(). */
export interface ServerStats {
  startedAt: number;
  /** Open connections. */
  connectionNum: number;
  acceptCount: number;
  closeCount: number;
  reactorNum: number;
  workerNum: number;
  /** Workers that have a process and run no callback. */
  idleWorkerNum: number;
  /** Packets that reactors gave to workers. */
  dispatchCount: number;
  /** Packets that workers have called `receive` for. */
  requestCount: number;
  /** Sends of workers. */
  responseCount: number;
  /** Sends to connections that were gone when the reactor came to them. */
  discardCount: number;
  receivedBytes: number;
  sentBytes: number;
  callbackErrors: number;
  /** Callbacks whose promise has not settled. */
  pendingCallbacks: number;
  /** How often reading from a client stopped because its worker was behind. */
  stallCount: number;
  /** Workers that were started again. */
  workerRestarts: number;
  reloadCount: number;
  failedReloadCount: number;
}

export type WorkerInfoState = 'absent' | 'busy' | 'idle';

export interface WorkerInfo {
  id: number;
  /** 0 while there is no process of this id that takes packets. */
  pid: number;
  state: WorkerInfoState;
  /** Which reload it belongs to. */
  generation: number;
  startedAt: number;
  uptimeMs: number;
  connections: number;
  requestCount: number;
  receivedBytes: number;
  responseCount: number;
  sentBytes: number;
  callbackErrors: number;
  pendingCallbacks: number;
  restarts: number;
  lastExitCode: number;
  /** 0: none. */
  lastSignal: number;
}

export function readStats(region: Region): ServerStats {
  const { reactorNum, workerNum } = region.shape;
  const reactors = new ReactorBoard(region);
  const workers = readWorkers(region);
  const overReactors = (read: (reactor: number) => number): number =>
    sum(Array.from({ length: reactorNum }, (_, r) => read(r)));
  const counter = (index: number): number => overReactors((r) => reactors.read(r, index));
  const overWorkers = (read: (worker: WorkerInfo) => number): number => sum(workers.map(read));
  return {
    startedAt: region.startedAt,
    connectionNum: counter(ReactorCounter.accepted) - counter(ReactorCounter.closed),
    acceptCount: counter(ReactorCounter.accepted),
    closeCount: counter(ReactorCounter.closed),
    reactorNum,
    workerNum,
    idleWorkerNum: workers.filter((worker) => worker.state === 'idle').length,
    dispatchCount: counter(ReactorCounter.dispatched),
    requestCount: overWorkers((worker) => worker.requestCount),
    responseCount: overWorkers((worker) => worker.responseCount),
    discardCount: counter(ReactorCounter.discarded),
    receivedBytes: counter(ReactorCounter.receivedBytes),
    sentBytes: counter(ReactorCounter.sentBytes),
    callbackErrors: overWorkers((worker) => worker.callbackErrors),
    pendingCallbacks: overWorkers((worker) => worker.pendingCallbacks),
    stallCount: counter(ReactorCounter.stalls),
    workerRestarts: overWorkers((worker) => worker.restarts),
    reloadCount: region.reloads,
    failedReloadCount: region.reloadsFailed,
  };
}

export function readWorkers(region: Region): WorkerInfo[] {
  const board = new WorkerBoard(region);
  return Array.from({ length: region.shape.workerNum }, (_, id) => readWorker(board, id));
}

function readWorker(board: WorkerBoard, id: number): WorkerInfo {
  const pid = board.field(id, WorkerField.pid);
  const startedAt = board.startedAt(id);
  const presentState = board.field(id, WorkerField.busy) === 0 ? 'idle' : 'busy';
  return {
    id,
    pid,
    state: pid === 0 ? 'absent' : presentState,
    generation: board.field(id, WorkerField.generation),
    startedAt,
    uptimeMs: pid === 0 ? 0 : Date.now() - startedAt,
    connections: board.field(id, WorkerField.connections),
    requestCount: board.read(id, WorkerCounter.received),
    receivedBytes: board.read(id, WorkerCounter.receivedBytes),
    responseCount: board.read(id, WorkerCounter.sent),
    sentBytes: board.read(id, WorkerCounter.sentBytes),
    callbackErrors: board.read(id, WorkerCounter.callbackErrors),
    pendingCallbacks: board.field(id, WorkerField.pending),
    restarts: board.field(id, WorkerField.restarts),
    lastExitCode: board.field(id, WorkerField.lastExitCode),
    lastSignal: board.field(id, WorkerField.lastSignal),
  };
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
