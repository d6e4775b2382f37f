import { randomBytes } from 'node:crypto';
import { expect, it } from 'vitest';
import { copyBytes } from '../../src/util/copy-bytes.js';

const LENGTHS = [0, 1, 100, 2047, 2048, 2049, 4095, 4096, 4097, 8191, 8192, 8193, 70_000];

it('copies are what they were made of, whatever becomes of their source, of others, and of themselves', () => {
  const source = randomBytes(100_000);
  const before = Buffer.from(source);
  const made = Array.from({ length: 400 }, (_, i) => {
    const length = LENGTHS[(i * 7) % LENGTHS.length] as number;
    const at = (i * 131) % 30_000;
    return { copy: copyBytes(source, at, at + length), at, length };
  });
  source.fill(0);
  for (const { copy, at, length } of made) {
    expect(copy.length).toBe(length);
    expect(copy.equals(before.subarray(at, at + length))).toBe(true);
    copy.fill(255);
  }
});

it('those of some KiB share memory, and begin at a multiple of 8 bytes', () => {
  const source = randomBytes(10_000);
  const copies = Array.from({ length: 100 }, () => copyBytes(source, 1, 3000));
  const blocks = new Set(copies.map(({ buffer }) => buffer));
  expect(blocks.size).toBeLessThanOrEqual(11);
  for (const { byteOffset } of copies) expect(byteOffset % 8).toBe(0);
});

it('one that is transferred takes the bytes of no other one with it', () => {
  const source = randomBytes(20_000);
  for (const length of [2048, 4095, 4096, 8192]) {
    const [given, other] = [copyBytes(source, 0, length), copyBytes(source, 0, length)];
    try {
      structuredClone(given, { transfer: [given.buffer as ArrayBuffer] });
    } catch (error) {
      expect((error as Error).name).toBe('DataCloneError'); // Node 20 copies it in place of that
    }
    expect(other.equals(source.subarray(0, length))).toBe(true);
    expect(copyBytes(source, 0, length).equals(source.subarray(0, length))).toBe(true);
  }
});
