/** Apps in the manner of Node: a stream as the request and the response of Node's `http2`. Runs in a worker. */
import { ServerResponse } from 'node:http';
import {
  Http2ServerRequest,
  Http2ServerResponse,
  type IncomingHttpHeaders,
  type OutgoingHttpHeaders,
  type ServerHttp2Stream,
} from 'node:http2';
import type { ServerError } from '../../errors/index.js';
import { declaredLength, statusHasBody, wrongLength } from '../framing-fields.js';
import type { RequestSpan } from '../request-span.js';
import { watchEnd } from './end-seen.js';
import { type Refusal, type RequestHead, tooLarge, withHost } from './fields.js';
import type { HeldStream } from './held-connection.js';
import { PacedBody, TOO_SLOW } from './paced-body.js';
import { breakOff, endSpan, refuse, requireHttp1 } from './stream-end.js';

export type Http2Listener = (request: Http2ServerRequest, response: Http2ServerResponse) => unknown;

export interface CompatHost {
  readonly fd: number;
  readonly isEncrypted: boolean;
  readonly bodyLimit: number;
  readonly requestTimeoutMs: number;
  /** The app's answer is not as long as its head declares. */
  broken(fault: ServerError): void;
  readonly minBodyBytesPerSecond?: number;
  /** An answer of this status has begun. */
  answered(status: number): void;
  ended(answer: CompatAnswer): void;
}

interface Watch {
  /** @returns false: the app does not get it */
  came(bytes: number): boolean;
  /** The client has sent all of it. */
  hasEnded(): boolean;
}

/** Reports each piece of the body before the app gets it, and ends in good order only where the client has ended it. */
class WatchedRequest extends Http2ServerRequest {
  watch: Watch | undefined;
  /** Of its own: Node calls it when bytes have been read, also where an app has given the request another prototype. */
  override readonly _read = super._read;

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

type Done = () => void;
type Written = (error: Error) => void;

/**
 * Checks the body against the `content-length` that the app declares (Node sends both as they are), and reports
 * the app's writes and the end.
 */
class WatchedResponse extends Http2ServerResponse {
  given: (() => void) | undefined;
  whole: (() => void) | undefined;
  /** The body does not match its head. */
  broken: ((fault: ServerError) => void) | undefined;
  isHead = false;
  #written = 0;
  #isBroken = false;

  override write(chunk: string | Uint8Array, encoding?: BufferEncoding | Written, done?: Written): boolean {
    const bytes = typeof chunk === 'string' ? Buffer.byteLength(chunk, encodingOf(encoding)) : chunk.length;
    const declared = this.#declared();
    this.#written += bytes;
    if (declared !== -1 && this.#written > declared) this.#fail(declared);
    if (this.#isBroken) return false;
    const hasRoom =
      typeof encoding === 'function' ? super.write(chunk, encoding) : super.write(chunk, encoding ?? 'utf8', done);
    this.given?.();
    return hasRoom;
  }

  override end(data?: string | Uint8Array | Done | null, encoding?: BufferEncoding | Done, done?: Done): this {
    const chunk = typeof data === 'function' || data === undefined || data === null ? undefined : data;
    this.#checkWhole(chunk ?? '', encoding);
    if (this.#isBroken) return this;
    if (chunk === undefined) super.end(callbackOf(data, encoding, done));
    else super.end(chunk, encodingOf(encoding), callbackOf(encoding, done));
    this.given?.();
    this.whole?.();
    return this;
  }

  #checkWhole(chunk: string | Uint8Array, encoding: unknown): void {
    const declared = this.#declared();
    if (declared === -1 || this.writableEnded) return;
    const bytes = typeof chunk === 'string' ? Buffer.byteLength(chunk, encodingOf(encoding)) : chunk.length;
    if (this.#written + bytes === declared) return;
    this.#written += bytes;
    this.#fail(declared);
  }

  override writeHead(status: number, ...rest: unknown[]): this {
    const headers = rest.at(-1);
    if (status === NO_CONTENT && typeof headers === 'object' && headers !== null && !Array.isArray(headers)) {
      rest[rest.length - 1] = Object.fromEntries(Object.entries(headers).filter(([name]) => !isLength(name)));
    }
    if (status === NO_CONTENT) this.removeHeader('content-length');
    return super.writeHead(status, ...(rest as [OutgoingHttpHeaders]));
  }

  /** −1: it declares none, or there is no body to compare. */
  #declared(): number {
    if (this.statusCode === NO_CONTENT && !this.headersSent) this.removeHeader('content-length');
    if (this.#isBroken || this.isHead || !statusHasBody(this.statusCode)) return -1;
    const said: unknown = this.getHeader('content-length');
    if (said === undefined) return -1;
    const declared = declaredLength(['content-length', String(said)]);
    if (declared === -1 && !this.headersSent) this.removeHeader('content-length');
    return declared;
  }

  #fail(declared: number): void {
    this.#isBroken = true;
    this.broken?.(wrongLength(String(declared), `${this.#written} bytes`));
  }
}

const NO_CONTENT = 204;

function isLength(name: string): boolean {
  return name.toLowerCase() === 'content-length';
}

function callbackOf(...given: unknown[]): Done | undefined {
  return given.find((one): one is Done => typeof one === 'function');
}

function encodingOf(encoding: unknown): BufferEncoding {
  return typeof encoding === 'string' ? (encoding as BufferEncoding) : 'utf8';
}

/** One request of an app, with the limits that Node does not keep. */
/**
 * Frameworks made for HTTP/1, as Express is, give requests and responses prototypes that inherit from those of `node:http`. Those
 * need fields that no message of HTTP/2 has.
 */
export function isMadeForHttp1(listener: object): boolean {
  return (listener as { readonly response?: unknown }).response instanceof ServerResponse;
}

/** What an app calls on a response that nobody hears does nothing, methods of its framework included. */
const deaf: object = new Proxy(WatchedResponse.prototype, {
  get: (target, name, receiver) =>
    name in target || typeof name === 'symbol'
      ? Reflect.get(target, name, receiver)
      : function nothing(this: unknown) {
          return this;
        },
});

export class CompatAnswer {
  readonly request: Http2ServerRequest;
  readonly response: Http2ServerResponse;
  isEnded = false;
  span: RequestSpan | undefined;
  readonly #host: CompatHost;
  readonly #stream: ServerHttp2Stream;
  readonly #paced: PacedBody;
  #isTracked = false;
  #timer: NodeJS.Timeout | undefined;
  #bytes = 0;

  get fd(): number {
    return this.#host.fd;
  }

  get isEncrypted(): boolean {
    return this.#host.isEncrypted;
  }

  constructor(host: CompatHost, held: HeldStream, headers: IncomingHttpHeaders, head: RequestHead) {
    const { stream } = held;
    this.#host = host;
    this.#stream = stream;
    const request = new WatchedRequest(stream, withHost(headers, head), {}, head.rawHeaders);
    const hasEnded = watchEnd(stream);
    request.watch = { came: (bytes) => this.#came(bytes), hasEnded };
    const isAwaited = (): boolean => request.readableFlowing === true && !hasEnded();
    this.#paced = new PacedBody(host, isAwaited, () => this.refuse(TOO_SLOW));
    stream.on('aborted', () => {
      // A body that has come whole is passed on whole: reading emits the pieces that the request has not asked for
      // yet.
      while (hasEnded() && stream.read() !== null);
    });
    this.request = request;
    const response = new WatchedResponse(stream);
    response.isHead = head.method === 'HEAD';
    response.broken = (fault) => this.#broken(fault);
    response.given = () => held.added();
    response.whole = () => this.#ended();
    this.response = response;
    stream.on('close', () => {
      clearTimeout(this.#timer);
      if (stream.headersSent) host.answered(Number(stream.sentHeaders[':status']));
      this.#ended();
    });
  }

  /** The app has given its request or response a prototype of HTTP/1. */
  get isReplaced(): boolean {
    return !(this.request instanceof WatchedRequest && this.response instanceof WatchedResponse);
  }

  /** The client is told to come again by HTTP/1.1 (RFC 9113, 7). What the app still does with the response does nothing. */
  requireHttp1(): void {
    Object.setPrototypeOf(this.response, deaf);
    requireHttp1(this.#stream);
  }

  /** The request continues after its callback. */
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

  #broken(fault: ServerError): void {
    this.#host.broken(fault);
    this.refuse({ status: 500, why: 'Internal Server Error' });
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
    if (this.span !== undefined) endSpan(this.span, this.#stream);
    this.#paced.stop();
    if (this.#isTracked) this.#host.ended(this);
  }
}
