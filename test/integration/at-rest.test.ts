import { platform } from 'node:os';
import { afterEach, expect } from 'vitest';
import { libc } from '../../src/os/libc.js';
import { residentMiB } from '../helpers/proc.js';
import { endServers, inProcessMode, poll, startServer } from '../helpers/server-process.js';
import { TcpClient } from '../helpers/tcp-client.js';

afterEach(endServers);

const MIB = 2 ** 20;
const CLIENTS = 12;
const BYTES = 14 * MIB;
const isKept = platform() !== 'linux' || libc.malloc_trim === undefined;

inProcessMode('what reactors have held for clients that were behind goes back to the system', async ({ skip }) => {
  skip(isKept, 'this C library keeps it');
  const server = await startServer('commands.js', { options: { workerNum: 1, reactorNum: 1, highWatermark: '6m' } });
  const before = residentMiB(server.masterPid);
  const watcher = await TcpClient.connect(server.port);
  const clients = await TcpClient.connectMany(server.port, CLIENTS);
  for (const client of clients) client.socket.pause();
  for (const client of clients) client.send(`bytes ${BYTES}\n`);
  await poll('all wait', () => residentMiB(server.masterPid) > before + 50);
  for (const client of clients) client.socket.resume();
  await Promise.all(clients.map((client) => client.read(BYTES)));
  expect(await watcher.ask('echo a')).toBe('a');
  await poll('it is given back', () => residentMiB(server.masterPid) < before + 20);
  for (const client of [...clients, watcher]) client.socket.destroy();
});
