/**
 * Temporary folders named after the process they belong to, so that its successor can recognise the folders of a
 * killed process: `tswoole-form-SCOPE-PID-START-RANDOM`, locked (flock) for as long as its owner lives. Runs in
 * workers.
 */
import { createHash } from 'node:crypto';
import { closeSync, constants, mkdtempSync, openSync, readFileSync, readlinkSync, rmSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { tryLock } from '../os/lock.js';
import { processStartTime } from '../os/other-process.js';

export interface Owner {
  /** Where its pid is meaningful: one boot of a machine, and one namespace of pids. */
  readonly scope: string;
  readonly pid: number;
  /** From `processStartTime`. */
  readonly start: string;
}

const PREFIX = 'tswoole-form-';
const NAME = /^tswoole-form-([0-9a-f]{8})-(\d{1,10})-(\d{1,20})-[A-Za-z0-9]{6}$/;
const FLAGS = constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW;

/** Of this process; removed with it. */
const owned = new Set<OwnedFolder>();
let self: Owner | undefined;

/** Undefined: no folder of this kind. */
export function ownerOf(name: string): Owner | undefined {
  const [, scope = '', pid = '', start = ''] = NAME.exec(name) ?? [];
  return scope === '' ? undefined : { scope, pid: Number(pid), start };
}

/** Undefined: the pid is not conclusive here; the lock has to decide. */
export function isRunning({ scope, pid, start }: Owner): boolean | undefined {
  if (scope === UNKNOWN || scope !== thisProcess().scope) return undefined;
  return processStartTime(pid) === start;
}

export class OwnedFolder {
  readonly path: string;
  /** Holds the lock; −1: it could not be opened. */
  #descriptor: number;

  private constructor(path: string) {
    this.path = path;
    this.#descriptor = openLocked(path);
  }

  /** Synchronous, so that the folder exists at no moment without an owner. @throws an Error with `code` */
  static make(parent: string): OwnedFolder {
    const { scope, pid, start } = thisProcess();
    const folder = new OwnedFolder(mkdtempSync(join(resolve(parent), `${PREFIX}${scope}-${pid}-${start}-`)));
    if (owned.size === 0) {
      process.off('exit', removeAll);
      process.on('exit', removeAll);
    }
    owned.add(folder);
    return folder;
  }

  /** With all that is in it. Never fails: a successor removes the rest. */
  async remove(): Promise<void> {
    await rm(this.path, { recursive: true, force: true }).catch(() => undefined);
    this.#forget();
  }

  /** The same for a process that ends. */
  removeNow(): void {
    try {
      // A file of a stream under way may be made meanwhile.
      rmSync(this.path, { recursive: true, force: true, maxRetries: 3, retryDelay: 10 });
    } catch {
      // as above
    }
    this.#forget();
  }

  #forget(): void {
    owned.delete(this);
    if (this.#descriptor >= 0) closeSync(this.#descriptor);
    this.#descriptor = -1;
  }
}

/** However the process ends, but by a signal that cannot be caught: 'exit' is emitted after an uncaught error too. */
function removeAll(): void {
  for (const folder of [...owned]) folder.removeNow();
}

function openLocked(path: string): number {
  let descriptor = -1;
  try {
    descriptor = openSync(path, FLAGS);
    tryLock(descriptor);
  } catch {
    // Some file systems have no locks, and descriptors may be short: then the pid alone identifies the owner.
  }
  return descriptor;
}

const UNKNOWN = '00000000';

function thisProcess(): Owner {
  self ??= { scope: scopeOfPids(), pid: process.pid, start: startOf(process.pid) };
  return self;
}

function startOf(pid: number): string {
  const start = process.platform === 'linux' ? processStartTime(pid) : undefined;
  return start ?? '0';
}

/** Other machines and containers may share the folder: their pids mean nothing here. */
function scopeOfPids(): string {
  try {
    const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim();
    return createHash('sha256')
      .update(`${boot} ${readlinkSync('/proc/self/ns/pid')}`)
      .digest('hex')
      .slice(0, 8);
  } catch {
    return UNKNOWN;
  }
}
