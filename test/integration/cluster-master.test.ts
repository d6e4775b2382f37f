/** What the master and the manager know of their cluster: they take no messages of other nodes. */
import { afterEach, describe, expect, it } from 'vitest';
import { hasRedis, startRedis } from '../helpers/redis.js';
import { endServers, IS_BASE, type ServerProcess, startServer } from '../helpers/server-process.js';

const ends: (() => Promise<void>)[] = [];
afterEach(async () => {
  await endServers();
  for (const end of ends.splice(0)) await end();
});

describe.skipIf(!hasRedis)('the master of a node', () => {
  it('knows the nodes and how the engine is, and refuses to subscribe', async () => {
    const engine = await startRedis();
    ends.push(() => engine.stop());
    const start = (nodeId: string): Promise<ServerProcess> => {
      const cluster = { driver: 'redis', url: engine.url, nodeId, heartbeatMs: 200, ttlMs: 1500 };
      return startServer('cluster-master.js', { env: { CLUSTER: JSON.stringify(cluster) } });
    };
    const a = await start('a');
    expect(a.events('up')).toMatchObject([{ state: 'up' }]);
    const knows = (state: string, ...nodes: string[]): Promise<unknown> =>
      a.waitForEvent('master', (line) => line['state'] === state && String(line['nodes']) === nodes.join());
    await knows('up', 'a');
    const b = await start('b');
    await knows('up', 'a', 'b');
    b.signal('SIGTERM');
    await b.exited;
    await engine.kill('SIGKILL');
    await knows('reconnecting', 'a');
    const refused = { code: 'ERR_CLUSTER_DEAF', message: expect.stringContaining('"news"') };
    expect(a.events('refused')).toContainEqual(expect.objectContaining({ by: 'master', ...refused }));
    if (IS_BASE) return; // the master is the manager
    expect(a.events('refused')).toContainEqual(expect.objectContaining({ by: 'manager', ...refused }));
    await a.waitForEvent('manager', (line) => line['state'] === 'reconnecting');
  });
});
