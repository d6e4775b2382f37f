import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, it } from 'vitest';
import { PACE } from '../helpers/deadline.js';
import {
  endServers,
  inProcessMode,
  poll,
  type ServerProcess,
  type StartOptions,
  spawnServer,
  startServer,
} from '../helpers/server-process.js';

afterEach(endServers);

const HANGING_MODULE = fileURLToPath(new URL('../fixtures/hangs-in-a-module.js', import.meta.url));
/** It would be longer without a mend: the deadlines of a boot. */
const SOON_MS = 8000 * PACE;

/** The worker that hangs is the only one. */
const ALONE: StartOptions = { options: { workerNum: 1 } };

function spawnEarly(how: string, given: StartOptions = {}): ServerProcess {
  return spawnServer('ended-early.js', { ...given, env: { HOW: how, ...given.env } });
}

/** It has ended in order, has told nobody of an error, and nothing is left of it. */
async function expectOrderlyEnd(server: ServerProcess): Promise<void> {
  const exit = await Promise.race([
    server.exited,
    new Promise<string>((resolve) => setTimeout(resolve, SOON_MS, `it goes on after ${SOON_MS} ms\n${server.stderr}`)),
  ]);
  expect(exit).toEqual({ code: 0, signal: null });
  await poll('all processes have ended', () => server.tree().length === 0);
  await server.silent;
  expect(server.stderr).not.toMatch(/^\s+at |Error/m);
  for (const event of ['up', 'failed', 'start', 'beforeShutdown', 'shutdown']) expect(server.events(event)).toEqual([]);
  expect(existsSync(server.runDir) ? readdirSync(server.runDir) : []).toEqual([]);
}

describe('a server that is told to end while it starts ends in order, with code 0 and without a trace of it:', () => {
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) {
    it(`by ${signal} at the moment start() is called`, async () => {
      const server = spawnEarly('', signal === 'SIGTERM' ? {} : ALONE);
      await server.waitForEvent('calls');
      server.signal(signal);
      await Promise.race([server.exited, server.waitForEvent('up').catch(() => {})]);
      if (server.events('up').length > 0) return; // it was quicker than the signal
      await expectOrderlyEnd(server);
    });

    it(`by ${signal} while a worker hangs in workerStart`, async () => {
      const workerNum = signal === 'SIGTERM' ? 2 : 1; // the last one hangs
      const server = spawnEarly('workerStart hangs', { options: { pidFile: 'server.pid', workerNum } });
      await server.waitForEvent('hangs');
      expect(existsSync(join(server.folder, 'server.pid'))).toBe(true);
      server.signal(signal);
      await expectOrderlyEnd(server);
      expect(existsSync(join(server.folder, 'server.pid'))).toBe(false);
    });
  }

  it.each(['workerStart blocks', 'script hangs', 'script blocks'])('by SIGTERM while this happens: %s', async (how) => {
    const server = spawnEarly(how.replace('script blocks', 'script hangs'));
    await server.waitForEvent('hangs');
    server.signal('SIGTERM');
    await expectOrderlyEnd(server);
  });

  it('by SIGTERM while a task worker hangs; workers that were ready stop in order', async () => {
    const server = spawnEarly('task worker hangs', { options: { taskWorkerNum: 1 } });
    await server.waitForEvent('hangs');
    server.signal('SIGTERM');
    await expectOrderlyEnd(server);
  });

  inProcessMode('by SIGTERM while the manager hangs', async () => {
    const server = spawnEarly('manager hangs', ALONE);
    await server.waitForEvent('hangs');
    server.signal('SIGTERM');
    await expectOrderlyEnd(server);
  });

  inProcessMode(
    'by SIGTERM while the manager hangs; workers that are ready stop in order, one that boots is killed',
    async () => {
      const server = spawnEarly('manager hangs, one boots, workers stop slowly', { options: { maxWaitMs: 60_000 } });
      const isManager = (): boolean => server.events('hangs').length === 2;
      await server.waitFor('the manager and a worker hang', isManager);
      await server.waitForEvent('workerStart', ({ id }) => id === 0);
      server.signal('SIGTERM');
      await expectOrderlyEnd(server);
      expect(server.events('workerStopped').map(({ id }) => id)).toEqual([0]);
    },
  );

  inProcessMode('by a second SIGTERM, which does not wait for them', async () => {
    const server = spawnEarly('manager hangs, workers stop never', {
      options: { ...ALONE.options, maxWaitMs: 60_000 },
    });
    await Promise.all([server.waitForEvent('hangs'), server.waitForEvent('workerStart')]);
    server.signal('SIGTERM');
    const { at } = await server.waitForEvent('workerStop');
    await poll('a second has passed', () => performance.now() > at + 1100 * PACE);
    server.signal('SIGTERM');
    await expectOrderlyEnd(server);
  });

  inProcessMode('by kill -9 of the master, who waits for them: they end with it', async () => {
    const server = spawnEarly('manager hangs, workers stop never', {
      options: { ...ALONE.options, maxWaitMs: 60_000 },
    });
    await Promise.all([server.waitForEvent('hangs'), server.waitForEvent('workerStart')]);
    server.signal('SIGTERM');
    await server.waitForEvent('workerStop');
    server.signal('SIGKILL');
    await poll('all processes have ended', () => server.tree().length === 0);
  });

  it('by SIGTERM where one process is the whole server', async () => {
    const server = spawnEarly('workerStart hangs', { options: { mode: 'base', workerNum: 1, maxRequest: 0 } });
    await server.waitForEvent('hangs');
    server.signal('SIGTERM');
    await expectOrderlyEnd(server);
  });

  it.each([
    ['a dispatch module', { dispatchMode: { module: HANGING_MODULE } }],
    ['a framing module', { framing: { type: 'custom', length: HANGING_MODULE } }],
  ])('by SIGTERM while %s is being loaded', async (_, options) => {
    const server = spawnEarly('', { options: { ...ALONE.options, ...options } });
    await server.waitForEvent('calls');
    server.signal('SIGTERM');
    await expectOrderlyEnd(server);
  });

  it('by SIGINT to every process at once, as a terminal sends it', async () => {
    const server = spawnEarly('workerStart hangs');
    await server.waitForEvent('hangs');
    server.signalAll('SIGINT');
    await expectOrderlyEnd(server);
  });

  it('by SIGTERM to every process at once, as an init system sends it', async () => {
    const server = spawnEarly('script hangs');
    await server.waitForEvent('hangs');
    server.signalAll('SIGTERM');
    await expectOrderlyEnd(server);
  });

  it.each(['shutdown at once', 'workerStart ends it'])('by shutdown(): %s', async (how) => {
    await expectOrderlyEnd(spawnEarly(how));
  });

  it('by two SIGTERMs', async () => {
    const server = spawnEarly('workerStart blocks', { options: { workerNum: 1, maxWaitMs: 60_000 } });
    await server.waitForEvent('hangs');
    server.signal('SIGTERM');
    server.signal('SIGTERM');
    await expectOrderlyEnd(server);
  });

  it('with the socket of its address removed', async () => {
    const server = spawnEarly('workerStart hangs', {
      options: { workerNum: 1, path: 'server.sock', type: 'unix', port: 0 },
    });
    await server.waitForEvent('hangs');
    server.signal('SIGTERM');
    await expectOrderlyEnd(server);
    expect(readdirSync(server.folder).filter((name) => name.endsWith('.sock'))).toEqual([]);
  });
});

it('a server that is told to end during a reload whose new workers hang ends in order', async () => {
  const server = await startServer('ended-early.js', { copy: true });
  server.edit((source) => source.replace("say('workerStart', { id });", 'await hang();'));
  server.signal('SIGUSR1');
  await server.waitForEvent('hangs');
  server.signal('SIGTERM');
  expect(await server.exited).toEqual({ code: 0, signal: null });
  server.assertNothingLeft();
});
