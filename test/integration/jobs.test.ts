import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { afterAll, afterEach, describe, expect, it } from 'vitest';
import { ClusterClient } from '../helpers/cluster-client.js';
import { PACE } from '../helpers/deadline.js';
import type { EngineProcess } from '../helpers/engine-process.js';
import { hasRedis, type RedisSettings, startRedis } from '../helpers/redis.js';
import {
  endServers,
  type Line,
  poll,
  type ServerProcess,
  type StartOptions,
  spawnServer,
  startServer,
} from '../helpers/server-process.js';
import { sharedServers } from '../helpers/shared-servers.js';

const LEASE_MS = 1000;

let lasting: EngineProcess | undefined;
afterAll(() => lasting?.stop()); // registered first, it comes after the end of its node
const shared = sharedServers();

let engine: EngineProcess | undefined;
afterEach(async () => {
  await endServers();
  await engine?.stop();
  engine = undefined;
});

interface NodeOptions extends StartOptions {
  readonly nodeId?: string;
  readonly jobs?: object | null;
  readonly work?: object;
  readonly cluster?: object;
  readonly url?: string | undefined;
}

function given({ nodeId = 'a', jobs = {}, work = {}, cluster, env, url, ...more }: NodeOptions = {}): StartOptions {
  const node = { driver: 'redis', url: url ?? engine?.url, nodeId, heartbeatMs: 200, ttlMs: 1500, ...cluster };
  const all = { ...node, jobs: jobs && { leaseMs: LEASE_MS, drainMs: 1000, ...jobs } };
  return { ...more, env: { CLUSTER: JSON.stringify(all), WORK: JSON.stringify(work), ...env } };
}

async function start(options: NodeOptions = {}, settings: RedisSettings = {}): Promise<Node> {
  engine ??= await startRedis(settings);
  const server = await startServer('jobs.js', given(options));
  return new Node(server, await ClusterClient.connect(server.port));
}

/** The same node for all tests that leave it as it is. What has ended before does not count. */
async function share(): Promise<Node> {
  lasting ??= await startRedis();
  const server = await shared('jobs.js', given({ url: lasting.url }));
  const node = new Node(server, await ClusterClient.connect(server.port));
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

  async forget(): Promise<void> {
    const { done, dead } = (await this.ask('counts', 'work')) as { done: number; dead: number };
    this.#forgotten = { done, dead };
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

/** What the engine of `share` keeps of a job. */
async function kept(id: string, field: string): Promise<string | null> {
  const redis = new Redis(lasting?.url ?? '');
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
    const options = { id: 'x', attempts: 2, backoff: { type: 'fixed', delayMs: 300 } };
    await node.enqueue({ do: 'fail', times: 2 }, options);
    const [first, second] = [await node.begun(id('x')), await node.begun(id('x'), 2)];
    expect(second.at - first.at).toBeGreaterThan(250);
    const [job] = await node.dead(1);
    expect(job).toMatchObject({ id: id('x'), state: 'dead', attemptsMade: 2, reason: 'not at attempt 2' });
    expect(await node.ask('retry', id('x'))).toBe(null);
    await node.dead(1);
    expect(await node.ask('retry', 'work:unknown')).toMatchObject({ code: 'ERR_JOB_NOT_DEAD' });
  });

  test('waits for its time, and one that is more urgent comes first', async () => {
    const node = await start({ work: { concurrency: 1 }, options: { taskWorkerNum: 1 } });
    await node.enqueue({ do: 'wait', ms: 500 }, { id: 'busy' });
    await node.begun(id('busy'));
    await node.enqueue({ do: 'give' }, { id: 'late', delayMs: 1500 });
    await node.enqueue({ do: 'give' }, { id: 'second', priority: 2 });
    await node.enqueue({ do: 'give' }, { id: 'first', priority: 1 });
    const enqueued = performance.now();
    expect((await node.begun(id('late'))).at - enqueued).toBeGreaterThan(1000);
    expect(node.server.events('begin').map((line) => line['id'])).toEqual(
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
  });

  test('is refused with the code of the reason', async () => {
    const node = await start({ jobs: { maxJobBytes: '1K' } });
    expect(await node.ask('enqueue', 'no name')).toMatchObject({ code: 'ERR_JOB_OPTION' });
    expect(await node.enqueue({ text: 'x'.repeat(2000) })).toMatchObject({ code: 'ERR_JOB_SIZE' });
    expect(await node.enqueue({}, { attempts: 0 })).toMatchObject({ code: 'ERR_JOB_OPTION' });
    expect(await node.ask('work', 'late')).toMatchObject({ code: 'ERR_ALREADY_STARTED' });
    await node.server.waitForEvent('master', (line) => line['code'] === 'ERR_CLUSTER_TOO_EARLY');
  });

  test('can be enqueued in workerStart, and tasks of the user go to their callback', async () => {
    const node = await start({ env: { EARLY: '1' } });
    const { job } = await node.server.waitForEvent('early');
    expect((await node.ended(String(job)))['result']).toBe('early');
    expect(await node.ask('task', { data: 7 })).toEqual({ task: { data: 7 } });
  });
});

describe('a node', () => {
  test('takes no more jobs than its task workers run at a time', async () => {
    const node = await start({ work: { concurrency: 100 } });
    for (const each of ['a', 'b', 'c', 'd']) await node.enqueue({ do: 'wait', ms: 1500 * PACE }, { id: each });
    await node.counted({ running: 2, waiting: 2 });
    await node.counted({ running: 0, done: 4 });
  });

  test('needs no others, and no engine but that of its jobs', async () => {
    engine = await startRedis();
    const cluster = { driver: 'memory', url: 'memory://alone' };
    const node = await start({ cluster, jobs: { url: engine.url, prefix: 'own' } });
    await node.enqueue({ do: 'give' }, { id: 'one' });
    await node.ended(id('one'));
  });

  test('that has no task workers does not start with a handler; one that only enqueues does', async () => {
    engine = await startRedis();
    const options = { taskWorkerNum: 0 };
    const refused = spawnServer('jobs.js', given({ options }));
    expect((await refused.waitForEvent('refused'))['code']).toBe('ERR_JOB_NO_TASK_WORKERS');
    const caller = await start({ nodeId: 'b', options, env: { ROLE: 'caller' } });
    await caller.enqueue({ do: 'give' }, { id: 'elsewhere' });
    await caller.counted({ waiting: 1 });
    const worker = await start();
    await worker.ended(id('elsewhere'));
  });

  test('finishes jobs in its old task workers at a reload', async () => {
    const node = await start({ options: { maxWaitMs: 60_000 } });
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

  test('takes jobs for the handlers that a reload has brought, and no others', async () => {
    const node = await start({ copy: true });
    node.server.edit((source) => source.replaceAll("'work',", "'more',"));
    node.server.signal('SIGUSR1');
    await node.ask('enqueue', 'more', { do: 'give' }, { id: 'x' });
    await node.ended('more:x');
    await node.enqueue({ do: 'give' }, { id: 'late' });
    await node.counted({ waiting: 1 });
  });

  test('that shuts down gives its jobs to another one at once', async () => {
    const a = await start({ jobs: { leaseMs: 60_000 } });
    await a.enqueue({ do: 'stay', on: 'a' }, { id: 'long' });
    await a.begun(id('long'));
    const b = await start({ nodeId: 'b', jobs: { leaseMs: 60_000 } });
    const began = performance.now();
    await a.server.stop();
    expect((await b.ended(id('long'))).at - began).toBeLessThan(10_000 * PACE);
    await b.counted({ done: 1, dead: 0 });
  });
});

describe('a job under way', () => {
  test('keeps its lease while its task worker spins for three of them', async () => {
    const node = await start();
    const other = await start({ nodeId: 'b' });
    await node.enqueue({ do: 'spin', ms: 3 * LEASE_MS + 500 }, { id: 'spin' });
    await node.counted({ done: 1, running: 0 });
    await sleep(LEASE_MS);
    expect([...node.runs(id('spin')), ...other.runs(id('spin'))]).toHaveLength(1);
  });

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
    const node = await start();
    await node.enqueue({ do: 'wait', ms: 60_000 }, { id: 'long' });
    await node.begun(id('long'));
    const killed = performance.now();
    node.server.signal('SIGKILL', node.broker);
    await node.server.waitForEvent('failed', (line) => line['code'] === 'ERR_TASK_GIVEN_UP');
    expect((await node.begun(id('long'), 2)).at - killed).toBeGreaterThan(LEASE_MS / 2);
    expect(node.runs(id('long'))).toHaveLength(2);
    await node.enqueue({ do: 'give' }, { id: 'next' });
    await node.ended(id('next'));
  });

  test('runs once more, elsewhere, when its node is killed', async () => {
    const a = await start();
    await a.enqueue({ do: 'stay', on: 'a' }, { id: 'long' });
    await a.begun(id('long'));
    const b = await start({ nodeId: 'b' });
    a.server.signalAll('SIGKILL');
    await b.ended(id('long'));
    await b.counted({ done: 1, running: 0 });
    await sleep(2 * LEASE_MS);
    expect(b.runs(id('long'))).toHaveLength(1);
  });

  test('and those that wait are there after a kill of Redis, where it keeps an append-only file', async () => {
    const node = await start({ work: { concurrency: 1 } }, { appendOnly: true });
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
});
