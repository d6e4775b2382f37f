/** A declared table: its checked options, its layout, and its memory. */
import { crc32 } from 'node:zlib';
import { refuseUnknownNames } from '../../options/known-names.js';
import type { SharedObject } from '../arena.js';
import { attach } from '../objects.js';
import { optionsObject } from '../waiting/check.js';
import { type Columns, layOutColumns, MAX_VALUE_BYTES, wrong } from './columns.js';
import { drawSeed } from './keys.js';
import { header, type Layout, layOutTable } from './layout.js';
import type { ColumnSpecs } from './row-types.js';

const DEFAULT_KEY_BYTES = 64;
/** More would not fit into the largest memory. */
const MAX_ROWS = 2 ** 26;
/** A longer description is told apart by its checksum. */
const MAX_TEXT = 2000;

/** What a `Table` is declared with beside its rows and columns, the same in every process. */
export interface TableOptions {
  /** The same in each process. Without one, a table is the n-th that the script declares. */
  readonly name?: string;
  /** The most bytes of a key, in UTF-8. Default: 64. */
  readonly keyBytes?: number;
  /** What a new key does that finds no free row: throw ERR_TABLE_FULL (the default), or take the place of a row not read for long. */
  readonly onFull?: 'error' | 'evict';
  /** How long a row stays after each `set`, `insert`, `update` or `compareAndSet`. Default: for ever. Unit: milliseconds. */
  readonly expiresMs?: number;
  /**
   * Keeps the table in this file, which takes its whole size on the disk: the rows are there when the server starts again, also
   * after it was killed. A crash of the machine may lose or tear rows. Processes of one machine may share it, also without a
   * server. The path is resolved against the working directory; the file belongs to this table alone.
   */
  readonly file?: string;
}

export interface Declaration {
  readonly layout: Layout;
  readonly expiresMs: number | undefined;
  readonly isOfFile: boolean;
  readonly object: SharedObject;
}

/** How a table gets its memory: tests have arenas of their own. */
export type Attach = typeof attach;

/** @throws ServerError ERR_TABLE_DECLARATION, ERR_OPTION_UNKNOWN, ERR_SHARED_SCHEMA, ERR_SHARED_LIMIT, ERR_SHARED_NAME, ERR_SHARED_FILE */
export function declareTable(
  rows: number,
  specs: ColumnSpecs,
  options: TableOptions,
  attachTo: Attach = attach,
): Declaration {
  if (!isInRange(rows, MAX_ROWS)) throw wrong('number of rows', `an integer from 1 to ${MAX_ROWS}`, rows);
  if (typeof options !== 'object' || options === null) throw wrong('options', 'an object', options);
  refuseUnknownNames('options', options, ['name', 'keyBytes', 'onFull', 'expiresMs', 'file']);
  checkOptions(options);
  const columns = layOutColumns(specs);
  const keyBytes = options.keyBytes ?? DEFAULT_KEY_BYTES;
  const layout = layOutTable({ rows, columns, keyBytes, isEvicting: options.onFull === 'evict' });
  const object = attachTable(layout, options, attachTo);
  return { layout, object, expiresMs: options.expiresMs, isOfFile: options.file !== undefined };
}

/** The one place where a table gets its memory. */
function attachTable(layout: Layout, { name, file }: TableOptions, attachTo: Attach): SharedObject {
  return attachTo({
    kind: 'table',
    name,
    schema: schemaOf(layout),
    bytes: layout.bytes,
    initialise: (memory) => initialise(memory, layout),
    file,
  });
}

function initialise(memory: ArrayBuffer, { rows, bytes, isEvicting }: Layout): void {
  const int32 = new Int32Array(memory);
  int32[header.rows] = rows;
  int32[header.bytes] = bytes;
  int32[header.isEvicting] = isEvicting ? 1 : 0;
  drawSeed(int32);
}

function schemaOf({ rows, columns, keyBytes, isEvicting }: Layout): string {
  const onFull = isEvicting ? "onFull 'evict'" : "onFull 'error'";
  return `${rows} rows of { ${textOf(columns)} }, keys of at most ${keyBytes} bytes, ${onFull}`;
}

function textOf({ text }: Columns): string {
  return text.length <= MAX_TEXT ? text : `${text.slice(0, MAX_TEXT)}… (checksum ${crc32(text)})`;
}

function checkOptions({ name, keyBytes, onFull, expiresMs, file }: TableOptions): void {
  if (name !== undefined && typeof name !== 'string') throw wrong('option "name"', 'a string', name);
  if (file !== undefined && (typeof file !== 'string' || file === '')) throw wrong('option "file"', 'a path', file);
  if (keyBytes !== undefined && !isInRange(keyBytes, MAX_VALUE_BYTES)) {
    throw wrong('option "keyBytes"', `an integer from 1 to ${MAX_VALUE_BYTES}`, keyBytes);
  }
  if (onFull !== undefined && onFull !== 'error' && onFull !== 'evict') {
    throw wrong('option "onFull"', "'error' or 'evict'", onFull);
  }
  if (expiresMs !== undefined) checkExpiry(expiresMs);
}

/** Those of a single write. @throws ServerError ERR_OPTION_TYPE, ERR_OPTION_UNKNOWN */
export function checkWriteOptions(options: unknown): void {
  optionsObject(options, ['expiresMs']);
}

/** Also of a single write. `Infinity`: never. */
export function checkExpiry(expiresMs: number): void {
  if (typeof expiresMs === 'number' && expiresMs > 0) return;
  throw wrong('option "expiresMs"', 'a number of milliseconds above 0', expiresMs);
}

function isInRange(value: unknown, most: number): boolean {
  return Number.isInteger(value) && Number(value) >= 1 && Number(value) <= most;
}
