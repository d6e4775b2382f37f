/** What an engine does not let a node send: it is told, counted, and no reason to leave. */
import { afterEach, describe, expect, test } from 'vitest';
import { DEADLINE_MS } from '../helpers/deadline.js';
import type { EngineProcess } from '../helpers/engine-process.js';
import { eventually } from '../helpers/eventually.js';
import { hasNats, startNats } from '../helpers/nats.js';
import { askRedis, hasRedis, startRedis } from '../helpers/redis.js';
import { begin, Nodes, Received, type TestEngine, type TestNode } from './world.js';

const nodes = new Nodes();
const ends: (() => unknown)[] = [];
afterEach(async () => {
  await nodes.stop();
  for (const end of ends.splice(0).reverse()) await end();
});

/** Of whom some subjects are denied, and of whom none is. */
const JOE = { username: 'joe', password: 'pw' };
const ANN = { username: 'ann', password: 'pw' };

async function natsThatDenies(...subjects: string[]): Promise<TestEngine> {
  const denied = `permissions: { publish: { deny: ${JSON.stringify(subjects)} } }`;
  const users = `{ user: joe, password: pw, ${denied} }, { user: ann, password: pw }`;
  return kept(startNats({ config: `authorization { users: [${users}] }` }), 'nats');
}

async function kept(starting: Promise<EngineProcess>, driver: 'nats' | 'redis'): Promise<TestEngine> {
  const server = await starting;
  ends.push(() => server.stop());
  return { driver, url: server.url } as TestEngine;
}

const refusals = ({ told }: TestNode): string[] => told.filter((line) => line.startsWith('refused'));
const losses = ({ told }: TestNode): string[] => told.filter((line) => line === 'state reconnecting');

describe.skipIf(!hasNats)('a node that NATS does not let publish', () => {
  test('to a subject stays connected, is told, and counts each message as lost, but not the gaps it tries to say', async () => {
    const engine = await natsThatDenies('tswoole.subject.se=20cret');
    const a = await nodes.start(engine, 'a', JOE);
    const b = await nodes.start(engine, 'b', ANN);
    const received = new Received();
    await Promise.all(['se cret', 'open'].map((subject) => b.driver.subscribe(subject, received.take).ready));
    await a.driver.subscribe('se cret', () => {}).ready;
    for (const text of ['1', '2', '3']) a.driver.publish('se cret', Buffer.from(text));
    a.driver.publish('open', Buffer.from('4'));
    await eventually(() => expect(received.texts).toEqual(['a: 4']));
    await eventually(() => expect(a.driver.stats().lost).toBe(3));
    // Three messages, and three times the gap.
    await eventually(() => expect(refusals(a).length).toBeGreaterThanOrEqual(6));
    expect(refusals(a)[0]).toContain('NATS must let this node publish to "tswoole.subject.se=20cret"');
    expect(refusals(a)[0]).toMatch(/permissions violation/i);
    expect(a.driver.stats().lost).toBe(3);
    expect([losses(a), a.driver.state]).toEqual([[], 'up']);
    await eventually(() => expect(a.told).toContain('own gap se cret'));
    const told = a.told.filter((line) => line.includes('gap')).length;
    const tried = refusals(a).length;
    await eventually(() => expect(refusals(a).length).toBeGreaterThan(tried)); // the gap for the others, once more
    expect(a.told.filter((line) => line.includes('gap'))).toHaveLength(told);
  });

  test('to other nodes has its questions refused at once', async () => {
    const engine = await natsThatDenies('tswoole.node.b=2Fone');
    const a = await nodes.start(engine, 'a', JOE);
    await nodes.start(engine, 'b', ANN, 'one');
    await eventually(() => expect(a.told).toContain('up b'));
    const asked = a.driver.request('b', Buffer.from('x'), { timeoutMs: DEADLINE_MS });
    await expect(asked).rejects.toMatchObject({
      code: 'ERR_CLUSTER_REFUSED',
      detail: { engine: 'NATS', subject: 'tswoole.node.b=2Fone' },
    });
    expect(losses(a)).toEqual([]);
  });

  test.each([
    ['about itself', 'tswoole.nodes.>'],
    ['to itself', 'tswoole.node.>'],
  ])('%s does not start, and says why', async (_, denied) => {
    const engine = await natsThatDenies(denied);
    await expect(begin(nodes.make(engine, 'a', JOE))).rejects.toMatchObject({
      code: 'ERR_CLUSTER_REFUSED',
      message: expect.stringMatching(/permissions violation for publish/i),
    });
  });
});

describe.skipIf(!hasRedis)('a node that Redis does not let publish', () => {
  test('to a subject is told, and the others have a gap as soon as it may', async () => {
    const engine = await kept(startRedis(), 'redis');
    const b = await nodes.start(engine, 'b');
    await askRedis(engine, 'ACL SETUSER joe on >pw ~* +@all resetchannels &tswoole:nod* &tswoole:subject/open');
    const a = await nodes.start(engine, 'a', JOE);
    await b.driver.subscribe('secret', () => {}).ready;
    for (let i = 0; i < 3; i++) a.driver.publish('secret', Buffer.from('x'));
    await eventually(() => expect(a.driver.stats().lost).toBe(3));
    expect(refusals(a)[0]).toContain('Redis must let this node publish to "tswoole:subject/secret"');
    expect(refusals(a)[0]).toContain('NOPERM');
    expect(b.told).not.toContain('gap secret');
    await askRedis(engine, 'ACL SETUSER joe &tswoole:*');
    await eventually(() => expect(b.told).toContain('gap secret'));
    expect([losses(a), a.driver.stats().lost]).toEqual([[], 3]);
  });
});

describe.skipIf(!hasRedis)('a node that Redis does not let hear a subject', () => {
  test('does not count as connected, says why, and joins as soon as it may', async () => {
    const engine = await kept(startRedis(), 'redis');
    await askRedis(engine, 'ACL SETUSER joe on >pw ~* +@all resetchannels &tswoole:nod* &tswoole:subject/open');
    const a = await nodes.start(engine, 'a', JOE);
    await a.driver.subscribe('open', () => {}).ready;
    const received = new Received();
    const { ready } = a.driver.subscribe('secret', received.take);
    ready.catch(() => {});
    await eventually(() => expect(a.told).toEqual(['state up', 'state reconnecting']));
    await eventually(() => expect(a.driver.failure?.message).toContain('NOPERM'));
    await askRedis(engine, 'ACL SETUSER joe &tswoole:*');
    await eventually(() => expect(a.driver.state).toBe('up'));
    const b = await nodes.start(engine, 'b');
    b.driver.publish('secret', Buffer.from('x'));
    await eventually(() => expect(received.texts).toEqual(['b: x']));
  });
});
