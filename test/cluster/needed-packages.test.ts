import { describe, expect, it } from 'vitest';
import { isInstalled, requirePackages } from '../../src/cluster/needed-packages.js';

describe('the packages of a cluster', () => {
  it.each([
    ['memory', null, []],
    ['redis', null, ['ioredis']],
    ['nats', null, ['@nats-io/transport-node']],
    ['redis', 'rediss://host', ['ioredis', 'bullmq', 'ioredis']],
    ['nats', 'postgresql://host', ['@nats-io/transport-node', 'bullmq', 'pg']],
  ] as const)('of the driver %s with jobs on %s are %j', (driver, url, wanted) => {
    const asked: string[] = [];
    requirePackages({ driver, jobs: url === null ? null : { url } }, (name) => asked.push(name) > 0);
    expect(asked).toEqual(wanted);
  });

  it('are named with the command that installs them, where one is missing', () => {
    const call = () => requirePackages({ driver: 'redis', jobs: null }, () => false);
    expect(call).toThrow(
      expect.objectContaining({ code: 'ERR_CLUSTER_PACKAGE', detail: expect.objectContaining({ package: 'ioredis' }) }),
    );
    expect(call).toThrow(/npm install ioredis@\^\d/);
  });

  it('are looked for where Node looks for them', () => {
    expect([isInstalled('ioredis'), isInstalled('@nats-io/transport-node'), isInstalled('no-such-package')]).toEqual([
      ...[true, true, false],
    ]);
  });
});
