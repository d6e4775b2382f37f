/** Which bytes are allowed where (RFC 9110 5.6.2 and 5.5, RFC 3986): tables of 256, 1 for allowed bytes. */

function table(isIn: (byte: number) => boolean): Uint8Array {
  return Uint8Array.from({ length: 256 }, (_, byte) => (isIn(byte) ? 1 : 0));
}

const among = (text: string, byte: number): boolean => text.includes(String.fromCharCode(byte));
const isLetter = (byte: number): boolean => (byte | 0x20) >= 0x61 && (byte | 0x20) <= 0x7a;
export const isDigit = (byte: number): boolean => byte >= 0x30 && byte <= 0x39;

export const HTAB = 0x09;
export const LF = 0x0a;
export const CR = 0x0d;
export const SP = 0x20;
export const COMMA = 0x2c;
export const COLON = 0x3a;

/** token: method, field name, connection option. */
export const TOKEN = table((byte) => isLetter(byte) || isDigit(byte) || among("!#$%&'*+-.^_`|~", byte));
/** Field value, with the whitespace around it; chunk extension. */
export const VALUE = table((byte) => byte === HTAB || (byte >= 0x20 && byte !== 0x7f));
/** Request target: visible ASCII, without a fragment. */
export const TARGET = table((byte) => byte > 0x20 && byte < 0x7f && byte !== 0x23);
/** reg-name, without `%`, which two hex digits must follow. */
export const REG_NAME = table((byte) => isLetter(byte) || isDigit(byte) || among("-._~!$&'()*+,;=", byte));

/** Whitespace within a line (OWS, RFC 9110 5.6.3). */
export const isBlank = (byte: number): boolean => byte === SP || byte === HTAB;

export function skipBlanks(bytes: Buffer, from: number, to: number): number {
  let at = from;
  while (at < to && isBlank(bytes[at]!)) at++;
  return at;
}

export function hasTab(bytes: Buffer, from: number, to: number): boolean {
  for (let at = from; at < to; at++) if (bytes[at] === HTAB) return true;
  return false;
}

export function endOfToken(bytes: Buffer, from: number, to: number): number {
  let at = from;
  while (at < to && TOKEN[bytes[at]!] === 1) at++;
  return at;
}

/**
 * @returns where the value that begins at `from` ends: at the first byte not allowed in a value.
 * The longest loop over a head, so it checks eight bytes at a time: 0.8 ns a byte instead of 1.4 (Node 20).
 */
export function endOfValue(bytes: Buffer, from: number, to: number): number {
  let at = from;
  while (at + 7 < to) {
    const first = VALUE[bytes[at]!]! & VALUE[bytes[at + 1]!]! & VALUE[bytes[at + 2]!]! & VALUE[bytes[at + 3]!]!;
    const then = VALUE[bytes[at + 4]!]! & VALUE[bytes[at + 5]!]! & VALUE[bytes[at + 6]!]! & VALUE[bytes[at + 7]!]!;
    if ((first & then) === 0) break;
    at += 8;
  }
  while (at < to && VALUE[bytes[at]!] === 1) at++;
  return at;
}

/** @returns the value of a hex digit; −1: not a hex digit */
export function hexValue(byte: number): number {
  if (isDigit(byte)) return byte - 0x30;
  const letter = byte | 0x20;
  return letter >= 0x61 && letter <= 0x66 ? letter - 0x57 : -1;
}

/** @param word lower case letters, digits and `-`; the bytes are known to contain no controls */
export function isWordAt(bytes: Buffer, from: number, to: number, word: Buffer): boolean {
  if (to - from !== word.length) return false;
  for (let i = 0; i < word.length; i++) if ((bytes[from + i]! | 0x20) !== word[i]) return false;
  return true;
}
