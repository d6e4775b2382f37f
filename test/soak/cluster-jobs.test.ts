import { afterEach, it } from 'vitest';
import type { EngineProcess } from '../helpers/engine-process.js';
import { hasRedis, startRedis } from '../helpers/redis.js';
import { endServers } from '../helpers/server-process.js';
import { expectEachDone, soakJobs } from './cluster-jobs.js';

const JOBS = Number(process.env['SOAK_JOBS'] ?? 10_000);
const SEED = Number(process.env['SOAK_SEED'] ?? 1);
const SPIN_MS = Number(process.env['SOAK_SPIN_MS'] ?? 60_000);
const WITHIN_MS = 10 * 60_000;

let engine: EngineProcess | undefined;
afterEach(async () => {
  await endServers();
  await engine?.stop();
  engine = undefined;
});

it.skipIf(!hasRedis)(
  `each of ${JOBS} jobs is done, twice only where a lease or a process was lost, and one that spins once`,
  { timeout: WITHIN_MS + 5 * 60_000 },
  async () => {
    engine = await startRedis({ appendOnly: true });
    const result = await soakJobs(engine, { jobs: JOBS, seed: SEED, spinMs: SPIN_MS, withinMs: WITHIN_MS });
    console.log(result);
    expectEachDone(result, JOBS);
  },
);
