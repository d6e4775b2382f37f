/** The types of a table's rows, inferred from its columns. */

/**
 * What a column holds: `int`, a safe integer; `int32`, an integer of 32 bits; `float`, any number; `bool`; a string of at most
 * `size` bytes of UTF-8; at most `size` bytes.
 */
export type ColumnSpec =
  | 'int'
  | 'int32'
  | 'float'
  | 'bool'
  | { readonly type: 'string' | 'bytes'; readonly size: number };

/** The columns of a `Table`, by name. */
export type ColumnSpecs = Readonly<Record<string, ColumnSpec>>;

type ValueOf<C extends ColumnSpec> = C extends 'bool'
  ? boolean
  : C extends 'int' | 'int32' | 'float'
    ? number
    : C extends { readonly type: 'string' }
      ? string
      : Uint8Array;

/** One row: a copy, which changes nothing in the table. */
export type RowOf<S extends ColumnSpecs> = { -readonly [N in keyof S]: ValueOf<S[N]> };

/** The names of the columns that can be counted up and down. */
export type NumberColumn<S extends ColumnSpecs> = {
  [N in keyof S & string]: S[N] extends 'int' | 'int32' | 'float' ? N : never;
}[keyof S & string];
