import { afterEach, describe, expect, it } from 'vitest';
import { Client } from '../helpers/client.js';
import { endServers, type ServerProcess, startServer } from '../helpers/server-process.js';

let server: ServerProcess;
afterEach(endServers);

const start = (options: object): Promise<ServerProcess> =>
  startServer('dispatch.js', { options: { workerNum: 3, reactorNum: 2, ...options } });

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
  it('by least-connections spreads evenly and sticks', async () => {
    server = await start({ dispatchMode: 'least-connections' });
    const clients: Client[] = [];
    for (let i = 0; i < 12; i++) clients.push(await Client.open(server.port));
    const first = await Promise.all(clients.map((client) => client.ask('who')));
    expect(['0', '1', '2'].map((worker) => first.filter((seen) => seen === worker).length)).toEqual([4, 4, 4]);
    expect(await Promise.all(clients.map((client) => client.ask('who')))).toEqual(first);
    await Promise.all(clients.map((client) => client.close()));
  });

  it('by fd-mod follows the session id', async () => {
    server = await start({ dispatchMode: 'fd-mod' });
    const clients = await Client.openMany(server.port, 9);
    await counts(clients, 1);
    for (const { fd, worker } of server.events('connect')) expect(Number(fd) % 3).toBe(worker);
    await Promise.all(clients.map((client) => client.close()));
  });

  it('by round-robin gives each worker the same number of packets', async () => {
    server = await start({ dispatchMode: 'round-robin' });
    const clients = await Client.openMany(server.port, 5);
    expect([...(await counts(clients, 12)).values()]).toEqual([20, 20, 20]);
    await Promise.all(clients.map((client) => client.close()));
  });

  it('by idle avoids a worker that is busy', async () => {
    server = await start({ dispatchMode: 'idle' });
    const [blocker, client] = (await Client.openMany(server.port, 2)) as [Client, Client];
    const blocked = blocker.ask('block 1500', 5000);
    await server.waitForEvent('blocking');
    const seen = await counts([client], 40);
    expect(seen.has(await blocked)).toBe(false);
    expect(seen.size).toBeLessThanOrEqual(2);
    for (const each of [blocker, client]) await each.close();
  });
});

describe('a second listen port', () => {
  it('has callbacks of its own, and IPv6 addresses are told in their short form', async () => {
    server = await start({});
    const second = Number(server.lines.find(({ event }) => event === 'up')?.['second']);
    const client = await Client.open(second, { host: '::1' });
    expect(await client.ask('hello')).toBe(`::1 ${second}`);
    await client.close();
  });
});
