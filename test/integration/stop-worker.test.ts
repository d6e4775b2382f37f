import { afterEach, describe, expect, it } from 'vitest';
import { endServers, startServer } from '../helpers/server-process.js';
import { TcpClient } from '../helpers/tcp-client.js';

afterEach(endServers);

describe('stop() in workerStart', () => {
  it.each([
    ['a worker', '0', 'own'],
    ['a worker, by its id', '0', 'id'],
    ['a task worker', '1', 'own'],
    ['a task worker, by its id', '1', 'id'],
  ])('replaces %s as soon as it serves', async (_who, STOP, HOW) => {
    const server = await startServer('stops.js', { env: { STOP, HOW } });
    const started = (): unknown[] => server.events('workerStart').filter(({ id }) => String(id) === STOP);
    await server.waitFor('another one', () => started().length === 2);
    const stopped = await server.waitForEvent('workerStop', ({ id }) => String(id) === STOP);
    expect(stopped.pid).toBe(server.events('workerStart').find(({ id }) => String(id) === STOP)?.pid);
    const client = await TcpClient.connect(server.port);
    expect((await client.send('x').read(4)).toString()).toBe('done');
    expect(started()).toHaveLength(2);
  });
});

it('the very first callback of a server that is one process counts as busy', async () => {
  const options = { mode: 'base', taskWorkerNum: 0, maxRequest: 0 };
  const server = await startServer('stops.js', { options });
  await TcpClient.connect(server.port);
  expect(await server.waitForEvent('connect')).toMatchObject({ state: 'busy' });
});

it('a worker that hangs in the very first callback of its life is seen to be busy', async () => {
  const server = await startServer('stops.js', {
    env: { HANG: '1', SLOW_RESTART: '400' },
    options: { mode: 'base', maxRequest: 1_000_000 },
  });
  const first = server.events('workerStart').find(({ id }) => id === 0);
  server.signal('SIGKILL', first?.pid);
  await server.waitFor('the next one', () => server.events('workerStart').filter(({ id }) => id === 0).length === 2);
  const client = await TcpClient.connect(server.port); // it waits in the backlog
  client.send('x');
  await server.waitForEvent('worker', ({ state, restarts }) => state === 'busy' && restarts === 1);
  expect((await client.read(4)).toString()).toBe('done');
  await server.waitForEvent('worker', ({ state, restarts }) => state === 'idle' && restarts === 1);
});
