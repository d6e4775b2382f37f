/** Rows, as readers see them: they take no lock. See `layout.ts` for the places. */
import { type Column, type Columns, FLOAT } from './columns.js';
import type { Keys } from './keys.js';
import { type Layout, row, stripe, stripeOf } from './layout.js';
import { readValue, type Views, viewsOf } from './row-image.js';

/** A walk looks that often whether rows have left its chain: it may have been led into another one, which is longer. */
const STEPS_BETWEEN_LOOKS = 64;

/** On x86 loads and stores keep their order by themselves, so a plain one, of 3 ns, does instead of an atomic one, of 25. */
const isOrdered = process.arch === 'x64';
const fence = new Int32Array(new SharedArrayBuffer(4));

type Value = ReturnType<typeof readValue>;
export type RowCopy = Record<string, Value>;

export class Rows {
  readonly views: Views;
  readonly int32: Int32Array;
  readonly layout: Layout;
  /** Reads that began anew because a writer was faster. */
  retries = 0;
  readonly #template: RowCopy;
  readonly #make: (values: readonly Value[]) => RowCopy;
  /** Of the row that is being read. */
  readonly #values: Value[];
  readonly #now: () => number;

  constructor(memory: ArrayBuffer, layout: Layout, now: () => number) {
    this.views = viewsOf(memory);
    this.int32 = this.views.int32;
    this.layout = layout;
    this.#template = templateOf(layout.columns);
    this.#make = makerOf(layout.columns);
    this.#values = layout.columns.all.map(({ kind }) => emptyOf(kind));
    this.#now = now;
  }

  /** @returns where the row begins; −1: no such key */
  find(hash: number, keys: Keys): number {
    const at = this.#walk(hash, keys, -1);
    return at >= 0 ? at : this.#findSurely(hash, keys);
  }

  /** With its stripe locked. */
  findLocked(hash: number, keys: Keys): number {
    return this.#walk(hash, keys, this.int32[stripeOf(hash) + stripe.left] ?? 0);
  }

  at(index: number): number {
    return this.layout.rowsAt + index * this.layout.rowWords;
  }

  indexOf(at: number): number {
    return (at - this.layout.rowsAt) / this.layout.rowWords;
  }

  headOf(hash: number): number {
    return this.layout.headsAt + (hash & this.layout.headMask);
  }

  version(at: number): number {
    return this.#load(at + row.version);
  }

  halfOf(at: number, version: number): number {
    return at + this.layout.halfAt + (version & 1) * this.layout.columns.words;
  }

  isExpired(half: number): boolean {
    const expires = this.views.float64[half / 2] ?? 0;
    return expires !== 0 && expires <= this.#now();
  }

  /** Infinity: never. */
  expiresAt(half: number): number {
    return this.views.float64[half / 2] || Number.POSITIVE_INFINITY;
  }

  /** @returns undefined when there is no such row, or it has expired */
  read(hash: number, keys: Keys): RowCopy | undefined {
    for (;;) {
      const at = this.find(hash, keys);
      if (at < 0) return undefined;
      const version = this.version(at);
      if (!this.isKey(at, hash, keys)) continue;
      const half = this.halfOf(at, version);
      const found = this.isExpired(half) ? undefined : this.copy(this.views, half);
      if (this.isStill(at, version)) return this.#touched(at, found);
      this.retries++;
    }
  }

  readColumn(hash: number, keys: Keys, column: Column): Value | undefined {
    for (;;) {
      const at = this.find(hash, keys);
      if (at < 0) return undefined;
      const version = this.version(at);
      if (!this.isKey(at, hash, keys)) continue;
      const half = this.halfOf(at, version);
      const found = this.isExpired(half) ? undefined : readValue(this.views, half, column);
      if (this.isStill(at, version)) return this.#touched(at, found);
      this.retries++;
    }
  }

  has(hash: number, keys: Keys): boolean {
    const at = this.find(hash, keys);
    return at >= 0 && !this.isExpired(this.halfOf(at, this.version(at)));
  }

  /** @returns key and row of that number, unless it is free or has expired */
  readNumbered(index: number): [string, RowCopy] | undefined {
    const at = this.at(index);
    for (;;) {
      const version = this.version(at);
      if (this.#load(at + row.hash) === 0) return undefined;
      const half = this.halfOf(at, version);
      const found = this.isExpired(half) ? undefined : ([this.#keyOf(at), this.copy(this.views, half)] as const);
      if (this.isStill(at, version)) return found === undefined ? undefined : [found[0], found[1]];
      this.retries++;
    }
  }

  /** @param half of the table, or of an image: of `views` */
  copy(views: Views, half: number): RowCopy {
    const { all } = this.layout.columns;
    for (let index = 0; index < all.length; index++) this.#values[index] = readValue(views, half, all[index] as Column);
    return this.#make(this.#values);
  }

  empty(): RowCopy {
    return { ...this.#template };
  }

  isKey(at: number, hash: number, keys: Keys): boolean {
    const { int32 } = this;
    if (int32[at + row.hash] !== hash || int32[at + row.keyBytes] !== keys.length) return false;
    const words = (keys.length + 3) >>> 2;
    for (let index = 0; index < words; index++) {
      if (int32[at + row.key + index] !== keys.words[index]) return false;
    }
    return true;
  }

  /** Whether what was read of the row since its version was taken is of that version. */
  isStill(at: number, version: number): boolean {
    if (!isOrdered) Atomics.store(fence, 0, 0); // loads before it stay before it, and the one after it stays after it
    return Atomics.load(this.int32, at + row.version) === version;
  }

  /** Makes true what was stored before it: readers that see it see all of that. */
  publish(at: number, value: number): void {
    if (isOrdered) this.int32[at] = value;
    else Atomics.store(this.int32, at, value);
  }

  #load(at: number): number {
    return isOrdered ? (this.int32[at] ?? 0) : Atomics.load(this.int32, at);
  }

  /** A miss counts only if no row has left the chain meanwhile: it may be in another one by now, and so may be the walk. */
  #findSurely(hash: number, keys: Keys): number {
    const leftAt = stripeOf(hash) + stripe.left;
    for (;;) {
      const left = Atomics.load(this.int32, leftAt);
      const at = this.#walk(hash, keys, left);
      if (at >= 0 || Atomics.load(this.int32, leftAt) === left) return at;
      this.retries++;
    }
  }

  /** @param left what the stripe's counter said when the walk began; −1: another walk follows */
  #walk(hash: number, keys: Keys, left: number): number {
    const { int32 } = this;
    const { rowsAt, rowWords } = this.layout;
    let next = int32[this.headOf(hash)] ?? 0;
    for (let steps = 1; next > 0; steps++) {
      const at = rowsAt + (next - 1) * rowWords;
      if (int32[at + row.hash] === hash && this.isKey(at, hash, keys)) return at;
      next = int32[at + row.next] ?? 0;
      if (steps % STEPS_BETWEEN_LOOKS === 0 && this.#isAstray(hash, left)) return -1;
    }
    return -1;
  }

  #isAstray(hash: number, left: number): boolean {
    return Atomics.load(this.int32, stripeOf(hash) + stripe.left) !== left;
  }

  #keyOf(at: number): string {
    const length = Math.min(this.int32[at + row.keyBytes] ?? 0, this.layout.keyBytes);
    return this.views.bytes.toString('utf8', (at + row.key) * 4, (at + row.key) * 4 + length);
  }

  /** Tells eviction that the row is in use. */
  #touched<T>(at: number, found: T): T {
    if (this.layout.isEvicting) this.touch(at);
    return found;
  }

  touch(at: number): void {
    const byte = this.layout.touchedAt + this.indexOf(at);
    if (this.views.bytes[byte] === 0) this.views.bytes[byte] = 1;
  }
}

/** All columns, in their order of declaration, so that each row is a copy of one shape. */
function templateOf({ names, byName }: Columns): RowCopy {
  return Object.fromEntries(names.map((name) => [name, emptyOf(byName.get(name)?.kind ?? FLOAT)]));
}

/**
 * Makes an object of values in the order of `all`. Where code may be made of text, it is a literal, so that each row is one
 * allocation; storing by name takes twice as long.
 */
function makerOf({ names, all, byName }: Columns): (values: readonly Value[]) => RowCopy {
  const fields = names.map((name) => `${JSON.stringify(name)}: values[${byName.get(name)?.index}]`);
  try {
    return new Function('values', `return { ${fields.join(', ')} };`) as (values: readonly Value[]) => RowCopy;
  } catch {
    const template = templateOf({ names, all, byName } as Columns); // node --disallow-code-generation-from-strings
    return (values) => {
      const row = { ...template };
      for (const { name, index } of all) row[name] = values[index] as Value;
      return row;
    };
  }
}

const EMPTY: readonly Value[] = [0, 0, 0, false, '', new Uint8Array(0)];

function emptyOf(kind: Column['kind']): Value {
  return EMPTY[kind] ?? 0;
}
