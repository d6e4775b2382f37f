/** What the page reads of the server's answers; docs/dashboard.md and the commands of the control socket have all of it. */

export interface Session {
  readonly needsLogin: boolean;
  readonly loggedIn: boolean;
  readonly readOnly: boolean;
  readonly csrf: string;
  readonly name: string;
  readonly version: string;
}

/** The answer to a reload. */
export interface Reloaded {
  readonly generation: number;
  /** What the script has changed and only a restart applies; missing: nothing. */
  readonly needsRestart?: readonly string[];
}

export interface Worker {
  readonly id: number;
  /** As in the log. */
  readonly name: string;
  readonly role: 'worker' | 'task' | 'user';
  readonly pid: number;
  readonly state: 'absent' | 'busy' | 'idle';
  readonly generation: number;
  readonly uptimeMs: number;
  readonly connections: number;
  readonly requestCount: number;
  readonly callbackErrors: number;
  readonly restarts: number;
  readonly runningTasks: number;
  /** Seconds. */
  readonly latencyP50: number;
  readonly latencyP99: number;
  readonly latencyMax: number;
  /** 0 to 1. */
  readonly loopUtilisation: number;
  /** Time since its event loop last turned. */
  readonly loopStandsMs: number;
  readonly residentBytes: number;
  readonly standsStill: { readonly sinceMs: number; readonly stack: string } | null;
}

export interface Reactor {
  readonly id: number;
  readonly connections: number;
  readonly bytesIn: number;
  readonly bytesOut: number;
  readonly bufferedBytes: number;
  readonly webSockets: number;
  readonly loopDelayMs: number;
  readonly loopUtilisation: number;
}

/** A point of the history: per second where it is a rate. */
export interface Rates {
  readonly at: number;
  readonly requests: number;
  readonly connections: number;
  readonly bytesIn: number;
  readonly bytesOut: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly busy: number;
  readonly memoryBytes: number;
  readonly tasks: number;
}

export interface ClusterNode {
  readonly id: string;
  readonly address: string;
  readonly version: string;
  readonly self: boolean;
}

export interface Status {
  readonly name: string;
  readonly version: string;
  readonly node: string;
  readonly mode: string;
  readonly state: string;
  readonly crashLoops: readonly { readonly name: string; readonly failures: number; readonly reason: string }[];
  readonly traffic: { readonly unit: string };
  readonly masterPid: number;
  readonly managerPid: number;
  readonly uptimeMs: number;
  readonly listening: readonly string[];
  readonly generation: number;
  readonly workerNum: number;
  readonly maxWorkerNum: number;
  readonly logLevel: string;
  readonly speaksWebSocket: boolean;
  readonly cluster: {
    readonly nodeId: string;
    readonly driver: string;
    readonly engine: string;
    readonly state: string;
    readonly why: string;
    readonly nodes: readonly ClusterNode[];
  } | null;
}

export interface TaskCounts {
  readonly submitted: number;
  readonly queued: number;
  readonly running: number;
  readonly done: number;
  readonly failed: number;
  readonly timedOut: number;
  readonly retried: number;
  readonly refused: number;
}

export interface Stats {
  readonly connectionNum: number;
  readonly bufferedBytes: number;
  readonly pausedReactorNum: number;
  readonly callbackErrors: number;
  readonly serverErrorCount: number;
  readonly workerRestarts: number;
  readonly reloadCount: number;
  readonly failedReloadCount: number;
  readonly taskWorkerNum: number;
  readonly idleTaskWorkerNum: number;
  readonly tasks: TaskCounts;
  readonly cluster: { readonly jobs: Record<'running' | 'done' | 'failed', number> | null } | null;
}

/** Durable jobs of one name, over all nodes. */
export interface NamedJobs {
  readonly name: string;
  readonly isWorked: boolean;
  readonly waiting: number;
  readonly delayed: number;
  readonly running: number;
  readonly done: number;
  readonly dead: number;
}

export interface DeadJob {
  readonly id: string;
  readonly attemptsMade: number;
  readonly endedAt?: number;
  readonly reason?: string;
  readonly data?: unknown;
  readonly dataStart?: string;
}

export interface JobSchedule {
  readonly key: string;
  readonly rule: { readonly cron: string; readonly tz?: string } | { readonly everyMs: number };
  readonly nextAt: number;
  readonly data?: unknown;
  readonly dataStart?: string;
}

export interface State {
  readonly at: number;
  readonly status: Status;
  readonly stats: Stats;
  readonly workers: readonly Worker[];
  readonly reactors: readonly Reactor[];
  readonly rates: Rates | null;
  readonly rooms: { readonly rooms: number; readonly members?: number; readonly memberships?: number } | null;
  readonly log: number;
  readonly ends: number;
  readonly doing: { readonly what: string; readonly since: number; readonly detail: string } | null;
}

export interface Connection {
  readonly fd: number;
  readonly workerId: number;
  readonly reactorId: number;
  readonly remoteAddress: string;
  readonly remotePort: number;
  readonly serverPort: number;
  readonly connectedAt: number;
  readonly lastReceivedAt: number;
  readonly receivedBytes: number;
  readonly sentBytes: number;
  readonly sendQueuedBytes: number;
  readonly webSocket: boolean;
  readonly tls?: unknown;
}

export interface LogLine {
  readonly number: number;
  readonly at: number;
  readonly level: string;
  readonly source: string;
  readonly text: string;
}

export interface EndedProcess {
  readonly number: number;
  readonly at: number;
  readonly name: string;
  readonly pid: number;
  readonly cause: string;
  readonly reason: string;
  readonly code: number | null;
  readonly signal: string | null;
  readonly uptimeMs: number;
  readonly stack: string;
}
