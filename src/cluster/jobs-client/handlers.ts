/** The handlers of a script for durable jobs. Every process registers them; task workers run them. */
import { describe, ServerError, told } from '../../errors/index.js';
import { inSpan } from '../../util/telemetry.js';
import type { JobTask } from '../broker/jobs.js';
import { checkName } from '../jobs/job-id.js';
import { toLimiter } from '../jobs/job-options.js';
import { checkFields } from '../jobs/known-fields.js';
import { integer } from '../jobs/limits.js';
import type { RunningJob, WorkOptions } from '../jobs/queue.js';
import type { OfferedWork } from '../messages.js';
import { processing } from './spans.js';

/** A job, as its handler gets it. `signal` aborts when this run is no longer wanted: its result is not recorded then. */
export type Job<T = unknown> = RunningJob<T>;

/** What it returns, or resolves to, is kept as the job's result (JSON), which `find` gives back; what it throws ends this attempt. */
export type JobHandler<T = unknown> = (job: Job<T>) => unknown;

/** The part of a task that is used. */
export interface TaskOfJob {
  readonly data: unknown;
  readonly signal: AbortSignal;
}

export class JobHandlers {
  readonly #handlers = new Map<string, JobHandler>();
  readonly #offers: OfferedWork[] = [];

  /** @throws ServerError ERR_JOB_OPTION, ERR_CALLBACK_TYPE */
  add(name: string, handler: JobHandler, options: Partial<WorkOptions>): void {
    checkName('name', name);
    if (typeof handler !== 'function') {
      throw told(
        new ServerError('ERR_CALLBACK_TYPE', {
          event: name,
          method: 'jobs.work()',
          received: describe(handler),
        }),
      );
    }
    if (this.#handlers.has(name)) {
      throw told(
        new ServerError('ERR_JOB_OPTION', {
          name: 'name',
          expected: 'another one for each handler',
          received: `${describe(name)}, which has one`,
        }),
      );
    }
    checkOptions(options);
    this.#handlers.set(name, handler);
    this.#offers.push({ ...options, name });
  }

  get offers(): readonly OfferedWork[] {
    return this.#offers;
  }

  /** In a task worker. @returns what the handler returns @throws ServerError ERR_JOB_NO_HANDLER, what the handler throws */
  run(task: TaskOfJob): unknown {
    const job = task.data as JobTask;
    const handler = this.#handlers.get(job.name);
    if (handler === undefined) throw new ServerError('ERR_JOB_NO_HANDLER', { name: job.name });
    const { id, name, data, attempt } = job;
    const run = (): unknown =>
      handler({
        ...{ id, name, data, attempt },
        get signal() {
          return task.signal;
        },
      });
    return inSpan(processing(job), run);
  }
}

function checkOptions(options: Partial<WorkOptions>): void {
  checkFields('work', 'options', options);
  const { concurrency, leaseMs, maxLeaseLosses, rate } = options;
  if (concurrency !== undefined) integer('concurrency', concurrency, { min: 1, max: 10_000 });
  if (leaseMs !== undefined) integer('leaseMs', leaseMs, { min: 1000, max: 24 * 3600 * 1000 });
  if (maxLeaseLosses !== undefined) integer('maxLeaseLosses', maxLeaseLosses, { min: 0, max: 1_000_000 });
  if (rate !== undefined) toLimiter(rate);
}
