import { afterEach, describe, expect } from 'vitest';
import { Client } from '../helpers/client.js';
import { descriptorCount, residentMiB } from '../helpers/proc.js';
import {
  endServers,
  inProcessMode,
  overPlainTcp,
  poll,
  type ServerProcess,
  startServer,
} from '../helpers/server-process.js';

let server: ServerProcess;
afterEach(endServers);

const soak = process.env['SOAK'] === '1';
const CRASHES = soak ? 1000 : 25;
const CONNECTIONS = soak ? 100_000 : 4000;

describe('accepting', () => {
  overPlainTcp.each([
    ['no descriptors are left', 'ulimit -n 70', 1000],
    ['maxConnections is reached', 'ulimit -n 200', 25],
  ])(
    'pauses when %s, serves those who are in, and goes on later, with one line each',
    async (_, shell, maxConnections) => {
      server = await startServer('echo.js', {
        under: ['bash', '-c', `${shell}; exec "$@"`, 'bash'],
        options: { workerNum: 1, reactorNum: 1, maxConnections, logLevel: 'info' },
        env: { QUIET: '1' },
      });
      const clients = await Client.openMany(server.port, 100); // the kernel lets them into the backlog
      for (const client of clients) client.write('a');
      await poll('accepting pauses', () => server.stderr.includes('accepting pauses'));
      const isIn = (client: Client): boolean => client.text.length > 0;
      await poll('those who are in are answered', () => clients.filter(isIn).length >= Math.min(maxConnections, 30));
      const inside = clients.filter(isIn);
      const outside = clients.filter((client) => !isIn(client));
      expect(outside.length).toBeGreaterThan(20);
      for (let i = 0; i < 20; i++) {
        const client = inside[0] as Client;
        const before = client.text.length;
        client.write('b');
        await client.until('it is served', () => client.text.length > before);
      }
      // All that wait come in while others leave.
      const waiting = new Set(outside);
      for (const client of inside) await client.close();
      while (waiting.size > 0) {
        await poll('another one comes in', () => [...waiting].some(isIn));
        for (const client of [...waiting].filter(isIn)) {
          waiting.delete(client);
          await client.close();
        }
      }
      await poll('accepting goes on', () => server.stderr.includes('accepting goes on'));
      const lines = server.stderr.split('\n').filter((line) => line.includes('accepting'));
      expect(lines.length).toBeLessThan(20);
    },
  );
});

describe('after many crashes and short connections', () => {
  inProcessMode(
    'nothing is left over in the master',
    async () => {
      server = await startServer('commands.js', { options: { workerNum: 2, reactorNum: 2, logLevel: 'silent' } });
      const shortLives = async (count: number): Promise<void> => {
        for (let done = 0; done < count; done += 100) {
          const clients = await Client.openMany(server.port, 100);
          await Promise.all(clients.map((client) => client.ask('echo x')));
          await Promise.all(clients.map((client) => client.close()));
        }
      };
      const noConnections = async (): Promise<void> => {
        const client = await Client.open(server.port);
        for (;;) if (JSON.parse(await client.ask('stats')).connectionNum === 1) break;
        await client.close();
      };
      await shortLives(soak ? 20_000 : 2000); // until memory has found its level
      await noConnections();
      const descriptors = descriptorCount(server.masterPid);
      const resident = residentMiB(server.masterPid);
      const probe = await Client.open(server.port);
      for (let i = 0; i < CRASHES; i++) {
        const [, pid] = (await probe.ask('who')).split(' ');
        server.signal('SIGKILL', Number(pid));
        await poll('its end is told', () => server.events('workerError').length > i);
      }
      await probe.ask('who');
      await probe.close();
      await shortLives(CONNECTIONS);
      await noConnections();
      expect(server.zombies).toEqual([]);
      expect(descriptorCount(server.masterPid)).toBeLessThanOrEqual(descriptors + 1);
      expect(residentMiB(server.masterPid)).toBeLessThan(resident * 1.1);
      expect(server.events('workerError')).toHaveLength(CRASHES);
    },
    soak ? 600_000 : 60_000,
  );
});
