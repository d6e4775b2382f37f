// npm run bench:modes -- [--rounds N] [--seconds N] [--case TEXT] [--out FILE]
// Echo of 64 bytes: both modes beside node:net, node:cluster, bare C and Bun, plain, encrypted and by datagrams.
// Messages/s and CPU per message of each server's whole process group, all in turn in every round, medians.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { runLoad } from '../harness/message-load.js';
import { endAllAtExit, withServer } from '../harness/processes.js';
import { median } from '../harness/rounds.js';
import { compile, fetchBun, makeCertificate } from '../harness/tools.js';

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '5' },
    seconds: { type: 'string', default: '2' },
    case: { type: 'string', default: '' },
    out: { type: 'string' },
  },
});
const rounds = Number(values.rounds);
const seconds = Number(values.seconds);
const path = (name) => fileURLToPath(new URL(name, import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'bench-modes-'));
endAllAtExit(() => rmSync(folder, { recursive: true, force: true }));
const { cert: CERT, key: KEY } = makeCertificate(folder) ?? {};

const node = process.execPath;
const bun = fetchBun();
const echo = compile(path('../peers/echo.c'), join(folder, 'echo'));
const tswoole = path('../peers/tswoole.js');
const nodePeer = path('../peers/node.js');
const ours = [
  {
    name: 'PROCESS, 1 reactor + 1 worker',
    command: [node, tswoole],
    env: { MODE: 'process', REACTORS: '1', WORKERS: '1' },
  },
  { name: 'BASE, 1 worker', command: [node, tswoole], env: { MODE: 'base', WORKERS: '1' } },
];
const bunPeer = bun ? [{ name: 'Bun', command: [bun, path('../peers/bun.js')], env: {} }] : [];
const plain = [
  ...ours,
  { name: 'node:net', command: [node, nodePeer], env: {} },
  { name: 'node:cluster × 1', command: [node, nodePeer], env: { WORKERS: '1' } },
  ...(echo ? [{ name: 'C epoll', command: [echo], env: {} }] : []),
  ...bunPeer,
];

const cases = [
  { title: 'plain, 64 connections', kind: 'tcp', connections: 64, servers: plain, beside: 'node:net' },
  { title: 'plain, 1 connection', kind: 'tcp', connections: 1, servers: plain, beside: 'node:net' },
  {
    title: 'TLS, 64 connections',
    kind: 'tls',
    connections: 64,
    servers: [...ours, { name: 'node:tls', command: [node, nodePeer], env: {} }, ...bunPeer],
    beside: 'node:tls',
  },
  {
    title: 'UDP, 64 senders',
    kind: 'udp',
    connections: 64,
    servers: [...ours, { name: 'node:dgram', command: [node, nodePeer], env: {} }],
    beside: 'node:dgram',
  },
].filter(({ title }) => title.includes(values.case));

function measure(server, { kind, connections }) {
  return withServer(server, { KIND: kind, CERT, KEY }, ({ port, cpuUs }) =>
    kind === 'tcp'
      ? runLoad([path('../load/main.js'), 'echo', port, connections, 64, seconds], cpuUs)
      : runLoad([path('./load.js'), kind, port, connections, seconds], cpuUs),
  );
}

const lines = [
  '# Modes compared with other servers',
  '',
  `Echo of 64 bytes, one message in flight per connection. Node ${process.version}, medians of ${rounds} rounds of ${seconds} s, all servers in turn in every round; CPU of the server's whole process group. The machine may be shared: ratios count, not figures.`,
];
const found = new Map();

for (const one of cases) {
  const results = new Map(one.servers.map(({ name }) => [name, []]));
  for (let round = 0; round < rounds; round++) {
    for (const server of one.servers) {
      try {
        results.get(server.name).push(await measure(server, one));
      } catch (error) {
        console.error(`${server.name}: not available (${error.message})`);
      }
    }
  }
  const cpuOf = (name) => median(results.get(name).map(({ cpuPerMessage }) => cpuPerMessage));
  lines.push(
    '',
    `## ${one.title}`,
    '',
    `| server | messages/s | CPU µs/message | CPU ÷ ${one.beside} |`,
    '| --- | ---: | ---: | ---: |',
  );
  for (const [name, list] of results) {
    if (list.length === 0) continue;
    const ratio = cpuOf(name) / cpuOf(one.beside);
    found.set(`${one.title}: ${name}`, cpuOf(name));
    const rate = Math.round(median(list.map(({ perSecond }) => perSecond))).toLocaleString('en');
    lines.push(`| ${name} | ${rate} | ${cpuOf(name).toFixed(2)} | ${ratio.toFixed(2)} |`);
  }
}

const targets = [
  ['BASE against node:net, plain', 'plain, 64 connections', 'BASE, 1 worker', 'node:net', 0.85],
  ['BASE against bare C, plain', 'plain, 64 connections', 'BASE, 1 worker', 'C epoll', 1.25],
  ['BASE against node:dgram', 'UDP, 64 senders', 'BASE, 1 worker', 'node:dgram', 0.7],
  ['PROCESS against node:dgram', 'UDP, 64 senders', 'PROCESS, 1 reactor + 1 worker', 'node:dgram', 0.7],
];
lines.push('', '## Targets', '');
for (const [title, of, one, other, most] of targets) {
  const ratio = found.get(`${of}: ${one}`) / found.get(`${of}: ${other}`);
  if (Number.isNaN(ratio)) continue;
  lines.push(
    `- ${ratio <= most ? 'met' : 'missed'}: CPU per message, ${title}: ${ratio.toFixed(2)} × (at most ${most} ×)`,
  );
}
if (!bun) lines.push('', 'Bun could not be installed.');
console.log(lines.join('\n'));
if (values.out) writeFileSync(values.out, `${lines.join('\n')}\n`);
