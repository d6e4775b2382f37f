import { afterEach, describe, expect, it } from 'vitest';
import { endServers, poll, startServer, whereConnectionsStay } from '../helpers/server-process.js';
import { Load, TcpClient } from '../helpers/tcp-client.js';

afterEach(endServers);

describe.each(['epoll', 'poll'])('the heartbeat, backend %s', (reactorBackend) => {
  it('ends clients that are silent, and spares those that send, are protected, or are paused by us', async () => {
    const options = { workerNum: 1, heartbeatIdleMs: 400, reactorBackend };
    const server = await startServer('commands.js', { options });
    const [silent, talking, protectedOne, pausedOne] = await TcpClient.connectMany(server.port, 4);
    const clients = [silent, talking, protectedOne, pausedOne] as TcpClient[];
    const fds = await Promise.all(clients.map((client) => client.ask('fd')));
    await talking?.ask(`protect ${fds[2]}`);
    await talking?.ask(`pause ${fds[3]}`);
    const began = performance.now();
    const talk = setInterval(() => talking?.send('echo x\n'), 50);
    await silent?.closed;
    const took = performance.now() - began;
    const later = await TcpClient.connect(server.port);
    const fdOfLater = await later.ask('fd');
    await later.closed; // so long the others had once more
    clearInterval(talk);
    expect(took).toBeGreaterThan(200);
    expect(clients.map((client) => client.end !== undefined)).toEqual([true, false, false, false]);
    await poll('both were told of', () => server.events('close').length >= 2);
    expect(server.events('close')).toMatchObject([
      { fd: Number(fds[0]), reason: { code: 'HEARTBEAT_TIMEOUT', initiator: 'timeout' } },
      { fd: Number(fdOfLater), reason: { code: 'HEARTBEAT_TIMEOUT', initiator: 'timeout' } },
    ]);
  });
});

describe('writeTimeoutMs', () => {
  it('ends a client that takes nothing of what waits for it', async () => {
    const server = await startServer('commands.js', { options: { workerNum: 1, writeTimeoutMs: 300 } });
    const [deaf, other] = (await TcpClient.connectMany(server.port, 2)) as [TcpClient, TcpClient];
    deaf.socket.on('error', () => {});
    deaf.socket.pause();
    deaf.send(`bytes ${20 * 2 ** 20}\n`);
    await server.waitForEvent('close', ({ reason }) => (reason as { code: string }).code === 'WRITE_TIMEOUT');
    await other.ask('echo still here');
  });
});

describe('maxRequest', () => {
  whereConnectionsStay('replaces each worker after so many packets, not all at once, and loses nothing', async () => {
    const options = { workerNum: 2, maxRequest: 2000, maxRequestJitter: 1000 };
    const server = await startServer('late-echo.js', { options });
    // In BASE mode a worker may take all clients while the other one is busy with its start: the next go to that one.
    const first = await Load.start(server.port, 20, 4);
    await first.progress(5);
    const second = await Load.start(server.port, 20, 4);
    const before = server.workers.map(({ pid }) => pid);
    await poll('both are replaced', () => server.workers.every(({ pid }) => !before.includes(pid)), 20_000);
    for (const load of [first, second]) {
      const { lost, faults, ended } = await load.finish();
      expect({ lost, faults, ended }).toEqual({ lost: [], faults: [], ended: [] });
      load.close();
    }
    for (const stop of server.events('workerStop')) {
      expect(Number(stop['answered'])).toBe(Number(stop['taken']));
    }
  });
});

describe('maxConnectionsPerIp', () => {
  it('turns further clients of an address away, serves those it has, and takes others when they have gone', async () => {
    const server = await startServer('commands.js', { options: { maxConnectionsPerIp: 5, reactorNum: 2 } });
    /** @returns undefined for one that was turned away */
    const enter = async (): Promise<TcpClient | undefined> => {
      const client = await TcpClient.connect(server.port).catch(() => undefined);
      client?.socket.on('error', () => {});
      const answer = await client?.ask('echo a').catch(() => undefined);
      return answer === undefined ? undefined : client;
    };
    for (let round = 0; round < 3; round++) {
      const inside: TcpClient[] = [];
      while (inside.length < 5) inside.push(await poll('one is taken', enter)); // those before may be leaving still
      for (let i = 0; i < 20; i++) expect(await enter()).toBeUndefined();
      await Promise.all(inside.map((client) => client.ask('echo b')));
      await Promise.all(inside.map((client) => client.close()));
    }
    const lines = server.stderr.split('\n').filter((line) => line.includes('maxConnectionsPerIp'));
    expect(lines.length).toBeGreaterThanOrEqual(1);
    expect(lines.length).toBeLessThan(6);
  });
});
