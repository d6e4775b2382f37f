/** An address at which another engine listens than the one that is expected. */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, test } from 'vitest';
import type { DriverName } from '../../src/options/cluster.js';
import type { EngineProcess } from '../helpers/engine-process.js';
import { hasNats, startNats } from '../helpers/nats.js';
import { hasRedis, startRedis } from '../helpers/redis.js';
import { begin, Nodes, type TestEngine } from './world.js';

const nodes = new Nodes();
const ends: (() => unknown)[] = [];
afterEach(async () => {
  await nodes.stop();
  for (const end of ends.splice(0).reverse()) await end();
});

async function portOf(starting: Promise<EngineProcess>): Promise<number> {
  const engine = await starting;
  ends.push(() => engine.stop());
  return engine.port;
}

async function httpServer(): Promise<number> {
  const server = createServer((_, response) => response.end('hello'));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  ends.push(() => server.close());
  return (server.address() as AddressInfo).port;
}

async function refusal(driver: DriverName, url: string): Promise<string> {
  const engine = { driver, url } as TestEngine;
  const starting = begin(nodes.make(engine, 'a', { connectTimeoutMs: 300 }));
  return String(await starting.catch((error: unknown) => error));
}

describe('an engine that is not there is told of by what is', () => {
  test.skipIf(!hasRedis)('a Redis without TLS, for rediss:', async () => {
    const port = await portOf(startRedis());
    expect(await refusal('redis', `rediss://127.0.0.1:${port}`)).toContain(
      'a Redis without TLS listens there: its URL begins with "redis:"',
    );
  });

  test.skipIf(!hasRedis)('a Redis that wants a password, for NATS', async () => {
    const port = await portOf(startRedis({ settings: ['--requirepass', 'x'] }));
    expect(await refusal('nats', `nats://127.0.0.1:${port}`)).toContain('; a Redis listens there');
  });

  test.skipIf(!hasNats)('a NATS server, for Redis', async () => {
    const port = await portOf(startNats());
    expect(await refusal('redis', `redis://127.0.0.1:${port}`)).toContain('; a NATS server listens there');
  });

  test('an HTTP server, for both', async () => {
    const port = await httpServer();
    for (const driver of ['redis', 'nats'] as const)
      expect(await refusal(driver, `${driver}://127.0.0.1:${port}`)).toContain('; an HTTP server listens there');
  });

  test.skipIf(!hasRedis)('and a reason that says all is told alone', async () => {
    const port = await portOf(startRedis({ settings: ['--requirepass', 'x'] }));
    expect(await refusal('redis', `redis://127.0.0.1:${port}`)).not.toContain('listens there');
    expect(await refusal('redis', 'redis://127.0.0.1:1')).not.toContain('listens there');
  });
});
