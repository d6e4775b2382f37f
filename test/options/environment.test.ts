import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { definitions } from '../../src/options/definitions.js';
import {
  flagOf,
  optionsFromOutside,
  parseOption,
  resolveOptions,
  textOptions,
  variableOf,
} from '../../src/options/index.js';

const outside = (environment: NodeJS.ProcessEnv, flags = {}): object => optionsFromOutside(environment, flags);

const REDIS = '"driver":"redis","url":"redis://host"';

describe('options from outside', () => {
  it('have names that follow from those in the script', () => {
    expect([variableOf('workerNum'), flagOf('workerNum')]).toEqual(['TSWOOLE_OPTION_WORKER_NUM', 'worker-num']);
    expect([variableOf('host'), flagOf('host')]).toEqual(['TSWOOLE_OPTION_HOST', 'host']);
    expect(new Set(textOptions.map(flagOf)).size).toBe(textOptions.length);
  });

  it('are all options but those that only a script can give', () => {
    const rest = Object.keys(definitions).filter((name) => !textOptions.some((known) => known === name));
    expect(rest).toEqual(['logger']);
  });

  it('mean the same as in a script, flags before the environment', () => {
    const given = outside(
      {
        TSWOOLE_OPTION_WORKER_NUM: '3',
        TSWOOLE_OPTION_PORT: '1',
        TSWOOLE_OPTION_SEND_BUFFER_SIZE: '2m',
        TSWOOLE_OPTION_KEEP_ALIVE: 'yes',
        TSWOOLE_OPTION_PROXY_PROTOCOL: '10.0.0.0/8, ::1',
        TSWOOLE_OPTION_UMASK: '027',
        TSWOOLE_OPTION_CPU_AFFINITY: '0,2',
        TSWOOLE_OPTION_ADMIN: '9100',
        TSWOOLE_OPTION_WATCH: 'src,lib',
        TSWOOLE_OPTION_LOG_ROTATION: '{"every":"daily","keep":3}',
        OTHER: 'x',
      },
      { port: '2' },
    );
    expect(resolveOptions(given)).toMatchObject({
      workerNum: 3,
      port: 2,
      sendBufferSize: 2 * 1024 * 1024,
      keepAlive: true,
      proxyProtocol: ['10.0.0.0/8', '::1'],
      umask: 0o27,
      cpuAffinity: [0, 2],
      admin: { port: 9100, host: '127.0.0.1', token: '' },
      watch: [join(process.cwd(), 'src'), join(process.cwd(), 'lib')],
      logRotation: { every: 'daily', sizeBytes: 0, keep: 3 },
    });
  });

  it.each(['sticky', 'admin', 'tls', 'logRotation', 'trustProxy', 'accessLog', 'cluster'] as const)(
    'what can only be meant as JSON and is none is told of, and not shown: %s',
    (name) => {
      for (const text of ['{cookie: sid}', ' [a', '{"token": \'secret\'}']) {
        const given = (): unknown => outside({}, { [name]: text });
        expect(given).toThrow(expect.objectContaining({ code: 'ERR_OPTION_VALUE' }));
        expect(given).toThrow(
          /^Option "--[a-z-]+" must be .*; here as JSON, with names in double quotes, received a text that is no JSON\./,
        );
        expect(given).not.toThrow(/secret/);
      }
    },
  );

  it.each([
    [{ TSWOOLE_OPTION_WORKER_NUM: 'x' }, {}, 'ERR_OPTION_TYPE', 'TSWOOLE_OPTION_WORKER_NUM'],
    [{ TSWOOLE_OPTION_WORKER_NUM: '' }, {}, 'ERR_OPTION_TYPE', 'TSWOOLE_OPTION_WORKER_NUM'],
    [{ TSWOOLE_OPTION_WORKER_NUN: '1' }, {}, 'ERR_OPTION_UNKNOWN', 'TSWOOLE_OPTION_WORKER_NUN'],
    [{ TSWOOLE_OPTION_FRAMING: '{"type"' }, {}, 'ERR_OPTION', 'TSWOOLE_OPTION_FRAMING'],
    [{}, { port: '70000' }, 'ERR_OPTION_RANGE', '--port'],
    [{ TSWOOLE_OPTION_CLUSTER: '{"driver":"redis"}' }, {}, 'ERR_OPTION_TYPE', '"TSWOOLE_OPTION_CLUSTER.url"'],
    [{}, { cluster: '{"driver":"redis","url":"host"}' }, 'ERR_OPTION_VALUE', '"--cluster.url"'],
    [{}, { cluster: `{${REDIS},"jobs":{"lease":1}}` }, 'ERR_OPTION_UNKNOWN', '"--cluster.jobs.lease"'],
    [{}, { cluster: `{${REDIS},"jobs":{"leaseMs":1}}` }, 'ERR_OPTION_RANGE', '"--cluster.jobs.leaseMs"'],
    [{}, { cluster: `{${REDIS},"jobs":{"url":5}}` }, 'ERR_OPTION_TYPE', '"--cluster.jobs.url"'],
    [{}, { cluster: `{${REDIS},"jobs":{"url":"redis://h","tls":5}}` }, 'ERR_OPTION_TYPE', '"--cluster.jobs.tls"'],
    [{}, { cluster: `{${REDIS},"tls":{"ca":5}}` }, 'ERR_OPTION_TYPE', '"--cluster.tls.ca"'],
    [{}, { cluster: `{${REDIS},"password":5}` }, 'ERR_OPTION_TYPE', '"--cluster.password"'],
    [{}, { cluster: `{${REDIS},"ttlMs":50}` }, 'ERR_OPTION_CONFLICT', '"--cluster.ttlMs"'],
    [{}, { cluster: '{"driver":"nats","url":"nats://h","jobs":{}}' }, 'ERR_OPTION_VALUE', '"--cluster.jobs.url"'],
    [{}, { keepAlive: 'perhaps' }, 'ERR_OPTION_TYPE', '--keep-alive'],
  ])('that make no sense are refused by the name they were given: %j %j', (environment, flags, code, name) => {
    expect(() => outside(environment, flags)).toThrow(
      expect.objectContaining({ code: expect.stringContaining(code), message: expect.stringContaining(name) }),
    );
  });

  it.each(textOptions)('%s takes its default as text', (name) => {
    const resolved = resolveOptions({})[name];
    const show = definitions[name].kind.show as (value: unknown) => string;
    const text = show(resolved).replaceAll(/^'|'$/g, '');
    if (resolved !== null) expect(() => parseOption(name, text, name)).not.toThrow();
  });
});
