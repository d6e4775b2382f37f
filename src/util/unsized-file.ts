/**
 * Files that `stat` calls regular and empty and that are not: those of /proc, some of FUSE. How long one is shows only when
 * it is read, so it is read before a length is told.
 */
import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs';
import { open } from 'node:fs/promises';

/** What is read of one at most: it is held in memory. */
export const UNSIZED_LIMIT_BYTES = 1024 * 1024;
export const UNSIZED_TOO_LARGE = `its size is not known before it is read, and it has more than ${UNSIZED_LIMIT_BYTES} bytes`;

const PIECE_BYTES = 64 * 1024;
/** What has taken the place of a file meanwhile, a pipe say, must not hold up the process. */
const FLAGS = constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY;

/** All of it; empty where it is; undefined: it is longer than the limit. @throws an Error with `code` */
export async function readUnsized(path: string): Promise<Buffer | undefined> {
  const file = await open(path, FLAGS);
  try {
    if (!(await file.stat()).isFile()) return undefined;
    const pieces = new Pieces();
    for (;;) {
      const { bytesRead } = await file.read(pieces.next(), 0, PIECE_BYTES, null);
      if (bytesRead === 0) return pieces.all();
      if (!pieces.took(bytesRead)) return undefined;
    }
  } finally {
    await file.close();
  }
}

/** The same at once, where nothing can be waited for. */
export function readUnsizedNow(path: string): Buffer | undefined {
  const descriptor = openSync(path, FLAGS);
  try {
    return fstatSync(descriptor).isFile() ? readUnsizedFrom(descriptor) : undefined;
  } finally {
    closeSync(descriptor);
  }
}

/** @param descriptor at the beginning of its file */
export function readUnsizedFrom(descriptor: number): Buffer | undefined {
  const pieces = new Pieces();
  for (;;) {
    const bytesRead = readSync(descriptor, pieces.next(), 0, PIECE_BYTES, null);
    if (bytesRead === 0) return pieces.all();
    if (!pieces.took(bytesRead)) return undefined;
  }
}

class Pieces {
  readonly #pieces: Buffer[] = [];
  #next: Buffer | undefined;
  #bytes = 0;

  next(): Buffer {
    this.#next ??= Buffer.allocUnsafeSlow(PIECE_BYTES);
    return this.#next;
  }

  /** @returns false: there is more than the limit */
  took(bytes: number): boolean {
    this.#pieces.push(Buffer.from(this.next().subarray(0, bytes)));
    this.#bytes += bytes;
    return this.#bytes <= UNSIZED_LIMIT_BYTES;
  }

  all(): Buffer {
    return Buffer.concat(this.#pieces);
  }
}
