import { afterEach, describe, expect, it } from 'vitest';
import type { ServerStats } from '../../src/control/stats.js';
import { endServers, inProcessMode, poll, type ServerProcess, startServer } from '../helpers/server-process.js';
import { TcpClient } from '../helpers/tcp-client.js';
import { tswoole } from '../helpers/tswoole.js';

afterEach(endServers);

const MIB = 2 ** 20;
type Stats = Record<'receivedBytes' | 'connectionNum' | 'bufferedBytes', number>;
const statsOf = async (client: TcpClient): Promise<Stats> => JSON.parse(await client.ask('stats')) as Stats;
const codes = (server: ServerProcess): string[] =>
  server.events('close').map(({ reason }) => (reason as { code: string }).code);

/** Clients that ask for much and take nothing. */
async function deafClients(port: number, count: number, bytes: number): Promise<TcpClient[]> {
  const clients = await TcpClient.connectMany(port, count);
  for (const client of clients) {
    client.socket.on('error', () => {});
    client.socket.pause();
    client.send(`bytes ${bytes}\n`);
  }
  return clients;
}

describe('maxQueuedBytes', () => {
  it('bounds what one client has sent and its worker has not handled; nothing is lost', async () => {
    const env = { DELAY_MS: '20' };
    const server = await startServer('late-echo.js', { options: { workerNum: 1, maxQueuedBytes: '128k' }, env });
    const client = await TcpClient.connect(server.port);
    const sent = Buffer.alloc(6 * MIB, 'abcdefgh');
    client.send(sent);
    expect((await client.read(1)).toString()).toBe('a');
    const rest = await client.read(sent.length - 1, 20_000);
    expect(rest.equals(sent.subarray(1))).toBe(true);
    await client.close();
  });

  it('stops reading from that client only', async () => {
    const server = await startServer('commands.js', { options: { workerNum: 1, maxQueuedBytes: '64k' } });
    const [greedy, other] = (await TcpClient.connectMany(server.port, 2)) as [TcpClient, TcpClient];
    greedy.send('never\n'); // never handled
    greedy.send(Buffer.alloc(8 * MIB, 'never\n'));
    await poll('reading has stopped', async () => {
      const before = (await statsOf(other)).receivedBytes;
      const after = (await statsOf(other)).receivedBytes;
      return before > 64 * 1024 && after - before < 100;
    });
    expect((await statsOf(other)).receivedBytes).toBeLessThan(MIB);
    greedy.socket.destroy();
    await other.close();
  });

  inProcessMode('does not keep a client waiting whose worker has died with what it was handling', async () => {
    const framing = { type: 'eof', delimiter: '\n', split: true };
    const server = await startServer('commands.js', { options: { workerNum: 1, maxQueuedBytes: '64k', framing } });
    const client = await TcpClient.connect(server.port);
    client.send('never\n'.repeat(20_000));
    client.send('echo done\n');
    const before = server.worker(0)?.pid;
    await poll('it has begun', () => client.socket.bytesWritten > 0);
    for (let i = 0; i < 3 && client.received === ''; i++) {
      const pid = server.worker(0)?.pid;
      if (pid !== undefined) server.signal('SIGKILL', pid);
      await poll('the next one', () => server.worker(0) !== undefined && server.worker(0)?.pid !== pid);
    }
    expect(server.worker(0)?.pid).not.toBe(before);
    expect(await client.readLine()).toBe('done');
    client.socket.destroy();
  });
});

describe('watermarks of a port', () => {
  it('are its own', async () => {
    const env = { LISTEN: JSON.stringify([{ sendBufferSize: '256k' }]) };
    const server = await startServer('commands.js', { options: { workerNum: 1 }, env });
    const [main, own] = (await server.waitForEvent('up'))['ports'] as [number, number];
    const [patient] = (await deafClients(main, 1, 3 * MIB)) as [TcpClient];
    const [small] = (await deafClients(own, 1, 200_000)) as [TcpClient];
    const asked = await deafClients(own, 2, 3 * MIB);
    for (const client of asked) client.send(`bytes ${3 * MIB}\n`); // a single send may be larger than the limit
    await server.waitFor('both are closed', () => codes(server).length === 2);
    expect(codes(server)).toEqual(['SEND_QUEUE_LIMIT', 'SEND_QUEUE_LIMIT']);
    for (const client of [patient, small]) client.socket.resume();
    await patient.read(3 * MIB);
    await small.read(200_000);
    for (const client of [patient, small]) await client.close();
  });
});

describe('maxBufferedBytes', () => {
  it('in BASE mode a worker that is killed while it reads no client is not shown as paused, whether or not another boots', async () => {
    const options = { mode: 'base', workerNum: 2, maxBufferedBytes: '10m' };
    const server = await startServer('commands.js', { options, copy: true });
    const deaf = await deafClients(server.port, 8, 8 * MIB);
    const status = async (): Promise<string> => (await tswoole(server, 'status')).out;
    await poll('it is over', async () => (await status()).includes('\npaused '));
    server.edit((source) => `if (process.title.includes(': worker')) process.exit(9);\n${source}`);
    for (const { pid } of server.workers) server.signal('SIGKILL', pid);
    await poll('no worker is left', () => server.worker(0) === undefined && server.worker(1) === undefined);
    await poll('none is shown as paused', async () => !(await status()).includes('\npaused '));
    for (const client of deaf) client.socket.destroy();
  });

  it('with the policy pause stops reading from everyone until enough has drained', async () => {
    const server = await startServer('commands.js', {
      options: { workerNum: 2, maxBufferedBytes: '10m', logLevel: 'info' },
    });
    const watcher = await TcpClient.connect(server.port);
    const deaf = await deafClients(server.port, 8, 8 * MIB);
    await poll('it is over', async () => {
      watcher.send('echo a\n');
      return watcher.readLine(200).then(
        () => false,
        () => true,
      );
    });
    const told =
      / warn .*more than maxBufferedBytes; .*heldBytes=(\d+) maxBufferedBytes=10485760 connections=\d+ holders=\d/;
    const [, held] = await server.waitFor('the log says so', () => told.exec(server.stderr) ?? undefined);
    expect(Number(held)).toBeGreaterThan(10 * MIB);
    expect((await tswoole(server, 'status')).out).toMatch(
      /^paused +[12] of 2 reactors read no client, for \d+s now: /m,
    );
    const { stats } = JSON.parse((await tswoole(server, 'status', '--json')).out) as { stats: ServerStats };
    expect(stats).toMatchObject({ reactorNum: 2, pausedReactorNum: expect.toSatisfy((n) => n > 0) });
    for (const client of deaf) client.socket.resume();
    await Promise.all(deaf.map((client) => client.read(8 * MIB, 20_000)));
    expect(await watcher.readLine()).toBe('a');
    expect(codes(server)).toEqual([]);
    await server.waitFor('the log says that it is over', () =>
      / info .*clients are read on .*pausedMs=\d/.test(server.stderr),
    );
    await poll('it is not paused', async () => !(await tswoole(server, 'status')).out.includes('\npaused '));
    await poll('nothing waits', async () => (await statsOf(watcher)).bufferedBytes === 0);
    for (const client of [...deaf, watcher]) client.socket.destroy();
  });

  it('with the policy close ends those for whom most waits, and no others', async () => {
    const options = { workerNum: 2, maxBufferedBytes: '20m', overloadPolicy: 'close' };
    const server = await startServer('commands.js', { options });
    const good = await TcpClient.connectMany(server.port, 4);
    const deaf = await deafClients(server.port, 10, 8 * MIB);
    await poll(
      'it is below',
      async () => codes(server).length > 3 && (await statsOf(good[0] as TcpClient)).bufferedBytes < 20 * MIB,
    );
    for (const client of good) expect(await client.ask('echo b')).toBe('b');
    expect(new Set(codes(server))).toEqual(new Set(['MEMORY_LIMIT']));
    expect(codes(server).length).toBeLessThan(10);
    for (const client of [...deaf, ...good]) client.socket.destroy();
  });
});
