/** The body of a request that comes as a stream of HTTP/2: the client may send on as pieces are taken. */
import type { ServerHttp2Stream } from 'node:http2';
import { ServerError } from '../../errors/index.js';
import type { RequestBody } from '../exchange.js';

export interface StreamBodyEvents {
  /** Somebody wants the body: a client that has asked whether it may send it is told so. */
  wanted(): void;
  /** A piece was taken. */
  came(): void;
  /** It has more than `bodyLimit` bytes. */
  overflowed(): void;
}

const noTrailers: readonly string[] = [];

export class StreamBody implements RequestBody {
  readonly whole = null;
  trailers: readonly string[] = noTrailers;
  readonly #stream: ServerHttp2Stream;
  readonly #bodyLimit: number;
  readonly #events: StreamBodyEvents;
  #waiting: { resolve: (piece: Buffer | null) => void; reject: (error: Error) => void } | undefined;
  #isRead = false;
  #isComplete = false;
  #isGone = false;
  #isAbandoned = false;
  #bytes = 0;
  readonly #onReadable = (): void => this.#settle();
  readonly #onEnd = (): void => {
    this.#isComplete = true;
    this.#settle();
  };

  constructor(stream: ServerHttp2Stream, bodyLimit: number, events: StreamBodyEvents) {
    this.#stream = stream;
    this.#bodyLimit = bodyLimit;
    this.#events = events;
    stream.on('trailers', (_headers: unknown, _flags: unknown, raw: readonly string[] | undefined) => {
      this.trailers = raw ?? noTrailers;
    });
  }

  /** All of it was read. */
  get isComplete(): boolean {
    return this.#isComplete;
  }

  /** The reader waits for the client. */
  get isAwaited(): boolean {
    return this.#waiting !== undefined;
  }

  next(): Promise<Buffer | null> {
    if (this.#isComplete || this.#isAbandoned) return Promise.resolve(null);
    if (this.#isGone) return Promise.reject(goneError());
    if (!this.#isRead) this.#begin();
    return new Promise((resolve, reject) => {
      this.#waiting = { resolve, reject };
      this.#settle();
    });
  }

  /** The client has gone, or its time is over. */
  fail(): void {
    if (this.#isComplete) return;
    this.#isGone = true;
    this.#leave()?.reject(goneError());
  }

  /** Nobody will read the rest. */
  abandon(): void {
    this.#isAbandoned = true;
    this.#leave()?.resolve(null);
  }

  #begin(): void {
    this.#isRead = true;
    this.#events.wanted();
    this.#stream.on('readable', this.#onReadable);
    this.#stream.on('end', this.#onEnd);
  }

  #settle(): void {
    if (this.#waiting === undefined) return;
    const piece = this.#stream.read() as Buffer | null;
    if (piece === null && !this.#isComplete) return;
    if (piece !== null) {
      this.#bytes += piece.length;
      if (this.#bytes > this.#bodyLimit) return this.#events.overflowed();
      this.#events.came();
    }
    const waiting = this.#waiting;
    this.#waiting = undefined;
    waiting?.resolve(piece);
  }

  #leave(): { resolve: (piece: null) => void; reject: (error: Error) => void } | undefined {
    this.#stream.off('readable', this.#onReadable);
    const waiting = this.#waiting;
    this.#waiting = undefined;
    return waiting;
  }
}

function goneError(): ServerError {
  return new ServerError('ERR_HTTP_CLIENT_GONE', {});
}
