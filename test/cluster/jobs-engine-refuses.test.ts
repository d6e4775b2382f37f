import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { afterEach, describe, expect, it } from 'vitest';
import type { EngineProcess } from '../helpers/engine-process.js';
import { eventually } from '../helpers/eventually.js';
import { JobQueues } from '../helpers/job-queues.js';
import { hasRedis, startRedis } from '../helpers/redis.js';

const queues = new JobQueues();
const engines: EngineProcess[] = [];
const clients: Redis[] = [];
const proxies: Forwarder[] = [];

afterEach(async () => {
  await queues.close();
  for (const client of clients.splice(0)) client.disconnect();
  for (const proxy of proxies.splice(0)) await proxy.close();
  for (const engine of engines.splice(0)) await engine.stop();
});

async function redis(): Promise<[EngineProcess, Redis]> {
  const engine = await startRedis();
  engines.push(engine);
  const client = new Redis(engine.url);
  clients.push(client);
  return [engine, client];
}

/** The name that leads to the primary. */
class Forwarder {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  port: number;

  constructor(port: number) {
    this.port = port;
    this.#server = createServer((socket) => {
      const engine = connect(this.port, '127.0.0.1');
      for (const [from, to] of [
        [socket, engine],
        [engine, socket],
      ] as const) {
        this.#sockets.add(from);
        from.on('error', () => {}).on('close', () => to.destroy());
        from.pipe(to);
      }
    });
  }

  async open(): Promise<string> {
    this.#server.listen(0, '127.0.0.1');
    await once(this.#server, 'listening');
    return `redis://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
    await once(this.#server, 'close');
  }
}

async function errorsOf(client: Redis): Promise<number> {
  return Number(/total_error_replies:(\d+)/.exec(await client.info('stats'))?.[1]);
}

/** Refusals of a worker that is told no, per second. Two seconds, as the pauses grow up to that. */
async function refusalsPerSecond(client: Redis): Promise<number> {
  const before = await errorsOf(client);
  const began = performance.now();
  await sleep(2_000);
  return ((await errorsOf(client)) - before) / ((performance.now() - began) / 1_000);
}

describe.skipIf(!hasRedis)('durable jobs when Redis refuses', () => {
  it.each([
    ['it has no memory left', ['CONFIG', 'SET', 'maxmemory', '1'], ['CONFIG', 'SET', 'maxmemory', '0'], /OOM/],
    ['it is read-only', ['REPLICAOF', '127.0.0.1', '1'], ['REPLICAOF', 'NO', 'ONE'], /READONLY/],
  ])('asks seldom for jobs while %s, and goes on afterwards', async (_, break_, mend, reason) => {
    const [engine, client] = await redis();
    const queue = await queues.open({ url: engine.url });
    await queue.enqueueMany([1, 2, 3, 4, 5].map((data) => ({ name: 'q', data })));
    const [word = '', ...args] = break_;
    await client.call(word, ...args);
    await expect(queue.enqueue('q', 'refused')).rejects.toThrow(reason);
    await eventually(() => queue.work('q', async () => undefined, { concurrency: 3 })); // its connection is made anew
    expect(await refusalsPerSecond(client)).toBeLessThan(50);
    const [again = '', ...more] = mend;
    await client.call(again, ...more);
    await eventually(async () => expect(await queue.counts('q')).toMatchObject({ waiting: 0, running: 0, done: 5 }));
    queues.problems.splice(0);
  });

  it('follows to the new primary after a fail-over that closes no connection', async () => {
    const [former, client] = await redis();
    const [next] = await redis();
    const proxy = new Forwarder(former.port);
    proxies.push(proxy);
    const queue = await queues.open({ url: await proxy.open() });
    const seen: unknown[] = [];
    await queue.work('q', async ({ data }) => void seen.push(data), { concurrency: 1 });
    await queue.enqueue('q', 'before');
    await eventually(() => expect(seen).toEqual(['before']));
    proxy.port = next.port;
    await client.replicaof('127.0.0.1', next.port);
    await eventually(async () => expect(await queue.enqueue('q', 'after', { id: 'a' })).toBe('q:a'));
    await eventually(() => expect(seen).toEqual(['before', 'after']));
    queues.problems.splice(0);
  });
});
