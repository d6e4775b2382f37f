import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { createDriver } from '../../src/cluster/create-driver.js';
import { loadPeer, peers } from '../../src/cluster/load-peer.js';
import { type DriverName, type DriverOptions, resolveDriverOptions } from '../../src/options/cluster.js';

const url = 'redis://127.0.0.1:6379';
const redis = (options: object) => resolveDriverOptions('redis', { url, ...options });

test('the driver memory needs no url', () => {
  expect(resolveDriverOptions('memory', {}).url.href).toBe('memory://local');
  for (const driver of ['redis', 'nats'] as const) {
    expect(() => resolveDriverOptions(driver, {})).toThrow(/cluster\.url/);
  }
});

describe('the options of a driver', () => {
  test('have defaults, and are frozen', () => {
    const { url: _, ...resolved } = redis({});
    expect(resolved).toEqual({
      address: '127.0.0.1:6379',
      prefix: 'tswoole',
      heartbeatMs: 1000,
      ttlMs: 5000,
      maxBufferedBytes: 16 * 1024 * 1024,
      connectTimeoutMs: 3000,
      tls: null,
      username: undefined,
      password: undefined,
    });
    expect(Object.isFrozen(redis({}))).toBe(true);
  });

  test.each([
    ['redis', 'redis://host', 'host:6379', false],
    ['redis', 'rediss://host:1/2', 'host:1', true],
    ['redis', 'redis://[::1]', '[::1]:6379', false],
    ['nats', 'nats://host', 'host:4222', false],
    ['nats', 'tls://host', 'host:4222', true],
    ['memory', 'memory://name', 'name', false],
  ] as const)('%s takes %s', (driver, given, address, isTls) => {
    const { tls, ...resolved } = resolveDriverOptions(driver, { url: given });
    expect([resolved.address, tls !== null]).toEqual([address, isTls]);
  });

  test('user and password come from the URL, decoded, unless they are given', () => {
    const resolved = redis({ url: 'redis://us%40er:pa%2Fss@host' });
    expect([resolved.username, resolved.password]).toEqual(['us@er', 'pa/ss']);
    expect(resolved.address).toBe('host:6379');
    expect(redis({ url: 'redis://u:p@host', password: 'other' })).toMatchObject({ username: 'u', password: 'other' });
  });

  test.each([
    ['redis', 'http://s3cret@host'],
    ['redis', 'nats://s3cret@host'],
    ['redis', 'redis:///s3cret'],
    ['redis', 'redis://host/s3cret'],
    ['redis', 'not a url s3cret'],
    ['redis', ''],
    ['redis', undefined],
    ['nats', 'redis://host'],
    ['memory', 'memory:'],
  ])('%s refuses the URL %j and does not repeat it', (driver, given) => {
    const call = () => resolveDriverOptions(driver as DriverName, { url: given } as DriverOptions);
    expect(call).toThrow(expect.objectContaining({ code: expect.stringMatching(/^ERR_OPTION_(TYPE|VALUE)$/) }));
    expect(call).toThrow(/cluster\.url/);
    expect(call).not.toThrow(/s3cret/);
  });

  test.each([
    ['heartbeatMs', 19, 'ERR_OPTION_RANGE'],
    ['heartbeatMs', 60_001, 'ERR_OPTION_RANGE'],
    ['heartbeatMs', 'x', 'ERR_OPTION_TYPE'],
    ['ttlMs', 1999, 'ERR_OPTION_CONFLICT'],
    ['ttlMs', 600_001, 'ERR_OPTION_RANGE'],
    ['maxBufferedBytes', '63k', 'ERR_OPTION_RANGE'],
    ['connectTimeoutMs', 49, 'ERR_OPTION_RANGE'],
    ['prefix', '', 'ERR_OPTION_RANGE'],
    ['prefix', 'a..b', 'ERR_OPTION_VALUE'],
    ['prefix', 'a*', 'ERR_OPTION_VALUE'],
    ['prefix', 'x'.repeat(65), 'ERR_OPTION_RANGE'],
    ['tls', 1, 'ERR_OPTION_TYPE'],
    ['tls', { ca: 1 }, 'ERR_OPTION_TYPE'],
    ['tls', { cas: '' }, 'ERR_OPTION_UNKNOWN'],
    ['password', 1, 'ERR_OPTION_TYPE'],
    ['heartbeat', 1000, 'ERR_OPTION_UNKNOWN'],
  ])('%s: %j is refused with %s', (name, value, code) => {
    expect(() => redis({ [name]: value })).toThrow(expect.objectContaining({ code }));
  });

  test.each([
    ['heartbeatMs', 20],
    ['ttlMs', 2000],
    ['ttlMs', 600_000],
    ['maxBufferedBytes', '64k'],
    ['connectTimeoutMs', 50],
    ['prefix', 'a.b_C-1'],
  ])('%s: %j is taken', (name, value) => {
    expect(() => redis({ [name]: value })).not.toThrow();
  });

  test('an unknown driver is refused', () => {
    const call = () => createDriver('kafka' as DriverName, { url });
    expect(call).toThrow('Option "cluster.driver" must be "memory", "redis" or "nats", received string "kafka"');
  });
});

describe('the packages of the engines', () => {
  test('are optional peers, in the versions that an error names', () => {
    const { peerDependencies, peerDependenciesMeta } = JSON.parse(readFileSync('package.json', 'utf8')) as {
      peerDependencies: Record<string, string>;
      peerDependenciesMeta: Record<string, { optional: boolean }>;
    };
    for (const [name, range] of Object.entries(peers)) {
      expect([peerDependencies[name], peerDependenciesMeta[name]]).toEqual([range, { optional: true }]);
    }
  });

  test('a missing one is named, with its version and the command that installs it', async () => {
    const missing = loadPeer('ioredis', () => import('no-such-package' as string));
    await expect(missing).rejects.toMatchObject({
      code: 'ERR_CLUSTER_PACKAGE',
      detail: { package: 'ioredis', range: '^6.0.0' },
    });
    await expect(missing).rejects.toThrow('npm install ioredis@^6.0.0');
  });

  test('one that fails while it is loaded says why', async () => {
    const broken = loadPeer('ioredis', () => Promise.reject(new SyntaxError('unexpected end')));
    await expect(broken).rejects.toThrow(/cannot be loaded: unexpected end/);
  });
});
