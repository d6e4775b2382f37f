/** Packets with a length field in a header. Swoole: open_length_check. */
import type { LengthField } from '../../options/index.js';
import { type Framer, MALFORMED, MORE } from './framer.js';

interface Field {
  readonly bytes: number;
  read(buffer: Buffer, at: number): number;
}

const SAFE = BigInt(Number.MAX_SAFE_INTEGER);

/** A number too large to be a length is as wrong as a negative one. */
function toLength(value: bigint): number {
  return value < 0n || value > SAFE ? MALFORMED : Number(value);
}

const fields: Readonly<Record<LengthField, Field>> = {
  u8: { bytes: 1, read: (buffer, at) => buffer.readUInt8(at) },
  i8: { bytes: 1, read: (buffer, at) => buffer.readInt8(at) },
  u16be: { bytes: 2, read: (buffer, at) => buffer.readUInt16BE(at) },
  u16le: { bytes: 2, read: (buffer, at) => buffer.readUInt16LE(at) },
  i16be: { bytes: 2, read: (buffer, at) => buffer.readInt16BE(at) },
  i16le: { bytes: 2, read: (buffer, at) => buffer.readInt16LE(at) },
  u32be: { bytes: 4, read: (buffer, at) => buffer.readUInt32BE(at) },
  u32le: { bytes: 4, read: (buffer, at) => buffer.readUInt32LE(at) },
  i32be: { bytes: 4, read: (buffer, at) => buffer.readInt32BE(at) },
  i32le: { bytes: 4, read: (buffer, at) => buffer.readInt32LE(at) },
  u64be: { bytes: 8, read: (buffer, at) => toLength(buffer.readBigUInt64BE(at)) },
  u64le: { bytes: 8, read: (buffer, at) => toLength(buffer.readBigUInt64LE(at)) },
  i64be: { bytes: 8, read: (buffer, at) => toLength(buffer.readBigInt64BE(at)) },
  i64le: { bytes: 8, read: (buffer, at) => toLength(buffer.readBigInt64LE(at)) },
};

export class LengthFramer implements Framer {
  readonly #field: Field;
  readonly #offset: number;
  readonly #bodyOffset: number;

  /**
   * @param offset the place of the field in the packet
   * @param bodyOffset added to the field's value to get the whole length: 0 when the field counts the whole packet, the
   * header's size when it counts only the bytes that follow
   */
  constructor(field: LengthField, offset: number, bodyOffset: number) {
    this.#field = fields[field];
    this.#offset = offset;
    this.#bodyOffset = bodyOffset;
  }

  packetLength(bytes: Buffer, from: number, to: number): number {
    const header = this.#offset + this.#field.bytes;
    if (to - from < header) return MORE;
    const value = this.#field.read(bytes, from + this.#offset);
    const total = value + this.#bodyOffset;
    // A packet holds at least its own header.
    return value < 0 || total < header ? MALFORMED : total;
  }
}
