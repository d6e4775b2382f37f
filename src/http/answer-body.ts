import type { Writable } from 'node:stream';
import { describe } from '../errors/index.js';
import type { EncodedSink, StreamEncoder } from './compression.js';
import type { Exchange } from './exchange.js';
import { removeFields } from './field-list.js';
import { statusHasBody, wrongLength } from './framing-fields.js';

/** The part of a request that an answer's body needs. */
export interface BodyRequest {
  onGone(listener: () => void): void;
  answered(): void;
}

export function byteLength(data: string | Uint8Array): number {
  return typeof data === 'string' ? Buffer.byteLength(data) : data.length;
}

/**
 * The body of an answer that is more than a text sent at once: in pieces, of a length that its user declared,
 * encoded on the way, with trailers. Most answers need none.
 */
export class AnswerBody {
  /** As declared; -1: not declared. */
  contentLength = -1;
  trailers: string[] | undefined = undefined;
  stream: Writable | undefined = undefined;
  readonly #exchange: Exchange;
  readonly #request: BodyRequest;
  #written = 0;
  #encoder: StreamEncoder | undefined = undefined;
  /** The head announces no body: writes are dropped. */
  #isMuted = false;
  /** The exchange has received the whole answer. */
  #isAnswered = false;

  constructor(exchange: Exchange, request: BodyRequest) {
    this.#exchange = exchange;
    this.#request = request;
  }

  /** @param encoder creates the encoder between this and the client; null: none */
  begin(
    status: number,
    reason: string,
    fields: string[],
    encoder: ((sink: EncodedSink) => StreamEncoder) | null,
  ): void {
    const hasBody = statusHasBody(status);
    this.#isMuted = !hasBody || this.#exchange.method === 'HEAD';
    if (!hasBody) {
      this.#isAnswered = true;
      this.#exchange.respond(status, reason, fields, '');
      return;
    }
    // Only a chunked body has trailers; its length is checked all the same.
    if (this.#sendsTrailers) removeFields(fields, 'content-length');
    this.#exchange.begin(status, reason, fields);
    if (encoder !== null && !this.#isMuted) this.#encodeWith(encoder);
  }

  /** @throws ServerError ERR_HTTP_CONTENT_LENGTH: none of the bytes were sent */
  write(data: string | Uint8Array): boolean {
    if (this.contentLength !== -1 && !this.#isMuted) this.#count(data);
    if (this.#exchange.isGone) return false;
    if (this.#isMuted || data.length === 0) return true;
    return this.#encoder === undefined ? this.#exchange.write(data) : this.#encoder.write(data);
  }

  /** @throws ServerError ERR_HTTP_CONTENT_LENGTH: the answer can only be cut off, for the head is on its way */
  checkLast(data: string | Uint8Array): void {
    if (this.contentLength !== -1 && !this.#isMuted) this.checkTotal(this.#written + byteLength(data));
  }

  /** The declared and the actual length must be equal, or the client takes the next answer for a part of this one. */
  checkTotal(total: number): void {
    if (this.contentLength === -1 || total === this.contentLength) return;
    throw wrongLength(String(this.contentLength), `${total} bytes`);
  }

  end(data: string | Uint8Array): void {
    if (this.#isAnswered) this.#request.answered();
    else if (this.#encoder !== undefined) this.#encoder.end(data);
    else this.#endExchange(this.#isMuted ? '' : data);
  }

  /** Each piece is to reach the client at once. */
  flushEach(): void {
    if (this.#encoder !== undefined) this.#encoder.flushesEach = true;
  }

  drain(): Promise<void> {
    if (this.#encoder === undefined || this.#exchange.isGone) return this.#exchange.drain();
    return this.#encoder.drain();
  }

  /** The rest is not sent. */
  destroy(): void {
    this.#encoder?.destroy();
  }

  get #sendsTrailers(): boolean {
    return this.trailers !== undefined && !this.#isMuted && this.#exchange.httpVersion !== '1.0';
  }

  #encodeWith(make: (sink: EncodedSink) => StreamEncoder): void {
    const exchange = this.#exchange;
    const encoder = make({
      write: (bytes) => exchange.isGone || exchange.write(bytes),
      drain: () => exchange.drain(),
      end: () => this.#endExchange(''),
      fail: () => {
        exchange.abort();
        this.#request.answered();
      },
    });
    this.#encoder = encoder;
    this.#request.onGone(() => encoder.destroy());
  }

  #count(data: string | Uint8Array): void {
    const total = this.#written + byteLength(data);
    if (total > this.contentLength) throw wrongLength(String(this.contentLength), `${total} bytes`);
    this.#written = total;
  }

  #endExchange(data: string | Uint8Array): void {
    const last = data.length === 0 ? undefined : data;
    if (this.#sendsTrailers) this.#exchange.end(last, this.trailers);
    else this.#exchange.end(last);
    this.#request.answered();
  }
}

/** Value of a `content-length`. @throws ServerError ERR_HTTP_CONTENT_LENGTH */
export function checkLength(value: unknown): number {
  const isGiven = typeof value === 'string' || typeof value === 'number';
  const length = isGiven && /^\d{1,16}$/.test(String(value)) ? Number(value) : -1;
  if (Number.isSafeInteger(length) && length >= 0) return length;
  throw wrongLength(describe(value), 'no number of bytes');
}
