import { describe, expect, it } from 'vitest';
import { resolveOptions, withoutSecrets } from '../../src/options/index.js';

const URL_ = 'redis://us%40er:s3cret@host:1/2';
const jobsOf = (jobs: unknown, cluster: object = { driver: 'redis', url: URL_ }) =>
  resolveOptions({ cluster: { ...cluster, jobs } as never }).cluster?.jobs;

describe('the option cluster.jobs', () => {
  it('is none by default, and has the engine of the cluster', () => {
    expect([jobsOf(undefined), jobsOf(null)]).toEqual([null, null]);
    expect(jobsOf({})).toEqual({
      ...{ url: URL_, username: 'us@er', password: 's3cret', tls: null, prefix: 'tswoole' },
      ...{ leaseMs: 30_000, maxLeaseLosses: 10, drainMs: 5000, deadlineMs: 5000, maxJobBytes: 2 ** 20 },
    });
  });

  it('connects with the TLS of the cluster', () => {
    const tls = { ca: '-----BEGIN CERTIFICATE-----' };
    expect(jobsOf({}, { driver: 'redis', url: 'redis://host', tls })).toMatchObject({ url: 'rediss://host', tls });
  });

  it('may have a user of its own at the engine of the cluster', () => {
    const own = { username: 'jobs', password: 'other', tls: { ca: '-----BEGIN CERTIFICATE-----' } };
    expect(jobsOf(own)).toMatchObject({ ...own, url: expect.stringMatching(/^rediss:.*@host:1\/2$/) });
    expect(jobsOf({ password: 'other' })).toMatchObject({ url: URL_, username: 'us@er', password: 'other', tls: null });
    expect(() => jobsOf({ password: 7 })).toThrow(expect.objectContaining({ code: 'ERR_OPTION_TYPE' }));
  });

  it.each([
    [{}, undefined, 1800],
    [{}, 20_000, 5000],
    [{ drainMs: 100 }, 3000, 100],
  ])('%j with maxWaitMs %s is shown to operators with the drainMs that holds', (jobs, maxWaitMs, expected) => {
    const cluster = { driver: 'redis', url: URL_, jobs } as const;
    const shown = withoutSecrets(resolveOptions({ cluster, ...(maxWaitMs !== undefined && { maxWaitMs }) }));
    expect(shown).toMatchObject({ cluster: { jobs: { drainMs: expected } } });
    expect(JSON.stringify(shown)).not.toMatch(/s3cret/);
  });

  it('has an engine of its own, which must be given where the driver keeps no jobs', () => {
    const nats = { driver: 'nats', url: 'nats://host', prefix: 'app' };
    const url = 'postgres://host/jobs';
    const more = { url, username: 'u', password: 'p', leaseMs: 2000, maxJobBytes: '64K' };
    expect(jobsOf(more, nats)).toMatchObject({ ...more, prefix: 'app', maxJobBytes: 65_536 });
    expect(() => jobsOf({}, nats)).toThrow(/"cluster.jobs.url" must be .*"nats" keeps no jobs/);
  });

  it.each([
    [{ url: 'http://s3cret' }, 'ERR_OPTION_VALUE'],
    [{ url: 'redis://host/s3cret' }, 'ERR_OPTION_VALUE'],
    [{ url: 7 }, 'ERR_OPTION_TYPE'],
    [{ url: URL_, password: 7 }, 'ERR_OPTION_TYPE'],
    [{ url: URL_, tls: true }, 'ERR_OPTION_TYPE'],
    [{ url: URL_, tls: { pem: 's3cret' } }, 'ERR_OPTION_UNKNOWN'],
    [{ lease: 7 }, 'ERR_OPTION_UNKNOWN'],
    [{ leaseMs: 999 }, 'ERR_OPTION_RANGE'],
    [{ drainMs: -1 }, 'ERR_OPTION_RANGE'],
    [{ prefix: 'a:b' }, 'ERR_OPTION_VALUE'],
    [true, 'ERR_OPTION_TYPE'],
    [[], 'ERR_OPTION_TYPE'],
  ])('refuses %j, without what is secret', (jobs, code) => {
    expect(() => jobsOf(jobs)).toThrow(expect.objectContaining({ code }));
    expect(() => jobsOf(jobs)).not.toThrow(/s3cret/);
  });
});
