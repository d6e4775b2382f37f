import type { Job, Worker } from 'bullmq';
import { systemClock } from '../../util/clock.js';
import { type Deferred, deferred } from '../../util/deferred.js';
import { within } from '../../util/within.js';
import { backingOff } from './backing-off.js';
import type { Bull, BullSettings } from './engine.js';
import { checkJobData, type DataLimits } from './job-data.js';
import { toJobId } from './job-id.js';
import { backoffOf } from './job-options.js';
import { type Lease, Leases } from './leases.js';
import type { JobQueueOptions, JobStats, JobWorker, RunJob, RunningJob } from './queue.js';

/** What all workers of a queue count into. */
export type Counts = { -readonly [K in keyof JobStats]: JobStats[K] };

/** Checked and with defaults. */
export interface BullWorkerOptions {
  readonly name: string;
  readonly run: RunJob;
  readonly concurrency: number;
  readonly leaseMs: number;
  readonly maxLeaseLosses: number;
  readonly limiter: { max: number; duration: number } | undefined;
  /** How long closing waits for the engine. */
  readonly deadlineMs: number;
  readonly limits: DataLimits;
  readonly counts: Counts;
  readonly onProblem: (error: unknown) => void;
  readonly onFailed: NonNullable<JobQueueOptions['onFailed']>;
  readonly onClosed: (worker: BullWorker) => void;
}

/** After an error of the engine a worker tries again so late, in milliseconds. */
const RETRY_MS = 500;
/** Of the message and of the stack of an error that the engine keeps. */
const MOST_CHARACTERS = 8_192;

/**
 * One `work`: BullMQ's worker fetches, records and waits; what it is not trusted with is the lease (`Leases`), and whether
 * an end of a job is recorded. Runs in the broker process; the run itself is elsewhere.
 */
export class BullWorker implements JobWorker {
  readonly #o: BullWorkerOptions;
  readonly #worker: Worker;
  readonly #leases: Leases;
  readonly #closed = new AbortController();
  #idle: Deferred<void> | undefined;
  #running = 0;
  #closing: Promise<void> | undefined;

  constructor(bull: Bull, settings: BullSettings, options: BullWorkerOptions) {
    this.#o = options;
    this.#worker = this.#makeWorker(bull, settings);
    this.#leases = new Leases({
      leaseMs: options.leaseMs,
      clock: systemClock,
      renew: (ids, tokens) => this.#worker.extendJobLocks(ids, tokens, options.leaseMs),
      onLost: () => options.counts.leaseLost++,
      onProblem: options.onProblem,
    });
  }

  /** Resolves once both connections are there and jobs are taken. */
  async start(): Promise<void> {
    await this.#worker.waitUntilReady();
    // It ends with the worker; what goes wrong in it is emitted.
    void this.#worker.run().catch(this.#o.onProblem);
  }

  close(drainMs: number): Promise<void> {
    this.#closing ??= this.#close(drainMs);
    return this.#closing;
  }

  #makeWorker(bull: Bull, { connection, prefix, factory }: BullSettings): Worker {
    const { name, concurrency, leaseMs, maxLeaseLosses, limiter, onProblem } = this.#o;
    const worker = new bull.Worker(
      name,
      (job: Job, token = '') => this.#process(bull, job, token),
      {
        ...{ connection, prefix, concurrency, autorun: false },
        ...{ lockDuration: leaseMs, skipLockRenewal: true },
        // Looking for leases that ran out is cheap, and one node at a time does it.
        ...{ stalledInterval: Math.ceil(leaseMs / 3), maxStalledCount: maxLeaseLosses },
        ...(limiter !== undefined && { limiter }),
        runRetryDelay: RETRY_MS,
        settings: { backoffStrategy: (made, _type, _error, job) => backoffOf(made, job?.opts.backoff) },
      },
      backingOff(factory, this.#closed.signal),
    );
    return worker.on('error', onProblem);
  }

  /** What BullMQ calls for each job it fetched. To resolve or reject records the end; a `WaitingError` records nothing. */
  async #process(bull: Bull, job: Job, token: string): Promise<unknown> {
    const lease = this.#leases.take(job.id as string, token);
    this.#guardRecord(job, lease);
    // A job that is fetched while this worker was told to take no more does not run.
    const runs = this.#closing === undefined;
    this.#enter();
    try {
      const result = await this.#result(job, lease, runs);
      // Of a lease that ended meanwhile nothing is recorded, whatever is returned.
      if (lease.ended === undefined && result !== undefined) checkJobData(result, this.#o.limits, 'result');
      if (lease.ended === undefined) return result;
    } catch (error) {
      if (lease.ended === undefined) {
        this.#tellFailed(job, error);
        throw storable(error);
      }
    } finally {
      this.#leave();
    }
    if (lease.ended === 'given back') await this.#handOver(job, lease, runs);
    throw new bull.WaitingError();
  }

  /** A run that lost its lease keeps its place until it ends, so that `concurrency` holds. One given back is not waited for. */
  #result(job: Job, lease: Lease, runs: boolean): Promise<unknown> {
    const { name, run } = this.#o;
    return new Promise((resolve, reject) => {
      lease.onGiveBack = reject;
      if (runs) run(new BullRunningJob(name, job, lease)).then(resolve, reject);
      else this.#leases.giveBack(lease);
    });
  }

  /**
   * The end of a job is recorded for its holder only: the engine refuses anybody else, which BullMQ would take for a
   * failure of the job. Whatever else goes wrong is tried again as long as the lease may be held.
   */
  #guardRecord(job: Job, lease: Lease): void {
    const { moveToCompleted, moveToFailed } = job;
    job.moveToCompleted = (...args) => this.#record(lease, 'done', () => moveToCompleted.apply(job, args));
    job.moveToFailed = (...args) =>
      this.#record(lease, 'failed', () => moveToFailed.apply(job, args)) as ReturnType<typeof moveToFailed>;
  }

  async #record<T>(lease: Lease, counter: 'done' | 'failed', tell: () => Promise<T>): Promise<T | undefined> {
    this.#leases.drop(lease);
    for (let tries = 0; ; tries++) {
      try {
        const next = await tell();
        this.#o.counts[counter]++;
        return next;
      } catch (error) {
        if (isRefusal(error)) break;
        this.#o.onProblem(error);
        if (tries * RETRY_MS > this.#o.leaseMs) break;
      }
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
    }
    this.#leases.lose(lease);
    return undefined;
  }

  async #handOver(job: Job, { token }: Lease, counts: boolean): Promise<void> {
    try {
      const told = await within(job.moveToWait(token), this.#o.deadlineMs);
      if (told === undefined) throw new Error(`Job ${job.id} could not be given back in ${this.#o.deadlineMs} ms`);
      if (counts) this.#o.counts.givenBack++;
    } catch (error) {
      // Then it runs elsewhere when the lease is up.
      this.#o.onProblem(error);
    }
  }

  #tellFailed(job: Job, error: unknown): void {
    const { name, onFailed } = this.#o;
    const attempt = job.attemptsStarted;
    onFailed({ id: toJobId(name, job.id ?? ''), attempt }, error, job.attemptsMade + 1 >= (job.opts.attempts ?? 1));
  }

  #enter(): void {
    this.#running++;
    this.#o.counts.running++;
  }

  #leave(): void {
    this.#running--;
    this.#o.counts.running--;
    if (this.#running === 0) this.#idle?.resolve();
  }

  async #close(drainMs: number): Promise<void> {
    this.#closed.abort();
    await this.#worker.pause(true);
    await this.#drained(drainMs);
    this.#leases.giveBackAll();
    await within(this.#worker.close(), this.#o.deadlineMs);
    this.#leases.close();
    this.#o.onClosed(this);
  }

  async #drained(drainMs: number): Promise<void> {
    if (this.#running === 0) return;
    this.#idle = deferred();
    await within(this.#idle.promise, drainMs);
  }
}

/** A class, and not an object with a getter: that is made anew, with its shape, for each job. */
class BullRunningJob implements RunningJob {
  readonly id: string;
  readonly name: string;
  readonly data: unknown;
  readonly attempt: number;
  readonly trace: string | undefined;
  readonly #lease: Lease;

  constructor(name: string, job: Job, lease: Lease) {
    this.id = toJobId(name, lease.id);
    this.name = name;
    this.data = job.data;
    this.attempt = job.attemptsStarted;
    this.trace = job.opts.telemetry?.metadata;
    this.#lease = lease;
  }

  get signal(): AbortSignal {
    return this.#lease.signal;
  }
}

/** A code of BullMQ: no such job, no lock, a stranger's lock, not under way. */
function isRefusal(error: unknown): boolean {
  const code: unknown = Reflect.get(Object(error), 'code');
  return typeof code === 'number' && code < 0;
}

/** An error as the engine keeps it: bounded, with its causes, and under no name that BullMQ takes for an order. */
function storable(error: unknown): Error {
  const chain = withCauses(error instanceof Error ? error : new Error(String(error)));
  const kept = new Error(reasonOf(chain).slice(0, MOST_CHARACTERS));
  const stacks = chain.map(({ stack, message }) => String(stack ?? message));
  kept.stack = stacks.join('\n[cause]: ').slice(0, MOST_CHARACTERS);
  return kept;
}

const MOST_CAUSES = 8;

function withCauses(error: Error): Error[] {
  const chain = [error];
  for (let { cause } = error; cause instanceof Error && chain.length <= MOST_CAUSES; cause = cause.cause)
    chain.push(cause);
  return chain;
}

/** `fetch failed: connect ECONNREFUSED 127.0.0.1:80`; a cause that the text before it names already says nothing more. */
function reasonOf(chain: readonly Error[]): string {
  const [said = '', ...causes] = chain.map(
    ({ name, message, code = name }: NodeJS.ErrnoException) => String(message) || String(code),
  );
  return causes.reduce((text, cause) => (text.includes(cause) ? text : `${text}: ${cause}`), said);
}
