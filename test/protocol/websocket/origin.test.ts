import { describe, expect, it } from 'vitest';
import { isOriginAllowed, isOriginPattern } from '../../../src/protocol/websocket/handshake.js';

describe('an origin', () => {
  it('that is missing is allowed: it is not a browser (RFC 6455 10.2)', () => {
    for (const allowed of ['same', '*', [], ['https://a.example']] as const) {
      expect(isOriginAllowed(undefined, 'a.example', allowed)).toBe(true);
    }
  });

  it.each(['https://evil.example', 'null', '', 'nonsense'])("%j is allowed under '*'", (origin) => {
    expect(isOriginAllowed(origin, 'a.example', '*')).toBe(true);
  });

  it.each([
    ['https://a.example', 'a.example', true],
    ['http://a.example', 'a.example', true],
    ['https://A.Example', 'a.eXample', true],
    ['http://a.example:8080', 'a.example:8080', true],
    ['http://a.example', 'a.example:80', true],
    ['https://a.example', 'a.example:443', true],
    ['https://a.example:443', 'a.example', true],
    ['http://127.0.0.1:9501', '127.0.0.1:9501', true],
    ['http://[::1]:9501', '[::1]:9501', true],
    ['http://[::1]', '[::1]', true],
    ['https://b.example', 'a.example', false],
    ['https://a.example', 'b.a.example', false],
    ['https://b.a.example', 'a.example', false],
    ['https://a.example', 'a.example:80', false],
    ['http://a.example', 'a.example:443', false],
    ['http://a.example:8080', 'a.example', false],
    ['http://a.example', 'a.example:8080', false],
    ['https://a.example.evil.example', 'a.example', false],
    ['https://evil.example/a.example', 'a.example', false],
    ['https://user@a.example', 'a.example', false],
    ['https://a.example/', 'a.example', false],
    ['https://a.example https://b.example', 'a.example', false],
    ['a.example', 'a.example', false],
    ['null', 'null', false],
    ['null', 'a.example', false],
    ['', '', false],
    ['https://', '', false],
    ['https://a.example', '', false],
    ['https://a.example', 'x@a.example', false],
  ])("%j at the host %j under 'same': %s", (origin, host, expected) => {
    expect(isOriginAllowed(origin, host, 'same')).toBe(expected);
  });

  const list = ['https://a.example', 'http://b.example:8080', 'https://*.c.example', 'https://*.d.example:8443'];
  it.each([
    ['https://a.example', true],
    ['https://a.example:443', true],
    ['HTTPS://A.EXAMPLE', true],
    ['http://a.example', false],
    ['https://a.example:8443', false],
    ['https://x.a.example', false],
    ['http://b.example:8080', true],
    ['https://b.example:8080', false],
    ['http://b.example', false],
    ['http://x.d.example:8443', false],
    ['https://x.c.example', true],
    ['https://x.y.c.example', true],
    ['https://c.example', false],
    ['https://.c.example', false],
    ['https://xc.example', false],
    ['http://x.c.example', false],
    ['https://x.c.example:444', false],
    ['https://x.c.example.evil.example', false],
    ['https://evil.example/.c.example', false],
    ['https://evil.example?.c.example', false],
    ['https://evil.example#.c.example', false],
    ['https://evil.example\\.c.example', false],
    ['https://evil.example@.c.example', false],
    ['https://x.d.example:8443', true],
    ['https://x.d.example', false],
    ['null', false],
    ['', false],
  ])('%j among %#: %s', (origin, expected) => {
    expect(isOriginAllowed(origin, 'other.example', list)).toBe(expected);
  });

  it('without a host is allowed only by its own name', () => {
    expect(isOriginAllowed('null', 'a.example', ['null'])).toBe(true);
    expect(isOriginAllowed('file://', 'a.example', ['file://'])).toBe(true);
    expect(isOriginAllowed('file://', 'a.example', ['null'])).toBe(false);
    expect(isOriginAllowed('chrome-extension://abc', 'a.example', ['chrome-extension://abc'])).toBe(true);
  });

  it('is allowed by no empty list', () => {
    expect(isOriginAllowed('https://a.example', 'a.example', [])).toBe(false);
  });
});

describe('isOriginPattern', () => {
  it.each([
    ['https://a.example', true],
    ['http://a.example:8080', true],
    ['https://*.a.example', true],
    ['http://localhost:3000', true],
    ['http://[::1]:3000', true],
    ['chrome-extension://abc', true],
    ['null', true],
    ['file://', true],
    ['a.example', false],
    ['*.a.example', false],
    ['*', false],
    ['https://*', false],
    ['https://*.', false],
    ['https://a.*', false],
    ['https://*.*.example', false],
    ['https://x*.example', false],
    ['https://a.example/', false],
    ['https://a.example/path', false],
    ['', false],
  ])('%j: %s', (text, expected) => {
    expect(isOriginPattern(text)).toBe(expected);
  });
});
