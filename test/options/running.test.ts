import { describe, expect, it } from 'vitest';
import { definitions } from '../../src/options/definitions.js';
import {
  type ListenOptions,
  packRunning,
  type ResolvedListen,
  type ResolvedOptions,
  RunningServer,
  resolveListen,
  resolveOptions,
  type ServerOptions,
} from '../../src/options/index.js';

const mainListen = (options: ResolvedOptions): ResolvedListen => {
  const { port, path, type } = options;
  return resolveListen({ port, path, type }, options);
};

/** Started with these; `ports` are further ones. */
function started(given: ServerOptions, ports: ListenOptions[] = [], processes: string[] = []): RunningServer {
  const options = resolveOptions(given);
  const listens = [mainListen(options), ...ports.map((port) => resolveListen(port, options))];
  return new RunningServer(packRunning({ options, given, listens, processes }));
}

/** A process whose script gives these now. */
function now(running: RunningServer, given: ServerOptions, ports: ListenOptions[] = [], processes: string[] = []) {
  const options = running.adopt(resolveOptions(given), given);
  const further = ports.map((port, at) => running.adoptPort(at + 1, resolveListen(port, options)));
  const listens = [mainListen(options), ...further];
  return {
    options,
    listens,
    differences: running.differences({ listens, processes }),
    misfits: running.misfits(listens),
  };
}

const CUSTOM = { framing: { type: 'eof', delimiter: Uint8Array.of(255, 0, 10) } } as const;
const REDIS = { cluster: { driver: 'redis', url: 'redis://user:secret@host:1' } } as const;
const by = (request: object): string => String(request);

describe('a process of a running server', () => {
  it.each([
    {},
    { ...CUSTOM, dispatchMode: { module: './dispatch.js' } },
    { rateLimit: { perSecond: 1, burst: 2, by }, trustProxy: ['10.0.0.0/8'], staticFiles: { root: '/srv' } },
    { tls: { cert: 'cert.pem', key: 'key.pem' }, mode: 'base', workerNum: 2, cpuAffinity: [0] },
    { ...REDIS, admin: { port: 1, token: 'a-long-secret-token' } },
  ] as ServerOptions[])('whose script has not changed (%o) has what it declares, and no difference', (given) => {
    const { options, differences, misfits } = now(started(given, [{ port: 2 }]), given, [{ port: 2 }]);
    expect(options).toEqual(resolveOptions(given));
    expect([differences, misfits]).toEqual([[], []]);
  });

  it('has what only a start applies as the server has it, and the rest as its script has it', () => {
    const running = started({ workerNum: 2, ...CUSTOM, maxRequest: 1 });
    const { options, differences } = now(running, { workerNum: 3, maxRequest: 5, packageMaxLength: 100 });
    expect(options).toMatchObject({ workerNum: 2, maxWorkerNum: 2, maxRequest: 5 });
    expect(options.packageMaxLength).toBe(resolveOptions().packageMaxLength);
    expect(options.framing).toEqual({ ...CUSTOM.framing, split: true });
    expect(differences).toEqual([
      'workerNum 3 (the server has 2)',
      'framing',
      expect.stringMatching(/^packageMaxLength 100/),
    ]);
    expect(Object.isFrozen(options)).toBe(true);
  });

  it('says nothing of defaults, which follow from other options and from the machine', () => {
    const running = started({ workerNum: 2 });
    const small = resolveOptions({ workerNum: 2 });
    const other = { ...small, reactorNum: 64, channelSize: 131_072 };
    const adopted = running.adopt(other, { workerNum: 2 });
    expect(adopted).toEqual(small);
    expect(running.differences({ listens: [mainListen(adopted)], processes: [] })).toEqual([]);
  });

  it.each([
    ['protocol', {}, { protocol: 'http' }, 'protocol "http" (the server has "raw")'],
    ['type', {}, { type: 'udp' }, 'type "udp" (the server has "tcp")'],
    ['tls', { tls: { cert: 'a', key: 'b' } }, {}, 'tls'],
    ['tls in BASE mode', { mode: 'base' }, { mode: 'base', tls: { cert: 'a', key: 'b' } }, 'tls'],
    ['a limit by a function', { rateLimit: { perSecond: 1, burst: 1, by } }, {}, 'rateLimit'],
  ] as [string, ServerOptions, ServerOptions, string][])('cannot serve with another %s', (_, before, after, why) => {
    expect(now(started(before), after).misfits).toEqual([why]);
  });

  it('cannot serve where a listen port is missing, or is of another kind', () => {
    const running = started({ port: 1 }, [{ port: 2 }, { path: '/tmp/sock' }]);
    expect(now(running, { port: 1 }).misfits).toEqual([
      'no listen port for tcp 127.0.0.1:2',
      'no listen port for unix /tmp/sock',
    ]);
    expect(now(running, { port: 1 }, [{ port: 2, protocol: 'http' }, { path: '/tmp/sock' }]).misfits).toEqual([
      'listen port 2: protocol "http" (the server has "raw")',
    ]);
  });

  it('tells of further listen ports by their place, of more ports, and of other processes', () => {
    const running = started({ port: 1 }, [{ port: 2 }], ['one', 'two']);
    const { differences, listens } = now(
      running,
      { port: 1 },
      [{ port: 3, keepAlive: true }, { port: 4 }],
      ['two', 'new'],
    );
    expect(differences).toEqual([
      'listen port 2: port 3 (the server has 2)',
      'listen port 2: keepAlive true (the server has false)',
      'a listen port more: tcp 127.0.0.1:4',
      'a process more: new',
      'a process less: one',
    ]);
    expect(listens.map(({ port, keepAlive }) => [port, keepAlive])).toEqual([
      [1, false],
      [2, false],
      [4, false],
    ]);
  });

  it('is told no secret, keeps its own, and hears nothing of one', () => {
    const given: ServerOptions = { ...REDIS, admin: { port: 1, token: 'a-long-secret-token' } };
    const options = resolveOptions(given);
    const text = packRunning({ options, given, listens: [mainListen(options)], processes: [] });
    expect(text).not.toMatch(/secret/);
    const running = new RunningServer(text);
    const other = { cluster: { driver: 'redis', url: 'redis://user:other@host2:1' } } as const;
    const { options: adopted, differences } = now(running, {
      ...other,
      admin: { port: 2, token: 'another-long-token' },
    });
    expect(adopted.cluster).toEqual(resolveOptions(other).cluster);
    expect(differences).toEqual(['cluster', 'admin']);
  });

  it('is not told of an admin listener, which an operator may have given to the master alone', () => {
    const { options, differences } = now(started({ admin: { port: 1, token: 'a-long-secret-token' } }), {});
    expect([options.admin, differences]).toEqual([null, []]);
  });

  it('has no cluster where the server has none, and renews certificates of its own in BASE mode without a word', () => {
    const { options, differences } = now(started({}), REDIS);
    expect([options.cluster, differences]).toEqual([null, ['cluster']]);
    const before = { mode: 'base', tls: { cert: 'a', key: 'b' } } as const;
    const renewed = now(started(before), { mode: 'base', tls: { cert: 'c', key: 'd' } });
    expect([renewed.options.tls?.cert, renewed.differences, renewed.misfits]).toEqual([
      resolveOptions({ tls: { cert: 'c', key: 'd' } }).tls?.cert,
      [],
      [],
    ]);
  });
});

it('a reload takes only options that reactors, master and manager do not read', () => {
  const taken = Object.entries(definitions).filter(([, definition]) => 'reloads' in definition);
  expect(taken.map(([name]) => name)).toEqual([
    ...['taskConcurrency', 'taskRetries', 'taskTimeoutMs', 'taskMaxRequest'],
    ...['maxRequest', 'maxRequestJitter', 'maxUptimeMs', 'maxUptimeJitterMs', 'maxMemory'],
    ...['workerMaxConcurrency', 'compression', 'websocketPath', 'allowedOrigins', 'logger'],
  ]);
});
