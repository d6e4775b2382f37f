import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { ControlClient } from '../../src/control/client.js';
import type { WorkerInfo } from '../../src/control/stats.js';
import { Client } from '../helpers/client.js';
import { PACE } from '../helpers/deadline.js';
import { cpuTimeMs } from '../helpers/processes.js';
import { endServers, inProcessMode, poll, type ServerProcess, startServer } from '../helpers/server-process.js';
import { Load, TcpClient } from '../helpers/tcp-client.js';

afterEach(endServers);

/** Within it the workers of a mended script are ready. */
const SHORT_MS = Math.round(2500 * PACE);

const pidsOf = (server: ServerProcess): number[] => server.workers.map(({ pid }) => pid);

function reloaded(server: ServerProcess, times: number, deadlineMs?: number): Promise<unknown> {
  return server.waitFor(`reload ${times}`, () => server.events('afterReload').length >= times, deadlineMs);
}

/** As the server itself tells them: `pid` of those that take packets. */
async function workersOf(server: ServerProcess): Promise<WorkerInfo[]> {
  const client = await ControlClient.connect(join(server.runDir, `${server.masterPid}.sock`));
  try {
    return (await client.call('workers')) as WorkerInfo[];
  } finally {
    client.close();
  }
}

async function reloadByCommand(server: ServerProcess): Promise<unknown> {
  const client = await ControlClient.connect(join(server.runDir, `${server.masterPid}.sock`));
  try {
    return await client.call('reload');
  } finally {
    client.close();
  }
}

/** Of the manager, which has the channels of all workers. */
const openDescriptors = (server: ServerProcess): number => readdirSync(`/proc/${server.manager?.pid}/fd`).length;

/** Puts a line before start(). */
const before = (line: string) => (source: string) =>
  source.replace('await server.start', `${line}\nawait server.start`);
/** In the script: waits for the test, which makes that file in the folder of the server. */
const UNTIL_GO = "while (!(await import('node:fs')).existsSync('go')) await sleep(5);";
const without = (line: string) => (source: string) => source.replace(`${line}\n`, '');

describe('a reload', () => {
  it('20 times in a row under pipelined load on 200 connections loses, doubles, reorders and closes nothing', async () => {
    const server = await startServer('late-echo.js', { options: { workerNum: 2, logLevel: 'warn' } });
    const load = await Load.start(server.port, 200, 4);
    const seen = new Set(pidsOf(server));
    const descriptors = openDescriptors(server);
    for (let round = 1; round <= 20; round++) {
      await load.progress(2);
      server.signal('SIGUSR1');
      await reloaded(server, round);
      const now = pidsOf(server);
      expect(now).toHaveLength(2);
      expect(now.filter((pid) => seen.has(pid))).toEqual([]);
      for (const pid of now) seen.add(pid);
    }
    const { lost, faults, ended } = await load.finish();
    expect({ lost, faults, ended }).toEqual({ lost: [], faults: [], ended: [] });
    expect(server.zombies).toEqual([]);
    expect(server.stderr).toBe('');
    await poll('no descriptor is left open', () => openDescriptors(server) <= descriptors, 2000);
    load.close();
  });

  it('tells of each connection that comes or goes meanwhile once, and in order', async () => {
    const server = await startServer('echo.js', { options: { workerNum: 2 } });
    let coming = true;
    const comeAndGo = async (): Promise<number> => {
      for (let count = 1; ; count++) {
        const client = await TcpClient.connect(server.port);
        await client.echo('hello');
        await client.close();
        if (!coming) return count;
      }
    };
    const loops = Array.from({ length: 10 }, comeAndGo);
    for (let round = 1; round <= 5; round++) {
      server.signal('SIGUSR1');
      await reloaded(server, round);
    }
    coming = false;
    const total = (await Promise.all(loops)).reduce((sum, count) => sum + count);
    await server.waitFor('the end of the last one', () => server.events('close').length >= total);
    const lives = new Map<unknown, string[]>();
    for (const { event, fd } of server.lines.filter((line) => 'fd' in line)) {
      lives.set(fd, [...(lives.get(fd) ?? []), event]);
    }
    expect(lives.size).toBe(total);
    const odd = [...lives.values()].filter((events) => events.join(' ') !== 'connect receive close');
    expect(odd).toEqual([]);
  });

  it('lets handlers that are under way finish in the old workers', async () => {
    const options = { workerNum: 2 };
    const server = await startServer('late-echo.js', { options, env: { DELAY_MS: '50' } });
    const load = await Load.start(server.port, 100, 1);
    for (let round = 1; round <= 5; round++) {
      await load.progress(1);
      server.signal('SIGUSR1');
      await reloaded(server, round);
    }
    const { lost, faults, ended } = await load.finish();
    expect({ lost, faults, ended }).toEqual({ lost: [], faults: [], ended: [] });
    const stops = server.events('workerStop');
    expect(stops).toHaveLength(10);
    for (const stop of stops) expect(stop['answered']).toBe(stop['taken']);
    load.close();
  });

  it.each(['least-connections', 'least-busy'])(
    'answers clients that end their side while old workers still handle what they sent: %s',
    async (dispatchMode) => {
      const options = { workerNum: 2, maxWaitMs: 60_000, dispatchMode };
      const server = await startServer('late-echo.js', { options, env: { DELAY_MS: String(1000 * PACE) } });
      const before = pidsOf(server);
      const clients = await Promise.all([1, 2, 3, 4].map(() => Client.open(server.port, { halfOpen: true })));
      for (const { socket } of clients) socket.write('hello');
      const handled = (workers: WorkerInfo[]): number =>
        workers.reduce((sum, { requestCount }) => sum + requestCount, 0);
      await poll('all are being handled', async () => handled(await workersOf(server)) === clients.length);
      server.signal('SIGUSR1');
      await poll('new workers serve', async () =>
        (await workersOf(server)).every(({ pid }) => pid !== 0 && !before.includes(pid)),
      );
      for (const { socket } of clients) socket.end();
      for (const client of clients) await client.until('the end', () => client.end === 'ended');
      expect(clients.map(({ text }) => text)).toEqual(clients.map(() => 'hello'));
      await reloaded(server, 1);
    },
  );

  it('puts changed code into effect, on connections that were open before', async () => {
    const server = await startServer('late-echo.js', { options: { workerNum: 2 }, copy: true });
    const clients = await TcpClient.connectMany(server.port, 4);
    for (const client of clients) await client.echo('old\n');
    server.edit((source) => source.replaceAll('conn.send(data)', "conn.send('new\\n')"));
    server.signal('SIGUSR1');
    await reloaded(server, 1);
    for (const client of clients) expect(await client.ask('what')).toBe('new');
    await Promise.all(clients.map((client) => client.close()));
  });

  it('does not wait beyond maxWaitMs for a handler that never settles, and serves meanwhile', async () => {
    const server = await startServer('commands.js', { options: { workerNum: 1, maxWaitMs: 700 } });
    const [stuck, other] = (await TcpClient.connectMany(server.port, 2)) as [TcpClient, TcpClient];
    const old = server.worker(0)?.pid;
    stuck.send('never\n');
    await other.ask('echo a');
    server.signal('SIGUSR1');
    await poll('the new one answers', () => server.workers.length === 2);
    await poll('the new one answers', () => server.worker(0)?.pid !== old);
    const serving = async (): Promise<boolean> => (await other.ask('who')) !== `0 ${old}`;
    while (!(await serving()));
    expect(server.events('afterReload')).toEqual([]);
    await reloaded(server, 1, 3000);
    expect(pidsOf(server)).not.toContain(old);
    expect(server.stderr).toMatch(/worker 0 did not end in time/);
    expect(stuck.end).toBeUndefined();
    await Promise.all([stuck.close(), other.close()]);
  });

  it('resets a connection whose client does not take within maxWaitMs what the old worker has sent', async () => {
    const server = await startServer('commands.js', { options: { workerNum: 1, maxWaitMs: 500 } });
    const client = await TcpClient.connect(server.port);
    client.socket.pause();
    client.socket.on('error', () => {});
    client.send('bytes 30000000\n');
    const other = await TcpClient.connect(server.port);
    expect(await other.ask('echo a')).toBe('a');
    server.signal('SIGUSR1');
    await reloaded(server, 1);
    expect((await server.waitForEvent('close'))['reason']).toMatchObject({
      code: 'WORKER_REPLACED',
      initiator: 'server',
    });
    expect(await other.ask('echo b')).toBe('b');
    client.socket.destroy();
    await other.close();
  });

  it('that is asked for five times at once ends with workers that run the script as it is', async () => {
    const server = await startServer('commands.js', { options: { workerNum: 2 }, copy: true });
    const client = await TcpClient.connect(server.port);
    const first = pidsOf(server);
    for (let i = 0; i < 4; i++) server.signal('SIGUSR1');
    await poll('new workers boot', () => server.workers.length > 2);
    server.edit((source) => source.replace('who: (conn) => conn.send(', "who: (conn) => conn.send('new '+"));
    server.signal('SIGUSR1');
    while (!(await client.ask('who')).startsWith('new'));
    await poll('two workers, none of them old', () => {
      const now = pidsOf(server);
      return now.length === 2 && !now.some((pid) => first.includes(pid));
    });
    await client.close();
  });

  it('can be asked for by SIGUSR1 to the manager, and in a worker', async () => {
    const server = await startServer('commands.js', { options: { workerNum: 2 } });
    const client = await TcpClient.connect(server.port);
    await client.ask('echo a');
    const first = pidsOf(server);
    server.signal('SIGUSR1', server.manager?.pid);
    await reloaded(server, 1);
    const second = pidsOf(server);
    client.send('reload\n');
    await reloaded(server, 2);
    const third = pidsOf(server);
    expect(new Set([...first, ...second, ...third]).size).toBe(6);
    expect(await client.ask('echo b')).toBe('b');
    await client.close();
  });

  inProcessMode('goes on when a worker, old or new, is killed in the middle of it', async () => {
    const server = await startServer('late-echo.js', { options: { workerNum: 2 }, copy: true });
    const client = await TcpClient.connect(server.port);
    await client.echo('a');
    server.edit(before(`if (server.role === 'worker') ${UNTIL_GO}`));
    const old = pidsOf(server);
    server.signal('SIGUSR1');
    await poll('new workers boot', () => server.workers.length === 4);
    server.signal('SIGKILL', old[0]);
    writeFileSync(join(server.folder, 'go'), '');
    await reloaded(server, 1);
    expect(pidsOf(server).filter((pid) => old.includes(pid))).toEqual([]);
    await poll('two workers', () => server.workers.length === 2);
    await client.echo('b');
    await client.close();
  });
});

describe('a reload of a script whose options have changed', () => {
  const withOptions = (options: object) => (source: string) =>
    source.replace('...options })', `...options, ...${JSON.stringify(options)} })`);

  const second = (call: string) => (source: string) => source.replace('server.listen({ port: 0 })', call);
  const run = (client: TcpClient, code: string): Promise<string> => client.ask(JSON.stringify(code));

  it('takes those of the workers, keeps the others as the server has them, and says which', async () => {
    const server = await startServer('tasks.js', { options: { workerNum: 2, taskWorkerNum: 1 }, copy: true });
    const client = await TcpClient.connect(server.port);
    expect(await reloadByCommand(server)).toEqual({ generation: 1 });
    // By these the processes know where they are among the others, and what reactors expect of them.
    const changed = { workerNum: 3, taskWorkerNum: 4, reactorNum: 7, maxQueuedBytes: '1m' };
    server.edit(withOptions({ ...changed, maxRequest: 4, maxRequestJitter: 0, port: 1 }));
    expect(await reloadByCommand(server)).toEqual({
      generation: 2,
      needsRestart: [
        `port 1 (the server has 0)`,
        expect.stringMatching(/^reactorNum 7 /),
        'workerNum 3 (the server has 2)',
        'taskWorkerNum 4 (the server has 1)',
        'maxQueuedBytes 1048576 (the server has 0)',
      ],
    });
    const line = /only a restart applies.*port 1 .*maxQueuedBytes 1048576/;
    await server.waitFor('the same in the log', () => line.test(server.stderr));
    const first = pidsOf(server);
    for (let i = 0; i < 8; i++) {
      expect(await run(client, "return server.taskWait({ do: 'echo', value: 42 })")).toBe('{"value":42}');
    }
    await poll('maxRequest is that of the script', () => pidsOf(server).some((pid) => !first.includes(pid)));
    await client.close();
  });

  it('goes on where a listen port or a process has been added, and says so', async () => {
    const server = await startServer('late-echo.js', { options: { workerNum: 2 }, copy: true });
    const client = await TcpClient.connect(server.port);
    server.edit(
      before("server.listen({ port: 0 }); server.addProcess({ name: 'more', run: () => new Promise(() => {}) });"),
    );
    expect(await reloadByCommand(server)).toEqual({
      generation: 1,
      needsRestart: ['a listen port more: tcp 127.0.0.1:0', 'a process more: more'],
    });
    await client.echo('hello');
    await client.close();
  });

  it.each([
    ['listens no more on a port', second(''), /no listen port for tcp 127\.0\.0\.1:0/],
    [
      'speaks another protocol',
      withOptions({ protocol: 'websocket' }),
      /protocol "websocket" \(the server has "raw"\)/,
    ],
    [
      'speaks another protocol on a further port',
      second("server.listen({ port: 0, protocol: 'http' })"),
      /listen port 2: protocol "http" \(the server has "raw"\)/,
    ],
    [
      'takes datagrams in place of streams',
      second("server.listen({ port: 0, type: 'udp' })"),
      /listen port 2: type "udp" \(the server has "tcp"\)/,
    ],
  ])('is refused where it %s, and the old workers serve', async (_, change, why) => {
    const server = await startServer('late-echo.js', {
      options: { workerNum: 2 },
      copy: true,
      env: { SECOND_PORT: '1' },
    });
    const old = pidsOf(server);
    server.edit(change);
    await expect(reloadByCommand(server)).rejects.toMatchObject({
      code: 'ERR_RELOAD',
      message: expect.stringMatching(why),
    });
    await poll('only the old workers are there', () => server.workers.length === 2);
    expect(pidsOf(server)).toEqual(old);
    const client = await TcpClient.connect(server.port);
    await client.echo('hello');
    await client.close();
  });

  it('leaves the added processes at the ids they have, wherever the script adds them now', async () => {
    const options = { workerNum: 2, taskWorkerNum: 1 };
    const PROCESS =
      "say('own', { id: server.workerId }); await new Promise((end) => signal.addEventListener('abort', end));";
    const server = await startServer('tasks.js', { options, copy: true, env: { PROCESS } });
    await server.waitForEvent('own');
    const added = "server.addProcess({ name: 'added', run: () => say('added') });";
    const told = "say('told', { id: server.addProcess({ name: 'own'";
    server.edit((source) =>
      source
        .replace('if (process.env.PROCESS)', `${added}\nif (process.env.PROCESS)`)
        .replace("server.addProcess({ name: 'own'", told)
        .replace('say, messages) });', 'say, messages) }) });'),
    );
    expect(await reloadByCommand(server)).toMatchObject({ needsRestart: ['a process more: added'] });
    await server.waitFor('the process again', () => server.events('own').length === 2);
    expect(server.events('own').map(({ id }) => id)).toEqual([3, 3]);
    expect(new Set(server.events('told').map(({ id }) => id))).toEqual(new Set([3]));
    expect(server.events('added')).toEqual([]);
  });

  it('that no longer adds a process fails with its name', async () => {
    const PROCESS = "await new Promise((end) => signal.addEventListener('abort', end));";
    const server = await startServer('tasks.js', { options: { workerNum: 1 }, copy: true, env: { PROCESS } });
    server.edit((source) => source.replace('if (process.env.PROCESS)', 'if (process.env.NOTHING)'));
    await expect(reloadByCommand(server)).rejects.toMatchObject({
      message: expect.stringContaining('a process less: own'),
    });
  });
});

describe('a reload whose workers do not boot changes nothing, says why, and works once the script is mended, when they', () => {
  async function failsWith(line: string, reason: RegExp, options: Record<string, unknown> = {}): Promise<void> {
    const server = await startServer('late-echo.js', {
      options: { workerNum: 2, logLevel: 'warn', ...options },
      copy: true,
    });
    const load = await Load.start(server.port, 20, 2);
    const old = pidsOf(server);
    server.edit(before(line));
    server.signal('SIGUSR1');
    await server.waitFor('the reason in the log', () => reason.test(server.stderr));
    await poll('only the old workers are there', () => server.workers.length === 2);
    expect(pidsOf(server)).toEqual(old);
    await load.progress(2);
    expect(server.events('afterReload')).toEqual([]);
    server.edit(without(line));
    server.signal('SIGUSR1');
    await reloaded(server, 1);
    expect(pidsOf(server).filter((pid) => old.includes(pid))).toEqual([]);
    const { lost, faults, ended } = await load.finish();
    expect({ lost, faults, ended }).toEqual({ lost: [], faults: [], ended: [] });
    load.close();
  }

  it('throw', () => failsWith("if (server.role === 'worker') throw new Error('no luck');", /reload failed.*no luck/));

  it('throw in one worker when the other one is ready', () =>
    failsWith(
      // What worker 0 does in setImmediate comes after it has said that it is ready.
      `server.on('workerStart', async (id) => {
        if (id === 0) return void setImmediate(async () => (await import('node:fs')).writeFileSync('go', ''));
        ${UNTIL_GO}
        throw new Error('no luck');
      });`,
      /reload failed.*no luck/,
    ));

  it('exit', () => failsWith("if (server.role === 'worker') process.exit(3);", /reload failed/));

  it('are not ready in time', () =>
    failsWith("server.on('workerStart', () => sleep(60_000));", new RegExp(`reload failed.*within ${SHORT_MS} ms`), {
      bootTimeoutMs: SHORT_MS,
    }));
});

describe('a reload whose new workers crash', () => {
  it('right behind their ready, while another one boots, leaves the old ones, and the next one replaces them', async () => {
    const server = await startServer('late-echo.js', { options: { workerNum: 2, logLevel: 'silent' }, copy: true });
    const old = pidsOf(server).sort();
    const crash = `server.on('workerStart', async (id) => {
      if (id === 0) return void setImmediate(() => setImmediate(() => { throw new Error('no database'); }));
      ${UNTIL_GO}
    });`;
    server.edit(before(crash));
    await expect(reloadByCommand(server)).rejects.toMatchObject({
      code: 'ERR_RELOAD',
      message: expect.stringMatching(
        /^The workers were not replaced: worker 0 exited with code \d+: Error: no database/,
      ),
    });
    await poll('the old ones are alone', () => server.workers.length === 2);
    expect(pidsOf(server).sort()).toEqual(old);
    server.edit(without(crash));
    expect(await reloadByCommand(server)).toEqual({ generation: 2 });
  });

  it('while old ones end has failed, though they are replaced', async () => {
    const options = { workerNum: 1, logLevel: 'silent', maxWaitMs: 60_000 };
    const server = await startServer('late-echo.js', { options, copy: true });
    // Of the old worker: the first packet is answered when the test says so.
    const old = pidsOf(server);
    const slow = `server.on('receive', async (conn, data) => { ${UNTIL_GO} conn.send(data); });`;
    server.edit((source) => source.replace('await server.start', `${slow}\nawait server.start`));
    await reloadByCommand(server);
    const client = await Client.open(server.port);
    client.socket.write('hello');
    await poll('it is handled', async () => (await workersOf(server))[0]?.requestCount === 1);
    server.edit((source) => source.replace(slow, "server.on('receive', () => process.exit(3));"));
    const failed = reloadByCommand(server).then(
      () => 'done',
      (error: unknown) => error,
    );
    const now = pidsOf(server);
    expect(now).not.toEqual(old);
    await poll('the new one serves', async () => !now.includes((await workersOf(server))[0]?.pid ?? now[0] ?? 0));
    const other = await Client.open(server.port);
    other.socket.write('hello');
    await poll('it has crashed', async () => (await workersOf(server))[0]?.restarts === 1);
    writeFileSync(join(server.folder, 'go'), '');
    expect(await failed).toMatchObject({
      code: 'ERR_RELOAD',
      detail: { why: 'worker 0 exited with code 3', generation: 2 },
    });
    await reloaded(server, 2);
    for (const each of [client, other]) each.socket.destroy();
  });
});

describe('a worker that keeps dying', () => {
  inProcessMode(
    'is started again after growing pauses, each death with its reason in the log, at next to no cost',
    async () => {
      const faulty = "if (server.role === 'worker') setTimeout(() => { throw new Error('dies young'); }, 50);";
      const server = await startServer('late-echo.js', { options: { workerNum: 2, logLevel: 'warn' }, copy: true });
      const client = await TcpClient.connect(server.port);
      await client.echo('a');
      server.edit(before(faulty));
      server.signal('SIGKILL', server.worker(0)?.pid);
      server.signal('SIGKILL', server.worker(1)?.pid);
      await server.waitFor(
        'long pauses',
        () => server.stderr.match(/starting another one in 3000 ms/g)?.length === 2,
        20_000,
      );
      const ends = server.stderr.split('\n').filter((line) => / worker \d .*starting another one/.test(line));
      const uncaused = ends.filter((line) => !/dies young/.test(line) && !/killed by SIGKILL/.test(line));
      expect(uncaused).toEqual([]);
      expect(ends.length).toBeGreaterThanOrEqual(10);
      const pids = server.tree().map(({ pid }) => pid);
      const usedMs = (): number => pids.reduce((sum, pid) => sum + cpuTimeMs(pid), 0);
      const share = async (): Promise<number> => {
        const [cpu, began] = [usedMs(), performance.now()];
        await new Promise((resolve) => setTimeout(resolve, 2500)); // a span to measure over
        return (usedMs() - cpu) / (performance.now() - began);
      };
      client.send('b');
      // Master, manager and reactor threads have become quiet, and each collects its garbage once: that may come first.
      let used = await share();
      for (let spans = 1; used >= 0.05 && spans < 4; spans++) used = await share();
      expect(used).toBeLessThan(0.05);
      server.edit(without(faulty));
      server.signal('SIGUSR1');
      expect((await client.read(1, 5000)).toString()).toBe('b'); // what was sent meanwhile is answered
      await client.echo('c');
      await poll('both workers are back', () => server.workers.length === 2);
      await client.close();
    },
    40_000,
  );
});
