import { brotliCompressSync, deflateRawSync, deflateSync, gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { testOf } from '../../src/http/fetch/coded.js';

const text = Buffer.from(Array.from({ length: 30_000 }, (_, i) => `{"number": ${i * 7919}}\n`).join(''));
const zstd = Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0, 0]);
const coded = {
  gzip: gzipSync(text),
  'x-gzip': gzipSync(text),
  deflate: deflateSync(text),
  br: brotliCompressSync(text),
  zstd,
};

describe.each(Object.entries(coded))('%s', (name, bytes) => {
  it('is told from the text it was made of', () => {
    expect([testOf(name)?.(bytes, true), testOf(name)?.(text, true)]).toEqual([true, false]);
  });

  it('is told by its beginning, and is not nothing', () => {
    expect(testOf(name)?.(bytes.subarray(0, 5), false)).toBe(true);
    expect(testOf(name)?.(text.subarray(0, 40), false)).toBe(false);
  });

  it('is told in every case, and as the outer one of several', () => {
    for (const names of [name.toUpperCase(), `identity, ${name}`, ` ${name} `]) {
      expect(testOf(names)?.(bytes, true)).toBe(true);
    }
  });
});

it.each(['gzip', 'zstd'])('%s is not an empty body', (name) => {
  expect(testOf(name)?.(Buffer.alloc(0), true)).toBe(false);
});

it('deflate is taken without its frame too', () => {
  const bytes = deflateRawSync(text);
  expect([testOf('deflate')?.(bytes, true), testOf('deflate')?.(bytes.subarray(0, 100), false)]).toEqual([true, true]);
  expect(testOf('deflate')?.(bytes.subarray(0, 100), true)).toBe(false);
});

it('a short body that was cut is not whole', () => {
  const bytes = brotliCompressSync(Buffer.from('a text that is short'));
  expect([testOf('br')?.(bytes, true), testOf('br')?.(bytes.subarray(0, -1), true)]).toEqual([true, false]);
});

it('what becomes very much is in that coding', () => {
  const bytes = deflateRawSync(Buffer.alloc(64 * 1024 * 1024));
  expect(testOf('deflate')?.(bytes, true)).toBe(true);
});

it.each(['', 'identity', 'gzip, identity', 'toString', 'compress'])('"%s" cannot be told', (name) => {
  expect(testOf(name)).toBeUndefined();
});
