import { describe, expect, it } from 'vitest';
import { Utf8Check } from '../../../src/protocol/websocket/utf8.js';

/** The second judge: not the code under test, nor what it calls. */
function decodes(bytes: Uint8Array): boolean {
  try {
    new TextDecoder('utf-8', { fatal: true }).decode(bytes);
    return true;
  } catch {
    return false;
  }
}

/** The beginning of some valid text: some way to complete the last character makes it valid. */
function canGoOn(bytes: Buffer): boolean {
  const endings = ['', '80', '9f', 'a0', 'bf', '8080', '9080', 'a080', 'bf80', '808080', '908080', 'a08080'];
  return endings.some((ending) => decodes(Buffer.concat([bytes, Buffer.from(ending, 'hex')])));
}

/** @returns how many of the pieces were taken, and the end's verdict */
function check(bytes: Buffer, cuts: readonly number[], checker = new Utf8Check()): { taken: number; isValid: boolean } {
  const ends = [...cuts, bytes.length];
  let from = 0;
  let taken = 0;
  for (const to of ends) {
    if (!checker.push(bytes, from, to)) break;
    taken++;
    from = to;
  }
  return { taken, isValid: checker.end() };
}

/** Each byte a piece: how many bytes were taken before it failed. */
function takenBytewise(bytes: Buffer): number {
  const checker = new Utf8Check();
  for (let at = 0; at < bytes.length; at++) if (!checker.push(bytes, at, at + 1)) return at;
  return bytes.length;
}

const hex = (text: string): Buffer => Buffer.from(text.replaceAll(' ', ''), 'hex');

const good: [string, string][] = [
  ['nothing', ''],
  ['ASCII', '48 65 6c 6c 6f'],
  ['NUL', '00'],
  ['the first of two bytes, U+80', 'c2 80'],
  ['the last of two, U+7FF', 'df bf'],
  ['the first of three, U+800', 'e0 a0 80'],
  ['before the surrogates, U+D7FF', 'ed 9f bf'],
  ['behind them, U+E000', 'ee 80 80'],
  ['the last of three, U+FFFF', 'ef bf bf'],
  ['the first of four, U+10000', 'f0 90 80 80'],
  ['the last there is, U+10FFFF', 'f4 8f bf bf'],
  ['a byte order mark', 'ef bb bf 61'],
  ['all sizes', '61 c3 a9 e2 82 ac f0 9f 98 80 61'],
  ['κόσμε', 'ce ba e1 bd b9 cf 83 ce bc ce b5'],
];

/** RFC 3629 3 and 10; the sequences of Autobahn's part 6. */
const bad: [string, string][] = [
  ['a continuation alone, 80', '80'],
  ['a continuation alone, BF', '61 bf'],
  ['two continuations', '80 bf'],
  ['a continuation too many', 'c3 a9 80'],
  ['overlong, two bytes: C0 AF', 'c0 af'],
  ['overlong, two bytes: C1 BF', 'c1 bf'],
  ['overlong, three bytes', 'e0 80 af'],
  ['overlong, three bytes, the highest', 'e0 9f bf'],
  ['overlong, four bytes', 'f0 80 80 af'],
  ['overlong, four bytes, the highest', 'f0 8f bf bf'],
  ['overlong NUL', 'c0 80'],
  ['the first surrogate', 'ed a0 80'],
  ['the last surrogate', 'ed bf bf'],
  ['a surrogate pair (CESU-8)', 'ed a1 8c ed be b4'],
  ['above U+10FFFF', 'f4 90 80 80'],
  ['lead F5', 'f5 80 80 80'],
  ['five bytes', 'f8 88 80 80 80'],
  ['six bytes', 'fc 84 80 80 80 80'],
  ['FE', 'fe'],
  ['FF', '61 ff 61'],
  ['a lead in place of the second', 'e2 e2 82 ac'],
  ['ASCII in place of the second', 'c3 61'],
  ['ASCII in place of the third', 'e2 82 61'],
  ['ASCII in place of the fourth', 'f0 9f 98 61'],
  ['Autobahn 6.3.1', 'ce ba e1 bd b9 cf 83 ce bc ce b5 ed a0 80 65 64 69 74 65 64'],
  ['Autobahn 6.4.1', 'ce ba e1 bd b9 cf 83 ce bc ce b5 f4 90 80 80 65 64 69 74 65 64'],
];

const cutShort: [string, string][] = [
  ['of two', 'c3'],
  ['of three, one', 'e2'],
  ['of three, two', 'e2 82'],
  ['of four, one', '61 f0'],
  ['of four, two', 'f0 9f'],
  ['of four, three', 'f0 9f 98'],
  ['F4 8F BF', 'f4 8f bf'],
  ['ED 9F', 'ed 9f'],
];

function expectAllCuts(bytes: Buffer): void {
  const isValid = decodes(bytes);
  for (let first = 0; first <= bytes.length; first++) {
    for (let second = first; second <= bytes.length; second++) {
      const cuts = [first, second];
      const ends = [...cuts, bytes.length];
      const taken = ends.findIndex((to) => !canGoOn(bytes.subarray(0, to)));
      expect([cuts, check(bytes, cuts)]).toEqual([cuts, { taken: taken < 0 ? 3 : taken, isValid }]);
    }
  }
}

describe('Utf8Check', () => {
  it.each(good)('takes %s, cut anywhere', (_, text) => {
    const bytes = hex(text);
    expect(decodes(bytes)).toBe(true);
    expectAllCuts(bytes);
    expect(takenBytewise(bytes)).toBe(bytes.length);
  });

  it.each(bad)('refuses %s, cut anywhere, with the first piece that cannot be valid', (_, text) => {
    const bytes = hex(text);
    expect(decodes(bytes)).toBe(false);
    expectAllCuts(bytes);
  });

  it.each([...good, ...bad, ...cutShort])('fails at the first wrong byte of %s', (_, text) => {
    const bytes = hex(text);
    const lengths = Array.from({ length: bytes.length }, (__, i) => i + 1);
    const wrong = lengths.find((length) => !canGoOn(bytes.subarray(0, length)));
    expect(takenBytewise(bytes)).toBe(wrong === undefined ? bytes.length : wrong - 1);
  });

  it.each(cutShort)('takes a character that is cut, %s, and refuses it at the end', (_, text) => {
    expectAllCuts(hex(text));
    const checker = new Utf8Check();
    expect(checker.push(hex(text), 0, hex(text).length)).toBe(true);
    expect(checker.end()).toBe(false);
  });

  it('takes each character there is, cut anywhere', () => {
    const checker = new Utf8Check();
    for (let point = 0x80; point <= 0x10_ffff; point += point < 0x1_0000 ? 1 : 61) {
      const bytes = Buffer.from(String.fromCodePoint(point));
      for (let cut = 1; cut < bytes.length; cut++) {
        const isValid = checker.push(bytes, 0, cut) && checker.push(bytes, cut, bytes.length) && checker.end();
        if (!isValid) expect(point).toBe('valid');
      }
    }
  });

  it('takes no surrogate', () => {
    const checker = new Utf8Check();
    for (let point = 0xd800; point < 0xe000; point++) {
      const bytes = Buffer.from([0xed, 0x80 | ((point >> 6) & 0x3f), 0x80 | (point & 0x3f)]);
      const isValid = checker.push(bytes, 0, 1) && checker.push(bytes, 1, 3);
      if (isValid) expect(point).toBe('invalid');
      checker.reset();
    }
  });

  it('judges random bytes as TextDecoder does', () => {
    const parts = [...good, ...bad, ...cutShort].map(([, text]) => hex(text));
    let state = 1;
    const below = (limit: number): number => {
      state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
      return (state >>> 8) % limit;
    };
    for (let round = 0; round < 5000; round++) {
      const isSound = round % 2 === 0;
      const pool = isSound ? parts.slice(0, good.length) : parts;
      const bytes = Buffer.concat(Array.from({ length: below(6) }, () => pool[below(pool.length)]!));
      if (round % 5 === 0 && bytes.length > 0) bytes[below(bytes.length)] = below(256);
      const cuts = Array.from({ length: below(5) }, () => below(bytes.length + 1)).sort((a, b) => a - b);
      const { taken, isValid } = check(bytes, cuts);
      expect([bytes.toString('hex'), cuts, isValid]).toEqual([bytes.toString('hex'), cuts, decodes(bytes)]);
      if (isValid) expect(taken).toBe(cuts.length + 1);
    }
  });

  it('finds what is wrong behind 1 KiB of ASCII', () => {
    const bytes = Buffer.concat([Buffer.alloc(1024, 0x61), hex('ed a0 80')]);
    expect(new Utf8Check().push(bytes, 0, 1025)).toBe(true);
    expect(new Utf8Check().push(bytes, 0, 1026)).toBe(false);
  });

  it('reads only between from and to, in shared memory too', () => {
    const bytes = Buffer.from(new SharedArrayBuffer(8));
    bytes.set(hex('ff ff c3 a9 e2 82 ff ff'));
    const checker = new Utf8Check();
    expect(checker.push(bytes, 2, 6)).toBe(true);
    expect(checker.end()).toBe(false);
    expect(checker.push(hex('ff ac'), 1, 2)).toBe(true);
    expect(checker.end()).toBe(true);
  });

  it('goes on failing until it is reset', () => {
    const checker = new Utf8Check();
    expect(checker.push(hex('e0 80'), 0, 2)).toBe(false);
    expect(checker.push(hex('61'), 0, 1)).toBe(false);
    expect(checker.push(hex('61'), 0, 0)).toBe(false);
    expect(checker.end()).toBe(false);
    checker.reset();
    expect(checker.end()).toBe(true);
    expect(checker.push(hex('c3 a9'), 0, 2)).toBe(true);
  });

  it('forgets a character that is cut when it is reset', () => {
    const checker = new Utf8Check();
    checker.push(hex('e2 82'), 0, 2);
    checker.reset();
    expect(checker.push(hex('61'), 0, 1)).toBe(true);
    expect(checker.end()).toBe(true);
  });
});
