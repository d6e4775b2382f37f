import { afterEach, expect, it } from 'vitest';
import { endServers, startServer } from '../helpers/server-process.js';
import { TcpClient } from '../helpers/tcp-client.js';

afterEach(endServers);

const CLIENTS = 20;

it('what callbacks have answered arrives, however soon their worker leaves', async () => {
  const server = await startServer('leaves.js', { env: { CLIENTS: String(CLIENTS) }, options: { workerNum: 1 } });
  const clients = await TcpClient.connectMany(server.port, CLIENTS);
  for (const word of ['stay', 'stay', 'leave']) {
    for (const client of clients) client.send(word);
    expect(await Promise.all(clients.map(async (client) => String(await client.read(2))))).toEqual(
      clients.map(() => 'ok'),
    );
  }
});
