/** Opens files by names at which others may have put something else: a link to any file of this user, a pipe, a device. */
import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs';

/**
 * open(2) that does not follow a link at the end of the path. Folders on the way may be links.
 * @throws an Error with `code`; for a link, with advice
 */
export function openUnlinked(path: string, flags: number, mode: number): number {
  try {
    return openSync(path, flags | constants.O_NOFOLLOW, mode);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== 'ELOOP' && code !== 'EMLINK') throw error;
    throw Object.assign(new Error('it is a symbolic link, which is not followed: name the file itself'), { code });
  }
}

/** A pipe without a writer, or a device, must not block the process. */
const READ = constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY;

/** For reading, if it is a regular file, or a link to one. @throws an Error with `code` */
export function openRegular(path: string): number {
  return regular(openSync(path, READ));
}

/** The same, if it is no link. */
export function openUnlinkedRegular(path: string): number {
  return regular(openUnlinked(path, READ, 0));
}

function regular(descriptor: number): number {
  const stats = fstatSync(descriptor);
  if (stats.isFile()) return descriptor;
  closeSync(descriptor);
  throw Object.assign(new Error('it is no regular file'), { code: stats.isDirectory() ? 'EISDIR' : 'EINVAL' });
}

/**
 * The bytes of a regular file, or of one that a link leads to, also where `stat` does not know its size (/proc).
 * @throws an Error with `code`, also where it is longer than so many bytes
 */
export function readRegular(path: string, mostBytes: number): Buffer {
  const descriptor = openRegular(path);
  try {
    const { size } = fstatSync(descriptor);
    if (size > mostBytes) throw tooLong(mostBytes);
    let bytes = Buffer.alloc(Math.max(size, PIECE_BYTES) + 1);
    for (let length = 0; ; ) {
      const count = readSync(descriptor, bytes, length, bytes.length - length, null);
      if (count === 0) return bytes.subarray(0, length);
      length += count;
      if (length > mostBytes) throw tooLong(mostBytes);
      if (length === bytes.length) bytes = Buffer.concat([bytes, Buffer.alloc(length)]);
    }
  } finally {
    closeSync(descriptor);
  }
}

const PIECE_BYTES = 64 * 1024;

function tooLong(mostBytes: number): Error {
  return Object.assign(new Error(`it has more than ${mostBytes} bytes`), { code: 'EFBIG' });
}

/** The text of a file that is no link. @throws an Error, also where it is longer than so many bytes */
export function readSmall(path: string, mostBytes: number): string {
  const descriptor = openUnlinkedRegular(path);
  try {
    const bytes = Buffer.alloc(Math.min(fstatSync(descriptor).size, mostBytes) + 1);
    const length = readSync(descriptor, bytes, 0, bytes.length, 0);
    if (length > mostBytes) throw tooLong(mostBytes);
    return bytes.toString('utf8', 0, length);
  } finally {
    closeSync(descriptor);
  }
}
