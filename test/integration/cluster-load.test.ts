/** The short form of `test/soak/cluster.test.ts`. */
import { afterEach, it } from 'vitest';
import { hasNats, startNats } from '../helpers/nats.js';
import { hasRedis, startRedis } from '../helpers/redis.js';
import { endServers } from '../helpers/server-process.js';
import { expectNothingUntold, loadCluster } from '../soak/cluster-load.js';

afterEach(endServers);

const engines = [
  { name: 'redis', isThere: hasRedis, start: startRedis },
  { name: 'nats', isThere: hasNats, start: startNats },
];

for (const { name, isThere, start } of engines) {
  it.skipIf(!isThere)(
    `500 members of rooms on three nodes on ${name} miss nothing but what is told, while a node and the engine are killed`,
    async () => {
      const engine = await start();
      try {
        const result = await loadCluster(engine, { connections: 500, messagesPerSecond: 200, seconds: 10 });
        console.dir({ name, ...result }, { depth: 4, breakLength: 120 });
        expectNothingUntold(result);
      } finally {
        await engine.stop();
      }
    },
  );
}
