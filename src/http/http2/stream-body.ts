/** The body of a request that comes as a stream of HTTP/2: the client may send on as pieces are taken. */
import type { ServerHttp2Stream } from 'node:http2';
import { type BodyCut, cutError } from '../cut.js';
import type { RequestBody } from '../exchange.js';
import { watchEnd } from './end-seen.js';
import { cutBy, tooLarge } from './fields.js';

export interface StreamBodyEvents {
  /** The handler wants the body: a client that waits for 100 Continue gets it. */
  wanted(): void;
  /** A piece was taken. */
  came(bytes: number): void;
  /** It exceeds `bodyLimit` bytes. */
  overflowed(): void;
}

const noTrailers: readonly string[] = [];

export class StreamBody implements RequestBody {
  readonly whole = null;
  isClaimed = false;
  trailers: readonly string[] = noTrailers;
  readonly #stream: ServerHttp2Stream;
  readonly #bodyLimit: number;
  readonly #events: StreamBodyEvents;
  readonly #hasEnded: () => boolean;
  /** The bytes present when the stream went, at most its window. */
  #rescued: Buffer[] = [];
  #waiting: { resolve: (piece: Buffer | null) => void; reject: (error: Error) => void } | undefined;
  #isRead = false;
  #isComplete = false;
  #cut: BodyCut | undefined;
  #bytes = 0;
  readonly #onReadable = (): void => this.#settle();
  readonly #onEnd = (): void => {
    if (!this.#hasEnded()) return; // the client has reset it, as Node is about to report
    this.#isComplete = true;
    this.#settle();
  };

  constructor(stream: ServerHttp2Stream, bodyLimit: number, events: StreamBodyEvents) {
    this.#stream = stream;
    this.#bodyLimit = bodyLimit;
    this.#events = events;
    this.#hasEnded = watchEnd(stream);
    stream.on('trailers', (_headers: unknown, _flags: unknown, raw: readonly string[] | undefined) => {
      this.trailers = raw ?? noTrailers;
    });
  }

  /** All of it was read. */
  get isComplete(): boolean {
    return this.#isComplete;
  }

  /** The client has sent all of it, read or not. */
  get hasCome(): boolean {
    return this.#isComplete || this.#hasEnded();
  }

  /** The reader waits for the client. */
  get isAwaited(): boolean {
    return this.#waiting !== undefined;
  }

  claim(): void {
    this.isClaimed = true;
  }

  next(): Promise<Buffer | null> {
    this.isClaimed = true;
    const piece = this.#rescued.shift();
    if (piece !== undefined) return Promise.resolve(piece);
    if (this.#isComplete) return Promise.resolve(null);
    if (this.#cut !== undefined) return Promise.reject(cutError(this.#cut));
    if (!this.#isRead) this.#begin();
    return new Promise((resolve, reject) => {
      this.#waiting = { resolve, reject };
      this.#settle();
    });
  }

  /** The stream goes: the rest will not come. The first cut counts; none does when the whole body has come. */
  fail(cut: BodyCut): void {
    if (this.#isComplete || this.#cut !== undefined) return;
    this.#stream.off('readable', this.#onReadable);
    this.#rescue();
    if (this.#bytes > this.#bodyLimit) this.#cut = cutBy(tooLarge(this.#bodyLimit), 'limit');
    else if (this.#hasEnded()) this.#isComplete = true;
    else this.#cut = cut;
    const waiting = this.#waiting;
    this.#waiting = undefined;
    if (waiting !== undefined) this.next().then(waiting.resolve, waiting.reject);
  }

  #begin(): void {
    this.#isRead = true;
    this.#events.wanted();
    this.#stream.on('readable', this.#onReadable);
    this.#stream.on('end', this.#onEnd);
    if (this.#stream.readableEnded) this.#onEnd(); // an empty one ends without a reader
  }

  #rescue(): void {
    for (let piece = this.#take(); piece !== null; piece = this.#take()) this.#rescued.push(piece);
  }

  #take(): Buffer | null {
    const piece = this.#stream.read() as Buffer | null;
    if (piece !== null) this.#bytes += piece.length;
    return piece;
  }

  #settle(): void {
    if (this.#waiting === undefined || this.#cut !== undefined) return;
    const piece = this.#take();
    if (piece === null && !this.#isComplete) return;
    if (piece !== null) {
      if (this.#bytes > this.#bodyLimit) return this.#events.overflowed();
      this.#events.came(piece.length);
    }
    const waiting = this.#waiting;
    this.#waiting = undefined;
    waiting.resolve(piece);
  }
}
