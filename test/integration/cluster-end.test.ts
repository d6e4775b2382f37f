/** How other nodes hear that a server has ended: it has said goodbye, or it was killed. */
import { afterEach, describe, expect, it } from 'vitest';
import type { EngineProcess } from '../helpers/engine-process.js';
import { LastingServers } from '../helpers/lasting-servers.js';
import { hasRedis, startRedis } from '../helpers/redis.js';
import { endServers, inProcessMode, poll, type ServerProcess, startServer } from '../helpers/server-process.js';
import { Since } from '../helpers/shared-servers.js';

let engine: EngineProcess | undefined;
const lasting = new LastingServers(async () => {
  await engine?.stop();
  engine = undefined;
});
afterEach(endServers);

/** What is told here is told at once: nobody is lost for silence. */
const SLOW = { heartbeatMs: 200, ttlMs: 600_000 };

function startNode(nodeId: string): Promise<ServerProcess> {
  const cluster = { driver: 'redis', url: engine?.url, nodeId, ...SLOW };
  return startServer('cluster.js', {
    options: { workerNum: 1, reactorNum: 1 },
    env: { CLUSTER: JSON.stringify(cluster) },
  });
}

const argsOf = (since: Since, event: string): unknown[] => since.events(event).map(({ args }) => args);

/** Node a of all tests, and another one that it knows. */
async function startPair(nodeId: string): Promise<[since: Since, other: ServerProcess]> {
  engine ??= await startRedis();
  const a = new Since(await lasting.share('a', () => startNode('a')));
  const other = await startNode(nodeId);
  await poll('it is known', () => a.events('nodeUp').some(({ args }) => JSON.stringify(args).includes(`"${nodeId}"`)));
  return [a, other];
}

describe.skipIf(!hasRedis)('the other nodes are told of a server', () => {
  it('that stops: it has left', async () => {
    const [a, b] = await startPair('b');
    b.signal('SIGTERM');
    await a.waitForEvent('nodeDown');
    expect(argsOf(a, 'nodeDown')).toEqual([['b', 'left']]);
  });

  it('whose master was killed: it is lost, at once', async () => {
    const [a, b] = await startPair('c');
    b.signal('SIGKILL', b.masterPid);
    await a.waitForEvent('nodeDown');
    expect(argsOf(a, 'nodeDown')).toEqual([['c', 'lost']]);
  });

  inProcessMode('whose manager was killed: it is lost, at once, and comes back', async () => {
    const [a, b] = await startPair('d');
    b.signal('SIGKILL', b.manager?.pid);
    await a.waitForEvent('nodeDown');
    expect(argsOf(a, 'nodeDown')).toEqual([['d', 'lost']]);
    await poll('it is back', () => a.events('nodeUp').length === 2);
    b.signal('SIGTERM');
    await poll('it has left', () => a.events('nodeDown').length === 2);
    expect(argsOf(a, 'nodeDown')).toEqual([
      ['d', 'lost'],
      ['d', 'left'],
    ]);
  });
});
