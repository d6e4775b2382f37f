import fc from 'fast-check';
import { expect, test } from 'vitest';
import { formatSize, parseSize } from '../../src/options/size.js';

test.each([
  ['0', 0],
  ['512', 512],
  ['1k', 1024],
  ['128K', 131_072],
  ['2m', 2_097_152],
  ['1g', 1_073_741_824],
  ['007', 7],
  [String(Number.MAX_SAFE_INTEGER), Number.MAX_SAFE_INTEGER],
])('%s is %i bytes', (text, bytes) => {
  expect(parseSize(text)).toBe(bytes);
});

test('a size that a number cannot hold exactly is none', () => {
  expect(parseSize('9007199254740992')).toBeUndefined();
  expect(parseSize('9'.repeat(400))).toBeUndefined();
  expect(parseSize('8388608g')).toBeUndefined();
});

test('each size is read back from its shortest text', () => {
  const exponents = fc.tuple(fc.nat(1023), fc.integer({ min: 0, max: 3 })).map(([n, power]) => n * 1024 ** power);
  fc.assert(
    fc.property(fc.oneof(exponents, fc.maxSafeNat()), (bytes) => {
      expect(parseSize(formatSize(bytes))).toBe(bytes);
    }),
  );
});

test('a text that is not digits with k, m, g or nothing behind them is no size', () => {
  const unit = fc.constantFrom(...'0123456789kmgKMG .-+xe\n');
  fc.assert(
    fc.property(fc.string({ unit }), (text) => {
      fc.pre(!/^[0-9]+[kmgKMG]?$/.test(text) || text.endsWith('\n'));
      expect(parseSize(text)).toBeUndefined();
    }),
  );
});
