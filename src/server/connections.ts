import type { ConnectionTable } from '../memory/connection-table.js';

/** The open connections of a server at the moment they are asked for: session ids. Readable in every process. */
export class Connections implements Iterable<number> {
  readonly #table: ConnectionTable | undefined;
  readonly #count: () => number;

  constructor(table: ConnectionTable | undefined, count: () => number) {
    this.#table = table;
    this.#count = count;
  }

  /** How many there are. */
  get size(): number {
    return this.#table === undefined ? 0 : this.#count();
  }

  /** True while the connection is open. */
  has(fd: number): boolean {
    return this.#table?.isOpen(fd) ?? false;
  }

  *[Symbol.iterator](): Iterator<number> {
    if (this.#table !== undefined) yield* this.#table.sessions();
  }
}
