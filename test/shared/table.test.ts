import { closeSync } from 'node:fs';
import { afterAll, describe, expect, it } from 'vitest';
import { Table } from '../../src/index.js';

describe('a table', () => {
  it('keeps rows', () => {
    const table = new Table(10, { visits: 'int', rate: 'float', n: 'int32', on: 'bool', name: { type: 'string', size: 32 }, raw: { type: 'bytes', size: 8 } });
    table.set('a', { visits: 3, name: 'Zoë' });
    expect(table.get('a')).toEqual({ visits: 3, rate: 0, n: 0, on: false, name: 'Zoë', raw: Buffer.alloc(0) });
    table.set('a', { rate: 1.5, on: true, n: -7, raw: Buffer.from([1, 2]) });
    expect(table.get('a')).toEqual({ visits: 3, rate: 1.5, n: -7, on: true, name: 'Zoë', raw: Buffer.from([1, 2]) });
    expect(table.incr('a', 'visits', 4)).toBe(7);
    expect(table.decr('b', 'rate', 0.5)).toBe(-0.5);
    expect(table.size).toBe(2);
    expect([...table].map(([key]) => key)).toEqual(['a', 'b']);
    expect(table.take('a')?.visits).toBe(7);
    expect(table.delete('b')).toBe(true);
    expect(table.stats()).toMatchObject({ rowsUsed: 0, rows: 10 });
  });
});
