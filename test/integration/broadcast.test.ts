import { afterEach, expect, it } from 'vitest';
import { PACE } from '../helpers/deadline.js';
import { endServers, poll, startServer } from '../helpers/server-process.js';
import { TcpClient } from '../helpers/tcp-client.js';

afterEach(endServers);

const CONNECTIONS = 10_000;
const BATCH = 500;

it(
  'a broadcast from one worker reaches 10,000 connections of 4 workers',
  async () => {
    const server = await startServer('broadcast.js', { options: { workerNum: 4, maxConnections: 12_000 } });
    const clients: TcpClient[] = [];
    while (clients.length < CONNECTIONS) clients.push(...(await TcpClient.connectMany(server.port, BATCH)));
    const [first] = clients as [TcpClient];
    await poll('all are in', async () => (await first.ask('size', 20_000)) === String(CONNECTIONS));
    for (const text of ['one', 'two', 'three']) first.send(`all ${text}\n`);
    for (const client of clients) {
      expect(await client.readLine(20_000)).toBe('one');
      expect(await client.readLine(20_000)).toBe('two');
      expect(await client.readLine(20_000)).toBe('three');
    }
    for (const client of clients) client.socket.destroy();
  },
  120_000 * PACE,
);
