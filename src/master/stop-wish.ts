/**
 * The request to end the server: a signal, or `shutdown()`. It may come at any moment of the start, before any
 * part could carry it out; then it waits here. Runs in the process that a user has started.
 */
import { ServerError } from '../errors/index.js';

const signals = ['SIGTERM', 'SIGINT', 'SIGHUP'] as const;

export class StopWish {
  #made = false;
  #signal: NodeJS.Signals | undefined;
  #carryOut: (() => void) | undefined;

  /** From now on it receives the signals that end a server. */
  listen(): void {
    for (const signal of signals) {
      process.on(signal, () => {
        this.#signal ??= signal;
        this.make();
      });
    }
  }

  get isMade(): boolean {
    return this.#made;
  }

  /** The first signal that came; undefined: `shutdown()`, or nothing yet. */
  get signal(): NodeJS.Signals | undefined {
    return this.#signal;
  }

  /** Requests the end; a second call hurries it. */
  make(): void {
    this.#made = true;
    this.#carryOut?.();
  }

  /**
   * Awaits a step of the start that may take for ever, but not beyond the request. @throws ServerError ERR_START_ENDED
   */
  async unlessMade(step: Promise<unknown>): Promise<void> {
    const made = new Promise<never>((_, reject) => {
      this.whenMade(() => reject(new ServerError('ERR_START_ENDED', {})));
    });
    await Promise.race([step, made]);
  }

  /** @param carryOut called at each request, and at once when one waits */
  whenMade(carryOut: () => void): void {
    this.#carryOut = carryOut;
    if (this.#made) carryOut();
  }
}
