/** What a worker passes to the HTTP of the surface, and what that asks of the worker; nothing here imports it. */
import type { Outbox } from '../ipc/outbox.js';
import type { Http2Record } from '../memory/boards.js';

/** A request as it lies in the ring: good only until `take` returns. */
export interface TakenRequest {
  readonly fd: number;
  /** Number of the exchange; each frame of its answer bears it. */
  readonly exchange: number;
  /** RequestFlag. */
  readonly flags: number;
  /** The two words the reactor has put before the head. */
  readonly first: number;
  readonly second: number;
  readonly bytes: Buffer;
  /** Where the head begins, and where the payload ends. */
  readonly at: number;
  readonly end: number;
}

/** What the service needs of its worker. */
export interface HttpWorker {
  readonly outbox: Outbox;
  readonly http2: Http2Record;
  /** One more, or one fewer, request is under way beyond its callback. */
  addPending(count: number): void;
  /** A callback of a request has failed: it is logged and counted. */
  callbackFailed(error: unknown, event: string): void;
  /** A connection is this worker's until the tunnel is closed: its `close` waits for that. */
  holdConnection(fd: number): void;
  releaseConnection(fd: number): void;
  /** Another process answers the request of this connection: the end of this one is not the end of it. */
  requestDetached(fd: number): void;
}

export interface HttpService {
  begin(worker: HttpWorker): void;
  /** Copies what it needs of a request. @returns what `serve` gets */
  take(request: TakenRequest): unknown;
  /** Runs the user's code. @returns its promise where it has one */
  serve(taken: unknown): void;
  body(fd: number, exchange: number, flags: number, data: Buffer): void;
  /** @param flags GoneFlag @param message empty, or what the client was answered in the worker's place */
  gone(fd: number, exchange: number, flags: number, message: string): void;
  /** Bytes of a connection that is no HTTP/1 any more. @returns false when nobody here knows it */
  received(fd: number, data: Buffer): boolean;
  /** The connection has ended. @param isHalf the client has ended its side only */
  ended(fd: number, isHalf: boolean): void;
  /** Uploads that come and connections that are tunnels cannot go over to another process: ends them. `done` when there are none. */
  dismiss(deadlineMs: number, done: () => void): void;
  /** The server is shutting down: clients are told not to come again. */
  drain(): void;
  /** For a process that hears no news any more: looks whether clients are still there. */
  poll(): void;
}
