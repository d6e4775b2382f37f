import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Broker } from '../../src/cluster/broker/broker.js';
import { LostNodes } from '../../src/cluster/broker/lost-nodes.js';
import { MasterLink } from '../../src/cluster/broker/master-link.js';
import { unpackRequest } from '../../src/cluster/broker/node-messages.js';
import type { ToMaster } from '../../src/cluster/messages.js';
import { ServerError, serializeError } from '../../src/errors/index.js';
import type { ClusterRecord } from '../../src/memory/cluster-record.js';

const stats = { published: 0, delivered: 0, lost: 0, reconnects: 0, bufferedBytes: 0 };

let told: ToMaster[];
/** What other nodes were asked: who, what, how long it may take. */
let asked: unknown[][];
let answer: () => Promise<Uint8Array>;
let written: number;
let link: MasterLink;
let broker: Broker;
let cluster: { state: string; failure: Error | undefined };
let nodes: { id: string }[];

beforeEach(() => {
  vi.useFakeTimers();
  [told, asked, written] = [[], [], 0];
  answer = async () => new Uint8Array();
  nodes = [{ id: 'a' }, { id: 'b' }];
  cluster = { state: 'up', failure: undefined };
  const driver = {
    get state() {
      return cluster.state;
    },
    capabilities: { maxPayload: 1000 },
    nodes: () => nodes,
    stats: () => stats,
    request: (node: string, data: Uint8Array, { timeoutMs }: { timeoutMs: number }) => {
      asked.push([node, unpackRequest(data), timeoutMs]);
      return answer();
    },
  };
  const lostNodes = new LostNodes();
  lostNodes.isDown('d', 'lost');
  broker = {
    driver,
    lost: 0,
    followedRooms: 0,
    lostNodes,
  } as unknown as Broker;
  Object.defineProperty(broker, 'failure', { get: () => cluster.failure });
  const record = { write: () => written++ } as unknown as ClusterRecord;
  link = new MasterLink(broker, { self: 'a', record, reloadTimeoutMs: 1000, tell: (message) => told.push(message) });
  told.length = 0; // the nodes
});
afterEach(() => {
  link.close();
  vi.useRealTimers();
});

it('tells why this node has not joined before it tells that it was tried', () => {
  cluster = { state: 'down', failure: new Error('nobody there') };
  link.tried();
  expect(told).toMatchObject([{ say: 'nodes', why: 'nobody there' }, { say: 'tried' }]);
});

describe('what operators want of durable jobs', () => {
  const info = { name: 'mail', state: 'dead', attempts: 3, attemptsMade: 3, enqueuedAt: 1, startedAt: 2, endedAt: 3 };
  const calls: unknown[] = [];
  let found: object | undefined;
  const schedule = { key: 'k', name: 'mail', nextAt: 4, attempts: 1 };
  const schedules = [
    { ...schedule, rule: { cron: `${'1,'.repeat(1200)}1 * * * *`, tz: 'UTC' }, data: 'x'.repeat(600) },
    { ...schedule, rule: { everyMs: 500 }, data: null },
  ];
  const ask = async (message: object): Promise<unknown> => {
    const jobs = {
      count: async () => [{ name: 'mail' }],
      answer: async (call: { method: string; args: unknown[] }) => {
        calls.push(call);
        if (call.method === 'find') return found;
        if (call.method === 'schedules') return schedules;
        if (call.method === 'unschedule') return true;
        if (call.method === 'retry') throw new ServerError('ERR_JOB_NOT_DEAD', { id: String(call.args[0]) });
        return [
          { ...info, id: 'mail:1', data: { to: 'x'.repeat(2000) }, reason: 'y'.repeat(2000), stack: 'z'.repeat(2000) },
          { ...info, id: 'mail:2', data: null, startedAt: undefined },
        ];
      },
    };
    Object.assign(broker, { jobs });
    expect(link.onMessage({ id: 6, ...message } as never)).toBe(true);
    await vi.advanceTimersByTimeAsync(0);
    return told.at(-1);
  };

  it('is counted', async () => {
    expect(await ask({ say: 'countJobs' })).toEqual({ say: 'answer', id: 6, value: [{ name: 'mail' }] });
  });

  it('is a page of dead ones, whose long texts are cut', async () => {
    const page = { offset: 3, limit: 2 };
    const answered = await ask({ say: 'deadJobs', name: 'mail', page });
    expect(calls.at(-1)).toEqual({ method: 'dead', args: ['mail', page] });
    const { name, attempts, attemptsMade, enqueuedAt, endedAt } = info;
    expect(answered).toEqual({
      ...{ say: 'answer', id: 6 },
      value: [
        {
          ...{ id: 'mail:1', name, attempts, attemptsMade, enqueuedAt, startedAt: 2, endedAt },
          reason: `${'y'.repeat(1000)}…`,
          stack: `${'z'.repeat(1500)}…`,
          dataStart: `{"to":"${'x'.repeat(493)}…`,
        },
        { id: 'mail:2', name, attempts, attemptsMade, enqueuedAt, endedAt, data: null },
      ],
    });
  });

  it('is one job, whose data and result are cut where they are very long', async () => {
    found = { ...info, id: 'mail:1', state: 'done', data: { to: 'x' }, result: 'y'.repeat(60_000) };
    const answered = await ask({ say: 'findJob', job: 'mail:1' });
    expect(calls.at(-1)).toEqual({ method: 'find', args: ['mail:1'] });
    const value = { ...info, id: 'mail:1', state: 'done', data: { to: 'x' }, resultStart: `"${'y'.repeat(49_999)}…` };
    expect(answered).toEqual({ say: 'answer', id: 6, value });
    const text = 'z'.repeat(20_000);
    found = { ...info, id: 'mail:1', data: null, reason: text, stack: text };
    const cut = `${'z'.repeat(10_000)}…`;
    expect(await ask({ say: 'findJob', job: 'mail:1' })).toMatchObject({ value: { reason: cut, stack: cut } });
    found = undefined;
    expect(await ask({ say: 'findJob', job: 'mail:2' })).toEqual({ say: 'answer', id: 6, value: undefined });
  });

  it('is a page of schedules, whose long texts are cut; one of them is ended', async () => {
    const page = { offset: 3, limit: 2 };
    const answered = await ask({ say: 'jobSchedules', name: 'mail', page });
    expect(calls.at(-1)).toEqual({ method: 'schedules', args: ['mail', page] });
    expect(answered).toEqual({
      ...{ say: 'answer', id: 6 },
      value: [
        { ...schedule, rule: { cron: `${'1,'.repeat(1000)}…`, tz: 'UTC' }, dataStart: `"${'x'.repeat(499)}…` },
        { ...schedule, rule: { everyMs: 500 }, data: null },
      ],
    });
    expect(await ask({ say: 'unschedule', name: 'mail', key: 'k' })).toEqual({ say: 'answer', id: 6, value: true });
    expect(calls.at(-1)).toEqual({ method: 'unschedule', args: ['mail', 'k'] });
  });

  it('fails as the queue says', async () => {
    const failed = { say: 'failed', id: 6, error: { code: 'ERR_JOB_NOT_DEAD' } };
    expect(await ask({ say: 'retryJob', job: 'mail:9' })).toMatchObject(failed);
    expect(calls.at(-1)).toEqual({ method: 'retry', args: ['mail:9'] });
    await ask({ say: 'removeJob', job: 'mail:9' });
    expect(calls.at(-1)).toEqual({ method: 'remove', args: ['mail:9'] });
    await ask({ say: 'removeDeadJobs', name: 'mail' });
    expect(calls.at(-1)).toEqual({ method: 'removeDead', args: ['mail'] });
  });
});

describe('the reload of another node', () => {
  const answers = (): ToMaster[] => told.filter(({ say }) => say !== 'nodes');
  const order = (node: string): boolean => link.onMessage({ say: 'reloadNode', id: 5, node, timeoutMs: 700 } as never);

  it('is asked of that node, and answered when it is over', async () => {
    expect(order('b')).toBe(true);
    await vi.advanceTimersByTimeAsync(0);
    expect(asked).toEqual([['b', { ask: 'reload' }, 700]]);
    expect(told).toEqual([{ say: 'answer', id: 5, value: true }]);
  });

  it('is not asked of one that has left', async () => {
    order('c');
    await vi.advanceTimersByTimeAsync(0);
    expect(asked).toEqual([]);
    expect(told).toEqual([{ say: 'answer', id: 5, value: false }]);
  });

  it('fails for one that was lost: it may serve on with its old workers', async () => {
    order('d');
    await vi.advanceTimersByTimeAsync(0);
    expect(asked).toEqual([]);
    expect(told).toMatchObject([{ say: 'failed', id: 5, error: { code: 'ERR_NODE_LOST' } }]);
  });

  it('is asked of it again when it comes back: its broker process is another one', async () => {
    answer = async () => {
      nodes = [{ id: 'a' }];
      answer = async () => new Uint8Array();
      throw new ServerError('ERR_NODE_LOST', { node: 'b' });
    };
    order('b');
    await vi.advanceTimersByTimeAsync(300);
    expect([asked.length, answers()]).toEqual([1, []]);
    nodes = [{ id: 'a' }, { id: 'b' }];
    await vi.advanceTimersByTimeAsync(300);
    expect(asked).toHaveLength(2);
    expect(asked[1]?.[2]).toBeLessThanOrEqual(700);
    expect(answers()).toEqual([{ say: 'answer', id: 5, value: true }]);
  });

  it('fails for one that is lost meanwhile and does not come back', async () => {
    answer = async () => {
      nodes = [{ id: 'a' }];
      broker.lostNodes.isDown('b', 'lost');
      throw new ServerError('ERR_NODE_LOST', { node: 'b' });
    };
    order('b');
    await vi.advanceTimersByTimeAsync(4900);
    expect(answers()).toEqual([]);
    await vi.advanceTimersByTimeAsync(400);
    expect(answers()).toMatchObject([{ say: 'failed', id: 5, error: { code: 'ERR_NODE_LOST' } }]);
    expect(asked).toHaveLength(1);
  });

  it('is not waited for where that node leaves, or its server ends, meanwhile', async () => {
    answer = async () => {
      nodes = [{ id: 'a' }];
      throw new ServerError('ERR_NODE_LOST', { node: 'b' });
    };
    order('b');
    await vi.advanceTimersByTimeAsync(5200);
    expect(answers()).toEqual([{ say: 'answer', id: 5, value: false }]);
  });

  it.each(['is shutting down', 'has shut down', 'is ended'])(
    'is over where its master says that the server %s',
    async (how) => {
      answer = () => Promise.reject(new ServerError('ERR_RELOAD', { why: `the server ${how}` }));
      order('b');
      await vi.advanceTimersByTimeAsync(0);
      expect([answers(), asked.length]).toEqual([[{ say: 'answer', id: 5, value: false }], 1]);
    },
  );

  it('is asked again where only its broker process ends, and is over where the node goes with it', async () => {
    let ends = 0;
    answer = async () => {
      if (ends++ > 0) nodes = [{ id: 'a' }];
      throw new ServerError('ERR_SHUTTING_DOWN', {});
    };
    link.onMessage({ say: 'reloadNode', id: 5, node: 'b', timeoutMs: 60_000 } as never);
    nodes = [{ id: 'a' }];
    await vi.advanceTimersByTimeAsync(300);
    nodes = [{ id: 'a' }, { id: 'b' }];
    await vi.advanceTimersByTimeAsync(300);
    expect([answers(), asked.length]).toEqual([[], 2]);
    await vi.advanceTimersByTimeAsync(5200);
    expect([answers(), asked.length]).toEqual([[{ say: 'answer', id: 5, value: false }], 2]);
  });

  it('fails as that node does', async () => {
    answer = () => Promise.reject(new ServerError('ERR_RELOAD', { why: 'x' }));
    order('b');
    await vi.advanceTimersByTimeAsync(0);
    expect(told).toMatchObject([{ say: 'failed', id: 5, error: { code: 'ERR_RELOAD' } }]);
  });
});

describe('a reload of this node that another one asks for', () => {
  const begin = (): { id: number; ended: Promise<unknown> } => {
    const ended = link.reloadHere().then(
      () => 'done',
      (error: ServerError) => error.code,
    );
    const [question] = told;
    if (question?.say !== 'reload') throw new Error('the master was not asked');
    return { id: question.id, ended };
  };

  it('is over when the master says so', async () => {
    const { id, ended } = begin();
    expect(link.onMessage({ say: 'ofMaster', answer: { say: 'answer', id } } as never)).toBe(true);
    expect(await ended).toBe('done');
  });

  it('fails with the reason of the master', async () => {
    const { id, ended } = begin();
    const error = serializeError(new ServerError('ERR_RELOAD', { why: 'x' }));
    link.onMessage({ say: 'ofMaster', answer: { say: 'failed', id, error } } as never);
    expect(await ended).toBe('ERR_RELOAD');
  });

  it('fails when the master takes too long, and when this node leaves', async () => {
    const late = begin();
    await vi.advanceTimersByTimeAsync(1000);
    expect(await late.ended).toBe('ERR_CLUSTER_TIMEOUT');
    told.length = 0;
    const { ended } = begin();
    link.close();
    expect(await ended).toBe('ERR_SHUTTING_DOWN');
    expect(vi.getTimerCount()).toBe(0);
  });
});

describe('the copy of presence', () => {
  it('is told changes, and asked for what was there before', async () => {
    const changes = [{ key: 'lobby', member: 'ann' }];
    link.tellPresent(changes);
    const page = link.presentBefore(2);
    const [first, question] = told;
    expect(first).toEqual({ say: 'presentChanges', changes });
    if (question?.say !== 'presentBefore') throw new Error('the master was not asked');
    expect(question.page).toBe(2);
    const value = { members: [], next: 3 };
    link.onMessage({ say: 'ofMaster', answer: { say: 'answer', id: question.id, value } } as never);
    expect(await page).toEqual(value);
  });

  it('is not waited for when the master does not answer', async () => {
    const ended = link.presentBefore(0).catch((error: ServerError) => error.code);
    await vi.advanceTimersByTimeAsync(2000);
    expect(await ended).toBe('ERR_CLUSTER_TIMEOUT');
  });
});

it('messages of other processes are left alone, and changes reported', () => {
  expect(link.onMessage({ say: 'hello' })).toBe(false);
  const before = written;
  link.changed();
  expect(written).toBe(before + 1);
});
