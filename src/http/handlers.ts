/**
 * The handlers of a port's requests: its `request` callback, an app with `fetch`, or one of Node's `http`. Runs in
 * a worker.
 */
import type { AccessLog } from '../access-log/access-log.js';
import { describe, ServerError } from '../errors/index.js';
import { StaticFiles } from '../files/static-files.js';
import type { Http2Record } from '../memory/boards.js';
import type { ResolvedOptions } from '../options/index.js';
import type { Forwarded } from '../protocol/http/forwarded.js';
import { reasonPhrase } from '../protocol/http/reason-phrase.js';
import { monotonicMs } from '../util/clock.js';
import type { Log } from '../util/log.js';
import { isThenable } from '../util/thenable.js';
import type { FetchFunction, HttpApps } from './apps.js';
import { Compression } from './compression.js';
import type { Exchange } from './exchange.js';
import { OTHER_EXPECTATION } from './expectations.js';
import type { WorkerLimit } from './limited.js';
import type { NodeHttpBridge } from './node/index.js';
import { defaultRequestLimits, HttpRequest, type Peer } from './request.js';
import type { Sent } from './request-clients.js';
import type { RequestGate } from './request-gate.js';
import { findHeader } from './request-headers.js';
import { HttpResponse } from './response.js';
import type { ResponseSettings } from './response-settings.js';
import { sendPieces } from './send-file.js';
import { knowPlace } from './upload-sweep.js';

export type RequestCallback = (request: HttpRequest, response: HttpResponse) => unknown;
/** Starts the answer to one request. It may not throw. */
export type Serve = (exchange: Exchange) => void;

export interface HandlerParts {
  readonly options: ResolvedOptions;
  /** The server the user holds. */
  readonly server: unknown;
  remote(fd: number): Peer;
  forwarded(sent: Sent): Forwarded | undefined;
  readonly log: Log;
  /** A request of HTTP/2 continues beyond its callback, or has ended. */
  countUnderWay(change: 1 | -1): void;
  /** An answer of HTTP/2 with this status has begun. */
  answered(status: number): void;
  /** The HTTP/2 figures of this process. */
  http2(): Http2Record;
  /** The server has `maxConcurrency` requests under way. */
  isFull(): boolean;
  /** No client is read now, because the server holds more than `maxBufferedBytes`. */
  readsNobody(): boolean;
  /** Undefined: no limit. */
  readonly limit: WorkerLimit | undefined;
  /** Undefined: this worker serves any number of requests at once. */
  readonly gate: RequestGate | undefined;
  /** Undefined: none is written. */
  readonly accessLog: AccessLog | undefined;
  /** A callback has failed: it is logged and counted. */
  failed(error: unknown, what: string): void;
}

const RETURNED =
  'a "request" callback has returned a value without answering, and its client waits: call res.end() or res.json() (what returns its answers is given as the option fetch)';

/** What handlers of other frameworks return; not the timers and emitters that a short callback happens to return. */
function looksLikeAnswer(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return typeof value === 'string';
  return [Object.prototype, Array.prototype, Response.prototype].includes(Object.getPrototypeOf(value));
}

/** The user's `request` callback. */
export function serveByCallback(callback: RequestCallback, parts: HandlerParts): Serve {
  knowPlace(defaultRequestLimits.form.folder);
  const peerOf = (fd: number): Peer => parts.remote(fd);
  const failed = (error: unknown, response: HttpResponse, exchange?: Exchange): void => {
    const fault = faultOfClient(error);
    if (fault !== undefined) return void response.fail(fault.status, fault.message);
    exchange?.span?.threw(error);
    parts.failed(error, 'request');
    response.fail(500, 'Internal Server Error');
  };
  const settings: ResponseSettings = { compression: compressionOf(parts.options), failed };
  let isTold = false;
  const returned = (value: unknown, response: HttpResponse): void => {
    if (isTold || response.ended || !looksLikeAnswer(value)) return;
    isTold = true;
    parts.log.warn(RETURNED, { returned: describe(value) });
  };
  return (exchange) => {
    const request = new HttpRequest(exchange, peerOf, defaultRequestLimits);
    const response = new HttpResponse(exchange, request, settings);
    try {
      const result = callback(request, response);
      if (!isThenable(result)) returned(result, response);
      else {
        result.then(
          (value) => returned(value, response),
          (error: unknown) => failed(error, response, exchange),
        );
      }
    } catch (error) {
      failed(error, response, exchange);
    }
  };
}

/** An app of web Requests and Responses. */
export async function serveByFetch(app: FetchFunction, parts: HandlerParts): Promise<Serve> {
  const { fetchHandler } = await import('./fetch/index.js');
  const serve = fetchHandler(app, {
    server: parts.server,
    clientOf: ({ fd, forwarded }) => forwarded?.client ?? parts.remote(fd),
    failed: (error, exchange, hasBegun) => {
      const fault = faultOfClient(error);
      if (fault === undefined) {
        exchange.span?.threw(error);
        parts.failed(error, 'fetch');
      }
      const { status, message } = fault ?? { status: 500, message: 'Internal Server Error' };
      if (!hasBegun) exchange.respond(status, '', PLAIN, `${message}\n`);
    },
  });
  return (exchange) => void serve(exchange);
}

const PLAIN = ['content-type', 'text/plain; charset=utf-8'];

/** An app of Node's own `http`. */
export async function bridgeTo(
  listener: NonNullable<HttpApps['listener']>,
  { options, failed }: HandlerParts,
): Promise<NodeHttpBridge> {
  const { NodeHttpBridge } = await import('./node/index.js');
  const maxHeaderBytes = options.requestLineLimit + options.headerLimit;
  return new NodeHttpBridge(listener, { maxHeaderBytes, failed: (error) => failed(error, 'listener') });
}

/** Expectations beyond 100-continue are unknown to every handler (RFC 9110 10.1.1). */
export function refuseExpectation(exchange: Exchange): void {
  exchange.respond(417, '', [...PLAIN, 'connection', 'close'], `${OTHER_EXPECTATION}\n`);
}

/**
 * A body that is not of the type the handler asked for, or a missing file, is the client's fault: it gets the
 * status, and nothing is logged.
 */
function faultOfClient(error: unknown): { readonly status: number; readonly message: string } | undefined {
  if (!(error instanceof ServerError)) return undefined;
  if (isCutByClient(error)) return { status: 400, message: '' }; // the client cannot receive it
  const { status } = error.detail as { status?: unknown };
  return typeof status === 'number' && status >= 400 && status < 500
    ? { status, message: reasonPhrase(status) }
    : undefined;
}

/** True when its body ended early, and not through the handler itself. */
function isCutByClient(error: ServerError): boolean {
  return error.is('ERR_HTTP_BODY_CUT') ? error.detail.reason !== 'answered' : error.is('ERR_HTTP_CLIENT_GONE');
}

const MOST_OF_ZLIB = 9;

function compressionOf({ compression }: ResolvedOptions): Compression | null {
  if (compression === null) return null;
  const { encodings, minLength: threshold, types, level } = compression;
  const zlibLevel = Math.min(level, MOST_OF_ZLIB);
  const levels = { br: level, zstd: level, gzip: zlibLevel, deflate: zlibLevel };
  return new Compression({ encodings, threshold, types: types ?? undefined, levels });
}

/** Static files for requests that no reactor has checked: those of HTTP/2. */
export function withFiles<E extends Exchange>(
  serve: (exchange: E) => void,
  { staticFiles }: ResolvedOptions,
): (exchange: E) => void {
  if (staticFiles.length === 0) return serve;
  const files = new StaticFiles(staticFiles);
  return (exchange) => {
    const at = monotonicMs();
    if (files.leaves(exchange.target, at)) return serve(exchange);
    const field = (name: string): string | undefined => findHeader(exchange.rawHeaders, name);
    const answer = files.answer(exchange.method, exchange.target, field, Date.now(), at);
    if (answer === undefined) serve(exchange);
    else sendPieces(exchange, answer.status, '', answer);
  };
}
