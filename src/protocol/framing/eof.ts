import { type Framer, MORE } from './framer.js';

/** Packets that end with a delimiter, which belongs to the packet. Swoole: open_eof_split. */
export class EofFramer implements Framer {
  readonly #delimiter: Buffer;

  constructor(delimiter: Uint8Array) {
    this.#delimiter = Buffer.from(delimiter);
  }

  packetLength(bytes: Buffer, from: number, to: number, searched: number): number {
    // The delimiter may begin in the bytes already searched.
    const start = from + Math.max(0, searched - this.#delimiter.length + 1);
    const at = bytes.subarray(0, to).indexOf(this.#delimiter, start);
    return at < 0 ? MORE : at + this.#delimiter.length - from;
  }
}

/**
 * All bytes received, once they end with the delimiter: cheaper, but one packet may hold several messages. Swoole:
 * open_eof_check.
 */
export class EofCheckFramer implements Framer {
  readonly #delimiter: Buffer;

  constructor(delimiter: Uint8Array) {
    this.#delimiter = Buffer.from(delimiter);
  }

  packetLength(bytes: Buffer, from: number, to: number): number {
    const { length } = this.#delimiter;
    if (to - from < length) return MORE;
    return bytes.compare(this.#delimiter, 0, length, to - length, to) === 0 ? to - from : MORE;
  }
}
