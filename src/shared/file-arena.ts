/**
 * Objects in files of the user's, which outlive the server. A process that opens a file shares a lock on it (flock(2)) until it
 * ends, however it ends: whoever has the lock alone begins a run, and knows that all owners of before are dead.
 */
import { closeSync, constants, fstatSync, readlinkSync } from 'node:fs';
import { basename } from 'node:path';
import { crc32 } from 'node:zlib';
import { ServerError, told } from '../errors/index.js';
import { tryLock, tryShare } from '../os/lock.js';
import { reserve } from '../os/memory.js';
import { pauseThread } from '../os/pause.js';
import { monotonicMs } from '../util/clock.js';
import { openUnlinked } from '../util/open-file.js';
import { Arena, type ObjectSpec, type SharedObject } from './arena.js';

/** To begin a run takes some microseconds; who takes longer is stopped. */
const PATIENCE_MS = 1000;
const NAP_MS = 1;

/** Of this process, by path. */
const opened = new Map<string, Arena>();

export function fileArenas(): readonly (readonly [path: string, arena: Arena])[] {
  return [...opened];
}

/**
 * The one object of a file. A file that is not there is made, for the user of this process alone.
 * @param file absolute path
 * @param check throws where the other processes of the server have another file
 * @throws ServerError ERR_SHARED_FILE, ERR_SHARED_LIMIT, ERR_SHARED_BUSY, ERR_SHARED_OWNERS
 */
export function attachInFile(
  file: string,
  spec: Omit<ObjectSpec, 'name'>,
  check: (identity: string) => void,
): SharedObject {
  try {
    const arena = opened.get(file) ?? openArena(file, check);
    opened.set(file, arena);
    return arena.attach({ ...spec, name: arena.objects()[0]?.name ?? basename(file) });
  } catch (error) {
    if (error instanceof ServerError && error.code !== 'ERR_SHARED_SCHEMA') throw error;
    throw told(new ServerError('ERR_SHARED_FILE', { path: file, why: reasonOf(error) }, { cause: error }));
  }
}

function openArena(file: string, check: (identity: string) => void): Arena {
  const descriptor = openUnlinked(file, constants.O_RDWR | constants.O_CREAT, 0o600);
  try {
    const stat = fstatSync(descriptor);
    if (!stat.isFile()) throw new Error('it is not a regular file');
    check(`file ${stat.dev}:${stat.ino}`);
    return tryLock(descriptor) ? begin(descriptor) : join(descriptor);
  } catch (error) {
    closeSync(descriptor);
    throw error;
  }
}

function begin(descriptor: number): Arena {
  const isNew = fstatSync(descriptor).size === 0;
  const arena = isNew ? Arena.found(descriptor, {}, reserve) : Arena.open(descriptor, {}, reserve);
  arena.beginRun(spaceOfPids());
  share(descriptor);
  return arena;
}

function join(descriptor: number): Arena {
  share(descriptor);
  const arena = Arena.open(descriptor, {}, reserve);
  if (arena.space === spaceOfPids()) return arena;
  throw new Error('it is in use by processes of another container, whose deaths are not seen from here');
}

function share(descriptor: number): void {
  const until = monotonicMs() + PATIENCE_MS;
  while (!tryShare(descriptor)) {
    if (monotonicMs() >= until) throw new Error('another process is opening it, and is stopped');
    pauseThread(NAP_MS);
  }
}

/** Two processes with the same number here see the same pids (pid_namespaces(7)). */
function spaceOfPids(): number {
  try {
    return crc32(readlinkSync('/proc/self/ns/pid')) | 1;
  } catch {
    return 1; // a system without them, or without /proc
  }
}

function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if (!(error instanceof ServerError) || !error.is('ERR_SHARED_SCHEMA')) return error.message;
  const { there, declared } = error.detail;
  return `it holds ${there}; the script declares ${declared}`;
}
