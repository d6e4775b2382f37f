import { describe, expect, it } from 'vitest';
import { NO_WORKER, StickyValue, workerOfHash } from '../../../src/protocol/http/sticky-value.js';

const cookie = new StickyValue({ by: 'cookie', name: 'sid' });
const header = new StickyValue({ by: 'header', name: 'x_session-id' });

/** Of so many workers that no two values meet by chance. */
const MANY = 2 ** 30;

function place(value: StickyValue, lines: readonly string[], workerNum: number): number {
  const before = 'GET / HTTP/1.1\r\n';
  const fields = lines.map((line) => `${line}\r\n`).join('');
  const bytes = Buffer.from(`${before}${fields}\r\nsid=body; cookie: sid=body\r\n`, 'latin1');
  return value.workerOf(bytes, before.length, before.length + fields.length, workerNum);
}

const hash = (value: StickyValue, ...lines: string[]): number => place(value, lines, MANY);

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
  ])('is not found: %s', (_, lines) => expect(hash(cookie, 'host: sid=abc', ...lines)).toBe(NO_WORKER));

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
    expect(hash(header, 'x-session-id: abc', 'x_session-id: ')).toBe(NO_WORKER);
  });
});

describe('a value that names its worker', () => {
  const of = (sid: string, workerNum: number): number => place(cookie, [`cookie: a=1; sid=${sid} ; b=2`], workerNum);

  it('goes there while there is one', () => {
    expect([of('abc.w3', 4), of('abc.w0', 1), of('.w12', 20)]).toEqual([3, 0, 12]);
    expect(place(header, ['x_session-id: abc.w2'], 3)).toBe(2);
    expect(of('abc.w3', 3)).toBe(of('abc.w3', 3));
    expect(of('abc.w3', 3)).toBeLessThan(3);
  });

  it('is a value as any other where it does not quite', () => {
    for (const sid of ['abcw3', 'abc.w', 'abc.W3', 'abc.w3x', 'w3']) expect(of(sid, MANY), sid).toBeGreaterThan(1000);
  });
});

describe('the worker of a value', () => {
  const values = Array.from({ length: 20_000 }, (_, i) => `cookie: sid=session-${i}`);
  const placesAmong = (workerNum: number): number[] => values.map((line) => place(cookie, [line], workerNum));

  it('is any, as often as the others', () => {
    const counts = new Array<number>(8).fill(0);
    for (const worker of placesAmong(8)) counts[worker]!++;
    for (const count of counts) expect(Math.abs(count / 2500 - 1)).toBeLessThan(0.1);
  });

  it('changes with the number of workers only to the new one', () => {
    let places = placesAmong(1);
    for (let workerNum = 1; workerNum < 12; workerNum++) {
      const after = placesAmong(workerNum + 1);
      const moved = after.filter((worker, i) => worker !== places[i]);
      expect(new Set(moved)).toEqual(new Set([workerNum]));
      expect(Math.abs(moved.length / (values.length / (workerNum + 1)) - 1)).toBeLessThan(0.15);
      places = after;
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
