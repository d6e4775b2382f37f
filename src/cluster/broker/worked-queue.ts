/** One name whose jobs this node takes: begins as soon as the engine is there, and ends once. Runs in the broker process. */
import type { Log } from '../../util/log.js';
import { pause } from '../../util/pause.js';
import type { JobQueue, JobWorker, RunJob, WorkOptions } from '../jobs/queue.js';

export interface WorkedQueueParts {
  readonly queue: JobQueue;
  readonly name: string;
  readonly run: RunJob;
  readonly options: WorkOptions;
  /** Its predecessor, with other options, still finishes jobs. */
  readonly after: Promise<void> | undefined;
  readonly log: Log;
}

const TRY_AGAIN_MS = 500;

export class WorkedQueue {
  readonly #parts: WorkedQueueParts;
  readonly #closing = new AbortController();
  readonly #begun: Promise<JobWorker | undefined>;

  constructor(parts: WorkedQueueParts) {
    this.#parts = parts;
    this.#begun = this.#begin();
  }

  hasOptions(options: WorkOptions): boolean {
    return JSON.stringify(options) === JSON.stringify(this.#parts.options);
  }

  /** Jobs under way have `drainMs`, then they are given back. */
  async close(drainMs: number): Promise<void> {
    this.#closing.abort();
    const worker = await this.#begun;
    await worker?.close(drainMs);
  }

  async #begin(): Promise<JobWorker | undefined> {
    const { queue, name, run, options, after, log } = this.#parts;
    await after;
    for (let tries = 0; !this.#closing.signal.aborted; tries++) {
      try {
        return await queue.work(name, run, options);
      } catch (error) {
        if (tries === 0) log.warn(`no jobs "${name}" are taken yet; tried again`, { error });
        await pause(TRY_AGAIN_MS, this.#closing.signal);
      }
    }
    return undefined;
  }
}
