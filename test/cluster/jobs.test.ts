import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import type { JobQueue, RunJob } from '../../src/cluster/jobs/queue.js';
import { deferred } from '../../src/util/deferred.js';
import { PACE } from '../helpers/deadline.js';
import { eventually } from '../helpers/eventually.js';
import { JobQueues } from '../helpers/job-queues.js';
import { hasPostgres, startPostgres } from '../helpers/postgres.js';
import { hasRedis, startRedis } from '../helpers/redis.js';

const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
const one = { concurrency: 1 };
/** The shortest, longer where the machine stalls. */
const leaseMs = Math.ceil(1_000 * PACE);

const engines = [
  { engine: 'Redis', isHere: hasRedis, start: startRedis },
  { engine: 'PostgreSQL', isHere: hasPostgres, start: startPostgres },
];

describe.each(engines.filter(({ isHere }) => !isHere))('durable jobs on $engine', () => {
  it.skip('its server is not installed', () => {});
});

/** What both engines promise. Each test has a queue of its own, so that none sees another's jobs. */
describe.each(engines.filter(({ isHere }) => isHere))('durable jobs on $engine', ({ start }) => {
  const queues = new JobQueues();
  let engine: Awaited<ReturnType<typeof start>>;
  let name: string;
  let count = 0;
  let queue: JobQueue;

  beforeAll(async () => {
    engine = await start();
  });
  afterEach(() => queues.close());
  afterAll(() => engine.stop());

  const test = (title: string, body: () => Promise<void>) =>
    it(title, async () => {
      name = `q${count++}`;
      queue = await queues.open({ url: engine.url });
      await body();
    });

  test('the urgent run before the less urgent, and those without priority before all', async () => {
    for (const priority of [30, 10, 20]) await queue.enqueue(name, priority, { priority });
    await queue.enqueue(name, 0);
    const order: unknown[] = [];
    await queue.work(name, async ({ data }) => void order.push(data), one);
    await eventually(() => expect(order).toEqual([0, 10, 20, 30]));
  });

  test('a delayed job runs after its delay, and others before it', async () => {
    const began = Date.now();
    const at: Record<string, number> = {};
    const run: RunJob = async ({ data }) => {
      at[String(data)] = Date.now() - began;
    };
    await queue.work(name, run, one);
    await queue.enqueueMany([
      { name, data: 'late', delayMs: 600 },
      { name, data: 'now' },
    ]);
    expect(await queue.counts(name)).toMatchObject({ delayed: 1 });
    await eventually(() => expect(at).toHaveProperty('late'));
    expect(at['late']).toBeGreaterThanOrEqual(595);
    expect(at['now']).toBeLessThan(at['late'] as number);
  });

  test('a failing job is tried again after doubling pauses, and is dead after the last attempt', async () => {
    const attempts: number[] = [];
    const run: RunJob = async ({ attempt }) => {
      attempts.push(attempt);
      throw new Error(`attempt ${attempt} failed`);
    };
    await queue.work(name, run, one);
    const backoff = { type: 'exponential', delayMs: 60_000, maxDelayMs: 90_000 } as const;
    const id = await queue.enqueue(name, { poison: true }, { attempts: 4, backoff });
    const engineQueue = await queues.reader(engine.url, name);
    for (const [nth, pauseMs] of [60_000, 90_000, 90_000].entries()) {
      await eventually(async () => expect(await engineQueue.getDelayed()).toMatchObject([{ delay: pauseMs }]));
      expect(attempts).toHaveLength(nth + 1);
      await (await engineQueue.getDelayed())[0]?.promote();
    }
    await eventually(async () => expect(await queue.counts(name)).toMatchObject({ dead: 1, running: 0 }));
    expect(attempts).toEqual([1, 2, 3, 4]);
    const [dead] = await queue.dead(name);
    expect(dead).toMatchObject({ id, state: 'dead', data: { poison: true }, attemptsMade: 4, attempts: 4 });
    expect(dead?.reason).toBe('attempt 4 failed');
    await eventually(() => expect(queue.stats()).toMatchObject({ failed: 4, done: 0 })); // the engine knows it first
  });

  test('a job is removed where it waits, is delayed, done or dead, and its id is free again; not while it is under way', async () => {
    const ids = {
      waiting: await queue.enqueue(name, 'waiting', { id: 'waits' }),
      delayed: await queue.enqueue(name, 'delayed', { delayMs: 60_000 }),
    };
    expect([await queue.remove(ids.waiting), await queue.remove(ids.delayed)]).toEqual([true, true]);
    expect([await queue.remove(ids.waiting), await queue.remove(`${name}:nowhere`)]).toEqual([false, false]);
    expect(await queue.counts(name)).toMatchObject({ waiting: 0, delayed: 0 });
    const ended = deferred<void>();
    const run: RunJob = async ({ data }) => {
      if (data === 'dead') throw new Error('no');
      if (data === 'running') await ended.promise;
    };
    await queue.work(name, run, { concurrency: 3 });
    const done = await queue.enqueue(name, 'done', { id: 'waits' });
    const dead = await queue.enqueue(name, 'dead');
    const running = await queue.enqueue(name, 'running');
    await eventually(async () => expect(await queue.counts(name)).toMatchObject({ done: 1, dead: 1, running: 1 }));
    await expect(queue.remove(running)).rejects.toMatchObject({
      code: 'ERR_JOB_NOT_REMOVED',
      detail: { why: 'it is under way' },
    });
    expect([await queue.remove(done), await queue.remove(dead)]).toEqual([true, true]);
    ended.resolve();
    await eventually(async () => expect(await queue.counts(name)).toMatchObject({ done: 1, dead: 0, running: 0 }));
  });

  test('the next tick of a schedule is not removed, which would end the schedule', async () => {
    await queue.schedule('tick', { everyMs: 3_600_000 }, { name, data: 'tick' });
    const engineQueue = await queues.reader(engine.url, name);
    const [next] = await engineQueue.getJobs(['delayed', 'waiting']);
    await expect(queue.remove(`${name}:${next?.id}`)).rejects.toMatchObject({
      code: 'ERR_JOB_NOT_REMOVED',
      detail: { why: 'it is the next tick of a schedule' },
    });
    expect(await queue.unschedule(name, 'tick')).toBe(true);
  });

  test('the reason of a dead job has the causes too, each once, and its stack theirs', async () => {
    const refused = Object.assign(new AggregateError([], ''), { code: 'ECONNREFUSED' });
    const run: RunJob = async () => {
      const cause = new Error('cannot ask 127.0.0.1:80', { cause: refused });
      throw new TypeError('fetch failed', { cause: new Error('fetch failed', { cause }) });
    };
    await queue.work(name, run, one);
    await queue.enqueue(name, 0);
    await eventually(async () => expect(await queue.dead(name)).toHaveLength(1));
    const [dead] = await queue.dead(name);
    expect(dead?.reason).toBe('fetch failed: cannot ask 127.0.0.1:80: ECONNREFUSED');
    expect(dead?.stack).toMatch(/^TypeError: fetch failed\n[\s\S]*\n\[cause\]: Error: cannot ask 127.0.0.1:80\n/);
  });

  test('a pause between attempts is waited for', async () => {
    const at: number[] = [];
    const run: RunJob = async () => {
      at.push(Date.now());
      throw new Error('again');
    };
    await queue.work(name, run, one);
    await queue.enqueue(name, 0, { attempts: 3, backoff: { type: 'exponential', delayMs: 200 } });
    await eventually(() => expect(at).toHaveLength(3));
    const pauses = at.slice(1).map((time, nth) => time - (at[nth] as number));
    for (const [nth, least] of [200, 400].entries()) expect(pauses[nth]).toBeGreaterThanOrEqual(least - 5);
  });

  test('jitter takes part of a fixed pause away', async () => {
    const at: number[] = [];
    const backoff = { type: 'fixed', delayMs: 400, jitter: 1 } as const;
    await queue.enqueue(name, 0, { attempts: 6, backoff });
    await queue.work(
      name,
      async () => {
        at.push(Date.now());
        throw new Error('again');
      },
      one,
    );
    await eventually(() => expect(at).toHaveLength(6));
    const pauses = at.slice(1).map((time, nth) => time - (at[nth] as number));
    expect(new Set(pauses).size).toBeGreaterThan(1);
    expect(Math.min(...pauses)).toBeLessThan(400);
  });

  test('a dead job that is retried runs with all its attempts; one that is not dead is refused', async () => {
    let broken = true;
    const seen: number[] = [];
    await queue.work(
      name,
      async ({ attempt }) => {
        seen.push(attempt);
        if (broken) throw new Error('broken');
      },
      one,
    );
    const id = await queue.enqueue(name, 0, { attempts: 2 });
    await eventually(async () => expect(await queue.dead(name)).toHaveLength(1));
    broken = false;
    await queue.retry(id);
    await eventually(async () => expect(await queue.counts(name)).toMatchObject({ done: 1, dead: 0 }));
    expect(seen).toEqual([1, 2, 1]);
    await expect(queue.retry(id)).rejects.toMatchObject({ code: 'ERR_JOB_NOT_DEAD' });
    await expect(queue.retry(`${name}:nowhere`)).rejects.toMatchObject({ code: 'ERR_JOB_NOT_DEAD' });
  });

  test('a known id gives the same id and does not run twice, before and after its run', async () => {
    const other = await queues.open({ url: engine.url });
    const ids = ['7', 'a:b:c', '0', 'ü %3A', 'x'.repeat(256)];
    const first = await Promise.all(ids.map((id) => queue.enqueue(name, id, { id })));
    expect(first).toEqual(ids.map((id) => `${name}:${id}`));
    expect(await other.enqueueMany(ids.map((id) => ({ name, data: 'other', id })))).toEqual(first);
    const seen: unknown[] = [];
    await queue.work(name, async ({ id, data }) => void seen.push([id, data]), { concurrency: 3 });
    await eventually(() => expect(seen).toHaveLength(ids.length));
    await eventually(async () => expect(await queue.counts(name)).toMatchObject({ done: ids.length }));
    expect(await queue.enqueue(name, 'again', { id: '7' })).toBe(`${name}:7`);
    await queue.enqueue(name, 'last', { id: 'last' }); // what ran again would have begun before it
    await eventually(() => expect(seen).toContainEqual([`${name}:last`, 'last']));
    expect(seen.toSorted()).toEqual([...ids, 'last'].map((id) => [`${name}:${id}`, id]).toSorted());
  });

  test('five queues with one cron rule run it once a tick, until it is unscheduled', async () => {
    const all = await queues.openMany(5, { url: engine.url });
    const seen: string[] = [];
    for (const each of all) await each.work(name, async ({ id }) => void seen.push(id), one);
    await Promise.all(all.map((each) => each.schedule('k:1', { cron: '* * * * * *', tz: 'UTC' }, { name, data: 1 })));
    await eventually(() => expect(seen.length).toBeGreaterThanOrEqual(4));
    expect(await queue.unschedule(name, 'k:1')).toBe(true);
    expect(await queue.unschedule(name, 'k:1')).toBe(false);
    const ticks = seen.map((id) => Number(id.split(':').at(-1)));
    expect(new Set(ticks).size).toBe(ticks.length);
    for (const [nth, tick] of ticks.slice(1).entries()) expect(tick - (ticks[nth] as number)).toBe(1000);
    const later = await queue.enqueue(name, 'later', { delayMs: 1500 }); // behind a tick and a half
    await eventually(() => expect(seen).toContain(later));
    expect(seen.length - 1 - ticks.length).toBeLessThanOrEqual(1);
  });

  test('a tick runs once, although a node whose clock is behind schedules again, the same and another job', async () => {
    const behind = await queues.open({ url: engine.url });
    const seen: [number, unknown][] = [];
    const run: RunJob = async ({ id, data }) => void seen.push([Number(id.split(':').at(-1)), data]);
    await queue.work(name, run, one);
    const rule = { cron: '* * * * * *', tz: 'UTC' };
    await queue.schedule('k', rule, { name, data: 'old' });
    for (const data of ['old', 'new']) {
      const before = seen.length;
      await eventually(() => expect(seen.length).toBeGreaterThan(before));
      const clock = vi.spyOn(Date, 'now').mockReturnValue((seen.at(-1)?.[0] ?? 0) - 500);
      await behind.schedule('k', rule, { name, data }).finally(() => clock.mockRestore());
    }
    await eventually(() => expect(seen.filter(([, data]) => data === 'new').length).toBeGreaterThanOrEqual(2));
    await queue.unschedule(name, 'k');
    // The worker here sees that clock too, and may sleep over a tick.
    const ticks = seen.map(([tick]) => tick);
    expect(ticks).toEqual([...new Set(ticks)].toSorted());
    const last = seen.findIndex(([, data]) => data === 'new');
    expect(new Set(seen.slice(last).map(([, data]) => data))).toEqual(new Set(['new']));
  });

  test('a tick that was missed while nobody worked runs once, although a node that starts schedules again', async () => {
    const rule = { cron: '* * * * * *', tz: 'UTC' };
    const job = { name, data: 0 };
    await queue.schedule('k', rule, job);
    const [first] = await (await queues.reader(engine.url, name)).getDelayed();
    const due = Number(first?.id?.split(':').at(-1));
    await sleep(due + 1_100 - Date.now()); // it is due, and so is the one behind it
    await queue.schedule('k', rule, job);
    const seen: number[] = [];
    await queue.work(name, async ({ id }) => void seen.push(Number(id.split(':').at(-1))), one);
    await eventually(() => expect(seen.length).toBeGreaterThanOrEqual(2));
    await queue.unschedule(name, 'k');
    expect(seen[0]).toBe(due);
    expect(seen[1]).toBeGreaterThan(due + 1_000);
  });

  test('a schedule of every 300 ms is replaced by its key, and one of nonsense is refused', async () => {
    const seen: unknown[] = [];
    await queue.work(name, async ({ data }) => void seen.push(data), one);
    await queue.schedule('tick', { everyMs: 300 }, { name, data: 'old' });
    await eventually(() => expect(seen.length).toBeGreaterThanOrEqual(2));
    await queue.schedule('tick', { everyMs: 300 }, { name, data: 'new' });
    await eventually(() => expect(seen.slice(-2)).toEqual(['new', 'new']));
    expect(seen.lastIndexOf('old')).toBeLessThan(seen.indexOf('new'));
    for (const cron of ['nonsense', '99 * * * *', '* * * *', '0 0 31 2 *', '0 0 31 4,6 *']) {
      await expect(queue.schedule('bad', { cron }, { name, data: 0 })).rejects.toMatchObject({
        code: 'ERR_JOB_OPTION',
        detail: { name: 'cron' },
      });
    }
    await expect(queue.schedule('bad', { cron: '* * * * *', tz: 'Mars/Base' }, { name, data: 0 })).rejects.toThrow(
      'Europe/Berlin',
    );
  });

  test('a rate holds over two instances', async () => {
    const other = await queues.open({ url: engine.url });
    await queue.enqueueMany(Array.from({ length: 25 }, () => ({ name, data: 0 })));
    const at: number[] = [];
    const rate = { perSecond: 10 };
    const began = Date.now();
    for (const each of [queue, other]) {
      await each.work(name, async () => void at.push(Date.now()), { concurrency: 5, rate });
    }
    await eventually(() => expect(at).toHaveLength(25));
    // A window of the engine begins with the first start in it, which is seen here later by as much as the machine is busy:
    // so the windows are counted from before the first one.
    for (const nth of [10, 20]) expect((at[nth] as number) - began).toBeGreaterThanOrEqual(100 * nth - 5);
    expect((at[24] as number) - began).toBeLessThan(4000 * PACE);
  });

  test('a run of three leases runs once: the lease is renewed meanwhile', async () => {
    const [first, second] = (await queues.openMany(2, { url: engine.url })) as [JobQueue, JobQueue];
    let runs = 0;
    const run: RunJob = async () => {
      runs++;
      await sleep(3.5 * leaseMs);
    };
    for (const each of [first, second]) await each.work(name, run, { concurrency: 2, leaseMs });
    await queue.enqueue(name, 0);
    await eventually(async () => expect(await queue.counts(name)).toMatchObject({ done: 1 }));
    expect(runs).toBe(1);
    expect(first.stats().leaseLost + second.stats().leaseLost).toBe(0);
  });

  test('a worker that is stopped loses its lease: one more run elsewhere, and its own end counts for nothing', async () => {
    const stopped = await queues.spawn(engine.url, name, leaseMs);
    const id = await queue.enqueue(name, { ms: 1.5 * leaseMs });
    await stopped.line(`began ${id}`);
    stopped.child.kill('SIGSTOP');
    const runs: string[] = [];
    await queue.work(name, async (job) => void runs.push(`${job.id} ${job.attempt}`), { concurrency: 1, leaseMs });
    await eventually(async () => expect(await queue.counts(name)).toMatchObject({ done: 1, running: 0 }));
    stopped.child.kill('SIGCONT');
    await stopped.line(`aborted ${id} ERR_JOB_LEASE_LOST`);
    await stopped.line(`ended ${id}`);
    await stopped.line('stats {"enqueued":0,"refused":0,"running":0,"done":0,"failed":0,"leaseLost":1');
    // A further run of the first would begin before this one, which either process may take.
    const last = await queue.enqueue(name, { ms: 0 });
    await eventually(async () => expect(await queue.counts(name)).toMatchObject({ done: 2, waiting: 0, running: 0 }));
    const there = stopped.lines.filter((line) => line.startsWith('began'));
    expect([...runs, ...there].filter((line) => !line.includes(last))).toEqual([`${id} 2`, `began ${id}`]);
    expect([...runs, ...there]).toHaveLength(3);
    expect(await queue.counts(name)).toMatchObject({ done: 2, dead: 0, waiting: 0, running: 0 });
  });

  test('a worker that is killed loses its lease: exactly one more run', async () => {
    const killed = await queues.spawn(engine.url, name, leaseMs);
    const id = await queue.enqueue(name, { ms: 60_000 });
    await killed.line(`began ${id}`);
    killed.child.kill('SIGKILL');
    let runs = 0;
    await queue.work(name, async () => runs++, { concurrency: 1, leaseMs });
    await eventually(async () => expect(await queue.counts(name)).toMatchObject({ done: 1 }));
    await sleep(1.5 * leaseMs);
    expect(runs).toBe(1);
  });

  test('a job that ends its worker each time is dead after so many lost leases', async () => {
    const id = await queue.enqueue(name, { ms: 60_000 });
    for (let times = 0; times < 2; times++) {
      const killed = await queues.spawn(engine.url, name, leaseMs);
      await killed.line(`began ${id}`);
      killed.child.kill('SIGKILL');
    }
    let runs = 0;
    await queue.work(name, async () => runs++, { concurrency: 1, leaseMs, maxLeaseLosses: 1 });
    await eventually(async () => expect(await queue.dead(name)).toMatchObject([{ id }]));
    expect(runs).toBe(0);
  });

  test('closing waits for what ends in time, and gives the rest back to another at once', async () => {
    const leaving = await queues.open({ url: engine.url });
    const aborted: unknown[] = [];
    const run: RunJob = async ({ data, signal }) => {
      signal.addEventListener('abort', () => aborted.push([data, Reflect.get(signal.reason, 'code')]));
      await sleep(data as number);
    };
    const worker = await leaving.work(name, run, { concurrency: 2, leaseMs: 60_000 });
    await queue.enqueueMany([300, 60_000].map((data) => ({ name, data })));
    await eventually(() => expect(leaving.stats().running).toBe(2));
    const taken: unknown[] = [];
    await queue.work(name, async ({ data }) => void taken.push(data), { concurrency: 2, leaseMs: 60_000 });
    const began = Date.now();
    await worker.close(800);
    expect(Date.now() - began).toBeGreaterThanOrEqual(795);
    await eventually(() => expect(taken).toEqual([60_000]));
    expect(Date.now() - began).toBeLessThan(800 + 4_000 * PACE);
    expect(aborted).toEqual([[60_000, 'ERR_JOB_GIVEN_BACK']]);
    expect(leaving.stats()).toMatchObject({ done: 1, givenBack: 1, leaseLost: 0, running: 0 });
    // It takes no more.
    await queue.enqueueMany(Array.from({ length: 10 }, () => ({ name, data: 0 })));
    await eventually(() => expect(taken).toHaveLength(11));
  });

  test('no more run at a time than the concurrency allows', async () => {
    let now = 0;
    let most = 0;
    const run: RunJob = async () => {
      most = Math.max(most, ++now);
      await sleep(20);
      now--;
    };
    await queue.work(name, run, { concurrency: 4 });
    await queue.enqueueMany(Array.from({ length: 40 }, () => ({ name, data: 0 })));
    await eventually(async () => expect(await queue.counts(name)).toMatchObject({ done: 40 }));
    expect(most).toBe(4);
  });

  test('a thousand jobs over three instances run exactly once each', async () => {
    const all = await queues.openMany(3, { url: engine.url });
    const runs = new Map<unknown, number>();
    for (const each of all) {
      const run: RunJob = async ({ data }) => void runs.set(data, (runs.get(data) ?? 0) + 1);
      await each.work(name, run, { concurrency: 20 });
    }
    for (let at = 0; at < 1000; at += 100) {
      await queue.enqueueMany(Array.from({ length: 100 }, (_, nth) => ({ name, data: at + nth })));
    }
    await eventually(async () => expect(await queue.counts(name)).toMatchObject({ done: 1000, waiting: 0 }));
    expect(runs.size).toBe(1000);
    expect([...runs.values()].every((times) => times === 1)).toBe(true);
    expect(all.reduce((sum, each) => sum + each.stats().leaseLost, 0)).toBe(0);
  });

  test('so many ended jobs are kept as the jobs say', async () => {
    await queue.work(
      name,
      async ({ data }) => {
        if (data === 'bad') throw new Error('bad');
      },
      one,
    );
    const keep = { done: 2, dead: 3 };
    const all = Array.from({ length: 20 }, (_, nth) => ({ name, data: nth % 2 === 0 ? 'good' : 'bad', keep }));
    await queue.enqueueMany(all);
    await eventually(() => expect(queue.stats()).toMatchObject({ done: 10, failed: 10 }));
    expect(await queue.counts(name)).toMatchObject({ done: 2, dead: 3 });
    expect(await queue.dead(name, { offset: 1, limit: 5 })).toHaveLength(2);
  });
});
