import { afterEach, expect, it } from 'vitest';
import { hasRedis, startRedis } from '../helpers/redis.js';
import { endServers } from '../helpers/server-process.js';
import { expectNothingUntold, loadCluster } from './cluster-load.js';

afterEach(endServers);

const SECONDS = Number(process.env['SOAK_CLUSTER_SECONDS'] ?? 60);

it.skipIf(!hasRedis)(
  '10,000 members of rooms on three nodes miss nothing but what is told, while a node and the engine are killed',
  async () => {
    const engine = await startRedis();
    try {
      const result = await loadCluster(engine, { connections: 10_000, messagesPerSecond: 1000, seconds: SECONDS });
      console.log(result);
      expectNothingUntold(result);
      expect(result.published).toBeGreaterThan(SECONDS * 1000 * 0.8);
    } finally {
      await engine.stop();
    }
  },
);
