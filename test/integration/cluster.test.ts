import { afterEach, describe, expect, it } from 'vitest';
import { ClusterClient } from '../helpers/cluster-client.js';
import type { EngineProcess } from '../helpers/engine-process.js';
import { hasNats, startNats } from '../helpers/nats.js';
import { hasRedis, startRedis } from '../helpers/redis.js';
import { endServers, type ServerProcess, startServer } from '../helpers/server-process.js';

const engines = [
  ['redis', hasRedis, startRedis],
  ['nats', hasNats, startNats],
] as const;

let engine: EngineProcess | undefined;
afterEach(async () => {
  await endServers();
  await engine?.stop();
});

describe.each(engines)('nodes on %s', (driver, isThere, startEngine) => {
  const test = it.skipIf(!isThere);

  async function startNode(nodeId: string, more: object = {}): Promise<ServerProcess> {
    const cluster = { driver, url: engine?.url, nodeId, heartbeatMs: 200, ttlMs: 1500, ...more };
    return startServer('cluster.js', { env: { CLUSTER: JSON.stringify(cluster) } });
  }

  async function startTwo(): Promise<[ClusterClient, ClusterClient, ServerProcess, ServerProcess]> {
    engine = await startEngine();
    const [a, b] = await Promise.all([startNode('a'), startNode('b')]);
    const [toA, toB] = await Promise.all([ClusterClient.connect(a.port), ClusterClient.connect(b.port)]);
    for (const client of [toA, toB]) await client.until('nodes', ['a', 'b']);
    return [toA, toB, a, b];
  }

  test('know each other, and a room has members on both', async () => {
    const [toA, toB] = await startTwo();
    await toA.ask('join room');
    await toB.ask('join room');
    await toA.until('members room', [
      { node: 'a', members: 1 },
      { node: 'b', members: 1 },
    ]);
    expect(await toA.ask('publish room hello')).toBe(true);
    await toB.got(['hello']); // what different nodes publish has no order
    expect(await toB.ask('publish room you')).toBe(true);
    await toA.got(['hello', 'you']);
    await toB.got(['hello', 'you']);
    await toA.ask('binary room');
    expect(await toB.nextBinary()).toEqual(Buffer.from([0, 255, 1]));
  });
});
