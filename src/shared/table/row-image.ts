/**
 * A half of a row outside of the table, in this process. Values are checked and encoded into it before a lock is taken, so that
 * nothing that can fail, run the user's code or take memory happens while other processes wait.
 */
import { describe, ServerError } from '../../errors/index.js';
import { BOOL, BYTES, type Column, type Columns, FLOAT, INT, INT32, STRING } from './columns.js';
import { LENGTH_MASK, readText, writeShortAscii } from './text.js';

const MAX_INT32 = 2 ** 31;

/** Arrays over one memory: of an image, or of the table. */
export interface Views {
  readonly int32: Int32Array;
  readonly float64: Float64Array;
  readonly bytes: Buffer;
}

export function viewsOf(memory: ArrayBuffer): Views {
  return { int32: new Int32Array(memory), float64: new Float64Array(memory), bytes: Buffer.from(memory) };
}

export class RowImage {
  readonly views: Views;
  /** The columns that were given last, by their number. */
  readonly given: Int32Array;
  count = 0;
  readonly #columns: Columns;
  readonly #table: string;
  #turn = 0;

  constructor(columns: Columns, table: string) {
    this.#columns = columns;
    this.#table = table;
    this.given = new Int32Array(columns.all.length);
    this.views = viewsOf(new ArrayBuffer(columns.words * 4));
  }

  get isComplete(): boolean {
    return this.count === this.#columns.all.length;
  }

  /** @throws ServerError ERR_TABLE_COLUMN, ERR_TABLE_VALUE, ERR_TABLE_VALUE_TOO_LONG, ERR_TABLE_NESTED */
  take(values: Readonly<Record<string, unknown>>): void {
    if (typeof values !== 'object' || values === null) throw this.#wrong('a row', 'an object', values);
    const turn = ++this.#turn;
    this.count = 0;
    for (const name in values) {
      const value = values[name];
      if (value === undefined) continue;
      const column = this.#columns.byName.get(name);
      if (column === undefined) throw this.unknown(name);
      this.#write(column, value);
      this.given[this.count++] = column.index;
    }
    // A getter of the row has written to the table.
    if (turn !== this.#turn) throw new ServerError('ERR_TABLE_NESTED', { table: this.#table });
  }

  takeNumber(column: Column, value: number): void {
    this.#turn++;
    this.#write(column, value);
    this.given[0] = column.index;
    this.count = 1;
  }

  unknown(name: unknown): ServerError {
    const columns = this.#columns.all.map((column) => column.name).join(', ');
    return new ServerError('ERR_TABLE_COLUMN', {
      table: this.#table,
      column: typeof name === 'string' ? name : describe(name),
      columns,
    });
  }

  #write(column: Column, value: unknown): void {
    const { int32, float64 } = this.views;
    switch (column.kind) {
      case STRING:
        int32[column.at] = this.#writeString(column, value);
        return;
      case BYTES:
        int32[column.at] = this.#writeBytes(column, value);
        return;
      case BOOL:
        if (typeof value !== 'boolean') throw this.wrongValue(column, value);
        int32[column.at] = value ? 1 : 0;
        return;
      default:
        if (!isNumberOf(column.kind, value)) throw this.wrongValue(column, value);
        if (column.kind === INT32) int32[column.at] = value;
        else float64[column.at >>> 1] = value;
    }
  }

  #writeString(column: Column, value: unknown): number {
    if (typeof value !== 'string') throw this.wrongValue(column, value);
    const { bytes } = this.views;
    const at = (column.at + 1) * 4;
    const short = writeShortAscii(bytes, at, value, column.size);
    if (short >= 0) return short;
    return this.#writeUtf8(column, value);
  }

  #writeUtf8(column: Column, text: string): number {
    const length = text.length > column.size ? text.length : Buffer.byteLength(text);
    if (length > column.size) throw this.#tooLong(column, Buffer.byteLength(text));
    if (length !== text.length && !text.isWellFormed()) throw this.wrongValue(column, text);
    this.views.bytes.write(text, (column.at + 1) * 4);
    return length;
  }

  #writeBytes(column: Column, value: unknown): number {
    if (!(value instanceof Uint8Array)) throw this.wrongValue(column, value);
    if (value.length > column.size) throw this.#tooLong(column, value.length);
    this.views.bytes.set(value, (column.at + 1) * 4);
    return value.length;
  }

  #tooLong({ name, size }: Column, bytes: number): ServerError {
    return new ServerError('ERR_TABLE_VALUE_TOO_LONG', { table: this.#table, column: name, bytes, limit: size });
  }

  wrongValue(column: Column, value: unknown): ServerError {
    return this.#wrong(`column "${column.name}"`, EXPECTED[column.kind] ?? '', value);
  }

  #wrong(part: string, expected: string, value: unknown): ServerError {
    return new ServerError('ERR_TABLE_VALUE', { table: this.#table, part, expected, received: describe(value) });
  }
}

const EXPECTED: Readonly<Record<Column['kind'], string>> = {
  [FLOAT]: 'a number',
  [INT]: 'a safe integer',
  [INT32]: 'an integer of 32 bits',
  [BOOL]: 'true or false',
  [STRING]: 'a string of well-formed Unicode',
  [BYTES]: 'a Uint8Array',
};

export function isNumberOf(kind: Column['kind'], value: unknown): value is number {
  if (kind === FLOAT) return typeof value === 'number';
  if (kind === INT) return Number.isSafeInteger(value);
  return Number.isInteger(value) && Number(value) < MAX_INT32 && Number(value) >= -MAX_INT32;
}

/** @param half where the values begin, in words */
export function readValue(views: Views, half: number, column: Column): string | number | boolean | Uint8Array {
  const at = half + column.at;
  switch (column.kind) {
    case INT32:
      return views.int32[at] ?? 0;
    case BOOL:
      return views.int32[at] !== 0;
    case STRING:
      return readText(views.bytes, (at + 1) * 4, views.int32[at] ?? 0, column.size);
    case BYTES:
      return readBytes(views, at, column.size);
    default:
      return views.float64[at / 2] ?? 0;
  }
}

function readBytes({ int32, bytes }: Views, at: number, size: number): Uint8Array {
  const from = (at + 1) * 4;
  return Buffer.from(bytes.subarray(from, from + Math.min(int32[at] ?? 0, size)));
}

/** Whether an image holds, in that column, what a half of the table holds. NaN is NaN, and 0 is −0. */
export function isSame(image: Views, table: Views, half: number, column: Column): boolean {
  const at = half + column.at;
  if (column.kind <= INT) {
    const [x, y] = [image.float64[column.at / 2], table.float64[at / 2]];
    return x === y || (Number.isNaN(x) && Number.isNaN(y));
  }
  if (image.int32[column.at] !== table.int32[at]) return false;
  return column.kind < STRING || isSameBytes(image, table, half, column);
}

function isSameBytes(image: Views, table: Views, half: number, { at }: Column): boolean {
  const length = (image.int32[at] ?? 0) & LENGTH_MASK;
  for (let index = 4; index < length + 4; index++) {
    if (image.bytes[at * 4 + index] !== table.bytes[(half + at) * 4 + index]) return false;
  }
  return true;
}
