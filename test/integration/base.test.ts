// What is special to BASE mode; what holds in both modes is tested in both (vitest.config.ts).
import { createHash, randomBytes } from 'node:crypto';
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { afterEach, describe, expect, it } from 'vitest';
import {
  endServers,
  poll,
  type ServerProcess,
  type StartOptions,
  spawnServer,
  startServer,
} from '../helpers/server-process.js';
import { sharedServers } from '../helpers/shared-servers.js';
import { TcpClient } from '../helpers/tcp-client.js';

afterEach(endServers);

function start(fixture: string, options: Record<string, unknown>, more: StartOptions = {}): Promise<ServerProcess> {
  return startServer(fixture, { ...more, options: { mode: 'base', ...options } });
}

async function reload(server: ServerProcess): Promise<void> {
  const before = server.events('afterReload').length;
  server.signal('SIGUSR1');
  await poll('the reload is done', () => server.events('afterReload').length > before, 20_000);
}

const idOf = async (client: TcpClient): Promise<number> => Number((await client.ask('who')).split(' ')[0]);

describe('reactorNum, which BASE mode does not have', () => {
  const TOLD = /the option reactorNum has no effect in BASE mode.* reactorNum=2/g;

  it.each([1, 2])('is told of once, at the start, with %i workers', async (workerNum) => {
    const env = { TSWOOLE_OPTION_REACTOR_NUM: '2' };
    const server = await start('echo.js', { workerNum, logLevel: 'info' }, { env });
    expect(server.stderr.match(TOLD)).toHaveLength(1);
    server.signal('SIGUSR1');
    await server.waitFor('the reload', () => /reload: done|nothing is reloaded/.test(server.stderr));
    expect(server.stderr.match(TOLD)).toHaveLength(1);
  });

  it('is not told of where it was not given, nor in the other mode', async () => {
    const servers = await Promise.all([
      start('echo.js', { workerNum: 1 }),
      start('echo.js', { workerNum: 1, mode: 'process', reactorNum: 2 }),
    ]);
    expect(servers.map(({ stderr }) => stderr.match(TOLD))).toEqual([null, null]);
  });
});

describe('one worker that needs no other process', () => {
  it('runs in the process that starts the server, through the whole life', async () => {
    const server = await start('echo.js', { workerNum: 1 });
    expect(server.tree().map(({ title }) => title)).toEqual(['tswoole: master']);
    const client = await TcpClient.connect(server.port);
    await client.echo('hello');
    await client.close();
    await server.waitForEvent('close');
    server.signal('SIGTERM');
    expect(await server.exited).toEqual({ code: 0, signal: null });
    const events = server.lines.filter(({ event }) => event !== 'up').map(({ event, worker }) => `${event} ${worker}`);
    expect(events).toEqual([
      'workerStart 0',
      'start 0',
      'connect 0',
      'receive 0',
      'close 0',
      'beforeShutdown 0',
      'workerExit 0',
      'workerStop 0',
      'shutdown 0',
    ]);
  });

  it('says that nothing can be reloaded, and goes on', async () => {
    const server = await start('commands.js', { workerNum: 1 });
    const client = await TcpClient.connect(server.port);
    expect(await client.ask('who')).toBe(`0 ${server.masterPid}`);
    server.signal('SIGUSR1');
    await server.waitFor('the log says so', () => server.stderr.includes('nothing is reloaded'));
    expect(await client.ask('echo a')).toBe('a');
    await client.close();
  });

  it('does not end later than maxWaitMs although a handler never settles', async () => {
    const server = await start('commands.js', { workerNum: 1, maxWaitMs: 300 });
    const client = await TcpClient.connect(server.port);
    client.send('never\n');
    expect(await client.ask('echo a')).toBe('a');
    server.signal('SIGTERM');
    expect(await server.exited).toEqual({ code: 0, signal: null });
  });

  it('that cannot start says why and leaves nothing', async () => {
    const first = await start('echo.js', { workerNum: 1 });
    const second = spawnServer('echo.js', { options: { mode: 'base', workerNum: 1, port: first.port } });
    expect(await second.exited).toEqual({ code: 1, signal: null });
    expect(second.stderr).toContain('ERR_PORT_IN_USE');
    second.assertNothingLeft();
  });
});

describe('connections', () => {
  it('are spread by the kernel with reusePort: each worker has a socket of its own, which its successor takes over', async () => {
    const server = await start('commands.js', { workerNum: 2, reusePort: true });
    const listeners = (): number => new Set(server.workers.flatMap(({ pid }) => listeningInodes(pid))).size;
    expect(listeners()).toBe(2);
    const clients = await TcpClient.connectMany(server.port, 60);
    const ids = new Set(await Promise.all(clients.map(idOf)));
    expect(ids).toEqual(new Set([0, 1]));
    await reload(server);
    expect(listeners()).toBe(2);
    for (const client of clients) expect(await client.ask('echo b')).toBe('b');
    await Promise.all((await TcpClient.connectMany(server.port, 60)).map((client) => client.ask('echo c')));
  });

  it('end with their worker when it dies; its successor tells of each once, and the others live on', async () => {
    const server = await start('commands.js', { workerNum: 2 });
    const clients = await TcpClient.connectMany(server.port, 20);
    const ids = await Promise.all(clients.map(idOf));
    const fds = await Promise.all(clients.map(async (client) => Number(await client.ask('fd'))));
    server.signal('SIGKILL', server.worker(0)?.pid);
    const [lost, kept] = [0, 1].map((id) => clients.filter((_, index) => ids[index] === id)) as [
      TcpClient[],
      TcpClient[],
    ];
    await Promise.all(lost.map((client) => client.closed));
    await server.waitFor('their ends are told', () => server.events('close').length >= lost.length);
    const told = server.events('close').map(({ fd, reason }) => [fd, (reason as { code: string }).code]);
    const expected = fds.filter((_, index) => ids[index] === 0).map((fd) => [fd, 'WORKER_DIED']);
    expect(told.sort()).toEqual(expected.sort());
    for (const client of kept) expect(await client.ask('echo b')).toBe('b');
    const after = await TcpClient.connect(server.port);
    await poll('only those that live are counted', async () => {
      const { connectionNum } = JSON.parse(await after.ask('stats')) as { connectionNum: number };
      return connectionNum === kept.length + 1;
    });
    expect(await after.ask(`exists ${fds[ids.indexOf(0)]}`)).toBe('false');
    await Promise.all([...kept, after].map((client) => client.close()));
  });
});

describe('20 reloads under load on 200 connections', () => {
  it('close, lose and reorder nothing, packets cut in the middle included', async () => {
    const framing = { type: 'length', field: 'u32be', offset: 0, bodyOffset: 4 };
    // One worker, in a process of its own.
    const options = { workerNum: 1, maxRequest: 1_000_000_000, maxWaitMs: 20_000 };
    const server = await start('packets.js', { ...options, framing });
    const clients = await TcpClient.connectMany(server.port, 200);
    let over = false;
    const loops = clients.map(async (client) => {
      let count = 0;
      for (; !over; count++) {
        const packet = packetOf(randomBytes(1 + Math.floor(Math.random() * 3000)));
        const cut = Math.floor(Math.random() * packet.length);
        client.send(packet.subarray(0, cut));
        await new Promise((resolve) => setImmediate(resolve));
        client.send(packet.subarray(cut));
        expect(await client.readLine(20_000)).toBe(`${packet.length} ${sha(packet)}`);
      }
      return count;
    });
    for (let i = 0; i < 20; i++) await reload(server);
    over = true;
    const counts = await Promise.all(loops);
    expect(Math.min(...counts)).toBeGreaterThan(5);
    expect(server.events('close')).toEqual([]);
    expect(server.stderr).toBe('');
    await Promise.all(clients.map((client) => client.close()));
  });
});

describe('a connection goes over to the next worker', () => {
  const shared = sharedServers();
  const startShared = (): Promise<ServerProcess> =>
    shared('commands.js', { options: { mode: 'base', workerNum: 2, maxWaitMs: 20_000 } });

  it('with what its client has not read yet', async () => {
    const server = await startShared();
    const client = await TcpClient.connect(server.port);
    const fd = await client.ask('fd');
    client.socket.pause();
    client.send('bytes 20000000\n');
    const other = await TcpClient.connect(server.port);
    await poll('it is queued', async () => JSON.parse(await other.ask(`info ${fd}`)).sendQueuedBytes > 100_000);
    const before = await other.ask('who');
    const reloaded = reload(server);
    while ((await other.ask('who')) === before);
    client.socket.resume();
    expect((await client.read(20_000_000, 20_000)).equals(Buffer.alloc(20_000_000, 'b'))).toBe(true);
    expect(await client.ask('echo still')).toBe('still');
    await reloaded;
    await Promise.all([client.close(), other.close()]);
  });

  it('paused, and is resumed there', async () => {
    const server = await startShared();
    const [client, other] = (await TcpClient.connectMany(server.port, 2)) as [TcpClient, TcpClient];
    const fd = await client.ask('fd');
    expect(await other.ask(`pause ${fd}`)).toBe('true');
    await poll('it is paused', async () => JSON.parse(await other.ask(`info ${fd}`)).paused);
    client.send('echo late\n');
    await reload(server);
    expect(JSON.parse(await other.ask(`info ${fd}`)).paused).toBe(true);
    expect(await other.ask(`resume ${fd}`)).toBe('true');
    expect(await client.readLine()).toBe('late');
    await Promise.all([client.close(), other.close()]);
  });

  it('with its id, uid and protection; whoever speaks of it by its id still can', async () => {
    const server = await startShared();
    const [client, other] = (await TcpClient.connectMany(server.port, 2)) as [TcpClient, TcpClient];
    const fd = await client.ask('fd');
    expect(await other.ask(`bind ${fd} 7`)).toBe('true -');
    expect(await other.ask(`protect ${fd}`)).toBe('true');
    await reload(server);
    await reload(server);
    expect(await client.ask('fd')).toBe(fd);
    expect(JSON.parse(await other.ask(`info ${fd}`))).toMatchObject({ fd: Number(fd), uid: 7, protected: true });
    expect(await other.ask(`sendTo ${fd} hello`)).toBe('true -');
    expect(await client.readLine()).toBe('hello');
    expect(await other.ask(`closeOf ${fd}`)).toBe('true -');
    await client.closed;
    await other.close();
  });

  it('while a handler of the old worker still owes it an answer', async () => {
    const server = await startShared();
    const client = await TcpClient.connect(server.port);
    client.send('later 700\n');
    expect(await client.ask('echo first')).toBe('first');
    const reloading = reload(server);
    const old = await idOf(client);
    expect(await client.readLine()).toBe('later');
    await reloading;
    expect(await idOf(client)).toBe(old);
    await client.close();
  });
});

const sha = (data: Buffer): string => createHash('sha1').update(data).digest('hex');

function packetOf(body: Buffer): Buffer {
  const head = Buffer.alloc(4);
  head.writeUInt32BE(body.length);
  return Buffer.concat([head, body]);
}

/** The sockets a process holds that also the whole machine lists as listening. */
function listeningInodes(pid: number): string[] {
  const names = readdirSync(`/proc/${pid}/fd`).map((fd) => {
    try {
      return readlinkSync(`/proc/${pid}/fd/${fd}`);
    } catch {
      return '';
    }
  });
  const listening = new Set(
    readFileSync('/proc/net/tcp', 'utf8')
      .split('\n')
      .map((line) => line.trim().split(/\s+/))
      .filter((fields) => fields[3] === '0A')
      .map((fields) => `socket:[${fields[9]}]`),
  );
  return names.filter((name) => listening.has(name));
}
