import { randomUUID } from 'node:crypto';
import { serialize } from 'node:v8';
import { afterEach, describe, expect, it } from 'vitest';
import { Broker, type BrokerParts } from '../../src/cluster/broker/broker.js';
import { packRoomData, unpackRoomData } from '../../src/cluster/broker/room-data.js';
import { createDriver } from '../../src/cluster/create-driver.js';
import type { ClusterDriver, ClusterEvents } from '../../src/cluster/driver.js';
import { memoryHub } from '../../src/cluster/drivers/memory.js';
import type { FromBroker, Question, ToBroker } from '../../src/cluster/messages.js';
import { ServerError } from '../../src/errors/index.js';
import { MIB } from '../../src/options/size.js';
import { clonedBytes } from '../../src/shared/cloned.js';
import { Log } from '../../src/util/log.js';
import { DEADLINE_MS } from '../helpers/deadline.js';
import { eventually } from '../helpers/eventually.js';
import { deep } from '../helpers/unreadable.js';

const ends: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0)) await end();
});

const url = (): string => `memory://${randomUUID()}`;
const options = { heartbeatMs: 50, ttlMs: 400 };

/** The broker process of a node, whose workers 0 and 1 note what they are told; rooms are a map of sizes. */
/** A node whose events of the cluster a test can make. */
function openHeard(at: string) {
  let events: ClusterEvents | undefined;
  const createHeard = (): ClusterDriver => {
    const driver = createDriver('memory', { url: at, ...options });
    const { start } = driver;
    driver.start = (self, on) => {
      events = on;
      return start.call(driver, self, on);
    };
    return driver;
  };
  return { a: openNode('a', at, { createDriver: createHeard }), events: () => events as ClusterEvents };
}

function openNode(id: string, at: string, more: Partial<BrokerParts> = {}) {
  const told: [FromBroker, number][] = [];
  const sizes = new Map<string, number>();
  const published: [string, string | Uint8Array][] = [];
  const log: string[] = [];
  const broker = new Broker({
    self: { id, incarnation: `${id}-1`, address: id, version: '1' },
    ...{
      ttlMs: options.ttlMs,
      requestTimeoutMs: 1000,
      processes: [0, 1],
      workerNum: () => 2,
      seatNum: () => 2,
      maxWorkerNum: 2,
      isSuccessor: false,
    },
    createDriver: () => createDriver('memory', { url: at, ...options }),
    rooms: {
      publish: (room, data) => published.push([room, data]) > 0,
      size: (room) => sizes.get(room) ?? 0,
      list: () => [...sizes].map(([name, members]) => ({ name, members })),
    },
    send: (message, process) => {
      told.push([message, process]);
      if (message.say === 'asked') say({ say: 'answer', id: message.id, value: [message.data, message.from] }, process);
    },
    callConnection: ({ fd, method }) => {
      if (fd === 404) throw new ServerError('ERR_SESSION_NOT_FOUND', { fd });
      return method === 'send';
    },
    reload: async () => {},
    log: new Log({ role: 'process', level: 'info', write: (line) => log.push(line) }),
    ...more,
  });
  const say = (message: ToBroker, from = 0): void => broker.onMessage(message, from);
  const stop = new AbortController();
  const running = broker.run(stop.signal);
  const end = async (): Promise<void> => {
    stop.abort();
    await running;
  };
  ends.push(end);
  let questions = 0;
  const ask = async (question: Question): Promise<unknown> => {
    const number = ++questions;
    say({ say: 'ask', id: number, question });
    let answer: FromBroker | undefined;
    await eventually(() => {
      [answer] =
        told.find(
          ([{ say: what, ...rest }]) => ['answer', 'failed'].includes(what) && (rest as { id: number }).id === number,
        ) ?? [];
      expect(answer).toBeDefined();
    });
    return answer?.say === 'failed' ? answer.error.code : (answer as { value?: unknown }).value;
  };
  const of = (what: FromBroker['say']): FromBroker[] =>
    told.filter(([{ say: each }]) => each === what).map(([each]) => each);
  return { broker, say, ask, told, of, sizes, published, log, end };
}

async function openTwo() {
  const at = url();
  const a = openNode('a', at);
  const b = openNode('b', at);
  await eventually(() => {
    for (const { broker } of [a, b])
      expect(
        broker.driver
          .nodes()
          .map(({ id }) => id)
          .sort(),
      ).toEqual(['a', 'b']);
  });
  return { at, a, b };
}

describe('a broker process', () => {
  it('outlives what it cannot carry out, and says so', async () => {
    const { a, b } = await openTwo();
    const cyclic: Record<string, unknown> = {};
    cyclic['it'] = cyclic;
    a.say({ say: 'joined', room: '\ud800' });
    a.say({ say: 'room', room: '\ud800', data: 'x' });
    a.say({ say: 'present', key: 'lobby', member: 'ann', meta: cyclic, ttlMs: 1000 });
    expect(a.log.filter((line) => line.includes('was refused'))).toHaveLength(3);
    a.say({ say: 'joined', room: 'room' });
    await eventually(() => {
      b.say({ say: 'room', room: 'room', data: 'text' });
      expect(a.published[0]).toEqual(['room', 'text']);
    });
    expect(await a.ask({ ask: 'presence', key: 'lobby' })).toEqual([]);
  });

  it('tells of a publication that it cannot read as one that is missing, and goes on', async () => {
    const { a, b } = await openTwo();
    const subject = 'm:news';
    a.say({ say: 'subscribe', subject });
    await eventually(() => {
      b.broker.driver.publish(subject, Buffer.from('garbage'));
      expect(a.of('event')).toContainEqual({ say: 'event', event: 'clusterGap', args: ['news'] });
    });
    b.say({ say: 'publish', subject, data: clonedBytes('good') });
    await eventually(() => expect(a.of('published')).toContainEqual(expect.objectContaining({ data: 'good' })));
  });

  it.each([
    ['of a topic that its subscribers could not read', 't:prices', Buffer.of(0x7e, 0x7e)],
    ['of a topic that is too deep', 't:prices', serialize(deep(2500))],
    ['of a topic without bytes', 't:prices', 5],
    ['of a cache without bytes', 'c:prices', 5],
  ])('counts a message %s as lost, says so once, and gives nothing of it to anybody', async (_, subject, bad) => {
    const { a, b } = await openTwo();
    a.say({ say: 'subscribe', subject });
    await eventually(() => {
      b.say({ say: 'publish', subject, data: serialize(bad) });
      expect(a.of('event')).toContainEqual({ say: 'event', event: 'clusterGap', args: ['prices'] });
    });
    b.say({ say: 'publish', subject, data: serialize(bad) });
    const good = clonedBytes('good');
    b.say({ say: 'publish', subject, data: clonedBytes(good) });
    await eventually(() => expect(a.of('published').length).toBeGreaterThan(0));
    expect(a.of('published')).toEqual([{ say: 'published', subject, data: good, from: 'b' }]);
    expect(a.broker.lost).toBeGreaterThan(1);
    expect(a.log.filter((line) => line.includes('a publication cannot be read'))).toHaveLength(1);
  });

  it('passes a message to a room on where it has members, and never back to where it came from', async () => {
    const { a, b } = await openTwo();
    b.say({ say: 'joined', room: 'room' });
    a.say({ say: 'joined', room: 'room' });
    a.say({ say: 'room', room: 'room', data: 'text' });
    a.say({ say: 'room', room: 'room', data: new Uint8Array([1, 255]) });
    a.say({ say: 'room', room: 'elsewhere', data: 'x' });
    await eventually(() =>
      expect(b.published).toEqual([
        ['room', 'text'],
        ['room', Buffer.from([1, 255])],
      ]),
    );
    expect(a.published).toEqual([]);
  });

  it('follows the rooms that have members when it starts, counts them, and lets go of those that have none', async () => {
    const { a, b } = await openTwo();
    a.say({ say: 'joined', room: 'room' });
    a.sizes.set('room', 3);
    await eventually(() => expect(b.broker.driver.state).toBe('up'));
    await expect
      .poll(() => b.ask({ ask: 'members', room: 'room' }), { timeout: 10_000 })
      .toEqual([{ node: 'a', members: 3 }]);
    a.sizes.set('room', 0);
    await expect.poll(() => b.ask({ ask: 'members', room: 'room' }), { timeout: 10_000 }).toEqual([]);
  });

  it('gives a subject to each process that wants it, once', async () => {
    const { a, b } = await openTwo();
    b.say({ say: 'hello', subjects: ['m:news'] }, 0);
    b.say({ say: 'subscribe', subject: 'm:news' }, 1);
    a.say({ say: 'publish', subject: 'm:news', data: clonedBytes({ n: 1 }) });
    await eventually(() => expect(b.of('published')).toHaveLength(2));
    expect(b.told.filter(([{ say }]) => say === 'published')).toEqual(
      [0, 1].map((process) => [{ say: 'published', subject: 'm:news', data: { n: 1 }, from: 'a' }, process]),
    );
    b.say({ say: 'unsubscribe', subject: 'm:news' }, 1);
    b.say({ say: 'hello', subjects: [] }, 0);
    a.say({ say: 'publish', subject: 'm:news', data: clonedBytes(2) });
    await b.ask({ ask: 'request', node: 'a', data: 'behind it', timeoutMs: 1000 });
    expect(b.of('published')).toHaveLength(2);
  });

  it('that are longer than the engine takes are told in the log, with their length; those behind them arrive', async () => {
    const at = url();
    const [a, b] = [openNode('a', at), openNode('b', at)];
    await eventually(() => expect([a, b].map(({ broker }) => broker.driver.nodes().length)).toEqual([2, 2]));
    b.say({ say: 'hello', subjects: ['m:news'] }, 0);
    const most = a.broker.driver.capabilities.maxPayload;
    a.say({ say: 'publish', subject: 'm:news', data: clonedBytes(Buffer.alloc(most)) });
    a.say({ say: 'room', room: 'lobby', data: 'x'.repeat(most) });
    a.say({ say: 'publish', subject: 'm:news', data: clonedBytes('short') });
    await eventually(() => expect(b.of('published')).toHaveLength(1));
    const told = a.log.filter((line) => line.includes('longer than the engine takes'));
    expect(told).toHaveLength(2);
    expect([told[0], told[1]]).toEqual([expect.stringContaining('news'), expect.stringContaining('lobby')]);
    for (const line of told) expect(line).toContain(`mostBytes=${8 * MIB - 256}`);
    expect(told[1]).toContain(`bytes=${most} `);
  });

  it('lets one worker after another answer what other nodes ask, and calls on connections by itself', async () => {
    const { a, b } = await openTwo();
    for (let i = 0; i < 2; i++) {
      expect(await a.ask({ ask: 'request', node: 'b', data: i, timeoutMs: 1000 })).toEqual([i, 'a']);
    }
    expect(b.told.filter(([{ say }]) => say === 'asked').map(([, process]) => process)).toEqual([0, 1]);
    const call = { incarnation: 'b-1', fd: 7, method: 'send', data: 'x' } as const;
    expect(await a.ask({ ask: 'connection', node: 'b', call })).toBe(true);
    expect(await a.ask({ ask: 'connection', node: 'b', call: { ...call, fd: 404 } })).toBe('ERR_SESSION_NOT_FOUND');
    expect(await a.ask({ ask: 'request', node: 'c', data: 1, timeoutMs: 1000 })).toBe('ERR_NODE_LOST');
  });

  it('tells of nodes that come and go, and remembers who is there', async () => {
    const { at, a, b } = await openTwo();
    b.say({ say: 'present', key: 'lobby', member: 'bob', meta: 1, ttlMs: 400 });
    const bob = { member: 'bob', node: 'b', meta: 1, stale: false };
    await expect.poll(() => a.ask({ ask: 'presence', key: 'lobby' }), { timeout: 10_000 }).toEqual([bob]);
    await b.end();
    await eventually(() =>
      expect(a.of('event')).toContainEqual({ say: 'event', event: 'nodeDown', args: ['b', 'left'] }),
    );
    const told = a.of('now').length;
    a.say({ say: 'hello', subjects: [] });
    expect(a.of('now').slice(told)).toMatchObject([{ state: 'up', nodes: [{ id: 'a' }] }]);
    openNode('c', at);
    await eventually(() =>
      expect(a.of('event')).toContainEqual({
        say: 'event',
        event: 'nodeUp',
        args: [expect.objectContaining({ id: 'c' })],
      }),
    );
    expect(a.of('now').length).toBe(told + 1); // all nodes for each that comes would be the square of their number
  });

  it('is told again who is present, and each member is kept by the process that has put it last', async () => {
    const { a, b } = await openTwo();
    const of = (member: string) => ({ key: 'lobby', member, meta: null, ttlMs: 400 });
    a.say({ say: 'presentAgain', members: [of('ann'), of('bob'), of('cy')] }, 0);
    a.say({ say: 'present', ...of('bob') }, 1);
    a.say({ say: 'absent', key: 'lobby', member: 'cy' }, 1);
    const names = async (): Promise<string[]> =>
      ((await b.ask({ ask: 'presence', key: 'lobby' })) as { member: string }[]).map(({ member }) => member).sort();
    await expect.poll(names, { timeout: 10_000 }).toEqual(['ann', 'bob']);
    const forgotten = a.told.filter(([{ say }]) => say === 'forget').map(([message, to]) => [message, to]);
    expect(forgotten).toEqual(['bob', 'cy'].map((member) => [{ say: 'forget', key: 'lobby', member }, 0]));
    a.say({ say: 'hello', subjects: [] }, 0);
    expect(a.of('keep')).toEqual([{ say: 'keep', members: [{ ...of('ann'), keeper: 0 }] }]);
  });

  it('gives what a worker has put that is scaled away to another worker, which keeps it', async () => {
    let workers = 3;
    const seats = { seatNum: () => 4, maxWorkerNum: 4, processes: [0, 1, 2, 3, 4] };
    const a = openNode('a', url(), { workerNum: () => workers, ...seats });
    const of = (member: string) => ({ key: 'lobby', member, meta: null, ttlMs: 400 });
    a.say({ say: 'present', ...of('ann') }, 1);
    a.say({ say: 'present', ...of('bob') }, 2);
    a.say({ say: 'present', ...of('cy') }, 4);
    workers = 2;
    const kept = (...names: string[]) => names.map((name) => ({ ...of(name), keeper: 0 }));
    await eventually(() => expect(a.of('keep')).toEqual([{ say: 'keep', members: kept('bob') }]));
    a.say({ say: 'present', ...of('dan') }, 3); // its last turn
    expect(a.told.filter(([{ say }]) => say === 'keep')).toEqual(
      ['bob', 'dan'].map((name) => [{ say: 'keep', members: kept(name) }, 0]),
    );
    a.say({ say: 'absent', key: 'lobby', member: 'bob' }, 0); // who has not read the `keep` yet
    expect(a.told.at(-1)).toEqual([{ say: 'forget', key: 'lobby', member: 'bob' }, 0]);
    a.say({ say: 'hello', subjects: [] }, 0);
    expect(a.of('keep').at(-1)).toEqual({ say: 'keep', members: kept('dan') });
    expect(await a.ask({ ask: 'presence', key: 'lobby' })).toHaveLength(3);
  });

  it('tells a process that took no messages of each gap, and of what has changed, as soon as it takes some', async () => {
    const { at, a } = await openTwo();
    const took: FromBroker[] = [];
    let isFull = false;
    const c = openNode('c', at, {
      send: (message, process) => {
        if (isFull && process === 1) throw new Error('no room');
        if (process === 1) took.push(message);
      },
    });
    await eventually(() => expect(c.broker.driver.state).toBe('up'));
    await eventually(() => expect(c.broker.driver.nodes()).toHaveLength(3));
    c.say({ say: 'hello', subjects: ['m:news', 'm:quiet'] }, 1);
    isFull = true;
    for (let i = 0; i < 3; i++) a.say({ say: 'publish', subject: 'm:news', data: clonedBytes(i) });
    await a.end();
    await eventually(() => expect(c.broker.driver.nodes()).toHaveLength(2));
    await eventually(() => expect(c.broker.lost).toBeGreaterThanOrEqual(4));
    expect(took.filter(({ say }) => say === 'published')).toEqual([]);
    isFull = false;
    const before = took.length;
    await eventually(() => expect(took.at(-1)).toMatchObject({ say: 'now', state: 'up' }));
    await eventually(() => expect(took.length).toBeGreaterThan(before));
    const events = took.slice(before).filter(({ say }) => say === 'event');
    expect(events).toEqual([
      { say: 'event', event: 'nodeDown', args: ['a', 'left'] },
      { say: 'event', event: 'clusterGap', args: ['news'] },
    ]);
  });

  it('sends nothing to ids of workers that are not there, whose queues nobody would empty', async () => {
    let seats = 3;
    const at = url();
    const a = openNode('a', at, { seatNum: () => seats, maxWorkerNum: 4, processes: [0, 1, 2, 3, 4] });
    await eventually(() => expect(a.broker.driver.state).toBe('up'));
    a.say({ say: 'hello', subjects: ['m:news'] }, 2);
    a.say({ say: 'hello', subjects: ['m:news'] }, 4);
    await eventually(() => {
      a.say({ say: 'publish', subject: 'm:news', data: clonedBytes(1) });
      expect(a.told.filter(([{ say }, to]) => say === 'published' && to === 2)).not.toEqual([]);
    });
    expect(a.told.filter(([, to]) => to === 3)).toEqual([]);
    seats = 2;
    const before = a.told.length;
    openNode('b', at);
    await eventually(() =>
      expect(a.told.slice(before)).toContainEqual([expect.objectContaining({ event: 'nodeUp' }), 4]),
    );
    a.say({ say: 'publish', subject: 'm:news', data: clonedBytes(2) });
    await eventually(() =>
      expect(a.told.slice(before).filter(([{ say }, to]) => say === 'published' && to === 4)).not.toEqual([]),
    );
    expect(new Set(a.told.slice(before).map(([, to]) => to))).toEqual(new Set([0, 1, 4]));
    a.say({ say: 'hello', subjects: [] }, 4);
    a.say({ say: 'subscribe', subject: 'm:news' }, 2); // its last word; what is left of it goes with it
    await eventually(() => expect(a.broker.driver.nodes()).toHaveLength(2));
  });

  it('finds a room whose join was not said, and tells of a gap', { timeout: 2 * DEADLINE_MS }, async () => {
    const { a, b } = await openTwo();
    b.say({ say: 'joined', room: 'known' });
    for (const room of ['known', 'forgotten']) b.sizes.set(room, 1);
    const gap = (name: string) => ({ say: 'event', event: 'clusterGap', args: [name] });
    await eventually(() => expect(b.of('event')).toContainEqual(gap('forgotten')));
    expect(b.of('event')).not.toContainEqual(gap('known'));
    a.say({ say: 'room', room: 'forgotten', data: 'text' });
    await eventually(() => expect(b.published).toEqual([['forgotten', 'text']]));
  });

  it('tells of a gap where the reactors did not take what came for a room', async () => {
    let takes = false;
    const { at, a } = await openTwo();
    const rooms = { publish: () => takes, size: () => 1, list: () => [] };
    const c = openNode('c', at, { rooms });
    await eventually(() => expect(c.broker.driver.state).toBe('up'));
    for (const room of ['hall', 'yard']) c.say({ say: 'joined', room });
    await eventually(() => {
      a.say({ say: 'room', room: 'hall', data: 'x' });
      expect(c.of('event')).toContainEqual({ say: 'event', event: 'clusterGap', args: ['hall'] });
    });
    takes = true;
    expect(c.broker.lost).toBeGreaterThan(0);
    expect(c.of('event')).not.toContainEqual({ say: 'event', event: 'clusterGap', args: ['yard'] });
  });

  it('whose predecessor has ended says that messages may be missing', async () => {
    const at = url();
    const sizes = { publish: () => true, size: () => 1, list: () => [{ name: 'room', members: 1 }] };
    const a = openNode('a', at, { isSuccessor: true, rooms: sizes });
    a.say({ say: 'hello', subjects: ['m:news'] }, 1);
    const gap = (name: string) => ({ say: 'event', event: 'clusterGap', args: [name] });
    await eventually(() => expect(a.of('event')).toEqual(expect.arrayContaining([gap('room'), gap('news')])));
    expect(a.told).toContainEqual([{ say: 'restarted' }, 0]);
  });

  it('counts what processes of its own node do not take', async () => {
    const a = openNode('a', url(), {
      send: () => {
        throw new Error('no room');
      },
    });
    await eventually(() => expect(a.broker.lost).toBeGreaterThan(0));
  });

  it('that joins late tells the others what it could not say before, and its own processes that they may have missed something', async () => {
    const at = url();
    const b = openNode('b', at);
    for (const room of ['room', 'early']) {
      b.sizes.set(room, 1);
      b.say({ say: 'joined', room });
    }
    await eventually(() => expect(b.broker.driver.state).toBe('up'));
    const dead = url();
    memoryHub(dead).kill();
    let attempts = 0;
    const a = openNode('a', at, {
      createDriver: () => createDriver('memory', { url: attempts++ === 0 ? dead : at, ...options }),
    });
    a.say({ say: 'subscribe', subject: 'm:news' });
    a.say({ say: 'room', room: 'room', data: 'x' });
    a.broker.lostBefore(['r:early'], 3);
    expect(a.broker.driver.stats().lost + a.broker.lost).toBe(4);
    const gap = (name: string) => ({ say: 'event', event: 'clusterGap', args: [name] });
    await eventually(() => expect(b.of('event')).toEqual(expect.arrayContaining([gap('room'), gap('early')])));
    await eventually(() => expect(a.of('event')).toContainEqual(gap('news')));
    expect(attempts).toBe(2);
  });

  it('remembers which nodes were lost, until they are back', async () => {
    const at = url();
    const { a, events } = openHeard(at);
    await eventually(() => expect(a.broker.driver.state).toBe('up'));
    events().nodeDown('b', 'left', true);
    events().nodeDown('c', 'lost', false);
    expect(['b', 'c'].map((id) => a.broker.lostNodes.has(id))).toEqual([false, true]);
    events().nodeUp({ id: 'c', incarnation: '1', address: '', version: '1' });
    expect(a.broker.lostNodes.has('c')).toBe(false);
    events().nodeDown('d', 'lost', true);
    expect(a.broker.lostNodes.has('d')).toBe(false); // it has said so itself: it does not serve on
    for (let i = 0; i <= 1000; i++) events().nodeDown(`n${i}`, 'lost', false);
    expect(['n0', 'n1', 'n1000'].map((id) => a.broker.lostNodes.has(id))).toEqual([false, true, true]);
  });

  it('tells its own processes what it has itself lost of a subject, but not of a room, whose members here have got it', async () => {
    const at = url();
    const { a, events } = openHeard(at);
    a.sizes.set('hall', 1);
    a.say({ say: 'joined', room: 'hall' });
    a.say({ say: 'subscribe', subject: 'm:news' });
    await eventually(() => expect(a.broker.driver.state).toBe('up'));
    const gap = (name: string) => ({ say: 'event', event: 'clusterGap', args: [name] });
    events().gap('r:hall', true);
    events().gap('m:news', true);
    expect(a.of('event')).toContainEqual(gap('news'));
    expect(a.of('event')).not.toContainEqual(gap('hall'));
    events().gap('r:hall');
    expect(a.of('event')).toContainEqual(gap('hall'));
  });

  it('tells its own processes what was lost before it could take it', async () => {
    const a = openNode('a', url());
    a.say({ say: 'subscribe', subject: 'm:news' });
    a.broker.lostBefore(['m:news'], 2);
    const gap = { say: 'event', event: 'clusterGap', args: ['news'] };
    await eventually(() => expect(a.of('event')).toContainEqual(gap));
  });

  it('tells all nodes of a gap where its processes could not say their publications, and counts them', async () => {
    const at = url();
    const [a, b] = [openNode('a', at), openNode('b', at)];
    for (const { say, sizes } of [a, b]) {
      sizes.set('hall', 1);
      say({ say: 'joined', room: 'hall' });
      say({ say: 'subscribe', subject: 'm:news' });
    }
    await eventually(() => {
      for (const { broker } of [a, b]) expect(broker.driver.nodes().length).toBe(2);
    });
    const { lost } = a.broker;
    a.say({ say: 'notTaken', subjects: ['m:news', 'r:hall'], publications: 7 });
    expect(a.broker.lost).toBe(lost + 7);
    const gap = (name: string) => ({ say: 'event', event: 'clusterGap', args: [name] });
    await eventually(() => expect(b.of('event')).toEqual(expect.arrayContaining([gap('news'), gap('hall')])));
    await eventually(() => expect(a.of('event')).toContainEqual(gap('news')));
    expect(a.of('event')).not.toContainEqual(gap('hall')); // its members here have got it
  });

  it('says once of each subject that the engine refuses to take', async () => {
    const at = url();
    let refuse = (_subject: string): void => {};
    const createRefused = (): ClusterDriver => {
      const driver = createDriver('memory', { url: at, ...options });
      const start = driver.start.bind(driver);
      driver.start = (self, on) => {
        refuse = (subject) =>
          on.refused(new ServerError('ERR_CLUSTER_REFUSED', { engine: 'NATS', subject, why: 'no' }));
        return start(self, on);
      };
      return driver;
    };
    const a = openNode('a', at, { createDriver: createRefused });
    for (const subject of ['s', 's', 'other', 's']) refuse(subject);
    const lines = a.log.filter((line) => line.includes('ERR_CLUSTER_REFUSED'));
    expect(lines).toHaveLength(2);
    expect(lines[0]).toMatch(/NATS must let this node publish to "s".*several-machines/);
  });

  it('tries again under another driver while its name belongs to a living node', async () => {
    const { at } = await openTwo();
    const second = openNode('a', at, { self: { id: 'a', incarnation: 'a-2', address: '', version: '' } });
    await eventually(() => expect(second.log.join()).toContain('belongs to a living server'));
    expect(second.broker.driver.state).toBe('down');
  });
});

describe('a message to a room', () => {
  it.each(['', 'text', 'ü€😀', new Uint8Array(0), new Uint8Array([0, 1, 255])])(
    '%j comes out as it went in',
    (data) => {
      const out = unpackRoomData(packRoomData(data));
      expect(typeof out === 'string' ? out : Buffer.from(out as Uint8Array)).toEqual(
        typeof data === 'string' ? data : Buffer.from(data),
      );
    },
  );

  it('of another version is not read', () => {
    expect(unpackRoomData(new Uint8Array([7, 1]))).toBeUndefined();
    expect(unpackRoomData(new Uint8Array(0))).toBeUndefined();
  });
});
