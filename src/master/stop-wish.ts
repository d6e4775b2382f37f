/**
 * The wish that the server shall end: a signal, or `shutdown()`. It may come at any moment of the start, before there is
 * anything that could carry it out; then it waits here. Runs in the process that a user has started.
 */
import { ServerError } from '../errors/index.js';

const signals = ['SIGTERM', 'SIGINT', 'SIGHUP'] as const;

export class StopWish {
  #made = false;
  #signal: NodeJS.Signals | undefined;
  #carryOut: (() => void) | undefined;

  /** From now on the signals that end a server are heard. */
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

  /** Again: the second one hurries. */
  make(): void {
    this.#made = true;
    this.#carryOut?.();
  }

  /** A step of the start that may take for ever does not hold it up. @throws ServerError ERR_START_ENDED */
  async unlessMade(step: Promise<unknown>): Promise<void> {
    const made = new Promise<never>((_, reject) => {
      this.whenMade(() => reject(new ServerError('ERR_START_ENDED', {})));
    });
    await Promise.race([step, made]);
  }

  /** @param carryOut called at each wish, and at once when one waits */
  whenMade(carryOut: () => void): void {
    this.#carryOut = carryOut;
    if (this.#made) carryOut();
  }
}
