import { handled } from '../body.js';
import type { Exchange } from '../exchange.js';
import { NativeRequest, unusable } from './natives.js';
import { urlOf } from './url.js';

type Realm = InstanceType<typeof NativeRequest>;

/**
 * A `Request` over an exchange, for `fetch` handlers. Node's own costs tens of microseconds to make; here URL,
 * headers, signal and body are made on demand, and the whole becomes a real one when an unusual member is used.
 * Runs in a worker.
 */
export class LightRequest {
  readonly #exchange: Exchange;
  #url: string | undefined;
  #headers: Headers | undefined;
  #controller: AbortController | undefined;
  #native: Realm | undefined;
  #isUsed = false;

  static {
    // `instanceof Request` must hold, with the class of Node and with the one that replaces it.
    Object.setPrototypeOf(LightRequest.prototype, NativeRequest.prototype);
  }

  constructor(exchange: Exchange) {
    this.#exchange = exchange;
  }

  /** The real one, which from then on owns the body. */
  static native(request: LightRequest): Realm {
    return request.#become();
  }

  static is(value: unknown): value is LightRequest {
    return typeof value === 'object' && value !== null && #exchange in value;
  }

  get method(): string {
    return this.#exchange.method;
  }

  get url(): string {
    if (this.#url === undefined) {
      const { target, rawHeaders, isEncrypted, forwarded } = this.#exchange;
      this.#url = urlOf(target, forwarded?.host ?? hostOf(rawHeaders), forwarded?.isEncrypted ?? isEncrypted);
    }
    return this.#url;
  }

  get headers(): Headers {
    this.#headers ??= headersOf(this.#exchange.rawHeaders);
    return this.#headers;
  }

  /** Aborts when the client has gone, or has ended its side before its answer began. */
  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      const controller = new AbortController();
      this.#controller = controller;
      this.#exchange.onGone(() => controller.abort());
      this.#exchange.onHalfClosed((hasBegun) => hasBegun || controller.abort());
    }
    return this.#controller.signal;
  }

  get body(): Realm['body'] {
    return this.#hasBody() ? this.#become().body : null;
  }

  get bodyUsed(): boolean {
    return this.#isUsed || this.#native?.bodyUsed === true;
  }

  text(): Promise<string> {
    return handled(this.#native === undefined ? this.#take().then(decode) : this.#native.text());
  }

  json(): Promise<unknown> {
    return handled(
      this.#native === undefined ? this.#take().then((bytes) => JSON.parse(decode(bytes))) : this.#native.json(),
    );
  }

  arrayBuffer(): Promise<ArrayBuffer> {
    if (this.#native !== undefined) return handled(this.#native.arrayBuffer());
    return handled(this.#take().then((bytes) => bytesOf(bytes).buffer));
  }

  bytes(): Promise<Uint8Array<ArrayBuffer>> {
    if (this.#native === undefined) return handled(this.#take().then(bytesOf));
    return handled(this.#native.arrayBuffer().then((buffer) => new Uint8Array(buffer)));
  }

  blob(): Promise<Blob> {
    return handled(this.#become().blob() as Promise<Blob>);
  }

  formData(): Promise<FormData> {
    return handled(this.#become().formData());
  }

  clone(): Realm {
    return this.#become().clone();
  }

  get [Symbol.toStringTag](): string {
    return 'Request';
  }

  /** Bodies of GET and HEAD have no meaning (RFC 9110, 9.3.1), and `Request` has no place for them. */
  #hasBody(): boolean {
    const { method, body } = this.#exchange;
    return method !== 'GET' && method !== 'HEAD' && body.whole?.length !== 0;
  }

  async #take(): Promise<Uint8Array> {
    const { body } = this.#exchange;
    if (!this.#hasBody()) return new Uint8Array(0);
    if (this.#isUsed) throw unusable();
    this.#isUsed = true;
    if (body.whole !== null) return body.whole;
    const pieces: Buffer[] = [];
    for (let piece = await body.next(); piece !== null; piece = await body.next()) pieces.push(piece);
    return pieces.length === 1 ? pieces[0]! : Buffer.concat(pieces);
  }

  #become(): Realm {
    if (this.#native === undefined) {
      const body = this.#isUsed || !this.#hasBody() ? null : streamOf(this.#exchange);
      const init = { method: this.method, headers: this.headers, signal: this.signal, body, duplex: 'half' } as const;
      this.#native = new NativeRequest(this.url, init as RequestInit);
    }
    return this.#native;
  }
}

/** Members that servers do not use are taken from the real one. */
const UNUSUAL = [
  ...['cache', 'credentials', 'destination', 'duplex', 'integrity', 'isHistoryNavigation', 'isReloadNavigation'],
  ...['keepalive', 'mode', 'redirect', 'referrer', 'referrerPolicy'],
] as const;
for (const name of UNUSUAL) {
  Object.defineProperty(LightRequest.prototype, name, {
    configurable: true,
    get(this: LightRequest): unknown {
      return Reflect.get(LightRequest.native(this), name);
    },
  });
}

/** The exchange as a `Request` of Node itself, at once. */
export function nativeRequest(exchange: Exchange): Realm {
  return LightRequest.native(new LightRequest(exchange));
}

function hostOf(rawHeaders: readonly string[]): string {
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i]!;
    if (name.length === 4 && (name === 'Host' || name === 'host' || name.toLowerCase() === 'host')) {
      return rawHeaders[i + 1]!;
    }
  }
  return '';
}

function headersOf(rawHeaders: readonly string[]): Headers {
  const headers = new Headers();
  for (let i = 0; i < rawHeaders.length; i += 2) headers.append(rawHeaders[i]!, rawHeaders[i + 1]!);
  return headers;
}

function decode(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes);
}

/** A copy: pieces may lie in memory that is reused. */
function bytesOf(piece: Uint8Array): Uint8Array<ArrayBuffer> {
  return new Uint8Array(piece);
}

/** The client is read on as the stream is. */
function streamOf({ body }: Exchange): ReadableStream {
  if (body.whole !== null) return new Blob([bytesOf(body.whole)]).stream() as ReadableStream;
  body.claim();
  return new ReadableStream(
    {
      async pull(controller) {
        const piece = await body.next();
        if (piece === null) controller.close();
        else controller.enqueue(bytesOf(piece));
      },
    },
    { highWaterMark: 0 },
  );
}
