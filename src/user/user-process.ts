/** A user process (`addProcess`): supervised like a worker, it executes `run`. Runs in that process. */
import type { WorkSource } from '../messaging/work-source.js';

export interface UserProcessParts {
  /** Called once, when no predecessor is still at work. */
  run(signal: AbortSignal): unknown;
  /** The server will end: see `WorkSource`. */
  settle?(): void;
  /** False when `run` does not take the signal: it cannot be asked to finish, so the server does not wait for it. */
  readonly waits: boolean;
  /** `run` threw: the process ends and is respawned. */
  failed(error: unknown): void;
  wakeSoon(): void;
}

export class UserProcess implements WorkSource {
  readonly holdsUntilFinished = true;
  readonly hasWork = false;
  readonly isFree = false;
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

  look(): void {}

  whenFree(then: () => void): void {
    then();
  }

  release(): void {
    this.#controller.abort();
  }

  settle(): void {
    this.#parts.settle?.();
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
