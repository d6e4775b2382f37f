/**
 * Calls user code: counts pending promises, handles failures, measures callbacks. An error of a callback costs its
 * connection, never the worker. Runs in a worker.
 */
import { CloseCode } from '../ipc/frame.js';
import type { Outbox } from '../ipc/outbox.js';
import type { ProcessRecord } from '../memory/process-board.js';
import type { Log } from '../util/log.js';
import { isThenable } from '../util/thenable.js';
import type { Figures } from './figures.js';
import type { WorkerConnection } from './worker-connection.js';

export interface CallsParts {
  readonly outbox: Pick<Outbox, 'close'>;
  readonly figures: Pick<Figures, 'countFailure'>;
  readonly record: Pick<ProcessRecord, 'callbackTook'>;
  readonly log: Log;
  /** The number of pending calls has changed. */
  pendingChanged(count: number): void;
}

/** A connection, as far as its calls go. */
type Connection = Pick<WorkerConnection<never>, 'pending' | 'ended' | 'settled'> & {
  readonly user: { readonly fd: number };
};

export class Calls {
  readonly #parts: CallsParts;
  #pending = 0;
  /** When the last callback of this turn ended, and so the next one began: one look at the clock for each. */
  #stamp = 0;

  constructor(parts: CallsParts) {
    this.#parts = parts;
  }

  /** Calls, and requests, that have begun and not finished. */
  get pending(): number {
    return this.#pending;
  }

  /** Adds to the pending work beyond the running callback; a negative `count` subtracts. */
  addPending(count: number): void {
    this.#pending += count;
    this.#parts.pendingChanged(this.#pending);
  }

  beginTurn(now: number): void {
    this.#stamp = now;
  }

  /** The callback that was called last has returned. */
  ended(): void {
    this.#took(this.#stamp);
  }

  /** A callback without a connection. */
  call(event: string, call: () => unknown): void {
    try {
      const result = call();
      if (isThenable(result)) this.#await(event, result);
    } catch (error) {
      this.failed(error, event);
    }
  }

  /** A callback for a connection: when it fails, the connection is closed. */
  callFor(connection: Connection, event: string, call: () => unknown): void {
    try {
      const result = call();
      if (isThenable(result)) this.awaitFor(connection, event, result);
    } catch (error) {
      this.failedFor(connection, error, event);
    }
  }

  /** The connection has this call pending until the promise settles. */
  awaitFor(connection: Connection, event: string, promise: PromiseLike<unknown>): void {
    this.begin(connection);
    const settled = (): void => this.settled(connection);
    promise.then(settled, (error: unknown) => {
      this.failedFor(connection, error, event);
      settled();
    });
  }

  /** A callback of the connection has returned a promise. @returns when it was called: see `settled` */
  begin(connection: Connection): number {
    this.addPendingOf(connection);
    const startedAt = this.#stamp;
    this.#stamp = performance.now();
    return startedAt;
  }

  /** Work of a connection that is no callback: `settled` ends it. */
  addPendingOf(connection: Connection): void {
    connection.pending++;
    this.addPending(1);
  }

  /** The promise has settled. @param startedAt where its time is to be recorded */
  settled(connection: Connection, startedAt = -1): void {
    if (startedAt >= 0) this.#took(startedAt);
    connection.settled();
    this.addPending(-1);
  }

  failed(error: unknown, event: string): void {
    this.#parts.figures.countFailure();
    this.#parts.log.error(`the '${event}' callback failed`, { error });
  }

  failedFor(connection: Connection, error: unknown, event: string): void {
    const { fd } = connection.user;
    this.#parts.figures.countFailure();
    this.#parts.log.error(`the '${event}' callback failed, its connection is closed`, { fd, error });
    if (!connection.ended) this.#parts.outbox.close(fd, false, CloseCode.CALLBACK_FAILED);
  }

  #await(event: string, promise: PromiseLike<unknown>): void {
    this.addPending(1);
    const settled = (): void => this.addPending(-1);
    promise.then(settled, (error: unknown) => {
      this.failed(error, event);
      settled();
    });
  }

  #took(startedAt: number): void {
    this.#stamp = performance.now();
    this.#parts.record.callbackTook(this.#stamp - startedAt);
  }
}
