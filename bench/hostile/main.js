// npm run bench:hostile -- [--seconds N] [--mode process|base]: good clients beside hostile ones. What their answers take
// (p99, target 50 ms), and what the server's memory does.
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { sessionAnonymousKiB } from '../harness/processes.js';
import { makeCertificate } from '../harness/tools.js';

const { values } = parseArgs({
  options: { seconds: { type: 'string', default: '10' }, mode: { type: 'string' }, out: { type: 'string' } },
});
const seconds = Number(values.seconds);
const modes = values.mode ? [values.mode] : ['process', 'base'];
const TARGET_MS = 50;
const kinds = [
  'claims 4 GiB',
  'no end of packet',
  'TLS garbage',
  'slow handshake',
  'PROXY from nowhere',
  'many connections',
  'many connections',
];
const path = (name) => fileURLToPath(new URL(name, import.meta.url));

const folder = mkdtempSync(join(tmpdir(), 'bench-hostile-'));
const { cert: CERT, key: KEY } = makeCertificate(folder) ?? {};

async function measure(mode) {
  const server = spawn(process.execPath, [path('./server.js')], {
    env: { ...process.env, MODE: mode, CERT, KEY },
    stdio: ['ignore', 'pipe', 'inherit'],
    detached: true,
  });
  const closes = new Map();
  const ports = await new Promise((resolve) => {
    createInterface({ input: server.stdout }).on('line', (line) => {
      const [word, ...rest] = line.split(' ');
      if (word === 'ports') resolve(rest);
      else closes.set(rest[0], JSON.parse(rest.slice(1).join(' ')));
    });
  });
  const calm = await goodClients(ports[0], 2);
  const before = sessionAnonymousKiB(server.pid) / 1024;
  const attackers = kinds.map((kind) =>
    spawn(process.execPath, [path('./attacker.js'), kind, String(seconds), ...ports], { stdio: 'inherit' }),
  );
  let most = before;
  const watch = setInterval(() => (most = Math.max(most, sessionAnonymousKiB(server.pid) / 1024)), 500);
  const under = await goodClients(ports[0], seconds - 1);
  clearInterval(watch);
  await Promise.all(attackers.map((child) => new Promise((resolve) => child.once('exit', resolve))));
  await new Promise((resolve) => setTimeout(resolve, 1500)); // the last reasons are told once a second
  const after = sessionAnonymousKiB(server.pid) / 1024;
  server.kill('SIGTERM');
  await new Promise((resolve) => server.once('exit', resolve));
  const reasons = {};
  for (const [code, count] of [...closes.values()].flat()) reasons[code] = (reasons[code] ?? 0) + count;
  return { mode, calm, under, before, most, after, reasons };
}

/** 20 clients, each asks again 5 ms after its answer. */
function goodClients(port, lastS) {
  const times = [];
  const end = performance.now() + lastS * 1000;
  const packet = Buffer.concat([Buffer.from([0, 0, 0, 60]), Buffer.alloc(60, 'g')]);
  const one = () =>
    new Promise((resolve, reject) => {
      const socket = connect({ port: Number(port), host: '127.0.0.1' });
      let asked = 0;
      let got = 0;
      const ask = () => {
        asked = performance.now();
        got = 0;
        socket.write(packet);
      };
      socket.on('connect', ask);
      socket.on('error', reject);
      socket.on('data', (data) => {
        got += data.length;
        if (got < packet.length) return;
        times.push(performance.now() - asked);
        if (performance.now() < end) setTimeout(ask, 5);
        else socket.end(resolve);
      });
    });
  return Promise.all(Array.from({ length: 20 }, one)).then(() => {
    times.sort((a, b) => a - b);
    const at = (share) => times[Math.min(times.length - 1, Math.floor(times.length * share))];
    return { count: times.length, p50: at(0.5), p99: at(0.99), max: at(1) };
  });
}

const ms = (value) => value.toFixed(1);
const rows = [];
try {
  for (const mode of modes) rows.push(await measure(mode));
} finally {
  rmSync(folder, { recursive: true });
}
const text = [
  '# Good clients next to hostile ones',
  '',
  `Node ${process.version}. ${kinds.length} attackers at once for ${seconds} s (${[...new Set(kinds)].join(', ')}: 20,000), on the machine that also runs the server and the good clients.`,
  '',
  '| mode | p50 ms, calm | p99 ms, calm | p50 ms | p99 ms | target | anonymous MiB before | most | after |',
  '| --- | ---: | ---: | ---: | ---: | --- | ---: | ---: | ---: |',
  ...rows.map(({ mode, calm, under, before, most, after }) => {
    const met = under.p99 < TARGET_MS ? 'met' : 'missed';
    return `| ${mode} | ${ms(calm.p50)} | ${ms(calm.p99)} | ${ms(under.p50)} | ${ms(under.p99)} | below ${TARGET_MS}: ${met} | ${before.toFixed(0)} | ${most.toFixed(0)} | ${after.toFixed(0)} |`;
  }),
  '',
  ...rows.map(
    ({ mode, reasons }) =>
      `Reasons of \`close\`, ${mode}: ${JSON.stringify(reasons)}. (Refused handshakes and headers appear only in the log.)`,
  ),
].join('\n');
console.log(text);
if (values.out) writeFileSync(values.out, `${text}\n`);
