import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { listSchedules } from '../../src/cluster/jobs/list-schedules.js';
import type { JobQueue, RunJob } from '../../src/cluster/jobs/queue.js';
import { deferred } from '../../src/util/deferred.js';
import { eventually } from '../helpers/eventually.js';
import { JobQueues } from '../helpers/job-queues.js';
import { hasPostgres, startPostgres } from '../helpers/postgres.js';
import { hasRedis, startRedis } from '../helpers/redis.js';

const engines = [
  { engine: 'Redis', isHere: hasRedis, start: startRedis },
  { engine: 'PostgreSQL', isHere: hasPostgres, start: startPostgres },
];

describe.each(engines.filter(({ isHere }) => !isHere))('what is seen of durable jobs on $engine', () => {
  it.skip('its server is not installed', () => {});
});

/** Each test has a queue of its own, so that none sees another's jobs. */
describe.each(engines.filter(({ isHere }) => isHere))('what is seen of durable jobs on $engine', ({ start }) => {
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

  test('a job is found where it waits, is delayed, runs, is done with its result, or dead with its reason', async () => {
    const ended = deferred<void>();
    const run: RunJob = async ({ data, attempt }) => {
      if (data === 'dead' || attempt === 1) throw new Error(`no at ${attempt}`);
      await ended.promise;
      return { n: [1, null] };
    };
    const id = await queue.enqueue(name, 'done', { id: 'a:b', attempts: 2, priority: 3 });
    const later = await queue.enqueue(name, 'later', { delayMs: 3_600_000 });
    const before = await queue.find(id);
    expect(before).toEqual({
      ...{ id, name, state: 'waiting', data: 'done', attemptsMade: 0, attempts: 2 },
      enqueuedAt: expect.any(Number),
    });
    expect(await queue.find(later)).toMatchObject({ state: 'delayed', data: 'later' });

    const dead = await queue.enqueue(name, 'dead', { id: 'dead' });
    await queue.work(name, run, { concurrency: 1 });
    await eventually(async () => expect(await queue.find(id)).toMatchObject({ state: 'running', attemptsMade: 1 }));
    const running = await queue.find(id);
    expect(running).toMatchObject({ startedAt: expect.any(Number), reason: 'no at 1' });
    expect(running).not.toHaveProperty('endedAt');
    expect(running).not.toHaveProperty('result');
    ended.resolve();
    await eventually(async () => expect(await queue.find(id)).toMatchObject({ state: 'done' }));
    expect(await queue.find(id)).toEqual({
      ...{ id, name, state: 'done', data: 'done', attemptsMade: 2, attempts: 2, result: { n: [1, null] } },
      ...{ enqueuedAt: before?.enqueuedAt, startedAt: expect.any(Number), endedAt: expect.any(Number) },
    });
    await eventually(async () => expect(await queue.find(dead)).toMatchObject({ state: 'dead', reason: 'no at 1' }));
    expect(await queue.find(dead)).toEqual((await queue.dead(name))[0]);
  });

  test('results of every kind are those that the handlers have returned; nothing is null', async () => {
    const results = [0, '', false, null, undefined, 'text', [], {}, '{"a":1}', 1e21];
    await queue.work(name, async ({ data }) => results[data as number], { concurrency: 1 });
    const ids = await queue.enqueueMany(results.map((_, data) => ({ name, data })));
    await eventually(async () => expect(await queue.counts(name)).toMatchObject({ done: results.length }));
    const found = await Promise.all(ids.map((id) => queue.find(id)));
    expect(found.map((job) => job?.result)).toEqual(results.map((result) => result ?? null));
  });

  test('a job that there is not, or not any more, is not found; a wrong id is refused', async () => {
    expect(await queue.find(`${name}:nowhere`)).toBe(undefined);
    await queue.work(name, async () => 'gone', { concurrency: 1 });
    const id = await queue.enqueue(name, 0, { keep: { done: 0 } });
    await eventually(async () => expect(await queue.find(id)).toBe(undefined));
    const removed = await queue.enqueue(name, 0, { delayMs: 60_000 });
    await queue.remove(removed);
    expect(await queue.find(removed)).toBe(undefined);
    for (const wrong of ['no colon', ':x', 'a b:x', `${name}:`]) {
      await expect(queue.find(wrong)).rejects.toMatchObject({ code: 'ERR_JOB_OPTION' });
    }
  });

  test('schedules are listed as they were given, the next to tick first, page by page', async () => {
    const daily = { cron: ' 0 3 29 2 * ', tz: 'europe/berlin' };
    await queue.schedule('leap:day %', daily, { name, data: { report: true }, attempts: 3 });
    await queue.schedule('yearly', { cron: '0 0 1 jan *' }, { name, data: {} });
    await queue.schedule('beat', { everyMs: 3_600_000 }, { name, data: null });
    await queue.schedule('other', { everyMs: 1000 }, { name: `${name}-other`, data: 0 });
    const all = await queue.schedules(name);
    const given = { beat: { everyMs: 3_600_000 }, yearly: { cron: '0 0 1 jan *' } };
    const leap = { cron: '0 3 29 2 *', tz: 'Europe/Berlin' };
    expect(all.map(({ key, rule }) => [key, rule]).sort()).toEqual(
      Object.entries({ ...given, 'leap:day %': leap }).sort(),
    );
    expect(all[0]).toEqual({ key: 'beat', name, rule: given.beat, nextAt: all[0]?.nextAt, data: {}, attempts: 1 });
    expect(all.find(({ key }) => key === 'yearly')).toMatchObject({ data: {}, attempts: 1 });
    const last = all.find(({ key }) => key === 'leap:day %');
    expect(last).toMatchObject({ data: { report: true }, attempts: 3 });
    const due = new Date(last?.nextAt ?? 0);
    expect(due.toISOString()).toMatch(/-02-29T02:00:00\.000Z$/);
    expect(all.map(({ nextAt }) => nextAt)).toEqual(all.map(({ nextAt }) => nextAt).sort((a, b) => a - b));
    for (const { key, nextAt, data } of all) {
      const tick = `${name}:repeat:${key.replace('%', '%25').replace(':', '%3A')}:${nextAt}`;
      expect(await queue.find(tick)).toMatchObject({ data });
    }
    const pages = [
      await queue.schedules(name, { limit: 2 }),
      await queue.schedules(name, { offset: 2 }),
      await queue.schedules(name, { offset: 3 }),
    ];
    expect(pages).toEqual([all.slice(0, 2), all.slice(2), []]);
    for (const { key } of all) expect(await queue.unschedule(name, key)).toBe(true);
    expect(await queue.schedules(name)).toEqual([]);
    await expect(queue.schedules(name, { limit: 1001 })).rejects.toMatchObject({ code: 'ERR_JOB_OPTION' });
  });

  test('the tick that a schedule names is that of its next job', async () => {
    await queue.schedule('tick', { cron: '0 0 1 1 *', tz: 'UTC' }, { name, data: 0 });
    const [schedule] = await queue.schedules(name);
    expect(await queue.find(`${name}:repeat:tick:${schedule?.nextAt}`)).toMatchObject({ state: 'delayed', data: 0 });
    await queue.work(name, async () => {}, { concurrency: 1 });
    await queue.schedule('often', { everyMs: 300 }, { name, data: 0 });
    const first = (await queue.schedules(name))[0]?.nextAt ?? 0;
    await eventually(async () => expect((await queue.schedules(name))[0]?.nextAt).toBeGreaterThanOrEqual(first + 600));
    await queue.unschedule(name, 'often');
  });

  test('a schedule that is unscheduled and made anew while they are listed stays', async () => {
    const job = { name, data: 0 };
    await queue.schedule('k', { everyMs: 3_600_000 }, job);
    const engineQueue = await queues.reader(engine.url, name);
    const backend = engineQueue.getBackend();
    const then = <A extends unknown[], T>(read: (...args: A) => Promise<T>, act: () => Promise<unknown>) =>
      async function (this: unknown, ...args: A): Promise<T> {
        const found = await read.apply(this, args);
        await act();
        return found;
      };
    const schedule = () => queue.schedule('k', { everyMs: 3_600_000 }, job);
    backend.getJobSchedulersRange = then(backend.getJobSchedulersRange, () => queue.unschedule(name, 'k'));
    backend.getJobScheduler = then(backend.getJobScheduler, schedule);
    backend.getJobSchedulerData = then(backend.getJobSchedulerData, schedule);
    expect(await listSchedules(engineQueue, 0, 10)).toEqual([]);
    expect(await queue.schedules(name)).toHaveLength(1);
  });

  test('dead jobs of a name are removed, at most a thousand in one call, and no others; their ids are free again', async () => {
    const fails: RunJob = ({ data }) => (data === 'done' ? Promise.resolve(1) : Promise.reject(new Error('no')));
    const worker = await queue.work(name, fails, { concurrency: 50 });
    const other = await queue.work(`${name}-other`, fails, { concurrency: 1 });
    const done = await queue.enqueue(name, 'done');
    await queue.enqueue(`${name}-other`, 0);
    await queue.enqueueMany(Array.from({ length: 1_001 }, (_, nth) => ({ name, data: nth, id: `id ${nth}` })));
    await eventually(async () => expect(await queue.counts(name)).toMatchObject({ done: 1, dead: 1_001 }));
    await eventually(async () => expect(await queue.counts(`${name}-other`)).toMatchObject({ dead: 1 }));
    await Promise.all([worker.close(0), other.close(0)]);
    const waiting = await queue.enqueue(name, 'waits');
    const delayed = await queue.enqueue(name, 'late', { delayMs: 60_000 });
    expect([await queue.removeDead(name), await queue.removeDead(name), await queue.removeDead(name)]).toEqual([
      ...[1_000, 1, 0],
    ]);
    expect(await queue.counts(name)).toEqual({ waiting: 1, delayed: 1, running: 0, done: 1, dead: 0 });
    expect(await queue.counts(`${name}-other`)).toMatchObject({ dead: 1 });
    for (const id of [done, waiting, delayed]) expect(await queue.find(id)).toMatchObject({ id });
    expect(await queue.find(`${name}:id 7`)).toBe(undefined);
    await queue.enqueue(name, 'again', { id: 'id 7' });
    expect(await queue.find(`${name}:id 7`)).toMatchObject({ state: 'waiting', data: 'again' });
    await expect(queue.removeDead('a:b')).rejects.toMatchObject({ code: 'ERR_JOB_OPTION' });
  });

  test('dead jobs of a node whose clock is ahead are removed too', async () => {
    const clock = vi.spyOn(Date, 'now').mockReturnValue(Date.now() + 60_000);
    try {
      const worker = await queue.work(name, () => Promise.reject(new Error('no')), { concurrency: 1 });
      await queue.enqueue(name, 0);
      await eventually(async () => expect(await queue.counts(name)).toMatchObject({ dead: 1 }));
      await worker.close(0);
    } finally {
      clock.mockRestore();
    }
    expect(await queue.removeDead(name)).toBe(1);
  });

  test('a job that is retried has lost what it had as a dead one', async () => {
    const id = await queue.enqueue(name, 0);
    const worker = await queue.work(name, () => Promise.reject(new Error('no')), { concurrency: 1 });
    await eventually(async () => expect(await queue.find(id)).toMatchObject({ state: 'dead' }));
    await worker.close(0);
    await queue.retry(id);
    const found = await queue.find(id);
    expect(found).toMatchObject({ state: 'waiting', attemptsMade: 0 });
    expect(found).not.toHaveProperty('endedAt');
  });
});
