/**
 * The run directory: one per user, with a control socket and a note of each server of that user. It lets `tswoole` find
 * running servers by itself.
 */
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ServerError } from '../errors/index.js';
import { processStartTime } from '../os/other-process.js';

/** A server's note about itself. */
export interface RunEntry {
  readonly pid: number;
  /** Distinguishes the process from a later one with the same pid. */
  readonly processStart: string;
  readonly name: string;
  readonly version: string;
  readonly mode: string;
  /** Unix time in ms. */
  readonly startedAt: number;
  /** The same in ms of `monotonicMs()`, for computing the uptime. */
  readonly startedAtMonotonic: number;
  readonly socket: string;
  /** Absolute paths; empty where there is none. */
  readonly pidFile: string;
  readonly logFile: string;
  readonly isDaemon: boolean;
  readonly cwd: string;
  /** The command that started it, which `tswoole restart` runs. */
  readonly command: readonly string[];
  readonly flags: Readonly<Record<string, string>>;
}

/** @param chosen the option `runDir` */
export function runDirFor(chosen: string, environment: NodeJS.ProcessEnv = process.env): string {
  if (chosen !== '') return chosen;
  const uid = process.getuid?.() ?? 0;
  if (uid === 0) return '/run/tswoole';
  const runtime = environment['XDG_RUNTIME_DIR'];
  return runtime === undefined || runtime === '' ? join(tmpdir(), `tswoole-${uid}`) : join(runtime, 'tswoole');
}

/** @throws ServerError ERR_RUN_DIR when it belongs to another user, or other users may write to it */
export function makeRunDir(path: string): void {
  if (!isThere(path)) {
    try {
      mkdirSync(path, { recursive: true, mode: 0o700 });
    } catch (error) {
      throw new ServerError('ERR_RUN_DIR', { path, why: `it cannot be made (${(error as Error).message})` });
    }
  }
  refuseStranger(path);
}

/** A path below a file is as little there as one below nothing. A link is there, whatever it leads to. */
function isThere(path: string): boolean {
  try {
    return lstatSync(path, { throwIfNoEntry: false }) !== undefined;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOTDIR') return false;
    throw error;
  }
}

function refuseStranger(path: string): void {
  const why = whyNotOurs(path);
  if (why !== undefined) throw new ServerError('ERR_RUN_DIR', { path, why });
}

function whyNotOurs(path: string): string | undefined {
  const stat = lstatSync(path);
  if (stat.isSymbolicLink()) return 'it is a symbolic link, which is not followed';
  if (!stat.isDirectory()) return 'it is something else';
  if (stat.uid !== process.getuid?.()) return `it belongs to user ${stat.uid}`;
  if ((stat.mode & 0o022) !== 0) return 'others may write to it';
  return undefined;
}

export function socketIn(runDir: string, pid: number): string {
  return join(runDir, `${pid}.sock`);
}

const noteIn = (runDir: string, pid: number): string => join(runDir, `${pid}.json`);

/** Atomic, because readers may come at any time. */
export function writeEntry(runDir: string, entry: RunEntry): void {
  const file = noteIn(runDir, entry.pid);
  rmSync(`${file}.new`, { force: true }); // left by a killed server with the same pid
  writeFileSync(`${file}.new`, JSON.stringify(entry), { mode: 0o600, flag: 'wx' });
  renameSync(`${file}.new`, file);
}

export function removeEntry(runDir: string, pid: number): void {
  for (const file of [noteIn(runDir, pid), socketIn(runDir, pid)]) rmSync(file, { force: true });
}

/**
 * The running servers, oldest first. Removes entries of killed servers.
 * @throws ServerError ERR_RUN_DIR when another user could have put files there
 */
export function listEntries(runDir: string): RunEntry[] {
  if (!existsSync(runDir)) return []; // not created yet
  refuseStranger(runDir);
  const entries: RunEntry[] = [];
  for (const name of namesIn(runDir)) {
    const entry = readEntry(join(runDir, name));
    if (entry === undefined) continue;
    if (processStartTime(entry.pid) === entry.processStart) entries.push(entry);
    else removeStale(runDir, entry.pid);
  }
  return entries.sort((a, b) => a.startedAtMonotonic - b.startedAtMonotonic);
}

function namesIn(runDir: string): string[] {
  return readdirSync(runDir).filter((name) => /^\d+\.json$/.test(name));
}

function readEntry(file: string): RunEntry | undefined {
  try {
    const entry = JSON.parse(readFileSync(file, 'utf8')) as RunEntry;
    return typeof entry.pid === 'number' && typeof entry.socket === 'string' ? entry : undefined;
  } catch {
    return undefined; // gone meanwhile
  }
}

function removeStale(runDir: string, pid: number): void {
  try {
    removeEntry(runDir, pid);
  } catch {
    // another user's
  }
}

/** Sets the permissions of the socket, whatever the umask. */
export function restrict(path: string): void {
  chmodSync(path, 0o600);
}
