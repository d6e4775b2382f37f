import { deserialize, serialize } from 'node:v8';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { decodeValue, encodeValue, TracedValue, ValueKind, withTrace } from '../../src/messaging/value.js';

const there = (value: unknown): unknown => {
  const { kind, content, length } = encodeValue(value);
  const bytes = Buffer.from(content as string); // text, or bytes
  expect(bytes.length).toBe(length);
  return decodeValue(kind, bytes);
};

it('whatever the value is, what arrives is what the structured clone gives', () => {
  const leaf = fc.oneof(
    fc.anything({ withBigInt: true, withDate: true, withMap: true, withSet: true, withTypedArray: true }),
    fc.jsonValue(),
    fc.constantFrom(-0, Number.NaN, undefined, '__proto__', '\ud800'),
  );
  fc.assert(
    fc.property(leaf, (value) => {
      expect(there(value)).toStrictEqual(deserialize(serialize(value)));
    }),
    { numRuns: 2000 },
  );
});

it('small plain objects take the fast way, and shared references, holes and other prototypes do not', () => {
  const shared = { a: 1 };
  class Point {
    x = 1;
  }
  const kindOf = (value: unknown): number => encodeValue(value).kind;
  expect(kindOf({ a: [1, 'x', null, { b: true }] })).toBe(ValueKind.json);
  // biome-ignore lint/suspicious/noSparseArray: that is what is tested
  for (const value of [[shared, shared], [, 1], new Point(), { u: undefined }, [-0], { d: new Date(0) }]) {
    expect(kindOf(value)).toBe(ValueKind.clone);
  }
  expect(kindOf({ bytes: Buffer.alloc(200 * 2 ** 20) })).toBe(ValueKind.clone);
  const [one, two] = there([shared, shared]) as object[];
  expect(one).toBe(two);
  const cycle: { self?: unknown } = {};
  cycle.self = cycle;
  const back = there(cycle) as { self: unknown };
  expect(back.self).toBe(back);
});

it('what calls itself JSON-able by toJSON is no exception', () => {
  expect(() => encodeValue({ toJSON: () => 1 })).toThrow(expect.objectContaining({ code: 'ERR_DATA_NOT_CLONEABLE' }));
});

it('numbers, bytes, text and nothing have ways of their own', () => {
  const kinds = [1.5, Buffer.of(1), new Uint8Array(1), 'ä', undefined].map((value) => encodeValue(value).kind);
  expect(kinds).toEqual([ValueKind.number, ValueKind.buffer, ValueKind.bytes, ValueKind.string, ValueKind.undefined]);
});

it('up to 256 items and 32 objects take the fast way, and one more does not', () => {
  const items = (count: number): number[] => Array.from({ length: count }, (_, index) => index);
  const record = (count: number): object => Object.fromEntries(items(count).map((index) => [`k${index}`, index]));
  const objects = (count: number): object[] => items(count - 1).map(() => ({}));
  for (const make of [items, record]) {
    expect([encodeValue(make(256)).kind, encodeValue(make(257)).kind]).toEqual([ValueKind.json, ValueKind.clone]);
  }
  expect([encodeValue(objects(32)).kind, encodeValue(objects(33)).kind]).toEqual([ValueKind.json, ValueKind.clone]);
});

it.each([undefined, 5, 'text', 'é'.repeat(300), Buffer.from('bytes'), { a: [1] }, new Map([[1, 2]])])(
  'a value that goes with the context of a trace is the same behind it: %o',
  (value) => {
    for (const trace of ['{"traceparent":"a"}', 'é'.repeat(16_384)]) {
      const { kind, content, length } = withTrace(encodeValue(value), trace);
      expect(length).toBe(content.length);
      const read = decodeValue(kind, Buffer.from(content as Uint8Array));
      expect(read).toBeInstanceOf(TracedValue);
      expect((read as TracedValue).trace).toBe(trace);
      expect((read as TracedValue).value).toStrictEqual(value);
    }
  },
);
