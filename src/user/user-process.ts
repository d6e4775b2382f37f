/** A process of the user's own (`addProcess`): supervised like a worker, it does what `run` does. Runs in that process. */
import type { WorkSource } from '../messaging/work-source.js';

export interface UserProcessParts {
  /** Called once, when no process before this one is at work. */
  run(signal: AbortSignal): unknown;
  /** False when `run` does not take the signal: nobody can tell it to finish, so nobody waits for it. */
  readonly waits: boolean;
  /** `run` threw: the process ends and is started again. */
  failed(error: unknown): void;
  wakeSoon(): void;
}

export class UserProcess implements WorkSource {
  readonly holdsUntilFinished = true;
  readonly hasWork = false;
  readonly #parts: UserProcessParts;
  readonly #controller = new AbortController();
  #isRunning = false;

  constructor(parts: UserProcessParts) {
    this.#parts = parts;
  }

  get pending(): number {
    return this.#isRunning && this.#parts.waits ? 1 : 0;
  }

  attach(): void {
    void this.#run();
  }

  take(): boolean {
    return false;
  }

  release(): void {
    this.#controller.abort();
  }

  stop(): void {
    this.#controller.abort();
  }

  async #run(): Promise<void> {
    this.#isRunning = true;
    try {
      await this.#parts.run(this.#controller.signal);
    } catch (error) {
      if (!this.#controller.signal.aborted) this.#parts.failed(error);
    }
    this.#isRunning = false;
    this.#parts.wakeSoon();
  }
}
