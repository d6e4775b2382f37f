// Which servers are measured, and how three nodes of each are started beside their engine.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { withServer } from '../harness/processes.js';

const NODES = ['a', 'b', 'c'];
/** Until all know each other, and subscriptions and readers of streams are there. */
const MEETING_MS = 2500;
const WANTED = ['socket.io@4.8', '@socket.io/redis-streams-adapter@0.3', 'ioredis@5'];
const prefix = fileURLToPath(new URL('../../.cache/cluster', import.meta.url));
/** Where `createRequire` begins to look for what was fetched. */
const PACKAGES = join(prefix, 'packages.cjs');
const file = (name) => fileURLToPath(new URL(`./servers/${name}`, import.meta.url));

const engines = {
  redis: {
    program: 'redis-server',
    command: (folder) => (port) =>
      ['redis-server', '--port', port, '--bind', '127.0.0.1', '--save', '', '--dir', folder].map(String),
  },
  nats: {
    program: existsSync('/usr/sbin/nats-server') ? '/usr/sbin/nats-server' : 'nats-server',
    command: () => (port) => [engines.nats.program, '-a', '127.0.0.1', '-p', String(port)],
  },
};

/** @param say is told of each server that is left out, and why */
export function listServers(say) {
  const node = (program) => [process.execPath, file(program)];
  const tswoole = (mode, driver) => ({
    name: `tswoole ${mode.toUpperCase()} on ${driver === 'redis' ? 'Redis' : 'NATS'}`,
    command: node('tswoole.js'),
    env: { MODE: mode, DRIVER: driver },
    driver,
  });
  const socketIo = {
    name: 'socket.io on Redis streams',
    command: node('socket-io.js'),
    env: { PACKAGES },
    driver: 'redis',
  };
  const known = [
    ...['process', 'base'].flatMap((mode) => ['redis', 'nats'].map((driver) => tswoole(mode, driver))),
    ...(fetchPackages() ? [{ ...socketIo, isSocketIo: true }] : []),
  ];
  if (!known.some(({ isSocketIo }) => isSocketIo)) say('socket.io: left out: npm could not fetch it');
  return known.filter(({ name, driver }) => {
    const isThere = spawnSync('which', [engines[driver].program]).status === 0;
    if (!isThere) say(`${name}: left out: ${engines[driver].program} is not installed`);
    return isThere;
  });
}

/** Kept in .cache/cluster: they are no dependencies of the project. */
function fetchPackages() {
  mkdirSync(prefix, { recursive: true });
  const isThere = () => existsSync(join(prefix, 'node_modules/@socket.io/redis-streams-adapter'));
  const quiet = ['--no-save', '--no-package-lock', '--ignore-scripts', '--loglevel=error'];
  if (!isThere()) spawnSync('npm', ['install', '--prefix', prefix, ...quiet, ...WANTED], { stdio: 'ignore' });
  return isThere();
}

/** @param use gets the ports of the nodes, cpuUs() of all their processes, and engineUs() */
export function withNodes(server, folder, use) {
  const { driver } = server;
  const engine = { command: engines[driver].command(folder), readyWhen: 'accepts' };
  return withServer(engine, {}, ({ port, cpuUs }) => {
    const start = (ids, nodes) => {
      if (ids.length === 0) return met(nodes, cpuUs, use);
      const [NODE, ...rest] = ids;
      const settings = { NODE, ENGINE_URL: `${driver}://127.0.0.1:${port}` };
      return withServer(server, settings, (running) => start(rest, [...nodes, running]));
    };
    return start(NODES, []);
  });
}

async function met(nodes, engineUs, use) {
  await new Promise((resolve) => setTimeout(resolve, MEETING_MS));
  const cpuUs = () => nodes.reduce((sum, node) => sum + node.cpuUs(), 0);
  return use({ ports: nodes.map(({ port }) => port), pids: nodes.map(({ pid }) => pid), cpuUs, engineUs });
}
