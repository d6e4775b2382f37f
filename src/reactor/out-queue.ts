/**
 * Queued output of one connection, which the kernel did not take yet: bytes, of which small pieces share a chunk,
 * and parts of files.
 */
import { closeFile, openFile } from '../os/file.js';
import { addressOf, allocateStable } from '../os/libc.js';

const CHUNK_BYTES = 65536;
/** The first chunk is small: most slow clients are behind by little. */
const FIRST_CHUNK_BYTES = 4096;
/** What a queued file counts for: its path, and a little. */
const FILE_COUNTS_BYTES = 1024;

export interface Chunk {
  readonly buffer: Buffer;
  readonly address: number;
  start: number;
  end: number;
}

/** The rest of a file to be sent. It is opened when its turn comes, so a connection has one open file at most. */
export class FilePart {
  readonly path: string;
  offset: number;
  left: number;
  #descriptor = -1;

  constructor(path: string, offset: number, left: number) {
    this.path = path;
    this.offset = offset;
    this.left = left;
  }

  /** @throws an Error with `code` */
  get descriptor(): number {
    if (this.#descriptor < 0) this.#descriptor = openFile(this.path);
    return this.#descriptor;
  }

  sent(bytes: number): void {
    this.offset += bytes;
    this.left -= bytes;
  }

  close(): void {
    if (this.#descriptor >= 0) closeFile(this.#descriptor);
    this.#descriptor = -1;
  }
}

export class OutQueue {
  /** In memory. */
  bytes = 0;
  readonly #items: (Chunk | FilePart)[] = [];

  get isEmpty(): boolean {
    return this.#items.length === 0;
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

  pushFile(part: FilePart): void {
    this.bytes += FILE_COUNTS_BYTES;
    this.#items.push(part);
  }

  get head(): Chunk | FilePart | undefined {
    return this.#items[0];
  }

  /** All queued items, without a copy. */
  get items(): readonly (Chunk | FilePart)[] {
    return this.#items;
  }

  /** Drops sent bytes from the head, a chunk. */
  shift(bytes: number): void {
    const chunk = this.#items[0];
    if (chunk === undefined || chunk instanceof FilePart) return;
    chunk.start += bytes;
    this.bytes -= bytes;
    if (chunk.start === chunk.end) this.#items.shift();
  }

  /** Drops the head, a file that was sent. */
  shiftFile(): void {
    const part = this.#items.shift();
    if (part instanceof FilePart) part.close();
    this.bytes -= FILE_COUNTS_BYTES;
  }

  /** Closes open files. */
  close(): void {
    for (const item of this.#items) if (item instanceof FilePart) item.close();
  }

  #chunkWithRoom(wanted: number): Chunk {
    const last = this.#items.at(-1);
    if (last && !(last instanceof FilePart) && last.end < last.buffer.length) return last;
    const small = this.#items.length === 0 && wanted <= FIRST_CHUNK_BYTES;
    const buffer = allocateStable(small ? FIRST_CHUNK_BYTES : CHUNK_BYTES);
    const chunk = { buffer, address: addressOf(buffer), start: 0, end: 0 };
    this.#items.push(chunk);
    return chunk;
  }
}
