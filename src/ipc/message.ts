/** Every control message, by who sends it to whom. Decoded once, where it arrives. */
import type { SerializedError } from '../errors/index.js';

/** Why a process is replaced without having failed. */
export type ReplaceReason = 'asked' | 'maxRequest' | 'memory';

/** Asked for by any process, carried out by the master or the manager. */
export type ServerRequest =
  | { type: 'request'; action: 'shutdown' }
  | { type: 'request'; action: 'reload'; tasksOnly: boolean }
  | { type: 'request'; action: 'stopWorker'; workerId: number; why: ReplaceReason };

/** A part of a profile in the file for large data. */
export interface ProfilePiece {
  readonly offset: number;
  readonly bytes: number;
}

/** A profile that a process takes of itself. `workerId` −1: the manager. */
export interface ProfileOrder {
  readonly request: number;
  readonly kind: 'cpu' | 'heap';
  /** How long it watches; a snapshot of the heap takes no time of that kind. */
  readonly durationMs: number;
  /** A new file; empty: it is left in the file for large data, for the master to read. */
  readonly path: string;
}

/** What becomes of it. `failed`: why there is none. `pieces`: where it lies, unless it was written to a path. */
export type ProfileAnswer = { type: 'profiled'; request: number; failed?: string; pieces?: readonly ProfilePiece[] };

/** A process has ended by its own fault. */
export interface CrashReport {
  readonly id: number;
  /** As the log calls it. */
  readonly name: string;
  /** Such ends in a row. */
  readonly failures: number;
  readonly reason: string;
  /** It is started again after so long. */
  readonly nextInMs: number;
  /** One that lives so long, its boot included, is healthy. */
  readonly healthyAfterMs: number;
}

export type MasterToManager =
  /** Old workers (of a manager that died) are gone: begin. `first`: the server is not up yet. */
  | { type: 'begin'; first: boolean }
  /** `request` comes back with `reloaded`; 0: nobody waits for it. */
  | { type: 'reload'; tasksOnly: boolean; request: number }
  | { type: 'stopWorker'; workerId: number; why: ReplaceReason }
  /** Workers from this id on get no new packets: they finish what they have, then say `withdrawn`. */
  | { type: 'withdraw'; from: number }
  /** There shall be so many workers; `scaled` when it is so. */
  | { type: 'scale'; workerNum: number; request: number }
  | { type: 'profile'; workerId: number; profile: ProfileOrder }
  /** BASE mode: the ports listen, workers may accept. */
  | { type: 'accept' }
  /** BASE mode, between rungs 1 and 2: workers close their connections; say `closed`. */
  | { type: 'closeAll'; deadlineMs: number }
  /** Shutdown, rung 1: no more packets come; finish what is there and say `settled`. */
  | { type: 'settle' }
  /** Shutdown, rung 2: stop the workers, then end. `deadlineMs` is what is left of maxWaitMs. */
  | { type: 'stop'; deadlineMs: number };

export type ManagerToMaster =
  | { type: 'started' }
  | { type: 'crashed'; crash: CrashReport }
  | { type: 'ready' }
  | { type: 'bootFailed'; error: SerializedError }
  | { type: 'settled' }
  | { type: 'closed' }
  /** The reloads asked for up to `request` are over; `failed` says why the old workers go on. */
  | { type: 'reloaded'; request: number; failed?: string }
  | { type: 'withdrawn' }
  /** `failed` says why there are as many workers as before. */
  | { type: 'scaled'; request: number; failed?: string }
  | ProfileAnswer
  /** The last words of a manager that ends by an uncaught error. */
  | { type: 'fatal'; error: SerializedError }
  | ServerRequest;

export type ManagerToWorker =
  /** Take packets from now on: nobody else does. */
  | { type: 'attach' }
  /** BASE mode: clients may come. */
  | { type: 'accept' }
  /** BASE mode: close all connections of your own once what is queued for them has left, and say `closed`. */
  | { type: 'closeAll'; deadlineMs: number }
  /** The process that was to take over has not come: go on as if nobody had asked. */
  | { type: 'goOn' }
  /** Another process takes over: take no more packets, say `released`, finish what is owed, end. */
  | { type: 'release'; deadlineMs: number }
  /** No more packets come: finish them and what is owed, say `settled`. */
  | { type: 'settle' }
  /** Take what is left, then end. */
  | { type: 'stop'; deadlineMs: number }
  | { type: 'profile'; profile: ProfileOrder };

export type WorkerToManager =
  | { type: 'ready' }
  | { type: 'bootFailed'; error: SerializedError }
  | { type: 'released' }
  | { type: 'settled' }
  | { type: 'closed' }
  | ProfileAnswer
  /** The last words of a worker that ends by an uncaught error. */
  | { type: 'fatal'; error: SerializedError }
  | ServerRequest;

type Typed = { type: string };

function decoder<M extends Typed>(types: readonly M['type'][]): (value: unknown) => M | undefined {
  const known = new Set<string>(types);
  return (value) => {
    if (typeof value !== 'object' || value === null || !('type' in value)) return undefined;
    return typeof value.type === 'string' && known.has(value.type) ? (value as unknown as M) : undefined;
  };
}

export const decodeMasterToManager = decoder<MasterToManager>([
  'begin',
  'reload',
  'stopWorker',
  'withdraw',
  'scale',
  'profile',
  'accept',
  'closeAll',
  'settle',
  'stop',
]);
export const decodeManagerToMaster = decoder<ManagerToMaster>([
  'started',
  'crashed',
  'ready',
  'bootFailed',
  'settled',
  'closed',
  'reloaded',
  'withdrawn',
  'scaled',
  'profiled',
  'fatal',
  'request',
]);
export const decodeManagerToWorker = decoder<ManagerToWorker>([
  'attach',
  'accept',
  'closeAll',
  'goOn',
  'release',
  'settle',
  'stop',
  'profile',
]);
export const decodeWorkerToManager = decoder<WorkerToManager>([
  'ready',
  'bootFailed',
  'released',
  'settled',
  'closed',
  'profiled',
  'fatal',
  'request',
]);
