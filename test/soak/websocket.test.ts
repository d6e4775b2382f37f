import { afterEach, describe, expect, it } from 'vitest';
import { certificateFor } from '../helpers/certificates.js';
import { last } from '../helpers/lasting-sockets.js';
import { endServers, startServer } from '../helpers/server-process.js';
import { serveSlow } from '../helpers/slow-consumers.js';

afterEach(endServers);

const COUNT = 500;
const TIMES = 20;
/** 25,000 deliveries a second: the clients are one process, and must keep up with TLS too. */
const env = { PUBLISHER: '1', PUBLISH_MS: process.env['PUBLISH_MS'] ?? '20' };

describe('500 sockets in rooms', () => {
  it.each([false, true])('outlive 20 reloads and 20 killed workers in PROCESS mode (TLS: %s)', async (tls) => {
    const server = await startServer('websocket-rooms.js', {
      env,
      options: tls ? { tls: certificateFor('server.test') } : {},
    });
    const members = await last(server, { count: COUNT, tls, reloads: TIMES, kills: TIMES });
    const received = members.reduce((sum, { next }) => sum + [...next.values()].reduce((a, b) => a + b, 0), 0);
    process.stdout.write(`${received} room messages, none lost\n`);
    for (const { socket } of members) socket.terminate();
  });

  it('outlive 20 reloads in BASE mode', async () => {
    const server = await startServer('websocket-rooms.js', {
      env,
      options: { mode: 'base', maxRequest: 1_000_000_000 },
    });
    const members = await last(server, { count: COUNT, tls: false, reloads: TIMES, kills: 0 });
    for (const { socket } of members) socket.terminate();
  });
});

describe('slow consumers beside 1,000 fast ones', () => {
  it.each(['close', 'drop', 'skipToLatest'] as const)(
    '%s: the fast ones get all in order, memory is bounded',
    async (slowConsumer) => {
      const alone = await serveSlow({ slowConsumer, fast: 1000, slow: 0, messages: 3000 });
      const result = await serveSlow({ slowConsumer, fast: 1000, slow: 20, messages: 3000 });
      process.stdout.write(
        `${slowConsumer}: without slow ones ${JSON.stringify(alone)}, with ${JSON.stringify(result)}\n`,
      );
      expect(result.faults).toEqual([]);
      // They are 2 % of the members. Twice is the noise of a machine with other work, and far from one that waits for the slow.
      expect(result.p99Ms).toBeLessThan(alone.p99Ms * 2);
    },
  );
});
