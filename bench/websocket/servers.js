// Which servers are measured, how one is started in a session of its own, and ended, and what it takes.
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { fetchBun, freePort, killSession, sessionCpuUs } from '../servers.js';

const START_MS = 15_000;
const STOP_MS = 3000;
const WANTED = ['ws@8', 'bufferutil@4', 'socket.io@4'];
const prefix = fileURLToPath(new URL('../../.cache/websocket', import.meta.url));
/** Where `createRequire` begins to look for what was fetched. */
const PACKAGES = join(prefix, 'packages.cjs');
const file = (name) => fileURLToPath(new URL(`./servers/${name}`, import.meta.url));
const running = new Set();

/** @param say is told of each server that is left out, and why */
export async function listServers(say) {
  const { WebSocketServer } = await import('../../dist/index.js');
  const [bun, fetched] = [fetchBun(), fetchPackages()];
  const js = (name, program, env, rest = {}) => ({ name, command: [process.execPath, file(program)], env, ...rest });
  const known = [
    [WebSocketServer, js('tswoole BASE', 'tswoole.js', { MODE: 'base' }), 'dist does not export WebSocketServer'],
    [WebSocketServer, js('tswoole PROCESS', 'tswoole.js', { MODE: 'process' }), 'dist does not export WebSocketServer'],
    [fetched, js('ws + bufferutil', 'ws.js', { PACKAGES }), 'npm could not fetch it'],
    [bun, { name: 'Bun', command: [bun, file('bun.js')], env: {} }, 'npm could not fetch it'],
    [fetched, js('socket.io', 'socket-io.js', { PACKAGES }, { isSocketIo: true }), 'npm could not fetch it'],
  ];
  for (const [isThere, { name }, reason] of known) if (!isThere) say(`${name}: left out: ${reason}`);
  return known.filter(([isThere]) => isThere).map(([, server]) => server);
}

/** Kept in .cache/websocket: they are no dependencies of the project. bufferutil brings its binaries along. */
function fetchPackages() {
  mkdirSync(prefix, { recursive: true });
  const names = WANTED.map((name) => name.split('@')[0]);
  const isThere = () => names.every((name) => existsSync(join(prefix, 'node_modules', name)));
  const quiet = ['--no-save', '--no-package-lock', '--ignore-scripts', '--loglevel=error'];
  if (!isThere()) spawnSync('npm', ['install', '--prefix', prefix, ...quiet, ...WANTED], { stdio: 'ignore' });
  return isThere() && hasNative();
}

/** Without its binary, bufferutil would quietly be JavaScript. */
function hasNative() {
  try {
    return typeof createRequire(PACKAGES)('node-gyp-build').path(join(prefix, 'node_modules/bufferutil')) === 'string';
  } catch {
    return false;
  }
}

/** @returns whether a server can do a case */
export function canDo({ isSocketIo = false }, { isCompressed = false, load }) {
  return !isSocketIo || (!isCompressed && (load.bytes ?? 0) < 65_536);
}

/** Runs `use` beside a server, and ends the server whatever happens. */
export async function withServer({ command: [program, ...args], env }, { mode, isCompressed }, use) {
  const port = await freePort();
  const settings = { ...process.env, NODE_ENV: 'production', ...env, PORT: String(port), CASE: mode };
  settings.COMPRESSION = isCompressed ? '1' : '0';
  const child = spawn(program, args, { env: settings, stdio: ['ignore', 'pipe', 'inherit'], detached: true });
  const gone = new Promise((resolve) => child.once('close', resolve));
  running.add(child.pid);
  try {
    await isReady(child);
    return await use({ port, cpuUs: () => sessionCpuUs(child.pid), memoryKiB: () => sessionKiB(child.pid) });
  } finally {
    await endServer(child, gone);
  }
}

function isReady(child) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`not ready after ${START_MS} ms`)), START_MS);
    const settle = (then) => (value) => {
      clearTimeout(timer);
      then(value);
    };
    child.once('error', settle(reject));
    child.stdout.once('data', settle(resolve));
    child.once('close', () => settle(reject)(new Error('it has ended')));
  });
}

async function endServer(child, gone) {
  try {
    process.kill(-child.pid, 'SIGTERM');
  } catch {
    // it has ended
  }
  const timer = setTimeout(() => killSession(child.pid), STOP_MS);
  await gone;
  clearTimeout(timer);
  killSession(child.pid);
  running.delete(child.pid);
}

/** For the way out that does not wait: Ctrl+C, an error. */
export function killServers() {
  for (const session of running) killSession(session);
}

/** @returns KiB of all processes of a session: their own memory, and what they share once (proportional set size) */
function sessionKiB(session) {
  const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name) && sessionOf(name) === session);
  return pids.reduce(
    (total, pid) => total + Number(/^Pss:\s+(\d+)/m.exec(read(`/proc/${pid}/smaps_rollup`))?.[1] ?? 0),
    0,
  );
}

function sessionOf(pid) {
  const stat = read(`/proc/${pid}/stat`);
  return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[3]);
}

function read(name) {
  try {
    return readFileSync(name, 'utf8');
  } catch {
    return '';
  }
}
