import { ServerError } from '../errors/index.js';
import type { RequestBody } from './exchange.js';

/**
 * The body of a request, read in one of two ways: collected, and then any number of times; or as a stream, and
 * then once.
 */
export class BodyReader {
  readonly #body: RequestBody;
  #collected: Promise<Buffer> | undefined;
  #isStreamed = false;

  constructor(body: RequestBody) {
    this.#body = body;
  }

  /** @throws ServerError ERR_HTTP_BODY_USED */
  collect(method: string): Promise<Buffer> {
    if (this.#isStreamed) return Promise.reject(new ServerError('ERR_HTTP_BODY_USED', { method }));
    this.#collected ??= this.#body.whole === null ? handled(this.#gather()) : Promise.resolve(this.#body.whole);
    return this.#collected;
  }

  /** @throws ServerError ERR_HTTP_BODY_USED at once, not with the first piece */
  pieces(method: string): AsyncGenerator<Buffer, void, undefined> {
    if (this.#isStreamed) throw new ServerError('ERR_HTTP_BODY_USED', { method });
    if (this.#collected !== undefined) return collectedPieces(this.#collected);
    this.#isStreamed = true;
    this.#body.claim();
    return this.#body.whole === null ? this.#next() : collectedPieces(Promise.resolve(this.#body.whole));
  }

  /** True: the body is known to be empty. */
  get isEmpty(): boolean {
    return this.#body.whole !== null && this.#body.whole.length === 0;
  }

  async #gather(): Promise<Buffer> {
    const pieces: Buffer[] = [];
    for (;;) {
      const piece = await this.#body.next();
      if (piece === null) return pieces.length === 1 ? pieces[0]! : Buffer.concat(pieces);
      pieces.push(piece);
    }
  }

  async *#next(): AsyncGenerator<Buffer, void, undefined> {
    for (;;) {
      const piece = await this.#body.next();
      if (piece === null) return;
      if (piece.length > 0) yield piece;
    }
  }
}

/**
 * Marks a promise that may be rejected before the handler awaits it: the client alone decides when it leaves, and
 * that must not end the worker. A handler that awaits it gets the error all the same.
 */
export function handled<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => undefined);
  return promise;
}

async function* collectedPieces(collected: Promise<Buffer>): AsyncGenerator<Buffer, void, undefined> {
  const whole = await collected;
  if (whole.length > 0) yield whole;
}

/** For a web `Request`: reads on demand, nothing ahead. */
export function webStream(pieces: AsyncGenerator<Buffer, void, undefined>): ReadableStream<Uint8Array> {
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        const { done, value } = await pieces.next();
        if (done === true) controller.close();
        else controller.enqueue(value);
      },
      async cancel() {
        await pieces.return();
      },
    },
    { highWaterMark: 0 },
  );
}

/** @throws ServerError ERR_HTTP_BODY_CHARSET */
export function decodeText(bytes: Buffer, contentType: string | undefined): string {
  const charset = charsetOf(contentType);
  if (charset === '' || charset === 'utf-8' || charset === 'utf8') return decodeUtf8(bytes);
  try {
    return new TextDecoder(charset).decode(bytes);
  } catch (cause) {
    throw new ServerError('ERR_HTTP_BODY_CHARSET', { status: 415, charset: charset.slice(0, 40) }, { cause });
  }
}

/** @throws ServerError ERR_HTTP_BODY_JSON */
export function decodeJson(bytes: Buffer): unknown {
  try {
    return JSON.parse(decodeUtf8(bytes));
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : 'it cannot be parsed';
    throw new ServerError('ERR_HTTP_BODY_JSON', { status: 400, why }, { cause });
  }
}

/** As `TextDecoder` does, without its fixed cost: a byte order mark is not part of the text. */
function decodeUtf8(bytes: Buffer): string {
  const hasMark = bytes.length >= 3 && bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf;
  return hasMark ? bytes.toString('utf8', 3) : bytes.toString('utf8');
}

/** Value of the parameter `charset`, in lower case; '' where there is none. */
export function charsetOf(contentType: string | undefined): string {
  if (contentType === undefined) return '';
  const found = /;[ \t]*charset[ \t]*=[ \t]*(?:"([^"]*)"|([^\s;"]*))/i.exec(contentType);
  return (found?.[1] ?? found?.[2] ?? '').trim().toLowerCase();
}

/** `text/html` of `Text/HTML; charset=utf-8`. */
export function mediaTypeOf(contentType: string | undefined): string {
  if (contentType === undefined) return '';
  const end = contentType.indexOf(';');
  return (end === -1 ? contentType : contentType.slice(0, end)).trim().toLowerCase();
}
