import { createHash, randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import { DEADLINE_MS } from '../helpers/deadline.js';
import {
  endServers,
  inProcessMode,
  poll,
  type ServerProcess,
  startServer,
  whereConnectionsStay,
} from '../helpers/server-process.js';
import { Since, sharedServers } from '../helpers/shared-servers.js';
import { TcpClient } from '../helpers/tcp-client.js';

afterEach(endServers);

const MIB = 2 ** 20;
const length = { type: 'length', field: 'u32be', bodyOffset: 4 };
const start = (options: object): Promise<ServerProcess> =>
  startServer('packets.js', { options: { workerNum: 2, reactorNum: 1, framing: length, ...options } });

/** What further ports of one server have. */
const others = {
  eof: { framing: { type: 'eof', delimiter: '\r\n' } },
  custom: { framing: { type: 'custom', length: './frame.js' } },
  upToMiB: { packageMaxLength: '1m' },
  eofUpTo64k: { framing: { type: 'eof', delimiter: '\n' }, packageMaxLength: '64k' },
  upTo1000: { packageMaxLength: 1000 },
};

const shared = sharedServers();
/** Each of its tests waits for the last close of its clients. */
async function startShared(name?: keyof typeof others): Promise<{ server: Since; port: number }> {
  const env = { LISTEN: JSON.stringify(Object.values(others)) };
  const server = await shared('packets.js', { options: { workerNum: 2, framing: length, maxWaitMs: 10_000 }, env });
  const ports = server.events('up')[0]?.['ports'] as number[];
  const port = ports[name === undefined ? 0 : 1 + Object.keys(others).indexOf(name)] ?? 0;
  return { server: new Since(server), port };
}

async function closeAll({ server }: { server: Since }, clients: readonly TcpClient[]): Promise<void> {
  await Promise.all(clients.map((client) => client.close()));
  await server.waitForEvents('close', clients.length);
}

function packet(bytes: number): Buffer {
  const head = Buffer.alloc(4);
  head.writeUInt32BE(bytes);
  return Buffer.concat([head, randomBytes(bytes)]);
}

const answer = (data: Buffer): string => `${data.length} ${createHash('sha1').update(data).digest('hex')}`;

/** Sends all packets as one stream, cut at random, and expects the answers in order. */
async function exchange(client: TcpClient, packets: readonly Buffer[], cuts: number): Promise<void> {
  const stream = Buffer.concat(packets);
  const places = Array.from({ length: cuts }, () => Math.floor(Math.random() * stream.length)).sort((a, b) => a - b);
  const answers = (async () => {
    for (const each of packets) expect(await client.readLine(2 * DEADLINE_MS)).toBe(answer(each));
  })();
  for (const [i, place] of [0, ...places].entries()) {
    client.send(stream.subarray(place, places[i] ?? stream.length));
    if (i % 8 === 0) await sleep(0);
  }
  await answers;
}

const random = (max: number): number => Math.floor(Math.random() ** 4 * max);

describe.each(['epoll', 'poll'])('packets by length, backend %s', (reactorBackend) => {
  it('of any size, cut anywhere, arrive whole and in order', async () => {
    const server = await start({ reactorBackend });
    const clients = await TcpClient.connectMany(server.port, 8);
    const list = (): Buffer[] => Array.from({ length: 60 }, () => packet(random(MIB)));
    await Promise.all(clients.map((client) => exchange(client, list(), 200)));
  });

  it('larger than the channel arrive whole', async () => {
    const server = await start({ reactorBackend, packageMaxLength: '64m', channelSize: '64k', workerNum: 1 });
    const clients = await TcpClient.connectMany(server.port, 3);
    const sizes = [40 * MIB, 3, 70_000, 32_000, 5 * MIB];
    await Promise.all(clients.map((client) => exchange(client, sizes.map(packet), 20)));
  });
});

describe('packets', () => {
  it('by delimiter: many small ones in one read', async () => {
    const here = await startShared('eof');
    const client = await TcpClient.connect(here.port);
    const packets = Array.from({ length: 20_000 }, (_, i) => Buffer.from(`message ${i}\r\n`));
    await exchange(client, packets, 50);
    await closeAll(here, [client]);
  });

  it('by a function of the user', async () => {
    const { server, port } = await startShared('custom');
    const client = await TcpClient.connect(port);
    const packets = Array.from({ length: 300 }, () => {
      const data = randomBytes(random(60_000) + 2);
      data.writeUInt16BE(data.length - 2);
      return data;
    });
    await exchange(client, packets, 100);
    client.send(Buffer.from([0xff, 0xfe]));
    expect(await server.waitForEvent('close')).toMatchObject({ code: 'PACKET_MALFORMED', initiator: 'error' });
    await client.closed;
  });

  it.each(['round-robin', 'idle', 'fd-mod'])(
    'of one connection may go to several workers: %s',
    async (dispatchMode) => {
      const server = await start({ dispatchMode });
      const client = await TcpClient.connect(server.port);
      const packets = Array.from({ length: 50 }, () => packet(random(MIB)));
      for (const each of packets) client.send(each);
      const got = new Set<string>();
      for (const _ of packets) got.add(await client.readLine(20_000));
      expect(got).toEqual(new Set(packets.map(answer)));
    },
  );

  whereConnectionsStay('cut in the middle survive reloads', async () => {
    const here = await startShared();
    const { server } = here;
    const clients = await TcpClient.connectMany(here.port, 20);
    let over = false;
    const loops = clients.map(async (client) => {
      while (!over) await exchange(client, [packet(random(MIB)), packet(3), packet(random(100_000))], 5);
    });
    for (let i = 0; i < 2; i++) {
      const reloads = server.events('afterReload').length;
      server.server.signal('SIGUSR1');
      await poll('the reload is done', () => server.events('afterReload').length > reloads, 20_000);
    }
    over = true;
    await Promise.all(loops);
    expect(server.events('close')).toEqual([]);
    await closeAll(here, clients);
  });

  inProcessMode('cut in the middle survive the death of all workers', async () => {
    const server = await start({});
    const client = await TcpClient.connect(server.port);
    const half = packet(100_000);
    client.send(half.subarray(0, 50_000));
    await poll('it was read', () => client.socket.writableLength === 0);
    for (const { pid } of server.workers) server.signal('SIGKILL', pid);
    client.send(half.subarray(50_000));
    expect(await client.readLine()).toBe(answer(half));
    expect(server.events('close')).toEqual([]);
  });
});

describe('a client that sends no packets', () => {
  const residentMiB = (pid: number): number =>
    Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1024;

  it('is disconnected with the reason when one claims to be too long; others are served and no memory is taken', async () => {
    const { server, port } = await startShared('upToMiB');
    const { masterPid } = server.server;
    const logged = server.server.stderr.length;
    const good = await TcpClient.connect(port);
    await exchange(good, [packet(10)], 0);
    const before = residentMiB(masterPid);
    const bad = await TcpClient.connectMany(port, 100);
    for (const client of bad) client.send(Buffer.from([0xff, 0xff, 0xff, 0xff, 1, 2, 3]));
    await Promise.all(bad.map((client) => client.closed));
    await exchange(good, [packet(10)], 0);
    const reasons = await poll('all are told', () => {
      const closes = server.events('close');
      return closes.length === 100 ? closes : undefined;
    });
    for (const reason of reasons) expect(reason).toMatchObject({ code: 'PACKET_TOO_LONG', initiator: 'limit' });
    expect(residentMiB(masterPid) - before).toBeLessThan(20);
    const log = (): string => server.server.stderr.slice(logged);
    await poll('it is logged', () => log().includes('packageMaxLength'));
    const lines = log()
      .split('\n')
      .filter((line) => line.includes('packageMaxLength'));
    expect(lines.length).toBeLessThan(10);
    await good.close();
    await server.waitForEvents('close', 101);
  });

  it('is disconnected when no packet ends within packageMaxLength', async () => {
    const { server, port } = await startShared('eofUpTo64k');
    const client = await TcpClient.connect(port);
    client.socket.on('error', () => {});
    client.send(Buffer.alloc(200_000, 'x'));
    expect(await server.waitForEvent('close')).toMatchObject({ code: 'PACKET_TOO_LONG' });
    await client.closed;
  });

  it('gets the answers to what it sent before', async () => {
    const { server, port } = await startShared('upTo1000');
    const client = await TcpClient.connect(port);
    const good = packet(20);
    client.send(Buffer.concat([good, Buffer.from([0xff, 0, 0, 0])]));
    await client.closed;
    await server.waitForEvent('close');
  });

  it('half a packet at the end of a connection is nobody to answer for', async () => {
    const { server, port } = await startShared();
    const client = await TcpClient.connect(port);
    const whole = packet(20);
    client.send(Buffer.concat([whole, packet(50).subarray(0, 20)]));
    expect(await client.readLine()).toBe(answer(whole));
    client.socket.end();
    expect(await server.waitForEvent('close')).toMatchObject({ code: 'CLIENT_CLOSED' });
    await client.closed;
  });
});

it('a module for framing that cannot be used stops the start, with the reason', async () => {
  const error = await start({ framing: { type: 'custom', length: './nothing.js' } }).catch((e) => e);
  expect(String(error)).toContain('ERR_FRAMING_MODULE');
});
