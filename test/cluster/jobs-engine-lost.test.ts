import { afterAll, afterEach, describe, expect, it } from 'vitest';
import type { JobQueue, RunJob } from '../../src/cluster/jobs/queue.js';
import { PACE } from '../helpers/deadline.js';
import type { EngineProcess } from '../helpers/engine-process.js';
import { eventually } from '../helpers/eventually.js';
import { JobQueues } from '../helpers/job-queues.js';
import { hasPostgres, type PostgresProcess, startPostgres } from '../helpers/postgres.js';
import { hasRedis, type RedisSettings, startRedis } from '../helpers/redis.js';
import { silentProxy } from '../helpers/silent-proxy.js';

const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
const one = { concurrency: 1 };
const down = { code: 'ERR_CLUSTER_DOWN' };
const queues = new JobQueues();
const engines: Pick<EngineProcess, 'stop'>[] = [];

afterEach(async () => {
  await queues.close();
  for (const engine of engines.splice(0)) await engine.stop();
});

async function redis(settings: RedisSettings = {}): Promise<EngineProcess> {
  const engine = await startRedis(settings);
  engines.push(engine);
  return engine;
}

/** As Redis does it by default: a second may be lost. */
const logged: RedisSettings = { appendOnly: true, settings: ['--appendfsync', 'everysec'] };

async function took(act: () => Promise<unknown>): Promise<number> {
  const began = performance.now();
  await act();
  return performance.now() - began;
}

describe.skipIf(!hasRedis)('durable jobs when Redis is lost', () => {
  it('refuses at once where nothing listens, and works as soon as something does', async () => {
    const engine = await redis();
    await engine.kill('SIGKILL');
    const queue = await queues.open({ url: engine.url, deadlineMs: 3_000 });
    const ms = await took(() => expect(queue.enqueue('q', 1)).rejects.toMatchObject(down));
    expect(ms).toBeLessThan(1_000 * PACE);
    await expect(queue.enqueueMany([{ name: 'q', data: 1 }])).rejects.toMatchObject(down);
    await expect(queue.work('q', async () => undefined, one)).rejects.toMatchObject(down);
    await expect(queue.counts('q')).rejects.toMatchObject(down);
    await expect(queue.find('q:x')).rejects.toMatchObject(down);
    await expect(queue.schedules('q')).rejects.toMatchObject(down);
    await expect(queue.removeDead('q')).rejects.toMatchObject(down);
    expect(queue.stats()).toMatchObject({ enqueued: 0, refused: 2 });
    await engine.restart();
    await eventually(async () => expect(await queue.counts('q')).toMatchObject({ waiting: 0 }));
    const seen: unknown[] = [];
    await queue.work('q', async ({ data }) => void seen.push(data), one);
    await queue.enqueue('q', 2);
    await eventually(() => expect(seen).toEqual([2]));
    expect(queues.problems.splice(0).map(({ message }) => message)).toEqual([
      expect.stringMatching(/Redis at 127.0.0.1:\d+, which is down: connect ECONNREFUSED/),
    ]);
  });

  it('refuses at the deadline when Redis is silent', async () => {
    const engine = await redis();
    const queue = await queues.open({ url: engine.url, deadlineMs: 300 });
    await queue.enqueue('q', 1);
    await engine.kill('SIGSTOP');
    const ms = await took(() => expect(queue.enqueue('q', 2, { id: 'same' })).rejects.toMatchObject(down));
    expect(ms).toBeGreaterThanOrEqual(295);
    expect(ms).toBeLessThan(300 + 500 * PACE);
    await engine.kill('SIGCONT');
    // It may have it all the same: with an id the second try is safe.
    await eventually(async () => expect(await queue.enqueue('q', 2, { id: 'same' })).toBe('q:same'));
    expect(await queue.counts('q')).toMatchObject({ waiting: 2 });
  });

  it('takes jobs again, and ends those under way, when its connections were cut off without a word', async () => {
    const engine = await redis();
    const proxy = await silentProxy(engine.port);
    engines.push({ stop: async () => proxy.close() });
    const far = await queues.open({ url: `redis://127.0.0.1:${proxy.port}`, deadlineMs: 300 });
    const near = await queues.open({ url: engine.url });
    const ran: unknown[] = [];
    let end = (): void => {};
    const ended = new Promise<void>((resolve) => (end = resolve));
    const run: RunJob = async ({ data }) => {
      ran.push(data);
      if (data === 'long') await ended;
    };
    await far.work('q', run, { concurrency: 2, leaseMs: 60_000 });
    await near.enqueue('q', 'long');
    await eventually(() => expect(ran).toEqual(['long']));
    proxy.cut();
    end();
    await near.enqueue('q', 'after');
    await eventually(() => expect(ran).toEqual(['long', 'after']));
    await eventually(async () => expect(await near.counts('q')).toMatchObject({ running: 0, waiting: 0, done: 2 }));
    queues.problems.splice(0);
  });

  it('carries out nothing that was enqueued after a silent Redis was given up', async () => {
    const engine = await redis();
    const queue = await queues.open({ url: engine.url, deadlineMs: 300 });
    await queue.enqueue('q', 'first');
    await engine.kill('SIGSTOP');
    await expect(queue.enqueue('q', 'lost')).rejects.toMatchObject(down);
    await eventually(async () => {
      // From now on it is known to be down, and nothing waits.
      const ms = await took(() => expect(queue.enqueue('q', 'between')).rejects.toThrow('which is down'));
      expect(ms).toBeLessThan(200 * PACE);
    });
    for (let nth = 0; nth < 100; nth++) await expect(queue.enqueue('q', 'late')).rejects.toMatchObject(down);
    await engine.kill('SIGCONT');
    await eventually(async () => expect(await queue.enqueue('q', 'back', { id: 'back' })).toBe('q:back'));
    const jobs = await (await queues.reader(engine.url, 'q')).getWaiting();
    expect(jobs.map(({ data }) => data).filter((data) => data === 'late')).toEqual([]);
    queues.problems.splice(0);
  });

  it('keeps a bounded part of what Redis does not take, and refuses the rest', async () => {
    const engine = await redis();
    const queue = await queues.open({ url: engine.url, deadlineMs: 2_000, maxJobBytes: 9 * 2 ** 20 });
    await queue.enqueue('q', 'first');
    await engine.kill('SIGSTOP');
    const data = 'x'.repeat(8 * 2 ** 20);
    const tries = Array.from({ length: 12 }, () => queue.enqueue('q', data).catch(({ code }) => code));
    const codes = await Promise.all(tries);
    expect(codes.filter((code) => code === 'ERR_CLUSTER_FULL').length).toBe(4);
    expect(codes.filter((code) => code === down.code).length).toBe(8);
    await engine.kill('SIGCONT');
    // What was refused holds nothing.
    await eventually(async () => expect(await queue.enqueue('q', data, { id: 'big' })).toBe('q:big'));
    queues.problems.splice(0);
  });

  it('listens to its connection no more with each call that waits for it', async () => {
    const warnings: Error[] = [];
    const listen = (warning: Error) => warnings.push(warning);
    process.on('warning', listen);
    const engine = await redis();
    const queue = await queues.open({ url: engine.url });
    await Promise.all(Array.from({ length: 20 }, (_, data) => queue.enqueue('q', data)));
    process.off('warning', listen);
    expect(warnings).toEqual([]);
  });

  it('with its log nothing older than a second is lost by kill -9, and workers go on', async () => {
    const engine = await redis(logged);
    const [queue, other] = (await queues.openMany(2, { url: engine.url })) as [JobQueue, JobQueue];
    await queue.enqueueMany(Array.from({ length: 50 }, (_, data) => ({ name: 'q', data })));
    await sleep(1_500); // Redis writes its log once a second: what is older has to be there
    const runs = new Map<unknown, number>();
    const run: RunJob = async ({ data }) => {
      runs.set(data, (runs.get(data) ?? 0) + 1);
      await sleep(20);
    };
    await other.work('q', run, { concurrency: 2, leaseMs: 2_000 });
    await eventually(() => expect(runs.size).toBeGreaterThan(10));
    await engine.kill('SIGKILL');
    await eventually(() => expect(queue.enqueue('q', 'refused')).rejects.toMatchObject(down));
    await engine.restart();
    await eventually(async () => expect(await queue.counts('q')).toMatchObject({ waiting: 0, running: 0 }));
    await queue.enqueue('q', 'after');
    await eventually(() => expect(runs.get('after')).toBe(1));
    expect(runs.has('refused')).toBe(false);
    for (let data = 0; data < 50; data++) expect(runs.get(data)).toBeGreaterThanOrEqual(1);
    // Whose end was in the second that Redis lost runs again: so much, and no more.
    const twice = [...runs.values()].reduce((sum, times) => sum + times - 1, 0);
    expect(twice).toBeLessThanOrEqual(50);
    queues.problems.splice(0);
  });

  it('without its log every job is lost by kill -9, as is said, and workers go on with new ones', async () => {
    const engine = await redis();
    const queue = await queues.open({ url: engine.url });
    await queue.enqueueMany(Array.from({ length: 10 }, (_, data) => ({ name: 'idle', data })));
    const seen: unknown[] = [];
    await queue.work('q', async ({ data }) => void seen.push(data), one);
    await queue.enqueue('q', 1);
    await eventually(() => expect(seen).toEqual([1]));
    await engine.restart();
    await eventually(async () => expect(await queue.counts('idle')).toMatchObject({ waiting: 0 }));
    await queue.enqueueMany([2, 3].map((data) => ({ name: 'q', data })));
    await eventually(() => expect(seen).toEqual([1, 2, 3]));
    expect(queues.problems.splice(0).map(({ message }) => message)).toContainEqual(
      expect.stringContaining('which is down: the connection was closed'),
    );
  });

  it('a run that outlasts a restart of Redis is recorded, and runs once', async () => {
    const engine = await redis({ appendOnly: true });
    const queue = await queues.open({ url: engine.url });
    let runs = 0;
    let end: () => void = () => {};
    const run: RunJob = () => {
      runs++;
      return new Promise<void>((resolve) => (end = resolve));
    };
    await queue.work('q', run, { concurrency: 1, leaseMs: 6_000 });
    await queue.enqueue('q', 1);
    await eventually(() => expect(runs).toBe(1));
    await engine.restart();
    end();
    await eventually(async () => expect(await queue.counts('q')).toMatchObject({ done: 1, running: 0 }));
    expect(runs).toBe(1);
    await eventually(() => expect(queue.stats()).toMatchObject({ done: 1, leaseLost: 0 })); // the engine knows it first
    queues.problems.splice(0);
  });

  it('a run whose lease could not be renewed in time is told so, and runs again once Redis is back', async () => {
    const engine = await redis({ appendOnly: true });
    const queue = await queues.open({ url: engine.url });
    const seen: [number, unknown][] = [];
    const run: RunJob = async ({ attempt, signal }) => {
      if (attempt === 1) await new Promise((resolve) => signal.addEventListener('abort', resolve));
      seen.push([attempt, Reflect.get(Object(signal.reason), 'code')]);
    };
    await queue.work('q', run, { concurrency: 1, leaseMs: 1_000 });
    await queue.enqueue('q', 1);
    await eventually(() => expect(queue.stats().running).toBe(1));
    await engine.kill('SIGKILL');
    await eventually(() => expect(seen).toEqual([[1, 'ERR_JOB_LEASE_LOST']]));
    await engine.restart();
    await eventually(async () => expect(await queue.counts('q')).toMatchObject({ done: 1, running: 0 }));
    expect(seen.slice(1)).toEqual([[2, undefined]]);
    await eventually(() => expect(queue.stats()).toMatchObject({ done: 1, leaseLost: 1 })); // the engine knows it first
    queues.problems.splice(0);
  });

  it('a delayed job that is due while everything is down runs once when it is up again', async () => {
    const engine = await redis({ appendOnly: true });
    const former = await queues.open({ url: engine.url });
    await former.enqueue('q', 1, { delayMs: 500 });
    await former.close(0);
    await engine.kill('SIGKILL');
    await sleep(1_000); // the time at which it is due goes by
    await engine.restart();
    const queue = await queues.open({ url: engine.url });
    let runs = 0;
    await queue.work('q', async () => runs++, one);
    await eventually(() => expect(runs).toBe(1));
    await queue.enqueue('q', 2); // a second run of the first would come before it
    await eventually(async () => expect(await queue.counts('q')).toMatchObject({ done: 2, waiting: 0, delayed: 0 }));
    expect(runs).toBe(2);
  });

  it('closes in bounded time while Redis is gone, and refuses afterwards', async () => {
    const engine = await redis();
    const queue = await queues.open({ url: engine.url, deadlineMs: 500 });
    let begun = 0;
    const run: RunJob = async () => {
      begun++;
      await new Promise(() => {}); // never
    };
    await queue.work('q', run, one);
    await queue.enqueue('q', 1);
    await eventually(() => expect(begun).toBe(1));
    await engine.kill('SIGKILL');
    expect(await took(() => queue.close(200))).toBeLessThan(200 + 2_500 * PACE);
    await expect(queue.enqueue('q', 1)).rejects.toMatchObject(down);
    queues.problems.splice(0);
  });

  it.each([
    ['there', false],
    ['gone', true],
  ])('leaves nothing that would keep its process, Redis being %s', async (_, isGone) => {
    const engine = await redis();
    const child = queues.spawnScript('job-closes.js', [engine.url]);
    await child.line('ready');
    if (isGone) await engine.kill('SIGKILL');
    child.child.stdin?.write('close');
    await child.line('closed');
    await eventually(() => expect(child.child.exitCode).toBe(0));
  });

  it('names no password in any error', async () => {
    const password = 'geheim%40' as const;
    const engine = await redis({ settings: ['--requirepass', 'geheim@'] });
    const url = engine.url.replace('redis://', `redis://:${password}@`);
    const queue = await queues.open({ url });
    expect(await queue.enqueue('q', 1, { id: '1' })).toBe('q:1');
    const wrong = await queues.open({ url: engine.url, username: 'default', password: 'wr0ng-secret' });
    const none = await queues.open({ url: engine.url.replace('redis://', 'redis://me:pass-in-url@') });
    const bare = await queues.open({ url: engine.url.replace('redis://', 'redis://:geheim100%@') });
    const errors = await Promise.all(
      [wrong, none, bare].map((each) => each.enqueue('q', 1).catch((error: unknown) => error)),
    );
    for (const error of [...errors, ...queues.problems.splice(0)]) {
      expect(error).toMatchObject(down);
      const all = `${JSON.stringify(error)} ${Reflect.get(Object(error), 'stack')} ${Reflect.get(Object(error), 'cause')}`;
      expect(all).not.toMatch(/wr0ng-secret|pass-in-url|geheim/);
    }
    await expect(queues.open({ url: 'redis://:geh eim@[x' })).rejects.toThrow('received no URL');
    await expect(queues.open({ url: 'http://a:geheim@b' })).rejects.toThrow('received a URL of http:');
  });
});

describe.skipIf(!hasPostgres)('durable jobs when PostgreSQL is lost', () => {
  /** To make one takes long: all tests have the same, each with prefixes of its own. */
  let lasting: PostgresProcess | undefined;
  const end = async () => {
    await lasting?.stop();
    lasting = undefined;
  };
  afterEach(async ({ task }) => {
    if (task.result?.state === 'fail') await end(); // it may be gone
  });
  afterAll(end);

  const postgres = async (): Promise<PostgresProcess> => (lasting ??= await startPostgres());

  it('refuses while it is gone, loses nothing that was enqueued, and workers go on', async () => {
    const engine = await postgres();
    const queue = await queues.open({ url: engine.url, deadlineMs: 2_000, prefix: 'workers' });
    const runs = new Map<unknown, number>();
    const run: RunJob = async ({ data }) => {
      runs.set(data, (runs.get(data) ?? 0) + 1);
      await sleep(30);
    };
    await queue.work('q', run, { concurrency: 2, leaseMs: 2_000 });
    await queue.enqueueMany(Array.from({ length: 50 }, (_, data) => ({ name: 'q', data })));
    await eventually(() => expect(runs.size).toBeGreaterThan(10));
    await engine.kill();
    await expect(queue.enqueue('q', 'refused')).rejects.toMatchObject(down);
    await engine.restart();
    await eventually(async () => expect(await queue.counts('q')).toMatchObject({ waiting: 0, running: 0, dead: 0 }));
    await queue.enqueue('q', 'after');
    await eventually(() => expect(runs.get('after')).toBe(1));
    expect(runs.has('refused')).toBe(false);
    expect(runs.size).toBe(51);
    queues.problems.splice(0);
  });

  it('keeps prefixes apart that differ in punctuation alone: the second one is refused, and told whose the schema is', async () => {
    const engine = await postgres();
    const [first, same, other] = await Promise.all(
      ['my-app', 'my-app', 'myapp'].map((prefix) => queues.open({ url: engine.url, prefix })),
    );
    await first!.enqueue('q', 1);
    await same!.enqueue('q', 2);
    await other!.enqueue('q', 3);
    for (const prefix of ['my.app', 'my_app']) {
      const second = await queues.open({ url: engine.url, prefix });
      const refused = {
        code: 'ERR_JOB_OPTION',
        message: expect.stringContaining('PostgreSQL has the jobs of "my-app" in the schema my_app_jobs already'),
      };
      await expect(second.enqueue('q', 4)).rejects.toMatchObject(refused);
      await expect(second.work('q', async () => undefined, one)).rejects.toMatchObject(refused);
    }
    expect(await first!.counts('q')).toMatchObject({ waiting: 2 });
    queues.problems.splice(0);
  });

  it('can be opened before it is there', async () => {
    const engine = await postgres();
    await engine.kill();
    const queue = await queues.open({ url: engine.url, deadlineMs: 2_000, prefix: 'early' });
    await expect(queue.enqueue('q', 1)).rejects.toMatchObject(down);
    await engine.restart();
    await eventually(async () => expect(await queue.enqueue('q', 1, { id: 'a' })).toBe('q:a'));
    queues.problems.splice(0);
  });
});
