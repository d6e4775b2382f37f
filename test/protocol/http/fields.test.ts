import { describe, expect, it } from 'vitest';
import { isFieldValue, isToken, parseFields, toHeaders } from '../../../src/protocol/http/fields.js';

describe('parseFields', () => {
  it('gives names and values in turn', () => {
    expect(parseFields('Host: a\r\nX:y\r\nx:\r\n')).toEqual(['Host', 'a', 'X', 'y', 'x', '']);
  });

  it('gives nothing of nothing', () => {
    expect(parseFields('')).toEqual([]);
  });

  it('takes spaces and tabs from around a value, and nothing else', () => {
    expect(parseFields('X: \t a \t b \t\r\nY:\xa0a\xa0\r\nZ: \t\r\n')).toEqual([
      'X',
      'a \t b',
      'Y',
      '\xa0a\xa0',
      'Z',
      '',
    ]);
  });

  it('parts a line at its first colon', () => {
    expect(parseFields('X: a:b\r\nY::\r\n')).toEqual(['X', 'a:b', 'Y', ':']);
  });
});

describe('toHeaders', () => {
  it('has lower case names and no prototype', () => {
    const headers = toHeaders(['Host', 'a', '__proto__', 'b', 'constructor', 'c']);
    expect(Object.getPrototypeOf(headers)).toBeNull();
    expect(Object.entries(headers)).toEqual([
      ['host', 'a'],
      ['__proto__', 'b'],
      ['constructor', 'c'],
    ]);
  });

  it.each([
    ...[
      'age',
      'authorization',
      'content-length',
      'content-type',
      'etag',
      'expires',
      'from',
      'host',
      'if-modified-since',
    ],
    ...['if-unmodified-since', 'last-modified', 'location', 'max-forwards', 'proxy-authorization', 'referer'],
    ...['retry-after', 'server', 'user-agent'],
  ])('keeps the first %s', (name) => {
    expect(toHeaders([name, '1', name.toUpperCase(), '2'])[name]).toBe('1');
  });

  it('keeps a first value that is empty', () => {
    expect(toHeaders(['From', '', 'From', 'a', 'X', '', 'X', 'b'])).toEqual({ from: '', x: ', b' });
  });

  it('makes one Cookie of several, and a list of Set-Cookie even of one', () => {
    expect(toHeaders(['Cookie', 'a', 'cookie', 'b', 'Cookie', 'c'])).toEqual({ cookie: 'a; b; c' });
    expect(toHeaders(['Set-Cookie', 'a'])).toEqual({ 'set-cookie': ['a'] });
    expect(toHeaders(['Set-Cookie', 'a', 'set-cookie', 'b'])).toEqual({ 'set-cookie': ['a', 'b'] });
  });

  it('puts commas between the values of other fields', () => {
    expect(toHeaders(['X', '1', 'Accept', 'a', 'x', '2', 'X', '3'])).toEqual({ x: '1, 2, 3', accept: 'a' });
  });
});

describe('isToken and isFieldValue', () => {
  it('know each byte', () => {
    for (let code = 0; code < 256; code++) {
      const char = String.fromCharCode(code);
      const isVisible = code > 0x20 && code < 0x7f;
      expect(isToken(`a${char}`), `${code}`).toBe(isVisible && !'"(),/:;<=>?@[\\]{}'.includes(char));
      expect(isFieldValue(`a${char}b`), `${code}`).toBe(isVisible || code === 0x09 || code === 0x20 || code >= 0x80);
    }
  });

  it('refuse what is no byte', () => {
    expect([isToken('\u0130'), isFieldValue('\u0100'), isFieldValue('\u{1f600}'), isFieldValue('\u560d')]).toEqual(
      Array(4).fill(false),
    );
  });

  it('are of two minds about nothing at all', () => {
    expect([isToken(''), isFieldValue('')]).toEqual([false, true]);
  });

  it('are not taken in by a line end at the end', () => {
    expect([isToken('a\n'), isFieldValue('a\n'), isFieldValue('a\r\n')]).toEqual([false, false, false]);
  });
});
