// Who accepts is decided in milliseconds: a worker that does not come when it is called is passed over for a second.
import { afterEach, describe, expect, it } from 'vitest';
import { endServers, type ServerProcess, startServer } from '../helpers/server-process.js';
import { TcpClient } from '../helpers/tcp-client.js';

afterEach(endServers);

const start = (workerNum: number): Promise<ServerProcess> =>
  startServer('commands.js', { options: { mode: 'base', workerNum } });
const idOf = async (client: TcpClient): Promise<number> => Number((await client.ask('who')).split(' ')[0]);

describe('connections in BASE mode', () => {
  it('spread evenly over the workers when they are few and stay, and stick to them', async () => {
    const server = await start(4);
    const spread = async (): Promise<number[]> => {
      const clients: TcpClient[] = [];
      for (let i = 0; i < 16; i++) clients.push(await TcpClient.connect(server.port));
      const counts = [0, 0, 0, 0];
      const first = await Promise.all(clients.map(idOf));
      for (const id of first) counts[id] = (counts[id] ?? 0) + 1;
      expect(await Promise.all(clients.map(idOf))).toEqual(first);
      await Promise.all(clients.map((client) => client.close()));
      return counts;
    };
    // A worker that a busy machine holds up for some ms leaves its turn to the next one: then once more.
    const even = [4, 4, 4, 4];
    let counts = await spread();
    for (let again = 0; again < 4 && String(counts) !== String(even); again++) counts = await spread();
    expect(counts).toEqual(even);
  });

  it('spread within 10 % when they are many and short', async () => {
    const server = await start(3);
    const unevenness = async (): Promise<number> => {
      const counts = [0, 0, 0];
      for (let round = 0; round < 30; round++) {
        const clients = await TcpClient.connectMany(server.port, 50);
        for (const id of await Promise.all(clients.map(idOf))) counts[id] = (counts[id] ?? 0) + 1;
        await Promise.all(clients.map((client) => client.close()));
      }
      const mean = counts.reduce((sum, count) => sum + count) / counts.length;
      return Math.max(...counts.map((count) => Math.abs(count - mean) / mean));
    };
    let worst = await unevenness();
    for (let again = 0; again < 2 && worst >= 0.1; again++) worst = await unevenness();
    expect(worst).toBeLessThan(0.1);
  });
});
