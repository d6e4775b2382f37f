import { describe, expect, it } from 'vitest';
import { evaluateConditions, type Validators, type Verdict } from '../../../src/protocol/http/conditional.js';
import { httpDate } from '../../../src/protocol/http/date.js';

const CHANGED = Date.UTC(2026, 0, 2, 3, 4, 5);
const strong: Validators = { etag: '"a"', lastModifiedMs: CHANGED, isDateStrong: true };
const weak: Validators = { etag: 'W/"a"', lastModifiedMs: CHANGED, isDateStrong: false };
const none: Validators = { etag: '', lastModifiedMs: Number.NaN, isDateStrong: false };

const before = httpDate(CHANGED - 1000);
const same = httpDate(CHANGED);
const after = httpDate(CHANGED + 1000);

type Fields = Record<string, string | undefined>;

const evaluate = (fields: Fields, validators = strong, method = 'GET'): Verdict =>
  evaluateConditions(method, (name) => fields[name], validators);
const outcome = (fields: Fields, validators = strong, method = 'GET') => evaluate(fields, validators, method).outcome;

describe('If-Match', () => {
  it.each([
    ['*', 'send'],
    [' * ', 'send'],
    ['"a"', 'send'],
    ['"b", "a"', 'send'],
    ['"b","a","c"', 'send'],
    ['W/"b",\t"a"', 'send'],
    [', ,"a"', 'send'],
    ['"b,", "a"', 'send'],
    ['W/"a"', 412],
    ['"b"', 412],
    ['"A"', 412],
    ['a', 412],
    ['"a', 412],
    ['a"', 412],
    ['""', 412],
    ['', 412],
    ['"a"x', 412],
    ['"x"a""', 412],
    ['"b" "a"', 412],
    ['b, "a"', 412],
    ['w/"a"', 412],
  ] as const)('%j is answered with %s', (value, expected) => {
    expect(outcome({ 'if-match': value })).toBe(expected);
  });

  it('is not met by a weak tag, nor by none', () => {
    expect(outcome({ 'if-match': 'W/"a"' }, weak)).toBe(412);
    expect(outcome({ 'if-match': '"a"' }, weak)).toBe(412);
    expect(outcome({ 'if-match': '""' }, none)).toBe(412);
    expect(outcome({ 'if-match': '*' }, none)).toBe('send');
  });
});

describe('If-None-Match', () => {
  it.each([
    ['*', 304],
    ['"a"', 304],
    ['W/"a"', 304],
    ['"b", W/"a"', 304],
    ['"b"', 'send'],
    ['W/"b"', 'send'],
    ['a', 'send'],
    ['', 'send'],
    ['"a"x', 'send'],
    ['"*"', 'send'],
  ] as const)('%j is answered with %s', (value, expected) => {
    expect(outcome({ 'if-none-match': value })).toBe(expected);
    expect(outcome({ 'if-none-match': value }, weak)).toBe(expected);
    expect(outcome({ 'if-none-match': value }, strong, 'HEAD')).toBe(expected);
    expect(outcome({ 'if-none-match': value }, strong, 'PUT')).toBe(expected === 304 ? 412 : 'send');
  });

  it('takes tags with any character that a tag may have', () => {
    const odd = { ...strong, etag: '"!#,; é\\"'.replace(' ', '') };
    expect(outcome({ 'if-none-match': `"x", ${odd.etag}` }, odd)).toBe(304);
  });

  it('is read in time whatever it says', () => {
    for (const value of [' '.repeat(100_000), ','.repeat(100_000), '"a'.repeat(50_000), '"b",'.repeat(25_000)]) {
      expect(outcome({ 'if-none-match': value })).toBe('send');
    }
  });
});

describe('If-Modified-Since', () => {
  it.each([
    [before, 'send'],
    [same, 304],
    [after, 304],
    ['yesterday', 'send'],
    ['', 'send'],
    [`${same}, ${same}`, 'send'],
  ] as const)('%j is answered with %s', (value, expected) => {
    expect(outcome({ 'if-modified-since': value })).toBe(expected);
    expect(outcome({ 'if-modified-since': value }, strong, 'HEAD')).toBe(expected);
    expect(outcome({ 'if-modified-since': value }, strong, 'POST')).toBe('send');
    expect(outcome({ 'if-modified-since': value }, none)).toBe('send');
  });

  it('does not count where there is an If-None-Match, were it malformed', () => {
    expect(outcome({ 'if-modified-since': after, 'if-none-match': '"b"' })).toBe('send');
    expect(outcome({ 'if-modified-since': after, 'if-none-match': 'nonsense' })).toBe('send');
    expect(outcome({ 'if-modified-since': before, 'if-none-match': '"a"' })).toBe(304);
  });
});

describe('If-Unmodified-Since', () => {
  it.each([
    [before, 412],
    [same, 'send'],
    [after, 'send'],
    ['tomorrow', 'send'],
  ] as const)('%j is answered with %s', (value, expected) => {
    expect(outcome({ 'if-unmodified-since': value })).toBe(expected);
    expect(outcome({ 'if-unmodified-since': value }, none)).toBe('send');
  });

  it('does not count where there is an If-Match', () => {
    expect(outcome({ 'if-unmodified-since': before, 'if-match': '"a"' })).toBe('send');
    expect(outcome({ 'if-unmodified-since': after, 'if-match': '"b"' })).toBe(412);
  });
});

describe('If-Range', () => {
  it.each([
    ['"a"', true],
    [same, true],
    [undefined, true],
    ['"b"', false],
    ['W/"a"', false],
    ['*', false],
    ['"a", "b"', false],
    ['a', false],
    ['', false],
    [before, false],
    [after, false],
  ])('%j lets a range through: %s', (value, mayRange) => {
    expect(evaluate({ 'if-range': value })).toEqual({ outcome: 'send', mayRange });
  });

  it('is not met by what is weak', () => {
    for (const value of ['"a"', 'W/"a"', same]) {
      expect(evaluate({ 'if-range': value }, weak).mayRange).toBe(false);
      expect(evaluate({ 'if-range': value }, none).mayRange).toBe(false);
    }
  });

  it('is of no use to any method but GET', () => {
    expect(evaluate({ 'if-range': '"a"' }, strong, 'HEAD').mayRange).toBe(false);
    expect(evaluate({}, strong, 'HEAD').mayRange).toBe(false);
  });
});

describe('all conditions together', () => {
  const tags = [undefined, '*', '"a"', '"b"', 'W/"a"', 'malformed'];
  const dates = [undefined, before, same, after, 'malformed'];
  const ranges = [undefined, '"a"', '"b"', same, before];

  /** RFC 9110, 13.2.2, step by step, of values that are as above. */
  function expected(method: string, [match, unmodified, noneMatch, modified, range]: (string | undefined)[]): Verdict {
    const isRead = method !== 'PUT';
    const stop = (status: 304 | 412): Verdict => ({ outcome: status, mayRange: false });
    if (match !== undefined && match !== '*' && match !== '"a"') return stop(412);
    if (match === undefined && unmodified === before) return stop(412);
    if (noneMatch !== undefined) {
      if (['*', '"a"', 'W/"a"'].includes(noneMatch)) return stop(isRead ? 304 : 412);
    } else if (isRead && (modified === same || modified === after)) {
      return stop(304);
    }
    return { outcome: 'send', mayRange: method === 'GET' && [undefined, '"a"', same].includes(range) };
  }

  const names = ['if-match', 'if-unmodified-since', 'if-none-match', 'if-modified-since', 'if-range'];
  const combinations = [tags, dates, tags, dates, ranges].reduce<(string | undefined)[][]>(
    (lists, values) => lists.flatMap((list) => values.map((value) => [...list, value])),
    [[]],
  );

  it.each(['GET', 'HEAD', 'PUT'])('are taken in their order, for %s', (method) => {
    expect(combinations).toHaveLength(6 * 5 * 6 * 5 * 5);
    const wrong = combinations.filter((values) => {
      const fields = Object.fromEntries(names.map((name, i) => [name, values[i]]));
      const [verdict, right] = [evaluate(fields, strong, method), expected(method, values)];
      return verdict.outcome !== right.outcome || verdict.mayRange !== right.mayRange;
    });
    expect(wrong).toEqual([]);
  });
});
