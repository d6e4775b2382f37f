// Durable jobs over three nodes, while task workers, broker processes and whole nodes are killed at random.
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, expect, it } from 'vitest';
import { ClusterClient } from '../helpers/cluster-client.js';
import type { EngineProcess } from '../helpers/engine-process.js';
import { numbersFrom } from '../helpers/numbers.js';
import { hasRedis, startRedis } from '../helpers/redis.js';
import { endServers, poll, type ServerProcess, startServer } from '../helpers/server-process.js';

const JOBS = Number(process.env['SOAK_JOBS'] ?? 10_000);
const SEED = Number(process.env['SOAK_SEED'] ?? 1);
const SPIN_MS = Number(process.env['SOAK_SPIN_MS'] ?? 60_000);
const LEASE_MS = 3000;
const BATCH = 500;
const NODES = ['a', 'b', 'c'] as const;
/** Runs that one node has under way: its task workers, a job each. */
const PLACES = 2;
const PAUSE_MS = { least: 700, more: 1600 };
const DONE_WITHIN_MS = 10 * 60_000;

/** A number from 0 on. */
type Below = (limit: number) => number;

let engine: EngineProcess | undefined;
afterEach(async () => {
  await endServers();
  await engine?.stop();
  engine = undefined;
});

class JobNodes {
  readonly #servers = new Map<string, ServerProcess>();
  /** Those that were killed have said something, too. */
  readonly #all: ServerProcess[] = [];

  async start(nodeId: string): Promise<void> {
    const cluster = {
      ...{ driver: 'redis', url: engine?.url, nodeId, heartbeatMs: 200, ttlMs: 1500 },
      jobs: { leaseMs: LEASE_MS, drainMs: 1000 },
    };
    const server = await startServer('jobs.js', { env: { CLUSTER: JSON.stringify(cluster) } });
    this.#servers.set(nodeId, server);
    this.#all.push(server);
  }

  of(nodeId: string): ServerProcess {
    return this.#servers.get(nodeId)!;
  }

  /** How often each job has begun, and has come to its end, on all nodes. */
  count(event: 'begin' | 'end'): Map<string, number> {
    const counts = new Map<string, number>();
    for (const line of this.#all.flatMap((server) => server.events(event))) {
      const id = String(line['id']);
      counts.set(id, (counts.get(id) ?? 0) + 1);
    }
    return counts;
  }

  /** @returns what was killed */
  async killSomething(below: Below): Promise<'task worker' | 'broker process' | 'node'> {
    const nodeId = NODES[below(NODES.length)]!;
    const server = this.of(nodeId);
    const chance = below(10);
    if (chance === 0) {
      server.signalAll('SIGKILL');
      await poll(`node ${nodeId} has gone`, () => server.tree().length === 0);
      await this.start(nodeId);
      return 'node';
    }
    const broker = server.tree().find(({ title }) => title.endsWith(': process cluster'));
    if (chance < 4 && broker !== undefined) return this.#kill(server, broker.pid, 'broker process');
    const workers = server.taskWorkers;
    const victim = workers[below(Math.max(1, workers.length))];
    return victim === undefined ? this.killSomething(below) : this.#kill(server, victim.pid, 'task worker');
  }

  #kill<What>(server: ServerProcess, pid: number, what: What): What {
    try {
      server.signal('SIGKILL', pid);
    } catch {
      // it has ended by itself meanwhile
    }
    return what;
  }
}

async function ask(client: ClusterClient, method: string, ...args: readonly unknown[]): Promise<unknown> {
  return client.ask(`${method} ${JSON.stringify(args)}`);
}

it.skipIf(!hasRedis)(
  `each of ${JOBS} jobs is done, twice only where a lease or a process was lost, and one that spins once`,
  { timeout: 15 * 60_000 },
  async () => {
    engine = await startRedis({ appendOnly: true });
    const nodes = new JobNodes();
    for (const nodeId of NODES) await nodes.start(nodeId);
    const numbers = numbersFrom(SEED);
    const below: Below = (limit) => Math.floor(numbers() * limit);
    const client = await ClusterClient.connect(nodes.of('a').port);
    for (let first = 0; first < JOBS; first += BATCH) {
      const batch = Array.from({ length: Math.min(BATCH, JOBS - first) }, (_, i) => ({
        ...{ name: 'work', id: String(first + i), attempts: 20 },
        data: { do: 'wait', ms: 5 + below(20) },
      }));
      expect(await ask(client, 'enqueueMany', batch)).toHaveLength(batch.length);
    }

    const killed = { 'task worker': 0, 'broker process': 0, node: 0 };
    const until = performance.now() + DONE_WITHIN_MS;
    while (nodes.count('end').size < JOBS) {
      if (performance.now() > until) throw new Error(`${nodes.count('end').size} of ${JOBS} jobs are done`);
      await sleep(PAUSE_MS.least + below(PAUSE_MS.more));
      killed[await nodes.killSomething(below)]++;
    }
    const counting = await ClusterClient.connect(nodes.of('b').port);
    await poll('the engine says so too', async () => {
      const counts = (await ask(counting, 'counts', 'work')) as Record<string, number>;
      return counts['waiting'] === 0 && counts['running'] === 0 && counts['dead'] === 0;
    });

    const [begun, ended] = [nodes.count('begin'), nodes.count('end')];
    const twice = [...ended.values()].reduce((sum, times) => sum + times - 1, 0);
    const runs = [...begun.values()].reduce((sum, times) => sum + times, 0);
    // A task worker takes one run with it. A broker process or a node loses the leases of all that its node has under way.
    const most = killed['task worker'] + PLACES * (killed['broker process'] + killed.node);
    console.log({ seed: SEED, jobs: ended.size, runs, doneTwice: twice, mostThatKillsExplain: most, killed });
    expect(ended.size).toBe(JOBS);
    expect(twice).toBeLessThanOrEqual(most);
    expect(runs - JOBS).toBeLessThanOrEqual(most);

    // The lease is renewed beside the process that computes.
    const spinning = await ask(counting, 'enqueue', 'work', { do: 'spin', ms: SPIN_MS }, { id: 'spin', attempts: 5 });
    await poll('it has spun', () => nodes.count('end').has(String(spinning)), SPIN_MS + 30_000);
    await sleep(2 * LEASE_MS); // a second run would have begun
    expect(nodes.count('begin').get(String(spinning))).toBe(1);
  },
);
