import { createHash, randomBytes } from 'node:crypto';
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import { encodeUnixAddress, LONGEST_SOCKADDR_BYTES } from '../../src/os/address.js';
import { addressOf, allocateStable } from '../../src/os/libc.js';
import { bindUnix, closeDescriptor, receiveFrom, sendTo } from '../../src/os/socket.js';
import { endServers, IS_BASE, poll, type ServerProcess, startServer } from '../helpers/server-process.js';
import { TcpClient } from '../helpers/tcp-client.js';
import { tswoole } from '../helpers/tswoole.js';

const sockets: Socket[] = [];
afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.close();
  await endServers();
});

async function open(family: 'udp4' | 'udp6' = 'udp4'): Promise<Socket> {
  const socket = createSocket(family);
  sockets.push(socket);
  socket.bind(0, family === 'udp4' ? '127.0.0.1' : '::1');
  await once(socket, 'listening');
  return socket;
}

async function ask(socket: Socket, port: number, data: string | Buffer): Promise<string> {
  const answer = once(socket, 'message', { signal: AbortSignal.timeout(5000) });
  socket.send(data, port, socket.address().family === 'IPv6' ? '::1' : '127.0.0.1');
  return String((await answer)[0]);
}

async function adminOf(server: ServerProcess): Promise<string> {
  const { out } = await tswoole(server, 'status', String(server.masterPid), '--json');
  return (JSON.parse(out) as { status: { admin: string } }).status.admin;
}

const small = { workerNum: 1, reactorNum: 1 };
const hash = (data: Buffer): string => `${data.length} ${createHash('sha1').update(data).digest('hex')}`;

describe.each(['epoll', 'poll'])('UDP, backend %s', (reactorBackend) => {
  it('gives each datagram to a worker, which answers', async () => {
    const server = await startServer('datagrams.js', { options: { type: 'udp', reactorBackend, reactorNum: 1 } });
    const clients = await Promise.all(Array.from({ length: 20 }, () => open()));
    const workers = new Set<string>();
    for (const client of clients) {
      const [worker = '', address, port, type] = (await ask(client, server.port, 'who')).split(' ');
      expect([address, Number(port), type]).toEqual(['127.0.0.1', client.address().port, 'udp']);
      expect((await ask(client, server.port, 'who')).split(' ')[0]).toBe(worker); // one sender, one worker
      workers.add(worker);
    }
    expect([...workers].sort()).toEqual(['0', '1']);
    const [client] = clients as [Socket];
    for (const size of [0, 1, 1400, 9000, 40_000, 65_507]) {
      const data = randomBytes(size);
      expect(await ask(client, server.port, data)).toBe(hash(data));
    }
  });
});

describe('datagrams for which the kernel has no room', () => {
  it('are counted, and kernelReceiveBufferSize says how many that are', async () => {
    const options = { ...small, type: 'udp', admin: 0, kernelReceiveBufferSize: '4k' };
    const server = await startServer('datagrams.js', { options });
    const [client, url] = [await open(), await adminOf(server)];
    await ask(client, server.port, 'who');
    const reader = IS_BASE ? server.worker(0)?.pid : server.masterPid;
    server.signal('SIGSTOP', reader);
    const SENT = 100;
    for (let i = 0; i < SENT; i++) client.send('x', server.port, '127.0.0.1');
    await new Promise<void>((resolve) => client.send('the last one', server.port, '127.0.0.1', () => resolve()));
    server.signal('SIGCONT', reader);
    await poll('each is counted', async () => {
      const text = await (await fetch(`${url}/metrics`)).text();
      const figure = (name: string): number => Number(new RegExp(`^${name}\\{.*\\} (\\d+)$`, 'm').exec(text)?.[1]);
      const dropped = figure('tswoole_datagrams_dropped_total');
      return dropped > 0 && figure('tswoole_packets_total') + dropped === 1 + SENT + 1;
    });
  });
});

describe('datagrams', () => {
  it('of many senders at once are all answered, those before the end of their worker too', async () => {
    const server = await startServer('datagrams.js', { options: { ...small, type: 'udp' } });
    const clients = await Promise.all(Array.from({ length: 30 }, () => open()));
    const ask10 = async (client: Socket, i: number): Promise<void> => {
      for (let round = 0; round < 10; round++) {
        const data = randomBytes(i * 100);
        expect(await ask(client, server.port, data)).toBe(hash(data));
      }
    };
    await Promise.all(clients.map(ask10));
    const [last, ...others] = clients as [Socket, ...Socket[]];
    // They come in turns of several; the worker ends in the midst of one.
    const lastWords = once(last, 'message', { signal: AbortSignal.timeout(5000) });
    for (let i = 0; i < 200; i++) others[i % others.length]?.send(String(i), server.port, '127.0.0.1');
    last.send('last', server.port, '127.0.0.1');
    expect(String((await lastWords)[0])).toBe('last words');
  });

  it('come to further ports of the server too, IPv6 and beside TCP', async () => {
    const listen = [{ type: 'udp' }, { type: 'udp', host: '::1' }];
    const server = await startServer('datagrams.js', { options: { ...small, listen } });
    const ports = server.events('up')[0]?.['ports'] as number[];
    const tcp = await TcpClient.connect(server.port);
    await tcp.echo('hello');
    expect(await ask(await open(), ports[1] ?? 0, 'who')).toContain('127.0.0.1');
    expect(await ask(await open('udp6'), ports[2] ?? 0, 'who')).toContain('::1');
  });

  it('are sent by sendTo from any process; what cannot be sent has a reason', async () => {
    const target = await open();
    const told = once(target, 'message');
    const env = { TELL: String(target.address().port) };
    const server = await startServer('datagrams.js', { options: { ...small, type: 'udp' }, env });
    expect(String((await told)[0])).toBe('up'); // from the master
    const client = await open();
    const got = once(target, 'message');
    expect(await ask(client, server.port, `to 127.0.0.1 ${target.address().port}`)).toBe('sent');
    expect(String((await got)[0])).toBe('by sendTo');
    expect(await ask(client, server.port, 'to ::1 5')).toBe('ERR_NO_DATAGRAM_PORT');
    expect(await ask(client, server.port, 'to nonsense 5')).toBe('ERR_DATAGRAM_ADDRESS');
    expect(await ask(client, server.port, 'to 127.0.0.1 0')).toBe('ERR_DATAGRAM_ADDRESS');
    expect(await ask(client, server.port, 'large')).toBe('ERR_DATAGRAM');
  });

  it('survive callbacks that throw, workers that die, reloads, and end in order', async () => {
    const server = await startServer('datagrams.js', { options: { ...small, type: 'udp' } });
    const client = await open();
    client.send('throw', server.port, '127.0.0.1');
    expect(await ask(client, server.port, 'a')).toMatch(/^1 /);
    expect(server.stderr).toContain('in packet');
    const before = server.worker(0)?.pid;
    client.send('exit', server.port, '127.0.0.1');
    await poll('it is back', () => server.worker(0) !== undefined && server.worker(0)?.pid !== before);
    expect(await ask(client, server.port, 'b')).toMatch(/^1 /);
    server.signal('SIGUSR1');
    for (let i = 0; i < 50; i++) {
      expect(await ask(client, server.port, `c${i}`)).toMatch(/^[23] /);
      await sleep(5);
    }
    server.signal('SIGTERM');
    expect(await server.exited).toEqual({ code: 0, signal: null });
    server.assertNothingLeft();
  });

  it('of unix sockets are answered where their sender has a path', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'dgram-'));
    const path = join(folder, 'server.sock');
    const server = await startServer('datagrams.js', { options: { ...small, type: 'unix-dgram', path } });
    const own = bindUnix(join(folder, 'client.sock'), 'datagram');
    const space = allocateStable(70_000);
    const sender = allocateStable(LONGEST_SOCKADDR_BYTES);
    const askUnix = async (data: Buffer): Promise<string> => {
      expect(sendTo(own, data, encodeUnixAddress(path))).toBe(data.length);
      const bytes = await poll('an answer', () => {
        const got = receiveFrom(own, addressOf(space), space.length, addressOf(sender));
        return got > 0 ? got : undefined;
      });
      return space.toString('utf8', 0, bytes);
    };
    expect(await askUnix(Buffer.from('who'))).toContain('client.sock 0 unix-dgram');
    const data = randomBytes(65_000);
    expect(await askUnix(data)).toBe(hash(data));
    closeDescriptor(own);
    server.signal('SIGTERM');
    expect(await server.exited).toEqual({ code: 0, signal: null });
    expect(existsSync(path)).toBe(false);
    rmSync(folder, { recursive: true });
  });
});
