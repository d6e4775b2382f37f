import { describe, expect, it } from 'vitest';
import { parseOption } from '../../src/options/index.js';
import { resolveOptions } from '../../src/options/resolve.js';
import type { StickyOptions } from '../../src/options/sticky.js';

const resolve = (sticky: unknown) => resolveOptions({ sticky: sticky as StickyOptions });

describe('the option sticky', () => {
  it('takes a cookie or a header', () => {
    expect(resolve({ cookie: 'Sid' }).sticky).toEqual({ by: 'cookie', name: 'Sid' });
    expect(resolve({ header: 'X-Session' }).sticky).toEqual({ by: 'header', name: 'x-session' });
    expect([resolve(false).sticky, resolve(undefined).sticky]).toEqual([null, null]);
    expect(parseOption('sticky', '{"cookie": "sid"}', '--sticky')).toEqual({ cookie: 'sid' });
    expect(parseOption('sticky', 'off', '--sticky')).toBe(false);
  });

  it('leaves HTTP/2 out', () => {
    expect([resolve(false).http2, resolve({ cookie: 'sid' }).http2]).toEqual([true, false]);
  });

  it.each([
    ['true', true, 'ERR_OPTION_TYPE', 'sticky'],
    ['a word', 'sid', 'ERR_OPTION_TYPE', 'sticky'],
    ['nothing', {}, 'ERR_OPTION_VALUE', 'sticky'],
    ['both', { cookie: 'a', header: 'b' }, 'ERR_OPTION_VALUE', 'sticky'],
    ['a cookie that is none', { cookie: 'a=b' }, 'ERR_OPTION_VALUE', 'sticky.cookie'],
    ['an empty name', { header: '' }, 'ERR_OPTION_VALUE', 'sticky.header'],
    ['another key', { cookies: 'sid' }, 'ERR_OPTION_UNKNOWN', 'sticky.cookies'],
  ])('refuses %s', (_, given, code, name) => {
    expect(() => resolve(given)).toThrow(
      expect.objectContaining({ code, message: expect.stringContaining(`"${name}"`) }),
    );
  });

  it('is refused where a connection carries the requests of many sessions', () => {
    const sticky = { cookie: 'sid' };
    const conflict = (other: string) =>
      expect.objectContaining({
        code: 'ERR_OPTION_CONFLICT',
        detail: { name: 'sticky', other, why: expect.any(String) },
      });
    expect(() => resolveOptions({ sticky, http2: true })).toThrow(conflict('http2'));
  });
});
