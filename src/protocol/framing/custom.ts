import { type Framer, MALFORMED, MORE } from './framer.js';

/** The `packetLength` export of a module for custom framing. Returns 0: more bytes are needed; −1: malformed. */
export type PacketLengthFunction = (buffer: Buffer) => number;

/** The user's own function decides. Swoole: package_length_func. */
export class CustomFramer implements Framer {
  readonly #packetLength: PacketLengthFunction;

  constructor(packetLength: PacketLengthFunction) {
    this.#packetLength = packetLength;
  }

  /** An exception, or a result that is not a length, counts as malformed: it must not stop the reactor. */
  packetLength(bytes: Buffer, from: number, to: number): number {
    try {
      const length: unknown = this.#packetLength(bytes.subarray(from, to));
      if (length === MORE) return MORE;
      return typeof length === 'number' && Number.isSafeInteger(length) && length > 0 ? length : MALFORMED;
    } catch {
      return MALFORMED;
    }
  }
}
