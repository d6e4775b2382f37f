/**
 * Checks the head of an answer. Every user value passes here before it becomes a field line, so that no value can
 * end its line early (response splitting).
 */
import { describe, ServerError } from '../errors/index.js';
import { isPlainObject, refuse } from '../options/check.js';

/** Letters, digits and marks: RFC 9110, 5.6.2. */
const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
/** Characters that a field value must not have: controls but the tab, and those that do not fit into one byte. */
const NOT_IN_VALUE = /[^\t\x20-\x7e\x80-\xff]/;
/** The transport does the framing: a user who could set it could make two answers of one. */
const OF_TRANSPORT = 'transfer-encoding';
/** RFC 9110, 6.5.1: fields that a reader needs before the body, and fields that change where it ends. */
const NOT_IN_TRAILERS = new Set([
  ...['age', 'authorization', 'cache-control', 'connection', 'content-encoding', 'content-length', 'content-range'],
  ...['content-type', 'date', 'expires', 'host', 'keep-alive', 'location', 'proxy-authenticate', 'retry-after'],
  ...['set-cookie', 'te', 'trailer', 'transfer-encoding', 'upgrade', 'vary', 'www-authenticate'],
]);

/** A name as sent, and its last value that was found valid: most names have the same value again. */
export interface KnownName {
  readonly lower: string;
  checked: string;
}

const KNOWN_LIMIT = 512;
/** Longer values are not kept: they are seldom the same, and may be secrets. */
const CHECKED_LIMIT = 64;
/** By the name as given. A program uses few, and each again and again. */
const knownNames = new Map<string, KnownName>();

/** @throws ServerError ERR_HTTP_HEADER_NAME */
export function knownName(name: string): KnownName {
  return knownNames.get(name) ?? newName(name);
}

/** @returns the name in lower case @throws ServerError ERR_HTTP_HEADER_NAME */
export function headerName(name: string): string {
  return knownName(name).lower;
}

/**
 * A name by which a header is read, in lower case. Any text may be asked for; `null` and the like are a mistake, which would be found to
 * be missing. @throws ServerError ERR_HTTP_HEADER_NAME
 */
export function nameToRead(name: unknown): string {
  refuseNoText(name);
  return name.toLowerCase();
}

/** @throws ServerError ERR_HTTP_HEADER_NAME */
export function refuseNoText(name: unknown): asserts name is string {
  if (typeof name === 'string') return;
  throw new ServerError('ERR_HTTP_HEADER_NAME', { received: describe(name), why: 'its name must be a string' });
}

function newName(name: unknown): KnownName {
  if (!isToken(name))
    throw new ServerError('ERR_HTTP_HEADER_NAME', { received: describe(name), why: 'it is not a token' });
  const lower = name.toLowerCase();
  if (lower === OF_TRANSPORT) {
    throw new ServerError('ERR_HTTP_HEADER_NAME', { received: describe(name), why: 'the server sets it itself' });
  }
  // Names from outside (a proxy) must not fill the memory.
  if (knownNames.size >= KNOWN_LIMIT) knownNames.clear();
  const known = { lower, checked: '' };
  knownNames.set(name, known);
  return known;
}

/**
 * The same as `headerValue`, without checking each character where the value was seen before: 20 of the 60 ns that
 * `setHeader` with `end` took.
 */
export function knownValue(known: KnownName, value: string): string {
  if (value === known.checked) return value;
  headerValue(known.lower, value);
  if (value.length <= CHECKED_LIMIT) known.checked = value;
  return value;
}

export function isToken(value: unknown): value is string {
  return typeof value === 'string' && TOKEN.test(value);
}

export function isFieldValue(value: unknown): value is string {
  return typeof value === 'string' && !NOT_IN_VALUE.test(value);
}

/** @throws ServerError ERR_HTTP_HEADER_VALUE */
export function headerValue(name: string, value: unknown): string {
  if (isFieldValue(value)) return value;
  if (typeof value === 'number' && Number.isFinite(value)) return String(value);
  throw new ServerError('ERR_HTTP_HEADER_VALUE', { name, received: describe(value) });
}

/** @throws ServerError ERR_HTTP_TRAILER, ERR_HTTP_HEADER_NAME, ERR_HTTP_HEADER_VALUE */
export function trailerField(name: string, value: unknown): [string, string] {
  const lower = headerName(name);
  if (NOT_IN_TRAILERS.has(lower)) {
    throw new ServerError('ERR_HTTP_TRAILER', { name: lower, why: 'it has no meaning behind the body' });
  }
  return [lower, headerValue(lower, value)];
}

/** @returns '' for the usual one @throws ServerError ERR_HTTP_STATUS_MESSAGE */
export function statusMessage(value: unknown): string {
  if (isFieldValue(value)) return value;
  throw new ServerError('ERR_HTTP_STATUS_MESSAGE', { received: describe(value) });
}

/** Field lines of an object, for `inform`. @throws ServerError ERR_OPTION_TYPE, ERR_HTTP_HEADER_NAME, ERR_HTTP_HEADER_VALUE */
export function fieldList(headers: Readonly<Record<string, string | number | readonly string[]>>): string[] {
  if (!isPlainObject(headers)) refuse('ERR_OPTION_TYPE', 'headers', 'an object with values by name', headers);
  const fields: string[] = [];
  for (const [name, value] of Object.entries(headers)) {
    const lower = headerName(name);
    for (const one of Array.isArray(value) ? value : [value]) fields.push(lower, headerValue(lower, one));
  }
  return fields;
}

const NOT_IN_URL = /[^!#$&'()*+,\-./0-9:;=?@A-Z[\]_a-z~%]/gu;
const LONE_PERCENT = /%(?![0-9A-Fa-f]{2})/g;

/**
 * Percent-encodes a URL for `location`: invalid characters are encoded, existing escapes stay. A backslash too,
 * which browsers take for a slash.
 */
export function encodeLocation(url: string): string {
  return url.toWellFormed().replace(LONE_PERCENT, '%25').replace(NOT_IN_URL, percentEncode);
}

function percentEncode(character: string): string {
  return encodeURIComponent(character);
}

/** `attachment` with the name of the file: for old readers in ASCII, for all others by RFC 8187. */
export function attachment(filename: string): string {
  const name = filename.toWellFormed();
  const ascii = name.replace(/[^\x20-\x7e]|["\\%]/g, '_');
  const plain = `attachment; filename="${ascii}"`;
  return ascii === name ? plain : `${plain}; filename*=UTF-8''${encodeExtended(name)}`;
}

/** RFC 8187, 3.2.1: characters that `encodeURIComponent` leaves and `attr-char` lacks. */
function encodeExtended(text: string): string {
  return encodeURIComponent(text).replace(/['()*]/g, (mark) => `%${mark.charCodeAt(0).toString(16).toUpperCase()}`);
}
