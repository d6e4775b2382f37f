/**
 * Queued output of one connection, which the kernel did not take yet: bytes, of which small pieces share a chunk,
 * and parts of files.
 */
import { closeFile, openFile } from '../os/file.js';
import { addressOf, allocateStable } from '../os/libc.js';
import { MOST_PARTS } from '../os/send-parts.js';
import { Spares } from './spares.js';

const CHUNK_BYTES = 65536;
/** The first chunk is small: most slow clients are behind by little. */
const FIRST_CHUNK_BYTES = 4096;
/** What a queued file counts for: its path, and a little. */
const FILE_COUNTS_BYTES = 1024;

/**
 * Chunks that were sent, to be filled again: fresh memory costs more than the copy into it. Per thread at most 8 MiB of long
 * ones, 1 MiB while few are needed, and 512 KiB of first ones.
 */
const spare = new Spares<Chunk>(16, 128);
const spareFirst = new Spares<Chunk>(128, 128);

/** Bytes of the queue's own, or lent ones: those lie with their sender in this process (BASE mode). */
export class Chunk {
  readonly buffer: Buffer;
  readonly isLent: boolean;
  start = 0;
  end: number;
  readonly #address: number;

  /** @param lent bytes; undefined: an empty chunk of `bytes` */
  constructor(lent: Buffer | undefined, bytes: number) {
    this.isLent = lent !== undefined;
    this.buffer = lent ?? allocateStable(bytes);
    this.end = lent?.length ?? 0;
    this.#address = this.isLent ? 0 : addressOf(this.buffer);
  }

  /** Looked up each time for lent bytes, whose memory the user may take away. */
  get address(): number {
    return this.isLent ? addressOf(this.buffer) : this.#address;
  }

  /** The user has transferred the memory to another thread, or shrunk it. */
  get isTakenAway(): boolean {
    return this.buffer.length < this.end;
  }

  get rest(): Buffer {
    return this.buffer.subarray(this.start, this.end);
  }
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
  /** Nothing of it was offered to the kernel yet: it leaves at the end of the turn. */
  isHeld = false;
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

  /** Bytes that stay where they are until they have left. @param from bytes of them that have left */
  lend(parts: readonly Buffer[], from: number): void {
    let at = from;
    for (const part of parts) {
      if (at < part.length) this.#items.push(new Chunk(at === 0 ? part : part.subarray(at), 0));
      this.bytes += Math.max(0, part.length - at);
      at = Math.max(0, at - part.length);
    }
  }

  /** Copies. @param from as `lend` */
  pushParts(parts: readonly Buffer[], from: number): void {
    let at = from;
    for (const part of parts) {
      if (at < part.length) this.push(part, at, part.length);
      at = Math.max(0, at - part.length);
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

  /** The one chunk of its own that is all there is to send. */
  get only(): Chunk | undefined {
    const [first] = this.#items;
    return this.#items.length === 1 && first instanceof Chunk && !first.isLent ? first : undefined;
  }

  /** Lent bytes are gone: the rest cannot be sent. */
  get isTakenAway(): boolean {
    return this.#items.some((item) => item instanceof Chunk && item.isTakenAway);
  }

  /** The chunks at the head, as many as leave in one call. */
  get leading(): Chunk[] {
    const end = this.#items.findIndex((item) => item instanceof FilePart);
    return this.#items.slice(0, Math.min(MOST_PARTS, end < 0 ? MOST_PARTS : end)) as Chunk[];
  }

  /** Drops sent bytes from the head, chunks. */
  shift(bytes: number): void {
    for (let left = bytes; left > 0; ) {
      const [chunk] = this.#items;
      if (!(chunk instanceof Chunk)) return;
      const taken = Math.min(left, chunk.end - chunk.start);
      chunk.start += taken;
      left -= taken;
      this.bytes -= taken;
      if (chunk.start === chunk.end) this.#release(chunk);
    }
  }

  #release(chunk: Chunk): void {
    this.#items.shift();
    if (chunk.isLent) return;
    chunk.start = 0;
    chunk.end = 0;
    (chunk.buffer.length === CHUNK_BYTES ? spare : spareFirst).give(chunk);
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
    if (last instanceof Chunk && last.end < last.buffer.length) return last;
    const isFirst = this.#items.length === 0 && wanted <= FIRST_CHUNK_BYTES;
    const bytes = isFirst ? FIRST_CHUNK_BYTES : CHUNK_BYTES;
    const chunk = (isFirst ? spareFirst : spare).take() ?? new Chunk(undefined, bytes);
    this.#items.push(chunk);
    return chunk;
  }
}
