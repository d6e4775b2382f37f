import { describe, expect, it } from 'vitest';
import type { ContentEncoding } from '../../../src/options/compression.js';
import { chooseEncoding } from '../../../src/protocol/http/accept-encoding.js';

const all: readonly ContentEncoding[] = ['gzip', 'deflate', 'br', 'zstd'];

describe('chooseEncoding', () => {
  it.each([
    ['gzip, deflate, br, zstd', 'br'],
    ['gzip, deflate, zstd', 'zstd'],
    ['gzip, deflate', 'gzip'],
    ['deflate', 'deflate'],
    ['gzip;q=1.0, br;q=0.5', 'gzip'],
    ['gzip;q=0.8, br;q=0.8', 'br'],
    ['br;q=0, gzip', 'gzip'],
    ['br;q=0.001', 'br'],
    ['*', 'br'],
    ['*, br;q=0', 'zstd'],
    ['*;q=0.5, gzip', 'gzip'],
    ['gzip;q=0.5, *', 'br'],
    ['br;q=0,zstd;q=0,*', 'gzip'],
    ['gzip, identity', 'gzip'],
    ['identity, gzip', 'gzip'],
    ['identity, gzip;q=0.9', 'identity'],
    ['identity;q=0.5, gzip;q=0.4', 'identity'],
    ['identity;q=0.5, *;q=0', 'identity'],
    ['identity;q=1, *;q=0', 'identity'],
    ['identity', 'identity'],
    ['*;q=0', 'identity'],
    ['identity;q=0', 'identity'],
    ['gzip;q=0', 'identity'],
    ['GZip', 'gzip'],
    ['x-gzip', 'gzip'],
    ['GZIP ; Q=0.5', 'gzip'],
    [' gzip ,\tbr ', 'br'],
    [',,gzip,,', 'gzip'],
    ['compress, snappy', 'identity'],
    ['brx, xbr', 'identity'],
    ['', 'identity'],
    [' ', 'identity'],
    ['br;q=1.5', 'identity'],
    ['br;q=-1', 'identity'],
    ['br;q=0.1234', 'identity'],
    ['br;q=1.001', 'identity'],
    ['br;q=', 'identity'],
    ['br;q', 'identity'],
    ['br;x=1', 'identity'],
    ['br;q=1;q=0', 'identity'],
    ['br;q=1.', 'br'],
    ['br;q=1.000', 'br'],
    ['br;q=NaN, gzip', 'gzip'],
    ['br;q=0.', 'identity'],
    ['gzip, gzip;q=0', 'gzip'],
  ])('of all that there are takes for %j %s', (value, expected) => {
    expect(chooseEncoding(value, all)).toBe(expected);
  });

  it('takes only what there is', () => {
    expect(chooseEncoding('gzip, br', ['gzip'])).toBe('gzip');
    expect(chooseEncoding('br', ['gzip'])).toBe('identity');
    expect(chooseEncoding('*', ['deflate'])).toBe('deflate');
    expect(chooseEncoding('gzip, br', [])).toBe('identity');
  });

  it('leaves an answer as it is for who says nothing', () => {
    expect(chooseEncoding(undefined, all)).toBe('identity');
  });

  it('reads no further than a client has something to say', () => {
    expect(chooseEncoding(`${'x,'.repeat(100_000)}br`, all)).toBe('identity');
  });
});
