/**
 * The answer that sends a file, or says why it need not or cannot be sent. Pure: for the reactor (static files) and for
 * `sendFile()` in a worker. Bodies of HTTP/1 and HTTP/2 are the same.
 */
import { randomUUID } from 'node:crypto';
import type { ContentEncoding } from '../../options/compression.js';
import { evaluateConditions, type FieldLookup, type Validators } from './conditional.js';
import { httpDate } from './date.js';
import { type ByteRange, parseRange } from './ranges.js';

/** The facts about a regular file. */
export interface FileFacts {
  /** Absolute. */
  readonly path: string;
  readonly size: number;
  readonly mtimeMs: number;
  /** Its content, if loaded. */
  readonly bytes?: Buffer | undefined;
}

export interface FileAnswerOptions {
  /** '' or missing: no `cache-control`. */
  readonly cacheControl?: string | undefined;
  /** The coding of the file, which becomes `content-encoding`. */
  readonly encoding?: ContentEncoding | undefined;
  /** Variants in other codings exist, so the answer depends on the client. */
  readonly varies?: boolean | undefined;
  /** In place of the tag built from size and time; '' for none. */
  readonly etag?: string | undefined;
  /** Name, value, name, value …, in every answer. Must not contain fields that the answer sets itself. */
  readonly fields?: readonly string[] | undefined;
}

/** A file and its answer fields: built once, valid until the file changes. */
export interface Representation extends Validators {
  readonly file: FileFacts;
  readonly type: string;
  /** The fields of 304, with which a cache updates its entry. */
  readonly cacheFields: readonly string[];
  /** The fields of 200 and of 206, except `content-type` and `content-length` for several ranges. */
  readonly wholeFields: readonly string[];
  /** What GET is answered where it asks for nothing else. */
  readonly whole: FileAnswer;
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
  /** As in the fields; for HEAD the length of GET. 0 for 304, which has no length. */
  readonly contentLength: number;
}

/** Some file systems count time in steps of 2 s: within that time a second change may leave the same timestamp. */
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
  // A client that compares with its own clock would never see a file from the future as unmodified (RFC 9110, 8.8.2.1).
  const lastModifiedMs = Math.floor(Math.min(file.mtimeMs, now) / 1000) * 1000;
  const cacheFields = ['last-modified', httpDate(lastModifiedMs)];
  if (etag !== '') cacheFields.push('etag', etag);
  if (cacheControl !== '') cacheFields.push('cache-control', cacheControl);
  if (varies) cacheFields.push('vary', 'accept-encoding');
  cacheFields.push(...extraFields);
  const wholeFields = ['accept-ranges', 'bytes', ...cacheFields];
  if (encoding !== undefined) wholeFields.push('content-encoding', encoding);
  const whole = wholeAnswer(file, type, wholeFields);
  return { file, type, etag, lastModifiedMs, isDateStrong: isSettled, cacheFields, wholeFields, extraFields, whole };
}

/** Without the inode, so that machines with copies of a file produce the same tag. */
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
  const { whole } = representation;
  if (ranges === 'whole') return method === 'HEAD' ? { ...whole, pieces: [] } : whole;
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

function wholeAnswer(file: FileFacts, type: string, fields: readonly string[]): FileAnswer {
  return {
    status: 200,
    fields: [...typeField(type), 'content-length', `${file.size}`, ...fields],
    pieces: pieceOf(file, { offset: 0, length: file.size }),
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

/** RFC 9110, 14.6. No file contains an unpredictable boundary. */
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
