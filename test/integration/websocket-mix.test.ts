import { readdirSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import { killWorker, reload } from '../helpers/lasting-sockets.js';
import { MixedSockets } from '../helpers/mixed-sockets.js';
import { endServers, IS_BASE, poll, type ServerProcess, startServer } from '../helpers/server-process.js';

afterEach(endServers);

const COUNT = 60;
const AMONG_MS = process.env['SOAK'] === '1' ? 20_000 : 1200;
/** What the processes keep open from their first batch on: a ring, and its memory. */
const KEPT_BY_A_PROCESS = 4;

const descriptorsOf = (server: ServerProcess): number =>
  server.tree().reduce((sum, { pid }) => sum + readdirSync(`/proc/${pid}/fd`).length, 0);

describe('echoes, publications, pings, closes and resets of sockets in one room', () => {
  for (const ioUring of [true, false]) {
    it(`are whole and in order for each socket, through reloads and killed workers (ioUring: ${ioUring})`, async () => {
      const server = await startServer('websocket-mix.js', { options: { ioUring } });
      const before = descriptorsOf(server);
      const mix = await new MixedSockets(server.port, 7).run(COUNT, async () => {
        await sleep(AMONG_MS);
        await reload(server);
        await sleep(AMONG_MS);
        if (!IS_BASE) await killWorker(server, 1);
        await sleep(AMONG_MS);
      });
      expect(mix.faults).toEqual([]);
      expect(Math.min(mix.echoes, mix.publications, mix.resets, mix.closes)).toBeGreaterThan(0);
      await poll('no descriptor is left behind', () => {
        return descriptorsOf(server) <= before + KEPT_BY_A_PROCESS * server.tree().length;
      });
    });
  }
});
