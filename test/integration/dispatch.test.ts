import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import { Client } from '../helpers/client.js';
import { endServers, inProcessMode, startServer } from '../helpers/server-process.js';
import { Since, sharedServers } from '../helpers/shared-servers.js';
import { TcpClient } from '../helpers/tcp-client.js';

afterEach(endServers);

const shared = sharedServers();
/** One for each way to dispatch. */
const start = async (options: object): Promise<Since> =>
  new Since(await shared('dispatch.js', { options: { workerNum: 3, reactorNum: 2, ...options } }));

/** Of a further port: `second` or `slow`. */
const portOf = ({ server }: Since, name: string): number => Number(server.events('up')[0]?.[name]);

const numberOf = (line: string): string => line.split(' ')[0] ?? '';

async function counts(clients: readonly Client[], packets: number): Promise<Map<string, number>> {
  const seen = new Map<string, number>();
  for (let i = 0; i < packets; i++) {
    for (const client of clients) {
      const worker = await client.ask('who');
      seen.set(worker, (seen.get(worker) ?? 0) + 1);
    }
  }
  return seen;
}

describe('dispatch', () => {
  inProcessMode('by least-connections spreads evenly and sticks', async () => {
    const server = await start({ dispatchMode: 'least-connections' });
    const clients: Client[] = [];
    for (let i = 0; i < 12; i++) clients.push(await Client.open(server.port));
    const first = await Promise.all(clients.map((client) => client.ask('who')));
    expect(['0', '1', '2'].map((worker) => first.filter((seen) => seen === worker).length)).toEqual([4, 4, 4]);
    expect(await Promise.all(clients.map((client) => client.ask('who')))).toEqual(first);
    await Promise.all(clients.map((client) => client.close()));
  });

  it('by fd-mod follows the session id', async () => {
    const server = await start({ dispatchMode: 'fd-mod' });
    const clients = await Client.openMany(server.port, 9);
    await counts(clients, 1);
    for (const { fd, worker } of server.events('connect')) expect(Number(fd) % 3).toBe(worker);
    await Promise.all(clients.map((client) => client.close()));
  });

  it('by round-robin gives each worker the same number of packets', async () => {
    const server = await start({ dispatchMode: 'round-robin' });
    const clients = await Client.openMany(server.port, 5);
    expect([...(await counts(clients, 12)).values()]).toEqual([20, 20, 20]);
    await Promise.all(clients.map((client) => client.close()));
  });

  inProcessMode('by idle avoids a worker that is busy', async () => {
    const server = await start({ dispatchMode: 'idle' });
    const [blocker, client] = (await Client.openMany(server.port, 2)) as [Client, Client];
    const blocked = blocker.ask('block 1500', 5000);
    await server.waitForEvent('blocking');
    const seen = await counts([client], 40);
    expect(seen.has(await blocked)).toBe(false);
    expect(seen.size).toBeLessThanOrEqual(2);
    for (const each of [blocker, client]) await each.close();
  });
});

describe('dispatch', () => {
  it('by ip-mod gives all connections of one address to one worker', async () => {
    const server = await start({ dispatchMode: 'ip-mod', reactorNum: 1 });
    const clients = await Client.openMany(server.port, 9);
    expect((await counts(clients, 3)).size).toBe(1);
    await Promise.all(clients.map((client) => client.close()));
  });

  it('by uid-mod gives all packets of one uid to one worker, whatever connection they come from', async () => {
    const server = await start({ dispatchMode: 'uid-mod', reactorNum: 1 });
    const clients = await Client.openMany(server.port, 6);
    for (const [i, client] of clients.entries()) expect(await client.ask(`bind ${i < 3 ? 7 : 8}`)).toBe('true');
    expect([...(await counts(clients.slice(0, 3), 4)).keys()]).toEqual([String(7 % 3)]);
    expect([...(await counts(clients.slice(3), 4)).keys()]).toEqual([String(8 % 3)]);
    await Promise.all(clients.map((client) => client.close()));
  });

  inProcessMode('by least-busy avoids a worker that is busy', async () => {
    const server = await start({ dispatchMode: 'least-busy' });
    const [blocker, client] = (await Client.openMany(server.port, 2)) as [Client, Client];
    const blocked = blocker.ask('block 1500', 5000);
    await server.waitForEvent('blocking');
    expect((await counts([client], 40)).has(await blocked)).toBe(false);
    for (const each of [blocker, client]) await each.close();
  });

  it.each(['round-robin', 'idle', 'least-busy'])(
    'by %s handles the packets of one connection in order',
    async (dispatchMode) => {
      const server = await start({ dispatchMode });
      const clients = await TcpClient.connectMany(portOf(server, 'slow'), 4);
      const lines = Array.from({ length: 200 }, (_, index) => String(index));
      const asked = clients.map(async (client) => {
        for (const line of lines) client.send(`${line}\n`);
        for (const line of lines) expect((await client.readLine()).split(' ')[0]).toBe(line);
        const workers = new Set<string>();
        for (let i = 0; i < 12; i++) workers.add((await client.ask('one at a time')).slice(-1));
        return workers.size;
      });
      const spread = await Promise.all(asked);
      if (dispatchMode === 'round-robin') expect(Math.min(...spread)).toBeGreaterThan(1);
      await Promise.all(clients.map((client) => client.close()));
    },
  );

  it.each(['round-robin', 'idle', 'least-busy'])(
    'by %s answers all that came before the client ended its side',
    async (dispatchMode) => {
      const server = await start({ dispatchMode });
      const lines = Array.from({ length: 50 }, (_, index) => String(index));
      for (let round = 0; round < 5; round++) {
        const clients = await TcpClient.connectMany(portOf(server, 'slow'), 4);
        for (const { socket } of clients) socket.end(`${lines.join('\n')}\nno whole line`);
        for (const { closed } of clients) await closed;
        for (const { received } of clients) expect(received.split('\n').map(numberOf)).toEqual([...lines, '']);
      }
    },
  );

  it.each(['round-robin', 'idle', 'least-busy'])(
    'by %s keeps the order of long answers, which wait for room, and closes behind all of them',
    async (dispatchMode) => {
      const server = await start({ dispatchMode, channelSize: '64k' });
      const clients = await TcpClient.connectMany(portOf(server, 'long'), 4);
      const lines = Array.from({ length: 80 }, (_, index) => String(index));
      // A few at a time: those that come together go to one worker together.
      for (let at = 0; at < lines.length; at += 4) {
        for (const { socket } of clients) socket.write(`${lines.slice(at, at + 4).join('\n')}\n`);
        await sleep(1);
      }
      for (const { socket } of clients) socket.write('bye\n');
      for (const { closed } of clients) await closed;
      for (const { received } of clients) expect(received.split('\n').map(numberOf)).toEqual([...lines, '']);
    },
  );

  it('by a function of the user, which may also drop a packet or close its connection', async () => {
    const server = await start({
      reactorNum: 1,
      dispatchMode: { module: './choose.js' },
      framing: { type: 'eof', delimiter: '\n' },
    });
    const [client, other] = (await Client.openMany(server.port, 2)) as [Client, Client];
    for (const worker of ['2', '0', '1', '2']) expect(await client.ask(`who ${worker}`)).toBe(worker);
    client.write('who discard\n');
    expect(await client.ask('who 1')).toBe('1');
    for (const nonsense of ['9', '-1', 'nonsense', 'throw']) {
      expect(['0', '1', '2']).toContain(await client.ask(`who ${nonsense}`));
    }
    other.write('who close\n');
    await other.closed;
    await client.close();
  });

  it('by a module that cannot be used stops the start, with the reason', async () => {
    const options = { workerNum: 1, reactorNum: 1, dispatchMode: { module: './say.js' } };
    const error = await startServer('dispatch.js', { options }).catch((e) => e);
    expect(String(error)).toContain('ERR_DISPATCH_MODULE');
  });
});

describe('a second listen port', () => {
  it('has callbacks of its own, and IPv6 addresses are told in their short form', async () => {
    const second = portOf(await start({ dispatchMode: 'fd-mod' }), 'second');
    const client = await Client.open(second, { host: '::1' });
    expect(await client.ask('hello')).toBe(`::1 ${second}`);
    await client.close();
  });
});
