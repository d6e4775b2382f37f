/** Nodes and durable jobs over an engine that speaks TLS, whose authority is given by the option, or is another one. */
import { readFileSync } from 'node:fs';
import { afterAll, afterEach, describe, expect, it } from 'vitest';
import { certificateFor } from '../helpers/certificates.js';
import { ClusterClient } from '../helpers/cluster-client.js';
import type { EngineProcess } from '../helpers/engine-process.js';
import { hasNats, startTlsNats } from '../helpers/nats.js';
import { hasRedis, startTlsRedis } from '../helpers/redis.js';
import { endServers, poll, type ServerProcess, startServer } from '../helpers/server-process.js';

const engines = [
  ['redis', hasRedis, startTlsRedis],
  ['nats', hasNats, startTlsNats],
] as const;

/** Of each kind one, which all tests leave as it is. */
const started = new Map<string, Promise<EngineProcess>>();
afterEach(endServers);
afterAll(async () => {
  for (const engine of started.values()) await (await engine).stop();
});

function share(kind: string, start: (typeof engines)[number][2]): Promise<EngineProcess> {
  const engine = started.get(kind) ?? start(certificateFor('engine.test'));
  started.set(kind, engine);
  return engine;
}

const authority = (name: string): { ca: string } => ({ ca: readFileSync(certificateFor(name).cert, 'utf8') });

const SMALL = { workerNum: 1, reactorNum: 1 };

function startNode(driver: string, nodeId: string, more: object): Promise<ServerProcess> {
  const cluster = { driver, nodeId, heartbeatMs: 200, ttlMs: 1500, ...more };
  return startServer('cluster.js', { options: SMALL, env: { CLUSTER: JSON.stringify(cluster) } });
}

describe.each(engines)('over TLS, on %s,', (driver, isThere, startEngine) => {
  const test = it.skipIf(!isThere);

  test('nodes whose option has the authority reach each other', async () => {
    const { url } = await share(driver, startEngine);
    const tls = authority('engine.test');
    const [a, b] = await Promise.all(['a', 'b'].map((id) => startNode(driver, id, { url, tls })));
    const [from, to] = await Promise.all([a!, b!].map(({ port }) => ClusterClient.connect(port)));
    await from!.until('nodes', ['a', 'b']);
    await to!.until('nodes', ['a', 'b']);
    await to!.ask('join hall');
    await poll('a message comes', async () => {
      await from!.ask('publish hall news');
      return to!.said.includes('news');
    });
  });

  test('a node with another authority serves alone, and says which option is wrong', async () => {
    const { url } = await share(driver, startEngine);
    const alone = await startNode(driver, 'c', { url, tls: authority('other.test') });
    expect(alone.stderr).toContain('this node is not in its cluster');
    expect(alone.stderr).toContain('the authority that signed its certificate must be in tls.ca');
    const client = await ClusterClient.connect(alone.port);
    expect(await client.ask('state')).toBe('down');
  });
});

it.skipIf(!hasRedis)('durable jobs are done over rediss, by the authority of the cluster', async () => {
  const { url } = await share('redis', startTlsRedis);
  const cluster = { driver: 'redis', url, nodeId: 'd', tls: authority('engine.test'), jobs: {} };
  const options = { ...SMALL, taskWorkerNum: 1 };
  const server = await startServer('jobs.js', { options, env: { CLUSTER: JSON.stringify(cluster) } });
  const client = await ClusterClient.connect(server.port);
  const job = ['work', { do: 'give', value: 7 }, { id: '1' }];
  await client.until(`enqueue ${JSON.stringify(job)}`, 'work:1');
  await server.waitForEvent('end', ({ id }) => id === 'work:1');
});
