// The servers that are measured, each in a session of its own, so that all its processes can be found.
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const peer = (name) => fileURLToPath(new URL(`./peers/${name}`, import.meta.url));
const workers = String(availableParallelism());

/** Where a C compiler exists; undefined otherwise. */
function compileEcho() {
  const program = join(mkdtempSync(join(tmpdir(), 'bench-')), 'echo');
  const { status } = spawnSync('cc', ['-O2', '-o', program, peer('echo.c')], { stdio: 'ignore' });
  return status === 0 ? program : undefined;
}

export function listServers() {
  const compiled = compileEcho();
  return [
    { name: 'tswoole 1+1', command: [process.execPath, peer('tswoole.js')], env: { REACTORS: '1', WORKERS: '1' } },
    { name: 'tswoole defaults', command: [process.execPath, peer('tswoole.js')], env: {} },
    { name: 'BASE, 1 worker', command: [process.execPath, peer('tswoole.js')], env: { MODE: 'base', WORKERS: '1' } },
    {
      name: `BASE ×${workers}`,
      command: [process.execPath, peer('tswoole.js')],
      env: { MODE: 'base', WORKERS: workers },
    },
    { name: 'node:net', command: [process.execPath, peer('net.js')], env: {} },
    { name: `node:cluster ×${workers}`, command: [process.execPath, peer('cluster.js')], env: { WORKERS: workers } },
    ...(compiled === undefined ? [] : [{ name: 'C epoll', command: [compiled], env: {} }]),
  ];
}

export class MeasuredServer {
  #child;
  port;

  static async start({ command: [program, ...args], env }) {
    const server = new MeasuredServer();
    server.port = await freePort();
    const options = { env: { ...process.env, ...env, PORT: String(server.port) }, stdio: 'inherit', detached: true };
    server.#child = spawn(program, args, options);
    await accepts(server.port);
    return server;
  }

  get mainPid() {
    return this.#child.pid;
  }

  /** @returns CPU time of all processes in µs */
  cpuUs() {
    return sessionCpuUs(this.#child.pid);
  }

  /** @returns resident KiB of the first process and of all */
  resident() {
    const of = (pid) => Number(/VmRSS:\s+(\d+)/.exec(read(`/proc/${pid}/status`))?.[1] ?? 0);
    return { main: of(this.mainPid), all: sum(this.#processes().map(({ pid }) => of(pid))) };
  }

  async stop() {
    const gone = new Promise((resolve) => this.#child.once('exit', resolve));
    for (const { pid } of this.#processes()) kill(pid);
    await gone;
  }

  #processes() {
    return processesOf(this.#child.pid);
  }
}

/** A binary from npm, kept in .cache/bun; undefined where it cannot be had. */
export function fetchBun() {
  const prefix = fileURLToPath(new URL('../.cache/bun', import.meta.url));
  const binary = join(prefix, `node_modules/@oven/bun-${process.platform}-${process.arch}/bin/bun`);
  if (!existsSync(binary)) {
    mkdirSync(prefix, { recursive: true });
    const quiet = ['--no-save', '--no-package-lock', '--ignore-scripts', '--loglevel=error'];
    spawnSync('npm', ['install', '--prefix', prefix, ...quiet, 'bun@1'], { stdio: 'ignore' });
  }
  return existsSync(binary) ? binary : undefined;
}

/** Ends every process of a session at once. */
export function killSession(session) {
  for (const { pid } of processesOf(session)) kill(pid);
}

export const median = (list) => [...list].sort((a, b) => a - b)[Math.floor(list.length / 2)];

/** Every process of a session, with the CPU time it has taken. */
function processesOf(session) {
  return readdirSync('/proc').flatMap((name) => {
    const stat = /^\d+$/.test(name) ? read(`/proc/${name}/stat`) : '';
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    if (Number(fields[3]) !== session) return [];
    return [{ pid: Number(name), ticks: Number(fields[11]) + Number(fields[12]) }];
  });
}

/** @returns CPU time of all processes of a session in µs */
export function sessionCpuUs(session) {
  return sum(processesOf(session).map(({ ticks }) => ticks)) * 10_000;
}

export function freePort() {
  return new Promise((resolve) => {
    const probe = createServer().listen(0, '127.0.0.1', () => {
      const { port } = probe.address();
      probe.close(() => resolve(port));
    });
  });
}

async function accepts(port) {
  for (let tries = 0; tries < 500; tries++) {
    const ok = await new Promise((resolve) => {
      const socket = connect(port, '127.0.0.1', () => resolve(true)).on('error', () => resolve(false));
      socket.once('connect', () => socket.destroy());
    });
    if (ok) return;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new Error(`nobody listens on port ${port}`);
}

function kill(pid) {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // it has ended with the others
  }
}

const sum = (values) => values.reduce((total, value) => total + value, 0);

function read(file) {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}
