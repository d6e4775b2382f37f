/** The control interface of a running server, for the command line, the admin listener and the API. */
import type { ClusterState } from '../memory/cluster-record.js';
import type { ClientInfo } from '../memory/connection-table.js';
import type { LogLines } from '../memory/log-board.js';
import type { RoomSize, RoomTotals } from '../memory/room-board.js';
import type { SharedObjectDetails } from '../shared/registry.js';
import type { Doing } from './dashboard/doing.js';
import type { EndReport } from './dashboard/ends.js';
import type { History, Rates } from './dashboard/history.js';
import type { MetricFamily } from './metrics.js';
import type { ReactorState, ServerStats, WorkerInfo } from './stats.js';

export type ServerPhase = 'starting' | 'running' | 'shutting down' | 'ended';

/**
 * The state of the server in one word: its phase, or while it runs `crash-looping` (no worker stays up) or `degraded`
 * (some process does not stay up, others serve).
 */
export type ServerState = ServerPhase | 'degraded' | 'crash-looping';

/** A process that keeps ending by its own fault. Times are Unix time in ms. */
export interface CrashLoop {
  /** Of a worker, task worker or user process; −1: the manager. */
  readonly id: number;
  /** As the log calls it: `worker 0`. */
  readonly name: string;
  /** Its ends in a row. */
  readonly failures: number;
  /** The reason of its last end. */
  readonly reason: string;
  readonly endedAt: number;
  /** When it is, or was, respawned. */
  readonly nextAttemptAt: number;
}

/** The load of a server's workers, and their latencies. */
export interface Traffic {
  /** HTTP requests, or packets. */
  readonly unit: 'requests' | 'packets';
  /** Over the last ten seconds, as the latencies. */
  readonly perSecond: number;
  /** Seconds within which half, and 99 of 100, of the callbacks have ended; 0: none has. */
  readonly latencyP50: number;
  readonly latencyP99: number;
  /** Seconds that the longest of them took. */
  readonly latencyMax: number;
}

/** A process, with the name that `addProcess` has given it. */
export interface NamedWorkerInfo extends WorkerInfo {
  /** `worker 0`, `task worker 2`, `process mailer`: as in the log. */
  name: string;
}

/** One node of the cluster; its fields as in `NodeInfo`. */
export interface ClusterMember {
  readonly id: string;
  readonly incarnation: string;
  readonly address: string;
  readonly version: string;
  /** It is this server. */
  readonly self: boolean;
}

/** How far a reload of all nodes is with one of them. */
export interface NodeReload {
  readonly node: string;
  readonly state: 'waiting' | 'reloading' | 'reloaded' | 'skipped' | 'failed';
  /** Of `skipped` and `failed`; empty elsewhere. */
  readonly why: string;
}

/** The new workers serve. */
export interface Reloaded {
  readonly generation: number;
  /** What the script has changed since the start of the server and only a restart applies; missing: nothing. */
  readonly needsRestart?: readonly string[];
}

/** A reload of all nodes, ordered at this one: the others by name, this one last; then those that were lost before, all skipped. */
export interface NodesReload {
  readonly running: boolean;
  readonly nodes: readonly NodeReload[];
}

/** The durable jobs of one name, over all nodes. */
export interface NamedJobs {
  readonly name: string;
  /** This node takes jobs of that name. */
  readonly isWorked: boolean;
  /** They run as soon as there is room. */
  readonly waiting: number;
  /** They wait for their time, or for the pause before another attempt. */
  readonly delayed: number;
  /** Under way on some node. */
  readonly running: number;
  /** Ended well, and still kept. */
  readonly done: number;
  /** Failed for the last time, and still kept. */
  readonly dead: number;
}

/** A job that failed for the last time. Times are Unix time in ms. */
export interface DeadJob {
  readonly id: string;
  readonly name: string;
  readonly attemptsMade: number;
  /** Most it may have. */
  readonly attempts: number;
  readonly enqueuedAt: number;
  readonly startedAt?: number;
  readonly endedAt?: number;
  /** Why the last attempt failed: the first 1,000 characters. */
  readonly reason?: string;
  /** Of its error, with the causes: the first 1,500 characters. */
  readonly stack?: string;
  /** As it was enqueued, where its JSON has at most 500 characters. */
  readonly data?: unknown;
  /** Of longer data: the first 500 characters of its JSON. */
  readonly dataStart?: string;
}

export interface RemovedDead {
  readonly removed: number;
  /** There may be more: that were as many as one call removes. */
  readonly more: boolean;
}

/** Enqueues a job at each tick. */
export interface ShownSchedule {
  readonly key: string;
  readonly name: string;
  /** As it was given; of a cron rule the first 2,000 characters. */
  readonly rule: { readonly cron: string; readonly tz?: string } | { readonly everyMs: number };
  /** Unix time in ms; one that has passed: that job waits. */
  readonly nextAt: number;
  /** Most of each of its jobs. */
  readonly attempts: number;
  /** Of its jobs, where the JSON has at most 500 characters. */
  readonly data?: unknown;
  /** Of longer data: the first 500 characters of its JSON. */
  readonly dataStart?: string;
}

/** Of one page, as of dead jobs. */
export const MOST_SCHEDULES = 50;

/** A job that is asked for by its id: of data it has up to 50,000 characters, of reason and stack 10,000. */
export interface ShownJob extends DeadJob {
  readonly state: 'waiting' | 'delayed' | 'running' | 'done' | 'dead';
  /** Of a job that is done: what its handler has returned, where its JSON has at most 50,000 characters. */
  readonly result?: unknown;
  /** Of a longer result: the first 50,000 characters of its JSON. */
  readonly resultStart?: string;
}

/** Of one page: it comes to the master as one control message, which has 1 MiB at most. */
export const MOST_DEAD_JOBS = 50;

/** A node of several, and what it knows of the others. */
export interface ClusterStatus {
  readonly nodeId: string;
  readonly driver: string;
  /** Host and port of the engine. */
  readonly engine: string;
  /** `down` also while the broker process is dead or hangs. */
  readonly state: ClusterState;
  /** Why it is not up, as far as is known. */
  readonly why: string;
  /** While the state is not `up`: as last known. */
  readonly nodes: readonly ClusterMember[];
  /** Ids of nodes that were not heard of any more and did not leave, at most 100: they may serve on by themselves. */
  readonly lost: readonly string[];
  /** Durable jobs by name, over all nodes, as counted in the last 5 s; empty without jobs, and while the engine does not answer. */
  readonly queues: readonly NamedJobs[];
  /** Why the engine of durable jobs does not answer, so that none run; empty: it does, or there are none. */
  readonly jobsWhy: string;
  readonly readyNeedsEngine: boolean;
  /** The last one that was ordered here; null: none. */
  readonly reload: NodesReload | null;
}

/** The cluster's part of the control interface. */
export interface ClusterControl {
  status(): ClusterStatus;
  /** Resolves when the workers of all nodes are new; nodes that left meanwhile are skipped. @throws ServerError ERR_NODE_RELOAD */
  reload(): Promise<NodesReload>;
  /** @throws ServerError ERR_NO_JOBS */
  readonly jobs: JobControl;
}

/** Durable jobs in the control interface. All reject with ERR_CLUSTER_DOWN or ERR_CLUSTER_TIMEOUT where the engine does not answer. */
export interface JobControl {
  /** Counts now: the names that this node takes or has enqueued since its broker process started, 100 at most. */
  count(): Promise<readonly NamedJobs[]>;
  /** undefined: the engine does not have it (any more). */
  find(job: string): Promise<ShownJob | undefined>;
  /** Newest first. @param limit at most `MOST_DEAD_JOBS` */
  dead(name: string, offset: number, limit: number): Promise<readonly DeadJob[]>;
  /** Runs a dead job again, with all its attempts. Rejects with ERR_JOB_NOT_DEAD too. */
  retry(job: string): Promise<void>;
  /** The next to tick first. @param limit at most `MOST_SCHEDULES` */
  schedules(name: string, offset: number, limit: number): Promise<readonly ShownSchedule[]>;
  /** Whether there was one. */
  unschedule(name: string, key: string): Promise<boolean>;
  /** Whether there was one. Rejects with ERR_JOB_NOT_REMOVED too. */
  remove(job: string): Promise<boolean>;
  /** Dead jobs of a name, 1,000 at most in one call. */
  removeDead(name: string): Promise<RemovedDead>;
}

export interface ServerStatus {
  readonly name: string;
  readonly version: string;
  readonly node: string;
  readonly mode: string;
  readonly phase: ServerPhase;
  readonly state: ServerState;
  /** Empty while all processes stay up. */
  readonly crashLoops: readonly CrashLoop[];
  readonly traffic: Traffic;
  /** Clients are served: the server is running, and some worker stays up (and the cluster's engine, with `readyNeedsEngine`). */
  readonly ready: boolean;
  readonly script: string;
  readonly masterPid: number;
  readonly managerPid: number;
  /** Unix time in ms. */
  readonly startedAt: number;
  readonly uptimeMs: number;
  /** As a user would write them: `127.0.0.1:9501`, `udp 127.0.0.1:9502`, a path. */
  readonly listening: readonly string[];
  readonly generation: number;
  /** The wanted number of workers; `scale` changes it. */
  readonly workerNum: number;
  readonly maxWorkerNum: number;
  readonly connectionNum: number;
  readonly requestCount: number;
  readonly logLevel: string;
  readonly isDaemon: boolean;
  readonly pidFile: string;
  readonly logFile: string;
  /** The address of the admin listener; empty: there is none. */
  readonly admin: string;
  /** Some port speaks WebSocket. */
  readonly speaksWebSocket: boolean;
  /** null: the server is alone. */
  readonly cluster: ClusterStatus | null;
}

export interface ConnectionFilter {
  /** Session ids after this one. */
  readonly after: number;
  readonly count: number;
  readonly workerId?: number | undefined;
  readonly address?: string | undefined;
  readonly port?: number | undefined;
}

export interface ConnectionPage {
  readonly connections: readonly ClientInfo[];
  /** Pass it as `after` to get the next page; 0: there is none. */
  readonly next: number;
}

export interface LogFilter {
  /** Lines after this number. */
  readonly after: number;
  /** The newest of those that fit. */
  readonly count: number;
  /** Lines of this level and more severe ones. */
  readonly level?: string | undefined;
  /** In the line or the name of its process, in letters of either case. */
  readonly text?: string | undefined;
}

export interface RoomReport {
  /** How many rooms have members, and how many memberships there are. */
  readonly total: RoomTotals;
  /** Those with the most members, these first. */
  readonly rooms: readonly RoomSize[];
}

/** A profile, or a snapshot of the heap, that a process takes of itself. */
export interface ProfileRequest {
  readonly kind: 'cpu' | 'heap';
  /** A worker id, the master or the manager. */
  readonly target: number | 'master' | 'manager';
  readonly durationMs: number;
  /** Absolute; a new file, written by that process, with its rights. */
  readonly path: string;
}

/** A profile that was not written to a path. */
export interface TakenProfile {
  /** The suggested file name: `worker-0.cpuprofile`. */
  readonly name: string;
  readonly bytes: number;
  read(): AsyncIterable<Buffer>;
  /** Call it once, even if the profile was not read. */
  free(): void;
}

export interface Controlled {
  status(): ServerStatus;
  stats(): ServerStats;
  /** Their latencies are those of the last ten seconds; 0: no callback has ended. */
  workers(): NamedWorkerInfo[];
  metrics(): MetricFamily[];
  connections(filter: ConnectionFilter): ConnectionPage;
  /** @throws ServerError ERR_NO_WEBSOCKET */
  rooms(count: number): RoomReport;
  /**
   * Publishes a text to a room, in order with what the master publishes. A room that nobody is in has 0 members, which is no
   * error. @returns how many members the room has now
   * @throws ServerError ERR_NO_WEBSOCKET, ERR_ROOM_NAME, ERR_ROOM_BUFFER_FULL
   */
  publish(room: string, text: string): { readonly members: number };
  /** Options without secrets. */
  settings(): Readonly<Record<string, unknown>>;
  /** Resolves when the new workers serve and the old ones have ended. @throws ServerError ERR_RELOAD */
  reload(tasksOnly: boolean): Promise<Reloaded>;
  /** @throws ServerError ERR_NO_CLUSTER */
  nodes(): ClusterStatus;
  /** As `ClusterControl.reload`. @throws ServerError ERR_NO_CLUSTER, ERR_NODE_RELOAD */
  reloadNodes(): Promise<NodesReload>;
  /** As `JobControl.count`. Rejects with ERR_NO_CLUSTER and ERR_NO_JOBS too. */
  countJobs(): Promise<readonly NamedJobs[]>;
  /** As `JobControl.find`, null for undefined. Rejects with ERR_NO_CLUSTER and ERR_NO_JOBS too. */
  findJob(job: string): Promise<ShownJob | null>;
  /** As `JobControl.dead`. Rejects with ERR_NO_CLUSTER and ERR_NO_JOBS too. */
  deadJobs(name: string, offset: number, limit: number): Promise<readonly DeadJob[]>;
  /** As `JobControl.retry`. Rejects with ERR_NO_CLUSTER and ERR_NO_JOBS too. */
  retryJob(job: string): Promise<void>;
  /** As `JobControl.schedules`. Rejects with ERR_NO_CLUSTER and ERR_NO_JOBS too. */
  jobSchedules(name: string, offset: number, limit: number): Promise<readonly ShownSchedule[]>;
  /** As `JobControl.unschedule`. Rejects with ERR_NO_CLUSTER and ERR_NO_JOBS too. */
  unschedule(name: string, key: string): Promise<{ readonly unscheduled: boolean }>;
  /** As `JobControl.remove`. Rejects with ERR_NO_CLUSTER and ERR_NO_JOBS too. */
  removeJob(job: string): Promise<{ readonly removed: boolean }>;
  /** As `JobControl.removeDead`. Rejects with ERR_NO_CLUSTER and ERR_NO_JOBS too. */
  removeDeadJobs(name: string): Promise<RemovedDead>;
  /** Begins the shutdown, which is complete when the process has ended. */
  shutdown(): void;
  /** @throws ServerError ERR_WORKER_ID */
  stopWorker(workerId: number, byForce: boolean): { readonly pid: number };
  /** @throws ServerError ERR_SESSION_NOT_FOUND, ERR_SESSION_CLOSED */
  closeConnection(fd: number, reset: boolean): void;
  /** Resolves when that number of workers runs. @throws ServerError ERR_SCALE */
  scale(workerNum: number): Promise<{ readonly workerNum: number }>;
  /** Resolves when the file is written. @throws ServerError ERR_PROFILE, ERR_WORKER_ID */
  profile(request: ProfileRequest): Promise<{ readonly path: string }>;
  /** The same without a file. @throws ServerError ERR_PROFILE, ERR_WORKER_ID */
  takeProfile(request: Omit<ProfileRequest, 'path'>): Promise<TakenProfile>;
  setLogLevel(level: string): void;
  /** The newest lines of all processes. @throws ServerError ERR_NO_DASHBOARD */
  log(filter: LogFilter): LogLines;
  /** The last 15 minutes. */
  history(): History;
  /** The newest point of the history; null in the first second. */
  rates(): Rates | null;
  /** The last ends of processes, at most `count` of them. */
  ends(count: number): EndReport;
  /** The shared objects, with who holds them. */
  objects(): { readonly objects: readonly SharedObjectDetails[] };
  /** In BASE mode: none, its workers are the reactors. */
  reactors(): ReactorState[];
  /** The reload or scaling that runs now; null: none. */
  doing(): Doing | null;
  /** Unix time in ms. */
  now(): number;
  /** Every process reopens its log file: `logrotate` has moved it. */
  reopenLogs(): void;
}
