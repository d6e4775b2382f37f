/** The option `rateLimit`: how many requests each client may make. */
import { integer, isPlainObject, type Kind, objectOrFalse, refuse } from './check.js';
import { refuseUnknownNames } from './known-names.js';

/** A request, as the function `by` gets it before any callback does. */
export interface LimitedRequest {
  /** Upper case. */
  readonly method: string;
  /** Path and query, as sent. */
  readonly target: string;
  /** Of the client, or of the one that a trusted proxy names. */
  readonly remoteAddress: string;
  /** @param name in any case @returns several lines as one list; undefined: there is none */
  header(name: string): string | undefined;
}

/** The option `rateLimit`: so many requests per second and client; further ones are answered 429 with `Retry-After`. */
export interface RateLimitOptions {
  /** In the long run. */
  readonly perSecond: number;
  /** So many at once. */
  readonly burst: number;
  /**
   * Tells clients apart: by `'address'`; by the value of a header, a client without it by its address; or by what a function
   * returns, `undefined` for no limit. Address and header are checked in the reactor, before a worker is touched; the function
   * is called in the worker, before the callback. Default: `'address'`.
   */
  readonly by?: 'address' | { readonly header: string } | ((request: LimitedRequest) => string | undefined);
  /** So many clients are known at once, for 40 bytes each; beyond them the longest idle is forgotten. Default: `100_000`. */
  readonly keys?: number;
}

export interface ResolvedRateLimit {
  readonly periodMs: number;
  readonly burst: number;
  readonly keys: number;
  /** A header in lower case. */
  readonly by: 'address' | { readonly header: string } | ((request: LimitedRequest) => string | undefined);
}

const names = ['perSecond', 'burst', 'by', 'keys'];
const EXPECTED = 'false, or {perSecond, burst, by, keys}';
const LEAST_RATE = 1e-6;
const HIGHEST_RATE = 1e6;
export const DEFAULT_KEYS = 100_000;
export const burstKind = integer({ min: 1, max: 1_000_000_000 });
export const keysKind = integer({ min: 1, max: 50_000_000 });

/** null: no limit. */
export function rateLimit(): Kind<RateLimitOptions | false, ResolvedRateLimit | null> {
  return objectOrFalse({ type: 'RateLimitOptions | false', expected: EXPECTED, resolve: checkLimit });
}

function checkLimit(name: string, given: Record<string, unknown>): ResolvedRateLimit {
  refuseUnknownNames(name, given, names);
  return {
    periodMs: 1000 / checkRate(`${name}.perSecond`, given['perSecond']),
    burst: burstKind.check(`${name}.burst`, given['burst']),
    keys: keysKind.check(`${name}.keys`, given['keys'] ?? DEFAULT_KEYS),
    by: checkBy(`${name}.by`, given['by'] ?? 'address'),
  };
}

export function checkRate(name: string, value: unknown): number {
  const expected = `a number from ${LEAST_RATE} to ${HIGHEST_RATE}`;
  if (typeof value !== 'number' || Number.isNaN(value)) refuse('ERR_OPTION_TYPE', name, expected, value);
  if (value < LEAST_RATE || value > HIGHEST_RATE) refuse('ERR_OPTION_RANGE', name, expected, value);
  return value;
}

const FIELD_NAME = /^[!#$%&'*+.^_`|~0-9a-z-]+$/i;

function checkBy(name: string, value: unknown): ResolvedRateLimit['by'] {
  const expected = '"address", {header: NAME} or a function';
  if (value === 'address') return value;
  if (typeof value === 'function') return value as ResolvedRateLimit['by'];
  if (!isPlainObject(value)) refuse('ERR_OPTION_VALUE', name, expected, value);
  const { header, ...others } = value;
  refuseUnknownNames(name, others, ['header']);
  if (typeof header !== 'string' || !FIELD_NAME.test(header)) refuse('ERR_OPTION_VALUE', name, expected, value);
  return Object.freeze({ header: header.toLowerCase() });
}
