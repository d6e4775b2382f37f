/** From a path that a user gave to the plan of an answer. */
import { constants } from 'node:fs';
import { access, realpath, stat } from 'node:fs/promises';
import { resolve, sep } from 'node:path';
import { describe, ServerError } from '../errors/index.js';
import { attachment } from './header-fields.js';

export interface SendFileOptions {
  /** The path is within this folder, or it is refused; links that lead out of it too. */
  readonly root?: string | undefined;
  /** Content type; by default the one of the name's ending. */
  readonly type?: string | undefined;
  /** Value of `cache-control`. */
  readonly cacheControl?: string | undefined;
  /** To be saved by the browser, under this name; true: under its own. */
  readonly download?: boolean | string | undefined;
}

export interface FileFacts {
  readonly path: string;
  readonly size: number;
  readonly mtimeMs: number;
}

export interface FileQuestion {
  readonly method: string;
  /** A header of the request, by its name in lower case. */
  readonly header: (name: string) => string | undefined;
  readonly file: FileFacts;
  readonly type: string;
  /** `fields`: what the answer says besides; names in lower case. */
  readonly options: { readonly cacheControl?: string | undefined; readonly fields: readonly string[] };
}

export type AnswerPiece =
  | { readonly text: string }
  | { readonly bytes: Buffer }
  | { readonly path: string; readonly offset: number; readonly length: number };

export interface FileAnswer {
  readonly status: number;
  /** All of them, `content-length` too. */
  readonly fields: string[];
  readonly pieces: readonly AnswerPiece[];
  readonly contentLength: number;
}

/** TO BE REPLACED by `planFile` of `../protocol/http/file-answer.js`: no ranges, no conditions. */
export function planAnswer({ method, file, type, options }: FileQuestion): FileAnswer {
  const fields = [...options.fields];
  if (!fields.includes('content-type')) fields.push('content-type', type);
  if (options.cacheControl !== undefined) fields.push('cache-control', options.cacheControl);
  fields.push('last-modified', new Date(file.mtimeMs).toUTCString(), 'content-length', String(file.size));
  const pieces = method === 'HEAD' || file.size === 0 ? [] : [{ path: file.path, offset: 0, length: file.size }];
  return { status: 200, fields, pieces, contentLength: file.size };
}

/** TO BE REPLACED by the table of media types. */
export function typeOfFile(_path: string): string {
  return 'application/octet-stream';
}

/** @throws ServerError ERR_FILE */
export async function fileFacts(given: unknown, root: string | undefined): Promise<FileFacts> {
  if (typeof given !== 'string' || given === '' || given.includes('\0')) {
    throw new ServerError('ERR_FILE', { path: describe(given), why: 'its path must be a text' });
  }
  try {
    const path = root === undefined ? resolve(given) : await within(root, given);
    await access(path, constants.R_OK);
    const facts = await stat(path);
    if (facts.isFile()) return { path, size: facts.size, mtimeMs: facts.mtimeMs };
  } catch (cause) {
    if (cause instanceof ServerError) throw cause;
    throw new ServerError('ERR_FILE', { path: given, why: codeOf(cause) }, { cause });
  }
  throw new ServerError('ERR_FILE', { path: given, why: 'it is no regular file' });
}

async function within(root: string, given: string): Promise<string> {
  const folder = await realpath(resolve(root));
  const path = await realpath(resolve(folder, `.${sep}${given}`));
  const isInside = path.startsWith(folder.endsWith(sep) ? folder : folder + sep);
  if (!isInside) throw new ServerError('ERR_FILE', { path: given, why: 'it is outside of the root' });
  return path;
}

/** Value of `content-disposition`; undefined: none. */
export function dispositionOf(path: string, download: SendFileOptions['download']): string | undefined {
  if (download === undefined || download === false) return undefined;
  return attachment(typeof download === 'string' ? download : path.slice(path.lastIndexOf('/') + 1));
}

export function codeOf(error: unknown): string {
  const { code } = error as { code?: unknown };
  return typeof code === 'string' ? code : 'UNKNOWN';
}
