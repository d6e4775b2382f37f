/** The short form of `test/soak/cluster.test.ts`. */
import { afterEach, it } from 'vitest';
import { hasRedis, startRedis } from '../helpers/redis.js';
import { endServers } from '../helpers/server-process.js';
import { expectNothingUntold, loadCluster } from '../soak/cluster-load.js';

afterEach(endServers);

it.skipIf(!hasRedis)(
  '500 members of rooms on three nodes miss nothing but what is told, while a node and the engine are killed',
  async () => {
    const engine = await startRedis();
    try {
      const result = await loadCluster(engine, { connections: 500, messagesPerSecond: 200, seconds: 10 });
      console.log(result);
      expectNothingUntold(result);
    } finally {
      await engine.stop();
    }
  },
);
