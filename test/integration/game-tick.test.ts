// examples/game-tick with 1,000 clients: each gets every tick, in order, while some of them move.
import { once } from 'node:events';
import { afterEach, expect, it } from 'vitest';
import { WebSocket } from 'ws';
import { eventually } from '../helpers/eventually.js';
import { endExample, pidsOfExample, startExample } from '../helpers/example.js';

const CLIENTS = 1000;
const AT_ONCE = 50;
const TICKS = 60;
const MOVERS = 10;

/** Counts ticks from the whole state on. */
class Client {
  readonly socket: WebSocket;
  tick = 0;
  gaps = 0;

  constructor(url: string) {
    this.socket = new WebSocket(url);
    this.socket.on('message', (data) => {
      const { type, tick } = JSON.parse(String(data)) as { type: string; tick: number };
      if (type === 'leave') return;
      if (type === 'tick' && tick !== this.tick + 1) this.gaps++;
      this.tick = tick;
    });
  }
}

const clients: Client[] = [];
afterEach(async () => {
  for (const { socket } of clients.splice(0)) socket.terminate();
  await endExample();
});

async function connectAll(url: string): Promise<void> {
  while (clients.length < CLIENTS) {
    const some = Array.from({ length: AT_ONCE }, () => new Client(url));
    await Promise.all(some.map(({ socket }) => once(socket, 'open')));
    clients.push(...some);
  }
}

/** Every client has come this far. */
const allAt = (wanted: number): Promise<void> =>
  eventually(() => expect(Math.min(...clients.map(({ tick }) => tick))).toBeGreaterThanOrEqual(wanted));

it('1,000 clients of examples/game-tick get each tick, also when a worker is killed', async () => {
  await connectAll(`ws://127.0.0.1:${await startExample('game-tick')}/game`);
  await allAt(1);
  for (const [i, { socket }] of clients.slice(0, MOVERS).entries()) socket.send(i % 2 === 0 ? 'left' : 'down');
  const from = Math.max(...clients.map(({ tick }) => tick));
  await allAt(from + TICKS / 2);
  process.kill(pidsOfExample('worker')[0] ?? 0, 'SIGKILL');
  await allAt(from + TICKS);
  expect(clients.filter(({ gaps, socket }) => gaps > 0 || socket.readyState !== WebSocket.OPEN)).toEqual([]);
});
