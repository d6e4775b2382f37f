// npm run bench:tasks -- [--quick] [--rounds N] [--seconds N] [--out FILE]
// Round trips per second and CPU per round trip of all processes: 100-byte tasks, one caller, all pools in turn in every
// round, medians.
import { spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { median } from '../harness/rounds.js';
import { measurePool, pools, WORKERS } from './measure.js';

const { values } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    rounds: { type: 'string' },
    seconds: { type: 'string' },
    out: { type: 'string' },
  },
});
const rounds = Number(values.rounds ?? (values.quick ? 1 : 5));
const seconds = Number(values.seconds ?? (values.quick ? 1 : 2));

const loads = [
  { title: '100 B string, 100 in flight', kind: 'string', inFlight: 100 },
  { title: '100 B string, 1 at a time', kind: 'string', inFlight: 1 },
  { title: 'small object, 100 in flight', kind: 'object', inFlight: 100 },
  { title: 'small object, 1 at a time', kind: 'object', inFlight: 1 },
];

const lines = [];
const print = (line = '') => {
  lines.push(line);
  console.log(line);
};

print(
  `Node ${process.version}, ${process.platform} ${process.arch}, medians of ${rounds} rounds of ${seconds} s each,`,
);
print(`${WORKERS} task workers in every pool. All pools take turns in every round: ratios count, not figures.`);
const first = {};
const single = {};
for (const load of loads) {
  const results = new Map(pools.map(({ name }) => [name, []]));
  for (let round = 0; round < rounds; round++) {
    for (const pool of pools) results.get(pool.name).push(await measurePool(pool, load, seconds));
  }
  print(`\n**${load.title}**\n`);
  print('| pool | round trips/s | CPU µs/round trip |');
  print('| --- | ---: | ---: |');
  for (const { name } of pools) {
    const perSecond = median(results.get(name).map((result) => result.perSecond));
    const cpu = median(results.get(name).map((result) => result.cpuUs));
    if (load === loads[0]) first[name] = perSecond;
    if (load === loads[1]) single[name] = perSecond;
    print(`| ${name} | ${Math.round(perSecond).toLocaleString('en')} | ${cpu.toFixed(1)} |`);
  }
}

/** Latencies in ms of requests, one after the other, while a task worker computes for two seconds. */
async function measureBusy(command) {
  const file = fileURLToPath(new URL('busy.js', import.meta.url));
  const child = spawn(process.execPath, [file], { stdio: ['ignore', 'pipe', 'inherit'], detached: true });
  const gone = new Promise((resolve) => child.once('exit', resolve));
  const port = await new Promise((resolve) => createInterface({ input: child.stdout }).once('line', resolve));
  const socket = connect(Number(port), '127.0.0.1').setNoDelay(true);
  const answer = () => new Promise((resolve) => socket.once('data', resolve));
  const ask = (text) => {
    const answered = answer();
    socket.write(`${text}\n`);
    return answered;
  };
  for (let i = 0; i < 500; i++) await ask(command);
  await ask('spin');
  const latencies = [];
  const end = performance.now() + 1900;
  while (performance.now() < end) {
    const began = performance.now();
    await ask(command);
    latencies.push(performance.now() - began);
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  socket.destroy();
  process.kill(child.pid, 'SIGTERM');
  await gone;
  return latencies.sort((a, b) => a - b)[Math.floor(latencies.length * 0.99)];
}

print('\n**While a task worker computes for 2 s**, p99 of requests to the worker\n');
print('| request | p99 ms |');
print('| --- | ---: |');
const busy = {};
for (const [command, title] of [
  ['plain', 'answered by the worker'],
  ['small', 'answered by a small task in the other task worker'],
]) {
  const all = [];
  for (let round = 0; round < rounds; round++) all.push(await measureBusy(command));
  busy[command] = median(all);
  print(`| ${title} | ${busy[command].toFixed(2)} |`);
}

const [ours, threads, processes] = pools.map(({ name }) => first[name]);
print('\n**Targets** (100 B string, 100 in flight)\n');
const say = (what, ratio, limit) =>
  print(
    `- ${ratio >= limit ? 'met' : '**missed**'}: round trips/s against ${what}: ${ratio.toFixed(2)} × (at least ${limit} ×)`,
  );
say('tinypool with child processes', ours / processes, 15);
say('piscina', ours / threads, 6);
say('piscina, 1 at a time', single[pools[0].name] / single[pools[1].name], 1.2);
print(
  `- ${busy.plain < 5 ? 'met' : '**missed**'}: p99 while a task computes: ${busy.plain.toFixed(2)} ms (under 5 ms)`,
);
if (values.out) writeFileSync(values.out, `${lines.join('\n')}\n`);
