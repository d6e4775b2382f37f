import { afterEach, describe, expect, it } from 'vitest';
import { type ClusterClient, clientsOfTests } from '../helpers/cluster-client.js';
import type { EngineProcess } from '../helpers/engine-process.js';
import { LastingServers } from '../helpers/lasting-servers.js';
import { hasNats, startNats } from '../helpers/nats.js';
import { hasRedis, startRedis } from '../helpers/redis.js';
import { endServers, poll, type ServerProcess, startServer } from '../helpers/server-process.js';
import { Since } from '../helpers/shared-servers.js';

const engines = [
  ['redis', hasRedis, startRedis],
  ['nats', hasNats, startNats],
] as const;

const both = ['a', 'b'].map((node) => ({ node, members: 1 }));
const QUICK = { heartbeatMs: 200, ttlMs: 1500 };

afterEach(endServers);
const connect = clientsOfTests();

describe.each(engines)('nodes on %s', (driver, isThere, startEngine) => {
  const test = it.skipIf(!isThere);

  let engine: EngineProcess | undefined;
  const lasting = new LastingServers(async () => {
    await engine?.stop();
    engine = undefined;
  });

  function startNode(nodeId: string, options: object = {}, pulse = QUICK): Promise<ServerProcess> {
    const cluster = { driver, url: engine?.url, nodeId, ...pulse };
    const all = { maxWaitMs: 20_000, reactorNum: 1, ...options };
    return startServer('cluster.js', { options: all, env: { CLUSTER: JSON.stringify(cluster) } });
  }

  /** One that ends with its test. */
  const startSmall = (nodeId: string): Promise<ServerProcess> => startNode(nodeId, { workerNum: 1 });

  /** The same two nodes for all tests, which know nobody else, and what each says from now on. */
  async function shareTwo(): Promise<[ClusterClient, ClusterClient, Since, Since]> {
    engine ??= await startEngine();
    const share = (id: string) => lasting.share(id, () => startNode(id));
    const [a, b] = await Promise.all([share('a'), share('b')]);
    const [toA, toB] = await Promise.all([connect(a), connect(b)]);
    for (const client of [toA, toB]) {
      await client.until('state', 'up');
      await client.until('nodes', ['a', 'b']);
    }
    return [toA, toB, new Since(a), new Since(b)];
  }

  test('know each other, and a room has members on both', async () => {
    const [toA, toB] = await shareTwo();
    await toA.ask('join room');
    await toB.ask('join room');
    await toA.until('members room', both);
    expect(await toA.ask('publish room hello')).toBe(true);
    await toB.got(['hello']); // what two nodes publish has no order
    expect(await toB.ask('publish room you')).toBe(true);
    await toA.got(['hello', 'you']);
    await toB.got(['hello', 'you']);
    await toA.ask('binary room');
    expect(await toB.nextBinary()).toEqual(Buffer.from([0, 255, 1]));
  });

  test('ask each other: answers, errors and time limits come back', async () => {
    const [toA] = await shareTwo();
    expect(await toA.ask('ask b')).toEqual({ from: 'a', node: 'b', sum: '13' });
    expect(await toA.ask('ask a')).toEqual({ from: 'a', node: 'a', sum: '13' });
    expect(await toA.ask('refuse b')).toMatchObject({ code: 'E_TODAY', message: 'not today' });
    expect(await toA.ask('spin b')).toMatchObject({ code: 'ERR_CLUSTER_TIMEOUT' });
    expect(await toA.ask('ask nobody')).toMatchObject({
      code: 'ERR_NODE_LOST',
      message: expect.stringContaining('nothing has run there'),
    });
  });

  test('are told at once of what could not be read there, and go on', async () => {
    const [toA, toB] = await shareTwo();
    const refused = { code: 'ERR_DATA_NOT_CLONEABLE', message: expect.stringContaining('1000 levels deep') };
    for (const what of ['request', 'answer', 'news', 'price', 'put', 'present']) {
      expect(await toA.ask(`deep ${what}`), what).toMatchObject(refused);
    }
    await toA.ask('price 7');
    for (const client of [toA, toB]) await client.until('prices', expect.arrayContaining([{ value: '7' }]));
  });

  test('reach a connection of another node by its address, and not one of an earlier start', async () => {
    const [toA] = await shareTwo();
    const c = await startSmall('c');
    const toC = await connect(c);
    await toA.until('nodes', ['a', 'b', 'c']);
    const address = await toC.ask('address');
    expect(await toA.ask(`send ${address} from afar`)).toBe(true);
    await toC.got(['from afar']);
    expect(await toA.ask(`info ${address}`)).toMatchObject({
      remoteAddress: '127.0.0.1',
      workerId: expect.any(Number),
    });
    const own = await toA.ask('address');
    expect(await toA.ask(`send ${own} from here`)).toBe(true);
    await toA.got(['from here']);
    for (const none of ['send 5 x', 'nobody']) {
      expect(await toA.ask(none)).toMatchObject({ code: 'ERR_CLUSTER_ADDRESS' });
    }
    const earlier = String(address).replace('~', '~x');
    for (const what of ['send', 'close', 'info']) {
      expect(await toA.ask(`${what} ${earlier} x`.trim())).toMatchObject({
        code: expect.stringMatching(/ERR_SESSION_NOT_FOUND|ERR_CLUSTER_ADDRESS/),
      });
    }
    expect(await toA.ask(`close ${address}`)).toBe(true);
    await toC.closed;
    const gone = { code: 'ERR_SESSION_NOT_FOUND', message: expect.stringContaining(` on node "c" (${address}).`) };
    await toA.until(`send ${address} x`, expect.objectContaining(gone));
    c.signal('SIGTERM');
    await c.exited;
    await toA.until('nodes', ['a', 'b']);
    expect(await toA.ask(`send ${address} x`)).toMatchObject({ code: 'ERR_NODE_LOST' });
  });

  test('refuse what is sent to a connection that was closed just before, at its own node and at another', async () => {
    const [toA, , ...nodes] = await shareTwo();
    for (const { server } of nodes) {
      const gone = await connect(server);
      const address = await gone.ask('address');
      gone.socket.pause(); // it does not answer the Close frame
      expect(await toA.ask(`close ${address}`)).toBe(true);
      const refused = expect.objectContaining({ code: expect.stringMatching(/^ERR_SESSION_(CLOSED|NOT_FOUND)$/) });
      expect([await toA.ask(`send ${address} x`), await toA.ask(`close ${address}`)]).toEqual([refused, refused]);
    }
  });

  test('tell every process that has subscribed, and know who is there, also after a kill of the broker process', async () => {
    const [toA, toB, , b] = await shareTwo();
    for (const what of ['subject', 'room']) {
      const refused = await toA.ask(`long ${what}`);
      expect(refused).toMatchObject({ code: 'ERR_CLUSTER_PAYLOAD', message: expect.stringContaining('may have') });
    }
    const before = [await toA.ask('heard'), await toB.ask('heard')] as unknown[][];
    await toA.ask('news one');
    for (const [i, client] of [toA, toB].entries()) {
      await client.until('heard', [...(before[i] ?? []), { data: { data: 'one' }, from: 'a' }]);
    }
    await toA.ask('present ann');
    await toB.ask('present bob');
    const [ann, bob] = ['a', 'b'].map((node, i) => ({
      member: ['ann', 'bob'][i],
      node,
      meta: { mood: 'good' },
      stale: false,
    }));
    for (const client of [toA, toB])
      await client.until(
        'presence',
        expect.toSatisfy((list) => isSame(list, [ann, bob])),
      );
    b.server.signal('SIGKILL', brokerOf(b.server));
    await b.waitForEvent('clusterGap');
    for (const client of [toA, toB])
      await client.until(
        'presence',
        expect.toSatisfy((list) => isSame(list, [ann, bob])),
      );
    await toB.ask('absent bob');
    await toA.until('presence', [ann]);
    await toA.ask('absent ann');
    await toA.until('presence', []);
  });

  test('share topics and caches: a message reaches all, a key is forgotten by the others', async () => {
    const [toA, toB] = await shareTwo();
    const before = [(await toA.ask('prices')) as object[], (await toB.ask('prices')) as object[]];
    await toA.ask('price 1');
    await toB.ask('price 2');
    for (const [i, client] of [toA, toB].entries()) {
      const wanted = [...(before[i] as object[]), { value: '1' }, { value: '2' }];
      await client.until(
        'prices',
        expect.toSatisfy((list) => isSame(list, wanted)),
      );
    }
    expect([await toA.ask('compute old'), await toB.ask('compute other')]).toEqual(['old', 'other']);
    await toA.ask('put new');
    await toB.until('get', null);
    expect([await toA.ask('get'), await toB.ask('compute mine'), await toA.ask('get')]).toEqual(['new', 'mine', 'new']);
    await toB.ask('forget');
    await toA.until('get', null);
  });

  test('keep the connection to the engine over reloads, and start its process again when it is killed', async () => {
    const [toA, toB, a] = await shareTwo();
    await toB.ask('join room');
    await toA.ask('join room');
    await toA.until('members room', both);
    const broker = brokerOf(a.server);
    a.server.signal('SIGUSR1');
    await a.waitForEvent('afterReload');
    expect(brokerOf(a.server)).toBe(broker);
    expect(await toA.ask('publish room after the reload')).toBe(true);
    await toB.got(['after the reload']);
    a.server.signal('SIGKILL', broker);
    await poll('it is back', () => ![undefined, broker].includes(brokerOf(a.server)));
    await poll('who joined a room is told of the gap', () =>
      a.events('clusterGap').some(({ args }) => String(args) === 'room'),
    );
    await toA.until('state', 'up');
    await toA.until('nodes', ['a', 'b']);
    expect(await toB.ask('publish room after the kill')).toBe(true);
    await toA.got(['after the reload', 'after the kill']);
    await toA.until('heard', []);
    await toB.ask('news two');
    await toA.until('heard', [{ data: { data: 'two' }, from: 'b' }]);
  });

  test('get their answers although a reload has replaced the worker that asks', async () => {
    const [toA, , a] = await shareTwo();
    const answers = toA.ask('slow b');
    await a.waitForEvent('asks');
    a.server.signal('SIGUSR1');
    expect(await answers).toEqual({ from: 'a', after: 'the reload' });
    expect(a.events('afterReload')).toHaveLength(0);
    await a.waitForEvent('afterReload');
  });

  test('serve alone while the engine is gone, say so, and are told of the gap', async () => {
    const [toA, toB, a] = await shareTwo();
    await toA.ask('join room');
    await toB.ask('join room');
    await toA.until('members room', both);
    await engine?.kill('SIGKILL');
    await toA.until('state', 'reconnecting');
    expect(await toA.ask('ask b')).toMatchObject({ code: 'ERR_CLUSTER_DOWN' });
    expect(await toA.ask('publish room alone')).toBe(true);
    await toA.got(['alone']);
    await engine?.restart();
    for (const client of [toA, toB]) await client.until('state', 'up');
    await a.waitForEvent('clusterGap');
    await poll('the gap of the room is told', () => a.events('clusterGap').some(({ args }) => String(args) === 'room'));
    expect(await toA.ask('publish room together')).toBe(true);
    await toB.got(['together']);
  });

  test('start without the engine, serve, and join when it comes', async () => {
    const [, toB] = await shareTwo();
    await engine?.kill('SIGKILL');
    const toC = await connect(await startSmall('c'));
    expect(await toC.ask('nodes')).toEqual(['c']);
    await toC.ask('join late');
    await engine?.restart();
    await toB.until('members late', [{ node: 'c', members: 1 }]);
    expect(await toB.ask('publish late hello')).toBe(true);
    await toC.got(['hello']);
  });

  test('have another name each', async () => {
    const [toFirst] = await shareTwo();
    // The first has half a heartbeat to say that the id is its own, and on a busy machine it may lack CPU for seconds.
    const second = startNode('a', { workerNum: 1 }, { heartbeatMs: 2000, ttlMs: 6000 });
    await expect(second).rejects.toThrow('belongs to a living server');
    expect(await toFirst.ask('state')).toBe('up');
  });
});

function brokerOf(server: ServerProcess): number | undefined {
  return server.tree().find(({ title }) => title.endsWith(': process cluster'))?.pid;
}

function isSame(list: unknown, members: readonly unknown[]): boolean {
  const sorted = (all: unknown): string =>
    JSON.stringify([...(all as object[])].map((each) => JSON.stringify(Object.entries(each).sort())).sort());
  return Array.isArray(list) && sorted(list) === sorted(members);
}
