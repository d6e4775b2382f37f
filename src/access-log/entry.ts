/**
 * One line of the access log, in the formats there are. Lines are put into memory byte by byte: to make a text of the parts, look
 * in it for what must be escaped, and write it takes longer, and leaves garbage.
 */
import { readLatin1 } from '../util/latin1.js';
import { type DayTime, isoSecond, logTime } from './day-time.js';
import type { RequestText } from './request-text.js';

/** A request and its answer. */
export interface AccessEntry {
  /** Address of the client; '': a unix socket. */
  readonly client: string;
  readonly request: RequestText;
  /** 0: none was sent. */
  readonly status: number;
  /** Of the answer, behind its head. */
  readonly bytes: number;
  /** From the end of the request's head until the answer was whole, or broken off. */
  readonly ms: number;
  /** The answer was broken off. */
  readonly isCut: boolean;
}

/** Bytes of a line without what the request brings: times, numbers, names and what stands between them. */
const FRAME_BYTES = 320;
/** Of an escaped character: `\x22`, and in JSON `\u0022`. */
const ESCAPED_BYTES = 4;
const ESCAPED_IN_JSON = 6;

/** @returns as many bytes as a line of it may take at most */
export function mostBytes({ client, request }: AccessEntry): number {
  return FRAME_BYTES + ESCAPED_IN_JSON * (client.length + request.userAgentEnd);
}

/**
 * Puts a line, with its line feed, into memory: as Apache and nginx write it.
 * @param isCombined with referer and user agent @returns where it ends
 */
export function putLine(entry: AccessEntry, at: DayTime, isCombined: boolean, bytes: Uint8Array, from: number): number {
  const { client, request, status } = entry;
  let end = putText(bytes, from, client);
  end = putBytes(bytes, end, BEFORE_TIME);
  end = putBytes(bytes, end, logTime(at));
  end = putBytes(bytes, end, BEHIND_TIME);
  end = putField(bytes, end, request.bytes, 0, request.lineEnd);
  bytes[end++] = QUOTE;
  bytes[end++] = SPACE;
  end = putNumber(bytes, end, status);
  bytes[end++] = SPACE;
  end = putNumber(bytes, end, entry.bytes);
  if (isCombined) {
    bytes[end++] = SPACE;
    bytes[end++] = QUOTE;
    end = putField(bytes, end, request.bytes, request.hostEnd, request.refererEnd);
    end = putBytes(bytes, end, BETWEEN_FIELDS);
    end = putField(bytes, end, request.bytes, request.refererEnd, request.userAgentEnd);
    bytes[end++] = QUOTE;
  }
  bytes[end++] = LF;
  return end;
}

const LF = 0x0a;
const SPACE = 0x20;
const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const DASH = 0x2d;
const DOT = 0x2e;
const ZERO = 0x30;
const HEX = Buffer.from('0123456789ABCDEF');
const FIRST_VISIBLE = 0x20;
const LAST_VISIBLE = 0x7e;
const BEFORE_TIME = Buffer.from(' - - [');
const BEHIND_TIME = Buffer.from('] "');
const BETWEEN_FIELDS = Buffer.from('" "');

/** Quotes, backslashes and what is not visible ASCII could end a field, forge a line, or control a terminal. */
function isUnsafe(code: number): boolean {
  return code < FIRST_VISIBLE || code > LAST_VISIBLE || code === QUOTE || code === BACKSLASH;
}

/** @param text of our own: of visible ASCII */
function put(bytes: Uint8Array, at: number, text: string): number {
  for (let i = 0; i < text.length; i++) bytes[at + i] = text.charCodeAt(i);
  return at + text.length;
}

function putBytes(bytes: Uint8Array, at: number, given: Uint8Array): number {
  for (let i = 0; i < given.length; i++) bytes[at + i] = given[i] as number;
  return at + given.length;
}

function putText(bytes: Uint8Array, at: number, text: string): number {
  let end = at;
  if (text === '') bytes[end++] = DASH;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (isUnsafe(code)) end = putEscaped(bytes, end, code);
    else bytes[end++] = code;
  }
  return end;
}

/** @param from in it the field stands between `start` and `to` */
function putField(bytes: Uint8Array, at: number, from: Uint8Array, start: number, to: number): number {
  let end = at;
  if (start === to) bytes[end++] = DASH;
  for (let i = start; i < to; i++) {
    const code = from[i] as number;
    if (isUnsafe(code)) end = putEscaped(bytes, end, code);
    else bytes[end++] = code;
  }
  return end;
}

/** As nginx and Apache write it: `\x22`. */
function putEscaped(bytes: Uint8Array, at: number, code: number): number {
  bytes[at] = BACKSLASH;
  bytes[at + 1] = 0x78; // x
  bytes[at + 2] = HEX[(code >> 4) & 15] as number;
  bytes[at + 3] = HEX[code & 15] as number;
  return at + ESCAPED_BYTES;
}

/** @param value a whole number, not negative */
function putNumber(bytes: Uint8Array, at: number, value: number): number {
  let end = at + 1;
  for (let rest = value; rest >= 10; rest /= 10) end++;
  let rest = value;
  for (let place = end - 1; place >= at; place--) {
    const tens = Math.floor(rest / 10);
    bytes[place] = ZERO + (rest - tens * 10);
    rest = tens;
  }
  return end;
}

const JSON_TIME = Buffer.from('{"time":"');
const JSON_CLIENT = Buffer.from(',"client":');
const JSON_METHOD = Buffer.from(',"method":');
const JSON_URL = Buffer.from(',"url":');
const JSON_VERSION = Buffer.from(',"httpVersion":');
const JSON_STATUS = Buffer.from(',"status":');
const JSON_BYTES = Buffer.from(',"bytes":');
const JSON_MS = Buffer.from(',"ms":');
const JSON_CUT = Buffer.from(',"cut":true');
const JSON_HOST = Buffer.from(',"host":');
const JSON_REFERER = Buffer.from(',"referer":');
const JSON_USER_AGENT = Buffer.from(',"userAgent":');
const BEFORE_VERSION = Buffer.from(' HTTP/');
const Z = 0x5a;
const CLOSING_BRACE = 0x7d;

/** Puts a line of JSON, with its line feed, into memory: visible ASCII, and nothing for what is empty. @returns where it ends */
export function putJsonLine(entry: AccessEntry, at: DayTime, bytes: Buffer, from: number): number {
  const { client, request } = entry;
  let end = putBytes(bytes, from, JSON_TIME);
  end = putBytes(bytes, end, isoSecond(at));
  end = putMilliseconds(bytes, end, at % 1000);
  bytes[end++] = Z;
  bytes[end++] = QUOTE;
  if (client !== '') end = put(bytes, putBytes(bytes, end, JSON_CLIENT), inAscii(client));
  end = putRequestLine(bytes, end, request);
  end = putNumber(bytes, putBytes(bytes, end, JSON_STATUS), entry.status);
  end = putNumber(bytes, putBytes(bytes, end, JSON_BYTES), entry.bytes);
  end = putNumber(bytes, putBytes(bytes, end, JSON_MS), entry.ms);
  if (entry.isCut) end = putBytes(bytes, end, JSON_CUT);
  const { bytes: given, lineEnd, hostEnd, refererEnd, userAgentEnd } = request;
  if (hostEnd > lineEnd) end = putJson(bytes, putBytes(bytes, end, JSON_HOST), given, lineEnd, hostEnd);
  if (refererEnd > hostEnd) end = putJson(bytes, putBytes(bytes, end, JSON_REFERER), given, hostEnd, refererEnd);
  if (userAgentEnd > refererEnd) {
    end = putJson(bytes, putBytes(bytes, end, JSON_USER_AGENT), given, refererEnd, userAgentEnd);
  }
  bytes[end++] = CLOSING_BRACE;
  bytes[end++] = LF;
  return end;
}

/** @param value below 1000 */
function putMilliseconds(bytes: Uint8Array, at: number, value: number): number {
  bytes[at] = DOT;
  bytes[at + 1] = ZERO + Math.floor(value / 100);
  bytes[at + 2] = ZERO + (Math.floor(value / 10) % 10);
  bytes[at + 3] = ZERO + (value % 10);
  return at + 4;
}

/** Method, target and version; what is no request line is shown as its method. */
function putRequestLine(bytes: Buffer, at: number, { bytes: from, lineEnd }: RequestText): number {
  let urlAt = 0;
  while (urlAt < lineEnd && from[urlAt] !== SPACE) urlAt++;
  urlAt++;
  let versionAt = lineEnd - BEFORE_VERSION.length;
  while (versionAt >= urlAt && !isVersionAt(from, versionAt)) versionAt--;
  const isWhole = versionAt >= urlAt;
  const methodEnd = isWhole ? urlAt - 1 : lineEnd;
  let end = at;
  if (methodEnd > 0) end = putJson(bytes, putBytes(bytes, end, JSON_METHOD), from, 0, methodEnd);
  if (!isWhole) return end;
  if (versionAt > urlAt) end = putJson(bytes, putBytes(bytes, end, JSON_URL), from, urlAt, versionAt);
  const numberAt = versionAt + BEFORE_VERSION.length;
  return lineEnd > numberAt ? putJson(bytes, putBytes(bytes, end, JSON_VERSION), from, numberAt, lineEnd) : end;
}

function isVersionAt(bytes: Uint8Array, at: number): boolean {
  for (let i = 0; i < BEFORE_VERSION.length; i++) if (bytes[at + i] !== BEFORE_VERSION[i]) return false;
  return true;
}

/** @param from in it the value stands between `start` and `to` */
function putJson(bytes: Buffer, at: number, from: Buffer, start: number, to: number): number {
  let end = at;
  bytes[end++] = QUOTE;
  for (let i = start; i < to; i++) {
    const code = from[i] as number;
    if (isUnsafe(code)) return put(bytes, at, inAscii(readLatin1(from, start, to)));
    bytes[end++] = code;
  }
  bytes[end++] = QUOTE;
  return end;
}

/** As a string of JSON. Most clients that send more than ASCII mean UTF-8. */
function inAscii(text: string): string {
  if (!UNSAFE.test(text)) return `"${text}"`;
  const json = JSON.stringify(Buffer.from(text, 'latin1').toString());
  return json.replace(BEYOND_ASCII, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

const UNSAFE = /["\\]|[^\x20-\x7e]/;
const BEYOND_ASCII = /[^\x20-\x7e]/g;
