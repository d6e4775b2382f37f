/**
 * Holds data too large for a slot, in one anonymous sparse file that all processes share. Each peer appends only to its own
 * part, and holes are punched for data no longer needed. So there is nothing to search or move, and the kernel frees the
 * file with the last process. Runs in every process.
 */
import { closeSync, read, readSync, writeSync } from 'node:fs';
import { PAGE_BYTES, punchHole } from '../os/memory.js';
import { alignTo } from '../util/align.js';
import type { MessagingMemory } from './memory.js';

/** 4 TiB for each peer, which then begins again at the start of its part. */
const PART_BYTES = 2 ** 42;
const PIECE_BYTES = 64 * 1024 * 1024;
/** Reading this much takes less time than delegating it to another thread. */
const READ_AT_ONCE_BYTES = 512 * 1024;

export class Overflow {
  readonly #descriptor: number;
  readonly #memory: MessagingMemory;
  readonly #peer: number;

  constructor(descriptor: number, memory: MessagingMemory, peer: number) {
    this.#descriptor = descriptor;
    this.#memory = memory;
    this.#peer = peer;
  }

  /** The offset of room for `bytes`, never 0. The slot must name it before anything is written. */
  reserve(bytes: number): number {
    const index = this.#memory.overflowPositionIndex(this.#peer);
    const { float64 } = this.#memory;
    const whole = alignTo(bytes, PAGE_BYTES);
    let position = float64[index] || PAGE_BYTES;
    if (position + whole > PART_BYTES) position = PAGE_BYTES;
    float64[index] = position + whole;
    return this.#peer * PART_BYTES + position;
  }

  /** @throws the error of write(2), for example ENOSPC */
  write(offset: number, data: Uint8Array): void {
    for (let at = 0; at < data.length; ) {
      at += writeSync(this.#descriptor, data, at, Math.min(PIECE_BYTES, data.length - at), offset + at);
    }
  }

  /** @returns a promise for large data, so that the event loop turns meanwhile */
  read(offset: number, bytes: number): Buffer | Promise<Buffer> {
    const data = Buffer.allocUnsafeSlow(bytes);
    if (bytes > READ_AT_ONCE_BYTES) return this.#readAll(data, offset);
    for (let at = 0; at < bytes; ) at += readSync(this.#descriptor, data, at, bytes - at, offset + at) || ended(at);
    return data;
  }

  free(offset: number, bytes: number): void {
    punchHole(this.#descriptor, offset, alignTo(bytes, PAGE_BYTES));
  }

  close(): void {
    closeSync(this.#descriptor);
  }

  async #readAll(data: Buffer, offset: number): Promise<Buffer> {
    for (let at = 0; at < data.length; ) at += (await this.#readPiece(data, at, offset + at)) || ended(at);
    return data;
  }

  #readPiece(data: Buffer, at: number, offset: number): Promise<number> {
    const length = Math.min(PIECE_BYTES, data.length - at);
    return new Promise((resolve, reject) => {
      read(this.#descriptor, data, at, length, offset, (error, count) => (error ? reject(error) : resolve(count)));
    });
  }
}

/** For a process without messaging of its own: frees parts that others have left. */
export function freeParts(
  descriptor: number,
  parts: readonly { readonly offset: number; readonly bytes: number }[],
): void {
  for (const { offset, bytes } of parts) punchHole(descriptor, offset, alignTo(bytes, PAGE_BYTES));
}

function ended(at: number): never {
  throw new Error(`the overflow file ends after ${at} bytes of a value`);
}
