// npm run bench:scrape: how long a scrape of /metrics takes while one of eight workers spins. Target: under 20 ms.
import { spawn } from 'node:child_process';
import { Agent, get } from 'node:http';
import { connect } from 'node:net';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

const SCRAPES = 200;
const ROUNDS = 5;
const script = fileURLToPath(new URL('./server.js', import.meta.url));
const agent = new Agent({ keepAlive: true });

const child = spawn(process.execPath, [script], { stdio: ['ignore', 'pipe', 'pipe'] });
try {
  const [port, url] = await Promise.all([
    firstLine(child.stdout, (line) => JSON.parse(line).port),
    firstLine(child.stderr, (line) => JSON.parse(line).url),
  ]);
  const client = connect(port, '127.0.0.1').on('error', () => {});
  client.write('spin');
  await sleep(1000);
  for (let round = 0; round < ROUNDS; round++) {
    const times = [];
    let bytes = 0;
    for (let i = 0; i < SCRAPES; i++) {
      const began = performance.now();
      bytes = await scrape(url);
      times.push(performance.now() - began);
      await sleep(20);
    }
    times.sort((a, b) => a - b);
    const at = (share) => times[Math.min(SCRAPES - 1, Math.floor(SCRAPES * share))].toFixed(2);
    console.log(`scrape of ${bytes} bytes: p50 ${at(0.5)} ms, p99 ${at(0.99)} ms, longest ${at(1)} ms`);
  }
  client.destroy();
} finally {
  child.kill('SIGTERM');
  await sleep(1100);
  child.kill('SIGTERM'); // hurries: a worker never ends by itself
}

function scrape(url) {
  return new Promise((resolve, reject) => {
    get(`${url}/metrics`, { agent }, (response) => {
      let bytes = 0;
      response.on('data', (piece) => {
        bytes += piece.length;
      });
      response.on('end', () => resolve(bytes));
    }).on('error', reject);
  });
}

function firstLine(stream, read) {
  return new Promise((resolve) => {
    createInterface({ input: stream }).once('line', (line) => resolve(read(line)));
  });
}
