/** Checks the arguments of `sendFile` in the calling process, so that the caller gets the error. */
import { accessSync, constants, statSync } from 'node:fs';
import { resolve } from 'node:path';
import { describe, ServerError } from '../errors/index.js';
import { readUnsizedNow, UNSIZED_TOO_LARGE } from '../util/unsized-file.js';

/** A part of a file, in bytes. */
export interface FileRange {
  /** The first byte. Default: 0. */
  readonly offset?: number | undefined;
  /** How many bytes. Default: up to the end. Beyond the end: ERR_FILE_RANGE. */
  readonly length?: number | undefined;
}

/** A part of a file for the reactor to send; or bytes, where only reading has shown their number. */
export type FileToSend =
  | { readonly path: string; readonly offset: number; readonly length: number }
  | { readonly bytes: Buffer };

/** @throws ServerError ERR_FILE, ERR_FILE_RANGE */
export function fileToSend(given: unknown, range: FileRange): FileToSend {
  if (typeof given !== 'string' || given === '' || given.includes('\0')) {
    throw new ServerError('ERR_FILE', { path: describe(given), why: 'its path must be a text' });
  }
  const path = resolve(given);
  const { size, bytes } = look(path);
  const { offset = 0 } = range;
  const { length = isCount(offset) ? size - offset : 0 } = range;
  const isWithin = isCount(offset) && isCount(length) && offset + length <= size;
  if (!isWithin) {
    throw new ServerError('ERR_FILE_RANGE', { path, offset: describe(offset), length: describe(length), size });
  }
  return bytes === undefined ? { path, offset, length } : { bytes: bytes.subarray(offset, offset + length) };
}

/** @returns with `bytes` where the size was unknown before they were read */
function look(path: string): { readonly size: number; readonly bytes?: Buffer } {
  try {
    accessSync(path, constants.R_OK);
    const stats = statSync(path);
    if (stats.isFile() && stats.size > 0) return { size: stats.size };
    if (stats.isFile()) {
      const bytes = readUnsizedNow(path);
      if (bytes === undefined) throw new ServerError('ERR_FILE', { path, why: UNSIZED_TOO_LARGE });
      return { size: bytes.length, bytes };
    }
  } catch (error) {
    if (error instanceof ServerError) throw error;
    const { code = 'UNKNOWN' } = error as { code?: string };
    throw new ServerError('ERR_FILE', { path, why: code }, { cause: error });
  }
  throw new ServerError('ERR_FILE', { path, why: 'it is not a regular file' });
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}
