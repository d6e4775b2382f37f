/**
 * The head of an HTTP/1 request: request line and field lines (RFC 9112), parsed strictly. A head that two parsers could
 * read differently is refused, so that no request can be smuggled past a proxy or the app.
 *
 * Bytes are checked in order and the first fault wins, limits included: the verdict depends on the bytes alone, never on
 * how the network cut them.
 *
 * This runs for each request in the reactor: one pass, tables instead of patterns, no objects.
 */
import { isAuthority } from './authority.js';
import {
  COLON,
  COMMA,
  CR,
  endOfToken,
  endOfValue,
  hasTab,
  isBlank,
  isDigit,
  isWordAt,
  LF,
  SP,
  skipBlanks,
  TARGET,
  TOKEN,
} from './chars.js';
import { LONGEST_METHOD, methodAt, OPTIONS } from './methods.js';

export interface HeadLimits {
  /** Longest request line, without its CRLF. */
  readonly lineBytes: number;
  /** Most bytes of all field lines, with the CRLF of each. */
  readonly headerBytes: number;
  readonly headerCount: number;
  /** The app judges expectations other than 100-continue: `expectsOther` instead of 417. */
  readonly passesExpectations?: boolean;
}

/** The head has not ended; it is valid so far. */
export const MORE = 0;

const word = (text: string): Buffer => Buffer.from(text, 'latin1');
const HOST = word('host');
const EXPECT = word('expect');
const UPGRADE = word('upgrade');
const CONNECTION = word('connection');
const CONTENT_LENGTH = word('content-length');
const REFERER = word('referer');
const USER_AGENT = word('user-agent');
const TRANSFER_ENCODING = word('transfer-encoding');
/**
 * The fields that the reactor interprets; no two have the same length. `referer` is as long as `upgrade`, and `user-agent`
 * as `connection`.
 */
const KNOWN: (Buffer | undefined)[] = Array.from({ length: TRANSFER_ENCODING.length + 1 });
for (const name of [HOST, EXPECT, UPGRADE, CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING]) KNOWN[name.length] = name;

/** `If-Match` and the other four begin alike. */
const IF = word('if-');
const RANGE = word('range');

const CHUNKED = word('chunked');
const CLOSE = word('close');
const KEEP_ALIVE = word('keep-alive');
const CONTINUE = word('100-continue');
const HTTP_SCHEME = word('http://');
const HTTPS_SCHEME = word('https://');
/** 0 stands for any digit. */
const VERSION = word('HTTP/0.0');
const VERSION_BYTES = 8;
const ZERO = 0x30;
const SLASH = 0x2f;
const ASTERISK = 0x2a;
const QUESTION_MARK = 0x3f;

/** The result of `parse`, an object reused for each request. */
export class RequestHead {
  /** Index in `methods`. */
  method = 0;
  /** Offsets from `from`. */
  targetStart = 0;
  targetEnd = 0;
  /** Offset from `from` of the request line. */
  lineStart = 0;
  /** Offset from `from` of the first field line. */
  linesStart = 0;
  /** Offsets from `from` of what an access log shows; both 0: there is none. */
  hostStart = 0;
  hostEnd = 0;
  refererStart = 0;
  refererEnd = 0;
  userAgentStart = 0;
  userAgentEnd = 0;
  /** HTTP/1.minor. */
  minor: 0 | 1 = 1;
  /** −1: none. */
  contentLength = -1;
  isChunked = false;
  /** What the client's version and Connection fields ask for. */
  keepAlive = true;
  expectsContinue = false;
  expectsOther = false;
  /** The client's version is above HTTP/1.1; the request counts as HTTP/1.1 (RFC 9110 2.5). */
  isNewer = false;
  /** There is an Upgrade field, and `upgrade` among the Connection options. */
  isUpgrade = false;
  /** There is a field by which the answer to a file depends on what the client has or wants: `If-…` or `Range`. */
  isConditional = false;
  /** Why the head was refused: a sentence that quotes no bytes of the client. */
  why = '';

  readonly #limits: HeadLimits;
  /** An unsupported version of HTTP. */
  #isForeign = false;
  #hasHost = false;
  #hasUpgrade = false;
  /** Connection options. */
  #asksClose = false;
  #asksKeepAlive = false;
  #asksUpgrade = false;
  /** How many transfer codings have been named. */
  #codings = 0;
  /** Where the head begins in the bytes. */
  #from = 0;

  constructor(limits: HeadLimits) {
    this.#limits = limits;
  }

  /**
   * Parses the head that begins at `from`; bytes from `to` on have not arrived yet.
   * @returns the head's length with the empty line that ends it, and with one empty line before the request line if there
   * is one (RFC 9112 2.2); MORE; a negative number: minus the status to refuse it with, for the reason in `why`
   */
  parse(bytes: Buffer, from: number, to: number): number {
    this.#reset();
    this.#from = from;
    let at = this.#emptyLineBefore(bytes, from, to);
    if (at < 0 || at === to) return at < 0 ? at : MORE;
    this.lineStart = at - from;
    at = this.#requestLine(bytes, at, to);
    if (at <= 0) return at;
    this.linesStart = at - from;
    this.targetStart -= from;
    this.targetEnd -= from;
    at = this.#fieldLines(bytes, at, to);
    if (at <= 0) return at;
    const verdict = this.#conclude();
    return verdict < 0 ? verdict : at - from;
  }

  #reset(): void {
    this.contentLength = -1;
    this.isChunked = false;
    this.expectsContinue = false;
    this.expectsOther = false;
    this.isUpgrade = false;
    this.isConditional = false;
    this.why = '';
    this.hostStart = this.hostEnd = 0;
    this.refererStart = this.refererEnd = 0;
    this.userAgentStart = this.userAgentEnd = 0;
    this.#hasHost = false;
    this.#hasUpgrade = false;
    this.#asksClose = false;
    this.#asksKeepAlive = false;
    this.#asksUpgrade = false;
    this.#codings = 0;
  }

  #refuse(status: number, why: string): number {
    this.why = why;
    return -status;
  }

  /** @returns where the request line begins; `to` when that is not known yet */
  #emptyLineBefore(bytes: Buffer, from: number, to: number): number {
    if (from === to || bytes[from] !== CR) return from;
    if (from + 1 === to) return to;
    return bytes[from + 1] === LF ? from + 2 : this.#refuse(400, 'A CR without LF.');
  }

  // Each of the following returns the position after the bytes it read, MORE, or minus a status.

  #requestLine(bytes: Buffer, from: number, to: number): number {
    const limit = from + this.#limits.lineBytes;
    const end = limit < to ? limit : to;
    let at = this.#method(bytes, from, end);
    if (at > 0) at = this.#target(bytes, at, end);
    if (at > 0) at = this.#version(bytes, at, end);
    if (at === MORE) return end < to ? this.#refuse(414, 'The request line is too long.') : MORE;
    return at < 0 ? at : this.#lineEnd(bytes, at, to);
  }

  #method(bytes: Buffer, from: number, end: number): number {
    // GET
    if (end - from > 3 && bytes[from] === 0x47 && bytes[from + 1] === 0x45 && bytes[from + 2] === 0x54) {
      if (bytes[from + 3] === SP) {
        this.method = 0;
        return from + 4;
      }
    }
    let at = from;
    while (at < end && TOKEN[bytes[at]!] === 1) {
      if (++at - from > LONGEST_METHOD) return this.#refuse(501, 'The method is not known.');
    }
    if (at === end) return MORE;
    if (bytes[at] !== SP || at === from) return this.#refuse(400, 'The request line does not begin with a method.');
    this.method = methodAt(bytes, from, at);
    return this.method < 0 ? this.#refuse(501, 'The method is not known.') : at + 1;
  }

  #target(bytes: Buffer, from: number, end: number): number {
    let at = from;
    while (at < end && TARGET[bytes[at]!] === 1) at++;
    if (at > from && bytes[from] !== SLASH && !this.#mayBegin(bytes[from]!)) {
      return this.#refuse(400, 'The request target has none of the forms there are.');
    }
    if (at === end) return MORE;
    if (bytes[at] !== SP || at === from) return this.#refuse(400, 'The request target holds what it may not.');
    if (bytes[from] !== SLASH && !this.#isOtherForm(bytes, from, at)) {
      return this.#refuse(400, 'The request target has none of the forms there are.');
    }
    this.targetStart = from;
    this.targetEnd = at;
    return at + 1;
  }

  #mayBegin(byte: number): boolean {
    return byte === ASTERISK ? this.method === OPTIONS : (byte | 0x20) === HTTP_SCHEME[0];
  }

  /** Asterisk form (the caller has checked for OPTIONS) or absolute form. */
  #isOtherForm(bytes: Buffer, from: number, to: number): boolean {
    if (bytes[from] === ASTERISK) return to - from === 1;
    let at = from;
    if (isWordAt(bytes, from, Math.min(to, from + HTTP_SCHEME.length), HTTP_SCHEME)) at += HTTP_SCHEME.length;
    else if (isWordAt(bytes, from, Math.min(to, from + HTTPS_SCHEME.length), HTTPS_SCHEME)) at += HTTPS_SCHEME.length;
    else return false;
    let end = at;
    while (end < to && bytes[end] !== SLASH && bytes[end] !== QUESTION_MARK) end++;
    return isAuthority(bytes, at, end);
  }

  #version(bytes: Buffer, from: number, end: number): number {
    for (let i = 0; i < VERSION_BYTES; i++) {
      if (from + i === end) return MORE;
      const byte = bytes[from + i]!;
      const form = VERSION[i]!;
      if (form === ZERO ? !isDigit(byte) : byte !== form) {
        return this.#refuse(400, 'The request line does not end with a version of HTTP.');
      }
    }
    const minor = bytes[from + 7]! - ZERO;
    this.minor = minor === 0 ? 0 : 1;
    this.isNewer = minor > 1;
    this.#isForeign = bytes[from + 5] !== ZERO + 1;
    return from + VERSION_BYTES;
  }

  #lineEnd(bytes: Buffer, from: number, to: number): number {
    if (from === to) return MORE;
    if (bytes[from] !== CR) return this.#refuse(400, 'The request line does not end behind its version.');
    if (from + 1 === to) return MORE;
    if (bytes[from + 1] !== LF) return this.#refuse(400, 'A CR without LF.');
    return this.#isForeign ? this.#refuse(505, 'HTTP/1 is spoken here.') : from + 2;
  }

  #fieldLines(bytes: Buffer, from: number, to: number): number {
    const limit = from + this.#limits.headerBytes;
    const end = limit < to ? limit : to;
    let at = from;
    let count = 0;
    while (at < to && bytes[at] !== CR) {
      if (count++ === this.#limits.headerCount) return this.#refuse(431, 'There are too many fields.');
      const next = this.#fieldLine(bytes, at, end);
      if (next === MORE) return end < to ? this.#refuse(431, 'The fields are too long.') : MORE;
      if (next < 0) return next;
      at = next;
    }
    if (to - at < 2) return MORE;
    return bytes[at + 1] === LF ? at + 2 : this.#refuse(400, 'A CR without LF.');
  }

  #fieldLine(bytes: Buffer, from: number, end: number): number {
    let at = from;
    while (at < end && TOKEN[bytes[at]!] === 1) at++;
    if (at === end) return MORE;
    if (bytes[at] !== COLON || at === from)
      return this.#refuse(400, 'A field line does not begin with a name and a colon.');
    const nameEnd = at;
    at = endOfValue(bytes, nameEnd + 1, end);
    if (at === end) return MORE;
    if (bytes[at] !== CR) return this.#refuse(400, 'A field value holds what it may not.');
    if (at + 1 === end) return MORE;
    if (bytes[at + 1] !== LF) return this.#refuse(400, 'A CR without LF.');
    const verdict = this.#field(bytes, from, nameEnd, at);
    return verdict < 0 ? verdict : at + 2;
  }

  /** Most fields are not among the six: length and first letter rule them out. @returns minus a status, or 0 */
  #field(bytes: Buffer, from: number, nameEnd: number, lineEnd: number): number {
    const first = bytes[from]! | 0x20;
    if (first === IF[0] || first === RANGE[0]) this.#condition(bytes, from, nameEnd);
    const known = KNOWN[nameEnd - from];
    if (known === undefined) return 0;
    let start = nameEnd + 1;
    let end = lineEnd;
    while (start < end && isBlank(bytes[start]!)) start++;
    while (end > start && isBlank(bytes[end - 1]!)) end--;
    if (first !== known[0] || !isWordAt(bytes, from, nameEnd, known)) {
      this.#shown(bytes, from, nameEnd, start, end);
      return 0;
    }
    if (known === HOST) return this.#host(bytes, start, end);
    if (known === CONNECTION) return this.#connection(bytes, start, end);
    if (known === EXPECT) return this.#expect(bytes, start, end);
    if (known === UPGRADE) {
      this.#hasUpgrade = true;
      return 0;
    }
    // Every parser must agree where a body ends, and some do not accept a tab here. No honest client sends one.
    if (hasTab(bytes, nameEnd, lineEnd)) return this.#refuse(400, 'There is a tab in the field that frames the body.');
    return known === CONTENT_LENGTH
      ? this.#contentLength(bytes, start, end)
      : this.#transferEncoding(bytes, start, end);
  }

  #condition(bytes: Buffer, from: number, nameEnd: number): void {
    const isIf = nameEnd - from > IF.length && isWordAt(bytes, from, from + IF.length, IF);
    if (isIf || isWordAt(bytes, from, nameEnd, RANGE)) this.isConditional = true;
  }

  /** As long as a field that is interpreted, and shown in an access log. */
  #shown(bytes: Buffer, from: number, nameEnd: number, start: number, end: number): void {
    if (isWordAt(bytes, from, nameEnd, USER_AGENT)) {
      this.userAgentStart = start - this.#from;
      this.userAgentEnd = end - this.#from;
    } else if (isWordAt(bytes, from, nameEnd, REFERER)) {
      this.refererStart = start - this.#from;
      this.refererEnd = end - this.#from;
    }
  }

  #host(bytes: Buffer, from: number, to: number): number {
    if (this.#hasHost) return this.#refuse(400, 'There are two Host fields.');
    this.#hasHost = true;
    this.hostStart = from - this.#from;
    this.hostEnd = to - this.#from;
    return isAuthority(bytes, from, to) ? 0 : this.#refuse(400, 'The Host field does not name a host.');
  }

  #contentLength(bytes: Buffer, from: number, to: number): number {
    if (this.contentLength >= 0) return this.#refuse(400, 'There are two Content-Length fields.');
    if (this.#codings > 0) return this.#refuse(400, 'There are Transfer-Encoding and Content-Length.');
    if (from === to) return this.#refuse(400, 'The Content-Length is not a number.');
    let length = 0;
    for (let at = from; at < to; at++) {
      const byte = bytes[at]!;
      if (!isDigit(byte)) return this.#refuse(400, 'The Content-Length is not a number.');
      // In this order: the sum before the last digit is still exact.
      length = length * 10 + (byte - ZERO);
    }
    if (length > Number.MAX_SAFE_INTEGER) return this.#refuse(413, 'The Content-Length is beyond all measure.');
    this.contentLength = length;
    return 0;
  }

  /** Several fields are one list (RFC 9110 5.3). */
  #transferEncoding(bytes: Buffer, from: number, to: number): number {
    if (this.minor === 0) return this.#refuse(400, 'HTTP/1.0 has no Transfer-Encoding.');
    if (this.contentLength >= 0) return this.#refuse(400, 'There are Transfer-Encoding and Content-Length.');
    for (let at = from; at <= to; at++) {
      const start = skipBlanks(bytes, at, to);
      at = endOfToken(bytes, start, to);
      if (at === start) return this.#refuse(400, 'The Transfer-Encoding does not name a coding.');
      if (this.isChunked) return this.#refuse(400, 'The last coding, and only the last, must be chunked.');
      this.#codings++;
      this.isChunked = isWordAt(bytes, start, at, CHUNKED);
      at = skipBlanks(bytes, at, to);
      if (at < to && bytes[at] !== COMMA) return this.#refuse(400, 'The Transfer-Encoding is not a list of codings.');
    }
    return 0;
  }

  /** Empty elements of the list are ignored (RFC 9110 5.6.1). */
  #connection(bytes: Buffer, from: number, to: number): number {
    for (let at = from; at < to; at++) {
      const start = skipBlanks(bytes, at, to);
      at = endOfToken(bytes, start, to);
      if (isWordAt(bytes, start, at, CLOSE)) this.#asksClose = true;
      else if (isWordAt(bytes, start, at, KEEP_ALIVE)) this.#asksKeepAlive = true;
      else if (isWordAt(bytes, start, at, UPGRADE)) this.#asksUpgrade = true;
      at = skipBlanks(bytes, at, to);
      if (at < to && bytes[at] !== COMMA) return this.#refuse(400, 'The Connection field is not a list of options.');
    }
    return 0;
  }

  #expect(bytes: Buffer, from: number, to: number): number {
    if (this.minor === 0) return 0;
    if (!this.expectsContinue && isWordAt(bytes, from, to, CONTINUE)) {
      this.expectsContinue = true;
      return 0;
    }
    if (this.#limits.passesExpectations !== true) {
      return this.#refuse(417, 'The Expect field asks for more than 100-continue.');
    }
    this.expectsOther = true;
    return 0;
  }

  /** Checks that need the whole head. @returns minus a status, or 0 */
  #conclude(): number {
    if (this.minor === 1 && !this.#hasHost) return this.#refuse(400, 'There is no Host field.');
    if (this.#codings > 0 && !this.isChunked)
      return this.#refuse(400, 'The last coding, and only the last, must be chunked.');
    if (this.#codings > 1) return this.#refuse(501, 'Of the transfer codings, chunked alone is known.');
    this.keepAlive = !this.#asksClose && (this.minor === 1 || this.#asksKeepAlive);
    this.isUpgrade = this.minor === 1 && this.#hasUpgrade && this.#asksUpgrade;
    return 0;
  }
}
