import { describe, expect, test } from 'vitest';
import { type CookieOptions, serializeCookie, serializeRawCookie } from '../../src/http/cookies.js';

describe('a cookie', () => {
  test.each<[string, string, CookieOptions, string]>([
    ['a', 'b', {}, 'a=b'],
    ['a', '', {}, 'a='],
    ['a', 'ä;, "\\', {}, 'a=%C3%A4%3B%2C%20%22%5C'],
    ['a', '\ud800', {}, 'a=%EF%BF%BD'],
    [
      'a',
      'b',
      { path: '/x', domain: 'example.com', expires: new Date(0), maxAge: 60 },
      'a=b; Path=/x; Domain=example.com; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=60',
    ],
    ['a', 'b', { httpOnly: true, secure: true, sameSite: 'none' }, 'a=b; HttpOnly; Secure; SameSite=None'],
    ['a', 'b', { sameSite: 'lax', priority: 'high' }, 'a=b; SameSite=Lax; Priority=High'],
    ['a', 'b', { sameSite: 'strict', priority: 'low' }, 'a=b; SameSite=Strict; Priority=Low'],
    ['a', 'b', { secure: true, partitioned: true, priority: 'medium' }, 'a=b; Secure; Priority=Medium; Partitioned'],
    ['a', 'b', { secure: false, httpOnly: false, partitioned: false }, 'a=b'],
    ['a', 'b', { maxAge: -1, domain: '.example.com' }, 'a=b; Domain=.example.com; Max-Age=-1'],
    ['__Host-a', 'b', { secure: true, path: '/' }, '__Host-a=b; Path=/; Secure'],
    ['__Secure-a', 'b', { secure: true, domain: 'x.de' }, '__Secure-a=b; Domain=x.de; Secure'],
    ['__Hosta', 'b', {}, '__Hosta=b'],
  ])('%s=%s with %j is written as it should', (name, value, options, line) => {
    expect(serializeCookie(name, value, options)).toBe(line);
  });

  test.each<[object | null, string]>([
    [{ httponly: true }, 'ERR_OPTION_UNKNOWN'],
    [{ samesite: 'strict' }, 'ERR_OPTION_UNKNOWN'],
    [{ httpOnly: 1 }, 'ERR_HTTP_COOKIE'],
    [{ secure: 'yes' }, 'ERR_HTTP_COOKIE'],
    [{ partitioned: null }, 'ERR_HTTP_COOKIE'],
    [null, 'ERR_OPTION_TYPE'],
    [new Map([['httpOnly', true]]), 'ERR_OPTION_TYPE'],
  ])('is not left open by the options %j', (options, code) => {
    expect(() => serializeCookie('a', 'b', options as never)).toThrow(expect.objectContaining({ code }));
    expect(() => serializeRawCookie('a', 'b', options as never)).toThrow(expect.objectContaining({ code }));
  });

  test.each(['', 'b', '{"a":1,"b":[2]}', '"quoted"', 'a b', '100%', 'a=b=c', '\\'])(
    'of the raw value %j keeps it as it is',
    (value) => {
      expect(serializeRawCookie('a', value, { path: '/' })).toBe(`a=${value}; Path=/`);
    },
  );

  test.each(['a;b', 'a\nb', 'a\r\nSet-Cookie: b=c', 'ä', ' a', 'a ', '\u007f', '\t', 'x'.repeat(4096)])(
    'is refused with the raw value %j, which browsers would change or drop',
    (value) => {
      expect(() => serializeRawCookie('a', value, {})).toThrow(expect.objectContaining({ code: 'ERR_HTTP_COOKIE' }));
    },
  );

  test.each<[string, unknown, unknown]>([
    ['', 'b', {}],
    ['a b', 'b', {}],
    ['a=', 'b', {}],
    ['a;', 'b', {}],
    ['ä', 'b', {}],
    ['a', 1, {}],
    ['a', undefined, {}],
    ['a', 'x'.repeat(4096), {}],
    ['a', 'b', { path: 'x' }],
    ['a', 'b', { path: '' }],
    ['a', 'b', { path: '/;x' }],
    ['a', 'b', { path: `/${'x'.repeat(1024)}` }],
    ['a', 'b', { path: 1 }],
    ['a', 'b', { domain: '' }],
    ['a', 'b', { domain: 'a..b' }],
    ['a', 'b', { domain: '-a.de' }],
    ['a', 'b', { domain: 'a.de; Secure' }],
    ['a', 'b', { domain: 'a_b.de/' }],
    ['a', 'b', { maxAge: 1.5 }],
    ['a', 'b', { maxAge: Number.NaN }],
    ['a', 'b', { maxAge: Number.POSITIVE_INFINITY }],
    ['a', 'b', { maxAge: '60' }],
    ['a', 'b', { expires: new Date(Number.NaN) }],
    ['a', 'b', { expires: new Date(-2e13) }],
    ['a', 'b', { expires: 'tomorrow' }],
    ['a', 'b', { sameSite: 'Lax' }],
    ['a', 'b', { sameSite: 'toString' }],
    ['a', 'b', { sameSite: true }],
    ['a', 'b', { sameSite: 'none' }],
    ['a', 'b', { partitioned: true }],
    ['a', 'b', { priority: 'urgent' }],
    ['__Secure-a', 'b', {}],
    ['__Host-a', 'b', { secure: true }],
    ['__Host-a', 'b', { path: '/' }],
    ['__Host-a', 'b', { secure: true, path: '/x' }],
    ['__HOST-a', 'b', { secure: true, path: '/', domain: 'a.de' }],
  ])('%s=%s with %j is refused, for browsers would drop it', (name, value, options) => {
    expect(() => serializeCookie(name, value as string, options as CookieOptions)).toThrow(
      expect.objectContaining({ code: 'ERR_HTTP_COOKIE' }),
    );
  });
});
