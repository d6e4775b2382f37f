/**
 * The run directory: one per user, with a control socket and a note of each server of that user. It lets `tswoole` find
 * running servers by itself.
 */
import { chmodSync, existsSync, lstatSync, mkdirSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ServerError } from '../errors/index.js';
import { processStartTime } from '../os/other-process.js';
import { readSmall } from '../util/open-file.js';

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
  for (const pid of pidsIn(runDir)) {
    const entry = readEntry(runDir, pid);
    if (entry === undefined) continue;
    if (processStartTime(entry.pid) === entry.processStart) entries.push(entry);
    else removeStale(runDir, entry.pid);
  }
  return entries.sort((a, b) => a.startedAtMonotonic - b.startedAtMonotonic);
}

/** @throws ServerError ERR_RUN_DIR */
function pidsIn(runDir: string): number[] {
  let names: string[];
  try {
    names = readdirSync(runDir);
  } catch (error) {
    throw new ServerError('ERR_RUN_DIR', { path: runDir, why: `it cannot be read (${(error as Error).message})` });
  }
  return names.filter((name) => /^[1-9]\d{0,9}\.json$/.test(name)).map((name) => Number.parseInt(name, 10));
}

/** The command and the flags of a server have at most the 2 MiB that the kernel lets a program have. */
const LONGEST_NOTE = 8 * 1024 * 1024;

function readEntry(runDir: string, pid: number): RunEntry | undefined {
  try {
    const entry: unknown = JSON.parse(readSmall(noteIn(runDir, pid), LONGEST_NOTE));
    return isEntry(entry) && entry.pid === pid ? entry : undefined;
  } catch {
    return undefined; // gone meanwhile, or no note of ours
  }
}

const TEXTS = ['processStart', 'name', 'version', 'mode', 'socket', 'pidFile', 'logFile', 'cwd'] as const;
const NUMBERS = ['pid', 'startedAt', 'startedAtMonotonic'] as const;

/** What else may lie there must not be taken for a server, and what is missing must not break the commands of all. */
function isEntry(value: unknown): value is RunEntry {
  if (typeof value !== 'object' || value === null) return false;
  const entry = value as Record<string, unknown>;
  const { isDaemon, command, flags } = entry;
  return (
    TEXTS.every((name) => typeof entry[name] === 'string') &&
    NUMBERS.every((name) => typeof entry[name] === 'number') &&
    typeof isDaemon === 'boolean' &&
    Array.isArray(command) &&
    areTexts(command) &&
    typeof flags === 'object' &&
    flags !== null &&
    areTexts(Object.values(flags)) &&
    // Of its own: by that of another server its commands would reach that one. (A number would be a port.)
    (entry['socket'] as string).endsWith(`/${entry['pid']}.sock`)
  );
}

function areTexts(values: readonly unknown[]): boolean {
  return values.every((value) => typeof value === 'string');
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
