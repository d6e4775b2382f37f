/**
 * Durable jobs, as the rest of the server sees them: what an engine under them must promise, and no word of which engine.
 * Everything here runs in the broker process of a node, which runs no code of the user.
 */

import type { ConnectionOptions } from 'node:tls';

/**
 * `name:id`: the queue's name and the id inside it, one text, so that `retry` needs nothing else. A job of a schedule is
 * `name:repeat:KEY:TIME`.
 */
export type JobId = string;

/** Pause before the next attempt, in milliseconds. Attempts count from 1; `exponential` doubles after each. */
export interface JobBackoff {
  /** `'fixed'`: the same pause each time; `'exponential'`: it doubles after each. */
  readonly type: 'fixed' | 'exponential';
  /** The first pause, in ms. */
  readonly delayMs: number;
  /** Most an exponential pause grows to. Default: one day. */
  readonly maxDelayMs?: number;
  /** Part of the pause that is chosen at random, 0 to 1: with 0.5 and 1,000 ms the pause is 500 to 1,000 ms. Default 0. */
  readonly jitter?: number;
}

/** How many ended jobs the engine keeps. What is kept is what `find`, `dead`, `retry` and idempotence by `id` can know. */
export interface JobKeep {
  /** Completed jobs kept per queue; 0 keeps none. Default 1,000. */
  readonly done?: number;
  /** Dead jobs kept per queue, the newest first. Default 10,000. */
  readonly dead?: number;
}

/** How a job is run. */
export interface JobPolicy {
  /** 1 to 2,097,152; 1 runs before 2. Jobs without a priority run before all that have one. */
  readonly priority?: number;
  /** Runs at most until the job is dead, the first included. Default 1. */
  readonly attempts?: number;
  /** Pause between attempts. Default: none. */
  readonly backoff?: JobBackoff;
  /** How many ended jobs of the queue are kept. */
  readonly keep?: JobKeep;
}

/** How one job is enqueued. */
export interface JobOptions extends JobPolicy {
  /**
   * 1 to 256 bytes of UTF-8, unique in its queue while the engine keeps the job (`keep`); it may not begin with `repeat:`.
   * A second enqueue with a known id changes nothing and resolves with the same id. Default: a new random one.
   */
  readonly id?: string;
  /** Not before so many milliseconds from now. Default 0. */
  readonly delayMs?: number;
  /** @internal The context of a trace, as JSON: of `ActiveSpan.carrier`. */
  readonly trace?: string;
}

/** One job of `enqueueMany`. */
export interface NewJob extends JobOptions {
  /** The queue: 1 to 128 of `A-Za-z0-9._-`. */
  readonly name: string;
  /** Anything JSON can hold: within `maxJobBytes` and `maxJobDepth`. */
  readonly data: unknown;
}

/** What a schedule enqueues at each tick. Id and time are the schedule's. */
export interface ScheduledJob extends JobPolicy {
  /** The queue: 1 to 128 of `A-Za-z0-9._-`. */
  readonly name: string;
  /** Anything JSON can hold: within `maxJobBytes` and `maxJobDepth`. */
  readonly data: unknown;
}

/** When a schedule ticks. A tick missed while every node is down runs once when the first is back, not once for each. */
export type JobRule =
  /** Five or six fields (the first of six is the second), in the time zone `tz` (IANA name). Default: the machine's zone. */
  { readonly cron: string; readonly tz?: string } | { readonly everyMs: number };

/** What `run` gets. */
export interface RunningJob<T = unknown> {
  /** As `enqueue` has resolved to it. */
  readonly id: JobId;
  /** The queue. */
  readonly name: string;
  /** As it was given to `enqueue`, by way of JSON. */
  readonly data: T;
  /** 1 at the first run. A run whose lease was lost, or that was given back, counts as well. */
  readonly attempt: number;
  /** @internal Of `enqueue`. */
  readonly trace?: string | undefined;
  /** Aborted when the lease is lost, or when `close` gives the job back: the result would not be recorded. */
  readonly signal: AbortSignal;
}

/** In the server it sends the job to a task worker and waits for the answer, which is recorded as the job's result. */
export type RunJob = (job: RunningJob) => Promise<unknown>;

export interface WorkOptions {
  /** Jobs under way at a time in this worker: 1 to 10,000. */
  readonly concurrency: number;
  /** After so long without renewal the job runs elsewhere; it is renewed every third of it. At least 1,000. Default 30,000. */
  readonly leaseMs?: number;
  /**
   * Starts over all nodes that work on this name in one window of a second, which begins with the first start in it; every
   * node has to give the same figure.
   */
  readonly rate?: { readonly perSecond: number };
  /** A job whose lease was lost so often is dead. Default 10. */
  readonly maxLeaseLosses?: number;
}

/** One `work`. */
export interface JobWorker {
  /**
   * Takes no further job, waits up to `drainMs` for those under way, then gives the rest back: their `signal` is aborted
   * and another node takes them at once.
   */
  close(drainMs: number): Promise<void>;
}

/** Where a job stands. */
export type JobState = 'waiting' | 'delayed' | 'running' | 'done' | 'dead';

/** Times are milliseconds since 1970, of the engine's clock or of the node that wrote them. */
export interface JobInfo {
  /** As `retry` takes it. */
  readonly id: JobId;
  /** The queue. */
  readonly name: string;
  /** Where it stands. */
  readonly state: JobState;
  /** As it was given to `enqueue`. */
  readonly data: unknown;
  /** Runs that have ended: those in an error, and the one that is done. */
  readonly attemptsMade: number;
  /** Most runs it may have. */
  readonly attempts: number;
  /** When the engine got it. */
  readonly enqueuedAt: number;
  /** When its last run began; missing: it has not run. */
  readonly startedAt?: number;
  /** When it was done or dead; missing: it is not. */
  readonly endedAt?: number;
  /** Of jobs that are done: what the handler has returned, by way of JSON; null: nothing. Missing in all other states. */
  readonly result?: unknown;
  /** Why the newest run that has ended failed; missing where it is done. */
  readonly reason?: string;
  /** Where: the stack of its error, at most 8,192 characters. */
  readonly stack?: string;
}

/** Jobs of one queue, over all nodes. */
export interface JobCounts {
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

/** A schedule, as the engine has it. */
export interface JobSchedule {
  /** As it was given to `schedule`, and as `unschedule` takes it. */
  readonly key: string;
  /** The queue of its jobs. */
  readonly name: string;
  /** As it was given to `schedule`; a time zone under its full name (`Europe/Berlin` for `europe/berlin`). */
  readonly rule: JobRule;
  /** When it ticks next, in ms since 1970; a time that has passed: that job waits for a task worker. */
  readonly nextAt: number;
  /** What its jobs get: `{}` where null was given. */
  readonly data: unknown;
  /** Most runs of each of its jobs. */
  readonly attempts: number;
}

/** Part of a list: of dead jobs the newest, of schedules those that tick first. */
export interface JobPage {
  /** How many to pass over. Default 0. */
  readonly offset?: number;
  /** How many to return: 1 to 1,000. Default 100. */
  readonly limit?: number;
}

/** What this process did since its start. */
export interface JobStats {
  readonly enqueued: number;
  /** Enqueues that rejected because the engine could not be reached in time. */
  readonly refused: number;
  readonly running: number;
  readonly done: number;
  /** Runs that ended in an error, the last of a dead job included. */
  readonly failed: number;
  /** Runs whose lease was refused or could not be renewed in time: the job runs again, here or elsewhere. */
  readonly leaseLost: number;
  /** Runs that `close` has broken off: their jobs were given back. */
  readonly givenBack: number;
}

/**
 * A durable queue: at least once after `enqueue` has resolved, idempotent by `id`. What the engine itself may lose (Redis
 * with AOF everysec: one second; without AOF: everything since the last snapshot) is lost here as well.
 * Errors: ERR_CLUSTER_DOWN when the engine cannot be reached within the deadline, ERR_JOB_… for what the caller gave.
 */
export interface JobQueue {
  /** Resolves only when the engine has the job. After ERR_CLUSTER_DOWN it may have it all the same: retry with an `id`. */
  enqueue(name: string, data: unknown, options?: JobOptions): Promise<JobId>;
  /**
   * One round trip per queue named. A job that is refused refuses all, before anything is sent; after ERR_CLUSTER_DOWN the
   * engine may have some of them.
   */
  enqueueMany(jobs: readonly NewJob[]): Promise<JobId[]>;
  /**
   * Makes or replaces the schedule `key` of the queue `job.name`: one run a tick, however many nodes call it. One that is
   * the same is left alone, and so is its tick that is due.
   */
  schedule(key: string, rule: JobRule, job: ScheduledJob): Promise<void>;
  /** Whether there was one. The run under way goes on. */
  unschedule(name: string, key: string): Promise<boolean>;
  /** Those of one queue, the next to tick first. */
  schedules(name: string, page?: JobPage): Promise<JobSchedule[]>;
  work(name: string, run: RunJob, options: WorkOptions): Promise<JobWorker>;
  /** Where a job stands; undefined: the engine does not have it (any more). */
  find(id: JobId): Promise<JobInfo | undefined>;
  /** Jobs that failed for the last time. */
  dead(name: string, page?: JobPage): Promise<JobInfo[]>;
  /** Runs a dead job again, with all its attempts. ERR_JOB_NOT_DEAD when it is not there or not dead. */
  retry(id: JobId): Promise<void>;
  /** Whether there was one: waiting, delayed, done or dead. ERR_JOB_NOT_REMOVED: it is under way, or the next tick of a schedule. */
  remove(id: JobId): Promise<boolean>;
  /** How many: at most `MOST_REMOVED` of those that are dead, so that no call keeps the engine from all others. */
  removeDead(name: string): Promise<number>;
  counts(name: string): Promise<JobCounts>;
  stats(): JobStats;
  /** Closes every worker with `drainMs`, then the connections. Afterwards every call rejects with ERR_CLUSTER_DOWN. */
  close(drainMs: number): Promise<void>;
}

/** Where the engine is, and the bounds of what it is given. */
export interface JobQueueOptions {
  /** `redis://`, `rediss://`, `postgres://` or `postgresql://`. A user name and password in it never appear in an error. */
  readonly url: string;
  /** Begins every key of the engine. 1 to 128 of `A-Za-z0-9._-`. Default `tswoole`. */
  readonly prefix?: string;
  readonly username?: string;
  readonly password?: string;
  /** How long any one call waits for the engine before ERR_CLUSTER_DOWN. Default 5,000. */
  readonly deadlineMs?: number;
  /** Of the JSON of one job's data, and of one result. Default 1 MiB. */
  readonly maxJobBytes?: number;
  /** Arrays and objects inside each other. Default 64. */
  readonly maxJobDepth?: number;
  /** What TLS needs beyond `rediss://` or `?sslmode=`, as `tls.connect` takes it: `ca`, `cert`, `key`, `servername` … */
  readonly tls?: ConnectionOptions;
  /**
   * Told of what no caller waits for: the engine gone, once; a lease that could not be renewed, a job that could not be
   * given back. Not more than once a second for one text.
   */
  readonly onProblem?: (error: Error) => void;
  /** An attempt of a job has failed here. @param isLast the job is dead */
  readonly onFailed?: (job: { readonly id: JobId; readonly attempt: number }, error: unknown, isLast: boolean) => void;
}
