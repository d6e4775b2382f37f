/**
 * Where data too large for a slot lies: one anonymous sparse file that all processes hold. Each peer writes only its own
 * part of it, always behind what it wrote last, and what is no longer needed is punched out, so nothing has to be
 * searched or moved, and after the last process nothing is left. Runs in every process.
 */
import { closeSync, read, readSync, writeSync } from 'node:fs';
import { PAGE_BYTES, punchHole } from '../os/memory.js';
import type { MessagingMemory } from './memory.js';

/** 4 TiB for each peer, then it begins again at the start of its part. */
const PART_BYTES = 2 ** 42;
const PIECE_BYTES = 64 * 1024 * 1024;
/** Reading this much takes less time than asking another thread to do it. */
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

  /** Room for `bytes`, never 0. The slot that will name it must know before anything is written. */
  reserve(bytes: number): number {
    const index = this.#memory.overflowPositionIndex(this.#peer);
    const { float64 } = this.#memory;
    const whole = Math.ceil(bytes / PAGE_BYTES) * PAGE_BYTES;
    let position = float64[index] || PAGE_BYTES;
    if (position + whole > PART_BYTES) position = PAGE_BYTES;
    float64[index] = position + whole;
    return this.#peer * PART_BYTES + position;
  }

  /** @throws what write(2) says, for example ENOSPC */
  write(offset: number, data: Uint8Array): void {
    for (let at = 0; at < data.length; ) {
      at += writeSync(this.#descriptor, data, at, Math.min(PIECE_BYTES, data.length - at), offset + at);
    }
  }

  /** @returns a promise where the data is large: the event loop goes on meanwhile */
  read(offset: number, bytes: number): Buffer | Promise<Buffer> {
    const data = Buffer.allocUnsafeSlow(bytes);
    if (bytes > READ_AT_ONCE_BYTES) return this.#readAll(data, offset);
    for (let at = 0; at < bytes; ) at += readSync(this.#descriptor, data, at, bytes - at, offset + at) || ended(at);
    return data;
  }

  free(offset: number, bytes: number): void {
    punchHole(this.#descriptor, offset, Math.ceil(bytes / PAGE_BYTES) * PAGE_BYTES);
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

/** For a process that is no party to messaging itself: gives back what others have left. */
export function freeParts(
  descriptor: number,
  parts: readonly { readonly offset: number; readonly bytes: number }[],
): void {
  for (const { offset, bytes } of parts) punchHole(descriptor, offset, Math.ceil(bytes / PAGE_BYTES) * PAGE_BYTES);
}

function ended(at: number): never {
  throw new Error(`the overflow file ends after ${at} bytes of a value`);
}
