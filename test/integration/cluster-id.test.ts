import { afterEach, describe, expect, it } from 'vitest';
import { type EngineProcess, freePort } from '../helpers/engine-process.js';
import { LastingServers } from '../helpers/lasting-servers.js';
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

afterEach(endServers);

describe.each(engines)('a node id on %s', (driver, isThere, startEngine) => {
  const test = it.skipIf(!isThere);
  let engine: EngineProcess | undefined;
  const lasting = new LastingServers(async () => {
    await engine?.stop();
    engine = undefined;
  });

  const node = (more: object = {}): StartOptions => {
    // On a busy machine the first server may stand still for seconds, and is to be known as living.
    const cluster = { driver, url: engine?.url, nodeId: 'same', heartbeatMs: 200, ttlMs: 5000, ...more };
    const options = { maxWaitMs: 2000, workerNum: 1, reactorNum: 1 };
    return { options, env: { CLUSTER: JSON.stringify(cluster) } };
  };
  const shareFirst = async (): Promise<ServerProcess> => {
    engine ??= await startEngine();
    return lasting.share('first', () => startServer('cluster.js', node({ address: 'first.internal:1' })));
  };

  test('that another living server has ends the start, and the error says whose it is', async () => {
    const first = await shareFirst();
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
    const first = await shareFirst();
    await first.waitForEvent('clusterState');
    first.signal('SIGKILL');
    const again = await startServer('cluster.js', node());
    await joined(again);
    await lasting.stop('first');
  });

  test('does not matter where the engine is lost', async () => {
    const url = `${driver}://127.0.0.1:${await freePort()}`;
    const alone = await startServer('cluster.js', node({ url }));
    expect(alone.stderr).toContain('must accept this connection, and did not');
  });
});

async function joined(server: ServerProcess): Promise<void> {
  await server.waitForEvent('clusterState');
  expect(server.events('clusterState')[0]).toMatchObject({ args: ['up'] });
}
