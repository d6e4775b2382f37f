// Clients that have ended their side, and clients that never read: none of them is kept for ever. Holds in both modes,
// and over TLS.
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, describe, expect, it } from 'vitest';
import { OVER_TLS } from '../helpers/dial.js';
import { HttpClient, request } from '../helpers/http-client.js';
import { endServers, overPlainTcp, poll, startServer, whereConnectionsStay } from '../helpers/server-process.js';
import { Since, sharedServers } from '../helpers/shared-servers.js';
import { TcpClient } from '../helpers/tcp-client.js';

const MIB = 2 ** 20;
/** More than the kernels of both sides keep between them. */
const LARGE = 24 * MIB;
/** Of some of these the kernels keep all but a last part, which waits in the reactor: their worker has done with them. */
const AROUND_THE_KERNEL = Array.from({ length: 16 }, (_, i) => 2 * MIB + i * (MIB / 4));

const folder = mkdtempSync(join(tmpdir(), 'tswoole-stalled-'));
const largeFile = join(folder, 'large');
writeFileSync(largeFile, Buffer.alloc(LARGE, 'f'));

afterEach(endServers);
afterAll(() => rmSync(folder, { recursive: true }));

const shared = sharedServers();
const given = (api: string, options: Record<string, unknown>) => ({
  env: { API: api },
  options: { workerNum: 1, reactorNum: 1, ...options },
});

const path = join(folder, 'http.sock');

/** For several tests. Each waits for the last close: the next one begins without clients. One server has a path, too. */
async function start(api: string, options: Record<string, unknown> = {}): Promise<Since> {
  const { env, ...rest } = given(api, options);
  const hasPath = !OVER_TLS && api === 'request' && Object.keys(options).length === 0;
  const more = hasPath ? { LISTEN: JSON.stringify({ path }) } : {};
  return new Since(await shared('streams.js', { ...rest, env: { ...env, ...more } }));
}

async function startAlone(api: string, options: Record<string, unknown>): Promise<Since> {
  return new Since(await startServer('streams.js', given(api, options)));
}

/** Sends a request and ends its side. */
async function askAndEnd(server: Since, path: string): Promise<HttpClient> {
  const client = await HttpClient.connect(server.port);
  client.tcp.socket.end(request(path));
  return client;
}

/** Sends one request and reads nothing of its answer. */
async function askDeaf(server: Since, path: string, ...lines: string[]): Promise<TcpClient> {
  const client = await TcpClient.connect(server.port);
  client.socket.on('error', () => {});
  client.socket.pause();
  return client.send(request(path, ...lines));
}

/** Takes far longer than the limit in all, in steps that are far below it. */
async function readSlowly({ socket, closed }: TcpClient): Promise<void> {
  const began = performance.now();
  while (performance.now() - began < 1500) {
    socket.resume();
    await new Promise((resolve) => setTimeout(resolve, 1));
    socket.pause();
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  socket.resume();
  await closed;
}

/** All of them but the one that asks are gone, and nothing waits in any memory. Then that one goes. */
async function nothingIsLeft(server: Since, clients = 1): Promise<void> {
  const client = await HttpClient.connect(server.port);
  await poll('nothing is left', async () => {
    const { size, stats } = JSON.parse((await client.get('/figures')).body);
    return size === 1 && stats.connectionNum === 1 && stats.bufferedBytes === 0 && stats.underWayNum <= 1;
  });
  await client.close();
  await server.waitForEvents('close', clients + 1);
}

const reasons = (server: Since) => server.events('close').map(({ reason }) => reason as { code: string });

describe.each(['request', 'fetch', 'listener'])('behind `%s` a client that ends its side', (api) => {
  it('gets the whole of an answer that comes in pieces, and of one that comes later', async () => {
    const server = await start(api);
    const streamed = await askAndEnd(server, '/ticks?count=6&ms=40');
    expect((await streamed.answer()).body).toBe('tick 1\ntick 2\ntick 3\ntick 4\ntick 5\ntick 6\n');
    const late = await askAndEnd(server, '/later?count=300000&ms=100');
    expect((await late.answer()).body).toHaveLength(300_000);
    await Promise.all([streamed.rest(), late.rest()]);
    await server.waitForEvents('close', 2);
    expect(server.events('gone')).toEqual([]);
  });

  it('and has gone is found out by what is written to it', async () => {
    const server = await start(api);
    const client = await HttpClient.connect(server.port);
    await client.send(request('/ticks?count=1000000&ms=20')).tcp.readLine();
    await client.close();
    await server.waitForEvent('gone');
    await nothingIsLeft(server);
    expect(server.events('gone')).toHaveLength(1);
  });

  it('is reset after halfCloseTimeoutMs when nothing more is written to it', async () => {
    const server = await start(api, { halfCloseTimeoutMs: 400 });
    const client = await HttpClient.connect(server.port);
    await client.send(request('/ticks?count=1&ms=0')).tcp.readLine();
    client.tcp.socket.end();
    await client.rest();
    expect(client.tcp.end).toMatchObject({ code: 'ECONNRESET' });
    await server.waitForEvent('gone');
    await nothingIsLeft(server);
    expect(server.events('gone')).toHaveLength(1);
    await poll('its close is told', () => server.events('close').length >= 2);
    expect(reasons(server)[0]).toMatchObject({ code: 'ANSWER_TIMEOUT', initiator: 'timeout' });
  });
});

describe('server-sent events', () => {
  it('free the connection of a client that has gone although nothing is sent', async () => {
    const server = await start('request');
    const clients = await Promise.all(Array.from({ length: 10 }, () => HttpClient.connect(server.port)));
    for (const client of clients) await client.send(request('/events')).tcp.readLine();
    await Promise.all(clients.map((client) => client.close()));
    await poll('all have been told', () => server.events('gone').length === 10);
    await nothingIsLeft(server, clients.length);
  });

  it('go on for a client that has only ended its side', async () => {
    const server = await start('request');
    const client = await askAndEnd(server, '/events?ms=600');
    const { body } = await client.answer();
    expect(body).toContain('data: first\n\n');
    expect(body).toContain('data: last\n\n');
    await client.rest();
    await server.waitForEvent('close');
  });
});

describe('behind a unix socket', () => {
  overPlainTcp('a client that has closed is known to have gone at once', async () => {
    const server = await start('request');
    const socket = connect({ path });
    socket.write(request('/ticks?count=1&ms=0'));
    await once(socket, 'data');
    socket.destroy();
    const close = await server.waitForEvent('close');
    expect(close['reason']).toMatchObject({ initiator: 'client' });
    await server.waitForEvent('gone');
  });
});

describe('a tunnel', () => {
  it('whose client has gone, and whose app ignores it, ends after halfCloseTimeoutMs, and the app hears of it', async () => {
    const server = await start('listener', { halfCloseTimeoutMs: 400 });
    const client = await HttpClient.connect(server.port);
    client.send('GET / HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n');
    expect((await client.answer(true)).status).toBe(101);
    await client.tcp.echo('hello');
    await client.close();
    await server.waitForEvent('ended');
    await server.waitForEvent('gone');
    await nothingIsLeft(server);
  });
});

/** For two blocks. */
const startImpatient = (): Promise<Since> => start('request', { writeTimeoutMs: 600, keepAliveTimeoutMs: 0 });

describe('a client that never reads is reset after writeTimeoutMs', () => {
  it('with the rest of an answer that ends the connection', async () => {
    const server = await startImpatient();
    const clients = await Promise.all(
      AROUND_THE_KERNEL.map((bytes) => askDeaf(server, `/large?bytes=${bytes}`, 'Connection: close')),
    );
    await nothingIsLeft(server, clients.length);
    await poll('all were told', () => server.events('close').length > clients.length);
    expect(reasons(server).filter(({ code }) => code === 'WRITE_TIMEOUT').length).toBeGreaterThan(0);
    for (const client of clients) client.socket.destroy();
  });

  it.each([
    ['an answer that ends the connection', `/large?bytes=${LARGE}`, 'Connection: close'],
    ['an answer', `/large?bytes=${LARGE}`, 'X: y'],
    ['a file', `/file?path=${largeFile}`, 'Connection: close'],
  ])('with %s', async (_, path, line) => {
    const server = await startImpatient();
    const client = await askDeaf(server, path, line);
    const close = await server.waitForEvent('close');
    expect(close['reason']).toMatchObject({ code: 'WRITE_TIMEOUT', initiator: 'timeout' });
    await nothingIsLeft(server);
    client.socket.destroy();
  });

  it('when it has ended its side too', async () => {
    const server = await startImpatient();
    const client = await TcpClient.connect(server.port);
    client.socket.on('error', () => {});
    client.socket.pause();
    client.socket.end(request(`/large?bytes=${LARGE}`));
    const close = await server.waitForEvent('close');
    expect(close['reason']).toMatchObject({ initiator: 'timeout' });
    await nothingIsLeft(server);
    client.socket.destroy();
  });
});

describe('a client that reads a file slowly', () => {
  it('gets all of it, however long it takes', async () => {
    const server = await startImpatient();
    const client = await askDeaf(server, `/file?path=${largeFile}`, 'Connection: close');
    await readSlowly(client);
    expect(client.receivedBytes).toBeGreaterThan(LARGE);
    await server.waitForEvent('close');
    expect(reasons(server)).toMatchObject([{ code: 'SERVER_CLOSED' }]);
  });
});

describe('a worker that is killed', () => {
  whereConnectionsStay('at a reload leaves nothing in the figures of what it held for a client', async () => {
    const server = await startAlone('request', { writeTimeoutMs: 0, maxWaitMs: 500 });
    const client = await askDeaf(server, `/large?bytes=${LARGE}`);
    await poll('it holds something', async () => {
      const other = await HttpClient.connect(server.port);
      const { stats } = JSON.parse((await other.get('/figures')).body);
      await other.close();
      return stats.bufferedBytes > LARGE / 2;
    });
    server.server.signal('SIGUSR1');
    await nothingIsLeft(server);
    client.socket.destroy();
  });
});

describe('on a port of packets', () => {
  const shared = sharedServers();
  const small = { workerNum: 1, reactorNum: 1 };
  const startOfWrites = async (): Promise<Since> =>
    new Since(await shared('commands.js', { options: { ...small, writeTimeoutMs: 400 } }));
  /** Of clients that have ended their side; idle ones, on its second port. */
  const startOfHalfClosed = async (): Promise<Since> => {
    const env = { LISTEN: JSON.stringify([{ heartbeatIdleMs: 500 }]) };
    const options = { ...small, halfCloseTimeoutMs: 500, maxWaitMs: 300 };
    return new Since(await shared('commands.js', { options, env }));
  };

  const deaf = async (port: number, lines: string): Promise<TcpClient> => {
    const client = await TcpClient.connect(port);
    client.socket.on('error', () => {});
    client.socket.pause();
    return client.send(lines);
  };

  it.each([
    ['writeTimeoutMs', 'WRITE_TIMEOUT', 0],
    ['heartbeatIdleMs', '_TIMEOUT', 1],
  ])('a client that reads nothing is reset after %s, the server having closed it or not', async (_, code, nth) => {
    const server = await (nth === 0 ? startOfWrites() : startOfHalfClosed());
    const ports = server.server.events('up')[0]?.['ports'] as number[];
    const port = ports[nth] ?? 0;
    const closed = await Promise.all(AROUND_THE_KERNEL.map((bytes) => deaf(port, `bytes ${bytes}\nclose\n`)));
    const clients = [...closed, await deaf(port, `bytes ${LARGE}\nclose\n`), await deaf(port, `bytes ${LARGE}\n`)];
    await poll('all have ended', () => server.events('close').length === clients.length);
    const late = reasons(server).filter((reason) => reason.code !== 'SERVER_CLOSED');
    expect(late.length).toBeGreaterThanOrEqual(2);
    for (const reason of late) {
      expect(reason).toMatchObject({ code: expect.stringContaining(code), initiator: 'timeout' });
    }
    const other = await TcpClient.connect(server.port);
    await poll('memory is free', async () => {
      const { connectionNum, bufferedBytes } = JSON.parse(await other.ask('stats'));
      return connectionNum === 1 && bufferedBytes === 0;
    });
    expect(server.events('close')).toHaveLength(clients.length);
    for (const client of clients) client.socket.destroy();
    await other.close();
    await server.waitForEvents('close', clients.length + 1);
  });

  it('a client that reads slowly is not taken for one that reads nothing', async () => {
    const server = await startOfWrites();
    const client = await TcpClient.connect(server.port);
    client.socket.pause();
    client.send(`bytes ${LARGE}\nclose\n`);
    await readSlowly(client);
    expect(client.receivedBytes).toBe(LARGE);
    await server.waitForEvent('close');
    expect(reasons(server)).toMatchObject([{ code: 'SERVER_CLOSED' }]);
  });

  it('a client that has ended its side is let go after halfCloseTimeoutMs when its answer never comes', async () => {
    const server = await startOfHalfClosed();
    const client = await TcpClient.connect(server.port);
    client.socket.end('never\n');
    const close = await server.waitForEvent('close');
    expect(close['reason']).toMatchObject({ code: 'ANSWER_TIMEOUT', initiator: 'timeout' });
    await client.closed;
    expect(server.events('close')).toHaveLength(1);
  });

  it('a client that has ended its side gets an answer that takes longer, as long as it does not pause', async () => {
    const server = await startOfHalfClosed();
    const client = await TcpClient.connect(server.port);
    client.socket.end(`later 350\nlater 700\nlater 1050\nlater 1400\nlater 1750\n`);
    await client.closed;
    expect(client.received).toBe('later\n'.repeat(5));
    await server.waitForEvent('close');
    expect(reasons(server)).toMatchObject([{ code: 'CLIENT_CLOSED' }]);
  });
});
