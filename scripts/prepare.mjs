// Makes a checkout ready to run: installs the packages of package-lock.json and builds dist when they are missing or
// out of date, and says nothing when there is nothing to do. `npm start`, `npm test` and others call it first.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join, relative } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const at = (...parts) => join(root, ...parts);

const LOCK = at('.cache', 'prepare.lock');
const LOCK_WAIT_MS = 10 * 60_000;
const LOCK_POLL_MS = 100;
const BUILD_STAMP = at('dist', '.built');

await main();

async function main() {
  refuseUnsuitable();
  if (isInstalled() && isBuilt()) return;
  const unlock = await lock();
  try {
    // Looked at again: whoever held the lock before has most likely done the work.
    if (!isInstalled()) install();
    if (!isBuilt()) build();
  } finally {
    unlock();
  }
}

function refuseUnsuitable() {
  if (process.platform === 'win32') fail('Windows is not supported; use WSL 2, a container, Linux or macOS.');
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  if (major < 20 || (major === 20 && minor < 19)) fail(`Node 20.19 or newer is needed, this is ${process.version}.`);
}

/** npm's record of what it has put into node_modules has each package of the lockfile in its version. */
function isInstalled() {
  const wanted = readJson(at('package-lock.json'))?.packages;
  const present = readJson(at('node_modules', '.package-lock.json'))?.packages;
  if (wanted === undefined || present === undefined) return false;
  return Object.entries(wanted).every(
    ([path, { version, optional }]) => path === '' || optional === true || present[path]?.version === version,
  );
}

function install() {
  say('Installing packages …');
  // NODE_ENV=production would leave the compiler out.
  run('npm', ['ci', '--include=dev', '--loglevel=error'], 'The packages could not be installed with "npm ci"');
}

function isBuilt() {
  return existsSync(at('dist', 'index.js')) && readText(BUILD_STAMP) === sourceFingerprint();
}

function build() {
  say('Building dist …');
  const fingerprint = sourceFingerprint(); // taken first: a file saved while it is built must be built again
  rmSync(BUILD_STAMP, { force: true });
  run(process.execPath, [at('scripts/build.mjs')], 'The build failed');
  writeFileSync(BUILD_STAMP, fingerprint);
}

/** Path, size and time of each file that dist is made of, so that a removed or restored file counts as well. */
function sourceFingerprint() {
  const inputs = [
    ...filesIn(at('src')),
    ...filesIn(at('dashboard')),
    ...[
      'scripts/build.mjs',
      'scripts/dashboard.mjs',
      'scripts/option-types.mjs',
      'tsconfig.json',
      'tsconfig.base.json',
      'package-lock.json',
    ].map((file) => at(file)),
  ];
  const lines = inputs.map((file) => {
    const { size, mtimeMs } = statSync(file);
    return `${relative(root, file)} ${size} ${mtimeMs}`;
  });
  return createHash('sha256').update(lines.sort().join('\n')).digest('hex');
}

function filesIn(folder) {
  const entries = readdirSync(folder, { recursive: true, withFileTypes: true });
  return entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
}

/** A folder is the lock, since making one is atomic. The one of a process that died is taken away. */
async function lock() {
  mkdirSync(at('.cache'), { recursive: true });
  const deadline = performance.now() + LOCK_WAIT_MS;
  while (!tryLock()) {
    if (performance.now() > deadline)
      fail(`Another run has been preparing for too long; remove ${LOCK} if there is none.`);
    removeStaleLock();
    await sleep(LOCK_POLL_MS);
  }
  const release = () => rmSync(LOCK, { recursive: true, force: true });
  process.once('exit', release); // fail() leaves through here
  return () => {
    process.off('exit', release); // by then the lock may be another's
    release();
  };
}

function tryLock() {
  try {
    mkdirSync(LOCK);
  } catch (error) {
    if (error.code === 'EEXIST') return false;
    throw error;
  }
  writeFileSync(join(LOCK, 'owner'), ownerOf(process.pid));
  return true;
}

function ownerOf(pid) {
  return `${hostname()} ${pid}`;
}

function removeStaleLock() {
  const owner = readText(join(LOCK, 'owner'));
  if (isHeld(owner)) return;
  // Renamed before it is looked at again: meanwhile another waiter may have replaced it with a lock of its own.
  const grave = `${LOCK}.${process.pid}`;
  try {
    renameSync(LOCK, grave);
    if (readText(join(grave, 'owner')) === owner) rmSync(grave, { recursive: true, force: true });
    else renameSync(grave, LOCK);
  } catch (error) {
    if (error.code !== 'ENOENT') throw error;
  }
}

function isHeld(owner) {
  const [host, pid] = owner?.split(' ') ?? [];
  if (pid !== undefined && host === hostname()) return isAlive(Number(pid));
  try {
    // No owner yet, or one on another machine that cannot be asked.
    return Date.now() - statSync(LOCK).mtimeMs < (pid === undefined ? 5000 : LOCK_WAIT_MS);
  } catch {
    return true; // released just now
  }
}

function isAlive(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === 'EPERM';
  }
}

function run(command, args, failure) {
  const { status, signal, error } = spawnSync(command, args, { cwd: root, stdio: ['ignore', 2, 2] });
  if (status === 0) return;
  fail(`${failure}: ${error?.message ?? (signal === null ? `exit code ${status}` : `killed by ${signal}`)}.`);
}

function readText(file) {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return undefined;
  }
}

function readJson(file) {
  try {
    return JSON.parse(readFileSync(file, 'utf8'));
  } catch {
    return undefined;
  }
}

// Everything goes to standard error: the standard output belongs to the program that is started next.
function say(sentence) {
  process.stderr.write(`prepare: ${sentence}\n`);
}

function fail(sentence) {
  say(sentence);
  process.exit(1);
}
