/** The bytes with which a client begins HTTP/2 (RFC 9113, 3.4). */

const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
const FIRST = 0x50;
const SECOND = 0x52;

/** True when the first two letters match a preface. */
export function mayBePreface(bytes: Buffer, at: number): boolean {
  return bytes[at] === FIRST && bytes[at + 1] === SECOND;
}

export function lookForPreface(bytes: Buffer, at: number, to: number): 'yes' | 'no' | 'more' {
  if (bytes[at] !== FIRST) return 'no';
  const length = Math.min(PREFACE.length, to - at);
  if (PREFACE.compare(bytes, at, at + length, 0, length) !== 0) return 'no';
  // Three letters may still become PROPFIND, or an unknown method.
  return length === PREFACE.length ? 'yes' : 'more';
}
