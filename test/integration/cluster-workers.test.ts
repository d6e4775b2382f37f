/** A node whose number of workers may change: ids without a process get no messages, which nobody would read. */
import { afterEach, it } from 'vitest';
import type { EngineProcess } from '../helpers/engine-process.js';
import { LightWebSocket } from '../helpers/light-web-socket.js';
import { hasRedis, startRedis } from '../helpers/redis.js';
import { endServers, startServer } from '../helpers/server-process.js';

/** More than the queue of one process takes. */
const ROOMS = 1200;

let engine: EngineProcess | undefined;
const sockets: LightWebSocket[] = [];
afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.end();
  await endServers();
  await engine?.stop();
  engine = undefined;
});

it.skipIf(!hasRedis)(
  'hears of each of its rooms after an outage, where there may be more workers than there are',
  async () => {
    engine = await startRedis();
    const cluster = { driver: 'redis', url: engine.url, nodeId: 'a', heartbeatMs: 200, ttlMs: 1500 };
    const options = { workerNum: 1, maxWorkerNum: 4 };
    const server = await startServer('cluster-rooms.js', { options, env: { CLUSTER: JSON.stringify(cluster) } });
    await server.waitForEvent('clusterState', ({ args }) => String(args) === 'up');
    const open = (index: number) => LightWebSocket.open(server.port, `/?room=r${index}`, () => {});
    sockets.push(...(await LightWebSocket.openMany(ROOMS, open)));
    await engine.kill('SIGKILL');
    await server.waitForEvent('clusterState', ({ args }) => String(args) === 'reconnecting');
    await engine.restart();
    const told = (): Set<string> => new Set(server.events('gaps').flatMap(({ rooms }) => rooms as string[]));
    await server.waitFor(`gaps of ${ROOMS} rooms`, () => told().size === ROOMS);
  },
);
