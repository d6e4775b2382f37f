/** Every control message, by sender and receiver. Decoded once, where it arrives. */
import type { SerializedError } from '../errors/index.js';

/** Why a process is replaced without having failed. */
export type ReplaceReason = 'asked' | 'maxRequest' | 'maxUptime' | 'memory';

/** Requests of any process, carried out by the master or the manager. */
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
  /** Duration of a CPU profile; not used for a heap snapshot. */
  readonly durationMs: number;
  /** A new file; empty: it is left in the file for large data, for the master to read. */
  readonly path: string;
}

/** The outcome. `failed`: why there is no profile. `pieces`: where it lies, unless it was written to a path. */
export type ProfileAnswer = { type: 'profiled'; request: number; failed?: string; pieces?: readonly ProfilePiece[] };

/** A process has ended by its own fault. */
export interface CrashReport {
  readonly id: number;
  /** Its name in the log. */
  readonly name: string;
  /** Such ends in a row. */
  readonly failures: number;
  readonly reason: string;
  /** Time until it is respawned. */
  readonly nextInMs: number;
  /** A process that lives this long, its boot included, is healthy. */
  readonly healthyAfterMs: number;
}

/** A process of the server has ended: how, and why. */
export interface ProcessEnd {
  readonly kind: 'worker' | 'task' | 'user' | 'manager';
  /** Of a process with an id; −1: the manager. */
  readonly id: number;
  /** Its name in the log. */
  readonly name: string;
  readonly pid: number;
  /** In one word: see `endReasons`; `'exit'` or `'signal'` for the manager. */
  readonly cause: string;
  /** In a sentence for people, with its error. */
  readonly reason: string;
  readonly code: number;
  /** 'SIGKILL'; null: it exited by itself. */
  readonly signal: string | null;
  readonly uptimeMs: number;
  /** Of its error, or of its blocked loop; empty: none is known. */
  readonly stack: string;
}

/** What the broker process of a cluster says to the master: see `ToMaster` in `cluster/messages.ts`. */
export interface ClusterReport {
  readonly type: 'cluster';
  readonly said: object;
}

export type MasterToManager =
  /** Old workers (of a manager that died) are gone: begin. `first`: the server is not up yet. */
  | { type: 'begin'; first: boolean }
  /** `reloaded` repeats `request`; 0: no caller waits for it. */
  | { type: 'reload'; tasksOnly: boolean; request: number }
  | { type: 'stopWorker'; workerId: number; why: ReplaceReason }
  /** Workers from this id on get no new packets: they finish pending work, then send `withdrawn`. */
  | { type: 'withdraw'; from: number }
  /** Change the number of workers; `scaled` follows when it is done. */
  | { type: 'scale'; workerNum: number; request: number }
  | { type: 'profile'; workerId: number; profile: ProfileOrder }
  /** BASE mode: the ports listen, workers may accept. */
  | { type: 'accept' }
  /** BASE mode, between rungs 1 and 2: workers close their connections, then send `closed`. */
  | { type: 'closeAll'; deadlineMs: number }
  /** Shutdown, rung 1: no more packets come; finish the waiting ones and send `settled`. */
  | { type: 'settle' }
  /** Shutdown, rung 2: stop the workers, then end. `deadlineMs` is the rest of maxWaitMs. */
  | { type: 'stop'; deadlineMs: number };

export type ManagerToMaster =
  /** The first processes, which run before the script does in the manager: their ids and pids. */
  | { type: 'spawned'; pids: readonly (readonly [id: number, pid: number])[] }
  | { type: 'started' }
  | { type: 'crashed'; crash: CrashReport }
  /** Of any process, whatever the reason, but not in the shutdown. */
  | { type: 'ended'; end: ProcessEnd }
  | { type: 'ready' }
  | { type: 'bootFailed'; error: SerializedError }
  | { type: 'settled' }
  | { type: 'closed' }
  /**
   * The reloads requested up to `request` are over; `failed` says why the old workers stay, or with `generation` how a new
   * one of it has crashed; `needsRestart` what the script has changed that only a restart applies.
   */
  | { type: 'reloaded'; request: number; failed?: string; generation?: number; needsRestart?: readonly string[] }
  | { type: 'withdrawn' }
  /** `failed` says why the number of workers has not changed. */
  | { type: 'scaled'; request: number; failed?: string }
  | ProfileAnswer
  | ClusterReport
  /** The last words of a manager that ends by an uncaught error. */
  | { type: 'fatal'; error: SerializedError }
  | ServerRequest;

export type ManagerToWorker =
  /** Take packets from now on: no other process does. */
  | { type: 'attach' }
  /** BASE mode: start accepting clients. */
  | { type: 'accept' }
  /** BASE mode: close your own connections once their queued bytes have left, and send `closed`. */
  | { type: 'closeAll'; deadlineMs: number }
  /** The successor has not come: continue as before. */
  | { type: 'goOn' }
  /** Another process takes over: take no more packets, send `released`, finish pending work, end. */
  | { type: 'release'; deadlineMs: number }
  /** No more packets come: finish the waiting ones and pending callbacks, send `settled`. */
  | { type: 'settle' }
  /** Take the remaining packets, then end. */
  | { type: 'stop'; deadlineMs: number }
  | { type: 'profile'; profile: ProfileOrder }
  /** The successor has got this in your place: see `messaging/passed-on.ts`. */
  | { type: 'passedOn'; packed: string };

export type WorkerToManager =
  | { type: 'ready' }
  | { type: 'bootFailed'; error: SerializedError }
  /** Before `ready`: what the script has changed since the start of the server, and only a restart applies. */
  | { type: 'needsRestart'; differences: readonly string[] }
  | { type: 'released' }
  | { type: 'settled' }
  | { type: 'closed' }
  | ProfileAnswer
  | ClusterReport
  /** For the processes of this id that are leaving. */
  | { type: 'passOn'; packed: string }
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
  'spawned',
  'started',
  'crashed',
  'ended',
  'ready',
  'bootFailed',
  'settled',
  'closed',
  'reloaded',
  'withdrawn',
  'scaled',
  'profiled',
  'cluster',
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
  'passedOn',
]);
export const decodeWorkerToManager = decoder<WorkerToManager>([
  'ready',
  'bootFailed',
  'needsRestart',
  'released',
  'settled',
  'closed',
  'profiled',
  'cluster',
  'passOn',
  'fatal',
  'request',
]);
