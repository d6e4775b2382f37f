/**
 * Files that `stat` reports as regular and empty although they are not: those of /proc, some of FUSE. Only reading shows
 * the length, so the file is read before a length is sent.
 */
import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs';
import { open } from 'node:fs/promises';

/** The most bytes read of one file, because they are held in memory. */
export const UNSIZED_LIMIT_BYTES = 1024 * 1024;
export const UNSIZED_TOO_LARGE = `its size is not known before it is read, and it has more than ${UNSIZED_LIMIT_BYTES} bytes`;

const PIECE_BYTES = 64 * 1024;
/** Non-blocking: a pipe in the place of the file must not block the process. */
const FLAGS = constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY;

/** The whole content, which may be empty; undefined: longer than the limit. @throws an Error with `code` */
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

/** The same, synchronously. */
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

  /** @returns false: the file exceeds the limit */
  took(bytes: number): boolean {
    this.#pieces.push(Buffer.from(this.next().subarray(0, bytes)));
    this.#bytes += bytes;
    return this.#bytes <= UNSIZED_LIMIT_BYTES;
  }

  all(): Buffer {
    return Buffer.concat(this.#pieces);
  }
}
