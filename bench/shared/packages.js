// What other stores need, fetched into .cache/shared: they are no dependencies of the project.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const prefix = fileURLToPath(new URL('../../.cache/shared', import.meta.url));
const debian = join(prefix, 'debian');
const WANTED = ['lmdb@3', 'better-sqlite3@12', 'ioredis@5'];
const DEBIAN = ['redis-server', 'redis-tools', 'libhiredis0.14', 'libjemalloc2', 'liblua5.1-0', 'liblzf1', 'lua-cjson'];
const QUIET = ['--no-save', '--no-package-lock', '--ignore-scripts', '--loglevel=error'];

export const requirePackage = createRequire(join(prefix, 'packages.cjs'));

/** @returns the reason why a package cannot be used; undefined: it can */
export function whyNot(name) {
  if (name === 'redis') return whyNotPackage('ioredis') ?? whyNotRedis();
  return whyNotPackage(name);
}

/** That of the system, or Debian's, unpacked. @returns the program, and the environment it runs in */
export function redisServer() {
  const program = join(debian, 'usr/bin/redis-server');
  if (!existsSync(program)) return { program: 'redis-server', env: process.env };
  const library = join(debian, `usr/lib/${process.arch === 'x64' ? 'x86_64' : 'aarch64'}-linux-gnu`);
  return { program, env: { ...process.env, LD_LIBRARY_PATH: library } };
}

function whyNotPackage(name) {
  if (!existsSync(join(prefix, 'node_modules', name))) fetchPackages();
  if (!existsSync(join(prefix, 'node_modules', name))) return 'npm could not fetch it';
  if (name === 'better-sqlite3' && !canOpenSqlite()) buildSqlite();
  const { status, stderr } = tryPackage(name);
  return status === 0 ? undefined : `it cannot be loaded: ${/^\w*Error:.*$/m.exec(stderr)?.[0] ?? 'unknown'}`;
}

function fetchPackages() {
  mkdirSync(prefix, { recursive: true });
  spawnSync('npm', ['install', '--prefix', prefix, ...QUIET, ...WANTED], { stdio: 'ignore' });
}

/** In a process of its own: a binary of another Node ends the process. */
function tryPackage(name) {
  const use = name === 'better-sqlite3' ? "new (require('better-sqlite3'))(':memory:')" : `require('${name}')`;
  return spawnSync(process.execPath, ['-e', use], { cwd: prefix, encoding: 'utf8' });
}

const canOpenSqlite = () => tryPackage('better-sqlite3').status === 0;

/** Downloads its binary, or compiles it (a minute) with the headers beside this Node, where there are any. */
function buildSqlite() {
  const node = dirname(dirname(process.execPath));
  const headers = existsSync(join(node, 'include/node/node.h')) ? { npm_config_nodedir: node } : {};
  const args = ['rebuild', 'better-sqlite3', '--prefix', prefix, '--ignore-scripts=false', '--loglevel=error'];
  spawnSync('npm', args, { stdio: 'ignore', env: { ...process.env, ...headers } });
}

function whyNotRedis() {
  if (!canRunRedis()) fetchRedis();
  return canRunRedis() ? undefined : 'redis-server is not installed, and apt-get could not fetch it';
}

function canRunRedis() {
  const { program, env } = redisServer();
  return spawnSync(program, ['--version'], { env, stdio: 'ignore' }).status === 0;
}

function fetchRedis() {
  mkdirSync(debian, { recursive: true });
  spawnSync('apt-get', ['download', ...DEBIAN], { cwd: debian, stdio: 'ignore' });
  spawnSync('sh', ['-c', 'for each in *.deb; do dpkg-deb -x "$each" .; done'], { cwd: debian, stdio: 'ignore' });
}
