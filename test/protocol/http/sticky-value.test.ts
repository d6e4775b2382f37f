import { describe, expect, it } from 'vitest';
import { NO_VALUE, StickyValue, workerOfHash } from '../../../src/protocol/http/sticky-value.js';

const cookie = new StickyValue({ by: 'cookie', name: 'sid' });
const header = new StickyValue({ by: 'header', name: 'x_session-id' });

function hash(value: StickyValue, ...lines: string[]): number {
  const before = 'GET / HTTP/1.1\r\n';
  const fields = lines.map((line) => `${line}\r\n`).join('');
  const bytes = Buffer.from(`${before}${fields}\r\nsid=body; cookie: sid=body\r\n`, 'latin1');
  return value.hash(bytes, before.length, before.length + fields.length);
}

describe('the value of a cookie', () => {
  const abc = hash(cookie, 'cookie: sid=abc');

  it.each([
    ['another case of the field', 'COOKIE: sid=abc'],
    ['no blank', 'cookie:sid=abc'],
    ['the end of the list', 'cookie: a=1; sid=abc'],
    ['the middle of the list', 'cookie: a=1;sid=abc;b=2'],
    ['a name that ends alike', 'cookie: xsid=1; sid=abc'],
    ['a name that begins alike', 'cookie: sid2=1; sid=abc'],
    ['a value that looks like it', 'cookie: a=sid=1; sid=abc'],
    ['an empty one before it', 'cookie: sid=; sid=abc'],
    ['another one behind it', 'cookie: sid=abc; sid=xyz'],
    ['blanks around it', 'cookie:\t sid=abc \t; a=1'],
  ])('is found: %s', (_, line) => expect(hash(cookie, 'host: a', line, 'accept: *')).toBe(abc));

  it('is found in a second line', () => expect(hash(cookie, 'cookie: a=1', 'cookie: sid=abc')).toBe(abc));

  it.each([
    ['no line', []],
    ['another field', ['x-cookie: sid=abc', 'cookie2: sid=abc', 'cooki: sid=abc']],
    ['another name', ['cookie: sid2=abc; SID=abc; xsid=abc; sid']],
    ['no value', ['cookie: sid=; sid= ', 'cookie: sid=']],
    ['empty lines', ['cookie:', 'cookie: ']],
  ])('is not found: %s', (_, lines) => expect(hash(cookie, 'host: sid=abc', ...lines)).toBe(NO_VALUE));

  it('tells values apart', () => {
    const hashes = new Set(Array.from({ length: 10_000 }, (_, i) => hash(cookie, `cookie: sid=${i}`)));
    expect(hashes.size).toBeGreaterThan(9990);
  });
});

describe('the value of a header', () => {
  it('is the whole of its first line that has one', () => {
    const abc = hash(header, 'x_session-id: abc');
    expect(hash(header, 'X_Session-ID:abc  ')).toBe(abc);
    expect(hash(header, 'x_session-id:', 'x_session-id: abc', 'x_session-id: xyz')).toBe(abc);
    expect(hash(header, 'x_session-id: abc; d')).not.toBe(abc);
    expect(hash(header, 'x-session-id: abc', 'x_session-id: ')).toBe(NO_VALUE);
  });
});

describe('the worker of a value', () => {
  const values = Array.from({ length: 20_000 }, (_, i) => hash(cookie, `cookie: sid=session-${i}`));

  it('is any, as often as the others', () => {
    const counts = new Array<number>(8).fill(0);
    for (const value of values) counts[workerOfHash(value, 8)]!++;
    for (const count of counts) expect(Math.abs(count / 2500 - 1)).toBeLessThan(0.1);
  });

  it('changes with the number of workers only to the new one', () => {
    for (let workerNum = 1; workerNum < 12; workerNum++) {
      const moved = values.filter((value) => workerOfHash(value, workerNum) !== workerOfHash(value, workerNum + 1));
      expect(moved.every((value) => workerOfHash(value, workerNum + 1) === workerNum)).toBe(true);
      expect(Math.abs(moved.length / (values.length / (workerNum + 1)) - 1)).toBeLessThan(0.15);
    }
  });

  it('is there for the least and the greatest hash', () => {
    for (const value of [0, 1, 2 ** 31, 2 ** 32 - 1]) {
      for (const workerNum of [1, 2, 1000]) {
        const worker = workerOfHash(value, workerNum);
        expect(worker).toBeGreaterThanOrEqual(0);
        expect(worker).toBeLessThan(workerNum);
      }
    }
  });
});
