/** Members of presence belong to their node: they are there as long as it is, whichever of its processes end. */
import { afterEach, describe, expect, it } from 'vitest';
import { type ClusterClient, clientsOfTests } from '../helpers/cluster-client.js';
import { PACE } from '../helpers/deadline.js';
import type { EngineProcess } from '../helpers/engine-process.js';
import { LastingServers } from '../helpers/lasting-servers.js';
import { hasRedis, startRedis } from '../helpers/redis.js';
import { endServers, inProcessMode, type ServerProcess, startServer } from '../helpers/server-process.js';

const ann = { member: 'ann', node: 'b', meta: { mood: 'good' }, stale: false };

let engine: EngineProcess | undefined;
const lasting = new LastingServers(async () => {
  await engine?.stop();
  engine = undefined;
});
afterEach(endServers);
const connect = clientsOfTests();

function shareNode(nodeId: string): Promise<ServerProcess> {
  const cluster = { driver: 'redis', url: engine?.url, nodeId, heartbeatMs: 200, ttlMs: 1500 };
  const options = { workerNum: 1, reactorNum: 1 };
  return lasting.share(nodeId, () => startServer('cluster.js', { options, env: { CLUSTER: JSON.stringify(cluster) } }));
}

/** Two nodes; ann is on b, and the other member that was there is dropped. */
async function shareWithAnn() {
  engine ??= await startRedis();
  const [a, b] = await Promise.all([shareNode('a'), shareNode('b')]);
  const [toA, toB] = await Promise.all([connect(a), connect(b)]);
  for (const client of [toA, toB]) await client.until('nodes', ['a', 'b']);
  await toB.ask('present ann');
  await toB.ask('present bob');
  await toA.until('presence', [expect.objectContaining({ member: 'ann' }), expect.objectContaining({ member: 'bob' })]);
  await toB.ask('absent bob');
  await toA.until('presence', [ann]);
  await new Promise((resolve) => setTimeout(resolve, 200 * PACE)); // what is younger the master has not yet
  return { toA, b };
}

const pidOf = (server: ServerProcess, title: string): number | undefined =>
  server.tree().find((each) => each.title.includes(title))?.pid;

/** The node has another broker process, which has joined. */
async function comesBack(toA: ClusterClient, b: ServerProcess, before: number | undefined): Promise<void> {
  await b.waitFor('another broker process', () => {
    const now = pidOf(b, 'process cluster');
    return now !== undefined && now !== before;
  });
  await toA.until('ask b', { from: 'a', node: 'b', sum: '13' });
}

describe.skipIf(!hasRedis)('a member of presence', () => {
  inProcessMode('is there again when the manager was killed, which ends all that keep it but the master', async () => {
    const { toA, b } = await shareWithAnn();
    const broker = pidOf(b, 'process cluster');
    b.signal('SIGKILL', b.manager?.pid);
    await comesBack(toA, b, broker);
    await toA.until('presence', [ann]);
    const toB = await connect(b);
    await toB.ask('absent ann'); // by the successor of the worker that has put it
    await toA.until('presence', []);
  });

  it('is there again when its worker and the broker process were killed together, and is kept from then on', async () => {
    const { toA, b } = await shareWithAnn();
    for (let times = 0; times < 2; times++) {
      const [broker, worker] = [pidOf(b, 'process cluster'), pidOf(b, 'worker 0')];
      for (const pid of [worker, broker]) b.signal('SIGKILL', pid);
      await comesBack(toA, b, broker);
      await toA.until('presence', [ann]);
    }
    const broker = pidOf(b, 'process cluster');
    b.signal('SIGKILL', broker);
    await comesBack(toA, b, broker);
    await toA.until('presence', [ann]);
  });
});
