/** The HTTP/2 of one listen port: from connections to exchanges, or to an app in the manner of Node. Runs in a worker. */
import type { IncomingHttpHeaders, ServerHttp2Stream } from 'node:http2';
import { type Deferred, deferred } from '../../util/deferred.js';
import type { Log } from '../../util/log.js';
import type { Exchange } from '../exchange.js';
import { callExpected, isContinue, OTHER_EXPECTATION } from '../expectations.js';
import type { Http2Source } from '../http-requests.js';
import { CompatAnswer, type CompatHost, type Http2Listener } from './compat.js';
import { readHead } from './fields.js';
import { type ConnectionLimits, Http2Connection } from './http2-connection.js';
import { Http2Exchange, type Http2Host } from './http2-exchange.js';
import type { PaceLimits } from './paced-body.js';
import { refuse } from './stream-end.js';

const OTHER = { status: 417, why: OTHER_EXPECTATION };

/** A request that goes on after its callback. */
export type UnderWay = Http2Exchange | CompatAnswer;

export interface Http2BridgeParts {
  readonly options: ConnectionLimits & PaceLimits & { readonly bodyLimit: number };
  /** The server is shutting down. */
  readonly isDraining: boolean;
  readonly log: Pick<Log, 'debug'>;
  /** May not throw. */
  serve(exchange: Exchange): void;
  /** In place of `serve`: gets Node's own request and response. */
  readonly listener?: Http2Listener | undefined;
  /** Beside `listener`: tells the listeners of an event of Node's server; false: there are none. */
  tell?(event: 'checkContinue' | 'checkExpectation', ...args: Parameters<Http2Listener>): boolean;
  /** The listener has thrown, or its promise was rejected. */
  failed?(error: unknown): void;
  begun(request: UnderWay): void;
  /** The answer is whole, or will never be. */
  ended(request: UnderWay): void;
}

export class Http2Bridge {
  readonly #parts: Http2BridgeParts;
  readonly #connections = new Set<Http2Connection>();
  /** Under way beyond their callback. */
  readonly #exchanges = new Set<Http2Exchange>();
  #drained: Deferred<void> | undefined;

  constructor(parts: Http2BridgeParts) {
    this.#parts = parts;
  }

  accept(source: Http2Source): void {
    const connection: Http2Connection = new Http2Connection(source, this.#parts.options, {
      stream: (stream, headers, raw) => this.#serve(hosts, stream, headers, raw),
      failed: (error) => this.#debug(error, source.fd),
      closed: () => this.#closed(connection),
    });
    const hosts = this.#hostsOf(connection);
    this.#connections.add(connection);
    if (this.#drained !== undefined || this.#parts.isDraining) connection.close();
  }

  /** GOAWAY to everybody. Resolves when all connections have ended. */
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
      ended: (request: UnderWay) => {
        if (request instanceof Http2Exchange) this.#exchanges.delete(request);
        this.#parts.ended(request);
      },
      failed: (error: unknown) => this.#debug(error, fd),
    };
  }

  #serve(
    host: Http2Host & CompatHost,
    stream: ServerHttp2Stream,
    headers: IncomingHttpHeaders,
    raw: readonly string[],
  ): void {
    const head = readHead(raw, this.#parts.options);
    if ('status' in head) return refuse(stream, head);
    const { listener } = this.#parts;
    if (listener !== undefined) return this.#serveApp(listener, new CompatAnswer(host, stream, headers, head));
    const { expect } = headers;
    if (expect !== undefined && !isContinue(expect)) return refuse(stream, OTHER);
    this.#serveExchange(new Http2Exchange(host, stream, head));
  }

  #serveExchange(exchange: Http2Exchange): void {
    this.#parts.serve(exchange);
    if (exchange.isEnded) return;
    exchange.track();
    this.#exchanges.add(exchange);
    this.#parts.begun(exchange);
  }

  #serveApp(listener: Http2Listener, answer: CompatAnswer): void {
    const failed = (error: unknown): void => {
      if (this.#parts.failed !== undefined) this.#parts.failed(error);
      answer.refuse({ status: 500, why: 'Internal Server Error' });
    };
    answer.track();
    this.#parts.begun(answer);
    try {
      const result = this.#call(listener, answer);
      if (isThenable(result)) result.then(undefined, failed);
    } catch (error) {
      failed(error);
    }
  }

  #call(listener: Http2Listener, { request, response }: CompatAnswer): unknown {
    const { expect } = request.headers;
    if (expect === undefined) return listener(request, response);
    const tell = (event: 'checkContinue' | 'checkExpectation'): boolean =>
      this.#parts.tell?.(event, request, response) === true;
    return callExpected(expect, response, tell, () => listener(request, response));
  }

  #closed(connection: Http2Connection): void {
    this.#connections.delete(connection);
    if (this.#connections.size === 0) this.#drained?.resolve();
  }

  #debug(error: unknown, fd: number): void {
    this.#parts.log.debug('a connection of HTTP/2 has failed', { fd, error });
  }
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof value === 'object' && value !== null && 'then' in value && typeof value.then === 'function';
}
