/** What a cluster promises while its network, its engine or its nodes fail: see "promises" in docs/several-machines.md. */
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import { ClusterClient } from '../helpers/cluster-client.js';
import { type ClusterNetwork, createNetwork, type NodePlace, networkKind } from '../helpers/cluster-network.js';
import type { EngineProcess } from '../helpers/engine-process.js';
import { LastingServers } from '../helpers/lasting-servers.js';
import { reload } from '../helpers/lasting-sockets.js';
import { hasNats, startNats } from '../helpers/nats.js';
import type { TreeProcess } from '../helpers/processes.js';
import { hasRedis, startRedis } from '../helpers/redis.js';
import { endServers, type Line, poll, type ServerProcess, startServer } from '../helpers/server-process.js';
import { Since } from '../helpers/shared-servers.js';

const engines = [
  ['redis', hasRedis, startRedis],
  ['nats', hasNats, startNats],
] as const;

const PARTITION_MS = process.env['SOAK'] === '1' ? 60_000 : 5000;
const times = { heartbeatMs: 200, ttlMs: 1500 };

interface Node {
  readonly id: string;
  readonly place: NodePlace;
  server: ServerProcess;
  client: ClusterClient;
  /** What it says in this test. */
  since: Since;
}

describe.each(engines)(`nodes on %s, ${networkKind}`, (driver, isThere, startEngine) => {
  const test = it.skipIf(!isThere);

  let network: ClusterNetwork | undefined;
  let engine: EngineProcess | undefined;
  const places = new Map<string, NodePlace>();
  const clients: ClusterClient[] = [];
  const lasting = new LastingServers(async () => {
    await engine?.stop();
    network?.close();
    engine = network = undefined;
    places.clear();
  });
  afterEach(async () => {
    for (const place of places.values()) place.heal();
    for (const { socket } of clients.splice(0)) socket.terminate();
    await endServers();
  });

  async function startNode(id: string, { under, host, engine: { host: at, port } }: NodePlace): Promise<ServerProcess> {
    const cluster = { driver, url: `${driver}://${at}:${port}`, nodeId: id, ...times };
    const options = { host, reactorNum: 1 };
    return startServer('cluster.js', { under, options, env: { CLUSTER: JSON.stringify(cluster) } });
  }

  async function connect(server: ServerProcess, { host }: NodePlace): Promise<Omit<Node, 'id' | 'place'>> {
    const client = await ClusterClient.connect(server.port, host);
    clients.push(client);
    return { server, client, since: new Since(server) };
  }

  async function shareNode(id: string): Promise<Node> {
    const place = places.get(id)!;
    const server = await lasting.share(id, () => startNode(id, place));
    return { id, place, ...(await connect(server, place)) };
  }

  /** Nodes that know each other and no other, each with one member of `room`. */
  async function shareNodes<Ids extends string[]>(...ids: Ids): Promise<{ [K in keyof Ids]: Node }> {
    network ??= createNetwork();
    engine ??= await startEngine({ host: network.engineHost });
    for (const id of ids) if (!places.has(id)) places.set(id, await network.addNode(engine.port));
    for (const id of places.keys()) if (!ids.includes(id)) await lasting.stop(id);
    const nodes = await Promise.all(ids.map(shareNode));
    for (const { client } of nodes) {
      await client.until('state', 'up');
      await client.until('nodes', ids);
      await client.ask('join room');
    }
    const members = ids.map((node) => ({ node, members: 1 }));
    for (const { client } of nodes) await untilMembers(client, members);
    return nodes as { [K in keyof Ids]: Node };
  }

  test('a node that is cut off serves its own rooms, and is back when the network is', async () => {
    const [a, b, c] = await shareNodes('a', 'b', 'c');
    c.place.cut();
    await lost(c, a, b);
    await c.client.until('state', 'reconnecting');
    await flows(c, c);
    await flows(a, a, b);
    expect(await c.client.ask('ask a')).toMatchObject({ code: 'ERR_CLUSTER_DOWN' });
    expect(await a.client.ask('ask c')).toMatchObject({ code: 'ERR_NODE_LOST' });
    await sleep(PARTITION_MS);
    const gaps = c.since.events('clusterGap').length;
    c.place.heal();
    await Promise.all([a, b, c].map(({ client }) => client.until('nodes', ['a', 'b', 'c'])));
    await toldOfGap(c, gaps);
    await flows(a, a, b, c);
    await flows(c, a, b, c);
    expect(await a.client.ask('ask c')).toMatchObject({ node: 'c' });
  });

  test('an engine that is killed and started again: nodes serve alone, are told of the gap, and reach each other', async () => {
    const [a, b] = await shareNodes('a', 'b');
    await engine!.kill('SIGKILL');
    await servesAlone(a, b);
    await engine!.restart();
    await together(a, b);
  });

  test('an engine that takes bytes and does not answer is lost, too', async () => {
    const [a, b] = await shareNodes('a', 'b');
    await engine!.kill('SIGSTOP');
    await servesAlone(a, b);
    await engine!.kill('SIGCONT');
    await together(a, b);
  });

  test('a node that is killed is lost after the ttl, with its members; an address of before reaches nobody later', async () => {
    const [a, b] = await shareNodes('a', 'b');
    const address = await b.client.ask('address');
    expect(await a.client.ask(`info ${address}`)).toMatchObject({ fd: expect.any(Number) });
    b.server.signalAll('SIGKILL');
    await lasting.stop('b');
    await lost(b, a);
    await untilMembers(a.client, [{ node: 'a', members: 1 }]);
    expect(await a.client.ask(`info ${address}`)).toMatchObject({ code: 'ERR_NODE_LOST' });
    Object.assign(b, await shareNode('b'));
    await a.client.until('nodes', ['a', 'b']);
    for (const what of ['info', 'close', 'send']) {
      expect(await a.client.ask(`${what} ${address}`)).toMatchObject({ code: 'ERR_SESSION_NOT_FOUND' });
    }
    await b.client.ask('join room');
    await untilMembers(
      a.client,
      ['a', 'b'].map((node) => ({ node, members: 1 })),
    );
    await flows(a, a, b);
  });

  test('a broker process that is killed is back within seconds, and rooms flow', async () => {
    const [a, b] = await shareNodes('a', 'b');
    const before = brokerOf(a.server)!;
    process.kill(before.pid, 'SIGKILL');
    await poll('another broker process', () => isAnother(brokerOf(a.server), before));
    await a.client.until('state', 'up');
    await untilMembers(
      a.client,
      ['a', 'b'].map((node) => ({ node, members: 1 })),
    );
    await untilMembers(
      b.client,
      ['a', 'b'].map((node) => ({ node, members: 1 })),
    );
    await flows(a, a, b);
    await flows(b, a, b);
    expect(await b.client.ask('ask a')).toMatchObject({ node: 'a' });
    expect(await a.client.ask('ask b')).toMatchObject({ node: 'b' });
  });

  test('a manager that is killed takes the broker process along; both are back', async () => {
    const [a, b] = await shareNodes('a', 'b');
    const before = brokerOf(a.server)!;
    process.kill(a.server.manager!.pid, 'SIGKILL');
    await poll('another broker process', () => isAnother(brokerOf(a.server), before));
    await a.client.until('nodes', ['a', 'b']);
    await b.client.until('nodes', ['a', 'b']);
    await flows(a, a, b);
    await flows(b, a, b);
  });

  test('a reload loses no room message, neither of the node that publishes nor of the one that gets them', async () => {
    const [a, b] = await shareNodes('a', 'b');
    const brokers = [a, b].map(({ server }) => brokerOf(server)?.pid);
    const traffic = new Traffic(a);
    await reload(b.server);
    await reload(a.server);
    await reload(b.server);
    const count = await traffic.end();
    const all = Array.from({ length: count }, (_, i) => `number ${i}`);
    await a.client.got(all);
    await b.client.got(all);
    expect([a, b].map(({ server }) => brokerOf(server)?.pid)).toEqual(brokers);
  });
});

/** Counts of rooms, in any order of nodes. */
async function untilMembers(client: ClusterClient, members: readonly { node: string; members: number }[]) {
  await poll(`members ${JSON.stringify(members)}`, async () => {
    const found = (await client.ask('members room')) as { node: string; members: number }[];
    const sorted = Array.isArray(found) ? [...found].sort((a, b) => (a.node < b.node ? -1 : 1)) : found;
    return JSON.stringify(sorted) === JSON.stringify(members);
  });
}

async function lost(node: Node, ...others: Node[]): Promise<void> {
  const isIt = ({ args }: Line): boolean => JSON.stringify(args) === `["${node.id}","lost"]`;
  await Promise.all(others.map(({ since }) => since.waitForEvent('nodeDown', isIt)));
}

async function toldOfGap({ server, since }: Node, before: number): Promise<void> {
  await server.waitFor('a gap', () =>
    since
      .events('clusterGap')
      .slice(before)
      .some(({ args }) => JSON.stringify(args) === '["room"]'),
  );
}

let lastText = 0;

/** What one node publishes comes to these, and is the next that comes. */
async function flows(from: Node, ...to: Node[]): Promise<void> {
  const text = `text ${lastText++}`;
  const before = to.map(({ client }) => client.said.length);
  expect(await from.client.ask(`publish room ${text}`)).toBe(true);
  await Promise.all(
    to.map(({ id, client }, i) =>
      poll(
        `${text} of ${from.id} at ${id}; said was ${client.said.slice(before[i])}`,
        () => client.said.length > before[i]!,
      ),
    ),
  );
  expect(to.map(({ client }, i) => client.said.slice(before[i]))).toEqual(to.map(() => [text]));
}

/** Without the engine. */
async function servesAlone(...nodes: Node[]): Promise<void> {
  for (const node of nodes) {
    await node.client.until('state', 'reconnecting');
    await flows(node, node);
    expect(await node.client.ask('ask a')).toMatchObject({ code: 'ERR_CLUSTER_DOWN' });
  }
}

/** After the engine has been away. */
async function together(...nodes: Node[]): Promise<void> {
  const ids = nodes.map(({ id }) => id);
  for (const node of nodes) {
    await node.client.until('state', 'up');
    await toldOfGap(node, 0);
  }
  for (const { client } of nodes) {
    await client.until('nodes', ids);
    await untilMembers(
      client,
      ids.map((node) => ({ node, members: 1 })),
    );
  }
  for (const node of nodes) await flows(node, ...nodes);
}

function brokerOf(server: ServerProcess): TreeProcess | undefined {
  return server.tree().find(({ title }) => title.endsWith(': process cluster'));
}

function isAnother(process: TreeProcess | undefined, before: TreeProcess): boolean {
  return process !== undefined && process.pid !== before.pid;
}

/** Numbers, published to the room by one client of a node, one after another. */
class Traffic {
  #isOver = false;
  readonly #done: Promise<number>;

  constructor(node: Node) {
    this.#done = this.#run(node);
  }

  /** @returns how many */
  end(): Promise<number> {
    this.#isOver = true;
    return this.#done;
  }

  async #run({ client }: Node): Promise<number> {
    let count = 0;
    for (; !this.#isOver; count++) expect(await client.ask(`publish room number ${count}`)).toBe(true);
    return count;
  }
}
