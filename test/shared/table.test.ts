import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, it } from 'vitest';
import { type ColumnSpecs, Table, type TableOptions } from '../../src/index.js';
import { Keys } from '../../src/shared/table/keys.js';
import { allocator, STRIPES, stripeOf } from '../../src/shared/table/layout.js';
import { TableWorld } from '../helpers/table-world.js';

const open: { close(): void }[] = [];
afterEach(() => {
  for (const each of open.splice(0)) each.close();
});

function worldOf<const S extends ColumnSpecs>(columns: S, rows: number, options: TableOptions = {}): TableWorld<S> {
  const world = new TableWorld<S>(columns, { rows, ...options });
  open.push(world);
  return world;
}

const all = {
  on: 'bool',
  name: { type: 'string', size: 32 },
  visits: 'int',
  raw: { type: 'bytes', size: 8 },
  n: 'int32',
  rate: 'float',
} as const;
const empty = { on: false, name: '', visits: 0, raw: Buffer.alloc(0), n: 0, rate: 0 };
const codeOf = (run: () => unknown): string => {
  try {
    run();
    return 'nothing';
  } catch (error) {
    return (error as { code?: string }).code ?? String(error);
  }
};

describe('a table', () => {
  it('works in a script without a server', () => {
    const table = new Table(3, { visits: 'int' });
    expect(table.incr('a', 'visits')).toBe(1);
    expect(table.get('a')?.visits).toBe(1);
  });

  it('keeps the columns that are not given, or begins them empty, in the order of their declaration', () => {
    const table = worldOf(all, 10).of(1);
    table.set('a', { visits: 3, name: 'Zoë' });
    expect(table.get('a')).toEqual({ ...empty, visits: 3, name: 'Zoë' });
    table.set('a', { rate: 1.5, on: true, n: -7, raw: Buffer.from([1, 2]) });
    const row = { visits: 3, rate: 1.5, n: -7, on: true, name: 'Zoë', raw: Buffer.from([1, 2]) };
    expect(table.get('a')).toEqual(row);
    expect(Object.keys(table.get('a') ?? {})).toEqual(Object.keys(all));
    for (const name of Object.keys(row) as (keyof typeof row)[]) expect(table.get('a', name)).toEqual(row[name]);
    expect(table.get('b', 'n')).toBeUndefined();
  });

  it('is the same in each process', () => {
    const world = worldOf(all, 10);
    const [one, two] = [world.of(1), world.of(2)];
    one.set('a', { visits: 1 });
    expect(two.incr('a', 'visits', 2)).toBe(3);
    expect(one.get('a', 'visits')).toBe(3);
    expect(two.delete('a')).toBe(true);
    expect([one.has('a'), one.delete('a')]).toEqual([false, false]);
  });

  it('inserts, takes, compares and sets, updates and clears', () => {
    const table = worldOf(all, 10).of(1);
    expect([table.insert('a', { n: 1 }), table.insert('a', { n: 2 })]).toEqual([true, false]);
    expect(table.compareAndSet('a', { n: 2 }, { n: 3 })).toBe(false);
    expect(table.compareAndSet('a', { n: 1, name: '' }, { name: 'été' })).toBe(true);
    expect(table.compareAndSet('a', { name: 'ete' }, { n: 9 })).toBe(false);
    expect(table.compareAndSet('a', { name: 'été', rate: -0 }, { rate: Number.NaN })).toBe(true);
    expect(table.compareAndSet('a', { rate: Number.NaN }, { raw: Buffer.from('xy') })).toBe(true);
    expect(table.compareAndSet('a', { raw: Buffer.from('xz') }, { n: 9 })).toBe(false);
    expect(table.compareAndSet('a', undefined, { n: 9 })).toBe(false);
    expect(table.compareAndSet('none', {}, { n: 9 })).toBe(false);
    expect(table.compareAndSet('new', undefined, { n: 4 })).toBe(true);
    expect(table.update('new', (row) => ++row.n)).toBe(5);
    expect(table.update('other', (row) => Object.assign(row, { name: `o${table.get('new')?.n}` }).n)).toBe(0);
    expect(table.take('new')).toEqual({ ...empty, n: 5 });
    expect([table.take('new'), table.size, table.get('other', 'name')]).toEqual([undefined, 2, 'o5']);
    expect(Object.fromEntries(table)).toEqual({ a: table.get('a'), other: table.get('other') });
    table.clear();
    expect([[...table], table.size, table.has('a')]).toEqual([[], 0, false]);
  });

  it('counts up and down as far as the column can', () => {
    const table = worldOf(all, 10).of(1);
    expect([table.incr('a', 'visits'), table.incr('a', 'visits', 5), table.decr('a', 'visits')]).toEqual([1, 6, 5]);
    expect([table.decr('a', 'rate', 0.5), table.incr('b', 'n', -2)]).toEqual([-0.5, -2]);
    table.set('a', { n: 2 ** 31 - 1, visits: Number.MAX_SAFE_INTEGER });
    expect(() => table.incr('a', 'n')).toThrow(/the sum in column "n" must be an integer of 32 bits/);
    expect(codeOf(() => table.incr('a', 'visits'))).toBe('ERR_TABLE_VALUE');
    expect(codeOf(() => table.incr('a', 'n', 0.5))).toBe('ERR_TABLE_VALUE');
    expect(codeOf(() => table.incr('new', 'n', 2 ** 31))).toBe('ERR_TABLE_VALUE');
    expect(codeOf(() => table.incr('a', 'name' as 'n'))).toBe('ERR_TABLE_VALUE');
    expect(table.get('a')).toMatchObject({ n: 2 ** 31 - 1, visits: Number.MAX_SAFE_INTEGER });
  });

  it.each([Object.create(null), [Object.create(null)], [Symbol('s')], Symbol('s'), 1n, null])(
    'refuses %o as a column, and as what is counted',
    (wrong) => {
      const table = worldOf(all, 10).of(1);
      expect(codeOf(() => table.get('a', wrong))).toBe('ERR_TABLE_COLUMN');
      expect(codeOf(() => table.incr('a', wrong))).toBe('ERR_TABLE_COLUMN');
      for (const by of [wrong, '5']) {
        expect(codeOf(() => table.incr('a', 'n', by as number))).toBe('ERR_TABLE_VALUE');
        expect(codeOf(() => table.decr('a', 'n', by as number))).toBe('ERR_TABLE_VALUE');
      }
    },
  );

  it.each([
    ['int', { visits: 0.5 }, 'ERR_TABLE_VALUE'],
    ['int', { visits: 2 ** 53 }, 'ERR_TABLE_VALUE'],
    ['int32', { n: 2 ** 31 }, 'ERR_TABLE_VALUE'],
    ['int32', { n: '1' }, 'ERR_TABLE_VALUE'],
    ['float', { rate: 1n }, 'ERR_TABLE_VALUE'],
    ['bool', { on: 1 }, 'ERR_TABLE_VALUE'],
    ['string', { name: 1 }, 'ERR_TABLE_VALUE'],
    ['string', { name: `a\ud800` }, 'ERR_TABLE_VALUE'],
    ['string', { name: 'x'.repeat(33) }, 'ERR_TABLE_VALUE_TOO_LONG'],
    ['string', { name: 'é'.repeat(17) }, 'ERR_TABLE_VALUE_TOO_LONG'],
    ['bytes', { raw: 'x' }, 'ERR_TABLE_VALUE'],
    ['bytes', { raw: Buffer.alloc(9) }, 'ERR_TABLE_VALUE_TOO_LONG'],
    ['unknown', { nothing: 1 }, 'ERR_TABLE_COLUMN'],
    ['row', null, 'ERR_TABLE_VALUE'],
  ])('refuses what a column of kind %s cannot hold, and changes nothing', (_, row, code) => {
    const table = worldOf(all, 10).of(1);
    const given = row as Parameters<typeof table.set>[1];
    expect(codeOf(() => table.set('a', { n: 1, ...given, ...(row === null ? null : {}) } as never))).toBe(
      row === null ? 'nothing' : code,
    );
    expect(codeOf(() => table.set('b', given))).toBe(code);
    expect(table.has('b')).toBe(false);
  });

  it('keeps any key and string that fits, byte by byte', () => {
    const table = worldOf({ s: { type: 'string', size: 40 } }, 200, { keyBytes: 12 }).of(1);
    const keys = [
      '',
      '\0',
      'a',
      '\0\0',
      'a\0',
      'éééééé',
      '漢漢漢漢',
      '😀😀😀',
      'abcdefghijkl',
      'abcdefghijk',
      'abcdefgh',
    ];
    const texts = ['', '\0', 'x'.repeat(40), 'é'.repeat(20), '😀'.repeat(10), 'a\0b', '\x7f\x80', 'x'.repeat(33)];
    for (const key of keys) for (const text of texts) table.set(key, { s: text });
    for (const [n, key] of keys.entries()) table.set(key, { s: texts[n % texts.length] ?? '' });
    for (const [n, key] of keys.entries()) expect(table.get(key)?.s).toBe(texts[n % texts.length]);
    expect(table.size).toBe(keys.length);
    expect(new Set([...table].map(([key]) => key))).toEqual(new Set(keys));
    for (const key of ['abcdefghijklm', 'ééééééa', '漢漢漢漢a', '😀😀😀a']) {
      expect(codeOf(() => table.set(key, {}))).toBe('ERR_TABLE_KEY_TOO_LONG');
      expect(codeOf(() => table.get(key))).toBe('ERR_TABLE_KEY_TOO_LONG');
    }
    for (const key of ['a\ud800', '\udc00', 1, undefined, null, {}]) {
      expect(codeOf(() => table.has(key as string))).toBe('ERR_TABLE_KEY');
    }
  });

  it('lets one function at a time change a row', () => {
    const table = worldOf({ n: 'int' }, 10).of(1);
    const failed = new Error('failed');
    const fails = () => {
      throw failed;
    };
    expect(() => table.update('a', fails)).toThrow(failed);
    expect(codeOf(() => table.update('a', async () => {}))).toBe('ERR_TABLE_CHANGE');
    expect(codeOf(() => table.update('a', () => Promise.resolve()))).toBe('ERR_TABLE_CHANGE');
    expect(codeOf(() => table.update('a', 'no' as never))).toBe('ERR_TABLE_CHANGE');
    expect(codeOf(() => table.update('a', function* () {}))).toBe('ERR_TABLE_CHANGE');
    expect(codeOf(() => table.update('a', async function* () {}))).toBe('ERR_TABLE_CHANGE');
    expect(codeOf(() => table.update('a', () => table.set('b', {})))).toBe('ERR_TABLE_NESTED');
    expect(codeOf(() => table.update('a', (row) => Object.assign(row, { n: 'x' })))).toBe('ERR_TABLE_VALUE');
    const getter = {
      get n() {
        table.set('b', { n: 7 });
        return 1;
      },
    };
    expect(codeOf(() => table.set('a', getter))).toBe('ERR_TABLE_NESTED');
    expect([table.size, table.get('b', 'n')]).toEqual([1, 7]);
    expect(table.update('a', (row) => ++row.n)).toBe(1);
  });

  it('takes exactly so many rows, whatever their keys', () => {
    for (const rows of [1, 7, 64, 1000]) {
      const table = worldOf({ n: 'int' }, rows).of(1);
      for (let n = 0; n < rows; n++) table.set(`${n}`, { n });
      expect(codeOf(() => table.set('more', {}))).toBe('ERR_TABLE_FULL');
      expect(codeOf(() => table.incr('more', 'n'))).toBe('ERR_TABLE_FULL');
      expect(codeOf(() => table.update('more', () => 1))).toBe('ERR_TABLE_FULL');
      table.set('0', { n: 9 });
      expect(table.delete(`${rows - 1}`)).toBe(true);
      table.set('more', { n: 1 });
      expect([table.size, table.get('more', 'n'), table.get('0', 'n')]).toEqual([rows, 1, rows === 1 ? undefined : 9]);
    }
  });

  it('takes exactly so many rows of one chain, and finds each', () => {
    const world = worldOf({ n: 'int' }, 200);
    const table = world.of(1);
    const keys = keysOfOneChain(world, 201);
    for (const [n, key] of keys.slice(0, 200).entries()) table.set(key, { n });
    const last = keys[200] ?? '';
    expect(codeOf(() => table.set(last, {}))).toBe('ERR_TABLE_FULL');
    for (const [n, key] of keys.entries()) expect(table.get(key, 'n')).toBe(n === 200 ? undefined : n);
    for (const [n, key] of keys.slice(0, 200).entries()) if (n % 2 === 0) expect(table.delete(key)).toBe(true);
    table.set(last, { n: 200 });
    for (const [n, key] of keys.entries()) expect(table.get(key, 'n')).toBe(n % 2 === 0 && n < 200 ? undefined : n);
    expect(world.faults()).toEqual([]);
  });

  it('is described by its figures', () => {
    const table = worldOf({ n: 'int', s: { type: 'string', size: 30 } }, 1000, { keyBytes: 20 }).of(1);
    table.set('a', {});
    const bytes = 128 + STRIPES * 64 + 1024 * 4 + 1000 * (16 + 24 + 2 * (8 + 8 + 4 + 32 + 4));
    expect(table.stats()).toEqual({ rows: 1000, rowsUsed: 1, bytes, lockWaits: 0, brokenLocks: 0, evictions: 0 });
    expect([table.rows, table.memoryBytes]).toEqual([1000, bytes]);
  });

  it('is still right when its versions wrap', () => {
    const world = worldOf({ n: 'int' }, 1);
    const table = world.of(1);
    table.set('a', { n: 0 });
    const int32 = world.int32;
    const at = world.layout.rowsAt;
    int32[at] = 2 ** 31 - 3;
    table.set('a', { n: 1 });
    for (let n = 1; n < 10; n++) {
      expect(table.get('a')).toEqual({ n });
      if (n % 2 === 0) table.incr('a', 'n');
      else table.set('a', { n: n + 1 });
    }
    expect(int32[at]).toBeLessThan(0);
  });
});

function keysOfOneChain(world: TableWorld<ColumnSpecs>, count: number): string[] {
  const keys = new Keys(world.int32, 'table', 64);
  const found: string[] = [];
  for (let n = 0; found.length < count; n++) {
    if ((keys.take(`k${n}`) & world.layout.headMask) === 5) found.push(`k${n}`);
  }
  return found;
}

describe('a table that is full', () => {
  it('with onFull: evict lets rows go that were not read for long', () => {
    const table = worldOf({ n: 'int' }, 100, { onFull: 'evict' }).of(1);
    for (let n = 0; n < 100; n++) table.set(`k${n}`, { n });
    for (let n = 100; n < 1000; n++) {
      for (const key of ['k3', 'k50']) expect(table.get(key)?.n).toBe(Number(key.slice(1)));
      table.set(`k${n}`, { n });
      expect(table.get(`k${n}`, 'n')).toBe(n);
    }
    expect([table.size, table.stats().evictions]).toEqual([100, 900]);
  });

  it('gives the places of rows that have expired to others', () => {
    let now = 1000;
    const table = worldOf({ n: 'int' }, 3, { expiresMs: 100 }).of(1, { now: () => now });
    table.set('a', { n: 1 });
    table.set('b', { n: 2 }, { expiresMs: 500 });
    table.set('c', { n: 3 }, { expiresMs: Number.POSITIVE_INFINITY });
    expect(codeOf(() => table.set('d', {}))).toBe('ERR_TABLE_FULL');
    now = 1100;
    expect([table.get('a'), table.has('a'), table.get('b', 'n'), [...table].length]).toEqual([undefined, false, 2, 2]);
    table.set('d', { n: 4 });
    expect(table.size).toBe(3);
    now = 1e9;
    expect([...table]).toEqual([['c', { n: 3 }]]);
    expect(table.delete('b')).toBe(false);
    expect(table.take('d')).toBeUndefined();
    expect(table.size).toBe(1);
  });
});

describe('a row that expires', () => {
  it('begins anew with the next write, which renews its time; counting does not', () => {
    let now = 1000;
    const table = worldOf({ n: 'int', m: 'int' }, 3, { expiresMs: 100 }).of(1, { now: () => now });
    table.set('a', { n: 1, m: 1 });
    now = 1090;
    table.set('a', { n: 2 });
    now = 1180;
    expect([table.get('a', 'm'), table.incr('a', 'n')]).toEqual([1, 3]);
    now = 1190;
    expect(table.get('a')).toBeUndefined();
    expect(table.compareAndSet('a', { n: 3 }, {})).toBe(false);
    expect(table.incr('a', 'n')).toBe(1);
    expect(table.get('a')).toEqual({ n: 1, m: 0 });
    now = 1290;
    expect(table.insert('a', { m: 5 })).toBe(true);
    expect(table.update('a', (row) => row.n)).toBe(0);
    expect(codeOf(() => table.set('a', {}, { expiresMs: 0 }))).toBe('ERR_TABLE_DECLARATION');
  });
});

describe('a declaration', () => {
  it.each([
    ['no rows', 0, { n: 'int' }, {}],
    ['half a row', 1.5, { n: 'int' }, {}],
    ['no columns', 1, {}, {}],
    ['no object of columns', 1, null, {}],
    ['an unknown kind', 1, { n: 'long' }, {}],
    ['a string without a size', 1, { n: { type: 'string' } }, {}],
    ['a size of 0', 1, { n: { type: 'bytes', size: 0 } }, {}],
    ['a column that would be the prototype', 1, JSON.parse('{"__proto__": "int"}'), {}],
    ['keys of no bytes', 1, { n: 'int' }, { keyBytes: 0 }],
    ['another onFull', 1, { n: 'int' }, { onFull: 'wait' }],
    ['a negative time', 1, { n: 'int' }, { expiresMs: -1 }],
    ['a number as name', 1, { n: 'int' }, { name: 1 }],
    ['a number as file', 1, { n: 'int' }, { file: 1 }],
    ['no object of options', 1, { n: 'int' }, null],
  ])('of %s is refused', (_, rows, columns, options) => {
    expect(codeOf(() => new Table(rows, columns, options as never))).toBe('ERR_TABLE_DECLARATION');
  });

  it('that differs from the one there is refused, and both are told', () => {
    new Table(10, { n: 'int' }, { name: 'told' });
    expect(() => new Table(10, { n: 'int32' }, { name: 'told' })).toThrow(
      /"told" is there as 10 rows of \{ n: int \}, keys of at most 64 bytes.*; the script declares it as 10 rows of \{ n: int32 \}/,
    );
    expect(new Table(10, { n: 'int' }, { name: 'told' }).size).toBe(0);
    const long = (last: string): ColumnSpecs =>
      Object.fromEntries(Array.from({ length: 600 }, (_, n) => [`column ${n === 599 ? last : n}`, 'int']));
    new Table(1, long('a'), { name: 'long' });
    expect(codeOf(() => new Table(1, long('b'), { name: 'long' }))).toBe('ERR_SHARED_SCHEMA');
  });

  it('of more than a view may have is refused', () => {
    expect(codeOf(() => new Table(2 ** 26, { s: { type: 'string', size: 64 } }))).toBe('ERR_SHARED_LIMIT');
  });
});

describe('another process', () => {
  it('that is stopped in the midst of a write keeps writers out, not readers, and goes on where it stood', () => {
    const world = worldOf({ n: 'int', m: 'int' }, 10);
    const table = world.of(1);
    table.set('a', { n: 1, m: 1 });
    let isStopped = false;
    const other = world.of(2, {
      atStep: () => {
        if (isStopped) return;
        isStopped = true;
        expect(table.get('a')).toEqual({ n: 1, m: 1 });
        expect(codeOf(() => table.set('a', { n: 3 }))).toBe('ERR_TABLE_BUSY');
        expect(codeOf(() => table.incr('a', 'n'))).toBe('ERR_TABLE_BUSY');
        expect(codeOf(() => table.delete('a'))).toBe('ERR_TABLE_BUSY');
      },
    });
    other.set('a', { n: 2, m: 2 });
    expect(isStopped).toBe(true);
    expect(table.get('a')).toEqual({ n: 2, m: 2 });
    table.set('a', { n: 3 });
    expect([world.faults(), table.get('a', 'n')]).toEqual([[], 3]);
  });

  it('that is stopped with the allocator keeps out those who need it, and nothing is lost', () => {
    const world = worldOf({ n: 'int' }, 10);
    const table = world.of(1);
    table.set('a', { n: 1 });
    world.int32[allocator.lock] = world.wordOf(2);
    expect(codeOf(() => table.delete('a'))).toBe('ERR_TABLE_BUSY');
    expect(codeOf(() => table.set('b', {}))).toBe('ERR_TABLE_BUSY');
    table.set('a', { n: 2 });
    world.int32[allocator.lock] = 0;
    table.set('b', {});
    expect([world.faults(), table.size, table.get('a', 'n')]).toEqual([[], 2, 2]);
  });

  it('whose pid belongs to a later process by now has left its lock', () => {
    const world = worldOf({ n: 'int' }, 10);
    const word = world.wordOf(2);
    const table = world.of(1);
    for (let hash = 0; hash < STRIPES; hash++) world.int32[stripeOf(hash)] = word;
    expect(codeOf(() => table.set('a', { n: 1 }))).toBe('ERR_TABLE_BUSY');
    world.startTimes.set(2, '2');
    table.set('a', { n: 1 });
    expect([table.get('a', 'n'), table.stats().brokenLocks]).toEqual([1, 1]);
  });

  it('that writes a row while it is read makes the reader read again', () => {
    const world = worldOf({ a: 'int', s: { type: 'bytes', size: 8 } }, 2);
    const writer = world.of(2);
    const wholes = (n: number) => ({ a: n, s: Buffer.alloc(8, n) });
    writer.set('k', wholes(1));
    let left = 0;
    const reader = world.of(1, {
      now: () => {
        if (left-- > 0) {
          writer.delete('k');
          writer.set('other', wholes(7));
          writer.delete('other');
          writer.set('k', wholes(left + 2), { expiresMs: 1e9 });
        }
        return 0;
      },
    });
    writer.set('k', wholes(1), { expiresMs: 1e9 });
    for (let n = 1; n < 20; n++) {
      left = n;
      expect(reader.get('k')).toEqual(wholes(2));
    }
  });
});

describe('a mistyped option', () => {
  it.each([
    ['of a table', (): unknown => new Table(1, { n: 'int' }, { expireMs: 5 } as object)],
    ['of a write', () => new Table(1, { n: 'int' }).set('k', { n: 1 }, { expires: 5 } as object)],
    ['of an insert', () => new Table(1, { n: 'int' }).insert('k', { n: 1 }, { ttlMs: 5 } as object)],
  ])('%s is refused, with those that there are', (_, make) => {
    expect(make).toThrow(expect.objectContaining({ code: 'ERR_OPTION_UNKNOWN' }));
    expect(make).toThrow(/There are: .*expiresMs/);
  });
});

describe('a table that was full', () => {
  it('has room as soon as a row expires, also after it has refused one', () => {
    let now = 1000;
    const table = worldOf({ n: 'int' }, 3, { expiresMs: 5 }).of(1, { now: () => now });
    for (let burst = 0; burst < 5; burst++, now += 5) {
      for (const key of ['a', 'b', 'c']) table.set(`${key} ${burst}`, {});
      expect(codeOf(() => table.set('d', {}))).toBe('ERR_TABLE_FULL');
      now += 2;
      expect(codeOf(() => table.set('d', {}))).toBe('ERR_TABLE_FULL');
    }
  });
});

it('rows are read as well where code may not be made of text', () => {
  const table = fileURLToPath(new URL('../../build/shared/table/table.js', import.meta.url));
  const script = `const { Table } = await import(${JSON.stringify(table)});
    const table = new Table(1, { s: { type: 'string', size: 8 }, 'a "b"': 'int' });
    table.set('k', { s: 'x', 'a "b"': 7 });
    console.log(JSON.stringify(table.get('k')));`;
  for (const flags of [[], ['--disallow-code-generation-from-strings']]) {
    const { stdout } = spawnSync(process.execPath, [...flags, '--input-type=module', '-e', script], {
      encoding: 'utf8',
    });
    expect(stdout).toBe('{"s":"x","a \\"b\\"":7}\n');
  }
});
