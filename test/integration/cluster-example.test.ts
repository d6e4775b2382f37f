// examples/cluster as its README says: two nodes on one machine, and a Redis.
import { afterEach, describe, expect, it, vi } from 'vitest';
import { DEADLINE_MS } from '../helpers/deadline.js';
import type { EngineProcess } from '../helpers/engine-process.js';
import { endExample, startExampleWith } from '../helpers/example.js';
import { JsonSocket } from '../helpers/json-socket.js';
import { hasRedis, startRedis } from '../helpers/redis.js';

let redis: EngineProcess | undefined;
const sockets: JsonSocket[] = [];

afterEach(async () => {
  for (const { socket } of sockets.splice(0)) socket.terminate();
  await endExample();
  await redis?.stop();
});

async function join(port: number, name: string): Promise<JsonSocket> {
  const client = await JsonSocket.open(`ws://127.0.0.1:${port}/chat?name=${name}`);
  sockets.push(client);
  return client;
}

/** Until the node of this client has heard that each node has one member in the lobby. */
async function untilCounted(client: JsonSocket): Promise<void> {
  const wanted = [
    { node: 'a', members: 1 },
    { node: 'b', members: 1 },
  ];
  await vi.waitFor(
    async () => {
      client.send('/who');
      const { nodes } = await client.take({ type: 'members' });
      expect(nodes).toEqual(expect.arrayContaining(wanted));
    },
    { timeout: DEADLINE_MS, interval: 50 },
  );
}

describe.skipIf(!hasRedis)('examples/cluster', () => {
  /** Two nodes that know each other, with a client each. */
  async function startTwo(): Promise<[JsonSocket, JsonSocket]> {
    redis = await startRedis();
    const env = { REDIS_URL: redis.url, TSWOOLE_OPTION_LOG_LEVEL: 'error' };
    const [a, b] = await Promise.all([
      startExampleWith({ ...env, NODE_ID: 'a' }, 'cluster'),
      startExampleWith({ ...env, NODE_ID: 'b' }, 'cluster'),
    ]);
    const [anna, ben] = await Promise.all([join(a, 'anna'), join(b, 'ben')]);
    await untilCounted(anna);
    await untilCounted(ben);
    return [anna, ben];
  }

  it('brings what is said on one node to the members on both', async () => {
    const [anna, ben] = await startTwo();
    anna.send('hello');
    for (const client of [anna, ben]) await client.take({ type: 'say', name: 'anna', node: 'a', text: 'hello' });
    ben.send('/to anna psst');
    await anna.take({ type: 'private', name: 'ben', text: 'psst' });
    ben.socket.close();
    await anna.take({ type: 'leave', name: 'ben', node: 'b' });
    expect(anna.messages).toEqual([]);
  });

  it('goes on alone without Redis, and says that something may be missing when it is back', async () => {
    const [anna, ben] = await startTwo();
    await redis?.kill('SIGKILL');
    anna.send('is anybody there?');
    await anna.take({ type: 'say', name: 'anna' });
    await redis?.restart();
    for (const client of [anna, ben]) await client.take({ type: 'gap' });
    await untilCounted(anna);
    anna.send('together again');
    await ben.take({ type: 'say', name: 'anna', text: 'together again' });
  });
});
