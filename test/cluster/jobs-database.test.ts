/** A database that cannot be selected: jobs go nowhere else. */

import { Redis } from 'ioredis';
import { afterEach, describe, expect, it } from 'vitest';
import type { EngineProcess } from '../helpers/engine-process.js';
import { eventually } from '../helpers/eventually.js';
import { JobQueues } from '../helpers/job-queues.js';
import { askRedis, hasRedis, startRedis } from '../helpers/redis.js';

const queues = new JobQueues();
const engines: EngineProcess[] = [];
const clients: Redis[] = [];

afterEach(async () => {
  await queues.close();
  for (const client of clients.splice(0)) client.disconnect();
  for (const engine of engines.splice(0)) await engine.stop();
});

async function redis(): Promise<EngineProcess> {
  const engine = await startRedis();
  engines.push(engine);
  return engine;
}

/** What lies in database 0. */
async function keys({ url }: EngineProcess): Promise<string[]> {
  const client = new Redis(url);
  clients.push(client);
  return await client.keys('*');
}

const RIGHTS = 'ACL SETUSER app on >secret allkeys allchannels +@all -@dangerous +info';
const one = { concurrency: 1 };

describe.skipIf(!hasRedis)('durable jobs in a database that Redis does not give', () => {
  it.each([
    ['99', '', /database 99 cannot be selected: ERR DB index is out of range/],
    ['1', 'app:secret@', /database 1 cannot be selected: NOPERM .*'select'/],
  ])('are refused (database %s): none is written to another one, none taken from there', async (number, user, why) => {
    const engine = await redis();
    await askRedis(engine, `${RIGHTS} -select`);
    const inZero = await queues.open({ url: engine.url });
    await inZero.enqueue('q', 'of database 0');
    const queue = await queues.open({ url: `redis://${user}127.0.0.1:${engine.port}/${number}`, deadlineMs: 1_000 });
    const ran: unknown[] = [];
    const run = async ({ data }: { data: unknown }) => void ran.push(data);
    const before = await keys(engine);
    for (const call of [
      () => queue.enqueue('other', 1),
      () => queue.enqueueMany([{ name: 'other', data: 1 }]),
      () => queue.schedule('each', { everyMs: 1_000 }, { name: 'other', data: 1 }),
      () => queue.counts('q'),
      () => queue.work('q', run, one),
    ]) {
      await expect(call()).rejects.toMatchObject({ code: 'ERR_CLUSTER_DOWN', message: expect.stringMatching(why) });
    }
    expect(await keys(engine)).toEqual(before);
    expect(await inZero.counts('q')).toMatchObject({ waiting: 1, running: 0, done: 0 });
    expect(ran).toEqual([]);
    queues.problems.splice(0);
  });

  it('are refused by the words of Redis where it wants another password, or one', async () => {
    const engine = await redis();
    await askRedis(engine, RIGHTS);
    await askRedis(engine, 'CONFIG SET requirepass x');
    for (const [user, why] of [
      ['', 'which is down: NOAUTH Authentication required. Correct user, password'],
      [
        'app:wrong@',
        'which is down: WRONGPASS invalid username-password pair or user is disabled. Correct user, password',
      ],
    ]) {
      const queue = await queues.open({ url: `redis://${user}127.0.0.1:${engine.port}/1` });
      await expect(queue.enqueue('q', 1)).rejects.toThrow(why);
      queues.problems.splice(0);
    }
  });

  it('go on where they were once it may be selected again, and to no other one meanwhile', async () => {
    const engine = await redis();
    await askRedis(engine, RIGHTS);
    const queue = await queues.open({ url: `redis://app:secret@127.0.0.1:${engine.port}/1` });
    const ran: unknown[] = [];
    await queue.work('q', async ({ data }) => void ran.push(data), one);
    await queue.enqueue('q', 'first');
    await eventually(() => expect(ran).toEqual(['first']));
    const inZero = await queues.open({ url: engine.url });
    await inZero.enqueue('q', 'of database 0');
    const before = await keys(engine);
    await askRedis(engine, 'ACL SETUSER app -select');
    await askRedis(engine, 'CLIENT KILL USER app');
    await eventually(() =>
      expect(queue.enqueue('q', 'lost', { id: 'a' })).rejects.toThrow(/database 1 cannot be selected/),
    );
    expect(await keys(engine)).toEqual(before);
    await askRedis(engine, 'ACL SETUSER app +select');
    await eventually(async () => expect(await queue.enqueue('q', 'second', { id: 'b' })).toBe('q:b'));
    await eventually(() => expect(ran).toEqual(['first', 'second']));
    expect(await keys(engine)).toEqual(before);
    expect(await inZero.counts('q')).toMatchObject({ waiting: 1, running: 0, done: 0 });
    queues.problems.splice(0);
  });
});
