import type { JobsOptions, Queue } from 'bullmq';
import { ServerError } from '../../errors/index.js';
import { monotonicMs } from '../../util/clock.js';
import { importModule } from '../../util/import-module.js';
import { FOR_JOBS, loadPeer } from '../load-peer.js';
import { BullWorker, type Counts } from './bull-worker.js';
import { type Bull, down, type Engine, type EngineOptions, type EngineState, type Unlock, whyOf } from './engine.js';
import { findJob } from './find-job.js';
import { checkJobData, type DataLimits } from './job-data.js';
import { checkName, fromJobId, newEngineId, toEngineId, toEngineKey, toJobId } from './job-id.js';
import { toJobCounts, toJobInfo } from './job-info.js';
import { toDelay, toLimiter, toPage, toRepeat, toTemplate, unusableCron } from './job-options.js';
import { checkFields, wrong } from './known-fields.js';
import { integer, LONGEST_MS, MOST_REMOVED } from './limits.js';
import { listSchedules } from './list-schedules.js';
import { PostgresEngine } from './postgres-engine.js';
import type * as Jobs from './queue.js';
import { RedisEngine } from './redis-engine.js';
import { removeJob } from './remove-job.js';
import { upsertSchedule } from './schedule.js';

const MEBIBYTE = 2 ** 20;
/** Jobs of one `enqueueMany`. */
const MOST_AT_ONCE = 10_000;
/** Data of jobs that the engine has not confirmed: with more, `enqueue` is refused. */
const MOST_HELD_BYTES = 64 * MEBIBYTE;
/** Names whose queue is kept: whoever makes names without end still has bounded memory. */
const MOST_QUEUES = 1_000;
/** The same problem is told so seldom, in milliseconds. */
const QUIET_MS = 1_000;
/** Between two looks at a lock that another node has, in milliseconds. */
const LOCK_PAUSE_MS = 20;
const STATES = ['wait', 'prioritized', 'delayed', 'active', 'completed', 'failed'] as const;

/**
 * Durable jobs over BullMQ, on Redis or PostgreSQL. Runs in the broker process, which runs no code of the user: whatever a
 * run computes elsewhere, the leases here are renewed in time. The engine need not be there yet.
 *
 * @throws ServerError ERR_CLUSTER_PACKAGE, ERR_JOB_OPTION
 */
export async function openJobQueue(options: Jobs.JobQueueOptions): Promise<Jobs.JobQueue> {
  const queue = new BullJobQueue(options);
  await queue.open();
  return queue;
}

class BullJobQueue implements Jobs.JobQueue {
  readonly #limits: DataLimits;
  readonly #deadlineMs: number;
  readonly #engineOptions: EngineOptions;
  readonly #onProblem: (error: Error) => void;
  readonly #onFailed: NonNullable<Jobs.JobQueueOptions['onFailed']>;
  readonly #toldAt = new Map<string, number>();
  readonly #queues = new Map<string, Queue>();
  readonly #workers = new Set<BullWorker>();
  readonly #counts: Counts = { enqueued: 0, refused: 0, running: 0, done: 0, failed: 0, leaseLost: 0, givenBack: 0 };
  #bull!: Bull;
  #engine!: Engine;
  #closing: Promise<void> | undefined;
  #heldBytes = 0;
  #lastTurn: Promise<void> = Promise.resolve();

  constructor(o: Jobs.JobQueueOptions) {
    this.#limits = {
      maxBytes: integer('maxJobBytes', o.maxJobBytes ?? MEBIBYTE, { min: 1, max: 256 * MEBIBYTE }),
      maxDepth: integer('maxJobDepth', o.maxJobDepth ?? 64, { min: 1, max: 1_000 }),
    };
    this.#deadlineMs = integer('deadlineMs', o.deadlineMs ?? 5_000, { min: 1, max: LONGEST_MS });
    this.#onProblem = o.onProblem ?? (() => undefined);
    this.#onFailed = o.onFailed ?? (() => undefined);
    const prefix = o.prefix ?? 'tswoole';
    checkName('prefix', prefix);
    this.#engineOptions = {
      ...{
        url: urlOf(o.url),
        prefix,
        username: o.username,
        password: o.password,
        tls: o.tls,
        deadlineMs: this.#deadlineMs,
      },
      onState: (state, why) => this.#tellState(state, why),
    };
  }

  async open(): Promise<void> {
    this.#bull = await loadPeer('bullmq', () => importModule<typeof import('bullmq')>('bullmq'), FOR_JOBS);
    const isRedis = this.#engineOptions.url.protocol.startsWith('redis');
    const kind = isRedis ? RedisEngine : PostgresEngine;
    this.#engine = await kind.open(this.#bull, this.#engineOptions);
  }

  async enqueue(name: string, data: unknown, options: Jobs.JobOptions = {}): Promise<Jobs.JobId> {
    const job = this.#prepare({ ...options, name, data });
    await this.#enqueueing([job], () => this.#queue(name).add(name, data, job.opts));
    return idOf(job);
  }

  async enqueueMany(jobs: readonly Jobs.NewJob[]): Promise<Jobs.JobId[]> {
    if (!Array.isArray(jobs)) throw wrong('jobs', 'an array of jobs', jobs);
    integer('jobs.length', jobs.length, { min: 0, max: MOST_AT_ONCE });
    const prepared = jobs.map((job) => this.#prepare(job));
    const groups = [...groupByName(prepared)];
    await this.#enqueueing(prepared, () =>
      Promise.all(groups.map(([name, group]) => this.#queue(name).addBulk(group))),
    );
    return prepared.map(idOf);
  }

  async schedule(key: string, rule: Jobs.JobRule, job: Jobs.ScheduledJob): Promise<void> {
    const engineKey = toEngineKey(key);
    checkFields('scheduled', '', job);
    const { name, data, opts } = this.#prepareTemplate(job);
    const repeat = toRepeat(rule);
    this.#checkCron(repeat.pattern, repeat.tz);
    const wanted = { key: engineKey, repeat, name, data, opts };
    const upsert = () => upsertSchedule(this.#queue(name), wanted, this.#bull.defaultRepeatStrategy);
    await this.#ask(() => this.#exclusively(`${name}:${engineKey}`, upsert));
  }

  async unschedule(name: string, key: string): Promise<boolean> {
    checkName('name', name);
    const engineKey = toEngineKey(key);
    return await this.#ask(() => this.#queue(name).removeJobScheduler(engineKey));
  }

  async schedules(name: string, page: Jobs.JobPage = {}): Promise<Jobs.JobSchedule[]> {
    checkName('name', name);
    const { offset, limit } = toPage(page);
    return await this.#ask(() => listSchedules(this.#queue(name), offset, limit));
  }

  async work(name: string, run: Jobs.RunJob, o: Jobs.WorkOptions): Promise<Jobs.JobWorker> {
    checkName('name', name);
    const options = {
      ...{ name, run, limits: this.#limits, counts: this.#counts, deadlineMs: this.#deadlineMs },
      concurrency: integer('concurrency', o.concurrency, { min: 1, max: 10_000 }),
      leaseMs: integer('leaseMs', o.leaseMs ?? 30_000, { min: 1_000, max: 24 * 3600 * 1000 }),
      maxLeaseLosses: integer('maxLeaseLosses', o.maxLeaseLosses ?? 10, { min: 0, max: 1_000_000 }),
      limiter: o.rate === undefined ? undefined : toLimiter(o.rate),
      onProblem: (error: unknown) => this.#problem(error),
      onFailed: this.#onFailed,
      onClosed: (worker: BullWorker) => this.#workers.delete(worker),
    };
    const worker = await this.#ask(async () => new BullWorker(this.#bull, this.#engine.consumer(), options));
    this.#workers.add(worker);
    try {
      await this.#ask(() => worker.start());
    } catch (error) {
      void worker.close(0);
      throw error;
    }
    return worker;
  }

  async find(id: Jobs.JobId): Promise<Jobs.JobInfo | undefined> {
    const { name, engineId } = fromJobId(id);
    return await this.#ask(() => findJob(this.#queue(name), engineId));
  }

  async dead(name: string, page: Jobs.JobPage = {}): Promise<Jobs.JobInfo[]> {
    checkName('name', name);
    const { offset, limit } = toPage(page);
    const jobs = await this.#ask(() => this.#queue(name).getJobs(['failed'], offset, offset + limit - 1, false));
    return jobs.map((job) => toJobInfo(name, job, 'dead'));
  }

  async retry(id: Jobs.JobId): Promise<void> {
    const { name, engineId } = fromJobId(id);
    try {
      await this.#ask(async () => {
        const job = await this.#queue(name).getJob(engineId);
        if (job === undefined) throw new ServerError('ERR_JOB_NOT_DEAD', { id });
        await job.retry('failed', { resetAttemptsMade: true, resetAttemptsStarted: true });
      });
    } catch (error) {
      throw isCoded(error) ? new ServerError('ERR_JOB_NOT_DEAD', { id }) : error;
    }
  }

  async remove(id: Jobs.JobId): Promise<boolean> {
    const { name, engineId } = fromJobId(id);
    return await this.#ask(async () => {
      const job = await this.#queue(name).getJob(engineId);
      if (job !== undefined) await removeJob(job, id);
      return job !== undefined;
    });
  }

  async removeDead(name: string): Promise<number> {
    checkName('name', name);
    // A node whose clock is ahead has written later times than those that there are here.
    const removed = await this.#ask(() => this.#queue(name).clean(-LONGEST_MS, MOST_REMOVED, 'failed'));
    return removed.length;
  }

  async counts(name: string): Promise<Jobs.JobCounts> {
    checkName('name', name);
    return toJobCounts(await this.#ask(() => this.#queue(name).getJobCounts(...STATES)));
  }

  stats(): Jobs.JobStats {
    return { ...this.#counts };
  }

  close(drainMs: number): Promise<void> {
    this.#closing ??= this.#close(drainMs);
    return this.#closing;
  }

  async #close(drainMs: number): Promise<void> {
    await Promise.all([...this.#workers].map((worker) => worker.close(drainMs)));
    await Promise.all([...this.#queues.values()].map((queue) => queue.close().catch(() => undefined)));
    await this.#engine.close();
  }

  #prepare(job: Jobs.NewJob): PreparedJob {
    checkFields('job', '', job);
    const prepared = this.#prepareTemplate(job);
    const delay = toDelay(job.delayMs);
    if (delay > 0) prepared.opts.delay = delay;
    // Where BullMQ's own telemetry has it, in the same form.
    if (typeof job.trace === 'string') prepared.opts.telemetry = { metadata: job.trace };
    prepared.opts.jobId = job.id === undefined ? newEngineId() : toEngineId(job.id);
    return prepared;
  }

  #prepareTemplate(job: Jobs.ScheduledJob): PreparedJob {
    checkName('name', job.name);
    const bytes = checkJobData(job.data, this.#limits);
    return { name: job.name, data: job.data, opts: toTemplate(job), bytes };
  }

  #checkCron(pattern: string | undefined, tz: string | undefined): void {
    if (pattern === undefined) return;
    let next: number | undefined;
    try {
      next = this.#bull.defaultRepeatStrategy(Date.now(), { pattern, ...(tz !== undefined && { tz }) });
    } catch (error) {
      throw unusableCron(pattern, (error as Error).message);
    }
    if (next === undefined) throw unusableCron(pattern, undefined);
  }

  /**
   * Over all nodes, and one after another in this process: each that waits needs a connection. A node that stands still in
   * between keeps the others out for two deadlines at most.
   */
  #exclusively(key: string, act: () => Promise<void>): Promise<void> {
    const until = monotonicMs() + this.#deadlineMs;
    const turn = this.#lastTurn.then(async () => {
      const unlock = await this.#lock(key, until);
      try {
        await act();
      } finally {
        await unlock().catch((error) => this.#problem(error));
      }
    });
    this.#lastTurn = turn.catch(() => undefined);
    return turn;
  }

  async #lock(key: string, until: number): Promise<Unlock> {
    while (monotonicMs() < until) {
      const unlock = await this.#engine.tryLock(key, 2 * this.#deadlineMs);
      if (unlock !== undefined) return unlock;
      await new Promise((resolve) => setTimeout(resolve, LOCK_PAUSE_MS));
    }
    throw down(this.#engine.name, `busy: other schedules, or another node, had it for ${this.#deadlineMs} ms`);
  }

  /** One for each name, of the newest `MOST_QUEUES`; all share a connection. One whose first command was cut off never works again. */
  #queue(name: string): Queue {
    const known = this.#queues.get(name);
    if (known !== undefined) return known;
    this.#forgetOldest();
    const { connection, prefix, factory } = this.#engine.producer();
    const queue = new this.#bull.Queue(name, { connection, prefix }, factory);
    queue.on('error', (error) => this.#problem(error));
    queue.waitUntilReady().catch(() => this.#queues.delete(name));
    this.#queues.set(name, queue);
    return queue;
  }

  #forgetOldest(): void {
    const [oldest] = this.#queues;
    if (oldest === undefined || this.#queues.size < MOST_QUEUES) return;
    this.#queues.delete(oldest[0]);
    void oldest[1].close().catch(() => undefined);
  }

  async #enqueueing<T>(jobs: readonly PreparedJob[], act: () => Promise<T>): Promise<T> {
    const bytes = jobs.reduce((sum, job) => sum + job.bytes, 0);
    try {
      const answer = await this.#ask(() => this.#holding(bytes, act));
      this.#counts.enqueued += jobs.length;
      return answer;
    } catch (error) {
      this.#counts.refused += jobs.length;
      throw error;
    }
  }

  /** Until the engine has answered, whether or not the caller still waits. @throws ServerError ERR_CLUSTER_FULL */
  async #holding<T>(bytes: number, act: () => Promise<T>): Promise<T> {
    if (this.#heldBytes >= MOST_HELD_BYTES) {
      const what = `bytes of jobs that ${this.#engine.name} has not confirmed`;
      throw new ServerError('ERR_CLUSTER_FULL', { what, most: MOST_HELD_BYTES });
    }
    this.#heldBytes += bytes;
    try {
      return await act();
    } finally {
      this.#heldBytes -= bytes;
    }
  }

  /**
   * One question to the engine, with the deadline over all of it. What is late is not begun: nobody would learn of it.
   *
   * @throws ServerError ERR_CLUSTER_DOWN; errors with BullMQ's codes
   */
  async #ask<T>(act: () => Promise<T>): Promise<T> {
    if (this.#closing !== undefined) throw down(this.#engine.name, 'closed');
    let isLate = false;
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => {
        isLate = true;
        reject(down(this.#engine.name, `silent: no answer within ${this.#deadlineMs} ms`));
      }, this.#deadlineMs);
    });
    const answer = this.#engine.ready().then(() => (isLate ? late : act()));
    try {
      return await Promise.race([answer, late]);
    } catch (error) {
      throw this.#toCaller(error);
    } finally {
      clearTimeout(timer);
    }
  }

  #toCaller(error: unknown): unknown {
    if (error instanceof ServerError || isCoded(error)) return error;
    this.#engine.failed(error);
    return down(this.#engine.name, `refusing: ${whyOf(error, this.#engineOptions)}`);
  }

  #tellState(state: EngineState, why: string): void {
    if (state === 'down') this.#tell(down(this.#engine.name, `down: ${why}`));
  }

  /** While the engine is down, every worker says so again. */
  #problem(error: unknown): void {
    if (this.#engine.state === 'up') this.#tell(new Error(whyOf(error, this.#engineOptions)));
  }

  #tell(error: Error): void {
    const now = monotonicMs();
    if (now - (this.#toldAt.get(error.message) ?? Number.NEGATIVE_INFINITY) < QUIET_MS) return;
    // Texts may hold ids: not one of each is kept.
    if (this.#toldAt.size > 100) this.#toldAt.clear();
    this.#toldAt.set(error.message, now);
    this.#onProblem(error);
  }
}

/** As BullMQ takes it. */
interface PreparedJob {
  readonly name: string;
  readonly data: unknown;
  readonly opts: JobsOptions;
  /** JSON of the data, at most. */
  readonly bytes: number;
}

/** Known before the engine answers: a job it knows already has the same. */
function idOf({ name, opts }: PreparedJob): Jobs.JobId {
  return toJobId(name, opts.jobId ?? '');
}

function groupByName<T extends { name: string }>(jobs: readonly T[]): Map<string, T[]> {
  const groups = new Map<string, T[]>();
  for (const job of jobs) {
    const group = groups.get(job.name);
    if (group === undefined) groups.set(job.name, [job]);
    else group.push(job);
  }
  return groups;
}

/** A code of BullMQ's own; what a system call or a protocol says is text. */
function isCoded(error: unknown): boolean {
  return typeof Reflect.get(Object(error), 'code') === 'number';
}

/** A text that is no URL may hold a password all the same, and is not shown. */
function urlOf(text: string): URL {
  const known = ['redis:', 'rediss:', 'postgres:', 'postgresql:'];
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url !== undefined && known.includes(url.protocol) && url.host !== '') return url;
  throw new ServerError('ERR_JOB_OPTION', {
    name: 'url',
    expected: 'redis://, rediss://, postgres:// or postgresql:// with a host',
    received: url === undefined ? 'no URL' : `a URL of ${url.protocol}`,
  });
}
