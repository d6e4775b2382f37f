import { createHash } from 'node:crypto';
import { afterEach, describe, expect, it } from 'vitest';
import { Client } from '../helpers/client.js';
import { PACE } from '../helpers/deadline.js';
import { residentMiB } from '../helpers/proc.js';
import { endServers, type ServerProcess, startServer } from '../helpers/server-process.js';

let server: ServerProcess;
let watch: NodeJS.Timeout;
afterEach(async () => {
  clearInterval(watch);
  await endServers();
});

const soak = process.env['SOAK'] === '1';
const TOTAL = soak ? 1 << 30 : 256 << 20;
const BLOCK_MS = soak ? 5000 : 1500;
const BOUND_MIB = 64;

/** The most the master's memory grows from here on. */
function watchMaster(): () => number {
  const base = residentMiB(server.masterPid);
  let most = base;
  watch = setInterval(() => {
    most = Math.max(most, residentMiB(server.masterPid));
  }, 10);
  return () => most - base;
}

function pattern(length: number): Buffer {
  return Buffer.from(Array.from({ length }, (_, index) => (index * 31 + (index >> 8)) & 255));
}

describe('back-pressure', () => {
  it(
    'reaches a client whose worker blocks: nothing is lost, no memory grows',
    async () => {
      server = await startServer('digest.js', {
        options: { workerNum: 1, reactorNum: 1 },
        env: { BLOCK_MS: `${BLOCK_MS}` },
      });
      const client = await Client.open(server.port);
      const growth = watchMaster();
      const chunk = pattern(1 << 18);
      const sent = createHash('sha256');
      let left = TOTAL;
      const push = (): void => {
        while (left > 0) {
          const piece = chunk.subarray(left % 7);
          sent.update(piece);
          left -= piece.length;
          if (!client.socket.write(piece)) return;
        }
        client.socket.end();
      };
      client.socket.on('drain', push);
      push();
      const { bytes, digest } = await server.waitForEvent('digest', undefined, 60_000);
      expect(left).toBeLessThanOrEqual(0);
      expect(bytes).toBe(TOTAL - left);
      expect(digest).toBe(sent.digest('hex'));
      expect(growth()).toBeLessThan(BOUND_MIB);
      await client.close();
    },
    90_000 * PACE,
  );

  it(
    'reaches a worker whose client does not read, with bufferFull, bufferEmpty and drain()',
    async () => {
      server = await startServer('pour.js', { options: { workerNum: 2, reactorNum: 1 }, env: { TOTAL: `${TOTAL}` } });
      const client = await Client.open(server.port, { keepText: false });
      const growth = watchMaster();
      const got = createHash('sha256');
      client.socket.on('data', (data) => got.update(data));
      client.socket.pause();
      client.write('pour');
      await server.waitForEvent('bufferFull');
      await server.waitForEvent('refused');
      const other = await Client.open(server.port);
      other.write('hello');
      await other.until('others are served meanwhile', () => other.text === 'hello');
      client.socket.resume();
      await server.waitForEvent('bufferEmpty');
      const { digest, drains } = await server.waitForEvent('poured', undefined, 60_000);
      await client.closed;
      expect(client.receivedBytes).toBe(TOTAL);
      expect(got.digest('hex')).toBe(digest);
      expect(drains).toBeGreaterThan(0);
      expect(growth()).toBeLessThan(BOUND_MIB);
      await other.close();
    },
    90_000 * PACE,
  );
});
