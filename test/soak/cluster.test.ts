import { afterEach, expect, it } from 'vitest';
import { hasNats, startNats } from '../helpers/nats.js';
import { hasRedis, startRedis } from '../helpers/redis.js';
import { endServers } from '../helpers/server-process.js';
import { expectNothingUntold, loadCluster } from './cluster-load.js';

afterEach(endServers);

const SECONDS = Number(process.env['SOAK_CLUSTER_SECONDS'] ?? 60);
const CONNECTIONS = Number(process.env['SOAK_CLUSTER_CONNECTIONS'] ?? 10_000);
const RATE = Number(process.env['SOAK_CLUSTER_RATE'] ?? 1000);
const engines = [
  { name: 'redis', isThere: hasRedis, start: startRedis },
  { name: 'nats', isThere: hasNats, start: startNats },
];

for (const { name, isThere, start } of engines) {
  it.skipIf(!isThere)(
    `${CONNECTIONS} members of rooms on three nodes on ${name} miss nothing but what is told, while a node and the engine are killed`,
    async () => {
      const engine = await start();
      try {
        const parts = { connections: CONNECTIONS, messagesPerSecond: RATE, seconds: SECONDS };
        const result = await loadCluster(engine, parts);
        console.dir({ name, ...result }, { depth: 4, breakLength: 120 });
        expectNothingUntold(result);
        expect(result.published).toBeGreaterThan(SECONDS * RATE * 0.8);
      } finally {
        await engine.stop();
      }
    },
  );
}
