import fc from 'fast-check';
import { expect, test } from 'vitest';
import { describe } from '../../src/errors/index.js';

class Point {}

test.each([
  [undefined, 'undefined'],
  [null, 'null'],
  [true, 'boolean true'],
  [0, 'number 0'],
  [-0, 'number -0'],
  [Number.NaN, 'number NaN'],
  [12n, 'bigint 12n'],
  ['', 'string ""'],
  ['a"b\n', 'string "a\\"b\\n"'],
  [Symbol('s'), 'symbol s'],
  [Symbol(), 'symbol'],
  [() => 1, 'function'],
  [function named() {}, 'function named'],
  [[1, 2], 'array of length 2'],
  [Buffer.from('abc'), 'Buffer of 3 bytes'],
  [new Uint16Array(2), 'Uint16Array of 4 bytes'],
  [new TypeError('no'), 'TypeError "no"'],
  [new Map(), 'Map'],
  [new Point(), 'Point'],
  [{ a: 1, b: 2 }, 'object {a, b}'],
  [{ a: 1, b: 2, c: 3, d: 4, e: 5, f: 6 }, 'object {a, b, c, d, e, …}'],
  [Object.create(null), 'object {}'],
])('%# a value is told by its type and a short form', (value, expected) => {
  expect(describe(value)).toBe(expected);
});

test('a long string is cut and its length told', () => {
  expect(describe('x'.repeat(40))).toBe(`string "${'x'.repeat(40)}"`);
  expect(describe('x'.repeat(41))).toBe(`string "${'x'.repeat(40)}…" (41 characters)`);
});

test('a value that throws at every touch is told by its type', () => {
  const hostile = new Proxy({}, { getPrototypeOf: throwing, ownKeys: throwing, get: throwing });
  expect(describe(hostile)).toBe('object');
});

test('whatever the value, the text is short', () => {
  fc.assert(
    fc.property(fc.anything({ withBigInt: true, withDate: true, withMap: true, withTypedArray: true }), (value) => {
      expect(describe(value).length).toBeLessThan(400);
    }),
  );
});

function throwing(): never {
  throw new Error('do not touch');
}
