import { serialize } from 'node:v8';
import { describe, expect, it, vi } from 'vitest';
import { addressText, readAddress } from '../../src/cluster/address.js';
import { Cluster } from '../../src/cluster/cluster.js';
import type { ClusterParts } from '../../src/cluster/cluster-parts.js';
import type { ToBroker } from '../../src/cluster/messages.js';
import { subjectOf } from '../../src/cluster/subjects.js';
import { ServerError, serializeError } from '../../src/errors/index.js';
import '../../src/server/told-error.js';
import { eventually } from '../helpers/eventually.js';

const self = { id: 'a', incarnation: '1-2', address: 'here', version: '1' };
const code = (expected: string) => expect.objectContaining({ code: expected });

function open(more: Partial<ClusterParts> = {}, hears = true) {
  const said: ToBroker[] = [];
  const failures: unknown[] = [];
  const passedOn: unknown[] = [];
  const cluster = new Cluster({
    ...{
      self: () => self,
      requestTimeoutMs: 1000,
      heartbeatMs: 1000,
      ttlMs: 5000,
      isBroker: () => false,
      isSilent: () => false,
      mayAsk: () => true,
      known: () => ({ state: 'down', nodes: [] }),
      maxPayload: () => Number.POSITIVE_INFINITY,
      callbacks: {},
    },
    say: (message) => said.push(message),
    passOn: (answer) => passedOn.push(answer),
    failed: (what, error) => failures.push([what, error]),
    ...more,
  });
  if (hears) cluster.hear();
  const asked = () => said.filter((each) => each.say === 'ask') as Extract<ToBroker, { say: 'ask' }>[];
  return { cluster, said, failures, asked, passedOn };
}

const now = { say: 'now', state: 'up', nodes: [self], maxPayload: 1000 } as const;
const hello = { say: 'hello', pid: process.pid, hasAll: false } as const;

describe('server.cluster', () => {
  it('tells another broker process what it has to know as soon as there is room for it, and lets an answer go that has none', async () => {
    vi.useFakeTimers();
    try {
      let isFull = true;
      const said: string[] = [];
      const tellsAgain = vi.fn();
      const say = ({ say: what }: ToBroker): void => {
        if (isFull) throw new ServerError('ERR_MESSAGE_QUEUE_FULL', { processId: 2, bytes: 1 } as never);
        said.push(what);
      };
      const { cluster } = open({ say, tellsAgain }, false);
      isFull = false;
      cluster.hear();
      cluster.presence.put('lobby', 'ann');
      said.length = 0;
      isFull = true;
      expect(() => cluster.onMessage({ say: 'restarted' })).not.toThrow();
      cluster.onMessage({ say: 'asked', id: 1, data: 'x', from: 'b' });
      await vi.advanceTimersByTimeAsync(250);
      expect([said, tellsAgain.mock.calls.length]).toEqual([[], 0]);
      isFull = false;
      await vi.advanceTimersByTimeAsync(100);
      expect([said, tellsAgain.mock.calls.length]).toEqual([['hello', 'presentAgain'], 1]);
      await vi.advanceTimersByTimeAsync(1000);
      expect(said.length).toBe(2);
    } finally {
      vi.useRealTimers();
    }
  });

  it('has addresses of session ids alone', () => {
    const { cluster } = open();
    expect(readAddress(cluster.addressOf(7))).toEqual({ node: 'a', incarnation: '1-2', fd: 7 });
    for (const fd of [undefined, null, Number.NaN, 0, -1, 1.5, 1n, '7', Symbol('x'), {}, () => 1, 2 ** 60])
      expect(() => cluster.addressOf(fd as never)).toThrow(code('ERR_OPTION_TYPE'));
  });

  it('asks with a time limit that is one', async () => {
    const { cluster, said } = open();
    said.length = 0;
    for (const timeoutMs of [null, Number.NaN, 0, '5', Symbol('x')])
      await expect(cluster.request('b', 1, { timeoutMs } as never)).rejects.toThrow(/timeoutMs/);
    expect(said).toEqual([]);
  });

  it('waits for members as long as the broker process may wait for another node, whatever requestTimeoutMs is', async () => {
    vi.useFakeTimers();
    try {
      const { cluster, asked } = open({ requestTimeoutMs: 1000, heartbeatMs: 1000, ttlMs: 5000 });
      const lists = [cluster.presence.list('lobby'), cluster.members('lobby')];
      await vi.advanceTimersByTimeAsync(8_000);
      for (const { id } of asked()) cluster.onMessage({ say: 'answer', id, value: ['ann'] });
      expect(await Promise.all(lists)).toEqual([['ann'], ['ann']]);
      const late = expect(cluster.presence.list('lobby')).rejects.toMatchObject({ code: 'ERR_CLUSTER_TIMEOUT' });
      await vi.advanceTimersByTimeAsync(8_500);
      await late;
    } finally {
      vi.useRealTimers();
    }
  });

  it('asks for the members of what is a room only', async () => {
    const { cluster, said } = open();
    said.length = 0;
    for (const room of ['', '\ud800', 'x'.repeat(1000), 5 as never]) {
      await expect(cluster.members(room)).rejects.toMatchObject({ code: 'ERR_ROOM_NAME' });
    }
    expect(said).toEqual([]);
  });

  it('refuses what JSON cannot express, or is too long, of who is present: nothing is said', () => {
    const { cluster, said } = open();
    const cyclic: Record<string, unknown> = {};
    cyclic['it'] = cyclic;
    said.length = 0;
    for (const meta of [10n, { n: 10n }, cyclic, () => 1, Symbol('x')]) {
      expect(() => cluster.presence.put('lobby', 'ann', meta)).toThrow(code('ERR_OPTION_VALUE'));
    }
    expect(() => cluster.presence.put('lobby', 'ann', 'ü'.repeat(8192))).toThrow(code('ERR_CLUSTER_PAYLOAD'));
    expect(said).toEqual([]);
    cluster.onMessage({ say: 'restarted' });
    expect(said).toEqual([{ ...hello, subjects: [] }]);
  });

  it('says again to another broker process who is present: what it put and kept, not what was dropped or put elsewhere', () => {
    const { cluster, said } = open();
    const { presence } = cluster;
    const of = (member: string, meta: unknown) => ({ key: 'lobby', member, meta, ttlMs: 5000 });
    const meta = { mood: 'good' };
    presence.put('lobby', 'ann', meta);
    meta.mood = 'changed later';
    presence.put('lobby', 'bob');
    presence.put('lobby', 'cy');
    presence.drop('lobby', 'bob');
    presence.drop('lobby', 'dan');
    cluster.onMessage({ say: 'keep', members: [of('ann', 'older'), of('dan', 1), of('eve', 2)] });
    cluster.onMessage(now);
    cluster.onMessage({ say: 'forget', key: 'lobby', member: 'cy' });
    said.length = 0;
    cluster.onMessage({ say: 'restarted' });
    expect(said).toEqual([
      { ...hello, subjects: [] },
      { say: 'presentAgain', members: [of('ann', { mood: 'good' }), of('eve', 2)] },
    ]);
  });

  it('refuses what is longer than the engine takes, with its length and the limit, and nothing shorter', () => {
    const { cluster, said } = open();
    cluster.publish('news', 'x'.repeat(5000)); // the limit is not known yet
    cluster.onMessage(now);
    said.length = 0;
    const tooLong = expect.objectContaining({ code: 'ERR_CLUSTER_PAYLOAD', detail: { bytes: 1001, most: 1000 } });
    const overhead = serialize('x'.repeat(900)).length - 900;
    cluster.publish('news', 'x'.repeat(1000 - overhead));
    expect(() => cluster.publish('news', 'x'.repeat(1001 - overhead))).toThrow(tooLong);
    expect(() => cluster.publish('news', { text: 'ü'.repeat(1000) })).toThrow(code('ERR_CLUSTER_PAYLOAD'));
    expect(() => cluster.publish('news', Buffer.alloc(1000))).toThrow(code('ERR_CLUSTER_PAYLOAD'));
    const { cluster: master } = open({ maxPayload: () => 1000 }, false);
    expect(() => master.checkRoomMessage('x'.repeat(1001))).toThrow(tooLong);
    master.checkRoomMessage('x'.repeat(1000));
    expect(said).toHaveLength(1);
    cluster.checkRoomMessage('x'.repeat(1000));
    expect(() => cluster.checkRoomMessage(`x${'ü'.repeat(500)}`)).toThrow(tooLong);
    expect(() => cluster.checkRoomMessage(Buffer.alloc(1001))).toThrow(tooLong);
  });

  it('knows itself, and what the broker process has told', () => {
    const { cluster } = open();
    expect([cluster.state, cluster.nodes, cluster.self]).toEqual(['down', [self], self]);
    const other = { ...self, id: 'b' };
    cluster.onMessage({ ...now, nodes: [self, other] });
    expect([cluster.state, cluster.nodes]).toEqual(['up', [self, other]]);
    cluster.onMessage({ say: 'restarted' });
    expect(cluster.state).toBe('reconnecting');
  });

  it('calls each subscriber until it is closed, also where another one throws', () => {
    const { cluster, said, failures } = open();
    const got: unknown[] = [];
    cluster.subscribe('news', () => {
      throw new Error('mine');
    });
    const second = cluster.subscribe('news', (data, from) => got.push([data, from]));
    expect(said.filter(({ say }) => say === 'subscribe')).toEqual([{ say: 'subscribe', subject: 'm:news' }]);
    const message = { say: 'published', subject: 'm:news', data: 1, from: 'b' } as const;
    cluster.onMessage(message);
    second.close();
    cluster.onMessage(message);
    expect([got, failures.length]).toEqual([[[1, 'b']], 2]);
    expect(said.some(({ say }) => say === 'unsubscribe')).toBe(false);
  });

  it('subscribes, and ends it, at a later try where there is no room to say so', () => {
    let isFull = true;
    const said: ToBroker[] = [];
    const say = (message: ToBroker): void => {
      if (isFull) throw new ServerError('ERR_MESSAGE_QUEUE_FULL', { processId: 2, bytes: 1 } as never);
      said.push(message);
    };
    const { cluster, failures } = open({ say }, false);
    isFull = false;
    cluster.hear();
    said.length = 0;
    isFull = true;
    const got: unknown[] = [];
    const take = (data: unknown): void => void got.push(data);
    expect(() => cluster.subscribe('news', take)).toThrow(code('ERR_MESSAGE_QUEUE_FULL'));
    isFull = false;
    const subscription = cluster.subscribe('news', take);
    const subject = 'm:news';
    expect(said).toEqual([{ say: 'subscribe', subject }]);
    const published = (data: unknown): void => cluster.onMessage({ say: 'published', subject, data, from: 'b' });
    isFull = true;
    subscription.close();
    published(1);
    isFull = false;
    published(2);
    published(3);
    expect(said.slice(1)).toEqual([{ say: 'unsubscribe', subject }]);
    expect([got, failures]).toEqual([[], []]);
  });

  it('says what it has subscribed to when it is heard, and again to another broker process', () => {
    const { cluster, said } = open({}, false);
    cluster.subscribe('news', () => {}).close();
    cluster.subscribe('prices', () => {});
    expect(said).toEqual([]);
    cluster.hear();
    cluster.onMessage({ say: 'restarted' });
    expect(said).toEqual([1, 2].map(() => ({ ...hello, subjects: ['m:prices'] })));
  });

  it('in the broker process takes what shared objects are told, and calls nothing of the user', () => {
    const got: string[] = [];
    const callbacks = { clusterState: () => got.push('state') };
    const { cluster, said } = open({ isBroker: () => true, callbacks }, false);
    cluster.subscribe('news', () => got.push('news'));
    const shared = { kind: 'topic', name: 'prices', take: () => got.push('prices') } as const;
    cluster.share({ shareBetweenNodes: () => shared });
    cluster.hear();
    expect(said).toEqual([{ ...hello, subjects: ['t:prices'] }]);
    cluster.onMessage({ say: 'event', event: 'clusterState', args: ['up'] });
    cluster.onMessage({ say: 'published', subject: 't:prices', data: Buffer.from('1'), from: 'b' });
    expect(got).toEqual(['prices']);
  });

  it('fails at once what the broker process before was asked; the first one finds what was asked before it', async () => {
    const { cluster, asked } = open();
    const early = cluster.request('b', 1);
    cluster.onMessage({ say: 'restarted' });
    cluster.onMessage({ say: 'answer', id: asked()[0]?.id as number, value: 'yes' });
    expect(await early).toBe('yes');
    cluster.onMessage(now);
    const lost = expect(cluster.request('b', 2)).rejects.toEqual(code('ERR_CLUSTER_DOWN'));
    cluster.onMessage({ say: 'restarted' });
    await lost;
  });

  it('asks, and gets the answer, the error, or the end of its patience', async () => {
    const { cluster, asked } = open();
    const [good, bad, late] = [
      cluster.request('b', 1),
      cluster.request('b', 2),
      cluster.request('b', 3, { timeoutMs: 1 }),
    ];
    const refused = expect(bad).rejects.toEqual(code('E_MINE'));
    const patient = expect(late).rejects.toEqual(code('ERR_CLUSTER_TIMEOUT'));
    await eventually(() => expect(asked()).toHaveLength(3));
    const [first, second] = asked().map(({ id }) => id);
    cluster.onMessage({ say: 'answer', id: first as number, value: 'yes' });
    cluster.onMessage({
      say: 'failed',
      id: second as number,
      error: serializeError(Object.assign(new Error(), { code: 'E_MINE' })),
    });
    expect(await good).toBe('yes');
    await Promise.all([refused, patient]);
  });

  it('passes on what its predecessor has asked, and only what comes to it first', () => {
    const { cluster, passedOn } = open();
    const answer = { say: 'answer', id: 7, value: 'yes' } as const;
    cluster.onMessage(answer);
    cluster.onMessage({ ...answer, id: 8 }, true);
    expect(passedOn).toEqual([answer]);
  });

  it('asks as soon as it is heard, within its deadline, in the master never, and for no time that is none', async () => {
    const { cluster, asked } = open({}, false);
    const early = cluster.request('b', 1);
    expect(asked()).toEqual([]);
    cluster.hear();
    await eventually(() => expect(asked()).toHaveLength(1));
    cluster.onMessage({ say: 'answer', id: asked()[0]?.id as number, value: 'yes' });
    expect(await early).toBe('yes');
    const tooEarly = expect.objectContaining({ code: 'ERR_CLUSTER_TOO_EARLY', detail: { state: 'down' } });
    await expect(open({}, false).cluster.request('b', 1, { timeoutMs: 1 })).rejects.toEqual(tooEarly);
    await expect(open({ mayAsk: () => false }, false).cluster.request('b', 1)).rejects.toEqual(tooEarly);
    const crowd = open({}, false).cluster;
    const ends = Array.from({ length: 10_001 }, () => crowd.request('b', 1, { timeoutMs: 20 }).catch((e) => e.code));
    expect(await ends.at(-1)).toBe('ERR_CLUSTER_FULL');
    expect(await ends[0]).toBe('ERR_CLUSTER_TOO_EARLY');
    await Promise.all(ends);
    await expect(open().cluster.request('b', 1, { timeoutMs: 0 })).rejects.toEqual(code('ERR_OPTION_RANGE'));
  });

  it('has the state and the nodes as this process knows them, until the broker process tells', async () => {
    const other = { ...self, id: 'b' };
    const known = (): ReturnType<ClusterParts['known']> => ({ state: 'up', nodes: [self, other] });
    const { cluster } = open({ known }, false);
    expect([cluster.state, cluster.nodes]).toEqual(['up', [self, other]]);
    const late = cluster.request('b', 1, { timeoutMs: 1 });
    await expect(late).rejects.toMatchObject({ code: 'ERR_CLUSTER_TOO_EARLY', detail: { state: 'up' } });
    cluster.onMessage({ ...now, state: 'reconnecting' });
    expect([cluster.state, cluster.nodes]).toEqual(['reconnecting', [self]]);
    expect(open({}, false).cluster.nodes).toEqual([self]);
  });

  it('refuses to subscribe where nothing would be heard: in the master and the manager, once they run', () => {
    const incarnation = '-';
    const before = open({ mayAsk: () => false, self: () => ({ ...self, incarnation }) }, false).cluster;
    expect(() => before.subscribe('news', () => {})).not.toThrow();
    const { cluster } = open({ mayAsk: () => false }, false);
    expect(() => cluster.subscribe('news', () => {})).toThrow(code('ERR_CLUSTER_DEAF'));
  });

  it('lets the callback answer other nodes, and says so where there is none', async () => {
    const clusterRequest = vi.fn(async (data: unknown) => [data]);
    const { cluster, said } = open({ callbacks: { clusterRequest } });
    cluster.onMessage({ say: 'asked', id: 5, data: 'x', from: 'b' });
    await eventually(() => expect(said.at(-1)).toEqual({ say: 'answer', id: 5, value: ['x'] }));
    const without = open();
    without.cluster.onMessage({ say: 'asked', id: 6, data: 'x', from: 'b' });
    await eventually(() =>
      expect(without.said.at(-1)).toMatchObject({ say: 'failed', id: 6, error: { code: 'ERR_CLUSTER_NO_HANDLER' } }),
    );
  });

  it('calls back what happens', () => {
    const happened: unknown[] = [];
    const note =
      (name: string) =>
      (...args: unknown[]) =>
        happened.push([name, ...args]);
    const { cluster } = open({ callbacks: { nodeUp: note('up'), nodeDown: note('down'), clusterGap: note('gap') } });
    cluster.onMessage({ say: 'event', event: 'nodeUp', args: [self] });
    cluster.onMessage({ say: 'event', event: 'nodeDown', args: ['a', 'lost'] });
    cluster.onMessage({ say: 'event', event: 'clusterGap', args: ['room'] });
    cluster.onMessage({ say: 'event', event: 'clusterState', args: ['up'] });
    expect(happened).toEqual([
      ['up', self],
      ['down', 'a', 'lost'],
      ['gap', 'room'],
    ]);
  });

  it('knows from them which nodes there are, from the first time on that it was told of all', () => {
    const node = (id: string) => ({ id, incarnation: '1', address: '', version: '' });
    const ids = (): string[] => cluster.nodes.map(({ id }) => id);
    const seen: string[][] = [];
    const { cluster } = open({ callbacks: { nodeUp: () => seen.push(ids()), nodeDown: () => seen.push(ids()) } });
    cluster.onMessage({ say: 'event', event: 'nodeUp', args: [node('early')] });
    const now = { say: 'now', state: 'up', nodes: [self, node('b')], maxPayload: 1000 } as const;
    cluster.onMessage(now);
    cluster.onMessage({ say: 'event', event: 'nodeUp', args: [node('c')] });
    cluster.onMessage({ say: 'event', event: 'nodeUp', args: [node('c')] });
    cluster.onMessage({ say: 'event', event: 'nodeDown', args: ['b', 'lost'] });
    const own = self.id;
    expect(seen).toEqual([[own], [own, 'b', 'c'], [own, 'c']]);
    cluster.onMessage(now);
    expect(ids()).toEqual([own, 'b']);
  });

  it('tells the user of each node once, and of the state, though the broker process is another one', () => {
    const node = (id: string, incarnation = '1') => ({ id, incarnation, address: '', version: '' });
    const happened: string[] = [];
    const { cluster } = open({
      callbacks: {
        nodeUp: ({ id, incarnation }) => happened.push(`up ${id} ${incarnation}`),
        nodeDown: (id, why) => happened.push(`${why} ${id}`),
        clusterState: (state) => happened.push(state),
      },
    });
    const tell = (state: 'up' | 'down', ...nodes: ReturnType<typeof node>[]) =>
      cluster.onMessage({ say: 'now', state, nodes: [self, ...nodes], maxPayload: 1000 });
    const up = (which: ReturnType<typeof node>) => cluster.onMessage({ say: 'event', event: 'nodeUp', args: [which] });
    tell('up', node('b'), node('c'), node('d'));
    expect(happened).toEqual([]);
    cluster.onMessage({ say: 'restarted' });
    tell('down');
    up(node('b'));
    up(node('c', '2'));
    up(node('e'));
    expect(happened.splice(0)).toEqual(['reconnecting', 'up c 2', 'up e 1']);
    tell('up', node('b'), node('c', '2'), node('e'));
    cluster.onMessage({ say: 'event', event: 'clusterState', args: ['up'] });
    tell('up', node('b'));
    expect(happened).toEqual(['lost d', 'up']);
  });

  it('refuses options of a request that are none', async () => {
    const { cluster } = open();
    for (const options of [null, 5, 'x']) {
      await expect(cluster.request('b', 1, options as never)).rejects.toMatchObject({ code: 'ERR_OPTION_TYPE' });
    }
  });

  it('refuses an option of a request that it does not know, by its name', async () => {
    const unknown = open().cluster.request('b', 1, { timeout: 5 } as never);
    await expect(unknown).rejects.toThrow(
      'There is no option "options.timeout"; the nearest known name is "timeoutMs".',
    );
  });

  it('names what is too long in presence, and what is no callback', () => {
    const { cluster } = open();
    expect(() => cluster.presence.put('lobby', 'ann', 'x'.repeat(20_000))).toThrow(
      'The JSON of a meta may have 16384 bytes, received 20002. Keep the bulk elsewhere',
    );
    expect(() => cluster.subscribe('a b', 5 as never)).toThrow(
      'The callback that cluster.subscribe() is given for "a b" must be a function, received number 5. Pass a function as its second',
    );
  });

  it('gives an error of another process the line of the caller, unless it has one of the code that threw it', async () => {
    const { cluster, asked } = open();
    const broker = new URL('../../src/cluster/broker/broker.ts', import.meta.url).pathname;
    const calls = [cluster.request('b', 1), cluster.members('lobby'), cluster.presence.list('lobby')];
    const call = { method: 'getClientInfo' } as const;
    const all = [...calls, cluster.call('b~9:7', call, () => true), cluster.request('b', 1), cluster.request('b', 1)];
    const caught = Promise.all(all.map(async (promise) => await promise.catch((error: Error) => error)));
    await eventually(() => expect(asked()).toHaveLength(6));
    const lost = serializeError(new ServerError('ERR_NODE_LOST', { node: 'b' }));
    const theirs = 'ServerError: x\n    at answer (/srv/app/server.js:1:1)';
    for (const [index, { id }] of asked().entries()) {
      const own = { ...lost, stack: `ServerError: x\n    at Broker (${broker}:1:1)` };
      const error = index < 4 ? own : index === 4 ? { ...lost, stack: theirs } : serializeError(new TypeError('mine'));
      cluster.onMessage({ say: 'failed', id, error });
    }
    const stacks = (await caught).map((error) => String((error as Error).stack));
    for (const stack of stacks.slice(0, 4)) expect(stack).toMatch(/^ServerError: .*\n\s+at .*cluster\.test\.ts/);
    expect(stacks.join('')).not.toContain(broker);
    expect(stacks[4]).toMatch(/\n {4}at answer \(\/srv\/app\/server\.js:1:1\)$/);
    expect(stacks[5]).toMatch(/^TypeError: mine/);
  });

  it('says of many joins of a room once in a while', () => {
    const { cluster, said } = open();
    for (let i = 0; i < 100; i++) cluster.joined('room');
    expect(said.filter(({ say }) => say === 'joined')).toHaveLength(1);
  });

  it('refuses subjects, keys and callbacks that are none', () => {
    const { cluster } = open();
    for (const subject of ['', 'x'.repeat(129), '\ud800', 7 as never]) {
      expect(() => cluster.publish(subject, 1)).toThrow(code('ERR_CLUSTER_SUBJECT'));
      expect(() => cluster.presence.put(subject, 'm')).toThrow(code('ERR_CLUSTER_SUBJECT'));
    }
    expect(() => cluster.subscribe('x', 7 as never)).toThrow(code('ERR_CALLBACK_TYPE'));
    expect(() => cluster.share({} as never)).toThrow(code('ERR_OPTION_TYPE'));
  });
});

describe('the address of a connection', () => {
  it('is read as it was written', () => {
    const address = { node: 'a.b-c_1', incarnation: 'x-1', fd: 2 ** 40 };
    expect(readAddress(addressText(address))).toEqual(address);
  });

  it.each(['', '5', 'a:5', 'a~b:0', 'a~b:-1', 'a~b:9007199254740993', 'a b~c:1', 'a~b:1x'])('is not %j', (text) => {
    expect(() => readAddress(text)).toThrow(code('ERR_CLUSTER_ADDRESS'));
  });

  it('of a connection of this node needs nobody else; one of an earlier start is nobody’s', async () => {
    const { cluster, asked } = open();
    const call = { method: 'send', data: 'x' } as const;
    expect(await cluster.call('a~1-2:7', call, (fd) => `here ${fd}`)).toBe('here 7');
    await expect(cluster.call('a~0-0:7', call, () => true)).rejects.toEqual(code('ERR_SESSION_NOT_FOUND'));
    void cluster.call('b~9:7', call, () => true).catch(() => {});
    expect(asked()[0]?.question).toEqual({ ask: 'connection', node: 'b', call: { ...call, incarnation: '9', fd: 7 } });
  });
});

it('a subject that is too long with its kind goes by its hash, and never for another', () => {
  const [one, other] = ['x'.repeat(127), `${'x'.repeat(126)}y`].map((name) => subjectOf('r', name));
  expect(one).not.toBe(other);
  for (const subject of [one, other]) expect(Buffer.byteLength(subject as string)).toBeLessThanOrEqual(128);
  expect(subjectOf('r', 'room')).toBe('r:room');
});
