/**
 * The pid file: who runs, and at the same time the lock that lets only one run. The kernel lifts the lock with the end of
 * the process, so a file without it is a leftover, whatever process has the pid in it by now.
 */
import { closeSync, constants, fstatSync, ftruncateSync, lstatSync, readSync, unlinkSync, writeSync } from 'node:fs';
import { ServerError } from '../errors/index.js';
import { tryLock } from '../os/lock.js';
import { isRunning } from '../os/other-process.js';
import { pauseThread } from '../os/pause.js';
import { openUnlinked, openUnlinkedRegular } from '../util/open-file.js';

const MODE = 0o644;
/** A pid, and something behind it that makes it none. */
const MOST_BYTES = 32;
/** Who takes the lock writes its pid at once, and who only looks for a holder lets go at once: that long they get. */
const SETTLED_WITHIN_MS = 1000;
const LOOK_AGAIN_MS = 10;

export class PidFile {
  readonly path: string;
  /** The pid that a server which was killed has left; 0: none. */
  readonly leftover: number;
  readonly #descriptor: number;

  private constructor(path: string, descriptor: number, leftover: number) {
    this.path = path;
    this.#descriptor = descriptor;
    this.leftover = leftover;
  }

  /** @throws ServerError ERR_PID_FILE_LOCKED, ERR_PID_FILE */
  static acquire(path: string): PidFile {
    for (;;) {
      const descriptor = openLocked(path);
      // Whoever held it may have removed it between our opening and our locking: then the lock is on a file nobody sees.
      if (isStill(path, descriptor)) {
        const leftover = readPid(descriptor);
        ftruncateSync(descriptor, 0);
        writeSync(descriptor, `${process.pid}\n`, 0);
        return new PidFile(path, descriptor, leftover);
      }
      closeSync(descriptor);
    }
  }

  /** Removes it. The lock is held until the end of the process. */
  remove(): void {
    try {
      if (isStill(this.path, this.#descriptor)) unlinkSync(this.path);
    } catch {
      // It is a leftover then, and known as one.
    }
  }
}

function openLocked(path: string): number {
  let descriptor: number;
  try {
    descriptor = openUnlinked(path, constants.O_RDWR | constants.O_CREAT, MODE);
    refuseOther(descriptor);
  } catch (error) {
    throw new ServerError('ERR_PID_FILE', { path, why: (error as Error).message });
  }
  const pid = holderOf(descriptor);
  if (pid === FREE) return descriptor;
  closeSync(descriptor);
  throw new ServerError('ERR_PID_FILE_LOCKED', { path, pid });
}

/** It is emptied and written to: what others may have put there under its name must not suffer. */
function refuseOther(descriptor: number): void {
  const stat = fstatSync(descriptor);
  const why = !stat.isFile() ? 'it is no regular file' : stat.nlink > 1 ? 'it has another name too (a hard link)' : '';
  if (why === '') return;
  closeSync(descriptor);
  throw new Error(why);
}

/**
 * Who runs by this file, found by the lock and not by the number. @returns 0: nobody
 * @throws an Error with `code` when it cannot be read
 */
export function pidOfHolder(path: string): number {
  let descriptor: number;
  try {
    descriptor = openUnlinkedRegular(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return 0;
    throw error;
  }
  try {
    return Math.max(0, holderOf(descriptor));
  } finally {
    closeSync(descriptor);
  }
}

const FREE = -1;

/**
 * Takes the lock, or tells who has it. The file of a holder may still be empty, or tell of the one before, so the pid
 * counts when the process lives and has the lock at a second look too.
 * @returns the pid; FREE: the lock is the caller's now; 0: somebody has it and does not say who
 */
function holderOf(descriptor: number): number {
  const deadline = performance.now() + SETTLED_WITHIN_MS;
  let before = 0;
  for (;;) {
    if (tryLock(descriptor)) return FREE;
    const pid = readPid(descriptor);
    const settled = pid !== 0 && pid === before && isRunning(pid);
    if (settled || performance.now() > deadline) return settled ? pid : 0;
    before = pid;
    // Nothing else is to happen in a process that does not know yet whether it may start.
    pauseThread(LOOK_AGAIN_MS);
  }
}

function readPid(descriptor: number): number {
  const bytes = Buffer.alloc(MOST_BYTES);
  const text = bytes.toString('latin1', 0, readSync(descriptor, bytes, 0, MOST_BYTES, 0)).trim();
  return /^\d{1,9}$/.test(text) ? Number(text) : 0;
}

function isStill(path: string, descriptor: number): boolean {
  try {
    const [there, held] = [lstatSync(path), fstatSync(descriptor)];
    return there.ino === held.ino && there.dev === held.dev;
  } catch {
    return false;
  }
}
