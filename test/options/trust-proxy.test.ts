import { describe, expect, it } from 'vitest';
import { parseOption } from '../../src/options/index.js';
import { resolveListen, resolveOptions } from '../../src/options/resolve.js';
import { forwardedFields, type TrustProxyOptions } from '../../src/options/trust-proxy.js';

const resolve = (trustProxy: unknown) => resolveOptions({ trustProxy: trustProxy as TrustProxyOptions }).trustProxy;

describe('the option trustProxy', () => {
  it('takes addresses, ranges and names', () => {
    expect(resolve(['192.0.2.0/24', '::1', 'loopback', 'unix'])).toEqual({
      ...{ from: ['192.0.2.0/24', '::1', '127.0.0.0/8', '::1'], unix: true, hops: 0, fields: forwardedFields },
    });
    expect(resolve('private')?.from).toEqual(['10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16', 'fc00::/7']);
    expect(resolve('unix')).toMatchObject({ from: [], unix: true });
  });

  it('takes a number of proxies', () => {
    expect([resolve(1)?.hops, resolve(32)?.hops]).toEqual([1, 32]);
  });

  it('takes the fields that are believed', () => {
    expect(resolve({ from: 2, fields: ['Forwarded', 'x-forwarded-proto'] })).toMatchObject({
      ...{ hops: 2, fields: ['forwarded', 'x-forwarded-proto'] },
    });
    expect(resolve({ from: ['loopback'] })?.fields).toEqual(forwardedFields);
  });

  it('is off by default', () => expect([resolve(undefined), resolve(false)]).toEqual([null, null]));

  it('is a listen port’s own, or the server’s', () => {
    const server = resolveOptions({ trustProxy: 'loopback' });
    expect(resolveListen({ port: 1 }, server).trustProxy).toBe(server.trustProxy);
    expect(resolveListen({ port: 1, trustProxy: false }, server).trustProxy).toBe(null);
    expect(resolveListen({ port: 1, trustProxy: 'unix' }, server).trustProxy).toMatchObject({ unix: true });
  });

  it.each([
    ['true', true, 'ERR_OPTION_VALUE', 'trustProxy'],
    ['no address', [], 'ERR_OPTION_VALUE', 'trustProxy'],
    ['all addresses', ['0.0.0.0/0'], 'ERR_OPTION_VALUE', 'trustProxy'],
    ['all addresses of IPv6', ['::/00'], 'ERR_OPTION_VALUE', 'trustProxy'],
    ['all of IPv4, as IPv6 has it', ['::ffff:0:0/96'], 'ERR_OPTION_VALUE', 'trustProxy'],
    ['a range around all of IPv4', ['::/64'], 'ERR_OPTION_VALUE', 'trustProxy'],
    ['all of IPv4 in two halves', ['0.0.0.0/1', '128.0.0.0/1'], 'ERR_OPTION_VALUE', 'trustProxy'],
    ['halves in the other order', { from: ['128.0.0.0/1', '0.0.0.0/1'] }, 'ERR_OPTION_VALUE', 'trustProxy.from'],
    ['halves by any of their addresses', ['200.1.2.3/1', '10.1.2.3/1'], 'ERR_OPTION_VALUE', 'trustProxy'],
    [
      'all of IPv4 with names and more',
      ['loopback', '0.0.0.0/1', 'unix', '128.0.0.0/1'],
      'ERR_OPTION_VALUE',
      'trustProxy',
    ],
    [
      'ranges in others, and all',
      ['0.0.0.0/1', '10.0.0.0/8', '64.0.0.0/2', '128.0.0.0/1'],
      'ERR_OPTION_VALUE',
      'trustProxy',
    ],
    [
      'all addresses of IPv4 that clients have',
      ['0.0.0.0/1', '128.0.0.0/2', '192.0.0.0/3'],
      'ERR_OPTION_VALUE',
      'trustProxy',
    ],
    ['all of IPv6 in two halves', ['::/1', '8000::/1'], 'ERR_OPTION_VALUE', 'trustProxy'],
    ['all addresses of IPv6 that clients have', ['2000::/4', '3000::/4'], 'ERR_OPTION_VALUE', 'trustProxy'],
    [
      'all of IPv4, as IPv6 has it, in two halves',
      ['::ffff:0:0/97', '::ffff:8000:0/97'],
      'ERR_OPTION_VALUE',
      'trustProxy',
    ],
    ['a half in each form', ['0.0.0.0/1', '::ffff:128.0.0.0/97'], 'ERR_OPTION_VALUE', 'trustProxy'],
    ['a zone, which would be any zone', ['fe80::1%eth0'], 'ERR_OPTION_VALUE', 'trustProxy'],
    ['a range with a zone', ['fe80::%eth0/64'], 'ERR_OPTION_VALUE', 'trustProxy'],
    ['another name', ['everyone'], 'ERR_OPTION_VALUE', 'trustProxy'],
    ['a name of every object', ['constructor'], 'ERR_OPTION_VALUE', 'trustProxy'],
    ['a range that is none', ['10.0.0.0/33'], 'ERR_OPTION_VALUE', 'trustProxy'],
    ['no proxy', 0, 'ERR_OPTION_RANGE', 'trustProxy'],
    ['33 proxies', 33, 'ERR_OPTION_RANGE', 'trustProxy'],
    ['half a proxy', 1.5, 'ERR_OPTION_TYPE', 'trustProxy'],
    ['nothing to trust', {}, 'ERR_OPTION_TYPE', 'trustProxy.from'],
    ['another field', { from: 1, fields: ['x-real-ip'] }, 'ERR_OPTION_VALUE', 'trustProxy.fields'],
    ['no field', { from: 1, fields: [] }, 'ERR_OPTION_VALUE', 'trustProxy.fields'],
    ['another key', { from: 1, hops: 2 }, 'ERR_OPTION_UNKNOWN', 'trustProxy.hops'],
  ])('refuses %s', (_, given, code, name) => {
    expect(() => resolve(given)).toThrow(
      expect.objectContaining({ code, message: expect.stringContaining(`"${name}"`) }),
    );
  });

  it.each([
    ['halves with a gap', ['0.0.0.0/1', '128.0.0.0/2', '192.0.0.0/4', '209.0.0.0/8']],
    ['one half', ['0.0.0.0/1', '64.0.0.0/2']],
    ['halves of different families', ['0.0.0.0/1', '8000::/1']],
    ['ranges of a network', ['2001:db8::/33', '2001:db8:8000::/33', 'fe80::/10', 'fc00::/7']],
    ['the same address twice, in two forms', ['10.0.0.1', '::ffff:10.0.0.1', '1:2:3:4:5:6:7:8', '::', '1::']],
  ])('takes %s', (_, from) => expect(resolve(from)?.from).toEqual(from));

  it.each([
    ['loopback,10.0.0.0/8', ['127.0.0.0/8', '::1', '10.0.0.0/8'], 0],
    ['["unix", "10.0.0.1"]', ['10.0.0.1'], 0],
    ['2', [], 2],
    ['{"from": "private"}', ['10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16', 'fc00::/7'], 0],
  ])('is read from %s', (text, from, hops) => {
    expect(resolve(parseOption('trustProxy', text, '--trust-proxy'))).toMatchObject({ from, hops });
  });

  it('is off as text too', () => {
    expect(['false', 'off', '0'].map((text) => resolve(parseOption('trustProxy', text, '--trust-proxy')))).toEqual([
      null,
      null,
      null,
    ]);
  });
});
