/**
 * Durable jobs of a node: answers the calls of its processes, takes jobs for the handlers that its task workers have, and
 * lets those run them. Runs in the broker process, which renews the leases: a task worker that computes for a minute
 * loses no job.
 */
import { ServerError } from '../../errors/index.js';
import type { Log } from '../../util/log.js';
import { pause } from '../../util/pause.js';
import { within } from '../../util/within.js';
import type { JobQueue, JobStats, RunningJob, WorkOptions } from '../jobs/queue.js';
import type { JobCall, NamedCounts, OfferedWork } from '../messages.js';
import { QueueCounts } from './queue-counts.js';
import { WorkedQueue } from './worked-queue.js';

/** What a task worker gets: its handler for `name` runs it. */
export type JobTask = Omit<RunningJob, 'signal'>;

export interface BrokerJobsParts {
  /** Resolves though the engine is not there yet. @throws ServerError ERR_CLUSTER_PACKAGE */
  open(): Promise<JobQueue>;
  /** In a task worker of this node. @throws ServerError ERR_TASK_QUEUE_FULL, ERR_TASK_WORKER_DIED, the handler's error */
  run(task: JobTask, signal: AbortSignal): Promise<unknown>;
  /** Process ids. */
  readonly taskWorkers: readonly number[];
  /** Tasks that all task workers together run at a time. */
  readonly places: number;
  readonly leaseMs: number;
  readonly maxLeaseLosses: number;
  readonly drainMs: number;
  readonly log: Log;
}

/** Calls of this node's processes that the engine has not answered. */
const MOST_CALLS = 10_000;
/** While tasks of the user fill the queue for task workers, or a reload has not come to all of them. */
const TRY_AGAIN_MS = 100;
/** How long a reload may leave jobs without a handler. */
const NO_HANDLER_MS = 10_000;

const GIVE_BACK_MS = 1000;

const nothingDone: JobStats = { enqueued: 0, refused: 0, running: 0, done: 0, failed: 0, leaseLost: 0, givenBack: 0 };

export class BrokerJobs {
  readonly #parts: BrokerJobsParts;
  readonly #offers = new Map<number, readonly OfferedWork[]>();
  readonly #worked = new Map<string, WorkedQueue>();
  readonly #counts = new QueueCounts({
    worked: () => this.names,
    counts: (name) => this.#ask(async (queue) => queue.counts(name)),
  });
  #opening: Promise<JobQueue> | undefined;
  #queue: JobQueue | undefined;
  #calls = 0;
  #isClosing = false;
  #isSettling = false;

  constructor(parts: BrokerJobsParts) {
    this.#parts = parts;
  }

  /** Where a package is missing, every call rejects with that, and no job is taken. */
  open(): void {
    this.#opening = this.#parts.open();
    this.#opening.then(
      (queue) => {
        if (this.#isClosing) return queue.close(0);
        this.#queue = queue;
        return this.#adjust();
      },
      (error: unknown) => this.#parts.log.error('this node has no durable jobs', { error }),
    );
  }

  /** Since this broker process has started. */
  stats(): JobStats {
    return this.#queue?.stats() ?? nothingDone;
  }

  /** Of which names this node takes jobs now. */
  get names(): readonly string[] {
    return [...this.#worked.keys()];
  }

  /** Over all nodes, as last counted. */
  get counted(): readonly NamedCounts[] {
    return this.#counts.latest;
  }

  /** Why they could not be counted: no jobs run then. Empty: they could. */
  get uncounted(): string {
    return this.#counts.why;
  }

  /** Over all nodes, now. @throws ServerError ERR_CLUSTER_DOWN, ERR_CLUSTER_FULL */
  count(): Promise<readonly NamedCounts[]> {
    return this.#counts.read();
  }

  /** @throws ServerError ERR_CLUSTER_FULL, and those of `JobQueue` */
  async answer(call: JobCall): Promise<unknown> {
    const answer = await this.#ask((queue) =>
      (queue[call.method] as (...args: readonly unknown[]) => Promise<unknown>)(...call.args),
    );
    this.#counts.called(call);
    return answer;
  }

  async #ask<T>(what: (queue: JobQueue) => Promise<T>): Promise<T> {
    if (this.#calls >= MOST_CALLS) {
      throw new ServerError('ERR_CLUSTER_FULL', { what: 'calls of durable jobs under way', most: MOST_CALLS });
    }
    this.#calls++;
    try {
      const queue = await this.#opening;
      if (queue === undefined) throw new ServerError('ERR_CLUSTER_DOWN', { engine: 'the queue', state: 'not open' });
      return await what(queue);
    } finally {
      this.#calls--;
    }
  }

  /** A task worker has these handlers, and no others. */
  offered(offers: readonly OfferedWork[], taskWorker: number): void {
    // The newest last.
    this.#offers.delete(taskWorker);
    this.#offers.set(taskWorker, offers);
    this.#adjust();
  }

  /** The server will end: takes no more jobs, and closes those it has taken as `close` does. Calls are answered on. */
  settle(): void {
    this.#isSettling = true;
    for (const worked of this.#worked.values()) void worked.close(this.#parts.drainMs);
  }

  /** Jobs have `drainMs`; those under way then are given to another node. An engine that is lost is not waited for. */
  async close(): Promise<void> {
    this.#isClosing = true;
    this.#isSettling = true;
    this.#counts.close();
    await within(this.#closeAll(), this.#parts.drainMs + GIVE_BACK_MS);
  }

  async #closeAll(): Promise<void> {
    const { drainMs } = this.#parts;
    await Promise.all([...this.#worked.values()].map((worked) => worked.close(drainMs)));
    await this.#queue?.close(0);
  }

  /** After a reload that is what the new script says. */
  #adjust(): void {
    const queue = this.#queue;
    if (queue === undefined || this.#isSettling) return;
    const wanted = this.#wanted();
    for (const [name, worked] of this.#worked) {
      if (!wanted.has(name)) void worked.close(this.#parts.drainMs);
      if (!wanted.has(name)) this.#worked.delete(name);
    }
    for (const [name, options] of wanted) this.#work(queue, name, options);
  }

  #work(queue: JobQueue, name: string, options: WorkOptions): void {
    const before = this.#worked.get(name);
    if (before?.hasOptions(options)) return;
    const { drainMs, log } = this.#parts;
    const run = (job: RunningJob): Promise<unknown> => this.#run(job);
    this.#worked.set(name, new WorkedQueue({ queue, name, run, options, after: before?.close(drainMs), log }));
  }

  /** What all task workers can run, for the queue cannot choose one; as the last of them says it. */
  #wanted(): Map<string, WorkOptions> {
    const { taskWorkers } = this.#parts;
    const wanted = new Map<string, WorkOptions>();
    if (taskWorkers.some((id) => !this.#offers.has(id))) return wanted;
    const all = taskWorkers.map((id) => this.#offers.get(id) ?? []);
    for (const offer of this.#newest) {
      if (all.every((offers) => offers.some(({ name }) => name === offer.name)))
        wanted.set(offer.name, this.#toOptions(offer));
    }
    return wanted;
  }

  get #newest(): readonly OfferedWork[] {
    return [...this.#offers.values()].at(-1) ?? [];
  }

  /** Not more jobs than there is room for: another node may have it. */
  #toOptions({ concurrency, leaseMs, maxLeaseLosses, rate }: OfferedWork): WorkOptions {
    const { places, ...defaults } = this.#parts;
    return {
      concurrency: Math.min(concurrency ?? places, places),
      leaseMs: leaseMs ?? defaults.leaseMs,
      maxLeaseLosses: maxLeaseLosses ?? defaults.maxLeaseLosses,
      ...(rate !== undefined && { rate }),
    };
  }

  /**
   * Its lease is renewed while it waits for room. Where its task worker is ended for another reason than a fault (a reload that
   * waits no longer, `maxUptimeMs`), it begins again in a new one: that says nothing about the job, so it costs no attempt.
   */
  async #run({ signal, id, name, data, attempt, trace }: RunningJob): Promise<unknown> {
    const { run, log } = this.#parts;
    for (let waitedMs = 0; ; waitedMs += TRY_AGAIN_MS) {
      try {
        return await run({ id, name, data, attempt, ...(trace !== undefined && { trace }) }, signal);
      } catch (error) {
        const why = whyCut(error);
        if (why === '' && !isPassing(error, waitedMs)) throw error;
        if (why !== '')
          log.info('the task worker of a job was ended, and the job begins again', { job: id, name, why });
        await pause(TRY_AGAIN_MS, signal);
        signal.throwIfAborted();
      }
    }
  }
}

/** What its task worker was ended for, whatever it ran; empty: it has not ended, or by a fault that may be that of the job. */
function whyCut(error: unknown): string {
  return error instanceof ServerError && error.is('ERR_TASK_WORKER_DIED') ? error.detail.why : '';
}

/** It says nothing about the job. */
function isPassing(error: unknown, waitedMs: number): boolean {
  const code = error instanceof ServerError ? error.code : undefined;
  return code === 'ERR_TASK_QUEUE_FULL' || (code === 'ERR_JOB_NO_HANDLER' && waitedMs < NO_HANDLER_MS);
}
