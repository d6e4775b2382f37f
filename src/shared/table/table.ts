/** What the user holds: a table in shared memory, the same in every process of the server. */
import { types } from 'node:util';
import { describe, ServerError } from '../../errors/index.js';
import { monotonicMs } from '../../util/clock.js';
import { isThenable } from '../../util/thenable.js';
import type { SharedObject } from '../arena.js';
import { type Column, FLOAT, INT, INT32 } from './columns.js';
import { type Attach, checkExpiry, checkWriteOptions, declareTable, type TableOptions } from './declaration.js';
import { type TableFigures, tableFigures } from './figures.js';
import { Keys } from './keys.js';
import type { Layout } from './layout.js';
import { PATIENCE_MS } from './locks.js';
import { isNumberOf, RowImage } from './row-image.js';
import type { ColumnSpecs, NumberColumn, RowOf } from './row-types.js';
import { Rows } from './rows.js';
import { type Condition, KEEP, NEVER, type WriteParts, Writes } from './writes.js';

/** Of one write. */
export interface SetOptions {
  /** How long the row stays, instead of the time of the table; `Infinity`: for ever. Unit: milliseconds. */
  readonly expiresMs?: number;
}

/** For tests. */
export interface TableParts extends Partial<WriteParts> {
  readonly attach?: Attach;
}

/**
 * Rows by key, which every process of the server reads and writes at memory speed, and which outlive reloads and crashes of
 * workers. Declare it once, at the top of the script, before `start()`. In a script without a server it is the script's own.
 *
 * Each operation on a row is atomic, also between processes: a reader sees a row as one write has left it. A process that is
 * killed in the midst of a write leaves the row as it was before, or as it should be afterwards. Readers never wait. A writer
 * waits for at most a second for another one, which may be stopped (ERR_TABLE_BUSY).
 *
 * @example
 * const visits = new Table(10_000, { count: 'int', last: { type: 'string', size: 32 } });
 * visits.incr('/index.html', 'count');
 * visits.get('/index.html')?.count;
 */
export class Table<const S extends ColumnSpecs = ColumnSpecs> implements Iterable<[string, RowOf<S>]> {
  readonly #object: SharedObject;
  readonly #layout: Layout;
  readonly #rows: Rows;
  readonly #keys: Keys;
  readonly #writes: Writes;
  readonly #image: RowImage;
  /** A row that is expected, or that was taken. */
  readonly #spare: RowImage;
  readonly #expiresMs: number | undefined;
  readonly #now: () => number;

  /**
   * @param rows it takes exactly so many
   * @param columns each with its kind; a column that was never set is 0, false or empty
   * @throws ServerError ERR_TABLE_DECLARATION; ERR_OPTION_UNKNOWN; ERR_SHARED_SCHEMA when another table has this name; ERR_SHARED_LIMIT;
   *   ERR_SHARED_FILE
   */
  constructor(rows: number, columns: S, options?: TableOptions);
  /** @internal */
  constructor(rows: number, columns: S, options?: TableOptions, parts?: TableParts);
  constructor(rows: number, columns: S, options: TableOptions = {}, parts: TableParts = {}) {
    const { object, layout, expiresMs, isOfFile } = declareTable(rows, columns, options, parts.attach);
    const { now = isOfFile ? Date.now : monotonicMs, patienceMs = PATIENCE_MS, atStep = nothing } = parts;
    const { memory, name, owners } = object;
    this.#object = object;
    this.#layout = layout;
    this.#expiresMs = expiresMs;
    this.#now = now;
    this.#rows = new Rows(memory, layout, now);
    this.#keys = new Keys(this.#rows.int32, name, layout.keyBytes);
    this.#writes = new Writes({ name, rows: this.#rows, keys: this.#keys, owners }, { now, patienceMs, atStep });
    this.#image = new RowImage(layout.columns, name);
    this.#spare = new RowImage(layout.columns, name);
  }

  /** @returns a copy of the row, or the value of one column; undefined when there is no such key */
  get(key: string): RowOf<S> | undefined;
  /** @returns the value of one column; undefined when there is no such key */
  get<N extends keyof S & string>(key: string, column: N): RowOf<S>[N] | undefined;
  get(key: string, column?: string): unknown {
    const hash = this.#keys.take(key);
    if (column === undefined) return this.#rows.read(hash, this.#keys);
    return this.#rows.readColumn(hash, this.#keys, this.#columnOf(column));
  }

  /** Whether there is such a key. Cheaper than `get`. */
  has(key: string): boolean {
    return this.#rows.has(this.#keys.take(key), this.#keys);
  }

  /**
   * Writes the given columns; the others stay as they are, or are 0, false or empty in a new row.
   * @throws ServerError ERR_TABLE_FULL, ERR_TABLE_KEY_TOO_LONG, ERR_TABLE_VALUE_TOO_LONG, ERR_TABLE_VALUE, ERR_TABLE_COLUMN,
   *   ERR_TABLE_BUSY
   */
  set(key: string, row: Partial<RowOf<S>>, options?: SetOptions): void {
    this.#put(key, row, 'always', options);
  }

  /** Like `set`, for a key that is not there. @returns false when it is there; then nothing has changed */
  insert(key: string, row: Partial<RowOf<S>>, options?: SetOptions): boolean {
    return this.#put(key, row, 'new', options);
  }

  /**
   * Like `set`, for a row whose columns hold what is expected of them; `undefined`: there is no such row.
   * @returns false when they do not; then nothing has changed
   */
  compareAndSet(
    key: string,
    expected: Partial<RowOf<S>> | undefined,
    row: Partial<RowOf<S>>,
    options?: SetOptions,
  ): boolean {
    if (expected === undefined) return this.#put(key, row, 'new', options);
    this.#spare.take(expected);
    return this.#put(key, row, this.#spare, options);
  }

  /**
   * Lets a function change a row, which no other process changes meanwhile: it gets a copy, empty for a new key, and what it
   * leaves in it is written. Others that write to that row, or to one of its neighbours, wait: it should be short. It may read
   * the table, not write to it. If it throws, nothing changes.
   * @returns what the function returns
   * @throws ServerError as `set`; ERR_TABLE_CHANGE for an async function; ERR_TABLE_NESTED
   */
  update<R>(key: string, change: (row: RowOf<S>) => R): R {
    if (typeof change !== 'function' || isDeferred(change)) throw this.#notSynchronous(change);
    const hash = this.#keys.take(key);
    let result: R | undefined;
    this.#writes.update(hash, this.#image, this.#until(undefined), (row) => {
      result = change(row as RowOf<S>);
      if (isThenable(result)) throw this.#notSynchronous(result);
      this.#image.take(row);
      this.#keys.take(key); // the function may have read
    });
    return result as R;
  }

  /**
   * Adds to a column; a key that is not there begins at 0. When the row expires does not change.
   * @returns the value afterwards
   * @throws ServerError as `set`; ERR_TABLE_VALUE also for a sum that the column cannot hold
   */
  incr(key: string, column: NumberColumn<S>, by = 1): number {
    return this.#add(key, column, by);
  }

  /** Like `incr`, downwards. */
  decr(key: string, column: NumberColumn<S>, by = 1): number {
    return this.#add(key, column, typeof by === 'number' ? -by : by);
  }

  /** @returns whether it was there */
  delete(key: string): boolean {
    return this.#writes.remove(this.#keys.take(key));
  }

  /** Deletes the row. @returns the row as it was; undefined when there is no such key */
  take(key: string): RowOf<S> | undefined {
    const { views } = this.#spare;
    if (!this.#writes.remove(this.#keys.take(key), views)) return undefined;
    return this.#rows.copy(views, 0) as RowOf<S>;
  }

  /** Deletes all rows, one after the other: those that are written meanwhile may stay. */
  clear(): void {
    this.#writes.clear();
  }

  /** Keys that are there, and those that have expired and whose place was not needed yet. */
  get size(): number {
    return this.#writes.allocator.live;
  }

  /** That it has room for. */
  get rows(): number {
    return this.#layout.rows;
  }

  /** Of address space; pages that were never written take no memory. */
  get memoryBytes(): number {
    return this.#layout.bytes;
  }

  /** Counted since the table was made, over all processes. */
  stats(): TableFigures {
    return tableFigures(this.#object);
  }

  /** Rows that are there all the time come once; those that come or go meanwhile, perhaps. Each one is whole. */
  *[Symbol.iterator](): IterableIterator<[string, RowOf<S>]> {
    const { used } = this.#writes.allocator;
    for (let index = 0; index < used; index++) {
      const found = this.#rows.readNumbered(index);
      if (found !== undefined) yield found as [string, RowOf<S>];
    }
  }

  #put(key: string, row: Partial<RowOf<S>>, condition: Condition, options: SetOptions | undefined): boolean {
    this.#image.take(row);
    const until = this.#until(options);
    return this.#writes.put(this.#keys.take(key), this.#image, condition, until);
  }

  #add(key: string, name: string, by: number): number {
    const column = this.#columnOf(name);
    if (column.kind > INT32) throw this.#notCountable(column);
    if (!isNumberOf(column.kind === INT32 ? INT : column.kind, by)) throw this.#image.wrongValue(column, by);
    const hash = this.#keys.take(key);
    for (;;) {
      const value = this.#writes.add(hash, column, by) ?? this.#begin(hash, column, by);
      if (value === undefined) continue;
      if (column.kind !== FLOAT && Number.isNaN(value)) throw this.#outOfRange(column, by);
      return value;
    }
  }

  /** @returns undefined when another process was faster */
  #begin(hash: number, column: Column, by: number): number | undefined {
    this.#image.takeNumber(column, by);
    return this.#writes.put(hash, this.#image, 'new', this.#until(undefined)) ? by : undefined;
  }

  #until(options: SetOptions | undefined): number {
    if (options !== undefined) checkWriteOptions(options);
    const ms = options?.expiresMs === undefined ? this.#expiresMs : options.expiresMs;
    if (ms === undefined) return KEEP;
    if (ms !== this.#expiresMs) checkExpiry(ms);
    return ms === Number.POSITIVE_INFINITY ? NEVER : this.#now() + ms;
  }

  #columnOf(name: string): Column {
    const column = this.#layout.columns.byName.get(name);
    if (column === undefined) throw this.#image.unknown(name);
    return column;
  }

  #outOfRange(column: Column, by: number): ServerError {
    const { name } = this.#object;
    const expected = column.kind === INT ? 'a safe integer' : 'an integer of 32 bits';
    const part = `the sum in column "${column.name}"`;
    return new ServerError('ERR_TABLE_VALUE', {
      table: name,
      part,
      expected,
      received: `a larger one after adding ${by}`,
    });
  }

  #notCountable({ name }: Column): ServerError {
    const expected = "an 'int', 'int32' or 'float', which can be counted";
    return new ServerError('ERR_TABLE_VALUE', {
      ...{ table: this.#object.name, part: `column "${name}"`, expected, received: 'a column of another kind' },
    });
  }

  #notSynchronous(received: unknown): ServerError {
    return new ServerError('ERR_TABLE_CHANGE', { table: this.#object.name, received: describe(received) });
  }
}

/** Its body does not run, or not to its end, when it is called. */
function isDeferred(change: unknown): boolean {
  return types.isAsyncFunction(change) || types.isGeneratorFunction(change);
}

function nothing(): void {}
