import { describe, expect, it } from 'vitest';
import type { RateLimitOptions } from '../../src/options/rate-limit.js';
import { resolveOptions } from '../../src/options/resolve.js';

const resolve = (rateLimit: unknown) => resolveOptions({ rateLimit: rateLimit as RateLimitOptions }).rateLimit;

describe('the option rateLimit', () => {
  it('is filled in', () => {
    expect(resolve({ perSecond: 10, burst: 20 })).toEqual({ periodMs: 100, burst: 20, keys: 100_000, by: 'address' });
    expect(resolve({ perSecond: 0.5, burst: 1, keys: 5, by: { header: 'X-Key' } })).toEqual({
      ...{ periodMs: 2000, burst: 1, keys: 5, by: { header: 'x-key' } },
    });
    const by = (): string => 'a';
    expect(resolve({ perSecond: 1, burst: 1, by })?.by).toBe(by);
    expect([resolve(false), resolve(undefined)]).toEqual([null, null]);
  });

  it.each([
    ['true', true, 'ERR_OPTION_TYPE', 'rateLimit'],
    ['no rate', { burst: 1 }, 'ERR_OPTION_TYPE', 'rateLimit.perSecond'],
    ['a rate of 0', { perSecond: 0, burst: 1 }, 'ERR_OPTION_RANGE', 'rateLimit.perSecond'],
    ['no burst', { perSecond: 1 }, 'ERR_OPTION_TYPE', 'rateLimit.burst'],
    ['a burst of 0', { perSecond: 1, burst: 0 }, 'ERR_OPTION_RANGE', 'rateLimit.burst'],
    ['0 keys', { perSecond: 1, burst: 1, keys: 0 }, 'ERR_OPTION_RANGE', 'rateLimit.keys'],
    ['another word', { perSecond: 1, burst: 1, by: 'ip' }, 'ERR_OPTION_VALUE', 'rateLimit.by'],
    ['a header that is none', { perSecond: 1, burst: 1, by: { header: 'a b' } }, 'ERR_OPTION_VALUE', 'rateLimit.by'],
    ['another name', { perSecond: 1, burst: 1, max: 5 }, 'ERR_OPTION_UNKNOWN', 'rateLimit.max'],
  ])('refuses %s', (_, given, code, name) => {
    expect(() => resolve(given)).toThrow(
      expect.objectContaining({ code, message: expect.stringContaining(`"${name}"`) }),
    );
  });
});
