// npm run bench:echo -- [--quick] [--rounds N] [--seconds N] [--case TEXT] [--out FILE]
// Messages/s and CPU per message of each server's whole process group, all servers in turn in every round, medians.

import { spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { runLoad } from '../harness/message-load.js';
import { endAllAtExit, withServer } from '../harness/processes.js';
import { median } from '../harness/rounds.js';
import { listServers } from './servers.js';

const { values } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    rounds: { type: 'string' },
    seconds: { type: 'string' },
    case: { type: 'string', default: '' },
    out: { type: 'string' },
  },
});
const rounds = Number(values.rounds ?? (values.quick ? 1 : 5));
const seconds = Number(values.seconds ?? (values.quick ? 1 : 2));

const loads = [
  { title: '64 B × 1 connection', mode: 'echo', connections: 1, bytes: 64 },
  { title: '64 B × 64 connections', mode: 'echo', connections: 64, bytes: 64 },
  { title: '64 B × 1,000 connections', mode: 'echo', connections: 1000, bytes: 64 },
  { title: '4 KiB × 1 connection', mode: 'echo', connections: 1, bytes: 4096 },
  { title: '4 KiB × 64 connections', mode: 'echo', connections: 64, bytes: 4096 },
  { title: '4 KiB × 1,000 connections', mode: 'echo', connections: 1000, bytes: 4096 },
  { title: 'churn: connect, 64 B, close × 32', mode: 'churn', connections: 32, bytes: 64 },
].filter(({ title }) => title.includes(values.case));

const IDLE_CONNECTIONS = 10_000;
const loadProgram = fileURLToPath(new URL('../load/main.js', import.meta.url));
const lines = [];
const print = (line = '') => {
  lines.push(line);
  console.log(line);
};

endAllAtExit();

/** Runs one load against one server. */
function measure(spec, { mode, connections, bytes }) {
  return withServer(spec, {}, ({ port, cpuUs }) =>
    runLoad([loadProgram, mode, port, connections, bytes, seconds], cpuUs),
  );
}

async function compare(servers, load) {
  const results = new Map(servers.map(({ name }) => [name, []]));
  for (let round = 0; round < rounds; round++) {
    for (const spec of servers) results.get(spec.name).push(await measure(spec, load));
  }
  return servers.map(({ name }) => {
    const of = (key) => median(results.get(name).map((result) => result[key]));
    const errors = results.get(name).reduce((total, result) => total + result.errors, 0);
    return { name, perSecond: of('perSecond'), cpu: of('cpuPerMessage'), p50: of('p50'), p99: of('p99'), errors };
  });
}

function printTable(title, rows) {
  const net = rows.find(({ name }) => name === 'node:net');
  print(`\n**${title}**\n`);
  print('| server | messages/s | CPU µs/message | CPU ÷ node:net | p50 µs | p99 µs | errors |');
  print('| --- | ---: | ---: | ---: | ---: | ---: | ---: |');
  for (const { name, perSecond, cpu, p50, p99, errors } of rows) {
    const ratio = (cpu / net.cpu).toFixed(2);
    print(
      `| ${name} | ${perSecond.toLocaleString('en')} | ${cpu.toFixed(2)} | ${ratio} | ${p50} | ${p99} | ${errors} |`,
    );
  }
}

/** Memory per idle connection: what the server has more with 10,000 of them than without. */
function measureIdle(spec) {
  return withServer(spec, {}, async ({ port, pssKiB }) => {
    await warmUp(port);
    const before = pssKiB();
    const args = [loadProgram, 'idle', port, IDLE_CONNECTIONS, 64, 60].map(String);
    const load = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
    const input = createInterface({ input: load.stdout });
    const held = await new Promise((resolve) => input.once('line', (line) => resolve(JSON.parse(line).held)));
    await new Promise((resolve) => setTimeout(resolve, 1000)); // the server may still be accepting
    const after = pssKiB();
    load.kill('SIGKILL');
    return { name: spec.name, bytes: ((after - before) * 1024) / held };
  });
}

/** So that what grows is the connections, not the first use of everything. */
async function warmUp(port) {
  const args = [loadProgram, 'echo', port, 64, 64, 1].map(String);
  const load = spawn(process.execPath, args, { stdio: 'ignore' });
  await new Promise((resolve) => load.once('exit', resolve));
}

function printTargets(echo64, idle) {
  const get = (name) => echo64?.find((row) => row.name === name);
  const [ours, net, c] = [get('tswoole 1+1'), get('node:net'), get('C epoll')];
  print('\n**Targets** (64 B × 64 connections, PROCESS with 1 reactor and 1 worker)\n');
  const say = (what, figure, limit, met) => print(`- ${met ? 'met' : '**missed**'}: ${what}: ${figure} (${limit})`);
  if (ours && net) {
    const cpu = ours.cpu / net.cpu;
    say('CPU per message against node:net', `${cpu.toFixed(2)} ×`, 'at most 1.0 ×', cpu <= 1);
    const rate = ours.perSecond / net.perSecond;
    say('messages/s against node:net', `${rate.toFixed(2)} ×`, 'at least 1.0 ×', rate >= 1);
  }
  if (ours && c)
    say(
      'CPU per message against bare C',
      `${(ours.cpu / c.cpu).toFixed(2)} ×`,
      'at most 1.6 ×',
      ours.cpu / c.cpu <= 1.6,
    );
  const memory = idle.find((row) => row.name === 'tswoole 1+1');
  if (memory) {
    const bytes = Math.round(memory.bytes);
    say('memory per idle connection', `${bytes} bytes`, 'at most 1,024', bytes <= 1024);
  }
}

const servers = listServers();
print(
  `Node ${process.version}, ${process.platform} ${process.arch}, medians of ${rounds} rounds of ${seconds} s each.`,
);
print('All servers take turns in every round; the machine may be shared, so ratios count, not figures.');
if (!servers.some(({ name }) => name === 'C epoll')) print('There is no C compiler here, so the C server is left out.');

let echo64;
for (const load of loads) {
  const rows = await compare(servers, load);
  if (load.title.startsWith('64 B × 64 ')) echo64 = rows;
  printTable(load.title, rows);
}

const idle = [];
if ('idle connections'.includes(values.case)) {
  print(`\n**Memory per idle connection** (${IDLE_CONNECTIONS.toLocaleString('en')} connections)\n`);
  print('| server | bytes, all processes |');
  print('| --- | ---: |');
  for (const spec of servers.filter(({ name }) => !name.includes('cluster') && !name.startsWith('C '))) {
    const row = await measureIdle(spec);
    idle.push(row);
    print(`| ${row.name} | ${Math.round(row.bytes)} |`);
  }
}
printTargets(echo64, idle);
if (values.out) writeFileSync(values.out, `${lines.join('\n')}\n`);
