/** One line of the access log, in the formats there are. */
import { type DayTime, isoTime, logTime } from './day-time.js';

/** A request and its answer. Texts are as they came, a character per byte. */
export interface AccessEntry {
  /** Address of the client; '': a unix socket. */
  readonly client: string;
  /** `GET /path HTTP/1.1`; '' where none could be read. */
  readonly requestLine: string;
  readonly host: string;
  readonly referer: string;
  readonly userAgent: string;
  /** 0: none was sent. */
  readonly status: number;
  /** Of the answer, behind its head. */
  readonly bytes: number;
  /** From the end of the request's head until the answer was whole, or broken off. */
  readonly ms: number;
  /** The answer was broken off. */
  readonly isCut: boolean;
}

/** Bytes of a line without what the request brings: times, numbers and what stands between them. */
const FRAME_BYTES = 128;
/** Of an escaped character. */
const ESCAPED_BYTES = 4;

/** @returns as many bytes as `putLine` may take at most */
export function mostBytes({ client, requestLine, referer, userAgent }: AccessEntry): number {
  return FRAME_BYTES + ESCAPED_BYTES * (client.length + requestLine.length + referer.length + userAgent.length);
}

/**
 * Puts a line, with its line feed, into memory. Character by character: to make a text of the parts, look in it for what must
 * be escaped, and write it takes longer, and leaves garbage.
 * @param isCombined with referer and user agent @returns where it ends
 */
export function putLine(entry: AccessEntry, at: DayTime, isCombined: boolean, bytes: Uint8Array, from: number): number {
  let end = putField(bytes, from, entry.client);
  end = put(bytes, end, ' - - [');
  end = put(bytes, end, logTime(at));
  end = put(bytes, end, '] "');
  end = putField(bytes, end, entry.requestLine);
  end = put(bytes, end, '" ');
  end = putNumber(bytes, end, entry.status);
  bytes[end++] = SPACE;
  end = putNumber(bytes, end, entry.bytes);
  if (isCombined) {
    end = put(bytes, end, ' "');
    end = putField(bytes, end, entry.referer);
    end = put(bytes, end, '" "');
    end = putField(bytes, end, entry.userAgent);
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
const ZERO = 0x30;
const HEX = Buffer.from('0123456789ABCDEF');
const FIRST_VISIBLE = 0x20;
const LAST_VISIBLE = 0x7e;

function put(bytes: Uint8Array, at: number, text: string): number {
  for (let i = 0; i < text.length; i++) bytes[at + i] = text.charCodeAt(i);
  return at + text.length;
}

/** Quotes, backslashes and what is not visible ASCII could end a field, forge a line, or control a terminal. */
function putField(bytes: Uint8Array, at: number, text: string): number {
  let end = at;
  if (text === '') bytes[end++] = DASH;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code < FIRST_VISIBLE || code > LAST_VISIBLE || code === QUOTE || code === BACKSLASH) {
      end = putEscaped(bytes, end, code);
    } else bytes[end++] = code;
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

/** @returns a line, with its line feed, of visible ASCII */
export function jsonLine(entry: AccessEntry, at: DayTime): string {
  const { client, requestLine, status, bytes, ms, isCut } = entry;
  const urlAt = requestLine.indexOf(' ') + 1;
  const versionAt = requestLine.lastIndexOf(' HTTP/');
  const isWhole = urlAt > 0 && versionAt >= urlAt;
  const request = isWhole
    ? `${member('method', requestLine.slice(0, urlAt - 1))}${member('url', requestLine.slice(urlAt, versionAt))}` +
      member('httpVersion', requestLine.slice(versionAt + ' HTTP/'.length))
    : member('method', requestLine);
  const numbers = `,"status":${status},"bytes":${bytes},"ms":${ms}${isCut ? ',"cut":true' : ''}`;
  const fields = member('host', entry.host) + member('referer', entry.referer) + member('userAgent', entry.userAgent);
  return `{"time":"${isoTime(at)}"${member('client', client)}${request}${numbers}${fields}}\n`;
}

/** Nothing for an empty text. */
function member(name: string, text: string): string {
  if (text === '') return '';
  return UNSAFE.test(text) ? `,"${name}":${inAscii(text)}` : `,"${name}":"${text}"`;
}

/** Most clients that send more than ASCII mean UTF-8. */
function inAscii(text: string): string {
  const json = JSON.stringify(Buffer.from(text, 'latin1').toString());
  return json.replace(BEYOND_ASCII, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

const UNSAFE = /["\\]|[^\x20-\x7e]/;
const BEYOND_ASCII = /[^\x20-\x7e]/g;
