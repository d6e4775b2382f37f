/**
 * The chunked body of a request (RFC 9112 7.1), parsed strictly. The input may be cut anywhere, and another process may
 * continue in the middle.
 */
import { COLON, CR, endOfToken, endOfValue, hexValue, isBlank, LF, TOKEN, VALUE } from './chars.js';

export interface ChunkedLimits {
  readonly bodyBytes: number;
  /** Of all chunk extensions together, with their semicolons. */
  readonly extensionBytes: number;
  /** Of all trailer fields together, with the CRLF of each. */
  readonly trailerBytes: number;
  readonly trailerCount: number;
}

/** The part of the framing that comes next; `lf` of `x-lf` ends x. */
type Phase =
  | ('size' | 'extension' | 'extension-name' | 'quoted' | 'quoted-pair')
  | ('size-lf' | 'data' | 'data-cr' | 'data-lf')
  | ('line' | 'name' | 'value' | 'line-lf' | 'end-lf' | 'done');

/** The state another process needs to continue. */
export interface ChunkedState {
  readonly phase: Phase;
  readonly digits: number;
  readonly left: number;
  readonly bodyBytes: number;
  readonly extensionBytes: number;
  readonly trailers: string;
  readonly trailerCount: number;
  readonly lineStart: number;
}

const MOST_DIGITS = 13;
const SEMICOLON = 0x3b;
const QUOTE = 0x22;
const BACKSLASH = 0x5c;

/** Fields that frame, route or control a message must come before its body (RFC 9110 6.5.1). */
const notInTrailers: ReadonlySet<string> = new Set([
  ...['content-length', 'transfer-encoding', 'host', 'connection', 'trailer', 'expect', 'upgrade'],
]);

/** Decodes one body. */
export class ChunkedDecoder {
  /** Field lines of the trailer section as sent ("A: b\r\nC: d\r\n"); '' if there are none. */
  trailers = '';
  /** So far. */
  bodyBytes = 0;
  /** Why the body was refused: a sentence that quotes no bytes of the client. */
  why = '';

  readonly #limits: ChunkedLimits;
  #phase: Phase = 'size';
  /** Of the chunk's size, so far. */
  #digits = 0;
  /** Bytes of the chunk still to come; while its size is being read, the size so far. */
  #left = 0;
  #extensionBytes = 0;
  #trailerCount = 0;
  /** Where in `trailers` the current line begins. */
  #lineStart = 0;
  /** The verdict, once there is one: minus a status. */
  #refusal = 0;

  constructor(limits: ChunkedLimits) {
    this.#limits = limits;
  }

  /** Continues where another decoder stopped. */
  static restored(limits: ChunkedLimits, state: ChunkedState): ChunkedDecoder {
    const decoder = new ChunkedDecoder(limits);
    decoder.trailers = state.trailers;
    decoder.bodyBytes = state.bodyBytes;
    decoder.#phase = state.phase;
    decoder.#digits = state.digits;
    decoder.#left = state.left;
    decoder.#extensionBytes = state.extensionBytes;
    decoder.#trailerCount = state.trailerCount;
    decoder.#lineStart = state.lineStart;
    return decoder;
  }

  /** Of a body that was not refused. */
  get state(): ChunkedState {
    return {
      phase: this.#phase,
      digits: this.#digits,
      left: this.#left,
      bodyBytes: this.bodyBytes,
      extensionBytes: this.#extensionBytes,
      trailers: this.trailers,
      trailerCount: this.#trailerCount,
      lineStart: this.#lineStart,
    };
  }

  get isDone(): boolean {
    return this.#phase === 'done';
  }

  /**
   * @param piece called for each run of body bytes, [start, end) in `bytes`
   * @returns how many bytes were taken: all of them, or fewer when the body has ended and the next request follows; a
   * negative number: minus the status to refuse it with, for the reason in `why`
   */
  decode(bytes: Buffer, from: number, to: number, piece: (start: number, end: number) => void): number {
    let at = from;
    while (at < to && this.#phase !== 'done' && this.#refusal === 0) {
      if (this.#phase === 'data') at = this.#data(at, to, piece);
      else if (this.#isInTrailers()) at += this.#trailer(bytes, at, to);
      else this.#framing(bytes[at++]!);
    }
    return this.#refusal < 0 ? this.#refusal : at - from;
  }

  #isInExtension(): boolean {
    const phase = this.#phase;
    return phase === 'extension' || phase === 'extension-name' || phase === 'quoted' || phase === 'quoted-pair';
  }

  #isInTrailers(): boolean {
    return this.#phase === 'line' || this.#phase === 'name' || this.#phase === 'value' || this.#phase === 'line-lf';
  }

  /** The first fault wins. */
  #refuse(status: number, why: string): void {
    if (this.#refusal < 0) return;
    this.why = why;
    this.#refusal = -status;
  }

  #data(from: number, to: number, piece: (start: number, end: number) => void): number {
    const end = Math.min(to, from + this.#left);
    this.#left -= end - from;
    this.bodyBytes += end - from;
    if (this.#left === 0) this.#phase = 'data-cr';
    piece(from, end);
    return end;
  }

  #framing(byte: number): void {
    if (this.#phase === 'size') this.#size(byte);
    else if (this.#isInExtension()) this.#extension(byte);
    else if (this.#phase === 'data-cr') {
      if (byte === CR) this.#phase = 'data-lf';
      else this.#refuse(400, 'A chunk is longer than its size.');
    } else if (byte !== LF) this.#refuse(400, 'A CR without LF.');
    else if (this.#phase === 'size-lf') this.#begin();
    else this.#phase = this.#phase === 'data-lf' ? 'size' : 'done';
  }

  #size(byte: number): void {
    const value = hexValue(byte);
    if (value >= 0) {
      if (this.#digits++ === MOST_DIGITS) this.#refuse(400, 'The size of a chunk has too many digits.');
      this.#left = this.#left * 16 + value;
    } else if (this.#digits === 0) this.#refuse(400, 'A chunk does not begin with its size.');
    else if (byte === SEMICOLON) {
      this.#phase = 'extension';
      this.#extension(byte); // from there to its name
    } else if (byte === CR) this.#phase = 'size-lf';
    else this.#refuse(400, 'The size of a chunk holds what it may not.');
  }

  /** Extensions are ignored; each must have a name (RFC 9112 7.1.1), and a semicolon in quotes does not begin one. */
  #extension(byte: number): void {
    if (byte === CR && this.#phase === 'extension') this.#phase = 'size-lf';
    else if (byte === CR) this.#refuse(400, 'A chunk extension does not end.');
    else if (VALUE[byte] === 0) this.#refuse(400, 'A chunk extension holds what it may not.');
    else if (++this.#extensionBytes > this.#limits.extensionBytes) this.#refuse(400, 'Chunk extensions are too long.');
    else if (this.#phase === 'extension-name') this.#extensionName(byte);
    else if (this.#phase === 'quoted-pair') this.#phase = 'quoted';
    else if (this.#phase === 'quoted') this.#quoted(byte);
    else if (byte === SEMICOLON) this.#phase = 'extension-name';
    else if (byte === QUOTE) this.#phase = 'quoted';
  }

  #extensionName(byte: number): void {
    if (TOKEN[byte] === 1) this.#phase = 'extension';
    else if (!isBlank(byte)) this.#refuse(400, 'A chunk extension has no name.');
  }

  #quoted(byte: number): void {
    if (byte === QUOTE) this.#phase = 'extension';
    else if (byte === BACKSLASH) this.#phase = 'quoted-pair';
  }

  /** The line of the size has ended. */
  #begin(): void {
    this.#digits = 0;
    if (this.bodyBytes + this.#left > this.#limits.bodyBytes)
      this.#refuse(413, `The body has more than ${this.#limits.bodyBytes} bytes, which is the bodyLimit.`);
    else this.#phase = this.#left === 0 ? 'line' : 'data';
  }

  /** A line after the last chunk begins; the empty line ends the body. @returns how many bytes were taken */
  #line(byte: number): number {
    if (byte === CR) {
      this.#phase = 'end-lf';
      return 1;
    }
    if (this.#trailerCount++ === this.#limits.trailerCount) this.#refuse(431, 'There are too many trailer fields.');
    this.#lineStart = this.trailers.length;
    this.#phase = 'name';
    return 0;
  }

  /** @returns how many bytes were taken */
  #trailer(bytes: Buffer, from: number, to: number): number {
    if (this.#phase === 'line') return this.#line(bytes[from]!);
    const end = Math.min(to, from + this.#limits.trailerBytes - this.trailers.length);
    if (from === end) this.#refuse(431, 'The trailer fields are too long.');
    const next = this.#phase === 'name' ? this.#name(bytes, from, end) : this.#value(bytes, from, end);
    this.trailers += bytes.toString('latin1', from, next);
    return next - from;
  }

  /** With the colon. @returns where to continue */
  #name(bytes: Buffer, from: number, end: number): number {
    const at = endOfToken(bytes, from, end);
    if (at === end) return at;
    const isEmpty = at === from && this.trailers.length === this.#lineStart;
    if (bytes[at] !== COLON || isEmpty) this.#refuse(400, 'A trailer line does not begin with a name and a colon.');
    this.#phase = 'value';
    return at + 1;
  }

  /** With the CRLF. @returns where to continue */
  #value(bytes: Buffer, from: number, end: number): number {
    let at = from;
    if (this.#phase === 'value') {
      at = endOfValue(bytes, from, end);
      if (at === end) return at;
      if (bytes[at++] !== CR) this.#refuse(400, 'A trailer field value holds what it may not.');
      this.#phase = 'line-lf';
    }
    if (at === end) return at;
    if (bytes[at] !== LF) this.#refuse(400, 'A CR without LF.');
    this.#checkName();
    this.#phase = 'line';
    return at + 1;
  }

  #checkName(): void {
    const name = this.trailers.slice(this.#lineStart, this.trailers.indexOf(':', this.#lineStart)).toLowerCase();
    if (notInTrailers.has(name)) this.#refuse(400, 'A field is among the trailers that may not be there.');
  }
}
