// node bench/websocket/idle.js [--connections N] [--workers N] [--mode base|process] [--publications N]
// Idle WebSockets in rooms, each with `conn.data`: memory of the server's whole process tree per connection, when a
// publication arrives at all of them, how long a reload takes with them, and whether each has outlived it.
import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { freePort, sessionPssKiB } from '../harness/processes.js';

const { values } = parseArgs({
  options: {
    connections: { type: 'string', default: '100000' },
    workers: { type: 'string', default: '7' },
    mode: { type: 'string', default: 'base' },
    publications: { type: 'string', default: '10' },
  },
});
const path = (name) => fileURLToPath(new URL(name, import.meta.url));
const descriptors = Number(/Max open files\s+(\d+)/.exec(readFileSync('/proc/self/limits', 'utf8'))[1]);
const PER_HOLDER = Math.min(descriptors - 1000, 18_000);
const SETTLING_MS = 3000;
const wanted = Number(values.connections);
const workers = Number(values.workers);
const most = (descriptors - 500) * (values.mode === 'base' ? workers : 1);
const connections = Math.min(wanted, most);
if (connections < wanted) console.error(`${descriptors} descriptors per process: ${connections} connections`);

const folder = mkdtempSync(join(tmpdir(), 'bench-idle-'));
const started = [];
process.once('exit', () => {
  for (const child of started) child.kill('SIGKILL');
  rmSync(folder, { recursive: true, force: true });
});
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const holder = join(folder, 'holder');
if (
  spawnSync('cc', ['-O2', '-o', holder, path('./holder.c')], { stdio: ['ignore', 'ignore', 'inherit'] }).status !== 0
) {
  console.log('skipped: there is no C compiler (`cc`)');
  process.exit(0);
}

function start(command, args, options = {}) {
  const child = spawn(command, args, { stdio: ['pipe', 'pipe', 'inherit'], ...options });
  started.push(child);
  child.gone = new Promise((resolve) => child.once('exit', resolve));
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  child.line = async () => {
    const { done, value } = await lines.next();
    if (done) throw new Error('a process has ended');
    return value;
  };
  return child;
}

const port = await freePort();
const env = { ...process.env, PORT: port, MODE: values.mode, WORKERS: workers, CONNECTIONS: connections };
const server = start(process.execPath, [path('./servers/idle.js')], { env, detached: true });
await server.line();
const ask = async (what) => Number(await (await fetch(`http://127.0.0.1:${port}/${what}`)).text());
await ask('size');
await sleep(SETTLING_MS);

const before = sessionPssKiB(server.pid);
const began = performance.now();
const holders = [];
for (let left = connections, address = 2; left > 0; left -= PER_HOLDER, address += 2) {
  holders.push(start(holder, [port, Math.min(left, PER_HOLDER), address, '/'].map(String)));
}
await Promise.all(holders.map((each) => each.line()));
const openedS = (performance.now() - began) / 1000;
while ((await ask('size')) < connections) await sleep(100);
await sleep(SETTLING_MS);
const each = ((sessionPssKiB(server.pid) - before) * 1024) / connections;

/** @returns delays in µs, sorted */
async function publish() {
  await ask('publish');
  const lists = await Promise.all(holders.map((one) => one.line()));
  return Float64Array.from(lists.flatMap((line) => line.split(' ').map(Number))).sort();
}
async function publishAll(times) {
  const all = [];
  for (let i = 0; i < times; i++) all.push(await publish());
  const ms = (delays, part) => delays[Math.min(delays.length - 1, Math.floor(delays.length * part))] / 1000;
  const medianOf = (part) =>
    all
      .map((delays) => ms(delays, part))
      .sort((a, b) => a - b)
      [all.length >> 1].toFixed(0);
  return { arrived: all.map(({ length }) => length), p50: medianOf(0.5), p99: medianOf(0.99), last: medianOf(1) };
}

const first = await publishAll(Number(values.publications));
const reloadBegan = performance.now();
server.kill('SIGUSR1');
while ((await server.line()) !== 'reloaded');
const reloadedS = (performance.now() - reloadBegan) / 1000;
const after = await publishAll(3);
const size = await ask('size');
const stayed = after.arrived.every((count) => count === connections) && size === connections;
console.log(
  [
    `Node ${process.version}, ${values.mode}, ${workers} workers, ${descriptors} descriptors per process; load average ${readFileSync('/proc/loadavg', 'utf8').split(' ')[0]}`,
    `connections in two rooms each, with conn.data: ${connections}, opened in ${openedS.toFixed(1)} s`,
    `memory (PSS of the whole tree): ${Math.round(each)} bytes each; before ${Math.round(before / 1024)} MiB`,
    `publish to all, ms, medians of ${first.arrived.length}: p50 ${first.p50}, p99 ${first.p99}, last ${first.last}`,
    `reload: ${reloadedS.toFixed(1)} s; afterwards all are there: ${stayed} (roomSize ${size}); publish p99 ${after.p99} ms`,
  ].join('\n'),
);
for (const one of holders) one.stdin.end();
await Promise.all(holders.map(({ gone }) => gone));
server.kill('SIGTERM');
const late = setTimeout(() => process.kill(-server.pid, 'SIGKILL'), 20_000);
await server.gone;
clearTimeout(late);
