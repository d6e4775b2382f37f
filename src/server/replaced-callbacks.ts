/** Warns, once per event, that a callback has replaced another one: often both were meant to run. */
import type { Log } from '../util/log.js';

export class ReplacedCallbacks {
  readonly #log: Pick<Log, 'warn'>;
  readonly #isFirst: () => boolean;
  readonly #warned = new Set<string>();

  /** @param isFirst every process runs the script: only the first one warns */
  constructor(log: Pick<Log, 'warn'>, isFirst: () => boolean) {
    this.#log = log;
    this.#isFirst = isFirst;
  }

  /** @param port the number of the listen port; undefined: of the server */
  replaced(event: string, port?: number): void {
    const name = port === undefined ? `"${event}"` : `"${event}" of listen port ${port}`;
    if (this.#warned.has(name) || !this.#isFirst()) return;
    this.#warned.add(name);
    this.#log.warn(`the event ${name} had a callback already, and the later one replaces it`);
  }
}
