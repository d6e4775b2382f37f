import type { Writable } from 'node:stream';
import { ServerError } from '../errors/index.js';
import type { FileAnswer } from '../protocol/http/file-answer.js';
import { AnswerBody, byteLength, checkLength } from './answer-body.js';
import type { EncodedSink, Encoding } from './compression.js';
import { type CookieOptions, serializeCookie, serializeRawCookie } from './cookies.js';
import { type EventStream, eventsOn } from './event-stream.js';
import type { Exchange, FieldList } from './exchange.js';
import { fieldObject, indexOfField, removeFields, setField, valuesOfField } from './field-list.js';
import { statusHasBody } from './framing-fields.js';
import {
  encodeLocation,
  fieldList,
  headerName,
  knownName,
  knownValue,
  nameToRead,
  statusMessage,
  trailerField,
} from './header-fields.js';
import { ObservedPromise } from './observed.js';
import {
  checkData,
  checkedValues,
  checkFailure,
  checkInterim,
  checkRedirect,
  checkStatus,
  type HeaderValue,
  jsonOf,
} from './response-checks.js';
import type { AnsweredRequest, ResponseSettings } from './response-settings.js';
import { answerStream } from './response-stream.js';
import { fileToAnswer, planAnswer, type SendFileOptions, sendPieces } from './send-file.js';

export type { HeaderValue } from './response-checks.js';

/** Nothing has been sent. */
const OPEN = 0;
/** A file is being checked; nothing has been sent. */
const WAITING = 1;
/** The head has been sent. */
const STREAMING = 2;
/** The user has ended the answer. */
const ENDED = 3;

const NO_FIELDS: FieldList = [];

/**
 * The answer to a request, as the callback `request` gets it. Runs in a worker.
 *
 * Once the head has been sent, calls that change it throw ERR_HTTP_HEADERS_SENT. Once the answer has ended, calls that
 * send more (`write`, `end`, `json`, `redirect`, `sendFile`, `fail`) do nothing and return false: a time-out may have
 * answered in the meantime.
 *
 * Nothing is made before it is needed, and field lines are kept as they are sent, in one flat array, searched from its
 * start: an answer has few. `setHeader` and `end` of a short text take some 45 ns together on the machine of the
 * benchmarks.
 */
export class HttpResponse {
  readonly #exchange: Exchange;
  readonly #request: AnsweredRequest;
  readonly #settings: ResponseSettings;
  #state = OPEN;
  #status = 200;
  #reason = '';
  /** Name (lower case), value, name, value … */
  #fields: string[] | null = null;
  /** Created on demand. */
  #made: AnswerBody | null = null;

  constructor(exchange: Exchange, request: AnsweredRequest, settings: ResponseSettings) {
    this.#exchange = exchange;
    this.#request = request;
    this.#settings = settings;
  }

  /** 200 unless it was set. Swoole: status() */
  get statusCode(): number {
    return this.#status;
  }

  /** 200 to 599. @throws ServerError ERR_HTTP_STATUS, ERR_HTTP_HEADERS_SENT */
  set statusCode(status: number) {
    this.#requireOpen('statusCode');
    this.#status = checkStatus(status);
  }

  /** '' stands for the usual one. */
  get statusMessage(): string {
    return this.#reason;
  }

  /** @throws ServerError ERR_HTTP_STATUS_MESSAGE, ERR_HTTP_HEADERS_SENT */
  set statusMessage(message: string) {
    this.#requireOpen('statusMessage');
    this.#reason = statusMessage(message);
  }

  /**
   * Sets a header and replaces earlier values. An array makes a line for each of its values. Swoole: header()
   * @throws ServerError ERR_HTTP_HEADER_NAME, ERR_HTTP_HEADER_VALUE, ERR_HTTP_CONTENT_LENGTH, ERR_HTTP_HEADERS_SENT
   */
  setHeader(name: string, value: HeaderValue): this {
    if (this.#state !== OPEN) this.#requireOpen('setHeader()');
    const known = knownName(name);
    if (typeof value !== 'string' || known.lower === 'content-length') {
      this.#replace(known.lower, value);
      return this;
    }
    const checked = knownValue(known, value);
    if (this.#fields === null) this.#fields = [known.lower, checked];
    else setField(this.#fields, known.lower, checked);
    return this;
  }

  /** Adds a line, behind those of the same name. @throws as `setHeader` */
  appendHeader(name: string, value: HeaderValue): this {
    this.#requireOpen('appendHeader()');
    const lower = headerName(name);
    if (lower === 'content-length') this.#replace(lower, value);
    else this.#push(lower, value);
    return this;
  }

  /** An array where there are several lines. @throws ServerError ERR_HTTP_HEADER_NAME: no text */
  getHeader(name: string): string | string[] | undefined {
    const values = valuesOfField(this.#lines, nameToRead(name));
    return values.length > 1 ? values : values[0];
  }

  /** All of them, names in lower case, in an object without a prototype. */
  getHeaders(): Record<string, string | string[]> {
    return fieldObject(this.#lines);
  }

  /** True when this header was set. @throws ServerError ERR_HTTP_HEADER_NAME: no text */
  hasHeader(name: string): boolean {
    return indexOfField(this.#lines, nameToRead(name)) !== -1;
  }

  /** @throws ServerError ERR_HTTP_HEADERS_SENT, ERR_HTTP_HEADER_NAME: no text */
  removeHeader(name: string): this {
    this.#requireOpen('removeHeader()');
    this.#remove(nameToRead(name));
    return this;
  }

  /** Sets a cookie, percent-encoded. Swoole: cookie() @throws ServerError ERR_HTTP_COOKIE, ERR_HTTP_HEADERS_SENT */
  cookie(name: string, value: string, options: CookieOptions = {}): this {
    this.#requireOpen('cookie()');
    this.#push('set-cookie', serializeCookie(name, value, options));
    return this;
  }

  /**
   * Sets a cookie whose value is sent as it is: printable ASCII without a semicolon. Swoole: rawcookie()
   * @throws ServerError ERR_HTTP_COOKIE, ERR_HTTP_HEADERS_SENT
   */
  rawCookie(name: string, value: string, options: CookieOptions = {}): this {
    this.#requireOpen('rawCookie()');
    this.#push('set-cookie', serializeRawCookie(name, value, options));
    return this;
  }

  /** Makes the browser forget a cookie: path, domain and the like must be those it was set with. */
  clearCookie(name: string, options: CookieOptions = {}): this {
    return this.cookie(name, '', { ...options, expires: new Date(0), maxAge: 0 });
  }

  /**
   * Sends a part of the body; the first one sends the head too. Swoole: write()
   * @returns false: the client does not keep up (wait for `drain()`), or nothing more can be sent. With true the memory of
   * `data` is yours again, else after `drain()` (HTTP/2: with the end) @throws ServerError ERR_DATA_TYPE, ERR_HTTP_CONTENT_LENGTH
   */
  write(data: string | Uint8Array): boolean {
    checkData(data);
    if (this.#state === OPEN) this.#begin();
    return this.#state === STREAMING && this.#body.write(data);
  }

  /**
   * Ends the answer; a head that was not sent goes with it, and the length. Do not change the bytes afterwards. Swoole: end()
   * @returns false: it had ended before
   * @throws ServerError ERR_DATA_TYPE, ERR_HTTP_CONTENT_LENGTH
   */
  end(data: string | Uint8Array = ''): boolean {
    if (typeof data !== 'string') checkData(data);
    if (this.#state !== OPEN) return this.#endLater(data);
    if (this.#made !== null || this.#isToCompress(data)) return this.#endWith(data);
    this.#state = ENDED;
    this.#exchange.respond(this.#status, this.#reason, this.#lines, data);
    this.#request.answered();
    return true;
  }

  /** Ends the answer with a value as JSON. @throws ServerError ERR_DATA_TYPE where JSON cannot express it */
  json(value: unknown): boolean {
    if (this.#state === ENDED) return false;
    this.#requireOpen('json()');
    const text = jsonOf(value);
    if (indexOfField(this.#lines, 'content-type') === -1) this.#push('content-type', 'application/json');
    return this.end(text);
  }

  /**
   * Ends the answer by sending the client elsewhere. Characters that a URL must not have are percent-encoded; whether
   * the client may be sent there is for the caller to decide. Swoole: redirect()
   * @throws ServerError ERR_HTTP_STATUS, ERR_HTTP_HEADER_VALUE
   */
  redirect(url: string, status = 302): boolean {
    if (this.#state === ENDED) return false;
    this.#requireOpen('redirect()');
    checkRedirect(url, status);
    this.#status = status;
    this.#replace('location', encodeLocation(url));
    return this.end();
  }

  /**
   * Ends the answer with a file, sent by the process that has the socket. A missing file is answered 404 where the
   * promise is not awaited, or the error leaves the handler. Swoole: sendfile()
   * @returns false: the answer ended in the meantime @throws ServerError ERR_FILE: nothing was sent, another file can
   * be given
   */
  sendFile(path: string, options: SendFileOptions = {}): Promise<boolean> {
    const sending = this.#sendFile(path, options);
    const observed = new ObservedPromise<boolean>((resolve, reject) => sending.then(resolve, reject));
    sending.catch((error: unknown) => setImmediate(() => observed.isObserved || this.#settings.failed?.(error, this)));
    return observed;
  }

  async #sendFile(path: string, options: SendFileOptions): Promise<boolean> {
    if (this.#state === ENDED) return false;
    this.#requireOpen('sendFile()');
    this.#state = WAITING;
    try {
      const plan = await this.#planFile(path, options);
      if (this.#state !== WAITING) return false;
      this.#state = OPEN;
      this.#sendPlan(plan);
      return true;
    } catch (error) {
      if (this.#state === WAITING) this.#state = OPEN;
      throw error;
    }
  }

  /**
   * Adds a field behind the body. It needs a body without content-length, and is dropped in HTTP/1.0. Swoole:
   * trailer()
   * @throws ServerError ERR_HTTP_TRAILER, ERR_HTTP_HEADER_NAME, ERR_HTTP_HEADER_VALUE, ERR_HTTP_ANSWER_ENDED
   */
  trailer(name: string, value: string | number): this {
    if (this.#state === ENDED) throw new ServerError('ERR_HTTP_ANSWER_ENDED', { method: 'trailer()' });
    const field = trailerField(name, value);
    if (this.#body.contentLength !== -1) {
      throw new ServerError('ERR_HTTP_TRAILER', { name: field[0], why: 'the answer has a content-length' });
    }
    this.#body.trailers ??= [];
    this.#body.trailers.push(...field);
    return this;
  }

  /**
   * Sends an interim answer, 103 (early hints) above all. @returns false: HTTP/1.0 has none
   * @throws ServerError ERR_HTTP_STATUS, ERR_OPTION_TYPE, ERR_HTTP_HEADER_NAME, ERR_HTTP_HEADER_VALUE, ERR_HTTP_HEADERS_SENT
   */
  inform(status: number, headers: Readonly<Record<string, HeaderValue>> = {}): boolean {
    this.#requireOpen('inform()');
    checkInterim(status);
    const fields = fieldList(headers);
    if (this.#exchange.httpVersion === '1.0') return false;
    this.#exchange.inform(status, fields);
    return true;
  }

  /** Begins a stream of server-sent events; not compressed where it may join rooms. @throws ServerError ERR_HTTP_HEADERS_SENT */
  sse(): EventStream {
    this.#requireOpen('sse()');
    this.#replace('content-type', 'text/event-stream');
    this.#replace('cache-control', this.#exchange.mayJoin === true ? 'no-store, no-transform' : 'no-store');
    this.#replace('x-accel-buffering', 'no');
    this.#remove('content-length');
    this.#begin();
    this.#body.flushEach();
    return eventsOn(this, this.#request, this.#exchange);
  }

  /**
   * Leaves the answer to another process, which finds it by `server.response(fd, number)`. Fields set here do not
   * travel; this process has nothing left to do for it, and may end. Where no process answers, the client gets 503
   * after `requestTimeoutMs`. Swoole: detach()
   * @returns the number, below 2^32: pass it on with `req.fd`, in a task or a message
   * @throws ServerError ERR_HTTP_HEADERS_SENT; ERR_HTTP_DETACH: of HTTP/2, or its body has not been read
   */
  detach(): number {
    this.#requireOpen('detach()');
    const ticket = this.#exchange.detach();
    this.#state = ENDED;
    this.#request.answered();
    return ticket;
  }

  /** True when the head can no longer be changed. */
  get headersSent(): boolean {
    return this.#state >= STREAMING;
  }

  /** True while more can be sent: the answer has not ended, and the client is there. Swoole: isWritable() */
  get writable(): boolean {
    return this.#state !== ENDED && !this.#exchange.isGone;
  }

  /** True when the answer has ended: further calls send nothing. */
  get ended(): boolean {
    return this.#state === ENDED;
  }

  /** Resolves when more can be written, or, a moment later, when the client has gone: see `writable`. */
  drain(): Promise<void> {
    return this.#made?.drain() ?? this.#exchange.drain();
  }

  /** The answer as the end of a `stream.pipeline`. */
  get stream(): Writable {
    this.#body.stream ??= answerStream(this, this.#request);
    return this.#body.stream;
  }

  /** Gives up an answer that has not ended: the end of the connection shows it to the client. */
  destroy(): void {
    if (this.#state === ENDED) return;
    this.#state = ENDED;
    this.#made?.destroy();
    this.#cutOff();
  }

  /**
   * Answers for a handler that has failed: where nothing was sent, an answer of its own without the fields and status
   * set so far; else the answer is cut off. Does nothing where it had ended.
   * @param fields name, value, name, value …
   * @throws ServerError ERR_HTTP_STATUS, ERR_DATA_TYPE, ERR_HTTP_HEADER_NAME, ERR_HTTP_HEADER_VALUE
   */
  fail(status: number, message: string, fields: FieldList = NO_FIELDS): boolean {
    checkFailure(status, message, fields);
    if (this.#state === ENDED) return false;
    if (this.#state === STREAMING) {
      this.destroy();
      return true;
    }
    this.#state = ENDED;
    this.#exchange.respond(status, '', ['content-type', 'text/plain; charset=utf-8', ...fields], `${message}\n`);
    this.#request.answered();
    return true;
  }

  get #body(): AnswerBody {
    this.#made ??= new AnswerBody(this.#exchange, this.#request);
    return this.#made;
  }

  #requireOpen(method: string): void {
    if (this.#state !== OPEN) throw new ServerError('ERR_HTTP_HEADERS_SENT', { method });
  }

  // --- field lines ---

  get #lines(): FieldList {
    return this.#fields ?? NO_FIELDS;
  }

  /** A refused value changes nothing. */
  #replace(name: string, value: HeaderValue): void {
    const values = checkedValues(name, value);
    if (name === 'content-length') this.#body.contentLength = checkLength(value);
    this.#fields ??= [];
    if (values.length === 1) setField(this.#fields, name, values[0]!);
    else {
      removeFields(this.#fields, name);
      for (const one of values) this.#fields.push(name, one);
    }
  }

  #push(name: string, value: HeaderValue): void {
    const values = checkedValues(name, value);
    this.#fields ??= [];
    for (const one of values) this.#fields.push(name, one);
  }

  #remove(name: string): void {
    if (name === 'content-length' && this.#made !== null) this.#made.contentLength = -1;
    if (this.#fields !== null) removeFields(this.#fields, name);
  }

  // --- body ---

  get #isHead(): boolean {
    return this.#exchange.method === 'HEAD';
  }

  /** A text of n characters has at most 3 n bytes: short ones need no closer look. */
  #isToCompress(data: string | Uint8Array): boolean {
    const { compression } = this.#settings;
    return compression !== null && data.length * 3 >= compression.threshold;
  }

  /** For a declared length, compression, or trailers: see `end` for all others. */
  #endWith(data: string | Uint8Array): boolean {
    const bytes = byteLength(data);
    if (this.#status === 204) this.#remove('content-length');
    if (this.#made !== null && statusHasBody(this.#status) && !this.#isHead) {
      this.#made.checkTotal(bytes);
      if (this.#made.trailers !== undefined) {
        this.#begin();
        return this.#endLater(data);
      }
    }
    const encoding = this.#encodingFor(bytes);
    this.#state = ENDED;
    if (encoding === '') this.#respond(data);
    else if (this.#isHead) this.#respondToHead();
    else this.#settings.compression!.compress(encoding, data, (error, result) => this.#respondEncoded(error, result));
    return true;
  }

  #respond(body: string | Uint8Array): void {
    this.#exchange.respond(this.#status, this.#reason, this.#lines, body);
    this.#request.answered();
  }

  /** Its length would have to be that of the encoded body, which does not exist. */
  #respondToHead(): void {
    this.#exchange.begin(this.#status, this.#reason, this.#lines);
    this.#exchange.end();
    this.#request.answered();
  }

  #respondEncoded(error: Error | null, bytes: Buffer): void {
    if (error === null) this.#respond(bytes);
    else this.#cutOff();
  }

  #cutOff(): void {
    this.#exchange.abort();
    this.#request.answered();
  }

  /** @param bytes -1 where it is not known; as declared, if it is */
  #encodingFor(bytes: number): Encoding | '' {
    const { compression } = this.#settings;
    if (compression === null || !statusHasBody(this.#status) || this.#status === 206) return '';
    this.#fields ??= [];
    return compression.apply(this.#fields, bytes, this.#request.header('accept-encoding'));
  }

  #begin(): void {
    this.#state = STREAMING;
    if (this.#status === 204) this.#remove('content-length');
    this.#fields ??= [];
    const encoding = this.#encodingFor(-1);
    const { compression } = this.#settings;
    const encoder = encoding === '' ? null : (sink: EncodedSink) => compression!.stream(encoding, sink);
    this.#body.begin(this.#status, this.#reason, this.#fields, encoder);
  }

  #endLater(data: string | Uint8Array): boolean {
    if (this.#state === WAITING) throw new ServerError('ERR_HTTP_HEADERS_SENT', { method: 'end() during sendFile()' });
    if (this.#state === ENDED) return false;
    try {
      this.#body.checkLast(data);
    } catch (error) {
      this.destroy();
      throw error;
    }
    this.#state = ENDED;
    this.#body.end(data);
    return true;
  }

  // --- files ---

  async #planFile(path: string, options: SendFileOptions): Promise<FileAnswer> {
    const { file, type, cacheControl, disposition } = await fileToAnswer(path, options);
    this.#remove('content-length'); // the plan has its own
    const fields = [...this.#lines, ...disposition];
    // A page for a 404 is sent as it is, whatever part of it the client has or wants.
    const header = (name: string) => (this.#status === 200 ? this.#request.header(name) : undefined);
    return planAnswer({ method: this.#exchange.method, header, file, type, options: { cacheControl, fields } });
  }

  #sendPlan(plan: FileAnswer): void {
    const isUsual = plan.status === 200;
    const status = isUsual ? this.#status : plan.status;
    const reason = isUsual ? this.#reason : '';
    this.#state = ENDED;
    sendPieces(this.#exchange, status, reason, plan);
    this.#request.answered();
  }
}
