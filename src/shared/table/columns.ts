/**
 * Places of a row's values, and the words that describe a table to its user.
 *
 * ```
 * half: ┌─────────┬───────────────┬─────────────┬──────────────────────────────┐   a string or bytes: ┌────────┬───────┐
 *       │ expires │ int, float    │ int32, bool │ strings and bytes            │                      │ length │ bytes │
 *       │ 8 B     │ 8 B each      │ 4 B each    │ 4 B + their size, rounded up │                      └────────┴───────┘
 *       └─────────┴───────────────┴─────────────┴──────────────────────────────┘
 * ```
 * An `int` is a float64: safe integers fit, and one aligned store is never torn.
 */
import { describe, ServerError, told } from '../../errors/index.js';
import type { ColumnSpec, ColumnSpecs } from './row-types.js';

export const FLOAT = 0;
export const INT = 1;
export const INT32 = 2;
export const BOOL = 3;
export const STRING = 4;
export const BYTES = 5;

export interface Column {
  readonly name: string;
  readonly kind: typeof FLOAT | typeof INT | typeof INT32 | typeof BOOL | typeof STRING | typeof BYTES;
  /** In words of 4 bytes, from the start of the half. */
  readonly at: number;
  /** Its own number. */
  readonly index: number;
  /** That it takes, with the length of a string. */
  readonly words: number;
  /** The most bytes of a string, or of bytes. */
  readonly size: number;
}

export interface Columns {
  /** In the order of their places. */
  readonly all: readonly Column[];
  readonly byName: ReadonlyMap<string, Column>;
  /** In the order of their declaration. */
  readonly names: readonly string[];
  /** Of one half: even, so that each half begins at a multiple of 8 bytes. */
  readonly words: number;
  /** For messages: `visits: int, name: string of 32`. */
  readonly text: string;
}

const KINDS = { float: FLOAT, int: INT, int32: INT32, bool: BOOL, string: STRING, bytes: BYTES } as const;
/** When the row expires. */
const EXPIRES_WORDS = 2;
const MAX_COLUMNS = 1024;
/** Also of a key. */
export const MAX_VALUE_BYTES = 2 ** 24;

/** @throws ServerError ERR_TABLE_DECLARATION */
export function layOutColumns(specs: ColumnSpecs): Columns {
  const names = checkNames(specs);
  const kinds = names.map((name) => ({ name, ...kindOf(name, specs[name]) }));
  let at = EXPIRES_WORDS;
  const all = kinds
    .sort((a, b) => rank(a.kind) - rank(b.kind))
    .map(({ name, kind, size }, index): Column => {
      const words = wordsOf(kind, size);
      at += words;
      return { name, kind, size, words, index, at: at - words };
    });
  const byName = new Map(all.map((column) => [column.name, column]));
  const text = names.map((name) => `${name}: ${textOf(specs[name])}`).join(', ');
  return { all, byName, names, words: even(at), text };
}

export function even(words: number): number {
  return words + (words & 1);
}

function checkNames(specs: unknown): string[] {
  if (typeof specs !== 'object' || specs === null) throw wrong('columns', 'an object of columns', specs);
  const names = Object.keys(specs);
  if (names.length === 0 || names.length > MAX_COLUMNS) {
    throw wrong('columns', `an object of 1 to ${MAX_COLUMNS} columns`, specs);
  }
  if (names.includes('__proto__')) throw wrong('columns', 'named other than "__proto__"', specs);
  return names;
}

function kindOf(name: string, spec: unknown): Pick<Column, 'kind' | 'size'> {
  if (spec === 'float' || spec === 'int' || spec === 'int32' || spec === 'bool') return { kind: KINDS[spec], size: 0 };
  const { type, size } = (typeof spec === 'object' && spec !== null ? spec : {}) as { type?: unknown; size?: unknown };
  if (type !== 'string' && type !== 'bytes') {
    const expected = "'int', 'int32', 'float', 'bool' or { type: 'string' or 'bytes', size }";
    throw wrong(`column "${name}"`, expected, spec);
  }
  if (!Number.isInteger(size) || Number(size) < 1 || Number(size) > MAX_VALUE_BYTES) {
    throw wrong(`size of column "${name}"`, `an integer from 1 to ${MAX_VALUE_BYTES}`, size);
  }
  return { kind: KINDS[type], size: Number(size) };
}

/** What needs the largest alignment comes first. */
function rank(kind: Column['kind']): number {
  if (kind >= STRING) return 2;
  return kind >= INT32 ? 1 : 0;
}

function wordsOf(kind: Column['kind'], size: number): number {
  if (kind >= STRING) return 1 + Math.ceil(size / 4);
  return kind >= INT32 ? 1 : 2;
}

function textOf(spec: ColumnSpec | undefined): string {
  return typeof spec === 'object' ? `${spec.type} of ${spec.size}` : String(spec);
}

export function wrong(part: string, expected: string, received: unknown): ServerError {
  return told(new ServerError('ERR_TABLE_DECLARATION', { part, expected, received: describe(received) }));
}
