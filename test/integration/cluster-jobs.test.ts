/** The short form of `test/soak/cluster-jobs.test.ts`. */
import { afterEach, it } from 'vitest';
import { PACE } from '../helpers/deadline.js';
import type { EngineProcess } from '../helpers/engine-process.js';
import { hasRedis, startRedis } from '../helpers/redis.js';
import { endServers } from '../helpers/server-process.js';
import { expectEachDone, soakJobs } from '../soak/cluster-jobs.js';

const WITHIN_MS = 60_000 * PACE;

let engine: EngineProcess | undefined;
afterEach(async () => {
  await endServers();
  await engine?.stop();
  engine = undefined;
});

it.skipIf(!hasRedis)(
  '500 jobs over three nodes are done while processes are killed: again only where a lease or a process was lost',
  { timeout: 2 * WITHIN_MS },
  async () => {
    engine = await startRedis({ appendOnly: true });
    // Twice as long as the lease.
    const result = await soakJobs(engine, { jobs: 500, seed: Date.now(), spinMs: 7000, withinMs: WITHIN_MS });
    console.log(result);
    expectEachDone(result, 500);
  },
);
