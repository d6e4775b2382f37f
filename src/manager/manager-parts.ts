/** The dependencies of the manager. */
import type { ProcessRole } from '../ipc/inheritance.js';
import type { ManagerToMaster, ProcessEnd, ProfileOrder } from '../ipc/message.js';
import type { WorkerBoard } from '../memory/boards.js';
import type { Region } from '../memory/region.js';
import type { Clock } from '../util/clock.js';
import type { Log } from '../util/log.js';
import type { WorkerProcess, WorkerProcessEvents, WorkerSpec } from './worker-handle.js';

/** The argument of `workerError`, in the manager. Swoole: onWorkerError */
export interface WorkerErrorInfo {
  /** Of the worker, task worker or process of your own that ended. */
  readonly workerId: number;
  /** Of the process that ended. */
  readonly pid: number;
  /** 0 when a signal ended it. */
  readonly exitCode: number;
  /** 'SIGKILL'; null when it ended by itself. */
  readonly signal: string | null;
  /** 9 for SIGKILL; 0 when it ended by itself. Swoole: signal. */
  readonly signalNumber: number;
  /** How long it had been running, in ms. */
  readonly uptimeMs: number;
}

export interface DeadProcess {
  readonly pid: number;
  readonly id: number;
  readonly lane: number;
  /** It served under its id; in BASE mode it owned connections. */
  readonly wasServing: boolean;
  readonly exitCode: number;
  readonly signal: number;
  /** See `whyEnded`. */
  readonly why: string;
}

export interface ManagerCallbacks {
  readonly managerStart?: (() => unknown) | undefined;
  readonly managerStop?: (() => unknown) | undefined;
  readonly beforeReload?: (() => unknown) | undefined;
  readonly afterReload?: (() => unknown) | undefined;
  readonly workerError?: ((info: WorkerErrorInfo) => unknown) | undefined;
}

/** A process that the manager keeps: its id is its place in the list. */
export interface PlannedProcess {
  readonly role: ProcessRole;
  readonly name: string;
  /** A reload leaves it alone: it runs none of the user's callbacks. */
  readonly outlivesReloads?: boolean;
}

export interface ManagerParts {
  /** The role of each process id, and its name in the log. */
  readonly processes: readonly PlannedProcess[];
  readonly maxWaitMs: number;
  readonly bootTimeoutMs: number;
  readonly region: Region;
  readonly board: WorkerBoard;
  readonly clock: Clock;
  readonly log: Log;
  readonly callbacks: ManagerCallbacks;
  spawn(spec: WorkerSpec, events: WorkerProcessEvents): WorkerProcess;
  /** How long a process was ready to run and got no CPU, since its start. */
  starvedMs(pid: number): number;
  /** A process is gone: its tasks, and those whose results it awaited, must not be lost. */
  recover(dead: DeadProcess): void;
  /** The preceding manager has died, and all processes with it. */
  recoverAll(): void;
  /** The rings of this worker are empty. */
  isDrained(workerId: number): boolean;
  /** Takes a profile of the manager process. */
  profile(order: ProfileOrder): void;
  notifyMaster(message: ManagerToMaster): void;
  /** A process has ended, and not in the shutdown. */
  ended(end: ProcessEnd): void;
  /** Ends the process. */
  exit(code: number): void;
}
