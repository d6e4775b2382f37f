/** A Redis that was made a replica, and keeps its connections: what is published there reaches its own subscribers alone. */
import { connect, createServer, type Socket } from 'node:net';
import { afterEach, describe, expect, test } from 'vitest';
import type { EngineProcess } from '../helpers/engine-process.js';
import { eventually } from '../helpers/eventually.js';
import { askRedis, hasRedis, startRedis } from '../helpers/redis.js';
import { Nodes, Received, type TestEngine } from './world.js';

const nodes = new Nodes();
const ends: (() => unknown)[] = [];
afterEach(async () => {
  await nodes.stop();
  for (const end of ends.splice(0).reverse()) await end();
});

/** Names the Redis that is the primary now; connections that are there stay with the one before. */
class Name {
  primary: EngineProcess;
  connections = 0;
  readonly #sockets = new Set<Socket>();
  readonly #server = createServer((socket) => {
    this.connections++;
    const other = connect(this.primary.port, '127.0.0.1');
    for (const end of [socket, other]) this.#sockets.add(end.on('error', () => {}));
    socket.pipe(other).pipe(socket);
  });

  constructor(primary: EngineProcess) {
    this.primary = primary;
  }

  async open(): Promise<TestEngine> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve));
    const { port } = this.#server.address() as { port: number };
    return { driver: 'redis', url: `redis://127.0.0.1:${port}` } as TestEngine;
  }

  close(): void {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
  }
}

async function primaryAndName() {
  const server = await startRedis();
  ends.push(() => server.stop());
  const name = new Name(server);
  const engine = await name.open();
  ends.push(() => name.close());
  return { server, name, engine };
}

describe.skipIf(!hasRedis)('a Redis that was made a replica', () => {
  test('is left for the new primary within a heartbeat or two, and messages reach the nodes there', async () => {
    const { server, name, engine } = await primaryAndName();
    const a = await nodes.start(engine, 'a');
    const next = await startRedis();
    ends.push(() => next.stop());
    await askRedis(server, `REPLICAOF 127.0.0.1 ${next.port}`);
    name.primary = next;
    const c = await nodes.start(engine, 'c');
    const received = new Received();
    await c.driver.subscribe('s', received.take).ready;
    await eventually(() => expect(c.told).toContain('up a'));
    await eventually(() => {
      a.driver.publish('s', Buffer.from('x'));
      expect(received.texts).toContain('a: x');
    });
    expect(a.told.filter((line) => line.startsWith('state'))).toEqual(['state up', 'state reconnecting', 'state up']);
  });

  test('is not joined while the address leads there: tried with growing pauses, and the reason is told', async () => {
    const { server, name, engine } = await primaryAndName();
    const a = await nodes.start(engine, 'a');
    await askRedis(server, 'REPLICAOF 127.0.0.1 1');
    await eventually(() => expect(String(a.driver.failure)).toContain('it is a replica'));
    const [before, begun] = [name.connections, performance.now()];
    // Two connections each; what comes before is the first attempt.
    await eventually(() => expect(name.connections).toBeGreaterThanOrEqual(before + 6));
    expect(performance.now() - begun).toBeGreaterThan((100 + 200) / 2);
    expect(a.told).toEqual(['state up', 'state reconnecting']);
    await askRedis(server, 'REPLICAOF NO ONE');
    await eventually(() => expect(a.driver.state).toBe('up'));
  });
});
