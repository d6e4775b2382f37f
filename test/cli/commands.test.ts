import { spawnSync } from 'node:child_process';
import { appendFileSync, existsSync, mkdtempSync, renameSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CommanderError } from 'commander';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { ExitCode } from '../../src/cli/exit.js';
import type { ClusterStatus, CrashLoop, NodeReload, NodesReload } from '../../src/control/controlled.js';
import { PidFile } from '../../src/control/pid-file.js';
import { ServerError } from '../../src/errors/index.js';
import type { ClientInfo } from '../../src/memory/connection-table.js';
import { deferred } from '../../src/util/deferred.js';
import { version } from '../../src/version.js';
import { CliWorld, run, STATS, STATUS, WORKER } from '../helpers/cli-world.js';

// Only what was built has the file of this name.
vi.mock('../../src/entries.js', async (original) => ({
  ...(await original<typeof import('../../src/entries.js')>()),
  CLI_ENTRY: new URL('../../src/cli/main.ts', import.meta.url),
}));

let world: CliWorld;
let folder: string;
beforeEach(() => {
  world = new CliWorld();
  folder = mkdtempSync(join(tmpdir(), 'cli-files-'));
});
afterEach(async () => {
  vi.restoreAllMocks();
  vi.unstubAllEnvs();
  await world.end();
  rmSync(folder, { recursive: true });
});

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

const CLUSTER: ClusterStatus = {
  ...{ nodeId: 'a', driver: 'redis', engine: 'host:6379', state: 'up', why: '', readyNeedsEngine: false, reload: null },
  lost: [],
  queues: [],
  jobsWhy: '',
  nodes: [
    { id: 'a', incarnation: 'i-1', address: 'h:1', version: '1.0.0', self: true },
    { id: 'b', incarnation: 'i-2', address: 'h\u001b:2', version: '1.1.0', self: false },
  ],
};

/** Commander prints the error itself. */
const refused = expect.any(CommanderError);

describe('tswoole status', () => {
  it('prints how the server is, and all of it for programs', async () => {
    await world.serve();
    const shown = await world.run('status');
    expect(shown.out).toMatch(/^web {2}running, pid 1234, up 1m 5s\n(.*\n)+$/);
    expect(shown.exitCode).toBeUndefined();
    const { out } = await world.run('show', 'web', '--json');
    expect(JSON.parse(out)).toEqual({ status: STATUS, stats: STATS, workers: [WORKER] });
    expect(out.split('\n')).toHaveLength(2); // one line for programs
  });

  it('ends with a code of its own where a process does not stay up', async () => {
    const loop: CrashLoop = { id: 0, name: 'worker 0', failures: 3, reason: 'x', endedAt: 1, nextAttemptAt: 1 };
    await world.serve({ status: () => ({ ...STATUS, crashLoops: [loop] }) });
    expect((await world.run('status')).exitCode).toBe(ExitCode.unwell);
  });

  it('of a server that is still starting says that it serves nobody yet', async () => {
    await world.serve({ status: () => ({ ...STATUS, state: 'starting' }) });
    const { out, exitCode } = await world.run('status');
    expect(exitCode).toBe(ExitCode.unwell);
    expect(out).toMatch(/^web {2}starting, .*\nstarting +clients are served when its workers are ready/);
  });

  it('cannot ask a server that has no control socket, or does not answer', async () => {
    const path = join(folder, 'pid');
    const file = PidFile.acquire(path);
    expect((await world.run('status', '--pid-file', path)).failure).toEqual([
      ...[ExitCode.failed, expect.stringMatching(new RegExp(`as process ${process.pid}, but cannot be asked`))],
    ]);
    file.remove();
    world.note(process.pid);
    expect((await world.run('status')).failure).toEqual([
      ...[ExitCode.failed, expect.stringMatching(new RegExp(`pid ${process.pid} does not answer: .*ENOENT`))],
    ]);
    expect((await world.run('status', '--pid-file', join(process.execPath, 'pid'))).failure).toEqual([
      ...[ExitCode.failed, expect.stringMatching(/pid file .* cannot be read/)],
    ]);
  });

  it('fails where none runs', async () => {
    expect((await world.run('status')).failure).toEqual([ExitCode.notRunning, expect.any(String)]);
  });
});

describe('tswoole list', () => {
  it('shows each server with its rate, and also one that does not answer', async () => {
    await world.serve();
    world.note(process.ppid, { name: 'mail', mode: 'base' });
    const { out } = await world.run('list');
    const [head, ...rows] = out.trimEnd().split('\n');
    expect(head).toMatch(/^NAME +PID +MODE +STATE +UP +RATE +P50 +P99 +SCRIPT$/);
    const find = (name: string): string | undefined => rows.find((row) => row.startsWith(name));
    expect(find('web')).toMatch(/^web +\d+ +process +running +5s +12 pkt\/s +100µs +2\.0ms +app\.js$/);
    expect(find('mail')).toMatch(/^mail +\d+ +base +does not answer +5s +app\.js$/);
  });

  it('counts requests where the server speaks HTTP', async () => {
    await world.serve({ status: () => ({ ...STATUS, traffic: { ...STATUS.traffic, unit: 'requests' } }) });
    expect((await world.run('ls')).out).toContain(' 12 req/s ');
  });

  it('hides secrets that were given as flags, and nothing else', async () => {
    await world.serve({}, process.pid, { flags: { admin: '{"token":"hunter2"}', port: '80' } });
    const { out } = await world.run('list', '--json');
    expect(out).not.toContain('hunter2');
    expect(JSON.parse(out)).toMatchObject([
      { name: 'web', state: 'running', ready: true, crashLoops: [], flags: { admin: '(hidden)', port: '80' } },
    ]);
  });

  it('says that none runs', async () => {
    expect((await world.run('list')).out).toBe('No server of this user runs.\n');
    expect((await world.run('list', '--json')).out).toBe('[]\n');
  });
});

describe('tswoole workers, worker and scale', () => {
  it('prints a line per worker, or JSON', async () => {
    await world.serve({ status: () => ({ ...STATUS, traffic: { ...STATUS.traffic, unit: 'requests' } }) });
    expect((await world.run('workers')).out).toMatch(/^ID .*REQUESTS.*\n 0 +worker +77 .*\n$/);
    expect(JSON.parse((await world.run('workers', 'web', '--json')).out)).toEqual([WORKER]);
  });

  it('replaces one worker, or kills it', async () => {
    await world.serve();
    expect((await world.run('worker', 'stop', '2')).out).toBe(
      'Process 77 of worker 2 is replaced when another one is ready.\n',
    );
    expect((await world.run('worker', 'stop', '2000', '--force')).out).toBe(
      'Process 77 of worker 2000 was killed; another one starts.\n',
    );
    expect(world.calls).toEqual([
      ['stopWorker', 2, false],
      ['stopWorker', 2000, true],
    ]);
    expect((await world.run('worker', 'stop', '2001')).failure).toEqual(refused);
    expect((await world.run('worker', 'stop', '0')).failure).toBeUndefined();
  });

  it('says so where a worker has no process at the moment', async () => {
    await world.serve({ stopWorker: () => ({ pid: 0 }) });
    expect((await world.run('worker', 'stop', '2')).out).toBe('Worker 2 has no process now; another one starts.\n');
  });

  it.each([
    ['6', 6],
    ['+2', 6],
    ['-1', 3],
  ])('changes the number of workers to, or by, %s', async (text, asked) => {
    await world.serve();
    expect((await world.run('scale', text)).out).toBe('There are 6 workers.\n');
    expect(world.calls).toEqual([['scale', asked]]);
  });

  it.each([
    ['scale', '6', 'web'],
    ['scale', 'web', '6'],
    ['scale', '6', '--server', 'web'],
  ])('takes the name of the server: %s %s %s', async (...words) => {
    await world.serve();
    world.note(process.ppid, { name: 'other' });
    expect((await world.run(...words)).out).toBe('There are 6 workers.\n');
    expect((await world.run('scale', '6')).failure).toEqual([ExitCode.several, expect.any(String)]);
    expect((await world.run('worker', 'stop', '2', 'web')).failure).toBeUndefined();
    expect((await world.run('scale', 'web', 'other')).failure).toEqual([
      ...[ExitCode.usage, expect.stringContaining('"web"')],
    ]);
  });

  it('says it properly of one worker, and takes nothing but numbers', async () => {
    await world.serve({ scale: () => Promise.resolve({ workerNum: 1 }) });
    expect((await world.run('scale', '1')).out).toBe('There is 1 worker.\n');
    for (const text of ['many', '1.5', '12345', '6x', 'x6', '++1']) {
      expect((await world.run('scale', text)).failure).toEqual([ExitCode.usage, expect.stringContaining(`"${text}"`)]);
    }
  });
});

describe('tswoole connections and close', () => {
  const client = (more: object): ClientInfo =>
    ({
      ...{ fd: 7, workerId: 1, remoteAddress: '10.0.0.1', remotePort: 4000, serverPort: 80 },
      ...{ connectedAt: Date.now() - 5000, receivedBytes: 2048, ...more },
    }) as unknown as ClientInfo;

  it('prints a page, and how to get the next one', async () => {
    const connections = [client({}), client({ fd: 8, remoteAddress: '', receivedBytes: 0 })];
    await world.serve({ connections: () => ({ connections, next: 8 }) });
    expect((await world.run('connections')).out.trimEnd().split('\n')).toEqual([
      expect.stringMatching(/^FD +WORKER +CLIENT +PORT +SINCE +RECEIVED$/),
      expect.stringMatching(/^ 7 +1 +10\.0\.0\.1:4000 +80 +5s +2\.0 KiB$/),
      expect.stringMatching(/^ 8 +1 +unix +80 +5s +0 B$/),
      'There may be more: --after 8',
    ]);
    expect(JSON.parse((await world.run('connections', '--json')).out)).toMatchObject({ next: 8 });
  });

  it('says nothing of a next page behind the last one', async () => {
    await world.serve({ connections: () => ({ connections: [client({})], next: 0 }) });
    expect((await world.run('connections')).out).not.toContain('--after');
  });

  it('asks for the first 50 of all, or for what was chosen', async () => {
    await world.serve();
    expect((await world.run('connections')).out).toBe('No connection fits.\n');
    const chosen = ['--worker', '0', '--address', '10.0.0.1', '--port', '65535', '--after', '9', '-n', '1000'];
    await world.run('connections', 'web', ...chosen);
    expect(world.calls).toEqual([
      ['connections', { after: 0, count: 50 }],
      ['connections', { after: 9, count: 1000, workerId: 0, address: '10.0.0.1', port: 65_535 }],
    ]);
  });

  it.each([
    ['--worker', '2001'],
    ['--port', '65536'],
    ['--after', '-1'],
    ['-n', '0'],
    ['-n', '1001'],
  ])('takes no %s %s', async (flag, value) => {
    expect((await world.run('connections', `${flag}`, value)).failure).toEqual(refused);
  });

  it('closes one, in order or at once', async () => {
    await world.serve();
    expect((await world.run('close', '1')).out).toBe('Connection 1 is being closed.\n');
    await world.run('close', '7', '--reset');
    expect(world.calls).toEqual([
      ['closeConnection', 1, false],
      ['closeConnection', 7, true],
    ]);
    expect((await world.run('close', '0')).failure).toEqual(refused);
  });
});

describe('tswoole call and log-level', () => {
  it('without a command lists all, those of the server too', async () => {
    await world.serve();
    const lines = (await world.run('call')).out.split('\n');
    expect(lines[0]).toMatch(/^COMMAND +TAKES$/);
    expect(lines).toContainEqual(expect.stringMatching(/^stopWorker +workerId force +Replaces one worker/));
    expect(lines).toContainEqual(expect.stringMatching(/^echo +of this server$/));
  });

  it('prints the answer to a command as JSON', async () => {
    await world.serve();
    expect((await world.run('call', 'echo', '{"a":[1]}')).out).toBe('{"a":[1]}\n');
    expect((await world.run('call', 'echo')).out).toBe('{}\n');
  });

  it.each(['[1]', 'null', '1', '{a'])('takes no arguments such as %s', async (text) => {
    await world.serve();
    expect((await world.run('call', 'echo', text)).failure).toEqual([ExitCode.usage, expect.stringContaining(text)]);
  });

  it('waits from a second to a day', async () => {
    await world.serve();
    expect((await world.run('call', 'echo', '--timeout', '86400')).out).toBe('{}\n');
    expect((await world.run('call', 'echo', '--timeout', '1')).out).toBe('{}\n');
    for (const text of ['0', '86401']) {
      expect((await world.run('call', 'echo', '--timeout', text)).failure).toEqual(refused);
    }
  });

  it('changes what is logged', async () => {
    await world.serve();
    expect((await world.run('log-level', 'debug')).out).toBe('From now on, messages from "debug" up are logged.\n');
    expect(world.calls).toEqual([['setLogLevel', 'debug']]);
    expect((await world.run('log-level', 'loud')).failure).toEqual([ExitCode.usage, expect.any(String)]);
  });
});

describe('tswoole reload', () => {
  it('says what of the changed script only a restart applies', async () => {
    const needsRestart = ['workerNum 3 (the server has 2)', 'a process less: mailer'];
    await world.serve({ reload: () => Promise.resolve({ generation: 3, needsRestart }) });
    expect((await world.run('reload')).out).toBe(
      'Workers were replaced: generation 3.\n' +
        'The script has changed what only "tswoole restart" applies: workerNum 3 (the server has 2), a process less: mailer.\n',
    );
  });

  it('replaces all workers, or task workers only, and says which generation that makes', async () => {
    await world.serve();
    expect((await world.run('reload')).out).toBe('Workers were replaced: generation 3.\n');
    expect((await world.run('reload', 'web', '--tasks')).out).toBe('Task workers were replaced: generation 3.\n');
    expect(world.calls).toEqual([
      ['reload', false],
      ['reload', true],
    ]);
  });

  it('of all nodes shows each when its turn has come, then how many there were', async () => {
    const done = deferred<NodesReload>();
    const nodes: Mutable<NodeReload>[] = [
      { node: 'b', state: 'reloading', why: '' },
      { node: 'c', state: 'waiting', why: '' },
      { node: 'a', state: 'waiting', why: '' },
    ];
    const reload = { running: true, nodes };
    const asked: (() => void)[] = [
      () => Object.assign(nodes[0] ?? {}, { state: 'reloaded' }),
      () => Object.assign(nodes[1] ?? {}, { state: 'skipped', why: 'it has left' }),
      () => {
        Object.assign(nodes[2] ?? {}, { state: 'reloaded' });
        done.resolve({ running: false, nodes });
      },
    ];
    const status = (): ClusterStatus => {
      const now = structuredClone({ ...CLUSTER, reload });
      asked.shift()?.();
      return now;
    };
    await world.serve({ reloadNodes: () => done.promise, nodes: status });
    const { out, exitCode } = await world.run('reload', '--all-nodes');
    const lines = out.split('\n');
    expect(lines.slice(0, -2)).toEqual(['b: reloading …', 'b: reloaded', 'c: skipped, it has left', 'a: reloaded']);
    expect(lines.at(-2)).toMatch(/^2 nodes have new workers, after \d+\w+; 1 skipped\.$/);
    expect(exitCode).toBeUndefined();
  });

  it('of all nodes asks one server of each cluster: nodes that its round has met are passed over', async () => {
    const round = (id: string, mates: readonly string[], fails: boolean): [string, object] => {
      const nodes = [id, ...mates].map((mate) => ({
        ...CLUSTER.nodes[0],
        id: mate,
        incarnation: `i-${mate}`,
        self: mate === id,
      }));
      const reloadNodes = async (): Promise<NodesReload> => {
        rounds.push(id);
        if (fails) throw new ServerError('ERR_NODE_RELOAD', { node: id, left: '', why: 'it threw' });
        return { running: false, nodes: [{ node: id, state: 'reloaded', why: '' }] };
      };
      return [id, { reloadNodes, nodes: () => ({ ...CLUSTER, nodes }) }];
    };
    const rounds: string[] = [];
    const pids = [process.pid, process.ppid, 1];
    for (const [name, does] of [round('a', ['b'], true), round('b', ['a'], false), round('c', [], false)]) {
      await world.serve(does, pids.shift(), { name });
    }
    const { out, err, exitCode } = await world.run('reload', '--all-nodes', 'a', 'b', 'c');
    expect(rounds).toEqual(['a', 'c']);
    expect(out).toMatch(/^b: The cluster of its node b has had its round\.\n1 node has new workers/);
    expect(err).toContain('a: The reload of all nodes stopped at node "a"');
    expect(exitCode).toBe(ExitCode.failed);
  });

  it('of all nodes that fails says which one, behind those that are done', async () => {
    const error = new ServerError('ERR_NODE_RELOAD', { node: 'b', left: 'a', why: 'it threw' });
    const nodes = [
      { node: 'c', state: 'reloaded', why: '' } as const,
      { node: 'b', state: 'failed', why: 'x' } as const,
    ];
    const status = { ...CLUSTER, reload: { running: false, nodes } };
    await world.serve({ reloadNodes: () => Promise.reject(error), nodes: () => status });
    const { out, failure } = await world.run('reload', '--all-nodes');
    expect(out).toBe('c: reloaded\n');
    const message = 'The reload of all nodes stopped at node "b" (before a): it threw.';
    expect(failure).toEqual([ExitCode.failed, expect.stringContaining(message)]);
  });

  it('of all nodes is not one of task workers only, and may take too long', async () => {
    await world.serve({ reloadNodes: () => new Promise(() => {}), nodes: () => CLUSTER });
    expect((await world.run('reload', '--all-nodes', '--tasks')).failure).toEqual(refused);
    const { failure } = await world.run('reload', '--all-nodes', '--timeout', '1');
    expect(failure).toEqual([ExitCode.timedOut, expect.any(String)]);
  });

  it('sends a signal to a server that has no control socket', async () => {
    const path = join(folder, 'pid');
    const file = PidFile.acquire(path);
    const kill = vi.spyOn(process, 'kill').mockReturnValue(true);
    const { out } = await world.run('reload', '--pid-file', path);
    expect(out).toBe(`The server with pid ${process.pid} was sent the signal to reload; its log has the result.\n`);
    expect(kill).toHaveBeenLastCalledWith(process.pid, 'SIGUSR1');
    await world.run('reload', '--tasks', '--pid-file', path);
    expect(kill).toHaveBeenLastCalledWith(process.pid, 'SIGUSR2');
    file.remove();
  });
});

describe('tswoole nodes', () => {
  it('lists them, this one marked, and says how the engine is', async () => {
    await world.serve({ nodes: () => CLUSTER });
    expect((await world.run('nodes')).out.trimEnd().split('\n')).toEqual([
      '   NODE  INCARNATION  ADDRESS    VERSION',
      '*  a     i-1          h:1          1.0.0',
      '   b     i-2          h\\u{1b}:2    1.1.0',
      'redis host:6379 up',
    ]);
    expect(JSON.parse((await world.run('nodes', '--json')).out)).toEqual(CLUSTER);
  });

  it('says why the engine is not up', async () => {
    await world.serve({ nodes: () => ({ ...CLUSTER, state: 'down', why: 'no route' }) });
    expect((await world.run('nodes')).out).toMatch(/\nredis host:6379 down: nodes as last known; no route\n$/);
  });

  it('names those that were lost', async () => {
    await world.serve({ nodes: () => ({ ...CLUSTER, lost: ['c', 'd'] }) });
    expect((await world.run('nodes')).out).toContain('\nLost, and may serve on: c, d\nredis host:6379 up\n');
  });

  it('fails where the server is alone', async () => {
    const nodes = (): never => {
      throw new ServerError('ERR_NO_CLUSTER', { method: 'The command "nodes"' });
    };
    await world.serve({ nodes });
    expect((await world.run('nodes')).failure).toEqual([ExitCode.failed, expect.stringContaining('ERR_NO_CLUSTER')]);
  });
});

describe('tswoole jobs', () => {
  const mail = { name: 'mail', isWorked: true, waiting: 12_345, delayed: 1, running: 2, done: 3, dead: 4 };
  const dead = (nth: number) => ({
    ...{
      id: `mail:${nth}`,
      name: 'mail',
      attempts: 5,
      attemptsMade: 5,
      enqueuedAt: 1,
      startedAt: 2,
      endedAt: 1_700_000_000_000,
    },
    ...{ reason: 'no\u001b route', stack: 'at x', data: { to: nth } },
  });
  const notDead = (id: string): never => {
    throw new ServerError('ERR_JOB_NOT_DEAD', { id });
  };

  it('lists what waits, runs and is dead of each name', async () => {
    await world.serve({ countJobs: async () => [mail, { ...mail, name: 'p\u001bdf', isWorked: false }] });
    const lines = [
      'NAME       WAITING  DELAYED  RUNNING  DONE  DEAD',
      'mail         12.3k        1        2     3     4',
      'p\\u{1b}df    12.3k        1        2     3     4  not taken here',
    ];
    for (const words of [['jobs'], ['jobs', 'list'], ['jobs', 'web']])
      expect((await world.run(...words)).out.trimEnd().split('\n')).toEqual(lines);
    expect(JSON.parse((await world.run('jobs', '--json')).out)).toMatchObject([mail, { isWorked: false }]);
  });

  it('says where there are none', async () => {
    await world.serve({ countJobs: async () => [], deadJobs: async () => [] });
    expect((await world.run('jobs')).out).toContain('takes no jobs');
    expect((await world.run('jobs', 'dead', 'mail')).out).toBe('No job "mail" is dead.\n');
    const { out } = await world.run('jobs', 'retry', '--all', 'mail');
    expect(out).toBe('0 of 0 dead jobs run again.\n');
  });

  it('lists dead ones page by page, with the reason', async () => {
    const asked: unknown[][] = [];
    await world.serve({
      deadJobs: async (...given) => {
        asked.push(given);
        return [dead(1), dead(2)].slice(0, given[2]);
      },
    });
    expect((await world.run('jobs', 'dead', 'mail')).out.trimEnd().split('\n')).toEqual([
      'ID      ATTEMPTS  ENDED                     REASON',
      'mail:1         5  2023-11-14T22:13:20.000Z  no\\u{1b} route',
      'mail:2         5  2023-11-14T22:13:20.000Z  no\\u{1b} route',
    ]);
    const page = await world.run('jobs', 'dead', 'mail', 'web', '--offset', '3', '-n', '1');
    expect(page.out).toMatch(/\nThere may be more: --offset 4\n$/);
    expect(asked).toEqual([
      ['mail', 0, 20],
      ['mail', 3, 1],
    ]);
    expect(JSON.parse((await world.run('jobs', 'dead', 'mail', '--json')).out)).toEqual([dead(1), dead(2)]);
  });

  it('retries those that are named; one that is not dead keeps none of the others from it', async () => {
    const retried: string[] = [];
    await world.serve({ retryJob: async (id) => (id === 'mail:2' ? notDead(id) : void retried.push(id)) });
    expect((await world.run('jobs', 'retry', 'mail:1')).out).toBe('1 of 1 dead job runs again.\n');
    const ran = await world.run('jobs', 'retry', 'mail:1', 'mail:2', 'mail:3');
    expect(retried).toEqual(['mail:1', 'mail:1', 'mail:3']);
    expect(ran.out).toBe('2 of 3 dead jobs run again.\n');
    expect(ran.err).toMatch(/^tswoole: mail:2: .*ERR_JOB_NOT_DEAD/);
    expect(ran.exitCode).toBe(ExitCode.failed);
  });

  it('retries all of a name, each once although it is dead again at once', async () => {
    const all = Array.from({ length: 60 }, (_, nth) => dead(nth));
    const retried: string[] = [];
    await world.serve({
      deadJobs: async (_, offset, limit) => all.slice(offset, offset + limit),
      retryJob: async (id) => void retried.push(id),
    });
    expect((await world.run('jobs', 'retry', '--all', 'mail')).out).toBe('60 of 60 dead jobs run again.\n');
    expect(retried).toEqual(all.map(({ id }) => id));
  });

  it('removes those that are named; one that is not there, or under way, keeps none of the others from it', async () => {
    const removeJob = async (id: string): Promise<{ removed: boolean }> => {
      if (id === 'mail:2') throw new ServerError('ERR_JOB_NOT_REMOVED', { id, why: 'it is under way' });
      return { removed: id !== 'mail:3' };
    };
    await world.serve({ removeJob });
    expect((await world.run('jobs', 'remove', 'mail:1')).out).toBe('1 of 1 job is removed.\n');
    const ran = await world.run('jobs', 'remove', 'mail:1', 'mail:2', 'mail:3', 'mail:4');
    expect(ran.out).toBe('2 of 4 jobs are removed.\n');
    expect(ran.err).toMatch(/mail:2: .*it is under way.*ERR_JOB_NOT_REMOVED/);
    expect(ran.err).toContain('mail:3: There is no such job.');
    expect(ran.exitCode).toBe(ExitCode.failed);
  });

  it.each([[[]], [['mail:1', '--all', 'mail']]])('retry wants ids or a name: %j', async (words) => {
    await world.serve();
    const { failure } = await world.run('jobs', 'retry', ...words);
    expect(failure).toEqual([ExitCode.usage, expect.stringContaining('--all NAME')]);
  });
});

it.each([
  ['log-level', 'debug'],
  ['publish', 'news', 'hello'],
  ['profile', '3'],
  ['close', '7'],
])('where several servers run, the name of one stands last: %s', async (...words) => {
  await world.serve({ publish: () => ({ members: 1 }) });
  world.note(process.ppid, { name: 'other' });
  expect((await world.run(...words)).failure).toEqual([ExitCode.several, expect.any(String)]);
  expect((await world.run(...words, 'web')).failure).toBeUndefined();
});

describe('tswoole profile', () => {
  const asked = async (...words: string[]): Promise<unknown> => {
    const { out } = await world.run('profile', ...words);
    const [, request] = world.calls.at(-1) ?? [];
    expect(out).toBe(`${(request as { path: string }).path}\n`);
    return request;
  };
  beforeEach(() => world.serve());

  it.each(['3', 'worker 3', 'worker-3', 'task 3', 'user3'])(
    'takes the process by what it is called: %s',
    async (words) => {
      expect(await asked(words)).toMatchObject({ target: 3 });
    },
  );

  it('is of a process for ten seconds, in a new file beside the caller', async () => {
    vi.spyOn(Date, 'now').mockReturnValue(123);
    expect(await asked('3')).toEqual({
      ...{ target: 3, kind: 'cpu', durationMs: 10_000, path: join(process.cwd(), 'worker-3-123.cpuprofile') },
    });
    expect(await asked('master', '--heap')).toEqual({
      ...{ target: 'master', kind: 'heap', durationMs: 10_000, path: join(process.cwd(), 'master-123.heapsnapshot') },
    });
  });

  it('may be as long, and written where, one says', async () => {
    const path = join(folder, 'x');
    expect(await asked('manager', '--seconds', '600', '-o', path)).toEqual({
      ...{ target: 'manager', kind: 'cpu', durationMs: 600_000, path },
    });
    for (const seconds of ['0', '601']) {
      expect((await world.run('profile', '1', '--seconds', seconds)).failure).toEqual(refused);
    }
  });
});

describe.each(['stop', 'reload', 'restart', 'call'])('tswoole %s', (command) => {
  it.each(['0', '86401', '1.5'])('does not wait %s seconds', async (text) => {
    const { failure, err } = await world.run(command, '--timeout', text);
    expect([failure, err]).toEqual([refused, expect.stringContaining('from 1 to 86400')]);
  });

  it.each(['1', '86400'])('waits %s seconds', async (text) => {
    const { failure } = await world.run(command, '--timeout', text); // no server runs
    expect(failure).toEqual([ExitCode.notRunning, expect.any(String)]);
  });
});

it.each([
  [['scale'], 'number'],
  [['worker', 'stop'], 'id'],
  [['close'], 'fd'],
  [['profile'], 'process'],
  [['log-level'], 'level'],
  [['completion'], 'bash|zsh|fish'],
])('%j does not go without its argument, which is named', async (words, name) => {
  const { err, failure } = await run(...words);
  expect([failure, err]).toEqual([refused, expect.stringContaining(`missing required argument '${name}'`)]);
});

it.each([['start'], ['systemd']])('%s without a script says that there is no config file either', async (word) => {
  vi.spyOn(process, 'cwd').mockReturnValue(folder);
  expect((await run(word)).failure).toEqual([
    ...[ExitCode.usage, expect.stringMatching(/no config file in this folder.*tswoole start server\.js.*tswoole init/)],
  ]);
});

describe('tswoole info', () => {
  it('has versions, limits and what would be the default here', async () => {
    vi.stubEnv('TSWOOLE_OPTION_RUN_DIR', world.runDir);
    await world.serve();
    const info = JSON.parse((await run('info', '--json')).out);
    expect(info).toMatchObject({ tswoole: version, node: process.version, runDirectory: world.runDir });
    expect(info.platform).toContain(`${process.platform} ${process.arch}, kernel `);
    expect(info.reactorBackend).toBe(process.platform === 'linux' ? 'epoll' : 'poll');
    expect(info.runningServers).toBe(1);
    expect((await run('info')).out).toMatch(
      new RegExp(`^tswoole +${version}$[\\s\\S]*^reactor backend +(epoll|poll)$`, 'm'),
    );
  });
});

describe('tswoole completion', () => {
  it.each(['bash', 'zsh', 'fish'])('has a script for %s that asks tswoole', async (shell) => {
    const { out } = await run('completion', shell);
    expect(out).toContain('tswoole __complete -- ');
    expect(out).toMatch(/\n$/);
  });

  it('has none for other shells', async () => {
    expect((await run('completion', '__proto__')).failure).toBeDefined();
    const { err, failure } = await run('completion', 'tcsh');
    expect(failure).toEqual(refused);
    expect(err).toContain('bash, zsh, fish, and not for tcsh');
  });

  it('knows the servers that run, where a server is to be named', async () => {
    vi.stubEnv('TSWOOLE_OPTION_RUN_DIR', world.runDir);
    await world.serve();
    const candidates = async (...words: string[]): Promise<string[]> =>
      (await run('__complete', '--', ...words)).out.trimEnd().split('\n');
    expect(await candidates('stop', '')).toEqual(['web']);
    expect(await candidates('show', 'w')).toEqual(['web']);
    expect(await candidates('scale', '-s', '')).toEqual(['web']);
    expect(await candidates('scale', '--server', '')).toEqual(['web']);
    expect(await candidates('scale', '--pid-file', '')).toEqual(['']);
    expect(await candidates('scale', '')).toEqual(['web']);
    expect(await candidates('stop', '--f')).toEqual(['--force']);
    expect(await candidates('worker', '')).toEqual(['stop', 'help']);
  });
});

describe('tswoole systemd', () => {
  it('prints a unit, and where a secret is to stand', async () => {
    const script = join(folder, 'app.js');
    writeFileSync(script, '');
    const token = '{"token":"hunter2hunter2hunter2"}';
    const { out, err } = await run(
      ...['systemd', script, '--service-user', 'www', '--port', '80', '--admin', token],
      ...['--run-dir', 'r', '--import', './trace.js', '--http', '--', 'x'],
    );
    expect(out).toContain(`--http --port=80 --run-dir=${join(process.cwd(), 'r')}`);
    expect(out).toContain(` --node-arg=--import=${join(process.cwd(), 'trace.js')} -- x\n`);
    expect(out).toMatch(/^User=www$/m);
    expect(out).not.toContain('hunter2');
    expect(err).toMatch(/^tswoole: --admin holds a secret.* TSWOOLE_OPTION_ADMIN='…' into \/etc\/\S*/);
    expect(err).not.toContain('as root');
  });

  it('says that the service runs as root', async () => {
    const script = join(folder, 'app.js');
    writeFileSync(script, '');
    expect((await run('systemd', script, '--service-user', 'root')).err).toMatch(/runs as root.*--service-user NAME/);
  });
});

describe('tswoole logs', () => {
  const log = (): string => join(folder, 'log');
  const serve = (): Promise<void> => world.serve({}, process.pid, { logFile: log() });

  it.each([
    [[], ['-n', '2'], ''],
    [['a', 'b', 'c'], ['-n', '2'], 'b\nc\n'],
    [['a', 'b', 'c'], ['-n', '3'], 'a\nb\nc\n'],
    [['a', 'b', 'c'], ['-n', '9'], 'a\nb\nc\n'],
    [['a', 'b', 'c'], ['-n', '0'], ''],
    [Array.from({ length: 60 }, (_, i) => `${i}`), [], Array.from({ length: 50 }, (_, i) => `${i + 10}\n`).join('')],
  ])('of %j with %j prints the last lines', async (lines, flags, shown) => {
    writeFileSync(log(), lines.map((line) => `${line}\n`).join(''));
    await serve();
    expect((await world.run('logs', ...flags)).out).toBe(shown);
  });

  it('prints lines of a long file whole, wherever a piece of it ends', async () => {
    // Pieces of 64 KiB are read from the end: the line ends of both kinds stand at their edges.
    const lines = [70_000, 65_534, 1, 65_535, 0].map((length, i) => String(i).repeat(length));
    writeFileSync(log(), lines.map((line) => `${line}\n`).join(''));
    await serve();
    for (let n = 1; n <= lines.length; n++) {
      const expected = lines
        .slice(-n)
        .map((line) => `${line}\n`)
        .join('');
      expect((await world.run('logs', '-n', String(n))).out === expected, `the last ${n}`).toBe(true);
    }
  });

  it('follows the file as it grows, is emptied, is moved and made again', async () => {
    writeFileSync(log(), 'old\n');
    await serve();
    const enough = new Error('enough');
    const steps = [
      () => appendFileSync(log(), 'grown\n'),
      () => {
        truncateSync(log());
        appendFileSync(log(), 'new\n');
      },
      () => {
        appendFileSync(log(), 'last words\n');
        renameSync(log(), `${log()}.1`);
      },
      () => {
        appendFileSync(`${log()}.1`, 'late words\n');
        writeFileSync(log(), 'rotated\n');
      },
      () => appendFileSync(log(), 'on\n'),
      () => {
        throw enough;
      },
    ];
    const later = globalThis.setTimeout;
    vi.spyOn(globalThis, 'setTimeout').mockImplementation(((then: () => void, ms: number) => {
      if (ms !== 200) return later(then, ms);
      steps.shift()?.();
      return later(then, 0);
    }) as typeof setTimeout);
    const { out, failure } = await world.run('logs', '--follow', '-n', '0');
    expect(failure).toBe(enough);
    expect(out).toBe('grown\nnew\nlast words\nlate words\nrotated\non\n');
  });

  it('says where the log is where there is no file', async () => {
    await world.serve();
    expect((await world.run('logs')).failure).toEqual([ExitCode.failed, expect.stringContaining('standard error')]);
    world.note(process.pid, { isDaemon: true });
    expect((await world.run('logs')).failure).toEqual([ExitCode.failed, expect.stringContaining('has no log file')]);
    expect((await world.run('logs')).failure).not.toEqual([ExitCode.failed, expect.stringContaining('call log')]);
  });

  it('names the lines that the dashboard keeps, where it is on', async () => {
    const lines = { lines: [], last: 0, lost: 0 };
    await world.serve({ log: () => lines } as object, process.pid, { isDaemon: true });
    expect((await world.run('logs')).failure).toEqual([ExitCode.failed, expect.stringContaining('"tswoole call log"')]);
  });

  it('says where a file is that is not there', async () => {
    await world.serve();
    world.note(process.pid, { logFile: log() });
    expect(existsSync(log())).toBe(false);
    expect((await world.run('logs')).failure).toEqual([ExitCode.failed, expect.stringContaining('is not there')]);
  });

  it('does not wait for the writer of a pipe, nor take lines from its reader', async () => {
    spawnSync('mkfifo', [log()]);
    await serve();
    expect((await world.run('logs')).failure).toEqual([
      ...[ExitCode.failed, expect.stringMatching(/The log file .* cannot be read: it is no regular file\./)],
    ]);
  });

  it.each(['-1', '1000001', 'x'])('has no last %s lines', async (text) => {
    expect((await world.run('logs', `--lines=${text}`)).failure).toEqual(refused);
  });

  it('has the server open its files again', async () => {
    await world.serve();
    expect((await world.run('logs', '--reopen')).out).toBe('The log files are opened again.\n');
    expect(world.calls).toEqual([['reopenLogs']]);
  });
});
