/** Apps in the manner of Node: a stream as the request and the response of Node's `http2`. Runs in a worker. */
import { Http2ServerRequest, Http2ServerResponse, type IncomingHttpHeaders, type ServerHttp2Stream } from 'node:http2';
import { type Refusal, type RequestHead, tooLarge, withHost } from './fields.js';
import type { HeldStream } from './held-connection.js';
import { breakOff, refuse } from './stream-end.js';

export type Http2Listener = (request: Http2ServerRequest, response: Http2ServerResponse) => unknown;

export interface CompatHost {
  readonly bodyLimit: number;
  readonly requestTimeoutMs: number;
  ended(answer: CompatAnswer): void;
}

/** Tells of each piece of the body before the app gets it. */
class WatchedRequest extends Http2ServerRequest {
  /** @returns false: the app does not get it */
  watch: ((bytes: number) => boolean) | undefined;

  override push(piece: Buffer | null, encoding?: BufferEncoding): boolean {
    if (piece !== null && this.watch?.(piece.length) === false) return false;
    return super.push(piece, encoding);
  }
}

/** Tells of what an app gives, and of the end of it. */
class WatchedResponse extends Http2ServerResponse {
  given: (() => void) | undefined;
  whole: (() => void) | undefined;

  override write(...piece: never[]): boolean {
    const hasRoom = super.write(...(piece as unknown as [string | Uint8Array]));
    this.given?.();
    return hasRoom;
  }

  override end(...last: never[]): this {
    super.end(...(last as unknown as [string | Uint8Array]));
    this.given?.();
    this.whole?.();
    return this;
  }
}

/** One request that an app has, with the limits that Node does not keep. */
export class CompatAnswer {
  readonly request: Http2ServerRequest;
  readonly response: Http2ServerResponse;
  isEnded = false;
  readonly #host: CompatHost;
  readonly #stream: ServerHttp2Stream;
  #isTracked = false;
  #timer: NodeJS.Timeout | undefined;
  #bytes = 0;

  constructor(host: CompatHost, held: HeldStream, headers: IncomingHttpHeaders, head: RequestHead) {
    const { stream } = held;
    this.#host = host;
    this.#stream = stream;
    const request = new WatchedRequest(stream, withHost(headers, head), {}, head.rawHeaders);
    request.watch = (bytes) => this.#came(bytes);
    this.request = request;
    const response = new WatchedResponse(stream);
    response.given = () => held.added();
    response.whole = () => this.#ended();
    this.response = response;
    stream.on('close', () => {
      clearTimeout(this.#timer);
      this.#ended();
    });
    if (headers.expect?.toLowerCase() === '100-continue') this.response.writeContinue();
  }

  /** It goes on after its callback. */
  track(): void {
    this.#isTracked = true;
    const { requestTimeoutMs } = this.#host;
    if (requestTimeoutMs > 0) this.#timer = setTimeout(() => this.#timeOut(), requestTimeoutMs);
  }

  refuse(refusal: Refusal): void {
    if (!this.#stream.headersSent) refuse(this.#stream, refusal);
    else breakOff(this.#stream);
  }

  #came(bytes: number): boolean {
    this.#timer?.refresh();
    this.#bytes += bytes;
    if (this.#bytes <= this.#host.bodyLimit) return true;
    this.refuse(tooLarge(this.#host.bodyLimit));
    return false;
  }

  #timeOut(): void {
    const stream = this.#stream;
    const isSentOn = !stream.endAfterHeaders && !stream.readableEnded;
    if (isSentOn && stream.readableLength === 0) {
      this.refuse({ status: 408, why: 'The request took too long.' });
    } else if (!stream.headersSent) this.refuse({ status: 503, why: 'The server could not answer in time.' });
    else if (isSentOn) this.#timer?.refresh();
  }

  #ended(): void {
    if (this.isEnded) return;
    this.isEnded = true;
    if (this.#isTracked) this.#host.ended(this);
  }
}
