import { afterEach, describe, expect, it } from 'vitest';
import { Client } from '../helpers/client.js';
import { descriptorCount, residentMiB, Tree, until } from '../helpers/tree.js';

let tree: Tree;
afterEach(async () => tree.stop());

const soak = process.env['SOAK'] === '1';
const CRASHES = soak ? 1000 : 25;
const CONNECTIONS = soak ? 100_000 : 4000;

describe('accepting', () => {
  it.each([
    ['no descriptors are left', 'ulimit -n 70', 1000],
    ['maxConnections is reached', 'ulimit -n 200', 25],
  ])(
    'pauses when %s, serves those who are in, and goes on later, with one line each',
    async (_, shell, maxConnections) => {
      tree = await Tree.start('echo.js', {
        shell,
        options: { workerNum: 1, reactorNum: 1, maxConnections, logLevel: 'info' },
        env: { QUIET: '1' },
      });
      const clients = await Client.openMany(tree.port, 100); // the kernel lets them into the backlog
      for (const client of clients) client.write('a');
      await until('accepting pauses', () => tree.stderr.includes('accepting pauses'));
      const isIn = (client: Client): boolean => client.text.length > 0;
      await until('those who are in are answered', () => clients.filter(isIn).length >= Math.min(maxConnections, 30));
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
        await until('another one comes in', () => [...waiting].some(isIn));
        for (const client of [...waiting].filter(isIn)) {
          waiting.delete(client);
          await client.close();
        }
      }
      await until('accepting goes on', () => tree.stderr.includes('accepting goes on'));
      const lines = tree.stderr.split('\n').filter((line) => line.includes('accepting'));
      expect(lines.length).toBeLessThan(20);
    },
  );
});

describe('after many crashes and short connections', () => {
  it(
    'nothing is left over in the master',
    async () => {
      tree = await Tree.start('commands.js', { options: { workerNum: 2, reactorNum: 2, logLevel: 'silent' } });
      const shortLives = async (count: number): Promise<void> => {
        for (let done = 0; done < count; done += 100) {
          const clients = await Client.openMany(tree.port, 100);
          await Promise.all(clients.map((client) => client.ask('echo x')));
          await Promise.all(clients.map((client) => client.close()));
        }
      };
      const noConnections = async (): Promise<void> => {
        const client = await Client.open(tree.port);
        for (;;) if (JSON.parse(await client.ask('stats')).connectionNum === 1) break;
        await client.close();
      };
      await shortLives(soak ? 20_000 : 2000); // until memory has found its level
      await noConnections();
      const descriptors = descriptorCount(tree.masterPid);
      const resident = residentMiB(tree.masterPid);
      const probe = await Client.open(tree.port);
      for (let i = 0; i < CRASHES; i++) {
        const [, pid] = (await probe.ask('who')).split(' ');
        tree.signal('SIGKILL', Number(pid));
        await until('its end is told', () => tree.all('workerError').length > i);
      }
      await probe.ask('who');
      await probe.close();
      await shortLives(CONNECTIONS);
      await noConnections();
      expect(tree.zombies).toEqual([]);
      expect(descriptorCount(tree.masterPid)).toBeLessThanOrEqual(descriptors + 1);
      expect(residentMiB(tree.masterPid)).toBeLessThan(resident * 1.1);
      expect(tree.all('workerError')).toHaveLength(CRASHES);
    },
    soak ? 600_000 : 60_000,
  );
});
