/** The HTTP/2 of one listen port: from connections to exchanges. Runs in a worker. */

import type { IncomingHttpHeaders, ServerHttp2Stream } from 'node:http2';
import type { AccessLog } from '../../access-log/access-log.js';
import type { Http2Record } from '../../memory/boards.js';
import type { Forwarded } from '../../protocol/http/forwarded.js';
import { type Deferred, deferred } from '../../util/deferred.js';
import type { Log } from '../../util/log.js';
import { isContinue, OTHER_EXPECTATION } from '../expectations.js';
import type { Http2Source } from '../http-requests.js';
import type { Sent } from '../request-clients.js';
import type { RequestGate } from '../request-gate.js';
import { type RequestSpan, startRequestSpan } from '../request-span.js';
import { type Refusal, readHead } from './fields.js';
import { HeldAnswers, type HeldLimits } from './held-answers.js';
import type { HeldStream } from './held-connection.js';
import { type ConnectionLimits, Http2Connection } from './http2-connection.js';
import { Http2Exchange, type Http2Host } from './http2-exchange.js';
import type { PaceLimits } from './paced-body.js';
import { refuse } from './stream-end.js';
import { logStream } from './stream-log.js';

const OTHER = { status: 417, why: OTHER_EXPECTATION };
export type Http2Figures = Pick<Http2Record, 'countRefused' | 'countReset' | 'held'>;

export interface Http2BridgeParts {
  readonly options: ConnectionLimits & HeldLimits & PaceLimits & { readonly bodyLimit: number };
  /** The server is shutting down. */
  readonly isDraining: boolean;
  /** Another process takes the clients. Missing: none does. */
  readonly isDismissed?: boolean;
  readonly log: Pick<Log, 'debug' | 'warn'>;
  /** The server has `maxConcurrency` requests under way. */
  isFull(): boolean;
  /** No client is read now, because the server holds too many bytes. */
  readsNobody?(): boolean;
  readonly record: Http2Figures;
  /** Missing: no proxy is trusted. */
  forwarded?(sent: Sent): Forwarded | undefined;
  /** Missing: none is written. */
  readonly accessLog?: AccessLog | undefined;
  /** Undefined: any number of requests is served at once. */
  readonly gate?: RequestGate | undefined;
  /** May not throw. */
  serve(exchange: Http2Exchange): void;
  /** What `serve` calls answers expectations itself. */
  readonly takesExpectations?: boolean;
  /** Code that instruments the handler makes the spans of its requests. */
  isInstrumented?(): boolean;
  /** Of a session id. */
  remote?(fd: number): { readonly remoteAddress: string };
  /** A connection has ended. */
  closed?(fd: number): void;
  /** An answer of this status has begun. */
  answered(status: number): void;
  begun(request: Http2Exchange): void;
  /** The answer is whole, or will never be. */
  ended(request: Http2Exchange): void;
}

const FULL: Refusal = {
  status: 503,
  why: 'The server has reached its limit of requests under way.',
  retryAfterSeconds: 1,
};
const NO_ROOM: Refusal = { status: 503, why: 'Too many answers wait for this client.', retryAfterSeconds: 1 };

export class Http2Bridge {
  readonly #parts: Http2BridgeParts;
  readonly #answers: HeldAnswers;
  readonly #connections = new Set<Http2Connection>();
  /** Requests that continue beyond their callback. */
  readonly #exchanges = new Set<Http2Exchange>();
  #drained: Deferred<void> | undefined;
  #isDraining = false;

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
    if (this.#isDraining || this.#parts.isDraining) connection.close();
    else if (this.#drained !== undefined || this.#parts.isDismissed) connection.leave();
  }

  /** Another process takes the clients: sends them there, by GOAWAY. Resolves when all connections have ended. */
  dismiss(): Promise<void> {
    return this.#end((connection) => connection.leave());
  }

  /** The server is shutting down, and reads no client any more: says so by GOAWAY. Resolves as `dismiss` does. */
  drain(): Promise<void> {
    this.#isDraining = true;
    return this.#end((connection) => connection.close());
  }

  #end(end: (connection: Http2Connection) => void): Promise<void> {
    this.#drained ??= deferred<void>();
    for (const exchange of [...this.#exchanges]) exchange.leave();
    for (const connection of [...this.#connections]) end(connection);
    if (this.#connections.size === 0) this.#drained.resolve();
    return this.#drained.promise;
  }

  #hostsOf({ fd, isEncrypted }: Http2Connection): Http2Host {
    const { bodyLimit, requestTimeoutMs, minBodyBytesPerSecond = 0 } = this.#parts.options;
    return {
      ...{ fd, isEncrypted, bodyLimit, requestTimeoutMs, minBodyBytesPerSecond },
      readsNobody: () => this.#parts.readsNobody?.() === true,
      forwarded: (sent) => this.#parts.forwarded?.(sent),
      answered: (status) => this.#parts.answered(status),
      refused: () => this.#parts.record.countRefused(),
      ended: (request) => {
        this.#exchanges.delete(request);
        this.#parts.gate?.leave(request);
        this.#parts.ended(request);
      },
      failed: (error) => this.#debug(error, fd),
    };
  }

  #serve(host: Http2Host, held: HeldStream, headers: IncomingHttpHeaders, raw: readonly string[]): void {
    const { stream } = held;
    this.#log(host, held, headers, raw);
    const head = readHead(raw, this.#parts.options);
    if ('status' in head) return this.#refuse(stream, head);
    const { expect } = headers;
    if (expect !== undefined && !isContinue(expect) && this.#parts.takesExpectations !== true)
      return this.#refuse(stream, OTHER);
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
    refuse(stream, refusal, this.#parts.options.bodyLimit);
  }

  #serveExchange(exchange: Http2Exchange): void {
    const { gate } = this.#parts;
    this.#whenAdmitted(exchange, () => {
      exchange.span = this.#parts.isInstrumented?.() ? undefined : this.#startSpan(exchange);
      if (exchange.span === undefined) this.#parts.serve(exchange);
      else exchange.span.run(() => this.#parts.serve(exchange));
    });
    if (exchange.isEnded) return gate?.leave(exchange);
    exchange.track();
    this.#exchanges.add(exchange);
    this.#parts.begun(exchange);
  }

  #startSpan(exchange: Http2Exchange): RequestSpan | undefined {
    return startRequestSpan(exchange, () => this.#parts.remote?.(exchange.fd).remoteAddress ?? '');
  }

  #whenAdmitted(request: Http2Exchange, begin: () => void): void {
    const { gate } = this.#parts;
    if (gate === undefined) begin();
    else gate.enter(request, begin);
  }

  #closed(connection: Http2Connection): void {
    this.#connections.delete(connection);
    this.#parts.closed?.(connection.fd);
    if (this.#connections.size === 0) this.#drained?.resolve();
  }

  #debug(error: unknown, fd: number): void {
    this.#parts.log.debug('a connection of HTTP/2 has failed', { fd, error });
  }
}
