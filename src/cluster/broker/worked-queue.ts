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
  #worker: JobWorker | undefined;

  constructor(parts: WorkedQueueParts) {
    this.#parts = parts;
    void this.#begin();
  }

  hasOptions(options: WorkOptions): boolean {
    return JSON.stringify(options) === JSON.stringify(this.#parts.options);
  }

  /** Jobs under way have `drainMs`, then they are given back. */
  async close(drainMs: number): Promise<void> {
    this.#closing.abort();
    await this.#worker?.close(drainMs);
  }

  async #begin(): Promise<void> {
    const { name, after, log } = this.#parts;
    const { signal } = this.#closing;
    await after;
    for (let tries = 0; !signal.aborted && this.#worker === undefined; tries++) {
      try {
        await this.#work();
      } catch (error) {
        if (tries === 0 && !signal.aborted) log.warn(`no jobs "${name}" are taken yet; tried again`, { error });
        await pause(TRY_AGAIN_MS, signal);
      }
    }
  }

  /** @throws ServerError ERR_CLUSTER_DOWN */
  async #work(): Promise<void> {
    const { queue, name, run, options } = this.#parts;
    const worker = await queue.work(name, run, options);
    if (this.#closing.signal.aborted) return worker.close(0);
    this.#worker = worker;
  }
}
