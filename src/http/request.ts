import type { IncomingHttpHeaders } from 'node:http';
import { describe, ServerError } from '../errors/index.js';
import { BodyReader, decodeJson, decodeText, handled, webStream } from './body.js';
import { parseCookies } from './cookies.js';
import type { Exchange } from './exchange.js';
import { defaultFormLimits, type Form, type FormLimits, type FormOptions, type FormSource, readForm } from './form.js';
import { refuseNoText } from './header-fields.js';
import { parseQuery, type Values } from './query.js';
import { findHeader, headerObject } from './request-headers.js';

export interface Peer {
  readonly remoteAddress: string;
  readonly remotePort: number;
}

/** Of a server: one object for all its requests. */
export interface RequestLimits {
  readonly form: FormLimits;
}

export const defaultRequestLimits: RequestLimits = { form: defaultFormLimits };

/** Details that most requests never use, made on demand. */
class Details {
  headers: IncomingHttpHeaders | undefined = undefined;
  query: Values | undefined = undefined;
  cookies: Record<string, string> | undefined = undefined;
  peer: Peer | undefined = undefined;
  reader: BodyReader | undefined = undefined;
  form: Promise<Form> | undefined = undefined;
  abort: AbortController | undefined = undefined;
  goneListeners: (() => void)[] | undefined = undefined;
  endListeners: (() => void)[] | undefined = undefined;
}

/**
 * A request, as the callback `request` gets it. Runs in a worker. Members are computed on demand: the constructor sets
 * four fields, and together with that of the answer takes less than 20 ns (the object of three headers alone: 300).
 */
export class HttpRequest {
  readonly #exchange: Exchange;
  readonly #peerOf: (fd: number) => Peer;
  readonly #limits: RequestLimits;
  #made: Details | null = null;

  constructor(exchange: Exchange, peerOf: (fd: number) => Peer, limits: RequestLimits) {
    this.#exchange = exchange;
    this.#peerOf = peerOf;
    this.#limits = limits;
  }

  get #details(): Details {
    this.#made ??= new Details();
    return this.#made;
  }

  /** Upper case. */
  get method(): string {
    return this.#exchange.method;
  }

  /** The target as it was sent. */
  get url(): string {
    return this.#exchange.target;
  }

  /** Of the target, without query, percent-encoded as it was sent. */
  get path(): string {
    const target = this.#exchange.target;
    const start = pathStart(target);
    const end = target.indexOf('?', start);
    const path = end === -1 ? target.slice(start) : target.slice(start, end);
    return path === '' ? '/' : path;
  }

  /** Decoded as `URLSearchParams` does; a repeated name has an array. Without a prototype. */
  get query(): Values {
    const { target } = this.#exchange;
    const mark = target.indexOf('?');
    this.#details.query ??= parseQuery(mark === -1 ? '' : target.slice(mark + 1));
    return this.#details.query;
  }

  /** As the client speaks. */
  get httpVersion(): '1.0' | '1.1' | '2.0' {
    return this.#exchange.httpVersion;
  }

  /** Names in lower case; lines that repeat a name are joined as Node does. Without a prototype. */
  get headers(): IncomingHttpHeaders {
    this.#details.headers ??= headerObject(this.#exchange.rawHeaders);
    return this.#details.headers;
  }

  /** One header, without making the object of all. @param name in lower case @throws ServerError ERR_HTTP_HEADER_NAME */
  header(name: string): string | undefined {
    if (typeof name !== 'string') refuseNoText(name);
    return findHeader(this.#exchange.rawHeaders, name);
  }

  /** Name, value, name, value …, as they were sent. */
  get rawHeaders(): readonly string[] {
    return this.#exchange.rawHeaders;
  }

  /** Fields behind a chunked body; empty before its end. */
  get trailers(): IncomingHttpHeaders {
    return headerObject(this.#exchange.body.trailers);
  }

  /** Decoded, of a repeated name the first. Without a prototype. */
  get cookies(): Record<string, string> {
    this.#details.cookies ??= parseCookies(this.header('cookie'));
    return this.#details.cookies;
  }

  /** IP address of the client; through a proxy that `trustProxy` names, the one that it names. */
  get remoteAddress(): string {
    return this.#peer.remoteAddress;
  }

  /** Port of the client; 0 where a trusted proxy does not tell it. */
  get remotePort(): number {
    return this.#peer.remotePort;
  }

  /** Session id of the connection, as in `server.getClientInfo(fd)`. */
  get fd(): number {
    return this.#exchange.fd;
  }

  /** True over TLS; through a trusted proxy, where the client speaks TLS with it. */
  get isEncrypted(): boolean {
    return this.#exchange.forwarded?.isEncrypted ?? this.#exchange.isEncrypted;
  }

  /**
   * Aborts, with ERR_HTTP_CLIENT_GONE, when the client goes away before the answer has ended or its time is over.
   * A client that has ended its side counts as gone while no answer has begun; an answer that has begun continues
   * until writing shows that the client has gone.
   */
  get signal(): AbortSignal {
    const details = this.#details;
    if (details.abort === undefined) {
      const abort = new AbortController();
      details.abort = abort;
      const leave = () => abort.abort(new ServerError('ERR_HTTP_CLIENT_GONE', {}));
      this.onGone(leave);
      this.#exchange.onHalfClosed((hasBegun) => hasBegun || leave());
    }
    return details.abort.signal;
  }

  /** The whole body; empty where there is none. May be called any number of times. */
  body(): Promise<Buffer> {
    return this.#reader.collect('body()');
  }

  /** The body as text, in the charset that `content-type` names, else UTF-8. */
  text(): Promise<string> {
    const decode = (bytes: Buffer): string => decodeText(bytes, this.header('content-type'));
    return handled(this.#reader.collect('text()').then(decode));
  }

  /** @throws ServerError ERR_HTTP_BODY_JSON */
  json<T = unknown>(): Promise<T> {
    return handled(this.#reader.collect('json()').then((bytes) => decodeJson(bytes) as T));
  }

  /**
   * Fields and files of a form, urlencoded or multipart. Files lie in a temporary folder until the answer has ended,
   * or the client has gone; `file.keep(path)` moves one away. Further calls return the same form.
   * @param options limits that differ from those of the server
   * @throws ServerError ERR_HTTP_FORM_TYPE, ERR_HTTP_FORM_BROKEN, ERR_HTTP_FORM_LIMIT, ERR_HTTP_FORM_FILE;
   * `detail.status` is the status to answer with
   */
  form(options: FormOptions = {}): Promise<Form> {
    const source: FormSource = {
      contentType: this.header('content-type'),
      pieces: () => this.#reader.pieces('form()'),
      onGone: (listener) => this.onGone(listener),
      isGone: () => this.#exchange.isGone,
      onEnd: (listener) => this.onAnswered(listener),
    };
    this.#details.form ??= handled(readForm(source, { ...this.#limits.form, ...options }));
    return this.#details.form;
  }

  /**
   * The body piece by piece, whatever its size: the client is read on as pieces are taken.
   * @throws ServerError ERR_HTTP_BODY_USED when it has been read as a stream before
   */
  get stream(): AsyncIterable<Buffer> {
    return this.#reader.pieces('stream');
  }

  /** The same request as a web `Request`. @throws ServerError ERR_HTTP_REQUEST_URL, ERR_HTTP_BODY_USED */
  toRequest(): Request {
    const url = this.#absoluteUrl();
    const { method } = this;
    const hasBody = method !== 'GET' && method !== 'HEAD' && !this.#reader.isEmpty;
    const init: RequestInit & { duplex?: 'half' } = { method, headers: this.#webHeaders(), signal: this.signal };
    if (!hasBody) return new Request(url, init);
    return new Request(url, {
      ...init,
      body: webStream(this.#reader.pieces('toRequest()')),
      duplex: 'half',
    } as RequestInit);
  }

  /** @internal Called once, when the client goes away before the answer has ended; at once when it has. */
  onGone(listener: () => void): void {
    const { goneListeners } = this.#details;
    if (goneListeners !== undefined) {
      if (this.#exchange.isGone) listener();
      else goneListeners.push(listener);
      return;
    }
    const listeners = [listener];
    this.#details.goneListeners = listeners;
    this.#exchange.onGone(() => {
      for (const one of listeners.splice(0)) one();
    });
  }

  /** @internal Called once, when the answer has ended. */
  onAnswered(listener: () => void): void {
    this.#details.endListeners ??= [];
    this.#details.endListeners.push(listener);
  }

  /** @internal The answer has ended. */
  answered(): void {
    if (this.#made === null || this.#made.endListeners === undefined) return;
    for (const listener of this.#made.endListeners.splice(0)) listener();
  }

  get #peer(): Peer {
    this.#details.peer ??= this.#exchange.forwarded?.client ?? this.#peerOf(this.#exchange.fd);
    return this.#details.peer;
  }

  get #reader(): BodyReader {
    this.#details.reader ??= new BodyReader(this.#exchange.body);
    return this.#details.reader;
  }

  #absoluteUrl(): string {
    const { target, forwarded } = this.#exchange;
    const scheme = this.isEncrypted ? 'https' : 'http';
    const origin = `${scheme}://${forwarded?.host ?? (this.header('host') || 'localhost')}`;
    const isOrigin = target.startsWith('/') || target === '*';
    const url = isOrigin ? `${origin}${target === '*' ? '/*' : target}` : target;
    if (URL.canParse(url)) return url;
    throw new ServerError('ERR_HTTP_REQUEST_URL', { status: 400, received: describe(url) });
  }

  #webHeaders(): Headers {
    const headers = new Headers();
    const { rawHeaders } = this.#exchange;
    for (let at = 0; at < rawHeaders.length; at += 2) headers.append(rawHeaders[at]!, rawHeaders[at + 1]!);
    return headers;
  }
}

/** Where the path begins: at 0, but for the absolute form, `http://host/path`. */
function pathStart(target: string): number {
  if (target.charCodeAt(0) === 0x2f || target === '*') return 0;
  const scheme = target.indexOf('://');
  if (scheme === -1) return 0;
  for (let at = scheme + 3; at < target.length; at += 1) {
    const code = target.charCodeAt(at);
    if (code === 0x2f || code === 0x3f) return at;
  }
  return target.length;
}
