import { afterEach, describe, expect, it } from 'vitest';
import type { EngineProcess } from '../helpers/engine-process.js';
import { hasNats, startNats } from '../helpers/nats.js';
import { hasRedis, startRedis } from '../helpers/redis.js';
import {
  endServers,
  type ServerProcess,
  type StartOptions,
  spawnServer,
  startServer,
} from '../helpers/server-process.js';

const engines = [
  ['redis', hasRedis, startRedis],
  ['nats', hasNats, startNats],
] as const;

let engine: EngineProcess | undefined;
afterEach(async () => {
  await endServers();
  await engine?.stop();
});

describe.each(engines)('a node id on %s', (driver, isThere, startEngine) => {
  const test = it.skipIf(!isThere);
  const node = (more: object = {}): StartOptions => {
    // On a busy machine the first server may stand still for seconds, and is to be known as living.
    const cluster = { driver, url: engine?.url, nodeId: 'same', heartbeatMs: 200, ttlMs: 5000, ...more };
    return { options: { maxWaitMs: 2000 }, env: { CLUSTER: JSON.stringify(cluster) } };
  };

  test('that another living server has ends the start, and the error says whose it is', async () => {
    engine = await startEngine();
    const first = await startServer('cluster.js', node({ address: 'first.internal:1' }));
    const second = spawnServer('cluster.js', node());
    expect((await second.exited).code).toBe(1);
    expect(second.stderr).toContain('ERR_CLUSTER_NODE_ID');
    expect(second.stderr).toContain('The node id "same" belongs to a living server at first.internal:1.');
    expect(second.stderr).toContain('Give each server an id of its own');
    expect(second.events('up')).toEqual([]);
    expect(first.tree().length).toBeGreaterThan(0);
    expect(first.stderr).not.toContain('has left its cluster');
  });

  test('is its own again at once after a crash', async () => {
    engine = await startEngine();
    const first = await startServer('cluster.js', node());
    await first.waitForEvent('clusterState');
    first.signal('SIGKILL');
    const again = await startServer('cluster.js', node());
    await joined(again);
  });

  test('does not matter where the engine is lost', async () => {
    engine = await startEngine();
    await engine.stop();
    const alone = await startServer('cluster.js', node());
    expect(alone.stderr).toContain('must accept this connection, and did not');
  });
});

async function joined(server: ServerProcess): Promise<void> {
  await server.waitForEvent('clusterState');
  expect(server.events('clusterState')[0]).toMatchObject({ args: ['up'] });
}
