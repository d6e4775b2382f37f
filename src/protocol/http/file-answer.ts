/**
 * The answer that sends a file, or says why it need not or cannot: pure, for the reactor (static files) and for
 * `sendFile()` in a worker. Bodies of HTTP/1 and HTTP/2 are the same.
 */
import { randomUUID } from 'node:crypto';
import type { ContentEncoding } from '../../options/compression.js';
import { evaluateConditions, type FieldLookup, type Validators } from './conditional.js';
import { httpDate } from './date.js';
import { type ByteRange, parseRange } from './ranges.js';

/** What is known of a regular file. */
export interface FileFacts {
  /** Absolute. */
  readonly path: string;
  readonly size: number;
  readonly mtimeMs: number;
  /** Its content, where that is at hand. */
  readonly bytes?: Buffer | undefined;
}

export interface FileAnswerOptions {
  /** '' or missing: no `cache-control`. */
  readonly cacheControl?: string | undefined;
  /** The coding that the file is in, which becomes `content-encoding`. */
  readonly encoding?: ContentEncoding | undefined;
  /** There are variants in other codings, so what is sent depends on the client. */
  readonly varies?: boolean | undefined;
  /** In place of the one made of size and time; '' for none. */
  readonly etag?: string | undefined;
  /** Name, value, name, value …, in every answer. Those that the answer has of its own do not belong here. */
  readonly fields?: readonly string[] | undefined;
}

/** A file, and what is said of it in each answer: made once, good until the file changes. */
export interface Representation extends Validators {
  readonly file: FileFacts;
  readonly type: string;
  /** The fields of 304: what a cache may want to know anew. */
  readonly cacheFields: readonly string[];
  /** The fields of 200 and, but for `content-type` and `content-length` of several ranges, of 206. */
  readonly wholeFields: readonly string[];
  /** `fields` of the options. */
  readonly extraFields: readonly string[];
}

export interface FileRequest {
  /** Upper case. */
  readonly method: string;
  readonly field: FieldLookup;
}

export type AnswerPiece =
  | { readonly text: string }
  | { readonly bytes: Buffer }
  | { readonly path: string; readonly offset: number; readonly length: number };

export interface FileAnswer {
  readonly status: number;
  /** Name, value, name, value …, names in lower case; without `date` and `connection`. */
  readonly fields: readonly string[];
  /** The body; empty for HEAD. */
  readonly pieces: readonly AnswerPiece[];
  /** As among the fields; for HEAD what GET would send. 304 does not say it: 0. */
  readonly contentLength: number;
}

/** Some file systems count time in steps of 2 s: so long after a change another one may go by under the same time. */
export const SETTLED_MS = 2000;

export function planFileAnswer(
  request: FileRequest,
  file: FileFacts,
  type: string,
  options: FileAnswerOptions = {},
  now: number = Date.now(),
): FileAnswer {
  return answerWithFile(request, representationOf(file, type, options, now));
}

/** @param type '' for none */
export function representationOf(
  file: FileFacts,
  type: string,
  options: FileAnswerOptions,
  now: number,
): Representation {
  const { cacheControl = '', encoding, varies = false, fields: extraFields = [] } = options;
  const isSettled = now - file.mtimeMs >= SETTLED_MS;
  const etag =
    options.etag ?? `${isSettled ? '' : 'W/'}"${tagOf(file)}${encoding === undefined ? '' : `-${encoding}`}"`;
  // A file from the future would never be taken for unmodified by who compares with its own clock (RFC 9110, 8.8.2.1).
  const lastModifiedMs = Math.floor(Math.min(file.mtimeMs, now) / 1000) * 1000;
  const cacheFields = ['last-modified', httpDate(lastModifiedMs)];
  if (etag !== '') cacheFields.push('etag', etag);
  if (cacheControl !== '') cacheFields.push('cache-control', cacheControl);
  if (varies) cacheFields.push('vary', 'accept-encoding');
  cacheFields.push(...extraFields);
  const wholeFields = ['accept-ranges', 'bytes', ...cacheFields];
  if (encoding !== undefined) wholeFields.push('content-encoding', encoding);
  return { file, type, etag, lastModifiedMs, isDateStrong: isSettled, cacheFields, wholeFields, extraFields };
}

/** Without the inode, so that machines with copies of a file agree. */
function tagOf({ size, mtimeMs }: FileFacts): string {
  return `${size.toString(16)}-${Math.floor(mtimeMs * 1000).toString(16)}`;
}

export function answerWithFile(request: FileRequest, representation: Representation): FileAnswer {
  const { method, field } = request;
  const { outcome, mayRange } = evaluateConditions(method, field, representation);
  if (outcome === 304) return { status: 304, fields: representation.cacheFields, pieces: [], contentLength: 0 };
  if (outcome === 412) return plainAnswer(method, 412, 'Precondition Failed', representation.extraFields);
  const ranges = mayRange ? parseRange(field('range'), representation.file.size) : 'whole';
  if (ranges === 'unsatisfiable') return unsatisfiable(representation);
  if (ranges === 'whole') return whole(method, representation);
  return ranges.length === 1 ? part(representation, ranges[0]!) : parts(representation, ranges);
}

/** An answer of one line of text, such as 404. */
export function plainAnswer(
  method: string,
  status: number,
  reason: string,
  fields: readonly string[] = [],
): FileAnswer {
  const text = `${status} ${reason}\n`;
  return {
    status,
    fields: ['content-type', 'text/plain; charset=utf-8', 'content-length', `${text.length}`, ...fields],
    pieces: method === 'HEAD' ? [] : [{ text }],
    contentLength: text.length,
  };
}

function whole(method: string, { file, type, wholeFields }: Representation): FileAnswer {
  return {
    status: 200,
    fields: [...typeField(type), 'content-length', `${file.size}`, ...wholeFields],
    pieces: method === 'HEAD' ? [] : pieceOf(file, { offset: 0, length: file.size }),
    contentLength: file.size,
  };
}

function part({ file, type, wholeFields }: Representation, range: ByteRange): FileAnswer {
  const length = ['content-length', `${range.length}`, 'content-range', contentRange(range, file.size)];
  return {
    status: 206,
    fields: [...typeField(type), ...length, ...wholeFields],
    pieces: pieceOf(file, range),
    contentLength: range.length,
  };
}

/** RFC 9110, 14.6. A boundary that cannot be foreseen is in no file. */
function parts({ file, type, wholeFields }: Representation, ranges: readonly ByteRange[]): FileAnswer {
  const boundary = randomUUID();
  const typeLine = type === '' ? '' : `content-type: ${type}\r\n`;
  const pieces: AnswerPiece[] = [];
  let contentLength = 0;
  const addText = (text: string): void => {
    pieces.push({ text });
    contentLength += Buffer.byteLength(text);
  };
  for (const [i, range] of ranges.entries()) {
    const rangeLine = `content-range: ${contentRange(range, file.size)}\r\n`;
    addText(`${i === 0 ? '' : '\r\n'}--${boundary}\r\n${typeLine}${rangeLine}\r\n`);
    pieces.push(...pieceOf(file, range));
    contentLength += range.length;
  }
  addText(`\r\n--${boundary}--\r\n`);
  const kind = ['content-type', `multipart/byteranges; boundary=${boundary}`, 'content-length', `${contentLength}`];
  return { status: 206, fields: [...kind, ...wholeFields], pieces, contentLength };
}

function unsatisfiable({ file, extraFields }: Representation): FileAnswer {
  const fields = ['content-range', `bytes */${file.size}`, 'accept-ranges', 'bytes', ...extraFields];
  return plainAnswer('GET', 416, 'Range Not Satisfiable', fields);
}

function contentRange({ offset, length }: ByteRange, size: number): string {
  return `bytes ${offset}-${offset + length - 1}/${size}`;
}

function typeField(type: string): readonly string[] {
  return type === '' ? [] : ['content-type', type];
}

function pieceOf({ path, bytes }: FileFacts, { offset, length }: ByteRange): AnswerPiece[] {
  if (length === 0) return [];
  if (bytes === undefined) return [{ path, offset, length }];
  return [{ bytes: length === bytes.length ? bytes : bytes.subarray(offset, offset + length) }];
}
