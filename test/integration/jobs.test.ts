import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { afterEach, describe, expect, it } from 'vitest';
import type { ServerStatus, ShownJob, ShownSchedule } from '../../src/control/controlled.js';
import { type ClusterClient, clientsOfTests } from '../helpers/cluster-client.js';
import { PACE } from '../helpers/deadline.js';
import type { EngineProcess } from '../helpers/engine-process.js';
import { LastingServers } from '../helpers/lasting-servers.js';
import { hasPostgres, startPostgres } from '../helpers/postgres.js';
import { hasRedis, startRedis } from '../helpers/redis.js';
import {
  endServers,
  type Line,
  poll,
  type ServerProcess,
  type StartOptions,
  spawnServer,
  startServer,
} from '../helpers/server-process.js';
import { Since } from '../helpers/shared-servers.js';
import { tswoole } from '../helpers/tswoole.js';

const LEASE_MS = 1000;

let engine: EngineProcess | undefined;
const lasting = new LastingServers(async () => {
  await engine?.stop();
  engine = undefined;
});
afterEach(endServers);
const connectClient = clientsOfTests();

interface NodeOptions extends StartOptions {
  readonly nodeId?: string;
  readonly jobs?: object | null;
  readonly work?: object;
  readonly cluster?: object;
}

function given({ nodeId = 'a', jobs = {}, work = {}, cluster, env, options, ...more }: NodeOptions = {}): StartOptions {
  const node = { driver: 'redis', url: engine?.url, nodeId, heartbeatMs: 200, ttlMs: 1500, ...cluster };
  const all = { ...node, jobs: jobs && { leaseMs: LEASE_MS, drainMs: 1000, ...jobs } };
  const small = { workerNum: 1, taskWorkerNum: 1, reactorNum: 1, ...options };
  return { ...more, options: small, env: { CLUSTER: JSON.stringify(all), WORK: JSON.stringify(work), ...env } };
}

/** A node of one test. */
async function start(options: NodeOptions = {}): Promise<Node> {
  return connect(await startServer('jobs.js', given(options)));
}

async function connect(server: ServerProcess): Promise<Node> {
  return new Node(server, await connectClient(server));
}

/** Ids of jobs are known for good: each test has its own. */
async function shareNode(name: string, options: () => NodeOptions): Promise<Node> {
  engine ??= await startRedis({ appendOnly: true });
  return connect(await lasting.share(name, () => startServer('jobs.js', given(options()))));
}

/** The node that all tests leave as it is, which runs one job at a time. What has ended before does not count. */
async function share(): Promise<Node> {
  const node = await shareNode('a', () => ({ copy: true, work: { concurrency: 1 } }));
  await node.forget();
  return node;
}

/** Another node beside it, for tests in which it does not matter which of them runs a job. */
const shareOther = (): Promise<Node> => shareNode('b', () => ({ nodeId: 'b', work: { concurrency: 1 } }));

/** A node with two task workers and jobs of its own, whose cluster has no engine; a worker has enqueued one at its start. */
async function shareAlone(): Promise<Node> {
  const node = await shareNode('alone', () => ({
    cluster: { driver: 'memory', url: 'memory://alone' },
    jobs: { url: engine?.url, prefix: 'own', maxJobBytes: '1K' },
    work: { concurrency: 100 },
    options: { taskWorkerNum: 2 },
    env: { EARLY: '1' },
  }));
  const { job } = await node.server.waitForEvent('early');
  await node.ended(String(job));
  await node.forget();
  return node;
}

/** A server, and a client that lets it call `server.jobs`. */
class Node {
  readonly server: ServerProcess;
  readonly client: ClusterClient;
  #forgotten: Record<string, number> = {};

  constructor(server: ServerProcess, client: ClusterClient) {
    this.server = server;
    this.client = client;
  }

  ask(method: string, ...args: readonly unknown[]): Promise<unknown> {
    return this.client.ask(`${method} ${JSON.stringify(args)}`);
  }

  enqueue(data: object, options: object = {}): Promise<unknown> {
    return this.ask('enqueue', 'work', data, options);
  }

  runs(id: string): Line[] {
    return this.server.events('begin').filter((line) => line['id'] === id);
  }

  begun(id: string, attempt = 1): Promise<Line> {
    return this.server.waitForEvent('begin', (line) => line['id'] === id && line['attempt'] === attempt);
  }

  ended(id: string): Promise<Line> {
    return this.server.waitForEvent('end', (line) => line['id'] === id);
  }

  /** What has ended: nothing is under way. */
  async forget(): Promise<void> {
    this.#forgotten = await poll('nothing waits and nothing runs', async () => {
      const { waiting, running, done = 0, dead = 0 } = (await this.ask('counts', 'work')) as Record<string, number>;
      return waiting === 0 && running === 0 && { done, dead };
    });
  }

  /** Has a job of that name take its only task worker, until the function is called that comes back. */
  async hold(name: string): Promise<() => Promise<void>> {
    await this.enqueue({ do: 'hold', file: name }, { id: name });
    await this.begun(id(name));
    return async () => {
      this.letGo(name);
      await this.ended(id(name));
    };
  }

  /** Jobs end that are held here by this file. */
  letGo(file: string): void {
    writeFileSync(join(this.server.folder, file), '');
  }

  /** The newest come first. */
  async dead(count: number): Promise<unknown[]> {
    return poll(`${count} dead jobs`, async () => {
      const dead = (await this.ask('dead', 'work')) as unknown[];
      return dead.length - (this.#forgotten['dead'] ?? 0) === count && dead.slice(0, count);
    });
  }

  async counted(counts: object): Promise<void> {
    await poll(`counts ${JSON.stringify(counts)}`, async () => {
      const found = (await this.ask('counts', 'work')) as Record<string, number>;
      return Object.entries(counts).every(
        ([name, count]) => (found[name] ?? 0) - (this.#forgotten[name] ?? 0) === count,
      );
    });
  }

  get broker(): number {
    return this.server.tree().find(({ title }) => title.endsWith(': process cluster'))?.pid ?? 0;
  }
}

/** What the engine keeps of a job. */
async function kept(id: string, field: string): Promise<string | null> {
  const redis = new Redis(engine?.url ?? '');
  const value = await redis.hget(`tswoole:jobs:work:=${id}`, field);
  redis.disconnect();
  return value;
}

const test = it.skipIf(!hasRedis);
const id = (name: string): string => `work:${name}`;

describe('a job', () => {
  test('runs in a task worker, and its result is kept', async () => {
    const node = await share();
    expect(await node.enqueue({ do: 'give', value: { n: [1, null] } }, { id: 'one' })).toBe(id('one'));
    expect(await node.begun(id('one'))).toMatchObject({ attempt: 1, node: 'a', role: 'task' });
    await node.counted({ done: 1, waiting: 0, running: 0, dead: 0 });
    expect(JSON.parse((await kept('one', 'returnvalue')) ?? '')).toEqual({ n: [1, null] });
    expect(await node.ask('find', id('one'))).toMatchObject({ state: 'done', result: { n: [1, null] } });
    expect(await node.ask('find', id('unknown'))).toBe(null);
  });

  test('is enqueued once under the same id, and many at once in one call', async () => {
    const node = await share();
    const jobs = ['a', 'b', 'a'].map((each) => ({ name: 'work', data: { do: 'give' }, id: each }));
    expect(await node.ask('enqueueMany', jobs)).toEqual([id('a'), id('b'), id('a')]);
    expect(await node.enqueue({ do: 'give' }, { id: 'b' })).toBe(id('b'));
    await node.counted({ done: 2, waiting: 0 });
    expect([...node.runs(id('a')), ...node.runs(id('b'))]).toHaveLength(2);
  });

  test('that fails runs again after its back-off, is dead after its last attempt, and can be retried', async () => {
    const node = await share();
    const options = { id: 'fails', attempts: 2, backoff: { type: 'fixed', delayMs: 300 } };
    await node.enqueue({ do: 'fail', times: 2 }, options);
    const [first, second] = [await node.begun(id('fails')), await node.begun(id('fails'), 2)];
    expect(second.at - first.at).toBeGreaterThan(250);
    const [job] = await node.dead(1);
    expect(job).toMatchObject({ id: id('fails'), state: 'dead', attemptsMade: 2, reason: 'not at attempt 2' });
    expect(await node.ask('retry', id('fails'))).toBe(null);
    await node.dead(1);
    expect(await node.ask('retry', 'work:unknown')).toMatchObject({ code: 'ERR_JOB_NOT_DEAD' });
  });

  test('waits for its time, and one that is more urgent comes first', async () => {
    const node = await share();
    const since = new Since(node.server);
    await node.enqueue({ do: 'wait', ms: 500 }, { id: 'busy' });
    await node.begun(id('busy'));
    await node.enqueue({ do: 'give' }, { id: 'late', delayMs: 1500 });
    await node.enqueue({ do: 'give' }, { id: 'second', priority: 2 });
    await node.enqueue({ do: 'give' }, { id: 'first', priority: 1 });
    const enqueued = performance.now();
    expect((await node.begun(id('late'))).at - enqueued).toBeGreaterThan(1000);
    expect(since.events('begin').map((line) => line['id'])).toEqual(
      ['busy', 'first', 'second', 'late'].map((each) => id(each)),
    );
  });

  test('of a schedule runs at each tick, until it is unscheduled', async () => {
    const node = await share();
    const job = { name: 'work', data: { do: 'give' } };
    expect(await node.ask('schedule', 'tick', { cron: '* * * * * *' }, job)).toBe(null);
    const ticks = () => node.server.events('end').filter((line) => String(line['id']).startsWith(id('repeat:tick')));
    await node.server.waitFor('two ticks', () => ticks().length >= 2);
    expect(await node.ask('unschedule', 'work', 'tick')).toBe(true);
    expect(await node.ask('unschedule', 'work', 'tick')).toBe(false);
    await node.counted({ waiting: 0, running: 0, delayed: 0 });
  });

  test('is refused with the code of the reason', async () => {
    const node = await shareAlone();
    expect(await node.ask('enqueue', 'no name')).toMatchObject({ code: 'ERR_JOB_OPTION' });
    expect(await node.enqueue({ text: 'x'.repeat(2000) })).toMatchObject({ code: 'ERR_JOB_SIZE' });
    expect(await node.enqueue({}, { attempts: 0 })).toMatchObject({ code: 'ERR_JOB_OPTION' });
    expect(await node.ask('work', 'late')).toMatchObject({ code: 'ERR_ALREADY_STARTED' });
    await node.server.waitForEvent('master', (line) => line['code'] === 'ERR_CLUSTER_TOO_EARLY');
  });

  test('can be enqueued in workerStart, and tasks of the user go to their callback', async () => {
    const node = await shareAlone();
    const { job } = await node.server.waitForEvent('early');
    expect((await node.ended(String(job)))['result']).toBe('early');
    expect(await node.ask('task', { data: 7 })).toEqual({ task: { data: 7 } });
  });
});

describe('a node', () => {
  test('takes no more jobs than its task workers run at a time', async () => {
    const node = await shareAlone();
    for (const each of ['a', 'b', 'c', 'd']) await node.enqueue({ do: 'wait', ms: 1500 * PACE }, { id: each });
    await node.counted({ running: 2, waiting: 2 });
    await node.counted({ running: 0, done: 4 });
  });

  test('needs no others, and no engine but that of its jobs', async () => {
    const node = await shareAlone();
    await node.enqueue({ do: 'give' }, { id: 'one' });
    await node.ended(id('one'));
  });

  test('that has no task workers does not start with a handler; one that only enqueues does', async () => {
    const worker = await share();
    const options = { taskWorkerNum: 0 };
    const refused = spawnServer('jobs.js', given({ nodeId: 'refused', options }));
    expect((await refused.waitForEvent('refused'))['code']).toBe('ERR_JOB_NO_TASK_WORKERS');
    const caller = await start({ nodeId: 'caller', options, env: { ROLE: 'caller' } });
    const letGo = await worker.hold('while it is enqueued');
    await caller.enqueue({ do: 'give' }, { id: 'elsewhere' });
    await caller.counted({ waiting: 1 });
    await letGo();
    await worker.ended(id('elsewhere'));
  });

  test('finishes jobs in its old task workers at a reload', async () => {
    engine ??= await startRedis({ appendOnly: true });
    const options = { maxWaitMs: 60_000, taskWorkerNum: 2 };
    const node = await start({ nodeId: 'reloads', jobs: { prefix: 'reloads' }, options });
    await node.enqueue({ do: 'wait', ms: 1500 * PACE }, { id: 'long' });
    await node.begun(id('long'));
    const before = node.server.taskWorkers.map(({ pid }) => pid);
    node.server.signal('SIGUSR1');
    await node.ended(id('long'));
    await poll('new task workers', () => node.server.taskWorkers.every(({ pid }) => !before.includes(pid)));
    await node.counted({ done: 1, dead: 0 });
    await node.enqueue({ do: 'give' }, { id: 'after' });
    await node.ended(id('after'));
    expect(node.runs(id('long'))).toHaveLength(1);
  });

  test('begins a job again that takes longer than a reload waits for', async () => {
    engine ??= await startRedis({ appendOnly: true });
    const options = { maxWaitMs: 300, taskWorkerNum: 1 };
    const node = await start({ nodeId: 'cuts', jobs: { prefix: 'cuts' }, options });
    await node.enqueue({ do: 'wait', ms: 1500 * PACE }, { id: 'long' });
    await node.begun(id('long'));
    node.server.signal('SIGUSR1');
    await node.ended(id('long'));
    await node.counted({ done: 1, dead: 0 });
    expect(node.runs(id('long')).map(({ attempt }) => attempt)).toEqual([1, 1]);
  });

  test('begins a job again whose task worker a reload had to kill, without its attempt', async () => {
    engine ??= await startRedis({ appendOnly: true });
    const options = { maxWaitMs: 300, taskWorkerNum: 1 };
    const node = await start({ nodeId: 'kills', jobs: { prefix: 'kills' }, options });
    await node.enqueue({ do: 'blockOnce', ms: 600_000 }, { id: 'computes' });
    await node.begun(id('computes'));
    node.server.signal('SIGUSR1');
    expect(await node.ended(id('computes'))).toMatchObject({ result: 1 });
    await node.counted({ done: 1, dead: 0 });
  });

  test('replaces a task worker that has run enough when its job has ended, not before', async () => {
    engine ??= await startRedis({ appendOnly: true });
    const options = { maxWaitMs: 200, taskWorkerNum: 1, taskMaxRequest: 1 };
    const node = await start({ nodeId: 'spares', jobs: { prefix: 'spares' }, options });
    const pids = new Set<unknown>();
    for (const name of ['first', 'second', 'third']) await node.enqueue({ do: 'wait', ms: 1500 }, { id: name });
    for (const name of ['first', 'second', 'third']) {
      pids.add((await node.begun(id(name)))['pid']);
      await node.ended(id(name));
    }
    await node.counted({ done: 3, dead: 0 });
    expect([pids.size, node.server.events('begin').length]).toEqual([3, 3]);
  });

  test('gives handlers time to clean up when it shuts down', async () => {
    engine ??= await startRedis({ appendOnly: true });
    const jobs = { prefix: 'cleans', drainMs: 100 };
    const node = await start({ nodeId: 'cleans', jobs, options: { maxWaitMs: 20_000 } });
    await node.enqueue({ do: 'look' }, { id: 'looks' });
    await node.begun(id('looks'));
    await node.server.stop();
    expect(node.server.events('cleanedUp')).toMatchObject([{ id: id('looks'), code: 'ERR_JOB_GIVEN_BACK' }]);
  });

  test('takes jobs for the handlers that a reload has brought, and no others', async () => {
    const node = await share();
    const since = new Since(node.server);
    node.server.edit((source) => source.replaceAll("'work',", "'more',"));
    node.server.signal('SIGUSR1');
    await node.ask('enqueue', 'more', { do: 'give' }, { id: 'x' });
    await node.ended('more:x');
    await since.waitForEvent('afterReload');
    await node.enqueue({ do: 'give' }, { id: 'unknown' });
    await node.counted({ waiting: 1 });
    node.server.edit((source) => source.replaceAll("'more',", "'work',"));
    node.server.signal('SIGUSR1');
    await since.waitForEvents('afterReload', 2);
    await node.ended(id('unknown'));
  });

  test('that shuts down gives its jobs to another one at once', async () => {
    const b = await share();
    const letGo = await b.hold('while another takes one');
    const a = await start({ nodeId: 'leaves', jobs: { leaseMs: 60_000 } });
    await a.enqueue({ do: 'stay', on: 'leaves' }, { id: 'given back' });
    await a.begun(id('given back'));
    await letGo();
    const began = performance.now();
    await a.server.stop();
    expect((await b.ended(id('given back'))).at - began).toBeLessThan(10_000 * PACE);
    await b.counted({ done: 2, dead: 0 });
  });
});

describe('a job that computes while its server shuts down', () => {
  test('is given to another node at once, though its task worker hears nothing of it', async () => {
    engine ??= await startRedis({ appendOnly: true });
    const jobs = { prefix: 'computes', leaseMs: 600_000, drainMs: 500 };
    const a = await start({ nodeId: 'computes', jobs, options: { maxWaitMs: 60_000 } });
    await a.enqueue({ do: 'block', ms: 600_000, on: 'computes' }, { id: 'computed' });
    await a.begun(id('computed'));
    const b = await start({ nodeId: 'takes-over', jobs });
    a.server.signal('SIGTERM');
    await b.ended(id('computed')); // its lease has ten minutes
    expect(a.server.taskWorkers).toHaveLength(1);
    for (const { pid } of a.server.taskWorkers) a.server.signal('SIGKILL', pid); // else it computes on
    await a.server.stop();
  });
});

describe('an operator', () => {
  test('sees what waits and what is dead, has dead jobs run again or removed, and ends schedules', async () => {
    engine ??= await startRedis({ appendOnly: true });
    const node = await start({ nodeId: 'operated', jobs: { prefix: 'operated' }, options: { admin: { port: 0 } } });
    const name = async (): Promise<unknown> => {
      const { out } = await tswoole(node.server, 'jobs', '--json');
      return (JSON.parse(out) as unknown[]).find((one) => (one as { name: string }).name === 'work');
    };
    for (const once of ['first', 'second']) await node.enqueue({ do: 'fail', times: 1 }, { id: once });
    await node.enqueue({ do: 'give' }, { id: 'later', delayMs: 3_600_000 });
    await node.dead(2);
    expect(await name()).toMatchObject({ isWorked: true, waiting: 0, delayed: 1, running: 0, done: 0, dead: 2 });
    const { out } = await tswoole(node.server, 'jobs', 'dead', 'work');
    expect(out).toMatch(/^work:(second|first) +1 +\d{4}-\S+Z +not at attempt 1$/m);
    await poll('the counts are in the status', async () => {
      const status = (await tswoole(node.server, 'status')).out;
      return /\n +work: 0 waiting, 1 delayed, 0 running, 2 dead\n/.test(status);
    });
    const { status } = JSON.parse((await tswoole(node.server, 'status', '--json')).out) as { status: ServerStatus };
    const metrics = await (await fetch(`${status.admin}/metrics`)).text();
    expect(metrics).toMatch(/^tswoole_cluster_jobs_queued\{name="work",state="dead"\} 2$/m);

    const shown = await tswoole(node.server, 'jobs', 'show', id('first'));
    expect(shown.out).toMatch(/^state +dead\n(.+\n)+reason +not at attempt 1\n\nError: not at attempt 1\n {4}at /m);
    expect(await (await fetch(`${status.admin}/api/findJob?id=${id('unknown')}`)).json()).toBe(null);
    const none = await tswoole(node.server, 'jobs', 'show', id('unknown'));
    expect(none).toMatchObject({ code: 1, err: expect.stringContaining(`no job "${id('unknown')}"`) });

    expect(await tswoole(node.server, 'jobs', 'retry', '--all', 'work')).toMatchObject({
      code: 0,
      out: '2 of 2 dead jobs run again.\n',
    });
    await node.dead(2); // a retry has all attempts again, and so fails again
    expect(node.runs(id('first'))).toHaveLength(2);
    const refused = await tswoole(node.server, 'jobs', 'retry', id('later'), id('first'));
    expect(refused).toMatchObject({ code: 1, out: '1 of 2 dead jobs run again.\n' });
    expect(refused.err).toContain('ERR_JOB_NOT_DEAD');
    await node.dead(2);
    expect(await tswoole(node.server, 'jobs', 'remove', '--dead', 'work')).toMatchObject({
      code: 0,
      out: '2 dead jobs are removed.\n',
    });
    await node.counted({ dead: 0, delayed: 1 });
    expect(await node.ask('removeDead', 'work')).toBe(0);
    await node.ask('schedule', 'once: a year', { cron: '0 0 1 1 *', tz: 'UTC' }, { name: 'work', data: { n: 1 } });
    const [schedule] = (await node.ask('schedules', 'work')) as [{ nextAt: number }];
    const next = new Date(schedule.nextAt).toISOString();
    expect(next).toMatch(/-01-01T00:00:00\.000Z$/);
    const rows = (await tswoole(node.server, 'jobs', 'schedules', 'work')).out.trimEnd().split('\n');
    expect(rows.slice(1)).toEqual([`once: a year  0 0 1 1 * (UTC)  ${next}  {"n":1}`]);
    const end = () => tswoole(node.server, 'jobs', 'unschedule', 'work', 'once: a year');
    expect(await end()).toMatchObject({ code: 0 });
    expect(await end()).toMatchObject({ code: 1, err: expect.stringContaining('There is no schedule "once: a year"') });
    expect(await node.ask('schedules', 'work')).toEqual([]);
    await engine.kill('SIGKILL');
    const unknown = await tswoole(node.server, 'jobs');
    expect(unknown).toMatchObject({ code: 1, err: expect.stringContaining('ERR_CLUSTER_DOWN') });
    await poll('the status says so', async () => (await tswoole(node.server, 'status')).out.includes('no jobs run: '));
    await engine.restart();
    await poll('they are counted again', async () => (await tswoole(node.server, 'jobs')).code === 0);
  });
});

describe.each([
  { on: 'Redis', isHere: hasRedis, begin: () => startRedis() },
  { on: 'PostgreSQL', isHere: hasPostgres, begin: () => startPostgres() },
])('an operator of jobs on $on', ({ isHere, begin }) => {
  it.skipIf(!isHere)('sees one of them, cut where it is long, and schedules, and removes what is dead', async () => {
    const own = await begin();
    try {
      const cluster = { driver: 'memory', url: 'memory://seen' };
      const node = await start({ nodeId: 'seen', cluster, jobs: { url: own.url } });
      const long = '\u0001'.repeat(60_000);
      await node.enqueue({ do: 'give', value: long }, { id: 'long' });
      await node.enqueue({ do: 'fail', times: 1 }, { id: 'dead' });
      await node.counted({ done: 1, dead: 1 });
      expect(await node.ask('find', id('long'))).toMatchObject({ state: 'done', result: long });
      const shown = JSON.parse((await tswoole(node.server, 'jobs', 'show', id('long'), '--json')).out) as ShownJob;
      expect(shown).toMatchObject({ state: 'done', attemptsMade: 1, attempts: 1 });
      expect([shown.dataStart, shown.resultStart].map((text) => text?.length)).toEqual([50_001, 50_001]);
      expect([shown.data, shown.result]).toEqual([undefined, undefined]);

      const rule = { cron: `0${' '.repeat(1000)}0 1 1 *`, tz: 'UTC' };
      const keys = Array.from({ length: 50 }, (_, nth) => `${'\u0001'.repeat(120)}${nth}`);
      const data = '\u0001'.repeat(2000);
      const made = await Promise.all(keys.map((key) => node.ask('schedule', key, rule, { name: 'work', data })));
      expect(made).toEqual(keys.map(() => null));
      const page = await tswoole(node.server, 'jobs', 'schedules', 'work', '-n', '50', '--json');
      const schedules = JSON.parse(page.out) as ShownSchedule[];
      expect(schedules.map(({ key }) => key).sort()).toEqual(keys.sort());
      expect(schedules[0]).toMatchObject({ rule, attempts: 1, dataStart: expect.any(String) });
      expect(((await node.ask('schedules', 'work', { limit: 1 })) as object[])[0]).toMatchObject({ rule, data });
      expect(await tswoole(node.server, 'jobs', 'unschedule', 'work', keys[0] ?? '')).toMatchObject({ code: 0 });

      expect((await tswoole(node.server, 'jobs', 'remove', '--dead', 'work')).out).toBe('1 dead job is removed.\n');
      await node.counted({ done: 1, dead: 0, delayed: 49 });
      await node.server.stop();
    } finally {
      await own.stop();
    }
  });
});

describe('a job under way', () => {
  test('has failed when its task worker is killed, and runs again where it has attempts left', async () => {
    const node = await share();
    await node.enqueue({ do: 'die' }, { id: 'again', attempts: 2 });
    expect((await node.ended(id('again')))['result']).toBe('alive');
    await node.enqueue({ do: 'die' }, { id: 'once' });
    const [dead] = await node.dead(1);
    expect(dead).toMatchObject({ id: id('once'), reason: expect.stringContaining('SIGKILL') });
    expect(node.runs(id('once'))).toHaveLength(1);
  });

  test('runs once more when the broker process is killed', async () => {
    const node = await share();
    const since = new Since(node.server);
    const letGo = await node.hold('orphaned');
    const killed = performance.now();
    node.server.signal('SIGKILL', node.broker);
    await since.waitForEvent('failed', (line) => line['code'] === 'ERR_JOB_LEASE_LOST');
    expect((await node.begun(id('orphaned'), 2)).at - killed).toBeGreaterThan(LEASE_MS / 2);
    await letGo();
    expect(node.runs(id('orphaned'))).toHaveLength(2);
    await node.enqueue({ do: 'give' }, { id: 'next' });
    await node.ended(id('next'));
  });

  test('and those that wait are there after a kill of Redis, where it keeps an append-only file', async () => {
    const node = await share();
    await node.enqueue({ do: 'wait', ms: 1500 }, { id: 'running' });
    await node.begun(id('running'));
    await node.enqueue({ do: 'give' }, { id: 'waiting' });
    await engine?.kill('SIGKILL');
    expect(await node.enqueue({ do: 'give' }, { id: 'lost' })).toMatchObject({ code: 'ERR_CLUSTER_DOWN' });
    await engine?.restart();
    await node.ended(id('waiting'));
    await node.counted({ waiting: 0, running: 0, done: 2 });
    expect(node.runs(id('waiting'))).toHaveLength(1);
    expect(node.runs(id('lost'))).toHaveLength(0);
  });

  describe('beside another node', () => {
    test('keeps its lease while its task worker has no turn for three of them', async () => {
      const [node, other] = [await share(), await shareOther()];
      await node.enqueue({ do: 'block', ms: 3 * LEASE_MS + 500 }, { id: 'block' });
      await node.counted({ done: 1, running: 0 });
      await sleep(LEASE_MS);
      expect([...node.runs(id('block')), ...other.runs(id('block'))]).toHaveLength(1);
    });

    test('runs once more, elsewhere, when the master of its node is killed: that is no failure of the job', async () => {
      engine ??= await startRedis({ appendOnly: true });
      const jobs = { prefix: 'beheads' };
      const a = await start({ nodeId: 'beheaded', jobs });
      await a.enqueue({ do: 'stay', on: 'beheaded' }, { id: 'beheaded' });
      await a.begun(id('beheaded'));
      const b = await start({ nodeId: 'survives', jobs });
      a.server.signal('SIGKILL');
      await b.ended(id('beheaded'));
      await b.counted({ done: 1, dead: 0 });
    });

    test('runs once more, elsewhere, when its node is killed', async () => {
      const [b, a] = [await share(), await shareOther()];
      const holders = [id('one of both'), id('other of both')];
      for (const holder of ['one of both', 'other of both'])
        await a.enqueue({ do: 'hold', file: 'go' }, { id: holder });
      const began = ({ server }: Node) => server.waitForEvent('begin', (line) => holders.includes(String(line['id'])));
      await Promise.all([began(a), began(b)]); // each has one, and takes no other job
      await a.enqueue({ do: 'stay', on: 'b' }, { id: 'bereft' });
      a.letGo('go');
      await a.begun(id('bereft'));
      b.letGo('go');
      await b.counted({ done: 2, running: 1 });
      a.server.signalAll('SIGKILL');
      await lasting.stop('b');
      await b.ended(id('bereft'));
      await b.counted({ done: 3, running: 0 });
      await sleep(2 * LEASE_MS);
      expect(b.runs(id('bereft'))).toHaveLength(1);
    });
  });
});
