/** What the kernel did not take yet, of one connection. Small pieces share a chunk. */
import { addressOf, allocateStable } from '../os/libc.js';

const CHUNK_BYTES = 65536;
/** The first chunk is small: most clients that are behind are so by little. */
const FIRST_CHUNK_BYTES = 4096;

interface Chunk {
  readonly buffer: Buffer;
  readonly address: number;
  start: number;
  end: number;
}

export class OutQueue {
  /** Unix ms at which something of it left last; when it began, before. */
  since: number;
  bytes = 0;
  readonly #chunks: Chunk[] = [];

  constructor(now: number) {
    this.since = now;
  }

  push(source: Buffer, from: number, to: number): void {
    this.bytes += to - from;
    let at = from;
    while (at < to) {
      const chunk = this.#chunkWithRoom(to - at);
      const length = Math.min(to - at, chunk.buffer.length - chunk.end);
      source.copy(chunk.buffer, chunk.end, at, at + length);
      chunk.end += length;
      at += length;
    }
  }

  get headAddress(): number {
    const chunk = this.#chunks[0];
    return chunk ? chunk.address + chunk.start : 0;
  }

  get headBytes(): number {
    const chunk = this.#chunks[0];
    return chunk ? chunk.end - chunk.start : 0;
  }

  /** All that waits, without a copy. */
  get pieces(): Buffer[] {
    return this.#chunks.map(({ buffer, start, end }) => buffer.subarray(start, end));
  }

  /** Forgets bytes of the head chunk that were sent. */
  shift(bytes: number): void {
    const chunk = this.#chunks[0];
    if (chunk === undefined) return;
    chunk.start += bytes;
    this.bytes -= bytes;
    if (chunk.start === chunk.end) this.#chunks.shift();
  }

  #chunkWithRoom(wanted: number): Chunk {
    const last = this.#chunks.at(-1);
    if (last && last.end < last.buffer.length) return last;
    const small = this.#chunks.length === 0 && wanted <= FIRST_CHUNK_BYTES;
    const buffer = allocateStable(small ? FIRST_CHUNK_BYTES : CHUNK_BYTES);
    const chunk = { buffer, address: addressOf(buffer), start: 0, end: 0 };
    this.#chunks.push(chunk);
    return chunk;
  }
}
