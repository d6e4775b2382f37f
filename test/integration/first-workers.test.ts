import { afterEach, describe, expect, it } from 'vitest';
import { PACE } from '../helpers/deadline.js';
import {
  describeOnce,
  endServers,
  type Line,
  poll,
  type ServerProcess,
  type StartOptions,
  spawnServer,
  startServer,
} from '../helpers/server-process.js';

afterEach(endServers);

const TITLES = [
  ...['tswoole: manager', 'tswoole: process mail', 'tswoole: task worker 2', 'tswoole: task worker 3'],
  ...['tswoole: worker 0', 'tswoole: worker 1'],
];

function titlesOf(server: ServerProcess): string[] {
  const those = server.tree().filter(({ pid }) => pid !== server.masterPid);
  return those.map(({ title }) => title).sort();
}

function given(how: string, options: StartOptions['options'] = {}): StartOptions {
  return { env: { HOW: how }, options };
}

/** All processes that were started, and their end, are known. */
async function expectNothingLeft(server: ServerProcess): Promise<void> {
  await server.exited;
  await poll('nothing is left', () => server.tree().length === 0);
}

async function failed(server: ServerProcess): Promise<Line> {
  const line = await server.waitForEvent('failed');
  await expectNothingLeft(server);
  expect(server.events('up')).toEqual([]);
  return line;
}

describeOnce('the first workers', () => {
  it('run their scripts while the manager runs its own, each once, as children of the manager; none is left at the end', async () => {
    const server = await startServer('first-workers.js', given('manager waits'));
    await server.waitForEvent('mail');
    expect(titlesOf(server)).toEqual(TITLES);
    const runs = server.events('runs');
    expect(runs.map(({ role }) => role).sort()).toEqual([
      ...['manager', 'master', 'task', 'task', 'user', 'worker', 'worker'],
    ]);
    const manager = runs.find(({ role }) => role === 'manager');
    const others = runs.filter(({ role }) => !['manager', 'master'].includes(String(role)));
    expect(new Set(others.map(({ parent }) => parent))).toEqual(new Set([manager?.pid]));
    expect(server.events('workerStart').map(({ id }) => id)).toHaveLength(4);
    expect(server.zombies).toEqual([]);
    await server.stop();
    expect(
      server
        .events('workerStop')
        .map(({ id }) => Number(id))
        .sort(),
    ).toEqual([0, 1, 2, 3]);
    expect(server.tree()).toEqual([]);
  });

  it('leave no trace in the arguments and the environment of the script', async () => {
    const server = await startServer('first-workers.js', given(''));
    for (const { argv, first } of server.events('runs')) {
      expect([argv, first]).toEqual([expect.not.arrayContaining([expect.stringContaining('-entry')]), null]);
    }
  });

  it('take the compiled code of Node, and each other, although the size of their heap is given', async () => {
    const server = await startServer('first-workers.js', given(''));
    const tags = server.events('runs').map(({ role, tag }) => [role, tag]);
    const [, ofMaster] = tags.find(([role]) => role === 'master') ?? [];
    expect(tags.map(([, tag]) => tag)).toEqual(tags.map(() => ofMaster));
  });

  it('are replaced by a reload, and by a manager that takes the place of another, as ever', async () => {
    const server = await startServer('first-workers.js', given(''));
    const before = server.workers.map(({ pid }) => pid);
    server.signal('SIGUSR1');
    await poll('other workers', () => {
      const now = server.workers.map(({ pid }) => pid);
      return now.length === 2 && !now.some((pid) => before.includes(pid));
    });
    const { pid: first } = server.manager ?? {};
    server.signal('SIGKILL', first);
    await poll('another manager, and all others', () => {
      return server.manager?.pid !== first && titlesOf(server).join() === TITLES.join();
    });
    await poll('no zombie', () => server.zombies.length === 0);
  });

  it('are ended and started anew where the script gives them something else in the manager', async () => {
    const server = await startServer('first-workers.js', given('manager has another variable'));
    const starts = server.events('workerStart');
    const last = [0, 1, 2, 3].map((id) => starts.filter((line) => line.id === id).at(-1));
    expect(last.map((line) => line?.['saidBy'])).toEqual(Array.from({ length: 4 }, () => 'the manager'));
    await poll('the processes of a start, no more', () => titlesOf(server).join() === TITLES.join());
    expect(server.zombies).toEqual([]);
    expect(server.stderr).toMatch(/worker 0 .*is started anew.*the environment variable SAID_BY/);
    expect(server.events('workerError')).toEqual([]);
  });

  it.each([
    ['manager throws', 'ERR_MANAGER_BOOT', /the manager had enough/],
    ['manager exits', 'ERR_MANAGER_BOOT', /code 9/],
    ['manager does not start', 'ERR_MANAGER_BOOT', /code 0/],
  ])('end where the %s', async (how, code, told) => {
    const line = await failed(spawnServer('first-workers.js', given(how)));
    expect(line).toMatchObject({ code });
    expect(JSON.stringify(line)).toMatch(told);
  });

  it('end where the manager does not become ready in time', async () => {
    const bootTimeoutMs = 2500 * PACE;
    const line = await failed(spawnServer('first-workers.js', given('manager hangs', { bootTimeoutMs })));
    expect(line).toMatchObject({ code: 'ERR_BOOT_TIMEOUT', detail: { role: 'manager' } });
  });

  it('say why they ended, also before the manager could hear it', async () => {
    const server = spawnServer('first-workers.js', given('worker throws'));
    const { code, detail, cause } = await failed(server);
    expect(server.events('waited')).toHaveLength(1); // it was gone by then
    expect([code, cause]).toEqual(['ERR_WORKER_BOOT', { name: 'TypeError', message: 'no database' }]);
    expect(detail).toEqual({ workerId: 1, exitCode: 1, signal: null, wrote: 'the database is not there' });
    expect(server.stderr.match(/the database is not there/g)?.length).toBeGreaterThan(0);
  });
});

describeOnce('kill -9 of the manager while the server starts', () => {
  it('ends also the workers that cannot end by themselves', async () => {
    const server = spawnServer('first-workers.js', given('worker blocks'));
    await server.waitForEvent('blocks');
    const { pid } = await server.waitForEvent('waited');
    server.signal('SIGKILL', pid);
    const line = await failed(server);
    expect(line).toMatchObject({ code: 'ERR_MANAGER_BOOT', detail: { signal: 'SIGKILL' } });
  });
});

describeOnce('where the master ends while the server starts, also the workers end that cannot by themselves', () => {
  it.each([
    ['its exit', 'worker blocks', 'SIGCONT', 3],
    ['kill -9', 'worker blocks', 'SIGKILL', null],
    ['kill -9, and the manager goes on', 'worker blocks, the manager goes on', 'SIGKILL', null],
  ] as const)('%s', async (_, how, signal, code) => {
    const server = spawnServer('first-workers.js', given(how));
    await Promise.all([server.waitForEvent('blocks'), server.waitForEvent('waited')]);
    server.signal(signal);
    await expectNothingLeft(server);
    expect(await server.exited).toMatchObject({ code });
  });
});

describe('in BASE mode', () => {
  it('the process that is started is the manager, and starts all of them itself', async () => {
    const server = await startServer('first-workers.js', given('', { mode: 'base' }));
    const others = server.events('runs').filter(({ role }) => role !== 'master');
    expect(new Set(others.map(({ parent }) => parent))).toEqual(new Set([server.masterPid]));
  });
});
