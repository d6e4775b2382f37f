/**
 * The header of a WebSocket frame (RFC 6455 5.2). Network order; the lengths 126 and 127 say that 16 or 64 bits follow:
 *
 *     FIN·RSV1·RSV2·RSV3·opcode(4) | MASK·length(7) | length(16 or 64)? | masking key(32)? | payload
 *
 * A client masks each frame, a server none (5.1), so what is parsed here has 6, 8 or 14 bytes and what is written 2, 4 or 10.
 */
import { CloseStatus } from './close-codes.js';

/** RFC 6455 5.2 and 11.8; from `close` on they are control frames. */
export const Opcode = { continuation: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 } as const;

export const FIN = 0x80;
/** On the first frame of a message: the message is compressed (RFC 7692 6). */
export const RSV1 = 0x40;

/** The header has not arrived whole; it is valid so far. */
export const MORE = 0;
const WHOLE = 1;
const REFUSED = -CloseStatus.protocolError;

const RSV2_RSV3 = 0x30;
const OPCODE = 0x0f;
const MASK = 0x80;
const LENGTH = 0x7f;
const LENGTH_16 = 126;
const LENGTH_64 = 127;
/** Both of a control frame (5.5) and of a length in 7 bits (5.2). */
const MOST_IN_7_BITS = 125;
const MOST_IN_16_BITS = 65_535;
const TWO_TO_32 = 4_294_967_296;
/** The first two bytes of 2^53 − 1, the largest length that a number holds, are 00 and 1f. */
const MOST_IN_SECOND_BYTE = 0x1f;

/** The result of `parse`: one object, reused for each frame. */
export class FrameHeader {
  /** The connection has negotiated permessage-deflate, so messages may have RSV1. */
  allowsCompression = false;
  /** One of `Opcode`. */
  opcode = 0;
  /** The last frame of its message. */
  isFinal = false;
  /** RSV1: the message that begins here is compressed. */
  isCompressed = false;
  /** Bytes of payload. */
  length = 0;
  /** With the masking key, which is the last four of them. */
  headerBytes = 0;
  /** Why the header was refused: a sentence that quotes no bytes of the client. */
  why = '';

  /**
   * Parses the header that begins at `at`; bytes from `to` on have not arrived yet. A fault is found with the first byte
   * that shows it, and every byte counts once, so the verdict does not depend on how the network cut them.
   * @returns 1: whole, all fields are set; MORE; −1002: it breaks the protocol, for the reason in `why`
   */
  parse(bytes: Buffer, at: number, to: number): number {
    const arrived = to - at;
    if (arrived < 1) return MORE;
    if (!this.#first(bytes[at]!)) return REFUSED;
    if (arrived < 2) return MORE;
    if (!this.#second(bytes[at + 1]!)) return REFUSED;
    if (this.length === LENGTH_16 && !this.#length16(bytes, at + 2, to)) return REFUSED;
    if (this.headerBytes === 14 && !this.#length64(bytes, at + 2, to)) return REFUSED;
    return arrived < this.headerBytes ? MORE : WHOLE;
  }

  // Each of the following returns false when it has refused the header.

  /** 5.2: bits that no extension has defined are 0, and so are the opcodes 3–7 and 11–15 not used. */
  #first(byte: number): boolean {
    const opcode = byte & OPCODE;
    const isControl = opcode >= Opcode.close;
    if ((byte & RSV2_RSV3) !== 0) return this.#refuse('RSV2 or RSV3 is set.');
    if (isControl ? opcode > Opcode.pong : opcode > Opcode.binary) return this.#refuse('The opcode is not known.');
    if ((byte & RSV1) !== 0 && !this.#mayBeCompressed(opcode)) return false;
    if (isControl && (byte & FIN) === 0) return this.#refuse('A control frame is fragmented.');
    this.opcode = opcode;
    this.isFinal = (byte & FIN) !== 0;
    this.isCompressed = (byte & RSV1) !== 0;
    return true;
  }

  /** RFC 7692 6 and 6.1. */
  #mayBeCompressed(opcode: number): boolean {
    if (!this.allowsCompression) return this.#refuse('RSV1 is set, and no extension was negotiated.');
    if (opcode >= Opcode.close) return this.#refuse('RSV1 is set on a control frame.');
    return opcode !== Opcode.continuation || this.#refuse('RSV1 is set on a continuation frame.');
  }

  /** 5.1: masked. 5.5: control frames are short. */
  #second(byte: number): boolean {
    if ((byte & MASK) === 0) return this.#refuse('The frame is not masked.');
    const length = byte & LENGTH;
    if (length > MOST_IN_7_BITS && this.opcode >= Opcode.close) {
      return this.#refuse('A control frame has more than 125 bytes.');
    }
    this.length = length;
    this.headerBytes = length < LENGTH_16 ? 6 : length < LENGTH_64 ? 8 : 14;
    return true;
  }

  #length16(bytes: Buffer, at: number, to: number): boolean {
    if (to - at < 2) return true;
    const length = (bytes[at]! << 8) | bytes[at + 1]!;
    if (length <= MOST_IN_7_BITS) return this.#refuse('The length is not in its shortest form.');
    this.length = length;
    return true;
  }

  /** 5.2: the top bit is 0. Beyond 2^53 − 1 no message could be held, and a number could not say its length. */
  #length64(bytes: Buffer, at: number, to: number): boolean {
    const arrived = to - at;
    if (arrived > 0 && bytes[at]! > 0x7f) return this.#refuse('The top bit of the length is set.');
    if ((arrived > 0 && bytes[at]! > 0) || (arrived > 1 && bytes[at + 1]! > MOST_IN_SECOND_BYTE)) {
      return this.#refuse('The length is above 2^53 - 1.');
    }
    if (arrived >= 6 && bytes.readUIntBE(at, 6) === 0) return this.#refuse('The length is not in its shortest form.');
    if (arrived >= 8) this.length = bytes.readUInt32BE(at) * TWO_TO_32 + bytes.readUInt32BE(at + 4);
    return true;
  }

  #refuse(why: string): false {
    this.why = why;
    return false;
  }
}

/** @returns the bytes of a server's frame before its payload of `length` bytes */
export function headerBytesFor(length: number): 2 | 4 | 10 {
  if (length <= MOST_IN_7_BITS) return 2;
  return length <= MOST_IN_16_BITS ? 4 : 10;
}

/**
 * Writes the header of a server's frame: not masked (5.1), the length in its shortest form (5.2).
 * @param first the first byte: FIN, RSV1 and opcode
 * @param length of the payload, in bytes
 * @returns how many bytes it wrote: `headerBytesFor(length)`
 */
export function writeHeader(target: Buffer, at: number, first: number, length: number): number {
  target[at] = first;
  if (length <= MOST_IN_7_BITS) {
    target[at + 1] = length;
    return 2;
  }
  if (length <= MOST_IN_16_BITS) {
    target[at + 1] = LENGTH_16;
    target[at + 2] = length >>> 8;
    target[at + 3] = length & 0xff;
    return 4;
  }
  target[at + 1] = LENGTH_64;
  target.writeUInt32BE(Math.floor(length / TWO_TO_32), at + 2);
  target.writeUInt32BE(length % TWO_TO_32, at + 6);
  return 10;
}
