/** Types by inference: what does not compile is marked, and `npm run check` says where the mark is wrong. */
import { expect, expectTypeOf, it } from 'vitest';
import { type RowOf, Table } from '../../src/index.js';

const columns = {
  visits: 'int',
  small: 'int32',
  rate: 'float',
  isOn: 'bool',
  name: { type: 'string', size: 32 },
  raw: { type: 'bytes', size: 4 },
} as const;

interface Row {
  visits: number;
  small: number;
  rate: number;
  isOn: boolean;
  name: string;
  raw: Uint8Array;
}

it('rows have the types of their columns', () => {
  const table = new Table(10, {
    visits: 'int',
    small: 'int32',
    rate: 'float',
    isOn: 'bool',
    name: { type: 'string', size: 32 },
    raw: { type: 'bytes', size: 4 },
  });
  expectTypeOf<RowOf<typeof columns>>().toEqualTypeOf<Row>();
  expectTypeOf(table.get('k')?.visits).toEqualTypeOf<number | undefined>();
  expectTypeOf(table.get('k', 'isOn')).toEqualTypeOf<boolean | undefined>();
  expectTypeOf(table.get('k', 'raw')).toEqualTypeOf<Uint8Array | undefined>();
  expectTypeOf(table.take('k')).toEqualTypeOf<Row | undefined>();
  expectTypeOf([...table]).toEqualTypeOf<[string, Row][]>();
  expectTypeOf(table.update('k', (row) => row.name)).toEqualTypeOf<string>();
  expectTypeOf(table.incr('k', 'rate')).toEqualTypeOf<number>();
});

it('what does not fit does not compile', () => {
  expect(doesNotCompile).toBeTypeOf('function');
});

function doesNotCompile(table: Table<typeof columns>): void {
  // @ts-expect-error no such column
  table.get('k')?.visit;
  // @ts-expect-error no such column
  table.get('k', 'visit');
  // @ts-expect-error no such column
  table.set('k', { visit: 1 });
  // @ts-expect-error another type
  table.set('k', { visits: '1' });
  // @ts-expect-error another type
  table.compareAndSet('k', { name: 1 }, {});
  // @ts-expect-error another type
  table.insert('k', { isOn: 1 });
  // @ts-expect-error not a number
  table.incr('k', 'name');
  // @ts-expect-error not a number
  table.decr('k', 'isOn');
  // @ts-expect-error no such column
  table.update('k', (row) => row.visit);
  // @ts-expect-error a kind that there is not
  new Table(1, { a: 'long' });
  // @ts-expect-error a string needs a size
  new Table(1, { a: { type: 'string' } });
  // @ts-expect-error only these two
  new Table(1, { a: 'int' }, { onFull: 'wait' });
}
