/** What one engine has and the others have not, and nodes in processes of their own. */
import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, test } from 'vitest';
import type { DriverName } from '../../src/options/cluster.js';
import { certificateFor } from '../helpers/certificates.js';
import { DEADLINE_MS, PACE } from '../helpers/deadline.js';
import type { EngineProcess } from '../helpers/engine-process.js';
import { eventually } from '../helpers/eventually.js';
import { hasNats, startNats } from '../helpers/nats.js';
import { askRedis, hasRedis, startRedis } from '../helpers/redis.js';
import { silentProxy } from '../helpers/silent-proxy.js';
import { begin, HEARTBEAT_MS, Nodes, Received, type TestEngine, type TestNode, TTL_MS } from './world.js';

const nodes = new Nodes();
const ends: (() => unknown)[] = [];
afterEach(async () => {
  await nodes.stop();
  for (const end of ends.splice(0).reverse()) await end();
});

const SECRET = encodeURIComponent('p@ss w:rd/');
const PASSWORD = 'p@ss w:rd/';

async function kept(starting: Promise<EngineProcess>): Promise<EngineProcess> {
  const server = await starting;
  ends.push(() => server.stop());
  return server;
}

const namesOf = ({ driver }: TestNode): string[] =>
  driver
    .nodes()
    .map(({ id }) => id)
    .sort();

const inDatabase = (server: EngineProcess, database: number, id: string): Promise<TestNode> =>
  nodes.start(at('redis', `${server.url}/${database}`), id);

const at = (driver: DriverName, url: string): TestEngine => ({ driver, url }) as TestEngine;

describe.skipIf(!hasRedis)('Redis', () => {
  test('a node subscribes once per subject, and not at all after the last subscriber is gone', async () => {
    const server = await kept(startRedis());
    const a = await nodes.start(at('redis', server.url), 'a');
    const subscriptions = Array.from({ length: 5 }, () => a.driver.subscribe('s', () => {}));
    await Promise.all(subscriptions.map(({ ready }) => ready));
    const count = () => ask(server.port, 'PUBSUB NUMSUB tswoole:subject/s\r\n');
    expect(await count()).toContain(':1\r\n');
    for (const subscription of subscriptions) subscription.close();
    await eventuallyAsync(async () => expect(await count()).toContain(':0\r\n'));
  });

  test('nodes in two databases of one Redis are two clusters; database 0 is the one without a number', async () => {
    const server = await kept(startRedis());
    const [zero, one] = [await nodes.start(at('redis', `${server.url}/0`), 'a'), await inDatabase(server, 1, 'a')];
    const other = await inDatabase(server, 1, 'b');
    const withoutNumber = await nodes.start(at('redis', server.url), 'c');
    const [inZero, inOne] = [new Received(), new Received()];
    await Promise.all([zero.driver.subscribe('s', inZero.take).ready, other.driver.subscribe('s', inOne.take).ready]);
    await eventually(() => expect([namesOf(one), namesOf(other)]).toEqual(Array(2).fill(['a', 'b'])));
    await eventually(() => expect([namesOf(zero), namesOf(withoutNumber)]).toEqual(Array(2).fill(['a', 'c'])));
    one.driver.publish('s', Buffer.from('from one'));
    withoutNumber.driver.publish('s', Buffer.from('from zero'));
    await eventually(() => expect([inZero.texts, inOne.texts]).toEqual([['c: from zero'], ['a: from one']]));
    expect(String(await one.driver.request('b', Buffer.from('x'), { timeoutMs: DEADLINE_MS }))).toBe('> x');
    await one.driver.config.put('k', Buffer.from('1'));
    expect(await zero.driver.config.get('k')).toBeUndefined();
    expect(await ask(server.port, 'PUBSUB NUMSUB tswoole:1:subject/s\r\n')).toContain(':1\r\n');
  });

  test('the rights that the documentation gives a user are enough in any database', async () => {
    const [, rights] =
      /^ACL SETUSER app on >PASSWORD (.*)$/m.exec(readFileSync('docs/several-machines.md', 'utf8')) ?? [];
    const server = await kept(startRedis());
    for (const database of [0, 3]) {
      const added = database === 0 ? '' : ' +select';
      await askRedis(server, `ACL SETUSER app on >secret ${rights}${added}`);
      const engine = at('redis', `redis://app:secret@127.0.0.1:${server.port}/${database}`);
      const [a, b] = [await nodes.start(engine, 'a'), await nodes.start(engine, 'b')];
      const received = new Received();
      await b.driver.subscribe('s', received.take).ready;
      a.driver.publish('s', Buffer.from('x'));
      await eventually(() => expect(received.texts).toEqual(['a: x']));
      expect([a, b].flatMap(({ told }) => told).filter((each) => each.startsWith('refused'))).toEqual([]);
      await nodes.stop();
    }
  });

  test('a database that Redis does not give keeps the node out, and the reason is told', async () => {
    const server = await kept(startRedis());
    await askRedis(server, 'ACL SETUSER app on >secret resetchannels &tswoole:* nocommands +info +client');
    const refusals = { '16': 'out of range', '1': "'select' command" };
    for (const [database, why] of Object.entries(refusals)) {
      const user = database === '1' ? 'app:secret@' : '';
      const url = `redis://${user}127.0.0.1:${server.port}/${database}`;
      const starting = begin(nodes.make(at('redis', url), 'a'));
      await expect(starting).rejects.toMatchObject({
        code: 'ERR_CLUSTER_CONNECT',
        message: expect.stringContaining(why),
      });
    }
  });

  test('user and password of the URL or of the options are used, and a wrong one is in no message', async () => {
    const server = await kept(startRedis({ settings: ['--requirepass', PASSWORD] }));
    const address = `127.0.0.1:${server.port}`;
    await nodes.start(at('redis', `redis://:${SECRET}@${address}`), 'a');
    await nodes.start(at('redis', `redis://default@${address}`), 'b', { password: PASSWORD });
    for (const options of [{ url: `redis://:wr0ng-secret@${address}` }, { password: 'wr0ng-secret' }, {}]) {
      const error = await begin(nodes.make(at('redis', server.url), 'c', options)).catch((reason: unknown) => reason);
      expect(error).toMatchObject({ code: 'ERR_CLUSTER_CONNECT', detail: { engine: 'Redis', address } });
      expect(String(error)).toMatch(/WRONGPASS|NOAUTH/);
      expect(JSON.stringify(error) + (error as Error).stack).not.toContain('wr0ng-secret');
    }
  });

  test('a Redis before 6.2 is refused by its version', async () => {
    const port = await serve((socket) => socket.on('data', (data) => socket.write(answersOfRedis(data, '6.0.16'))));
    const starting = begin(nodes.make(at('redis', `redis://127.0.0.1:${port}`), 'a'));
    await expect(starting).rejects.toMatchObject({
      code: 'ERR_CLUSTER_ENGINE',
      detail: { needed: '6.2', received: '6.0.16' },
    });
  });

  test('a Redis that has become read-only is left: the address may lead to the new primary', async () => {
    const server = await kept(startRedis());
    const a = await nodes.start(at('redis', server.url), 'a');
    await a.driver.subscribe('s', () => {}).ready;
    await ask(server.port, 'REPLICAOF 127.0.0.1 1\r\n');
    await expect(a.driver.config.put('k', Buffer.from('1'))).rejects.toThrow();
    await eventually(() => expect(a.told).toContain('state reconnecting'));
    await ask(server.port, 'REPLICAOF NO ONE\r\n');
    await eventually(() => expect(a.told).toContain('gap s'));
    await eventuallyAsync(async () => expect(await a.driver.config.put('k', Buffer.from('2'))).toBe(1));
  });

  test('a subscriber over the output limit of Redis is cut off: it has a gap and goes on', async () => {
    const limit = ['--client-output-buffer-limit', 'pubsub 256kb 256kb 1'];
    const server = await kept(startRedis({ settings: limit }));
    const [a, b] = [await nodes.start(at('redis', server.url), 'a'), await nodes.start(at('redis', server.url), 'b')];
    const received = new Received();
    await b.driver.subscribe('s', received.take).ready;
    a.driver.publish('s', Buffer.alloc(4 * 1024 * 1024));
    await eventually(() => expect(b.told).toContain('gap s'));
    expect(a.driver.publish('s', Buffer.from('x'))).toBe(true);
    await eventually(() => expect(received.texts).toContain('a: x'));
  });

  test('with an append-only file, config survives kill -9; without, the watcher sees the next value', async () => {
    for (const appendOnly of [true, false]) {
      const server = await kept(startRedis({ appendOnly }));
      const a = await nodes.start(at('redis', server.url), 'a');
      const seen: string[] = [];
      await a.driver.config.watch('k', ({ value }) => seen.push(String(value))).ready;
      for (const value of ['1', '2']) await a.driver.config.put('k', Buffer.from(value));
      await eventually(() => expect(seen.at(-1)).toBe('2'));
      await server.kill('SIGKILL');
      await eventually(() => expect(a.driver.state).toBe('reconnecting'));
      await server.restart();
      await eventually(() => expect(a.driver.state).toBe('up'));
      expect(String((await a.driver.config.get('k'))?.value)).toBe(appendOnly ? '2' : 'undefined');
      await a.driver.config.put('k', Buffer.from('3'));
      await eventually(() => expect(seen.at(-1)).toBe('3'));
    }
  });

  test('over TLS, with the authority that was given and with no other', async () => {
    const { cert, key } = certificateFor('redis.test');
    const tls = [
      '--tls-cert-file',
      cert,
      '--tls-key-file',
      key,
      '--tls-ca-cert-file',
      cert,
      '--tls-auth-clients',
      'no',
    ];
    const port = 30_000 + (process.pid % 2000);
    const server = await kept(startRedis({ settings: ['--tls-port', String(port), ...tls] })).catch(() => undefined);
    if (server === undefined) return; // a Redis built without TLS
    const url = `rediss://127.0.0.1:${port}`;
    await nodes.start(at('redis', url), 'a', { tls: { ca: readFileSync(cert, 'utf8') } });
    await refusesAuthority(begin(nodes.make(at('redis', url), 'b')));
    const other = readFileSync(certificateFor('other.test').cert, 'utf8');
    await refusesAuthority(begin(nodes.make(at('redis', url), 'c', { tls: { ca: other } })));
  });
});

describe.skipIf(!hasNats)('NATS', () => {
  test('user and password are used, and a wrong one is in no message', async () => {
    const server = await kept(startNats({ settings: ['--user', 'joe', '--pass', PASSWORD] }));
    const address = `127.0.0.1:${server.port}`;
    await nodes.start(at('nats', `nats://joe:${SECRET}@${address}`), 'a');
    await nodes.start(at('nats', server.url), 'b', { username: 'joe', password: PASSWORD });
    for (const options of [{ url: `nats://joe:wr0ng-secret@${address}` }, {}]) {
      const error = await begin(nodes.make(at('nats', server.url), 'c', options)).catch((reason: unknown) => reason);
      expect(error).toMatchObject({ code: 'ERR_CLUSTER_CONNECT', detail: { engine: 'NATS', address } });
      expect(String(error)).toMatch(/authorization/i);
      expect(JSON.stringify(error) + (error as Error).stack).not.toContain('wr0ng-secret');
    }
  });

  test('a node that may not hear a subject does not count as connected', async () => {
    const permissions = 'permissions: { subscribe: { deny: ["tswoole.subject.secret"] } }';
    const config = `authorization { users: [{ user: joe, password: pw, ${permissions} }] }`;
    const server = await kept(startNats({ config }));
    const a = await nodes.start(at('nats', server.url), 'a', { username: 'joe', password: 'pw' });
    expect(a.told).toEqual(['state up']);
    a.driver.subscribe('secret', () => {}).ready.catch(() => {});
    await eventually(() => expect(a.told).toEqual(['state up', 'state reconnecting']));
  });

  test('without JetStream everything but config works, and config says what is missing', async () => {
    const server = await kept(startNats({ jetStream: false }));
    const a = await nodes.start(at('nats', server.url), 'a');
    await nodes.start(at('nats', server.url), 'b');
    expect(a.driver.capabilities).toMatchObject({ config: false, presence: true });
    for (const call of [a.driver.config.get('k'), a.driver.config.put('k', Buffer.from('1'))]) {
      await expect(call).rejects.toMatchObject({ code: 'ERR_CLUSTER_UNSUPPORTED' });
    }
    await eventually(() => expect(a.told).toContain('up b'));
    expect(() => a.driver.config.watch('k', () => {})).toThrow('nats-server -js');
    expect(String(await a.driver.request('b', Buffer.from('x'), { timeoutMs: DEADLINE_MS }))).toBe('> x');
  });
});

describe.each([
  ['redis', hasRedis, () => startRedis({ settings: ['--client-output-buffer-limit', 'pubsub', '1mb', '1mb', '1'] })],
  ['nats', hasNats, () => startNats({ config: 'max_pending: 1MB\nwrite_deadline: "1s"' })],
] as const)('a node that takes nothing from %s', (driver, isThere, start) => {
  test.skipIf(!isThere)('is cut off there, and told of a gap when it takes again', async () => {
    const server = await kept(start());
    const proxy = await silentProxy(server.port);
    ends.push(() => proxy.close());
    // Its own heartbeats, which do not come back, are not what ends it.
    const patient = { heartbeatMs: 1000, ttlMs: Math.min(10 * DEADLINE_MS, 600_000) };
    const a = await nodes.start(at(driver, server.url), 'a', patient);
    const b = await nodes.start(at(driver, server.url.replace(`${server.port}`, `${proxy.port}`)), 'b', patient);
    const heard = new Received();
    await b.driver.subscribe('s', heard.take).ready;
    proxy.stall();
    const piece = Buffer.alloc(256 * 1024);
    for (let sent = 0; sent < 160; ) {
      if (a.driver.publish('s', piece)) sent++;
      else await sleep(5);
    }
    // The engine has all of it, more than it keeps for one node and the kernel's buffers together.
    await eventually(() => expect(a.driver.stats().bufferedBytes).toBe(0));
    proxy.goOn();
    await eventually(() => expect(b.told).toContain('gap s'));
    expect(b.told.slice(-3)).toEqual(['state reconnecting', 'state up', 'gap s']);
    a.driver.publish('s', Buffer.from('after'));
    await eventually(() => expect(heard.texts.at(-1)).toBe('a: after'));
    expect(a.told).not.toContain('lost b');
  });
});

describe.skipIf(!hasNats)('NATS over TLS', () => {
  test('takes the authority that was given and no other', async () => {
    const { cert, key } = certificateFor('nats.test');
    const server = await kept(startNats({ settings: ['--tls', '--tlscert', cert, '--tlskey', key] }));
    const url = server.url.replace('nats:', 'tls:');
    const tls = { ca: readFileSync(cert, 'utf8') };
    await nodes.start(at('nats', url), 'a', { tls });
    const otherName = nodes.make(at('nats', url.replace('127.0.0.1', 'localhost')), 'b', { tls });
    await expect(begin(otherName)).rejects.toMatchObject({ code: 'ERR_CLUSTER_CONNECT' });
    for (const given of [url, server.url]) {
      await expect(begin(nodes.make(at('nats', given), 'b'))).rejects.toMatchObject({ code: 'ERR_CLUSTER_CONNECT' });
    }
    await refusesAuthority(begin(nodes.make(at('nats', url), 'b')));
    const other = readFileSync(certificateFor('other.test').cert, 'utf8');
    await refusesAuthority(begin(nodes.make(at('nats', url), 'c', { tls: { ca: other } })));
  });

  test('is not given up for a server without TLS: the password stays here', async () => {
    const server = await kept(startNats());
    const url = server.url.replace('nats://', `tls://joe:${SECRET}@`);
    const starting = begin(nodes.make(at('nats', url), 'a'));
    await expect(starting).rejects.toMatchObject({
      code: 'ERR_CLUSTER_CONNECT',
      detail: { why: expect.stringMatching(/tls/i) },
    });
  });
});

describe.each([
  ['redis', hasRedis, startRedis],
  ['nats', hasNats, startNats],
] as const)('%s', (driver, isHere, startServer) => {
  test.skipIf(!isHere)('a node that is killed with -9 is lost after the ttl, and its members with it', async () => {
    const server = await kept(startServer());
    const a = await nodes.start(at(driver, server.url), 'a');
    const b = await startProcess(driver, server.url, 'b');
    await eventually(() => expect(a.told).toContain('up b'));
    expect((await a.driver.presence.list('room')).map(({ member }) => member)).toEqual(['b']);
    const asked = a.driver.request('b', Buffer.from(''), { timeoutMs: DEADLINE_MS });
    const lost = expect(asked).rejects.toMatchObject({ code: 'ERR_NODE_LOST' });
    b.child.kill('SIGKILL');
    await lost;
    expect(a.told.at(-1)).toBe('lost b');
    expect(await a.driver.presence.list('room')).toEqual([]);
  });

  test.skipIf(!isHere)(
    'a subscriber that stands still does not hold up the others, and has a gap when it goes on',
    async () => {
      const settings = driver === 'redis' ? ['--client-output-buffer-limit', 'pubsub 8mb 8mb 1'] : [];
      const server = await kept(
        startServer({ settings, ...(driver === 'nats' ? { config: 'max_pending: 8MB, write_deadline: "1s"' } : {}) }),
      );
      const patient = { ttlMs: 100 * HEARTBEAT_MS };
      const a = await nodes.start(at(driver, server.url), 'a', patient);
      const c = await nodes.start(at(driver, server.url), 'c', patient);
      const received = new Received();
      await c.driver.subscribe('s', received.take).ready;
      const b = await startProcess(driver, server.url, 'b');
      b.child.kill('SIGSTOP');
      for (let sent = 0; sent < 100; sent++) {
        a.driver.publish('s', Buffer.alloc(512 * 1024));
        while (a.driver.stats().bufferedBytes > 0) await sleep(1);
      }
      await eventually(() => expect(received.bytes).toHaveLength(100));
      b.child.kill('SIGCONT');
      await eventually(() => expect(b.told).toContain('gap s'));
      expect(b.received.length).toBeLessThan(100);
      await eventually(() => {
        a.driver.publish('s', Buffer.from('again'));
        expect(b.received.at(-1)).toBe('again'.length);
      });
    },
  );

  test('a server that accepts and says nothing is given up in time; a stop gives up at once', async () => {
    const sockets = new Set<Socket>();
    const port = await serve((socket) => sockets.add(socket.resume().once('close', () => sockets.delete(socket))));
    const engine = at(driver, `${driver}://127.0.0.1:${port}`);
    await expect(begin(nodes.make(engine, 'a', { connectTimeoutMs: 100 }))).rejects.toMatchObject({
      code: 'ERR_CLUSTER_CONNECT',
      detail: { why: expect.stringContaining('100 ms') },
    });
    const node = nodes.make(engine, 'a', { connectTimeoutMs: 60_000 });
    const starting = expect(begin(node)).rejects.toMatchObject({ code: 'ERR_CLUSTER_DOWN' });
    await eventually(() => expect(sockets.size).toBeGreaterThan(0));
    const begun = performance.now();
    await node.driver.stop(true);
    await starting;
    expect(performance.now() - begun).toBeLessThan(1000 * PACE);
    await eventually(() => expect(sockets.size).toBe(0));
  });

  test('what answers like another server is refused', async () => {
    const port = await serve((socket) => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n'));
    const starting = begin(nodes.make(at(driver, `${driver}://127.0.0.1:${port}`), 'a'));
    await expect(starting).rejects.toMatchObject({ code: 'ERR_CLUSTER_CONNECT' });
  });

  test.skipIf(!isHere)('five losses in a row: five gaps, and the memory of what waited is bounded', async () => {
    const server = await kept(startServer());
    const a = await nodes.start(at(driver, server.url), 'a', { maxBufferedBytes: '64k' });
    await a.driver.subscribe('s', () => {}).ready;
    for (let i = 1; i <= 5; i++) {
      await server.kill('SIGKILL');
      await eventually(() => expect(a.driver.state).toBe('reconnecting'));
      for (let j = 0; j < 100; j++) a.driver.publish('s', Buffer.alloc(10_000));
      expect(a.driver.stats()).toMatchObject({ bufferedBytes: 0, lost: 100 * i });
      await server.restart();
      await eventually(() => expect(a.driver.stats().reconnects).toBe(i));
    }
    expect(a.told.filter((line) => line === 'gap s')).toHaveLength(5);
  });

  test.skipIf(!isHere)('a process that stood still loses nobody, and is not taken for another', async () => {
    const server = await kept(startServer());
    const a = await nodes.start(at(driver, server.url), 'a');
    const b = await startProcess(driver, server.url, 'b');
    await eventually(() => expect(b.told).toContain('up a'));
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 3 * TTL_MS); // no turn, as in a callback that computes
    await sleep(2 * HEARTBEAT_MS);
    expect(a.told.filter((line) => line.startsWith('lost'))).toEqual([]);
    await eventually(() => expect(b.told.slice(-2)).toEqual(['lost a', 'up a']));
  });
});

/** The error says what is wrong with the certificate, and which option to correct. */
async function refusesAuthority(starting: Promise<void>): Promise<void> {
  await expect(starting).rejects.toMatchObject({
    code: 'ERR_CLUSTER_CONNECT',
    detail: {
      why: expect.stringMatching(/certificate.*; the authority that signed its certificate must be in tls\.ca/),
    },
  });
}

/** A node in a process of its own. */
async function startProcess(driver: DriverName, url: string, id: string) {
  const path = fileURLToPath(new URL('../fixtures/cluster-node.js', import.meta.url));
  const options = JSON.stringify({ url, heartbeatMs: HEARTBEAT_MS, ttlMs: TTL_MS });
  const child: ChildProcess = spawn(process.execPath, [path, driver, options, id], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  ends.push(() => child.kill('SIGKILL'));
  const told: string[] = [];
  const received: number[] = [];
  createInterface({ input: child.stdout! }).on('line', (line) => {
    const { told: text, received: bytes } = JSON.parse(line) as { told?: string; received?: number };
    if (text === undefined) received.push(bytes!);
    else told.push(text);
  });
  await eventually(() => expect(told).toContain('ready'));
  return { child, told, received };
}

async function serve(accept: (socket: Socket) => void): Promise<number> {
  const sockets = new Set<Socket>();
  const server: Server = createServer((socket) => {
    sockets.add(socket.on('error', () => {}));
    accept(socket);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  ends.push(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return (server.address() as { port: number }).port;
}

/** As Redis answers what a client says first; every command but INFO with OK. */
function answersOfRedis(data: Buffer, version: string): string {
  const commands = data.toString('latin1').split(/(?=\*\d+\r\n)/);
  const info = `redis_version:${version}\r\n`;
  return commands.map((command) => (/\binfo\b/i.test(command) ? `$${info.length}\r\n${info}\r\n` : '+OK\r\n')).join('');
}

function ask(port: number, command: string): Promise<string> {
  return new Promise((resolve, reject) => {
    import('node:net').then(({ connect }) => {
      const socket = connect(port, '127.0.0.1', () => socket.write(command));
      socket.once('error', reject);
      socket.once('data', (data) => {
        socket.destroy();
        resolve(data.toString());
      });
    }, reject);
  });
}

async function eventuallyAsync(check: () => Promise<void>): Promise<void> {
  const until = performance.now() + DEADLINE_MS;
  for (;;) {
    try {
      return await check();
    } catch (error) {
      if (performance.now() > until) throw error;
      await sleep(10);
    }
  }
}
