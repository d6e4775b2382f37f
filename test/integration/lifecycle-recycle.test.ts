import { readdirSync, readFileSync } from 'node:fs';
import { afterEach, describe, expect, it } from 'vitest';
import { endServers, inProcessMode, poll, type ServerProcess, startServer } from '../helpers/server-process.js';
import { sharedServers } from '../helpers/shared-servers.js';
import { Load, TcpClient } from '../helpers/tcp-client.js';

afterEach(endServers);

/** Resolves when worker `id` is another process and the old one is gone. */
async function replaced(server: ServerProcess, id: number, old: number, deadlineMs?: number): Promise<void> {
  const done = (): boolean => {
    const workers = server.workers;
    return !workers.some(({ pid }) => pid === old) && workers.some(({ title }) => title.endsWith(`worker ${id}`));
  };
  await poll(`worker ${id} is replaced`, done, deadlineMs);
}

const small = { workerNum: 1, reactorNum: 1 };
const nothingWrong = { lost: [], faults: [], ended: [] };

describe('one worker is replaced without a gap', () => {
  const shared = sharedServers();

  async function underLoad(end: (server: ServerProcess, pid: number) => Promise<void> | void): Promise<void> {
    const server = await shared('commands.js', { options: { workerNum: 2, reactorNum: 1 } });
    const load = await Load.start(server.port, 50, 1, 'echo ');
    await load.progress(3);
    const old = server.worker(1)?.pid ?? 0;
    const other = server.worker(0)?.pid;
    await end(server, old);
    await replaced(server, 1, old);
    await load.progress(3);
    const { lost, faults, ended } = await load.finish();
    expect({ lost, faults, ended }).toEqual(nothingWrong);
    expect(server.worker(0)?.pid).toBe(other);
    expect(server.workers).toHaveLength(2);
    expect(server.events('workerError')).toEqual([]);
    load.close();
  }

  it('by server.stop(id), asked for in any worker', async () => {
    await underLoad(async (server) => {
      const client = await TcpClient.connect(server.port);
      client.send('stop 1\n');
    });
  });

  it('by SIGTERM to it', async () => {
    await underLoad((server, pid) => server.signal('SIGTERM', pid));
  });

  it('when it has run for maxUptimeMs', async () => {
    const options = { ...small, maxUptimeMs: 1000, maxUptimeJitterMs: 0 };
    const server = await startServer('commands.js', { options });
    const load = await Load.start(server.port, 20, 1, 'echo ');
    await replaced(server, 0, server.worker(0)?.pid ?? 0);
    await load.progress(3);
    const { lost, faults, ended } = await load.finish();
    expect({ lost, faults, ended }).toEqual(nothingWrong);
    expect(server.events('workerError')).toEqual([]);
    load.close();
  });

  it('by SIGTERM to it, twice in a row', async () => {
    const server = await startServer('late-echo.js', { options: { ...small, workerNum: 2 } });
    const clients = await TcpClient.connectMany(server.port, 10);
    for (const client of clients) await client.echo('a');
    for (let round = 0; round < 2; round++) {
      const old = server.worker(1)?.pid ?? 0;
      server.signal('SIGTERM', old);
      await replaced(server, 1, old);
    }
    for (const client of clients) await client.echo('b');
    await Promise.all(clients.map((client) => client.close()));
  });

  it('and finishes what it owes first', async () => {
    const server = await startServer('late-echo.js', { options: small, env: { DELAY_MS: '400' } });
    const client = await TcpClient.connect(server.port);
    const old = server.worker(0)?.pid ?? 0;
    client.send('owed');
    await poll('it was read', () => client.socket.writableLength === 0);
    server.signal('SIGTERM', old);
    const stopped = await server.waitForEvent('workerStop');
    expect(stopped).toMatchObject({ pid: old });
    expect(stopped['answered']).toBe(stopped['taken']);
    expect((await client.read(4)).toString()).toBe('owed');
    await client.close();
  });

  it('or keeps serving when its replacement does not boot, and the log says why', async () => {
    const server = await startServer('late-echo.js', { options: { ...small, logLevel: 'warn' }, copy: true });
    const client = await TcpClient.connect(server.port);
    await client.echo('a');
    const old = server.worker(0)?.pid ?? 0;
    const faulty = "if (server.role === 'worker') throw new Error('no luck');\n";
    server.edit((source) => source.replace('await server.start', `${faulty}await server.start`));
    server.signal('SIGTERM', old);
    await server.waitFor('the reason', () => /(manager|master).*worker 0.*no luck/.test(server.stderr));
    expect(server.worker(0)?.pid).toBe(old);
    await client.echo('b');
    server.edit((source) => source.replace(faulty, ''));
    server.signal('SIGTERM', old);
    await replaced(server, 0, old);
    await client.echo('c');
    await client.close();
  });

  inProcessMode('when a worker ends by itself with code 0', async () => {
    const server = await startServer('commands.js', { options: small });
    const client = await TcpClient.connect(server.port);
    await client.ask('echo a');
    const old = server.worker(0)?.pid ?? 0;
    client.send('exit 0\n');
    await replaced(server, 0, old, 2000);
    await client.ask('echo b');
    await client.close();
  });
});

describe('signals that mean nothing to a process', () => {
  inProcessMode('do nothing: no debugger opens, nobody ends', async () => {
    const server = await startServer('commands.js', { options: small });
    const client = await TcpClient.connect(server.port);
    await client.ask('echo a');
    const before = server.tree().map(({ pid }) => pid);
    const worker = server.worker(0)?.pid ?? 0;
    const manager = server.manager?.pid ?? 0;
    for (const signal of ['SIGUSR1', 'SIGUSR2', 'SIGINT', 'SIGHUP'] as const) server.signal(signal, worker);
    for (const signal of ['SIGUSR2', 'SIGINT', 'SIGHUP', 'SIGPIPE'] as const) server.signal(signal, manager);
    for (const signal of ['SIGUSR2', 'SIGPIPE'] as const) server.signal(signal);
    await client.ask('echo b');
    await client.ask('echo c');
    expect(server.tree().map(({ pid }) => pid)).toEqual(before);
    expect(server.stderr).not.toContain('Debugger');
    await client.close();
  });
});

describe('names', () => {
  inProcessMode('tell every process in ps and every reactor in top -H', async () => {
    const options = { workerNum: 2, reactorNum: 2, processTitle: 'a service' };
    const server = await startServer('echo.js', { options });
    const titles = server.tree().map(({ title }) => title);
    expect(titles.sort()).toEqual([
      'a service: manager',
      'a service: master',
      ...[0, 1].map((id) => `a service: worker ${id}`),
    ]);
    const tasks = `/proc/${server.masterPid}/task`;
    const threads = readdirSync(tasks).map((task) => readFileSync(`${tasks}/${task}/comm`, 'utf8').trim());
    expect(threads).toEqual(expect.arrayContaining(['a service: mast', 'reactor 0', 'reactor 1']));
  });
});
