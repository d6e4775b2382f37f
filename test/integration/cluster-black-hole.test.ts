/** An engine that accepts connections and then says nothing: it holds up no start. */
import { createServer, type Socket } from 'node:net';
import { afterEach, expect, it } from 'vitest';
import { ClusterClient } from '../helpers/cluster-client.js';
import { PACE } from '../helpers/deadline.js';
import { endServers, startServer } from '../helpers/server-process.js';

const ends: (() => void)[] = [];
afterEach(async () => {
  await endServers();
  for (const end of ends.splice(0)) end();
});

/** @param greeting what it says before it falls silent */
async function blackHole(greeting: string): Promise<number> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket.on('error', () => {}));
    if (greeting !== '') socket.write(greeting);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  ends.push(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return (server.address() as { port: number }).port;
}

const infoOf = (more: object): string =>
  `INFO ${JSON.stringify({ server_id: 'X', version: '2.9.0', proto: 1, max_payload: 1_048_576, ...more })}\r\n`;

it.each([
  ['a Redis that never answers', 'redis://', ''],
  ['a Redis that never answers a handshake', 'rediss://', ''],
  ['a NATS server that never greets', 'nats://', ''],
  ['a NATS server that only greets', 'nats://', infoOf({})],
  ['a NATS server that never answers a handshake', 'tls://', infoOf({ tls_required: true })],
])('with %s the server is up as soon as the attempt is over, and serves alone', async (_what, scheme, greeting) => {
  const port = await blackHole(greeting);
  const driver = scheme.startsWith('redis') ? 'redis' : 'nats';
  const connectTimeoutMs = Math.round(500 * PACE);
  const cluster = { driver, url: `${scheme}127.0.0.1:${port}`, nodeId: 'a', connectTimeoutMs };
  // Longer than this test waits for the server.
  const options = { bootTimeoutMs: 600_000, workerNum: 1, reactorNum: 1 };
  const server = await startServer('cluster.js', { options, env: { CLUSTER: JSON.stringify(cluster) } });
  expect(server.stderr).toMatch(/this node is not in its cluster.*must accept this connection, and did not/s);
  const client = await ClusterClient.connect(server.port);
  await client.ask('join room');
  await client.ask('publish room alone');
  expect(client.said).toEqual(['alone']);
  expect(await client.ask('state')).toBe('down');
});
