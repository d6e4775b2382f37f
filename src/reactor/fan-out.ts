/** The same message to many: their sends enter the kernel together, where it can do that. Runs in the reactor. */
import type { Batch } from './batch.js';
import type { Connection } from './connection.js';
import type { Sending } from './sending.js';

/** For fewer, each its own send(2) costs as little. */
const FEWEST = 8;

export class FanOut {
  readonly #sending: Sending;
  readonly #open: () => Batch | undefined;
  /** Whose bytes are in the batch, and where they lie. */
  readonly #connections: Connection[] = [];
  readonly #sources: Buffer[] = [];
  readonly #starts: number[] = [];
  readonly #lengths: number[] = [];
  #batch: Batch | undefined;
  #isOpened = false;
  #isWanted = false;

  /** @param open asked once, when something first goes to several */
  constructor(sending: Sending, open: () => Batch | undefined) {
    this.#sending = sending;
    this.#open = open;
  }

  /** What is written until `end` goes to that many connections, once to each. */
  begin(connections: number): void {
    this.#isWanted = connections >= FEWEST;
    if (!this.#isWanted || this.#isOpened) return;
    this.#isOpened = true;
    this.#batch = this.#open();
  }

  /** As `Sending.write`, but the bytes leave with `end` at the latest, and stay where they are until then. */
  write(connection: Connection, source: Buffer, at: number, address: number, length: number): void {
    const batch = this.#batch;
    const isBatched = this.#isWanted && batch !== undefined && connection.out === null && connection.transport.isPlain;
    if (!isBatched) return this.#sending.write(connection, source, at, address, length);
    if (batch.isFull) this.#flush(batch);
    batch.add(connection.descriptor, address, length);
    this.#connections.push(connection);
    this.#sources.push(source);
    this.#starts.push(at);
    this.#lengths.push(length);
  }

  end(): void {
    if (this.#connections.length > 0 && this.#batch !== undefined) this.#flush(this.#batch);
    this.#isWanted = false;
  }

  #flush(batch: Batch): void {
    batch.submit();
    const connections = this.#connections;
    for (let i = 0; i < connections.length; i++) {
      const [source, at, length] = [this.#sources[i] as Buffer, this.#starts[i] as number, this.#lengths[i] as number];
      this.#sending.taken(connections[i] as Connection, batch.resultOf(i), source, at, length);
    }
    for (const list of [connections, this.#sources, this.#starts, this.#lengths]) list.length = 0;
    if (!batch.isUsable) this.#batch = undefined;
  }
}
