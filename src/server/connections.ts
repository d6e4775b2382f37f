import type { ConnectionTable } from '../memory/connection-table.js';

/** The open connections of a server at the moment they are asked for: session ids. Readable in every process. */
export class Connections implements Iterable<number> {
  readonly #table: ConnectionTable | undefined;

  constructor(table: ConnectionTable | undefined) {
    this.#table = table;
  }

  /** How many the iteration gives now; it is counted, so ask once. `stats().connectionNum` has those that close, too. */
  get size(): number {
    return this.#table?.countOpen() ?? 0;
  }

  /** True while the connection is open. */
  has(fd: number): boolean {
    return this.#table?.isOpen(fd) ?? false;
  }

  *[Symbol.iterator](): Iterator<number> {
    if (this.#table !== undefined) yield* this.#table.sessions();
  }
}
