import { afterEach, expect, it } from 'vitest';
import { endServers, inProcessMode, type ServerProcess, startServer } from '../helpers/server-process.js';

afterEach(endServers);

const idsOf = (server: ServerProcess, event: string): unknown[] =>
  server
    .events(event)
    .map(({ id }) => id)
    .sort();

const saidByBoth = (server: ServerProcess, event: string, times: number): Promise<boolean> =>
  server.waitFor(`${event} of both workers`, () => idsOf(server, event).length >= 2 * times);

it('the broker process runs none of the callbacks', async () => {
  const server = await startServer('cluster-callbacks.js');
  await saidByBoth(server, 'heard', 2);
  expect(idsOf(server, 'heard')).toEqual([0, 0, 1, 1]);
  expect(idsOf(server, 'state')).toEqual([0, 1]);
  expect(server.events('gap')).toEqual([]);
});

it('when the broker process was killed, its node is told that something may be missing', async () => {
  const server = await startServer('cluster-callbacks.js');
  await saidByBoth(server, 'heard', 2);
  const broker = server.tree().find(({ title }) => title.includes('process cluster'));
  server.signal('SIGKILL', broker?.pid);
  await saidByBoth(server, 'gap', 1);
  await saidByBoth(server, 'heard', 4);
  expect(idsOf(server, 'gap')).toEqual([0, 1]);
  expect(server.events('gap')[0]).toMatchObject({ missed: 'news' });
});

inProcessMode('when the manager was killed, which ends the broker process too, it is told the same', async () => {
  const server = await startServer('cluster-callbacks.js');
  await saidByBoth(server, 'heard', 2);
  server.signal('SIGKILL', server.manager?.pid);
  await server.waitForEvent('gap');
  expect(server.events('gap')[0]).toMatchObject({ missed: 'news' });
});
