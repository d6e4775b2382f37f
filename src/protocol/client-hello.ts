/**
 * The name a TLS client asks for, read from the first bytes that it sends: the certificates are chosen before OpenSSL
 * sees any of them. Pure; what is not understood is OpenSSL's to judge.
 *
 *     record    type 22 · version 2 · length 2 · fragment …            the message may span records (RFC 8446, 5.1)
 *     message   type 1 · length 3 · version 2 · random 32 · session id 1+ · cipher suites 2+ · compression 1+ · extensions 2+
 *     extension type 2 · length 2 · data; server_name is 0: list 2 · type 0 · length 2 · name (RFC 6066, 3)
 */

/** `'more'`: too few bytes to tell; `'odd'`: not a ClientHello, or not one that can be read. */
export type ClientHelloOutcome = 'more' | 'odd' | { readonly serverName: string };

/** A longer one is odd: those of browsers have about 2 KiB. */
export const LONGEST_HELLO_BYTES = 16_384;

const HANDSHAKE_RECORD = 22;
const CLIENT_HELLO = 1;
const RECORD_HEADER_BYTES = 5;
const MESSAGE_HEADER_BYTES = 4;
const LONGEST_RECORD_BYTES = 16_384;
/** Each costs a copy of what came before it. */
const MOST_RECORDS = 8;
const VERSION_AND_RANDOM_BYTES = 34;
const SERVER_NAME_EXTENSION = 0;
const HOST_NAME = 0;
const NAME = /^[a-z0-9._-]{1,255}$/i;

/** @param bytes all that has come so far */
export function readClientHello(bytes: Buffer): ClientHelloOutcome {
  const first = fragmentAt(bytes, 0);
  if (typeof first === 'string') return first;
  const message = joinFragments(bytes, first);
  return typeof message === 'string' ? message : { serverName: serverNameIn(new Cursor(message)) };
}

/** What there is of the record at `at`, however much of it has come. */
function fragmentAt(bytes: Buffer, at: number): Buffer | 'more' | 'odd' {
  if (bytes.length > at && bytes[at] !== HANDSHAKE_RECORD) return 'odd';
  if (bytes.length > at + 1 && bytes[at + 1] !== 3) return 'odd';
  if (bytes.length < at + RECORD_HEADER_BYTES) return 'more';
  const length = bytes.readUInt16BE(at + 3);
  if (length === 0 || length > LONGEST_RECORD_BYTES) return 'odd';
  return bytes.subarray(at + RECORD_HEADER_BYTES, at + RECORD_HEADER_BYTES + length);
}

/** The whole message without its header. */
function joinFragments(bytes: Buffer, first: Buffer): Buffer | 'more' | 'odd' {
  let message = first;
  let at = RECORD_HEADER_BYTES + bytes.readUInt16BE(3);
  for (let records = 1; records <= MOST_RECORDS; records++) {
    const missing = missingIn(message);
    if (missing === 'odd') return 'odd';
    if (missing === 0) return message.subarray(MESSAGE_HEADER_BYTES, endOf(message));
    const next = fragmentAt(bytes, at);
    if (typeof next === 'string') return next;
    at += RECORD_HEADER_BYTES + bytes.readUInt16BE(at + 3);
    message = Buffer.concat([message, next]);
  }
  return 'odd';
}

const endOf = (message: Buffer): number => MESSAGE_HEADER_BYTES + message.readUIntBE(1, 3);

function missingIn(message: Buffer): number | 'odd' {
  if (message.length > 0 && message[0] !== CLIENT_HELLO) return 'odd';
  if (message.length < MESSAGE_HEADER_BYTES) return MESSAGE_HEADER_BYTES - message.length;
  const end = endOf(message);
  return end > LONGEST_HELLO_BYTES ? 'odd' : Math.max(0, end - message.length);
}

/** Reads on through a message; behind its end there are zeros, and empty vectors. */
class Cursor {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  get isAtEnd(): boolean {
    return this.#at >= this.#bytes.length;
  }

  number(bytes: 1 | 2): number {
    const at = this.#at;
    this.#at += bytes;
    return this.#at > this.#bytes.length ? 0 : this.#bytes.readUIntBE(at, bytes);
  }

  skip(bytes: number): void {
    this.#at += bytes;
  }

  /** Bytes behind a length of `lengthBytes`. */
  vector(lengthBytes: 1 | 2): Buffer {
    const length = this.number(lengthBytes);
    const from = this.#at;
    this.#at += length;
    return this.#bytes.subarray(from, this.#at);
  }
}

/** @returns '' for none, or one that no host has */
function serverNameIn(message: Cursor): string {
  message.skip(VERSION_AND_RANDOM_BYTES);
  message.vector(1);
  message.vector(2);
  message.vector(1);
  const extensions = new Cursor(message.vector(2));
  while (!extensions.isAtEnd) {
    const type = extensions.number(2);
    const data = extensions.vector(2);
    if (type === SERVER_NAME_EXTENSION) return hostNameIn(new Cursor(data));
  }
  return '';
}

function hostNameIn(extension: Cursor): string {
  const names = new Cursor(extension.vector(2));
  while (!names.isAtEnd) {
    const type = names.number(1);
    const name = names.vector(2).toString('latin1');
    if (type === HOST_NAME) return NAME.test(name) ? name : '';
  }
  return '';
}
