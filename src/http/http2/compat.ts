/** Apps in the manner of Node: a stream as the request and the response of Node's `http2`. Runs in a worker. */
import { Http2ServerRequest, Http2ServerResponse, type IncomingHttpHeaders, type ServerHttp2Stream } from 'node:http2';
import { watchEnd } from './end-seen.js';
import { type Refusal, type RequestHead, tooLarge, withHost } from './fields.js';
import { PacedBody, TOO_SLOW } from './paced-body.js';
import { breakOff, refuse } from './stream-end.js';

export type Http2Listener = (request: Http2ServerRequest, response: Http2ServerResponse) => unknown;

export interface CompatHost {
  readonly bodyLimit: number;
  readonly requestTimeoutMs: number;
  readonly minBodyBytesPerSecond?: number;
  ended(answer: CompatAnswer): void;
}

interface Watch {
  /** @returns false: the app does not get it */
  came(bytes: number): boolean;
  /** The client has sent all of it. */
  hasEnded(): boolean;
}

/** Tells of each piece of the body before the app gets it, and ends in good order only where the client has ended it. */
class WatchedRequest extends Http2ServerRequest {
  watch: Watch | undefined;

  override push(piece: Buffer | null, encoding?: BufferEncoding): boolean {
    if (piece === null && this.watch?.hasEnded() === false) return this.#break();
    if (piece !== null && this.watch?.came(piece.length) === false) return false;
    return super.push(piece, encoding);
  }

  /** As an `IncomingMessage` of HTTP/1 whose client has gone: an error where the app listens for one. */
  #break(): boolean {
    const error = Object.assign(new Error('aborted'), { code: 'ECONNRESET' });
    if (!this.destroyed) this.destroy(this.listenerCount('error') > 0 ? error : undefined);
    return false;
  }
}

/** One request that an app has, with the limits that Node does not keep. */
export class CompatAnswer {
  readonly request: Http2ServerRequest;
  readonly response: Http2ServerResponse;
  isEnded = false;
  readonly #host: CompatHost;
  readonly #stream: ServerHttp2Stream;
  readonly #paced: PacedBody;
  #isTracked = false;
  #timer: NodeJS.Timeout | undefined;
  #bytes = 0;

  constructor(host: CompatHost, stream: ServerHttp2Stream, headers: IncomingHttpHeaders, head: RequestHead) {
    this.#host = host;
    this.#stream = stream;
    const request = new WatchedRequest(stream, withHost(headers, head), {}, head.rawHeaders);
    const hasEnded = watchEnd(stream);
    request.watch = { came: (bytes) => this.#came(bytes), hasEnded };
    const isAwaited = (): boolean => request.readableFlowing === true && !hasEnded();
    this.#paced = new PacedBody(host, isAwaited, () => this.refuse(TOO_SLOW));
    stream.on('aborted', () => {
      // What has come whole is handed over whole: reading emits the pieces that the request has not asked for yet.
      while (hasEnded() && stream.read() !== null);
    });
    this.request = request;
    this.response = new Http2ServerResponse(stream);
    stream.on('close', () => this.#ended());
  }

  /** It goes on after its callback. */
  track(): void {
    this.#isTracked = true;
    if (!this.#stream.endAfterHeaders) this.#paced.start();
    const { requestTimeoutMs } = this.#host;
    if (requestTimeoutMs > 0) this.#timer = setTimeout(() => this.#timeOut(), requestTimeoutMs);
  }

  refuse(refusal: Refusal): void {
    if (!this.#stream.headersSent) refuse(this.#stream, refusal);
    else breakOff(this.#stream);
  }

  #came(bytes: number): boolean {
    this.#timer?.refresh();
    this.#paced.came(bytes);
    this.#bytes += bytes;
    if (this.#bytes <= this.#host.bodyLimit) return true;
    this.refuse(tooLarge(this.#host.bodyLimit));
    return false;
  }

  #timeOut(): void {
    if (!this.#stream.headersSent) this.refuse({ status: 503, why: 'The server could not answer in time.' });
  }

  #ended(): void {
    if (this.isEnded) return;
    this.isEnded = true;
    clearTimeout(this.#timer);
    this.#paced.stop();
    if (this.#isTracked) this.#host.ended(this);
  }
}
