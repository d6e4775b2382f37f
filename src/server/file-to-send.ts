/** What `sendFile` was given, checked in the process that asks, so that whoever asks hears what is wrong. */
import { accessSync, constants, statSync } from 'node:fs';
import { resolve } from 'node:path';
import { describe, ServerError } from '../errors/index.js';

/** A part of a file, in bytes. */
export interface FileRange {
  /** The first byte. Default: 0. */
  readonly offset?: number | undefined;
  /** How many bytes. Default: up to the end. Beyond the end: ERR_FILE_RANGE. */
  readonly length?: number | undefined;
}

/** @throws ServerError ERR_FILE, ERR_FILE_RANGE */
export function fileToSend(given: unknown, range: FileRange): { path: string; offset: number; length: number } {
  if (typeof given !== 'string' || given === '' || given.includes('\0')) {
    throw new ServerError('ERR_FILE', { path: describe(given), why: 'its path must be a text' });
  }
  const path = resolve(given);
  const size = sizeOf(path);
  const { offset = 0, length = size - Number(offset) } = range;
  const isWithin = isCount(offset) && isCount(length) && offset + length <= size;
  if (isWithin) return { path, offset, length };
  throw new ServerError('ERR_FILE_RANGE', { path, offset: describe(offset), length: describe(length), size });
}

function sizeOf(path: string): number {
  try {
    accessSync(path, constants.R_OK);
    const stats = statSync(path);
    if (stats.isFile()) return stats.size;
  } catch (error) {
    const { code = 'UNKNOWN' } = error as { code?: string };
    throw new ServerError('ERR_FILE', { path, why: code }, { cause: error });
  }
  throw new ServerError('ERR_FILE', { path, why: 'it is no regular file' });
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}
