import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { Client } from '../helpers/client.js';
import { PACE } from '../helpers/deadline.js';
import {
  endServers,
  IS_BASE,
  inProcessMode,
  poll,
  type ServerProcess,
  startServer,
  TEST_MODE,
} from '../helpers/server-process.js';
import { sharedServers } from '../helpers/shared-servers.js';

afterEach(endServers);

interface Asked {
  readonly client: Client;
  ask<T>(line: string): Promise<T>;
}

async function connect({ port }: ServerProcess): Promise<Asked> {
  const client = await Client.open(port);
  return { client, ask: async (line) => JSON.parse(await client.ask(line, 30_000)) };
}

/** One connection to each of two workers. */
async function connectToTwo(server: ServerProcess): Promise<[Asked, Asked]> {
  const first = await connect(server);
  const pid = await first.ask('pid');
  return poll('a connection of the other worker', async () => {
    const other = await connect(server);
    if ((await other.ask('pid')) !== pid) return [first, other];
    other.client.socket.destroy();
    return undefined;
  });
}

/** Tests that choose the mode themselves run once, and not in the run in BASE mode again. */
const modes = IS_BASE ? [] : (['process', 'base'] as const);
const start = (options: object = {}): Promise<ServerProcess> =>
  startServer('shared-memory.js', { options: { workerNum: 2, reactorNum: 1, ...options } });

const shared = sharedServers();
/** One for each mode. Each of its tests has objects, rows and topics of its own. */
const startShared = (mode: string = TEST_MODE): Promise<ServerProcess> =>
  shared('shared-memory.js', { options: { workerNum: 2, reactorNum: 1, mode } });
/** Where one worker shows it. */
const small = { workerNum: 1, reactorNum: 1, taskWorkerNum: 0 };

describe('a shared object', () => {
  it('is the same in every process, from before the start, and over a reload', async () => {
    const server = await startShared();
    const [one, two] = await connectToTwo(server);
    // The master, the manager (BASE mode: in the same process), a process of the user's.
    await poll('all have added', async () => (await one.ask<number>('count')) === 1_101_000);
    expect(await one.ask('row made by')).toEqual({ hits: 7, by: 'the first process' });
    await one.ask('add 1');
    await two.ask('add 2');
    expect(await one.ask('task add 4')).toBe(1_101_007);
    expect(await two.ask('count')).toBe(1_101_007);
    expect([await one.ask('hit x'), await two.ask('hit x'), await one.ask('task hit x')]).toEqual([1, 2, 3]);
    const reloaded = server.waitForEvent('reloaded');
    server.signal('SIGUSR1');
    await reloaded;
    const later = await connect(server);
    expect(await later.ask('hit x')).toBe(4);
    expect(await later.ask<number>('count')).toBeGreaterThanOrEqual(1_101_007);
  });

  it('stays as it is declared: a reload that declares it otherwise fails, and tells both', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'shared-'));
    const file = join(folder, 'rows');
    writeFileSync(file, '100');
    const server = await startServer('shared-memory.js', { env: { ROWS_FILE: file }, options: small });
    const { ask } = await connect(server);
    expect(await ask('hit x')).toBe(1);
    writeFileSync(file, '200');
    server.signal('SIGUSR1');
    await server.waitFor('the reload has failed', () => server.stderr.includes('ERR_SHARED_SCHEMA'));
    expect(server.stderr).toMatch(/"visits" is there as .*100 rows.*declares it as .*200 rows/);
    expect(await ask('hit x')).toBe(2);
    rmSync(folder, { recursive: true });
  });

  it.each(modes)('in a file is there again after all processes were killed, in %s mode', async (mode) => {
    const folder = mkdtempSync(join(tmpdir(), 'shared-'));
    const env = { TABLE_FILE: join(folder, 'kept.table') };
    const options = { workerNum: 2, reactorNum: 1, taskWorkerNum: 0, mode };
    for (let run = 0; run < 2; run++) {
      const server = await startServer('shared-memory.js', { env, options });
      const [one, two] = await connectToTwo(server);
      expect([await one.ask('keep x'), await two.ask('keep x')]).toEqual([run * 2 + 1, run * 2 + 2]);
      server.signalAll('SIGKILL');
      await server.exited;
    }
    rmSync(folder, { recursive: true });
  });

  it('in a file that was moved away is not another one to a new worker: the reload fails, and says why', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'shared-'));
    const file = join(folder, 'kept.table');
    const server = await startServer('shared-memory.js', { env: { TABLE_FILE: file }, options: small });
    const { ask } = await connect(server);
    expect(await ask('keep x')).toBe(1);
    renameSync(file, join(folder, 'old.table'));
    server.signal('SIGUSR1');
    await server.waitFor('the reload has failed', () => server.stderr.includes('ERR_SHARED_FILE'));
    expect(server.stderr).toMatch(/kept\.table" cannot hold .* another file than the one that this server has open/);
    expect(await ask('keep x')).toBe(2);
    renameSync(join(folder, 'old.table'), file);
    const reloaded = server.waitForEvent('reloaded');
    server.signal('SIGUSR1');
    await reloaded;
    expect(await (await connect(server)).ask('keep x')).toBe(3);
    rmSync(folder, { recursive: true });
  });

  it('may be made while the server runs, by any process', async () => {
    const server = await startShared();
    const [one, two] = await connectToTwo(server);
    expect(await one.ask('late added')).toBe(1);
    expect(await two.ask('late added')).toBe(2);
    expect(await one.ask('task late added')).toBe(3);
  });

  it('goes on from a worker that is killed: its lock to the one that waits, its rows as they are', async () => {
    const server = await start({ taskWorkerNum: 0 });
    const [one, two] = await connectToTwo(server);
    const pid = await one.ask<number>('pid');
    expect(await one.ask('take')).toBe(false);
    await one.ask('hit x');
    const taken = two.ask('take');
    process.kill(pid, 'SIGKILL');
    expect(await taken).toBe(true);
    expect(await two.ask('hit x')).toBe(2);
  });

  // In BASE mode everything ends with it.
  inProcessMode(
    'goes on where the manager is killed while a lock is held: new workers see that its holder died',
    async () => {
      const server = await start(small);
      const { ask } = await connect(server);
      expect(await ask('take')).toBe(false);
      expect(await ask('hit x')).toBe(1);
      const old = server.workers.map(({ pid }) => pid);
      server.signal('SIGKILL', server.manager?.pid);
      // An order in the hand of a worker that ends with its manager goes with it: nobody answers.
      await poll('the old workers are gone', () => !server.workers.some(({ pid }) => old.includes(pid)));
      expect(await (await connect(server)).ask('take')).toBe(true);
      expect(await (await connect(server)).ask('hit x')).toBe(2);
    },
  );

  it.each(modes)(
    'is not given what its subscribers could not read, and no process ends by it, in %s mode',
    async (mode) => {
      const server = await startShared(mode);
      const one = await connect(server);
      for (const levels of [1001, 2500, 6000])
        expect(await one.ask(`publish-deep ${levels}`)).toMatch(/^ERR_DATA_NOT_CLONEABLE/);
      await one.ask('publish-deep 1000');
      await poll('what can be read', async () => (await one.ask('depths')) === 1);
      expect(server.tree().length).toBeGreaterThan(1);
    },
  );

  it.each(modes)('tells the subscribers of all processes what one publishes, in %s mode', async (mode) => {
    const server = await startShared(mode);
    const [one, two] = await connectToTwo(server);
    await one.ask('publish first');
    await one.ask('task publish second');
    await two.ask('publish third');
    for (const worker of [one, two, { ask: (order: string) => one.ask(`task ${order}`) }]) {
      await poll('all is heard', async () => ((await worker.ask('heard')) as string[]).length === 3);
      expect(await worker.ask('heard')).toEqual(['first', 'second', 'third']);
    }
  });

  it.each(modes)(
    'wakes a process by its doorbell, not by a timer, for each of 100 messages, in %s mode',
    async (mode) => {
      const server = await startShared(mode);
      const [one, two] = await connectToTwo(server);
      await Promise.all([one.ask('play'), two.ask('play')]);
      // The timer of a process that has a doorbell takes 50 ms.
      expect(await one.ask<number>('serve 100')).toBeLessThan(2500 * PACE);
    },
  );
});
