// What is measured, on which servers, and what it may be. One line of the report per target.
import { KIB_100, KIB_100_TEXT, MIB, PIECE, PIECES, TEXT } from '../http/answers.js';

/** What a figure is called, and how it is written. More is better only of `perSecond`. */
export const FIGURES = {
  cpuUs: { words: 'CPU µs', digits: 1 },
  p50Us: { words: 'p50 µs', digits: 0 },
  perSecond: { words: 'per second', digits: 0 },
  answersMs: { words: 'ms until it answers', digits: 0 },
  bootCpuMs: { words: 'CPU ms per app process', digits: 0 },
  treeMiB: { words: 'MiB (PSS), idle tree', digits: 1 },
  reloadMs: { words: 'ms for a reload', digits: 0 },
  ms: { words: 'ms', digits: 0 },
  bytes: { words: 'bytes', digits: 0 },
};

const plain = { path: '/', answer: TEXT, contentType: 'text/plain', connections: 64 };
const large = (path, answer, connections) => ({ path, answer, contentType: 'text/plain', connections });
const post = { 'Content-Type': 'application/octet-stream' };
const body = 'x'.repeat(4096);
/** Targets: a figure of one over that of another. */
const cpu = (one, other, atMost) => ({ figure: 'cpuUs', one, other, atMost });
const p50 = (one, other, atMost) => ({ figure: 'p50Us', one, other, atMost });
const rate = (one, other, atLeast) => ({ figure: 'perSecond', one, other, atLeast });
/** Against a figure, not a peer. */
const limit = (figure, one, atMost) => ({ figure, one, atMost });

/**
 * Of each: `kind` chooses the servers (servers.js) and how they are measured (measure.js), `load` is of that kind.
 * `shows`: what the plot draws. `tolerated`: which share of answers may be errors.
 */
export const cases = [
  {
    group: 'TLS',
    title: 'https, 64 connections',
    kind: 'http',
    load: { ...plain, isSecure: true },
    servers: ['BASE', 'PROCESS', 'Bun', 'node'],
    targets: [cpu('BASE', 'Bun', 1), cpu('BASE', 'node', 0.35)],
  },
  {
    group: 'TLS',
    title: 'TLS echo, 64 connections',
    kind: 'socket',
    load: { mode: 'tls', connections: 64 },
    servers: ['BASE', 'PROCESS', 'node'],
    targets: [cpu('BASE', 'node', 0.75)],
  },
  {
    group: 'TLS',
    title: 'TLS handshakes (connect, shake hands, 64 B, close), 32 at once',
    kind: 'socket',
    load: { mode: 'handshakes', connections: 32 },
    servers: ['BASE', 'PROCESS', 'node'],
    targets: [rate('BASE', 'node', 1)],
    shows: 'perSecond',
  },
  {
    group: 'Large answers',
    title: '100 KiB from memory, 64 connections',
    kind: 'http',
    load: large('/100kib', KIB_100, 64),
    servers: ['BASE', 'PROCESS', 'Bun', 'node'],
    targets: [cpu('BASE', 'Bun', 1.1), cpu('PROCESS', 'node', 0.8)],
  },
  {
    group: 'Large answers',
    title: '100 KiB as a string, 64 connections',
    kind: 'http',
    load: large('/100kib-text', KIB_100_TEXT, 64),
    servers: ['BASE', 'PROCESS', 'Bun', 'node'],
    targets: [cpu('BASE', 'Bun', 1.1), cpu('PROCESS', 'node', 0.8)],
  },
  {
    group: 'Large answers',
    title: '1 MiB from memory, 16 connections',
    kind: 'http',
    load: large('/mib', MIB, 16),
    servers: ['BASE', 'PROCESS', 'Bun', 'node'],
    targets: [cpu('BASE', 'Bun', 1.1), cpu('PROCESS', 'node', 0.8)],
  },
  {
    group: 'Large answers',
    title: '1 MiB streamed in pieces of 64 KiB, 16 connections',
    kind: 'http',
    load: large('/stream', Buffer.concat(Array(PIECES).fill(PIECE)), 16),
    servers: ['BASE', 'PROCESS', 'node'],
    targets: [cpu('BASE', 'node', 0.6), cpu('PROCESS', 'node', 0.6)],
  },
  {
    group: 'One connection',
    title: 'HTTP, 1 connection',
    kind: 'http',
    load: { ...plain, connections: 1 },
    servers: ['BASE', 'PROCESS', 'node'],
    targets: [cpu('BASE', 'node', 1), p50('BASE', 'node', 1), cpu('PROCESS', 'node', 1.4), p50('PROCESS', 'node', 1.7)],
  },
  {
    group: 'One connection',
    title: 'echo, 1 connection',
    kind: 'socket',
    load: { mode: 'echo', connections: 1 },
    servers: ['BASE', 'PROCESS', 'node'],
    targets: [cpu('BASE', 'node', 1), p50('BASE', 'node', 1), cpu('PROCESS', 'node', 1.4), p50('PROCESS', 'node', 1.7)],
  },
  {
    group: 'Tasks',
    title: 'task, 1 at a time',
    kind: 'tasks',
    load: { kind: 'string', inFlight: 1 },
    servers: ['tswoole', 'piscina', 'tinypool'],
    targets: [rate('tswoole', 'piscina', 1.2)],
    shows: 'perSecond',
  },
  {
    group: 'Tasks',
    title: 'task, 100 in flight',
    kind: 'tasks',
    load: { kind: 'string', inFlight: 100 },
    servers: ['tswoole', 'piscina', 'tinypool'],
    targets: [rate('tswoole', 'piscina', 6), rate('tswoole', 'tinypool', 15)],
    shows: 'perSecond',
  },
  {
    group: 'Start and memory',
    title: 'start, PROCESS 2 + 2',
    kind: 'boot',
    load: {},
    servers: ['PROCESS 2 + 2', 'node:cluster × 2', 'node app.js'],
    targets: [
      { figure: 'answersMs', one: 'PROCESS 2 + 2', other: 'node:cluster × 2', atMost: 2 },
      { figure: 'bootCpuMs', one: 'PROCESS 2 + 2', other: 'node app.js', atMost: 2.5 },
      limit('treeMiB', 'PROCESS 2 + 2', 75),
      limit('reloadMs', 'PROCESS 2 + 2', 200),
    ],
    shows: 'answersMs',
  },
  {
    group: 'Start and memory',
    title: "import 'tswoole'",
    kind: 'command',
    load: { repeat: 3 },
    servers: ['import'],
    targets: [limit('ms', 'import', 25)],
    shows: 'ms',
  },
  {
    group: 'Start and memory',
    title: 'a wrong flag of the command line',
    kind: 'command',
    load: { repeat: 3 },
    servers: ['tswoole start', 'node -e 0'],
    targets: [{ figure: 'ms', one: 'tswoole start', other: 'node -e 0', atMost: 1.5 }],
    shows: 'ms',
  },
  {
    group: 'HTTP',
    title: 'HTTP, 12 bytes, 64 connections',
    kind: 'http',
    load: plain,
    servers: ['BASE', 'BASE, again', 'PROCESS', 'Bun', 'node'],
    targets: [cpu('BASE', 'Bun', 0.95)],
  },
  {
    group: 'HTTP',
    title: 'POST of 4 KiB, echoed, 64 connections',
    kind: 'http',
    load: { ...plain, path: '/echo', fields: post, body, answer: body },
    servers: ['BASE', 'PROCESS', 'Bun'],
    targets: [cpu('BASE', 'Bun', 0.8)],
  },
  {
    group: 'HTTP',
    title: '16 pipelined requests, 64 connections',
    kind: 'http',
    load: { ...plain, pipelined: 16 },
    servers: ['BASE', 'PROCESS', 'Bun'],
    targets: [cpu('BASE', 'Bun', 0.6)],
  },
  {
    group: 'HTTP',
    title: 'fetch (Hono), 64 connections',
    kind: 'http',
    load: plain,
    servers: ['BASE, Hono', 'Hono on Bun'],
    targets: [cpu('BASE, Hono', 'Hono on Bun', 1)],
  },
  {
    group: 'HTTP',
    title: 'listener (Express), 64 connections',
    kind: 'http',
    load: plain,
    servers: ['BASE, Express', 'Express on node'],
    targets: [cpu('BASE, Express', 'Express on node', 0.9)],
  },
  {
    group: 'UDP and static files',
    title: 'UDP echo, 64 senders',
    kind: 'socket',
    load: { mode: 'udp', connections: 64 },
    servers: ['BASE', 'PROCESS', 'node'],
    targets: [cpu('BASE', 'node', 0.75), cpu('PROCESS', 'node', 0.9)],
    tolerated: 0.001,
  },
  {
    group: 'UDP and static files',
    title: 'static file of 10 KiB, 64 connections',
    kind: 'http',
    load: { path: '/10kib.txt', contentType: 'text/plain', connections: 64 },
    servers: ['BASE, files', 'nginx'],
    targets: [cpu('BASE, files', 'nginx', 1)],
  },
  {
    group: 'UDP and static files',
    title: 'static file of 1 MiB, 16 connections',
    kind: 'http',
    load: { path: '/1mib.txt', contentType: 'text/plain', connections: 16 },
    servers: ['BASE, files', 'nginx'],
    targets: [cpu('BASE, files', 'nginx', 1.1)],
  },
  {
    group: 'Echo and idle connections',
    title: 'echo, 64 connections',
    kind: 'socket',
    load: { mode: 'echo', connections: 64 },
    servers: ['BASE', 'PROCESS', 'node', 'C epoll'],
    targets: [cpu('BASE', 'C epoll', 1.15)],
  },
  {
    group: 'Echo and idle connections',
    title: 'memory of an idle connection, of 10,000 beside 5,000',
    kind: 'idle',
    load: { first: 5000, connections: 10_000 },
    servers: ['BASE', 'PROCESS', 'node'],
    targets: [limit('bytes', 'BASE', 1400), limit('bytes', 'PROCESS', 930)],
    shows: 'bytes',
  },
];

/** @returns whether a server is tswoole, of which the plots are blue */
export const isOurs = (name) => /^(BASE|PROCESS|tswoole|import)/.test(name);
