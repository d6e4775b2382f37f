/** Nodes and durable jobs over an engine that speaks TLS, whose authority is given by the option, or is another one. */
import { readFileSync } from 'node:fs';
import { afterEach, describe, expect, it } from 'vitest';
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

let engine: EngineProcess | undefined;
afterEach(async () => {
  await endServers();
  await engine?.stop();
  engine = undefined;
});

const authority = (name: string): { ca: string } => ({ ca: readFileSync(certificateFor(name).cert, 'utf8') });

function startNode(driver: string, nodeId: string, more: object): Promise<ServerProcess> {
  const cluster = { driver, url: engine?.url, nodeId, heartbeatMs: 200, ttlMs: 1500, ...more };
  return startServer('cluster.js', { env: { CLUSTER: JSON.stringify(cluster) } });
}

describe.each(engines)('over TLS, on %s,', (driver, isThere, startEngine) => {
  const test = it.skipIf(!isThere);

  test('nodes whose option has the authority reach each other', async () => {
    engine = await startEngine(certificateFor('engine.test'));
    const tls = authority('engine.test');
    const [a, b] = await Promise.all(['a', 'b'].map((id) => startNode(driver, id, { tls })));
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
    engine = await startEngine(certificateFor('engine.test'));
    const alone = await startNode(driver, 'a', { tls: authority('other.test') });
    expect(alone.stderr).toContain('this node is not in its cluster');
    expect(alone.stderr).toContain('the authority that signed its certificate must be in tls.ca');
    const client = await ClusterClient.connect(alone.port);
    expect(await client.ask('state')).toBe('down');
  });
});

it.skipIf(!hasRedis)('durable jobs are done over rediss, by the authority of the cluster', async () => {
  engine = await startTlsRedis(certificateFor('engine.test'));
  const cluster = { driver: 'redis', url: engine.url, nodeId: 'a', tls: authority('engine.test'), jobs: {} };
  const server = await startServer('jobs.js', { env: { CLUSTER: JSON.stringify(cluster) } });
  const client = await ClusterClient.connect(server.port);
  const job = ['work', { do: 'give', value: 7 }, { id: '1' }];
  await client.until(`enqueue ${JSON.stringify(job)}`, 'work:1');
  await server.waitForEvent('end', ({ id }) => id === 'work:1');
});
