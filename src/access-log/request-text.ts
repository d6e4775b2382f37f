/**
 * What a line shows of a request: its first line and three fields, a byte for each character, behind one another. Reactors copy
 * them out of what they have received, and then into the line, byte by byte: to make texts of them in between takes three times
 * as long, and leaves garbage.
 */
import { readLatin1, writeLatin1 } from '../util/latin1.js';

/** Most requests fit. */
const USUAL_BYTES = 512;
/** One that has grown beyond is not kept. */
const KEPT_BYTES = 4096;

/** A character per byte. */
export interface RequestTexts {
  /** `GET /path HTTP/1.1`; '' where none could be read. */
  readonly requestLine: string;
  readonly host: string;
  readonly referer: string;
  readonly userAgent: string;
}

export class RequestText {
  bytes: Buffer = Buffer.allocUnsafeSlow(USUAL_BYTES);
  /** The request line begins at 0, and each field where the one before ends. */
  lineEnd = 0;
  hostEnd = 0;
  refererEnd = 0;
  userAgentEnd = 0;

  /** In place of what was there. */
  set({ requestLine, host, referer, userAgent }: RequestTexts): this {
    this.lineEnd = this.#put(0, requestLine);
    this.hostEnd = this.#put(this.lineEnd, host);
    this.refererEnd = this.#put(this.hostEnd, referer);
    this.userAgentEnd = this.#put(this.refererEnd, userAgent);
    return this;
  }

  /** It may be used for another request: its memory is small. */
  get isSmall(): boolean {
    return this.bytes.length <= KEPT_BYTES;
  }

  get texts(): RequestTexts {
    const { bytes, lineEnd, hostEnd, refererEnd, userAgentEnd } = this;
    return {
      requestLine: readLatin1(bytes, 0, lineEnd),
      host: readLatin1(bytes, lineEnd, hostEnd),
      referer: readLatin1(bytes, hostEnd, refererEnd),
      userAgent: readLatin1(bytes, refererEnd, userAgentEnd),
    };
  }

  /** @param end of what is there @returns the end, with what stands in `from` between `start` and `to` behind it */
  take(end: number, from: Uint8Array, start: number, to: number): number {
    if (start === to) return end;
    this.#reserve(end + to - start);
    const { bytes } = this;
    let at = end;
    for (let i = start; i < to; i++) bytes[at++] = from[i] as number;
    return at;
  }

  #put(end: number, text: string): number {
    this.#reserve(end + text.length);
    return end + writeLatin1(this.bytes, text, end);
  }

  #reserve(length: number): void {
    if (length <= this.bytes.length) return;
    const larger = Buffer.allocUnsafeSlow(Math.max(length, this.bytes.length * 2));
    larger.set(this.bytes);
    this.bytes = larger;
  }
}
