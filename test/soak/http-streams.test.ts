// 10 GiB up and 10 GiB down through one worker; no process may grow with them.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { afterEach, expect, it } from 'vitest';
import { residentMiB } from '../helpers/proc.js';
import { endServers, IS_BASE, type ServerProcess, startServer } from '../helpers/server-process.js';

afterEach(endServers);

const GIB = 2 ** 30;
const BYTES = 10 * GIB;
const MOST_MIB = 150;
const start = (): Promise<ServerProcess> =>
  startServer('http.js', {
    options: { workerNum: 1, reactorNum: 1, bodyLimit: '16g', mode: IS_BASE ? 'base' : 'process' },
  });

/** @returns the largest resident memory of any process of the server while `work` went on, in MiB */
async function largestDuring(server: ServerProcess, work: Promise<unknown>): Promise<number> {
  let largest = 0;
  const look = (): void => {
    for (const { pid } of server.tree()) largest = Math.max(largest, residentMiB(pid));
  };
  const timer = setInterval(look, 100);
  await work;
  clearInterval(timer);
  return largest;
}

async function curl(args: readonly string[], feed = 0): Promise<string> {
  const child = spawn('curl', ['-sS', ...args], { stdio: ['pipe', 'pipe', 'inherit'] });
  let output = '';
  child.stdout.on('data', (data) => (output += data));
  const ended = once(child, 'close');
  const piece = Buffer.alloc(2 ** 20, 'x');
  for (let left = feed; left > 0; left -= piece.length) if (!child.stdin.write(piece)) await once(child.stdin, 'drain');
  child.stdin.end();
  await ended;
  return output;
}

it(`takes ${BYTES / GIB} GiB`, async () => {
  const server = await start();
  const url = `http://127.0.0.1:${server.port}/count`;
  const upload = curl(['-T', '-', '-X', 'POST', '-H', 'Expect:', url], BYTES);
  const largest = await largestDuring(server, upload);
  process.stdout.write(`up: ${Math.round(largest)} MiB at most\n`);
  expect(await upload).toBe(String(BYTES));
  expect(largest).toBeLessThan(MOST_MIB);
});

it(`sends ${BYTES / GIB} GiB`, async () => {
  const server = await start();
  const url = `http://127.0.0.1:${server.port}/pour?bytes=${BYTES}`;
  const download = curl(['-o', '/dev/null', '-w', '%{size_download}', url]);
  const largest = await largestDuring(server, download);
  process.stdout.write(`down: ${Math.round(largest)} MiB at most\n`);
  expect(await download).toBe(String(BYTES));
  expect(largest).toBeLessThan(MOST_MIB);
});
