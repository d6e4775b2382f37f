/** From a user's path to the plan of an answer. */
import { constants } from 'node:fs';
import { access, realpath, stat } from 'node:fs/promises';
import { resolve, sep } from 'node:path';
import { describe, ServerError } from '../errors/index.js';
import { refuse, refuseNoObject } from '../options/check.js';
import { refuseUnknownNames } from '../options/known-names.js';
import { contentTypeOf } from '../protocol/http/content-types.js';
import { type AnswerPiece, type FileAnswer, type FileFacts, planFileAnswer } from '../protocol/http/file-answer.js';
import { readUnsized, UNSIZED_TOO_LARGE } from '../util/unsized-file.js';
import type { Exchange } from './exchange.js';
import { attachment, headerValue } from './header-fields.js';

/** How `res.sendFile()` sends a file. */
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

export interface FileQuestion {
  readonly method: string;
  /** A header of the request, by its name in lower case. */
  readonly header: (name: string) => string | undefined;
  readonly file: FileFacts;
  readonly type: string;
  /** `fields`: further fields of the answer; names in lower case. */
  readonly options: { readonly cacheControl?: string | undefined; readonly fields: readonly string[] };
}

const OPTIONS: readonly (keyof SendFileOptions)[] = ['root', 'type', 'cacheControl', 'download'];

/** Fields that the plan sets itself; of these the user's value counts. */
const planned = new Set(['content-type', 'cache-control', 'etag', 'last-modified', 'accept-ranges', 'content-length']);

export function planAnswer({ method, header, file, type, options }: FileQuestion): FileAnswer {
  const said = new Map<string, string>();
  const fields: string[] = [];
  for (let at = 0; at < options.fields.length; at += 2) {
    const [name, value] = [options.fields[at] as string, options.fields[at + 1] as string];
    if (planned.has(name)) said.set(name, value);
    else fields.push(name, value);
  }
  const cacheControl = options.cacheControl ?? said.get('cache-control');
  const facts = { cacheControl, fields, etag: said.get('etag') };
  return planFileAnswer({ method, field: header }, file, said.get('content-type') ?? type, facts);
}

/** A user's arguments, checked. */
export interface FileToAnswer {
  readonly file: FileFacts;
  readonly type: string;
  readonly cacheControl: string | undefined;
  /** The field `content-disposition`, or nothing. */
  readonly disposition: readonly string[];
}

/** @throws ServerError ERR_FILE, ERR_HTTP_HEADER_VALUE, ERR_OPTION_TYPE, ERR_OPTION_UNKNOWN */
export async function fileToAnswer(path: string, options: SendFileOptions): Promise<FileToAnswer> {
  refuseNoObject(options);
  refuseUnknownNames('options', options, OPTIONS); // a mistyped `root` would let every path through
  const { cacheControl, download = false, root } = options;
  if (root !== undefined && typeof root !== 'string') refuse('ERR_OPTION_TYPE', 'options.root', 'a folder', root);
  if (typeof download !== 'string' && typeof download !== 'boolean') {
    refuse('ERR_OPTION_TYPE', 'options.download', 'true, false or a name', download);
  }
  const type = headerValue('content-type', options.type ?? contentTypeOf(typeof path === 'string' ? path : ''));
  if (cacheControl !== undefined) headerValue('cache-control', cacheControl);
  const file = await fileFacts(path, root);
  const disposition = download === false ? [] : ['content-disposition', dispositionOf(file.path, download)];
  return { file, type, cacheControl, disposition };
}

/** For a client the file is missing in each of these cases. */
const ABSENT: ReadonlySet<string> = new Set(['ENOENT', 'ENOTDIR', 'ENAMETOOLONG', 'ELOOP']);
const NOT_FOUND = { status: 404 };

/** @throws ServerError ERR_FILE */
async function fileFacts(given: unknown, root: string | undefined): Promise<FileFacts> {
  if (typeof given !== 'string' || given === '' || given.includes('\0')) {
    throw new ServerError('ERR_FILE', { path: describe(given), why: 'its path must be a text' });
  }
  try {
    const path = root === undefined ? resolve(given) : await within(root, given);
    await access(path, constants.R_OK);
    const facts = await stat(path);
    if (facts.isFile() && facts.size === 0) return await unsizedFacts(path, facts.mtimeMs);
    if (facts.isFile()) return { path, size: facts.size, mtimeMs: facts.mtimeMs };
  } catch (cause) {
    if (cause instanceof ServerError) throw cause;
    const why = codeOf(cause);
    throw new ServerError('ERR_FILE', { path: given, why, ...(ABSENT.has(why) && NOT_FOUND) }, { cause });
  }
  throw new ServerError('ERR_FILE', { path: given, why: 'it is not a regular file', ...NOT_FOUND });
}

/** Of a file that is empty, or one whose size shows when it is read, and whose time is not that of its content. */
async function unsizedFacts(path: string, mtimeMs: number): Promise<FileFacts> {
  const bytes = await readUnsized(path);
  if (bytes === undefined) throw new ServerError('ERR_FILE', { path, why: UNSIZED_TOO_LARGE });
  return bytes.length === 0 ? { path, size: 0, mtimeMs } : { path, size: bytes.length, mtimeMs: Date.now(), bytes };
}

async function within(root: string, given: string): Promise<string> {
  const folder = await realpath(resolve(root));
  const path = await realpath(resolve(folder, `.${sep}${given}`));
  const isInside = path.startsWith(folder.endsWith(sep) ? folder : folder + sep);
  if (!isInside) throw new ServerError('ERR_FILE', { path: given, why: 'it is outside of the root', ...NOT_FOUND });
  return path;
}

function dispositionOf(path: string, download: string | boolean): string {
  const name = typeof download === 'string' ? download : path.slice(path.lastIndexOf(sep) + 1);
  return headerValue('content-disposition', attachment(name));
}

/** Passes the plan to the exchange. */
export function sendPieces(exchange: Exchange, status: number, reason: string, { fields, pieces }: FileAnswer): void {
  const hasFile = pieces.some((piece) => 'path' in piece);
  if (!hasFile || exchange.method === 'HEAD') {
    exchange.respond(status, reason, fields, Buffer.concat(pieces.map(bytesOf)));
    return;
  }
  exchange.begin(status, reason, fields);
  for (const piece of pieces) {
    if ('path' in piece) exchange.writeFile(piece);
    else exchange.write(bytesOf(piece));
  }
  exchange.end();
}

function bytesOf(piece: AnswerPiece): Buffer {
  if ('bytes' in piece) return piece.bytes;
  return 'text' in piece ? Buffer.from(piece.text) : Buffer.alloc(0);
}

export function codeOf(error: unknown): string {
  const { code } = error as { code?: unknown };
  return typeof code === 'string' ? code : 'UNKNOWN';
}
