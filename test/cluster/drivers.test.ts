/** One suite for all drivers: whatever the engine, the promises of src/cluster/driver.ts are the same. */
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeEach, describe, expect, test } from 'vitest';
import { ServerError } from '../../src/errors/index.js';
import { PACE } from '../helpers/deadline.js';
import { eventually } from '../helpers/eventually.js';
import {
  begin,
  HEARTBEAT_MS,
  kinds,
  Nodes,
  Received,
  SharedEngine,
  type TestEngine,
  type TestNode,
  TTL_MS,
} from './world.js';

const text = (value: string): Buffer => Buffer.from(value);
const soon = { timeoutMs: Math.round(2000 * PACE) };
const long = { timeoutMs: Math.round(20_000 * PACE) };

for (const kind of kinds) {
  describe.skipIf(!kind.isHere)(`driver ${kind.name}${kind.isHere ? '' : ' (its server is not installed)'}`, () => {
    const nodes = new Nodes();
    const shared = new SharedEngine(kind);
    let engine: TestEngine;
    let testNum = 0;
    /** That of this test. */
    const prefix = () => ({ prefix: `test${testNum}` });
    const make = (id: string) => nodes.make(engine, id, prefix());
    const start = (id: string, options: object = {}, incarnation?: string) =>
      nodes.start(engine, id, { ...prefix(), ...options }, incarnation);

    /** Nodes that know each other. */
    const together = async (...ids: string[]): Promise<TestNode[]> => {
      const all = await Promise.all(ids.map((id) => start(id)));
      for (const { driver } of all) await eventually(() => expect(driver.nodes()).toHaveLength(ids.length));
      return all;
    };

    beforeEach(async () => {
      engine = await shared.use();
      testNum++;
    });
    afterEach(() => nodes.stop());
    afterAll(() => shared.stop());

    describe('publish and subscribe', () => {
      test('a publication reaches the subscribers of all nodes, the own ones included, with the id of its node', async () => {
        const [a, b] = (await together('a', 'b')) as [TestNode, TestNode];
        const [own, other] = [new Received(), new Received()];
        await Promise.all([a.driver.subscribe('s', own.take).ready, b.driver.subscribe('s', other.take).ready]);
        expect(a.driver.publish('s', text('1'))).toBe(true);
        await eventually(() => expect([own.texts, other.texts]).toEqual([['a: 1'], ['a: 1']]));
        expect(a.driver.stats()).toMatchObject({ published: 1, delivered: 1, lost: 0, reconnects: 0 });
        await eventually(() => expect(a.driver.stats().bufferedBytes).toBe(0));
      });

      test('publications of one node on one subject arrive in order, none twice', async () => {
        const [a, b] = (await together('a', 'b')) as [TestNode, TestNode];
        const received = new Received();
        await b.driver.subscribe('s', received.take).ready;
        const expected = Array.from({ length: 3000 }, (_, i) => `a: ${i}`);
        for (let i = 0; i < 3000; i++) {
          expect(a.driver.publish('s', text(String(i)))).toBe(true);
          if (i % 700 === 0) await new Promise(setImmediate);
        }
        await eventually(() => expect(received.texts.length).toBeGreaterThanOrEqual(3000));
        expect(received.texts).toEqual(expected);
      });

      test('any bytes arrive as they were sent, and stay so after later messages', async () => {
        const a = await start('a');
        const all = Buffer.from(Array.from({ length: 256 }, (_, i) => i));
        const payloads = [
          all,
          Buffer.alloc(0),
          text('\r\n$1\r\nPUB x 1\r\n'),
          Buffer.alloc(300_000, 7),
          all.subarray(3, 5),
        ];
        const kept: Uint8Array[] = [];
        await a.driver.subscribe('s', (data) => kept.push(data)).ready;
        for (const payload of payloads) a.driver.publish('s', payload);
        await eventually(() => expect(kept).toHaveLength(payloads.length));
        for (let i = 0; i < 100; i++) a.driver.publish('s', Buffer.alloc(5000, 9));
        await eventually(() => expect(kept).toHaveLength(payloads.length + 100));
        for (const [i, payload] of payloads.entries()) expect(Buffer.compare(kept[i]!, payload)).toBe(0);
      });

      test('a closed subscription is silent at once, the others of the subject go on', async () => {
        const [a, b] = (await together('a', 'b')) as [TestNode, TestNode];
        const [first, second] = [new Received(), new Received()];
        const one = b.driver.subscribe('s', first.take);
        const two = b.driver.subscribe('s', second.take);
        await Promise.all([one.ready, two.ready]);
        one.close();
        one.close();
        a.driver.publish('s', text('1'));
        await eventually(() => expect(second.texts).toEqual(['a: 1']));
        two.close();
        const again = new Received();
        await b.driver.subscribe('s', again.take).ready;
        a.driver.publish('s', text('2'));
        await eventually(() => expect(again.texts).toEqual(['a: 2']));
        expect([first.texts, second.texts]).toEqual([[], ['a: 1']]);
      });

      test('a subject may be any text of 128 bytes, and no two are mixed up', async () => {
        const [a, b] = (await together('a', 'b')) as [TestNode, TestNode];
        const subjects = [
          ...[
            'a',
            'A',
            'a.b',
            'a b',
            'a.*',
            'a.>',
            '>',
            '*',
            '.',
            ' ',
            '=',
            '=20',
            'a=20b',
            'ü',
            'u\u0308',
            '日本',
            '\n',
            '\0',
          ],
          ...['/', 'a/b', '$JS.API.INFO', '?[x]', 'x'.repeat(128), 'é'.repeat(64), '😀'.repeat(32)],
        ];
        const received = new Map(subjects.map((subject) => [subject, new Received()]));
        await Promise.all(subjects.map((subject) => b.driver.subscribe(subject, received.get(subject)!.take).ready));
        for (const subject of subjects) a.driver.publish(subject, text(subject));
        await eventually(() => {
          for (const subject of subjects) expect(received.get(subject)!.texts).toEqual([`a: ${subject}`]);
        });
      });

      test.each(['', 'x'.repeat(129), `${'é'.repeat(64)}x`, '\uD800'])('the subject %j is refused', async (subject) => {
        const a = await start('a');
        for (const call of [() => a.driver.publish(subject, text('')), () => a.driver.subscribe(subject, () => {})]) {
          expect(call).toThrow(expect.objectContaining({ code: 'ERR_CLUSTER_SUBJECT' }));
        }
      });

      test('two clusters with different prefixes do not hear each other', async () => {
        const [a, b] = [await start('a'), await start('a', { prefix: 'other.one' })];
        const received = new Received();
        await b.driver.subscribe('s', received.take).ready;
        a.driver.publish('s', text('from a'));
        b.driver.publish('s', text('from b'));
        await eventually(() => expect(received.texts).toEqual(['a: from b']));
        expect(b.driver.nodes().map(({ id }) => id)).toEqual(['a']);
      });

      test('the largest payload arrives, one byte more is refused and counted', async () => {
        const [a, b] = (await together('a', 'b')) as [TestNode, TestNode];
        const { maxPayload } = a.driver.capabilities;
        const received = new Received();
        await b.driver.subscribe('s', received.take).ready;
        expect(a.driver.publish('s', Buffer.alloc(maxPayload + 1))).toBe(false);
        expect(a.driver.publish('s', Buffer.alloc(maxPayload, 1))).toBe(true);
        await eventually(() => expect(received.bytes.map(({ length }) => length)).toEqual([maxPayload]));
        expect(a.driver.stats()).toMatchObject({ published: 1, lost: 1 });
        const oversize = a.driver.request('b', Buffer.alloc(maxPayload + 1), soon);
        await expect(oversize).rejects.toMatchObject({ code: 'ERR_CLUSTER_PAYLOAD' });
      });

      test('an engine that does not take publications fills the bound: then they are refused and counted', async () => {
        const a = await start('a', { maxBufferedBytes: '256k', ttlMs: 100 * HEARTBEAT_MS });
        const received = new Received();
        await a.driver.subscribe('s', received.take).ready;
        await engine.freeze();
        const taken = Array.from({ length: 100 }, () => a.driver.publish('s', Buffer.alloc(10_000))).filter(Boolean);
        expect(taken.length).toBeGreaterThan(20);
        expect(taken.length).toBeLessThan(27);
        expect(a.driver.stats()).toMatchObject({ published: taken.length, lost: 100 - taken.length });
        expect(a.driver.stats().bufferedBytes).toBeLessThanOrEqual(256 * 1024);
        await expect(a.driver.request('a', Buffer.alloc(20_000), soon)).rejects.toMatchObject({
          code: 'ERR_CLUSTER_FULL',
        });
        await engine.thaw();
        await eventually(() => expect(received.bytes).toHaveLength(taken.length));
        await eventually(() => expect(a.driver.publish('s', Buffer.alloc(10_000))).toBe(true));
      });
    });

    describe('requests', () => {
      test('a node answers, this one too, and knows who asks', async () => {
        const [a, b] = (await together('a', 'b')) as [TestNode, TestNode];
        b.answer = async (data, from) => text(`${from} said ${Buffer.from(data)}`);
        const answers = await Promise.all([
          a.driver.request('b', text('x'), soon),
          a.driver.request('a', text('y'), soon),
        ]);
        expect(answers.map(String)).toEqual(['a said x', '> y']);
        const many = Array.from({ length: 500 }, (_, i) => a.driver.request('b', text(String(i)), long));
        expect((await Promise.all(many)).map(String)).toEqual(many.map((_, i) => `a said ${i}`));
      });

      test("the handler's error travels back with its code and detail", async () => {
        const [a, b] = (await together('a', 'b')) as [TestNode, TestNode];
        b.answer = async () => {
          throw new ServerError('ERR_NODE_LOST', { node: 'z' });
        };
        await expect(a.driver.request('b', text(''), soon)).rejects.toMatchObject({
          code: 'ERR_NODE_LOST',
          detail: { node: 'z' },
        });
        b.answer = () => {
          throw new RangeError('at once');
        };
        await expect(a.driver.request('b', text(''), soon)).rejects.toMatchObject({
          name: 'RangeError',
          message: 'at once',
        });
        b.answer = async () => 'text' as unknown as Uint8Array;
        await expect(a.driver.request('b', text(''), soon)).rejects.toMatchObject({ name: 'TypeError' });
        b.answer = async () => Buffer.alloc(b.driver.capabilities.maxPayload + 1);
        await expect(a.driver.request('b', text(''), soon)).rejects.toMatchObject({ code: 'ERR_CLUSTER_PAYLOAD' });
      });

      test('no answer in time is ERR_CLUSTER_TIMEOUT, and a late answer goes nowhere', async () => {
        const [a, b] = (await together('a', 'b')) as [TestNode, TestNode];
        let answer: (data: Uint8Array) => void = () => {};
        b.answer = () => new Promise((resolve) => (answer = resolve));
        const late = a.driver.request('b', text('1'), { timeoutMs: 50 });
        await expect(late).rejects.toMatchObject({ code: 'ERR_CLUSTER_TIMEOUT', detail: { node: 'b', timeoutMs: 50 } });
        answer(text('late'));
        b.answer = async () => text('second');
        expect(String(await a.driver.request('b', text('2'), soon))).toBe('second');
      });

      test('a node that is not in nodes() is never waited for', async () => {
        const a = await start('a');
        await expect(a.driver.request('nobody', text(''), long)).rejects.toMatchObject({
          code: 'ERR_NODE_LOST',
          detail: { node: 'nobody', known: 'a' },
          message: expect.stringContaining('nothing has run there'),
        });
      });

      test('a node that goes while it is waited for is ERR_NODE_LOST: when it leaves, and when it is lost', async () => {
        const [a, b, c] = (await together('a', 'b', 'c')) as [TestNode, TestNode, TestNode];
        for (const node of [b, c]) node.answer = () => new Promise(() => {});
        const asked = ['b', 'c'].map((id) => a.driver.request(id, text(''), long));
        const ends = asked.map((request) => expect(request).rejects.toMatchObject({ code: 'ERR_NODE_LOST' }));
        await b.driver.stop(false);
        c.cut();
        await Promise.all(ends);
        expect(a.told.filter((line) => /^(left|lost)/.test(line))).toEqual(['left b', 'lost c']);
      });

      test('a lost engine is ERR_CLUSTER_DOWN: at once for who waits and for who asks then', async () => {
        const [a, b] = (await together('a', 'b')) as [TestNode, TestNode];
        b.answer = () => new Promise(() => {});
        const waiting = expect(a.driver.request('b', text(''), long)).rejects.toMatchObject({
          code: 'ERR_CLUSTER_DOWN',
        });
        await engine.kill();
        await waiting;
        await expect(a.driver.request('b', text(''), long)).rejects.toMatchObject({ code: 'ERR_CLUSTER_DOWN' });
        expect(a.driver.publish('s', text(''))).toBe(false);
        expect(a.driver.stats().lost).toBe(1);
      });
    });

    describe('nodes', () => {
      test('nodes see each other come and leave', async () => {
        const a = await start('a');
        const b = await start('b');
        await eventually(() => expect(a.told).toEqual(['state up', 'up b']));
        expect(b.told).toEqual(['up a', 'state up']);
        expect(b.driver.nodes().map(({ id, address }) => [id, address])).toEqual([
          ['b', 'host-of-b'],
          ['a', 'host-of-a'],
        ]);
        await b.driver.stop(true);
        await eventually(() => expect(a.told).toEqual(['state up', 'up b', 'left b']));
        expect(b.told).toEqual(['up a', 'state up', 'state down']);
      });

      test('a node whose server was killed is lost at once, when the last of its processes says so', async () => {
        const [a, b] = [await start('a', { ttlMs: 60_000 }), await start('b')];
        await eventually(() => expect(a.told).toEqual(['state up', 'up b']));
        const asked = a.driver.request('b', text('?'), long);
        const lost = expect(asked).rejects.toMatchObject({ code: 'ERR_NODE_LOST' });
        b.answer = () => new Promise(() => {});
        await b.driver.stop(false, true);
        await eventually(() => expect(a.told).toEqual(['state up', 'up b', 'lost b']));
        await lost;
      });

      test('a start that has left comes back, when its server connects by another process', async () => {
        const [a, b] = [await start('a'), await start('b', {}, 'same')];
        await eventually(() => expect(a.driver.nodes()).toHaveLength(2));
        await b.driver.stop(true);
        await eventually(() => expect(a.driver.nodes()).toHaveLength(1));
        await start('b', {}, 'same');
        await eventually(() => expect(a.told).toEqual(['state up', 'up b', 'left b', 'up b']));
        expect(String(await a.driver.request('b', text('x'), soon))).toBe('> x');
      });

      test('of a start that another process speaks for now, who waits for the one before is told at once', async () => {
        const [a, killed] = [await start('a'), await start('b', {}, 'same')];
        await eventually(() => expect(a.driver.nodes()).toHaveLength(2));
        killed.answer = () => new Promise(() => {});
        const asked = a.driver.request('b', text(''), long).catch((error: unknown) => error);
        killed.cut();
        await start('b', {}, 'same');
        expect(await asked).toMatchObject({ code: 'ERR_NODE_RESTARTED' });
        expect(String(await a.driver.request('b', text('x'), soon))).toBe('> x');
        expect(a.told.filter((line) => line.endsWith(' b'))).toEqual(['up b']);
      });

      test('a silent node is lost after the ttl, and comes back with the same start', async () => {
        const [a, b] = (await together('a', 'b')) as [TestNode, TestNode];
        const begun = performance.now();
        b.cut();
        await eventually(() => expect(a.told).toContain('lost b'));
        expect(performance.now() - begun).toBeGreaterThan(TTL_MS - HEARTBEAT_MS);
        b.heal();
        await eventually(() => expect(a.told.slice(-2)).toEqual(['lost b', 'up b']));
      });

      test('a new start of a dead node is the end of the old one, and gets none of its messages', async () => {
        const [a, old] = [await start('a'), await start('b', {}, 'first')];
        await eventually(() => expect(a.driver.nodes()).toHaveLength(2));
        old.answer = () => new Promise(() => {});
        const pending = expect(a.driver.request('b', text(''), long)).rejects.toMatchObject({ code: 'ERR_NODE_LOST' });
        await sleep(2 * HEARTBEAT_MS);
        old.cut();
        await start('b', {}, 'second');
        await pending;
        await eventually(() => expect(a.told.slice(-3)).toEqual(['up b', 'lost b', 'up b']));
        expect(a.driver.nodes()[1]).toMatchObject({ id: 'b', incarnation: 'second' });
        expect(String(await a.driver.request('b', text('x'), soon))).toBe('> x');
        await old.driver.stop(false);
        await sleep(2 * HEARTBEAT_MS);
        expect(a.driver.nodes()[1]).toMatchObject({ incarnation: 'second' });
      });

      test.each(['cut', 'stop'])(
        'a start that another process speaks for after %s is a gap for the others, once',
        async (how) => {
          const a = await start('a');
          const old = await start('b', {}, 'only');
          await eventually(() => expect(a.driver.nodes()).toHaveLength(2));
          for (const subject of ['s', 't']) await a.driver.subscribe(subject, () => {}).ready;
          await start('c');
          await eventually(() => expect(a.told).toContain('up c'));
          expect(a.told.filter((line) => line.startsWith('gap'))).toEqual([]);
          if (how === 'cut') old.cut();
          else await old.driver.stop(false);
          const young = await start('b', {}, 'only');
          await eventually(() => expect(a.told.slice(-2)).toEqual(['gap s', 'gap t']));
          await sleep(3 * HEARTBEAT_MS);
          expect(a.told.filter((line) => line.startsWith('gap'))).toHaveLength(2);
          expect(a.told.filter((line) => line.endsWith(' b'))).toEqual(
            how === 'cut' ? ['up b'] : ['up b', 'left b', 'up b'],
          );
          expect(String(await a.driver.request('b', text('x'), soon))).toBe('> x');
          expect(young.told.filter((line) => line.startsWith('gap'))).toEqual([]);
        },
      );

      test('what such a process has lost before it has joined is no second gap for those that are told of all', async () => {
        const a = await start('a');
        const old = await start('b', {}, 'only');
        await eventually(() => expect(a.driver.nodes()).toHaveLength(2));
        for (const subject of ['s', 't', 'later']) await a.driver.subscribe(subject, () => {}).ready;
        old.cut();
        const young = make('b');
        expect(young.driver.publish('s', text('x'))).toBe(false);
        const joined = begin(young, 'only');
        young.driver.missed(['t']);
        await joined;
        // Told a heartbeat later, as the others would be.
        young.driver.missed(['later']);
        await eventually(() => expect(a.told.filter((line) => line === 'gap later')).toHaveLength(2));
        expect(a.told.filter((line) => line.startsWith('gap')).sort()).toEqual([
          'gap later',
          'gap later',
          'gap s',
          'gap t',
        ]);
      });

      test('a node that has not known the process before is told of what its successor has lost', async () => {
        const old = await start('b', {}, 'only');
        await old.driver.subscribe('s', () => {}).ready; // what it has said before has come
        old.cut();
        const late = await start('c');
        for (const subject of ['s', 't']) await late.driver.subscribe(subject, () => {}).ready;
        const young = make('b');
        young.driver.publish('s', text('x'));
        await begin(young, 'only');
        await eventually(() => expect(late.told.filter((line) => line.startsWith('gap'))).toEqual(['gap s']));
      });

      test('a second living server with the same id does not start, and the first goes on', async () => {
        const [a, b] = (await together('a', 'b')) as [TestNode, TestNode];
        const second = make('b');
        await expect(begin(second)).rejects.toMatchObject({
          code: 'ERR_CLUSTER_NODE_ID',
          detail: { node: 'b', address: 'host-of-b' },
        });
        expect(second.driver.state).toBe('down');
        expect(String(await a.driver.request('b', text('x'), soon))).toBe('> x');
        for (const { told } of [a, b]) expect(told.filter((line) => !/^(up [ab]|state up)$/.test(line))).toEqual([]);
      });

      test('of several servers that start with one id at once, one stays', async () => {
        const starting = Array.from({ length: 5 }, () => make('same'));
        const results = await Promise.allSettled(starting.map((node) => begin(node)));
        expect(results.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
        for (const result of results) {
          if (result.status === 'rejected') expect(result.reason).toMatchObject({ code: 'ERR_CLUSTER_NODE_ID' });
        }
      });

      test('a node that was cut off while another start took its id gives up when it is back', async () => {
        const old = await start('b', {}, 'first');
        old.cut();
        await eventually(() => expect(old.driver.state).toBe('reconnecting'));
        const young = await start('b', {}, 'second');
        await sleep(TTL_MS + HEARTBEAT_MS); // away for longer than the ttl: the younger start has the older right
        old.heal();
        await eventually(() => expect(old.driver.state).toBe('down'));
        expect(old.driver.failure).toMatchObject({ code: 'ERR_CLUSTER_NODE_ID' });
        expect(young.driver.state).toBe('up');
      });

      test('20 nodes that join at once all see each other, each once', async () => {
        const ids = Array.from({ length: 20 }, (_, i) => `n${i}`);
        const all = await Promise.all(ids.map((id) => start(id)));
        for (const node of all) {
          await eventually(() => expect(node.driver.nodes()).toHaveLength(20));
          expect(node.told.filter((line) => line !== 'state up').sort()).toEqual(
            ids
              .filter((id) => id !== node.id)
              .map((id) => `up ${id}`)
              .sort(),
          );
        }
      });

      test.each([
        ['id', ''],
        ['id', 'a/b'],
        ['id', 'x'.repeat(129)],
        ['incarnation', 'a b'],
        ['version', '\n'],
      ])('a node whose %s is %j is refused', async (field, value) => {
        const { driver } = make('a');
        const node = { id: 'a', incarnation: 'i', address: 'h', version: '1', [field]: value };
        const events = {
          nodeUp() {},
          nodeDown() {},
          state() {},
          gap() {},
          full() {},
          refused() {},
          request: async () => text(''),
        };
        await expect(driver.start(node, events)).rejects.toMatchObject({
          code: 'ERR_OPTION_VALUE',
          detail: { name: `cluster.node.${field}` },
        });
      });
    });

    describe('presence', () => {
      test('members of all nodes are listed, with what was put', async () => {
        const [a, b] = (await together('a', 'b')) as [TestNode, TestNode];
        a.driver.presence.put('room', 'ann', { age: 3 }, TTL_MS);
        b.driver.presence.put('room', 'bob', undefined, TTL_MS);
        b.driver.presence.put('room', 'bob', ['again'], TTL_MS);
        b.driver.presence.put('other', 'eve', 1, TTL_MS);
        expect(await a.driver.presence.list('room')).toEqual([
          { member: 'ann', node: 'a', meta: { age: 3 }, stale: false },
          { member: 'bob', node: 'b', meta: ['again'], stale: false },
        ]);
        b.driver.presence.drop('room', 'bob');
        b.driver.presence.drop('room', 'bob');
        expect((await a.driver.presence.list('room')).map(({ member }) => member)).toEqual(['ann']);
        expect(await a.driver.presence.list('nothing')).toEqual([]);
      });

      test('10,000 members are listed in pages, each once', async () => {
        const [a, b] = (await together('a', 'b')) as [TestNode, TestNode];
        for (let i = 0; i < 10_000; i++) b.driver.presence.put('room', `m${i}`, { i, text: 'x'.repeat(20) }, 600_000);
        const members = await a.driver.presence.list('room');
        expect(members.map(({ member }) => member)).toEqual(Array.from({ length: 10_000 }, (_, i) => `m${i}`));
        expect(members.at(-1)).toMatchObject({ meta: { i: 9999 }, stale: false });
        a.driver.presence.put('room', 'own', null, TTL_MS);
        expect([await a.driver.presence.count('room'), await b.driver.presence.count('none')]).toEqual([10_001, 0]);
        b.cut();
        expect(await a.driver.presence.count('room')).toBeGreaterThanOrEqual(10_001);
      });

      test("a silent node's members stay, stale, and leave after the ttl; those of a node that left are gone", async () => {
        const [a, b, c] = (await together('a', 'b', 'c')) as [TestNode, TestNode, TestNode];
        for (const node of [b, c]) node.driver.presence.put('room', node.id, null, TTL_MS);
        expect((await a.driver.presence.list('room')).map(({ node }) => node).sort()).toEqual(['b', 'c']);
        await c.driver.stop(true);
        await eventually(() => expect(a.told).toContain('left c'));
        b.cut();
        expect(await a.driver.presence.list('room')).toEqual([{ member: 'b', node: 'b', meta: null, stale: true }]);
        await eventually(() => expect(a.told).toContain('lost b'));
        expect(await a.driver.presence.list('room')).toEqual([]);
      });

      test('a silent node is waited for a heartbeat, and named where none of its members is known', async () => {
        const [a, b] = (await together('a', 'b')) as [TestNode, TestNode];
        for (const key of ['room', 'asked']) b.driver.presence.put(key, 'bob', null, 600_000);
        expect((await a.driver.presence.list('asked')).silent).toBeUndefined();
        await a.driver.presence.list('empty');
        b.cut();
        const { count, list } = {
          count: a.driver.presence.count('room'),
          list: Promise.all(['room', 'asked', 'empty'].map((key) => a.driver.presence.list(key))),
        };
        const [room, asked, empty] = await list;
        expect(a.told).not.toContain('lost b');
        expect([[...room!], room?.silent, await count]).toEqual([[], ['b'], 0]);
        expect([asked?.[0], asked?.silent]).toMatchObject([{ member: 'bob', stale: true }, undefined]);
        expect([[...empty!], empty?.silent]).toEqual([[], ['b']]);
        await eventually(() => expect(a.told).toContain('lost b'));
        const after = await a.driver.presence.list('room');
        expect([[...after], after.silent]).toEqual([[], undefined]);
      });

      test('while the engine is lost the last known members are listed, the own ones fresh; after it all are', async () => {
        const [a, b] = (await together('a', 'b')) as [TestNode, TestNode];
        a.driver.presence.put('room', 'ann', 1, 1000);
        b.driver.presence.put('room', 'bob', 2, 1);
        await a.driver.presence.list('room');
        await engine.kill();
        await eventually(() => expect(a.driver.state).toBe('reconnecting'));
        expect((await a.driver.presence.list('room')).map(({ member, stale }) => [member, stale])).toEqual([
          ['ann', false],
          ['bob', true],
        ]);
        await engine.restart();
        for (const node of [a, b]) await eventually(() => expect(node.driver.state).toBe('up'));
        expect((await a.driver.presence.list('room')).every(({ stale }) => !stale)).toBe(true);
      });
    });

    describe('config', () => {
      test('a value is put, got, and replaced only over the version that was got', async () => {
        const [a, b] = (await together('a', 'b')) as [TestNode, TestNode];
        expect(a.driver.capabilities.config).toBe(true);
        expect(await a.driver.config.get('key . *')).toBeUndefined();
        const first = await a.driver.config.put('key . *', Buffer.from([0, 255, 10]), 0);
        const got = await b.driver.config.get('key . *');
        expect([...got!.value]).toEqual([0, 255, 10]);
        expect(got!.version).toBe(first);
        const second = await b.driver.config.put('key . *', text('2'), first);
        expect(second).toBeGreaterThan(first);
        const conflict = { code: 'ERR_CLUSTER_CONFLICT', detail: { key: 'key . *', expected: first, found: second } };
        await expect(a.driver.config.put('key . *', text('3'), first)).rejects.toMatchObject(conflict);
        await expect(a.driver.config.put('key . *', text('3'), 0)).rejects.toMatchObject({
          code: 'ERR_CLUSTER_CONFLICT',
        });
        expect(String((await a.driver.config.get('key . *'))!.value)).toBe('2');
        expect(await a.driver.config.put('key . *', text('4'))).toBeGreaterThan(second);
      });

      test('of 20 that write over the same version one wins', async () => {
        const [a, b] = (await together('a', 'b')) as [TestNode, TestNode];
        const puts = Array.from({ length: 20 }, (_, i) => (i % 2 ? a : b).driver.config.put('k', text(String(i)), 0));
        const results = await Promise.allSettled(puts);
        expect(results.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
      });

      test('a watcher is told the value there is and each later one, until it is closed', async () => {
        const [a, b] = (await together('a', 'b')) as [TestNode, TestNode];
        await a.driver.config.put('k', text('1'));
        const seen: string[] = [];
        const watch = b.driver.config.watch('k', ({ value }) => seen.push(String(value)));
        await watch.ready;
        expect(seen).toEqual(['1']);
        await a.driver.config.put('k', text('2'));
        await eventually(() => expect(seen).toEqual(['1', '2']));
        watch.close();
        const again: string[] = [];
        await b.driver.config.watch('k', ({ value }) => again.push(String(value))).ready;
        await a.driver.config.put('k', text('3'));
        await eventually(() => expect(again).toEqual(['2', '3']));
        expect(seen).toEqual(['1', '2']);
      });

      test('a value that was put while a node was cut off is told when it is back', async () => {
        const [a, b] = (await together('a', 'b')) as [TestNode, TestNode];
        const seen: string[] = [];
        await b.driver.config.watch('k', ({ value }) => seen.push(String(value))).ready;
        b.cut();
        await a.driver.config.put('k', text('1'));
        await sleep(HEARTBEAT_MS);
        b.heal();
        await eventually(() => expect(seen).toEqual(['1']));
      });
    });

    describe('a lost engine', () => {
      test('kill -9 and restart: told once, subscribed again, each subscription has a gap', async () => {
        const [a, b] = (await together('a', 'b')) as [TestNode, TestNode];
        const received = new Received();
        await Promise.all(['s', 't'].map((subject) => b.driver.subscribe(subject, received.take).ready));
        await engine.kill();
        for (const node of [a, b]) await eventually(() => expect(node.driver.state).toBe('reconnecting'));
        let isReady = false;
        const later = b.driver.subscribe('later', received.take);
        void later.ready.then(() => (isReady = true));
        expect(a.driver.nodes()).toHaveLength(2);
        await expect(a.driver.config.get('k')).rejects.toMatchObject({ code: 'ERR_CLUSTER_DOWN' });
        expect(isReady).toBe(false);
        await engine.restart();
        for (const node of [a, b]) await eventually(() => expect(node.driver.state).toBe('up'));
        await later.ready;
        for (const subject of ['s', 't', 'later']) expect(a.driver.publish(subject, text(subject))).toBe(true);
        await eventually(() => expect(received.texts.sort()).toEqual(['a: later', 'a: s', 'a: t']));
        expect(b.told.filter((line) => /state|gap/.test(line))).toEqual([
          'state up',
          'state reconnecting',
          'state up',
          'gap s',
          'gap t',
          'gap later',
        ]);
        expect(a.told.filter((line) => line !== 'up b')).toEqual(['state up', 'state reconnecting', 'state up']);
        expect(b.driver.stats().reconnects).toBe(1);
      });

      test('what a node could not publish is a gap for the others and for its own subscribers, although none of them has lost the engine', async () => {
        const patient = { ttlMs: 1000 * HEARTBEAT_MS, maxBufferedBytes: '64k' };
        const [a, b] = [await start('a', patient), await start('b', patient)];
        for (const subject of ['s', 't']) await b.driver.subscribe(subject, () => {}).ready;
        await a.driver.subscribe('s', () => {}).ready;
        await engine.freeze();
        await eventually(() => expect(a.driver.publish('s', Buffer.alloc(10_000))).toBe(false));
        await engine.thaw();
        await eventually(() => expect(b.told).toContain('gap s'));
        expect(b.told.filter((line) => /^gap|reconnecting/.test(line))).toEqual(['gap s']);
        await eventually(() => expect(a.told).toContain('own gap s'));
        expect(a.told.filter((line) => /gap|reconnecting/.test(line))).toEqual(['own gap s']);
      });

      test('more subjects than a node can name: the gap is one of all, for each subject of the others', async () => {
        const patient = { ttlMs: 1000 * HEARTBEAT_MS, maxBufferedBytes: '64k' };
        const [a, b] = [await start('a', patient), await start('b', patient)];
        for (const subject of ['s', 'last', 'quiet']) await b.driver.subscribe(subject, () => {}).ready;
        await engine.freeze();
        const refused = Buffer.alloc(1000);
        while (a.driver.publish('s', refused));
        const { lost } = a.driver.stats();
        for (let i = 0; i < 100_000; i++) a.driver.publish(`s${i}`, refused);
        a.driver.publish('last', refused);
        expect(a.driver.stats().lost).toBe(lost + 100_001);
        await engine.thaw();
        await eventually(() => expect(b.told).toEqual(expect.arrayContaining(['gap s', 'gap last', 'gap quiet'])));
        expect(a.told.filter((line) => line.startsWith('gap'))).toEqual([]);
      });

      test('5000 subjects are subscribed again at once', async () => {
        const a = await start('a');
        const received = new Received();
        const subjects = Array.from({ length: 5000 }, (_, i) => `room ${i}`);
        await Promise.all(subjects.map((subject) => a.driver.subscribe(subject, received.take).ready));
        await engine.kill();
        await eventually(() => expect(a.driver.state).toBe('reconnecting'));
        await engine.restart();
        await eventually(() => expect(a.told.filter((line) => line.startsWith('gap'))).toHaveLength(5000));
        for (const subject of subjects) a.driver.publish(subject, text('x'));
        await eventually(() => expect(received.texts).toHaveLength(5000));
      });

      test('an engine that stands still is noticed by the heartbeats, and found again when it goes on', async () => {
        const [a, b] = (await together('a', 'b')) as [TestNode, TestNode];
        const received = new Received();
        await b.driver.subscribe('s', received.take).ready;
        b.answer = () => new Promise(() => {});
        const waiting = expect(a.driver.request('b', text(''), long)).rejects.toMatchObject({
          code: 'ERR_CLUSTER_DOWN',
        });
        waiting.catch(() => {}); // awaited below
        await engine.freeze();
        await a.driver.request('b', text(''), { timeoutMs: 1 }).catch(() => {});
        for (const node of [a, b]) await eventually(() => expect(node.driver.state).toBe('reconnecting'));
        await waiting;
        await engine.thaw();
        for (const node of [a, b]) await eventually(() => expect(node.driver.state).toBe('up'));
        await eventually(() => expect(a.driver.publish('s', text('1'))).toBe(true));
        await eventually(() => expect(received.texts).toContain('a: 1'));
        expect(b.told).toContain('gap s');
      });

      test('publications under way when it is killed are counted as lost', async () => {
        const a = await start('a', { ttlMs: 100 * HEARTBEAT_MS });
        await engine.freeze();
        for (let i = 0; i < 10; i++) expect(a.driver.publish('s', text('x'))).toBe(true);
        await sleep(20);
        await engine.kill();
        await eventually(() => expect(a.driver.state).toBe('reconnecting'));
        await eventually(() => expect(a.driver.stats().lost).toBe(10));
      });

      test('stop while it is away ends at once, and leaves nothing that would connect again', async () => {
        const a = await start('a');
        await engine.kill();
        await eventually(() => expect(a.driver.state).toBe('reconnecting'));
        await a.driver.stop(true);
        expect(a.driver.state).toBe('down');
        await engine.restart();
        await sleep(300); // nothing is to come: several times the first pauses between attempts
        expect([a.driver.state, a.driver.stats().reconnects]).toEqual(['down', 0]);
      });
    });

    describe('start and stop', () => {
      test('stop with drain answers what runs first; without it the asker is told at once', async () => {
        const [a, b] = (await together('a', 'b')) as [TestNode, TestNode];
        let answer: (data: Uint8Array) => void = () => {};
        b.answer = () => new Promise((resolve) => (answer = resolve));
        const asked = a.driver.request('b', text(''), long);
        await eventually(() => expect(answer.length).toBe(1));
        const stopped = b.driver.stop(true);
        answer(text('done'));
        expect(String(await asked)).toBe('done');
        await stopped;
        await eventually(() => expect(a.told.at(-1)).toBe('left b'));
      });

      test('stop leaves no timers and no sockets, also with a frozen engine', async () => {
        const before = resources();
        const [a, b] = (await together('a', 'b')) as [TestNode, TestNode];
        await a.driver.subscribe('s', () => {}).ready;
        void a.driver.request('b', text(''), long).catch(() => {});
        await b.driver.stop(true);
        await engine.freeze();
        const begun = performance.now();
        await a.driver.stop(true);
        expect(performance.now() - begun).toBeLessThan(TTL_MS + 3000 * PACE);
        for (let i = 0; i < 100 && resources().length > before.length; i++) await sleep(10);
        expect(resources().length).toBeLessThanOrEqual(before.length);
        await engine.thaw();
      });

      test('a driver starts once', async () => {
        const a = await start('a');
        await expect(begin(a)).rejects.toMatchObject({ code: 'ERR_ALREADY_STARTED' });
        expect(a.driver.state).toBe('up');
      });

      test('stop before start is fine', async () => {
        const { driver } = make('a');
        await driver.stop(true);
        expect(driver.state).toBe('down');
        expect(driver.publish('s', text(''))).toBe(false);
        expect(driver.nodes()).toEqual([]);
      });

      test('stop while starting ends the start', async () => {
        const node = make('a');
        const starting = expect(begin(node)).rejects.toMatchObject({ code: 'ERR_CLUSTER_DOWN' });
        await node.driver.stop(false);
        await starting;
        expect([node.driver.state, node.told]).toEqual(['down', []]);
      });

      test('an engine that is not there is ERR_CLUSTER_CONNECT at once', async () => {
        await engine.kill();
        const node = make('a');
        await expect(begin(node)).rejects.toMatchObject({ code: 'ERR_CLUSTER_CONNECT' });
        expect([node.driver.state, node.told]).toEqual(['down', []]);
      });
    });
  });
}

/** What keeps the process alive, without the pipes of the engine. */
function resources(): string[] {
  return process.getActiveResourcesInfo().filter((name) => /^(TCPSocketWrap|TLSWrap|Timeout)$/.test(name));
}
