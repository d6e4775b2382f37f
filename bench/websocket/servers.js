// Which servers are measured, and what each can do.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { withServer } from '../harness/processes.js';
import { fetchBun } from '../harness/tools.js';

const WANTED = ['ws@8', 'bufferutil@4', 'socket.io@4'];
const prefix = fileURLToPath(new URL('../../.cache/websocket', import.meta.url));
/** Where `createRequire` begins to look for what was fetched. */
const PACKAGES = join(prefix, 'packages.cjs');
const file = (name) => fileURLToPath(new URL(`./servers/${name}`, import.meta.url));

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

/** Runs `use` beside a server that is set up for a case. */
export function withServerOf(server, { mode, isCompressed }, use) {
  return withServer(server, { CASE: mode, COMPRESSION: isCompressed ? '1' : '0' }, use);
}
