/**
 * Answers of one turn wait for each other: those to one client leave in one send, and those to many clients enter the
 * kernel in one call, where it can do that. Runs in the reactor.
 */
import type { Batch } from './batch.js';
import type { Connection } from './connection.js';
import type { Chunk, OutQueue } from './out-queue.js';
import type { Staged } from './transport/transport.js';

/** For fewer, each its own send(2) costs as little. */
const FEWEST = 8;
/** So many answers wait for each other at most: by then a call more costs each of them next to nothing. */
const MOST = 64;
/** Longer answers leave by themselves: to copy them costs more than the call. */
const LONGEST_BYTES = 8192;
/** A callback that takes so long keeps nobody else waiting: answers leave at once where callbacks do (BASE mode). */
const SLOW_MS = 0.05;

export interface HeldSendsParts {
  /** Asked once, when a turn first has several answers. */
  openBatch(): Batch | undefined;
  /** Its queue is to be passed to the transport. */
  write(connection: Connection): void;
  /** @param taken bytes of the queue's first chunk, which was all it had; negative: −errno */
  taken(connection: Connection, out: OutQueue, taken: number): void;
  /** In ms. */
  now(): number;
}

export class HeldSends {
  readonly #parts: HeldSendsParts;
  readonly #results = new Int32Array(MOST);
  #connections: Connection[] = [];
  #batch: Batch | undefined;
  #isOpened = false;
  #isTurn = false;
  #runsCallbacks = false;
  /** Answers of this turn so far. */
  #answers = 0;
  /** The turn before had many. */
  #isBusy = false;
  #lastMs = 0;

  constructor(parts: HeldSendsParts) {
    this.#parts = parts;
  }

  /** From here to `endTurn` answers may wait. @param runsCallbacks of the user, in this thread */
  beginTurn(runsCallbacks: boolean): void {
    this.#isTurn = true;
    this.#runsCallbacks = runsCallbacks;
    if (runsCallbacks && this.#isBusy) this.#lastMs = this.#parts.now();
  }

  /** Asked for every answer. @returns true: it is to be held */
  takes(length: number): boolean {
    this.#answers++;
    if (!this.#isBusy || !this.#isTurn || length > LONGEST_BYTES) return false;
    if (!this.#runsCallbacks) return true;
    const now = this.#parts.now();
    const isSlow = now - this.#lastMs > SLOW_MS;
    this.#lastMs = now;
    if (isSlow) this.flush();
    return !isSlow;
  }

  add(connection: Connection): void {
    this.#connections.push(connection);
    if (this.#connections.length >= MOST) this.flush();
  }

  endTurn(): void {
    if (this.#connections.length > 0) this.flush();
    this.#isTurn = false;
    this.#isBusy = this.#answers >= FEWEST && this.#isBatchOpen();
    this.#answers = 0;
  }

  flush(): void {
    const held = this.#connections;
    this.#connections = [];
    const batch = held.length >= FEWEST ? this.#batch : undefined;
    if (batch === undefined) for (const connection of held) this.#writeAlone(connection);
    else this.#writeTogether(held, batch);
  }

  #isBatchOpen(): boolean {
    if (!this.#isOpened) this.#batch = this.#parts.openBatch();
    this.#isOpened = true;
    return this.#batch !== undefined;
  }

  #writeAlone(connection: Connection): void {
    if (connection.out?.isHeld === true) this.#parts.write(connection);
  }

  /** Bytes that are to be encrypted are encrypted first, all of them, and lie behind each other then. */
  #writeTogether(held: readonly Connection[], batch: Batch): void {
    const sent: Connection[] = [];
    const alone: Connection[] = [];
    const staged: (Staged | undefined)[] = [];
    for (const connection of held) {
      const { out, transport } = connection;
      if (out?.isHeld !== true) continue;
      const { only } = out;
      const isPlain = only !== undefined && transport.isPlain;
      const ready = only === undefined || isPlain ? undefined : this.#stage(connection, only);
      if (!isPlain && ready === undefined) alone.push(connection);
      else staged[sent.push(connection) - 1] = ready;
    }
    if (sent.length > 0) this.#send(sent, staged, batch);
    for (const connection of alone) this.#writeAlone(connection);
  }

  #stage(connection: Connection, { address, start, end }: Chunk): Staged | undefined {
    return connection.transport.stage?.(connection, address + start, end - start);
  }

  #send(sent: readonly Connection[], staged: readonly (Staged | undefined)[], batch: Batch): void {
    for (let i = 0; i < sent.length; i++) {
      const { descriptor, out } = sent[i] as Connection;
      const { address, start, end } = (out as OutQueue).only as Chunk;
      const ready = staged[i];
      if (ready === undefined) batch.add(descriptor, address + start, end - start);
      else batch.add(descriptor, ready.address(), ready.bytes);
    }
    batch.submit();
    if (!batch.isUsable) this.#batch = undefined;
    const results = this.#results;
    for (let i = 0; i < sent.length; i++) results[i] = staged[i]?.done(batch.resultOf(i)) ?? batch.resultOf(i);
    for (const ready of staged) ready?.end();
    for (let i = 0; i < sent.length; i++) {
      const connection = sent[i] as Connection;
      this.#parts.taken(connection, connection.out as OutQueue, results[i] as number);
    }
  }
}
