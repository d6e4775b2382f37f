/**
 * Durable jobs, as the user's code sees them: `server.jobs`. Runs in every process; what it asks goes to the broker process
 * of this node, which has the connection to the engine.
 */
import { ServerError, told } from '../../errors/index.js';
import { deferred } from '../../util/deferred.js';
import { type ActiveSpan, inSpan } from '../../util/telemetry.js';
import { within } from '../../util/within.js';
import { checkJobData } from '../jobs/job-data.js';
import { checkName, fromJobId, toEngineId, toEngineKey } from '../jobs/job-id.js';
import { toDelay, toPage, toRepeat, toTemplate } from '../jobs/job-options.js';
import { checkFields, wrong } from '../jobs/known-fields.js';
import { integer } from '../jobs/limits.js';
import type {
  JobCounts,
  JobId,
  JobInfo,
  JobOptions,
  JobPage,
  JobRule,
  JobSchedule,
  NewJob,
  ScheduledJob,
} from '../jobs/queue.js';
import type { JobCall, OfferedWork, Question } from '../messages.js';
import { type JobHandler, JobHandlers } from './handlers.js';
import { sending } from './spans.js';

export interface JobsParts {
  readonly deadlineMs: number;
  readonly maxJobBytes: number;
  /** False in the master and the manager, which hear no answers. @param method for the error @throws ServerError ERR_NOT_STARTED */
  mayAsk(method: string): boolean;
  /** Of the cluster's engine, as this process knows it. */
  state(): string;
  /** @throws ServerError ERR_CLUSTER_TIMEOUT, ERR_CLUSTER_FULL, the error of the answer */
  ask(question: Question, timeoutMs: number): Promise<unknown>;
  /** In a task worker: tells the broker process what it can run. */
  offer(offers: readonly OfferedWork[]): void;
  /** The server has been started. */
  isRunning(): boolean;
}

/** Options of `work`: each is optional. */
export interface JobWorkOptions {
  /** Jobs of this name that run at a time on this node. Default, and at most: as many tasks as its task workers run at a time. */
  readonly concurrency?: number;
  /** Default: `cluster.jobs.leaseMs`. */
  readonly leaseMs?: number;
  /** Starts per second over all nodes that work on this name, exactly; every node has to give the same figure. */
  readonly rate?: { readonly perSecond: number };
  /** A job whose lease was lost so often is dead. Default: `cluster.jobs.maxLeaseLosses`. */
  readonly maxLeaseLosses?: number;
}

/** Of one `enqueueMany`: about 0.1 s of time of the engine and of the broker process. */
const MOST_AT_ONCE = 1000;
/** Calls that wait because this process does not serve yet. */
const MOST_EARLY = 10_000;
const MOST_DEPTH = 64;

/**
 * @example
 * server.jobs.work('mail', async (job: Job<Mail>) => send(job.data), { concurrency: 4 });   // runs in task workers
 * await server.start();
 * // anywhere, such as in `request`:
 * await server.jobs.enqueue('mail', { to }, { id: `welcome-${user}`, attempts: 5, backoff: { type: 'exponential', delayMs: 1000 } });
 */
export class Jobs {
  readonly #parts: JobsParts;
  readonly #handlers = new JobHandlers();
  readonly #heard = deferred<true>();
  #isHeard = false;
  #early = 0;

  /** @internal */
  constructor(parts: JobsParts) {
    this.#parts = parts;
  }

  /**
   * Registers the handler for jobs of that name, before `start()`: task workers run it. Promised is at least one run, so it
   * must do no harm to run it twice.
   * @throws ServerError ERR_ALREADY_STARTED, ERR_JOB_OPTION, ERR_CALLBACK_TYPE
   */
  work<T = unknown>(name: string, handler: JobHandler<T>, options: JobWorkOptions = {}): void {
    if (this.#parts.isRunning()) throw told(new ServerError('ERR_ALREADY_STARTED', { method: 'jobs.work' }));
    this.#handlers.add(name, handler as JobHandler, options);
  }

  /**
   * Resolves when the engine has the job: from then on it runs at least once. After ERR_CLUSTER_DOWN or ERR_CLUSTER_TIMEOUT
   * the engine may have it all the same: enqueue it again under the same `id`.
   * @param data JSON @throws ServerError (rejects) ERR_CLUSTER_DOWN, ERR_CLUSTER_TIMEOUT, ERR_CLUSTER_FULL,
   * ERR_CLUSTER_PACKAGE, ERR_CLUSTER_TOO_EARLY, ERR_JOB_OPTION, ERR_JOB_DATA, ERR_JOB_SIZE; as all methods
   */
  async enqueue(name: string, data: unknown = null, options: JobOptions = {}): Promise<JobId> {
    checkName('name', name);
    checkFields('options', 'options', options);
    checkOptions(options);
    const json = this.#toJson(data);
    return inSpan(sending(new Set([name]), 1), async (span) => {
      const id = (await this.#ask({ method: 'enqueue', args: [name, json, traced(options, span)] })) as JobId;
      span?.set('messaging.message.id', id);
      return id;
    });
  }

  /** At most 1,000 at once, in one round trip per name. One that is refused refuses all, before anything is sent. */
  async enqueueMany(jobs: readonly NewJob[]): Promise<JobId[]> {
    if (!Array.isArray(jobs)) throw wrong('jobs', 'an array of jobs', jobs);
    integer('jobs.length', jobs.length, { min: 0, max: MOST_AT_ONCE });
    const ready = jobs.map((job: NewJob, index) => this.#ready(job, index));
    return inSpan(sending(new Set(ready.map(({ name }) => name)), ready.length), async (span) => {
      const args: [NewJob[]] = [ready.map((job) => traced(job, span))];
      return (await this.#ask({ method: 'enqueueMany', args })) as JobId[];
    });
  }

  /** Makes or replaces a schedule: one run a tick, however many processes and nodes call it. */
  async schedule(key: string, rule: JobRule, job: ScheduledJob): Promise<void> {
    toEngineKey(key);
    toRepeat(rule);
    checkFields('scheduled', '', job);
    checkName('name', job.name);
    toTemplate(job);
    const scheduled = { ...job, data: this.#toJson(job.data ?? null) };
    await this.#ask({ method: 'schedule', args: [key, rule, scheduled] });
  }

  /** Ends a schedule; jobs that it has enqueued stay. @returns whether there was one */
  async unschedule(name: string, key: string): Promise<boolean> {
    checkName('name', name);
    toEngineKey(key);
    return (await this.#ask({ method: 'unschedule', args: [name, key] })) as boolean;
  }

  /** The schedules of one name, those that tick first at the beginning: whichever node has made them. */
  async schedules(name: string, page: JobPage = {}): Promise<JobSchedule[]> {
    checkName('name', name);
    toPage(page);
    return (await this.#ask({ method: 'schedules', args: [name, page] })) as JobSchedule[];
  }

  /**
   * One job: where it stands, and what its handler has returned if it is done.
   * @returns undefined: the engine does not have it, or not any more (`keep`)
   */
  async find(id: JobId): Promise<JobInfo | undefined> {
    fromJobId(id);
    return (await this.#ask({ method: 'find', args: [id] })) as JobInfo | undefined;
  }

  /** Jobs whose last attempt has failed, newest first. */
  async dead(name: string, page: JobPage = {}): Promise<JobInfo[]> {
    checkName('name', name);
    toPage(page);
    return (await this.#ask({ method: 'dead', args: [name, page] })) as JobInfo[];
  }

  /** Runs a dead job again, with all its attempts. @throws ServerError (rejects) ERR_JOB_NOT_DEAD */
  async retry(id: JobId): Promise<void> {
    fromJobId(id);
    await this.#ask({ method: 'retry', args: [id] });
  }

  /**
   * Removes a job that is waiting, delayed, done or dead; its id is free again.
   * @returns whether there was one @throws ServerError (rejects) ERR_JOB_NOT_REMOVED: it is under way, or the next tick of a schedule
   */
  async remove(id: JobId): Promise<boolean> {
    fromJobId(id);
    return (await this.#ask({ method: 'remove', args: [id] })) as boolean;
  }

  /**
   * Removes dead jobs of a name: at most 1,000 in one call, so that the engine answers others in between. Their ids are free
   * again. To remove all, call it until it has removed less than that.
   * @returns how many were removed
   */
  async removeDead(name: string): Promise<number> {
    checkName('name', name);
    return (await this.#ask({ method: 'removeDead', args: [name] })) as number;
  }

  /** Of one name, over all nodes. */
  async counts(name: string): Promise<JobCounts> {
    checkName('name', name);
    return (await this.#ask({ method: 'counts', args: [name] })) as JobCounts;
  }

  /** @internal */
  get handlers(): JobHandlers {
    return this.#handlers;
  }

  /** @internal This process hears answers from now on, or the broker process is a new one. */
  hear(): void {
    this.#isHeard = true;
    this.#heard.resolve(true);
    this.#parts.offer(this.#handlers.offers);
  }

  async #ask(call: JobCall): Promise<unknown> {
    const { deadlineMs } = this.#parts;
    try {
      if (!this.#isHeard) await this.#untilHeard(call.method);
      return await this.#parts.ask({ ask: 'jobs', call }, deadlineMs);
    } catch (error) {
      // It was made in another process: only here are the frames of the caller.
      throw told(error);
    }
  }

  /** One of several. */
  #ready(job: NewJob, index: number): NewJob {
    try {
      checkFields('job', '', job);
      checkName('name', job.name);
      checkOptions(job);
      return { ...job, data: this.#toJson(job.data ?? null) };
    } catch (error) {
      throw told(ofJob(error, index));
    }
  }

  /** `workerStart` runs before a process serves. */
  async #untilHeard(method: string): Promise<void> {
    if (!this.#parts.mayAsk(method)) throw new ServerError('ERR_CLUSTER_TOO_EARLY', { state: this.#parts.state() });
    if (this.#early >= MOST_EARLY) {
      throw new ServerError('ERR_CLUSTER_FULL', { what: 'calls before this process serves', most: MOST_EARLY });
    }
    this.#early++;
    const isHeard = await within(this.#heard.promise, this.#parts.deadlineMs);
    this.#early--;
    if (isHeard === undefined) throw new ServerError('ERR_CLUSTER_TOO_EARLY', { state: this.#parts.state() });
  }

  /** As it will arrive: between processes it would keep more, and lose a `toJSON`. */
  #toJson(data: unknown): unknown {
    checkJobData(data, { maxBytes: this.#parts.maxJobBytes, maxDepth: MOST_DEPTH });
    return JSON.parse(JSON.stringify(data));
  }
}

/** Here, so that the error has the frames of the caller; the broker process checks it again. */
function checkOptions(options: JobOptions): void {
  toTemplate(options);
  toDelay(options.delayMs);
  if (options.id !== undefined) toEngineId(options.id);
}

/** Says which of several jobs it is. */
function ofJob(error: unknown, index: number): unknown {
  if (!(error instanceof ServerError)) return error;
  const job = `jobs[${index}]`;
  if (error.is('ERR_JOB_OPTION')) {
    const { name } = error.detail;
    return new ServerError('ERR_JOB_OPTION', { ...error.detail, name: name === 'job' ? job : `${job}.${name}` });
  }
  if (error.is('ERR_JOB_DATA')) {
    return new ServerError('ERR_JOB_DATA', { ...error.detail, path: `${job}.${error.detail.path}` });
  }
  return error.is('ERR_JOB_SIZE') ? new ServerError('ERR_JOB_SIZE', { ...error.detail, path: `${job}.data` }) : error;
}

function traced<T extends JobOptions>(options: T, span: ActiveSpan | undefined): T {
  const trace = span?.carrier();
  return trace === undefined ? options : { ...options, trace };
}
