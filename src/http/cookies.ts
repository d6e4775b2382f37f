/** Cookies by RFC 6265bis: read leniently, written strictly. */
import { describe, ServerError } from '../errors/index.js';
import { refuseNoObject } from '../options/check.js';
import { refuseUnknownNames } from '../options/known-names.js';
import { isToken } from './header-fields.js';

/** Attributes of a cookie, as RFC 6265bis has them. */
export interface CookieOptions {
  /** The paths that receive it: this one and those below. Missing: the folder of the request. */
  readonly path?: string | undefined;
  /** The host that receives it, with all below it. Missing: this host alone. */
  readonly domain?: string | undefined;
  /** When it is forgotten. Missing, and without `maxAge`: with the end of the browser. */
  readonly expires?: Date | undefined;
  /** After how many seconds it is forgotten; 0 or less removes it. Goes before `expires`. */
  readonly maxAge?: number | undefined;
  /** Only sent over TLS. Default: false. */
  readonly secure?: boolean | undefined;
  /** Scripts of the page do not see it. Default: false. */
  readonly httpOnly?: boolean | undefined;
  /** Whether requests from other sites have it; `'none'` needs `secure`. Missing: as the browser has it. */
  readonly sameSite?: 'strict' | 'lax' | 'none' | undefined;
  /** Which cookies the browser drops last when there are too many. */
  readonly priority?: 'low' | 'medium' | 'high' | undefined;
  /** One per site that embeds this one (CHIPS); needs `secure`. */
  readonly partitioned?: boolean | undefined;
}

/** Browsers drop what is longer (RFC 6265bis, 5.6). */
const PAIR_LIMIT = 4096;
const ATTRIBUTE_LIMIT = 1024;
const HOST_NAME = /^\.?[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*$/i;
const RAW_VALUE = /^(?! )[\x20-\x3a\x3c-\x7e]*(?<! )$/;
const PATH = /^\/[\x20-\x3a\x3c-\x7e]*$/;
const SAME_SITE = { strict: 'Strict', lax: 'Lax', none: 'None' } as const;
const PRIORITY = { low: 'Low', medium: 'Medium', high: 'High' } as const;

const FLAGS = ['secure', 'httpOnly', 'partitioned'] as const;
const OPTIONS: readonly string[] = [...FLAGS, 'path', 'domain', 'expires', 'maxAge', 'sameSite', 'priority'];

/** Name → value; of repeated names the first counts, for it has the longer path. */
export function parseCookies(header: string | undefined): Record<string, string> {
  const cookies = Object.create(null) as Record<string, string>;
  if (header === undefined) return cookies;
  for (const pair of header.split(';')) {
    const equals = pair.indexOf('=');
    if (equals === -1) continue;
    const name = pair.slice(0, equals).trim();
    if (name !== '' && cookies[name] === undefined) cookies[name] = decodeValue(pair.slice(equals + 1).trim());
  }
  return cookies;
}

function decodeValue(given: string): string {
  const isQuoted = given.length >= 2 && given.startsWith('"') && given.endsWith('"');
  const value = isQuoted ? given.slice(1, -1) : given;
  if (!value.includes('%')) return value;
  try {
    return decodeURIComponent(value);
  } catch {
    return value; // of another program, which does not encode
  }
}

/** The value of a `set-cookie`, percent-encoded. @throws ServerError ERR_HTTP_COOKIE, ERR_OPTION_TYPE, ERR_OPTION_UNKNOWN */
export function serializeCookie(name: string, value: string, options: CookieOptions): string {
  checkPair(name, value);
  return serializePair(name, encodeURIComponent(value.toWellFormed()), options);
}

/**
 * The same with the value as it is: printable ASCII without a semicolon, and without spaces at its ends, which
 * browsers keep unchanged (RFC 6265bis, 5.6). @throws ServerError ERR_HTTP_COOKIE, ERR_OPTION_TYPE, ERR_OPTION_UNKNOWN
 */
export function serializeRawCookie(name: string, value: string, options: CookieOptions): string {
  checkPair(name, value);
  if (!RAW_VALUE.test(value)) {
    const expected = 'printable ASCII without ";" and without spaces at its ends';
    throw refuse(name, `its value must be ${expected}, received ${describe(value)}`);
  }
  return serializePair(name, value, options);
}

function checkPair(name: string, value: unknown): void {
  if (!isToken(name)) throw refuse(name, 'its name is not a token');
  if (typeof value !== 'string') throw refuse(name, `its value must be a string, received ${describe(value)}`);
}

/** @param encoded the value as sent */
function serializePair(name: string, encoded: string, options: CookieOptions): string {
  const pair = `${name}=${encoded}`;
  if (pair.length > PAIR_LIMIT) throw refuse(name, `it is longer than ${PAIR_LIMIT} bytes`);
  checkOptions(name, options);
  checkPrefix(name, options);
  return pair + scope(name, options) + lifetime(name, options) + flags(name, options);
}

/** A mistyped `httpOnly` or `secure` would leave the cookie open to those from whom it is to be kept. */
function checkOptions(name: string, options: CookieOptions): void {
  refuseNoObject(options);
  refuseUnknownNames('options', options, OPTIONS);
  for (const flag of FLAGS) {
    const value: unknown = options[flag];
    if (value === undefined || typeof value === 'boolean') continue;
    throw refuse(name, `${flag} must be true or false, received ${describe(value)}`);
  }
}

function checkPrefix(name: string, { secure, domain, path }: CookieOptions): void {
  const lower = name.toLowerCase();
  const isOfHost = lower.startsWith('__host-');
  if (!isOfHost && !lower.startsWith('__secure-')) return;
  if (secure !== true) throw refuse(name, 'with that name it must be secure');
  if (isOfHost && (domain !== undefined || path !== '/')) {
    throw refuse(name, 'with that name it must have the path "/" and no domain');
  }
}

function scope(name: string, { path, domain }: CookieOptions): string {
  if (path !== undefined && !isWithin(path, PATH)) throw refuse(name, `its path cannot be ${describe(path)}`);
  if (domain !== undefined && !isWithin(domain, HOST_NAME))
    throw refuse(name, `its domain cannot be ${describe(domain)}`);
  return (path === undefined ? '' : `; Path=${path}`) + (domain === undefined ? '' : `; Domain=${domain}`);
}

function isWithin(value: unknown, pattern: RegExp): boolean {
  return typeof value === 'string' && value.length <= ATTRIBUTE_LIMIT && pattern.test(value);
}

function lifetime(name: string, { expires, maxAge }: CookieOptions): string {
  if (maxAge !== undefined && !Number.isSafeInteger(maxAge)) {
    throw refuse(name, `maxAge must be whole seconds, received ${describe(maxAge)}`);
  }
  return (
    (expires === undefined ? '' : `; Expires=${date(name, expires)}`) +
    (maxAge === undefined ? '' : `; Max-Age=${maxAge}`)
  );
}

function date(name: string, expires: unknown): string {
  const isDate = expires instanceof Date && expires.getUTCFullYear() >= 1601 && expires.getUTCFullYear() <= 9999;
  if (!isDate) throw refuse(name, `expires must be a Date of the years 1601 to 9999, received ${describe(expires)}`);
  return Date.prototype.toUTCString.call(expires);
}

function flags(name: string, options: CookieOptions): string {
  const { secure, httpOnly, sameSite, priority, partitioned } = options;
  if (sameSite === 'none' && secure !== true) throw refuse(name, 'sameSite "none" needs secure');
  if (partitioned === true && secure !== true) throw refuse(name, 'partitioned needs secure');
  return [
    ...(httpOnly === true ? ['; HttpOnly'] : []),
    ...(secure === true ? ['; Secure'] : []),
    ...(sameSite === undefined ? [] : [`; SameSite=${word(name, 'sameSite', SAME_SITE, sameSite)}`]),
    ...(priority === undefined ? [] : [`; Priority=${word(name, 'priority', PRIORITY, priority)}`]),
    ...(partitioned === true ? ['; Partitioned'] : []),
  ].join('');
}

function word(name: string, attribute: string, words: Readonly<Record<string, string>>, given: unknown): string {
  if (typeof given === 'string' && Object.hasOwn(words, given)) return words[given]!;
  throw refuse(name, `${attribute} must be one of ${Object.keys(words).join(', ')}, received ${describe(given)}`);
}

function refuse(name: unknown, why: string): ServerError {
  return new ServerError('ERR_HTTP_COOKIE', { name: describe(name), why });
}
