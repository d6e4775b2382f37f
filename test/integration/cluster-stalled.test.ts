/** A broker process that stands still, and goes on. */
import { afterEach, expect, it } from 'vitest';
import { endServers, type ServerProcess, startServer } from '../helpers/server-process.js';
import { TcpClient } from '../helpers/tcp-client.js';

afterEach(endServers);

const brokerOf = (server: ServerProcess): number | undefined =>
  server.tree().find(({ title }) => title.includes('process cluster'))?.pid;

const statesOf = (server: ServerProcess, worker: number): unknown[] =>
  server
    .events('state')
    .filter(({ id }) => id === worker)
    .map(({ state }) => state);

const bothSay = (server: ServerProcess, states: readonly string[]): Promise<boolean> =>
  server.waitFor(`states ${states}`, () => [0, 1].every((id) => String(statesOf(server, id)) === String(states)));

it('is down for the workers until it goes on; of what it did not take meanwhile there is a gap', async () => {
  const server = await startServer('cluster-callbacks.js', { options: { messageBufferSize: 100_000 } });
  await bothSay(server, ['up']);
  const broker = brokerOf(server);
  server.signal('SIGSTOP', broker);
  await bothSay(server, ['up', 'down']);
  const client = await TcpClient.connect(server.port);
  client.send('flood');
  await server.waitForEvent('refused');
  const [refused] = server.events('refused');
  expect(refused?.code).toBe('ERR_MESSAGE_QUEUE_FULL');
  expect(refused?.message).toMatch(
    /^The publication for the broker process \(process \d+\) was not taken: .*clusterGap/,
  );
  expect(server.events('gap')).toEqual([]);
  server.signal('SIGCONT', broker);
  await server.waitFor('gaps of both workers', () => server.events('gap').length >= 2);
  await bothSay(server, ['up', 'down', 'up']);
  const gaps = server.events('gap').map(({ id, missed }) => [id, missed]);
  expect(gaps.sort()).toEqual([
    [0, 'news'],
    [1, 'news'],
  ]);
  client.socket.destroy();
});
