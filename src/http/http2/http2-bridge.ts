/** The HTTP/2 of one listen port: from connections to exchanges, or to an app in the manner of Node. Runs in a worker. */

import type { IncomingHttpHeaders, ServerHttp2Stream } from 'node:http2';
import type { AccessLog } from '../../access-log/access-log.js';
import type { Http2Record } from '../../memory/boards.js';
import type { Forwarded } from '../../protocol/http/forwarded.js';
import { type Deferred, deferred } from '../../util/deferred.js';
import type { Log } from '../../util/log.js';
import { isThenable } from '../../util/thenable.js';
import type { Exchange } from '../exchange.js';
import { callExpected, isContinue, OTHER_EXPECTATION } from '../expectations.js';
import type { Http2Source } from '../http-requests.js';
import type { WorkerLimit } from '../limited.js';
import type { Sent } from '../request-clients.js';
import type { RequestGate } from '../request-gate.js';
import { type RequestSpan, startRequestSpan } from '../request-span.js';
import { CompatAnswer, type CompatHost, type Http2Listener, isMadeForHttp1 } from './compat.js';
import { type Refusal, type RequestHead, readHead } from './fields.js';
import { HeldAnswers, type HeldLimits } from './held-answers.js';
import type { HeldStream } from './held-connection.js';
import { type ConnectionLimits, Http2Connection } from './http2-connection.js';
import { Http2Exchange, type Http2Host } from './http2-exchange.js';
import type { PaceLimits } from './paced-body.js';
import { refuse, requireHttp1 } from './stream-end.js';
import { logStream } from './stream-log.js';

const OTHER = { status: 417, why: OTHER_EXPECTATION };
export type Http2Figures = Pick<Http2Record, 'countRefused' | 'countReset' | 'held'>;

/** A request that continues after its callback. */
export type UnderWay = Http2Exchange | CompatAnswer;

export interface Http2BridgeParts {
  readonly options: ConnectionLimits & HeldLimits & PaceLimits & { readonly bodyLimit: number };
  /** The server is shutting down. */
  readonly isDraining: boolean;
  readonly log: Pick<Log, 'debug' | 'warn'>;
  /** The server has `maxConcurrency` requests under way. */
  isFull(): boolean;
  readonly record: Http2Figures;
  /** Missing: no proxy is trusted. */
  forwarded?(sent: Sent): Forwarded | undefined;
  /** Missing: none is written. */
  readonly accessLog?: AccessLog | undefined;
  /** Undefined: any number of requests is served at once. */
  readonly gate?: RequestGate | undefined;
  /** Asked where Node's own request and response are served; `serve` has it built in. */
  readonly limit?: Pick<WorkerLimit, 'refusalOf'> | undefined;
  /** May not throw. */
  serve(exchange: Exchange): void;
  /** In place of `serve`: gets Node's own request and response. */
  readonly listener?: Http2Listener | undefined;
  /** The functions that `listener` calls. */
  listeners?(): readonly object[];
  /** Code that instruments the listener makes the spans of its requests. */
  isInstrumented?(): boolean;
  /** Of a session id. */
  remote?(fd: number): { readonly remoteAddress: string };
  /** Beside `listener`: emits an event of Node's server; false: it has no listeners. */
  notify?(event: 'checkContinue' | 'checkExpectation', ...args: Parameters<Http2Listener>): boolean;
  /** The listener has thrown, or its promise was rejected. */
  failed?(error: unknown): void;
  /** An answer of this status has begun. */
  answered(status: number): void;
  begun(request: UnderWay): void;
  /** The answer is whole, or will never be. */
  ended(request: UnderWay): void;
}

const FULL: Refusal = {
  status: 503,
  why: 'The server has reached its limit of requests under way.',
  retryAfterSeconds: 1,
};
const MADE_FOR_HTTP1 =
  'the app is made for HTTP/1, as Express is: clients of HTTP/2 are told to come again by HTTP/1.1; with the option http2: false it is not offered to them';
const NO_ROOM: Refusal = { status: 503, why: 'Too many answers wait for this client.', retryAfterSeconds: 1 };

export class Http2Bridge {
  readonly #parts: Http2BridgeParts;
  readonly #answers: HeldAnswers;
  readonly #connections = new Set<Http2Connection>();
  /** Requests that continue beyond their callback. */
  readonly #exchanges = new Set<Http2Exchange>();
  #drained: Deferred<void> | undefined;
  /** The app was seen to be made for HTTP/1. */
  #needsHttp1 = false;
  #saidHttp1 = false;

  constructor(parts: Http2BridgeParts) {
    this.#parts = parts;
    const { options: limits, log, record } = parts;
    this.#answers = new HeldAnswers({ limits, log, record });
  }

  accept(source: Http2Source): void {
    const connection: Http2Connection = new Http2Connection(source, this.#parts.options, this.#answers, {
      stream: (held, headers, raw) => this.#serve(hosts, held, headers, raw),
      failed: (error) => this.#debug(error, source.fd),
      closed: () => this.#closed(connection),
    });
    const hosts = this.#hostsOf(connection);
    this.#connections.add(connection);
    if (this.#drained !== undefined || this.#parts.isDraining) connection.close();
  }

  /** Sends GOAWAY to every client. Resolves when all connections have ended. */
  drain(): Promise<void> {
    this.#drained ??= deferred<void>();
    for (const exchange of [...this.#exchanges]) exchange.leave();
    for (const connection of [...this.#connections]) connection.close();
    if (this.#connections.size === 0) this.#drained.resolve();
    return this.#drained.promise;
  }

  #hostsOf({ fd, isEncrypted }: Http2Connection): Http2Host & CompatHost {
    const { bodyLimit, requestTimeoutMs, minBodyBytesPerSecond = 0 } = this.#parts.options;
    return {
      ...{ fd, isEncrypted, bodyLimit, requestTimeoutMs, minBodyBytesPerSecond },
      forwarded: (sent) => this.#parts.forwarded?.(sent),
      answered: (status) => this.#parts.answered(status),
      ended: (request: UnderWay) => {
        if (request instanceof Http2Exchange) this.#exchanges.delete(request);
        this.#parts.gate?.leave(request);
        this.#parts.ended(request);
      },
      failed: (error: unknown) => this.#debug(error, fd),
      broken: (fault: unknown) => this.#parts.failed?.(fault),
    };
  }

  #serve(host: Http2Host & CompatHost, held: HeldStream, headers: IncomingHttpHeaders, raw: readonly string[]): void {
    const { stream } = held;
    const { listener } = this.#parts;
    // It comes again, and is logged then.
    if (listener !== undefined && this.#isForHttp1) return this.#requireHttp1(() => requireHttp1(stream));
    this.#log(host, held, headers, raw);
    const head = readHead(raw, this.#parts.options);
    if ('status' in head) return refuse(stream, head);
    if (listener !== undefined) {
      const answer = new CompatAnswer(host, held, headers, head);
      return this.#whenRoom(held, () => {
        const refusal = this.#parts.limit?.refusalOf(head, host.fd);
        if (refusal === undefined) this.#serveApp(listener, answer, head);
        else this.#refuse(stream, refusal);
      });
    }
    const { expect } = headers;
    if (expect !== undefined && !isContinue(expect)) return refuse(stream, OTHER);
    const exchange = new Http2Exchange(host, held, stream, head);
    this.#whenRoom(held, () => this.#serveExchange(exchange));
  }

  #log({ fd }: Http2Host, held: HeldStream, headers: IncomingHttpHeaders, rawHeaders: readonly string[]): void {
    const { accessLog, forwarded, remote } = this.#parts;
    if (accessLog === undefined) return;
    const client = forwarded?.({ fd, rawHeaders })?.client?.remoteAddress ?? remote?.(fd).remoteAddress ?? '';
    logStream(accessLog, held, headers, client);
  }

  /** A client that does not take its answers waits with its requests, as in HTTP/1. */
  #whenRoom(held: HeldStream, serve: () => void): void {
    const { connection, stream } = held;
    const begin = (): void => {
      clearTimeout(timer);
      if (stream.destroyed || stream.closed) return;
      if (this.#parts.isFull()) this.#refuse(stream, FULL);
      else serve();
    };
    let timer: NodeJS.Timeout | undefined;
    connection.whenRoom(begin);
    if (!connection.isWaiting(begin)) return;
    const { requestTimeoutMs } = this.#parts.options;
    stream.once('close', () => {
      clearTimeout(timer);
      connection.leave(begin);
    });
    if (requestTimeoutMs === 0) return;
    timer = setTimeout(() => {
      if (connection.leave(begin)) this.#refuse(stream, NO_ROOM);
    }, requestTimeoutMs);
  }

  #refuse(stream: ServerHttp2Stream, refusal: Refusal): void {
    this.#parts.record.countRefused();
    refuse(stream, refusal);
  }

  #serveExchange(exchange: Http2Exchange): void {
    const { gate } = this.#parts;
    this.#whenAdmitted(exchange, () => {
      exchange.span = this.#startSpan(exchange, exchange);
      if (exchange.span === undefined) this.#parts.serve(exchange);
      else exchange.span.run(() => this.#parts.serve(exchange));
    });
    if (exchange.isEnded) return gate?.leave(exchange);
    exchange.track();
    this.#exchanges.add(exchange);
    this.#parts.begun(exchange);
  }

  get #isForHttp1(): boolean {
    return this.#needsHttp1 || this.#parts.listeners?.().some(isMadeForHttp1) === true;
  }

  #requireHttp1(tell: () => void): void {
    if (!this.#saidHttp1) this.#parts.log.warn(MADE_FOR_HTTP1);
    this.#saidHttp1 = true;
    tell();
  }

  #serveApp(listener: Http2Listener, answer: CompatAnswer, head: RequestHead): void {
    const failed = (error: unknown): void => {
      if (answer.isReplaced) return;
      answer.span?.threw(error);
      if (this.#parts.failed !== undefined) this.#parts.failed(error);
      answer.refuse({ status: 500, why: 'Internal Server Error' });
    };
    answer.track();
    this.#parts.begun(answer);
    const call = (): void => {
      try {
        const result = this.#call(listener, answer);
        if (isThenable(result)) result.then(undefined, failed);
      } catch (error) {
        failed(error);
      }
      if (!answer.isReplaced) return;
      this.#needsHttp1 = true;
      this.#requireHttp1(() => answer.requireHttp1());
    };
    this.#whenAdmitted(answer, () => {
      const { request, response } = answer;
      answer.span = this.#parts.isInstrumented?.() ? undefined : this.#startSpan(head, answer);
      if (answer.span === undefined) return call();
      answer.span.bind(request);
      answer.span.bind(response);
      answer.span.run(call);
    });
  }

  #startSpan(head: RequestHead, { fd, isEncrypted }: Pick<Http2Source, 'fd' | 'isEncrypted'>): RequestSpan | undefined {
    const { method, target, rawHeaders } = head;
    const forwarded = this.#parts.forwarded?.({ fd, rawHeaders });
    const request = { method, target, rawHeaders, isEncrypted, forwarded, httpVersion: '2.0' };
    return startRequestSpan(request, () => this.#parts.remote?.(fd).remoteAddress ?? '');
  }

  #whenAdmitted(request: UnderWay, begin: () => void): void {
    const { gate } = this.#parts;
    if (gate === undefined) begin();
    else gate.enter(request, begin);
  }

  #call(listener: Http2Listener, { request, response }: CompatAnswer): unknown {
    const { expect } = request.headers;
    if (expect === undefined) return listener(request, response);
    const notify = (event: 'checkContinue' | 'checkExpectation'): boolean =>
      this.#parts.notify?.(event, request, response) === true;
    return callExpected(expect, response, notify, () => listener(request, response));
  }

  #closed(connection: Http2Connection): void {
    this.#connections.delete(connection);
    if (this.#connections.size === 0) this.#drained?.resolve();
  }

  #debug(error: unknown, fd: number): void {
    this.#parts.log.debug('a connection of HTTP/2 has failed', { fd, error });
  }
}
