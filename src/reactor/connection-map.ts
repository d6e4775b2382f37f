import type { Connection } from './connection.js';

/**
 * The open connections of one reactor, by slot. A plain array: a Map keeps allocating tables that each point to
 * the next; once one of them is old, all of them live until the next full collection.
 */
export class ConnectionMap {
  readonly #reactors: number;
  readonly #connections: (Connection | undefined)[] = [];
  #size = 0;

  /** @param reactors how many reactors share the table: this reactor owns every `reactors`-th slot */
  constructor(reactors: number) {
    this.#reactors = reactors;
  }

  get size(): number {
    return this.#size;
  }

  get(slot: number): Connection | undefined {
    return this.#connections[(slot / this.#reactors) | 0];
  }

  add(connection: Connection): void {
    const index = (connection.slot / this.#reactors) | 0;
    while (this.#connections.length < index) this.#connections.push(undefined);
    this.#connections[index] = connection;
    this.#size++;
  }

  delete(connection: Connection): void {
    const index = (connection.slot / this.#reactors) | 0;
    if (this.#connections[index] !== connection) return;
    this.#connections[index] = undefined;
    this.#size--;
  }

  /** A copy: connections may be deleted while the caller walks it. */
  list(): Connection[] {
    return this.#connections.filter((connection) => connection !== undefined);
  }
}
