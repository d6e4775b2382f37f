import { afterEach, expect, it } from 'vitest';
import {
  endServers,
  inProcessMode,
  poll,
  type ServerProcess,
  type StartOptions,
  startServer,
} from '../helpers/server-process.js';
import { TcpClient } from '../helpers/tcp-client.js';

afterEach(endServers);

const idsOf = (server: ServerProcess, event: string): unknown[] =>
  server
    .events(event)
    .map(({ id }) => id)
    .sort();

const saidByBoth = (server: ServerProcess, event: string, times: number): Promise<boolean> =>
  server.waitFor(`${event} of both workers`, () => idsOf(server, event).length >= 2 * times);

/** Both workers are in their cluster and hear what is published then. */
async function startAndHear(given: StartOptions = {}): Promise<ServerProcess> {
  const server = await startServer('cluster-callbacks.js', given);
  await saidByBoth(server, 'state', 1);
  await hear(server, 2);
  return server;
}

async function hear(server: ServerProcess, times: number): Promise<void> {
  const client = await TcpClient.connect(server.port);
  client.send('publish');
  await saidByBoth(server, 'heard', times);
  client.socket.destroy();
}

it('the broker process runs none of the callbacks', async () => {
  const server = await startAndHear();
  expect(idsOf(server, 'heard')).toEqual([0, 0, 1, 1]);
  expect(idsOf(server, 'state')).toEqual([0, 1]);
  expect(server.events('gap')).toEqual([]);
});

it('is found by new workers whose script adds another process', async () => {
  const server = await startAndHear({ copy: true });
  const added = "server.addProcess({ name: 'added', run: () => new Promise(() => {}) });";
  server.edit((source) => source.replace('await server.start', `${added}\nawait server.start`));
  const old = server.workers.map(({ pid }) => pid);
  server.signal('SIGUSR1');
  await poll('both workers are new', () => {
    const now = server.workers.map(({ pid }) => pid);
    return now.length === 2 && !now.some((pid) => old.includes(pid));
  });
  await hear(server, 4);
  expect(idsOf(server, 'heard')).toEqual([0, 0, 0, 0, 1, 1, 1, 1]);
});

it('when the broker process was killed, its node is told that something may be missing', async () => {
  const server = await startAndHear();
  const broker = server.tree().find(({ title }) => title.includes('process cluster'));
  server.signal('SIGKILL', broker?.pid);
  await saidByBoth(server, 'gap', 1);
  await hear(server, 4);
  expect(idsOf(server, 'gap')).toEqual([0, 1]);
  expect(server.events('gap')[0]).toMatchObject({ missed: 'news' });
});

inProcessMode('when the manager was killed, which ends the broker process too, it is told the same', async () => {
  const server = await startAndHear();
  server.signal('SIGKILL', server.manager?.pid);
  await server.waitForEvent('gap');
  expect(server.events('gap')[0]).toMatchObject({ missed: 'news' });
});
