// npm run bench:idle -- [--connections N] [--workers N] [--mode process|base] [--out FILE]
// Many idle connections: how fast they are accepted, what each takes in memory, and what they do to the latency of 64
// active ones (target: at most 1.5 × that without them).
import { spawn } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { sessionAnonymousKiB } from '../harness/processes.js';
import { median } from '../harness/rounds.js';

const { values } = parseArgs({
  options: {
    connections: { type: 'string' },
    workers: { type: 'string' },
    mode: { type: 'string' },
    out: { type: 'string' },
  },
});
const path = (name) => fileURLToPath(new URL(name, import.meta.url));
const descriptors = Number(/Max open files\s+(\d+)/.exec(readFileSync('/proc/self/limits', 'utf8'))[1]);
const PER_PROCESS = Math.min(descriptors - 1000, 25_000);
const WANTED = Number(values.connections ?? 100_000);
const TARGET = 1.5;
const ROUNDS = 5;

/** What one process may hold decides: in PROCESS mode the master holds them all, in BASE mode the workers share them. */
function plan(mode) {
  if (mode === 'process') return { mode, workers: 2, connections: Math.min(WANTED, PER_PROCESS) };
  const workers = Number(values.workers ?? Math.max(2, Math.ceil(WANTED / (PER_PROCESS * 0.8))));
  return { mode, workers, connections: WANTED };
}

/** Latencies of 64 active connections, in µs. */
async function latency(port) {
  const load = spawn(process.execPath, [path('../load/main.js'), 'echo', port, 64, 64, 2].map(String), {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  for await (const line of createInterface({ input: load.stdout })) if (line !== 'measuring') return JSON.parse(line);
  throw new Error('the load generator said nothing');
}

async function latencies(port) {
  const results = [];
  for (let round = 0; round < ROUNDS; round++) results.push(await latency(port));
  const of = (name) => median(results.map((result) => result[name]));
  return { p50: of('p50'), p99: of('p99'), perSecond: of('perSecond') };
}

async function measure({ mode, workers, connections }) {
  const env = { ...process.env, MODE: mode, WORKERS: String(workers), CONNECTIONS: String(connections) };
  const server = spawn(process.execPath, [path('./server.js')], {
    env,
    stdio: ['ignore', 'pipe', 'inherit'],
    detached: true,
  });
  const gone = new Promise((resolve) => server.once('exit', resolve));
  let open = 0;
  const holders = [];
  try {
    const port = await new Promise((resolve) => {
      createInterface({ input: server.stdout }).on('line', (line) => {
        const [word, number] = line.split(' ');
        if (word === 'ready') resolve(Number(number));
        else open = Number(number);
      });
    });
    const alone = await latencies(port);
    const before = sessionAnonymousKiB(server.pid);
    const began = performance.now();
    const perHolder = Math.min(PER_PROCESS, 18_000);
    for (let left = connections, address = 2; left > 0; left -= perHolder, address += 2) {
      const count = Math.min(left, perHolder);
      holders.push(
        spawn(process.execPath, [path('./holder.js'), port, count, address].map(String), {
          stdio: ['pipe', 'pipe', 'inherit'],
        }),
      );
    }
    await Promise.all(
      holders.map(
        (holder) =>
          new Promise((resolve, reject) => {
            holder.stdout.once('data', resolve);
            holder.once('exit', () => reject(new Error('a client process has ended')));
          }),
      ),
    );
    while (open < connections) await new Promise((resolve) => setTimeout(resolve, 20));
    const tookMs = performance.now() - began;
    await new Promise((resolve) => setTimeout(resolve, 2000)); // collections that are due
    const each = (sessionAnonymousKiB(server.pid) - before) / connections;
    const among = await latencies(port);
    return { mode, workers, connections, rate: connections / (tookMs / 1000), each, alone, among };
  } finally {
    for (const holder of holders) holder.stdin.end();
    server.kill('SIGTERM');
    const late = setTimeout(() => process.kill(-server.pid, 'SIGKILL'), 10_000);
    await gone;
    clearTimeout(late);
  }
}

const rows = [];
for (const mode of values.mode ? [values.mode] : ['process', 'base']) rows.push(await measure(plan(mode)));
const us = (value) => Math.round(value);
const text = [
  '# Idle connections',
  '',
  `Node ${process.version}; one process may have ${descriptors} descriptors here. Latency of 64 active connections (64 bytes), medians of ${ROUNDS}; clients and server share the machine. Memory is anonymous memory of all processes, shared tables besides are 192 bytes per slot (decision 21).`,
  '',
  '| mode | idle connections | accepted/s | KiB each | p50 µs without | with | p99 µs without | with | answers/s without | with | p50 ratio, target ≤ 1.5 |',
  '| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | --- |',
  ...rows.map(({ mode, workers, connections, rate, each, alone, among }) => {
    const ratio = among.p50 / alone.p50;
    const cells = [
      `${mode}, ${workers} workers`,
      connections.toLocaleString('en'),
      us(rate).toLocaleString('en'),
      each.toFixed(2),
      us(alone.p50),
      us(among.p50),
      us(alone.p99),
      us(among.p99),
      us(alone.perSecond).toLocaleString('en'),
      us(among.perSecond).toLocaleString('en'),
      `${ratio.toFixed(2)}: ${ratio <= TARGET ? 'met' : 'missed'}`,
    ];
    return `| ${cells.join(' | ')} |`;
  }),
].join('\n');
console.log(text);
if (values.out) writeFileSync(values.out, `${text}\n`);
