import { describe, expect, it } from 'vitest';
import { installedVersion, requirePackages } from '../../src/cluster/needed-packages.js';
import { peers } from '../../src/util/peers.js';

describe('the packages of a cluster', () => {
  it.each([
    ['memory', null, []],
    ['redis', null, ['ioredis']],
    ['nats', null, ['@nats-io/transport-node']],
    ['redis', 'rediss://host', ['ioredis', 'bullmq', 'ioredis']],
    ['nats', 'postgresql://host', ['@nats-io/transport-node', 'bullmq', 'pg']],
  ] as const)('of the driver %s with jobs on %s are %j', (driver, url, wanted) => {
    const asked: string[] = [];
    requirePackages({ driver, jobs: url === null ? null : { url } }, (name) => {
      asked.push(name);
      return peers[name].slice(1);
    });
    expect(asked).toEqual(wanted);
  });

  it('are named with the command that installs them, where one is missing', () => {
    const call = () => requirePackages({ driver: 'redis', jobs: null }, () => undefined);
    expect(call).toThrow(
      expect.objectContaining({ code: 'ERR_CLUSTER_PACKAGE', detail: expect.objectContaining({ package: 'ioredis' }) }),
    );
    expect(call).toThrow(/npm install ioredis@\^\d/);
  });

  it('are said to be needed by the jobs, where it is those that need them', () => {
    const missing = (name: string) => () =>
      requirePackages({ driver: 'redis', jobs: { url: 'redis://host' } }, (each) => (each === name ? undefined : ''));
    expect(missing('bullmq')).toThrow(/^For the durable jobs of the cluster the package bullmq/);
    expect(missing('ioredis')).toThrow(/^For the driver of the cluster the package ioredis/);
  });

  it.each([
    ['5.99.0', false],
    ['6.0.0', true],
    ['6.0.0-beta.2', true],
    ['6.12.1', true],
    ['7.0.0', false],
    ['', true],
  ])('of version %s fit: %s', (version, fits) => {
    const call = () => requirePackages({ driver: 'redis', jobs: null }, () => version);
    if (fits) expect(call).not.toThrow();
    else expect(call).toThrow(`version ${version} is installed; run "npm install ioredis@^6.0.0"`);
  });

  it('are looked for where Node looks for them', () => {
    const versions = ['ioredis', '@nats-io/transport-node', 'no-such-package'].map(installedVersion);
    expect(versions).toEqual([expect.stringMatching(/^6\.\d/), expect.stringMatching(/^3\.\d/), undefined]);
  });
});
