/**
 * `rateLimit` where no reactor has checked it: by a function, and of HTTP/2. Loaded only with that option. Runs in a worker.
 */
import { describe, ServerError } from '../errors/index.js';
import type { LimitedRequest, ResolvedRateLimit } from '../options/rate-limit.js';
import { tooManyRequests } from '../protocol/http/too-many.js';
import { ourArena } from '../shared/objects.js';
import { keyOfAddress, keyOfHeader, RequestLimit } from '../shared/request-limit.js';
import type { Exchange } from './exchange.js';
import type { Refusal } from './http2/fields.js';
import type { Peer } from './request.js';
import type { Sent } from './request-clients.js';
import { findHeader } from './request-headers.js';

/** What both kinds of request have. */
export interface RequestLine {
  readonly method: string;
  readonly target: string;
  readonly rawHeaders: readonly string[];
}

export interface WorkerLimitParts {
  /** Behind trusted proxies the client that they name. */
  clientOf(sent: Sent): Peer;
  /** The function of the user has failed. */
  failed(error: unknown, what: string): void;
}

const FAILED: Refusal = { status: 500, why: 'Internal Server Error' };

export class WorkerLimit {
  readonly #by: ResolvedRateLimit['by'];
  readonly #parts: WorkerLimitParts;
  readonly #limit: RequestLimit;

  constructor(rule: ResolvedRateLimit, parts: WorkerLimitParts, limit = new RequestLimit(ourArena(), rule)) {
    this.#by = rule.by;
    this.#parts = parts;
    this.#limit = limit;
  }

  /** Reactors do not know the function. */
  get isOfWorkers(): boolean {
    return typeof this.#by === 'function';
  }

  /** @returns undefined: the request may go on */
  refusalOf(request: RequestLine, fd: number): Refusal | undefined {
    let key: string | undefined;
    try {
      key = this.#keyOf(request, fd);
    } catch (error) {
      this.#parts.failed(error, 'rateLimit');
      return FAILED;
    }
    if (key === undefined) return undefined;
    const waitsMs = this.#limit.take(key);
    return waitsMs === 0 ? undefined : tooManyRequests(waitsMs);
  }

  /** @param refused called for each request that is refused */
  guard<E extends Exchange>(serve: (exchange: E) => void, refused: () => void = () => {}): (exchange: E) => void {
    return (exchange) => {
      const refusal = this.refusalOf(exchange, exchange.fd);
      if (refusal === undefined) return serve(exchange);
      refused();
      this.refuse(exchange, refusal);
    };
  }

  refuse(exchange: Exchange, refusal: Refusal): void {
    exchange.respond(refusal.status, '', fieldsOf(refusal), `${refusal.why}\n`);
  }

  #keyOf(request: RequestLine, fd: number): string | undefined {
    if (typeof this.#by === 'function') return checkKey(this.#by(this.#describe(request, fd)));
    const value = this.#by === 'address' ? undefined : findLines(request.rawHeaders, this.#by.header);
    return value === undefined ? keyOfAddress(this.#addressOf(request, fd)) : keyOfHeader(value);
  }

  #describe({ method, target, rawHeaders }: RequestLine, fd: number): LimitedRequest {
    const remoteAddress = this.#addressOf({ rawHeaders }, fd);
    return { method, target, remoteAddress, header: (name) => findHeader(rawHeaders, name.toLowerCase()) };
  }

  #addressOf({ rawHeaders }: Pick<RequestLine, 'rawHeaders'>, fd: number): string {
    return this.#parts.clientOf({ fd, rawHeaders }).remoteAddress;
  }
}

/** All lines as one list, as the reactor reads them: the same client has the same key in HTTP/1 and HTTP/2. */
function findLines(raw: readonly string[], name: string): string | undefined {
  let found: string | undefined;
  for (let at = 0; at < raw.length; at += 2) {
    if (raw[at]?.toLowerCase() === name) found = found === undefined ? raw[at + 1] : `${found}, ${raw[at + 1]}`;
  }
  return found;
}

function checkKey(key: unknown): string | undefined {
  if (key === undefined || typeof key === 'string') return key;
  const expected = 'a function that returns a string or undefined';
  throw new ServerError('ERR_OPTION_VALUE', { name: 'rateLimit.by', expected, received: describe(key) });
}

function fieldsOf({ retryAfterSeconds }: Refusal): string[] {
  const fields = ['content-type', 'text/plain; charset=utf-8'];
  if (retryAfterSeconds !== undefined) fields.push('retry-after', String(retryAfterSeconds));
  return fields;
}
