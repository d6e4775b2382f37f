/** Facts about any process, from the kernel. Loads no foreign functions, so that read-only commands start quickly. */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';

const isLinux = process.platform === 'linux';
/** Distinguishes a process from a later one with the same pid; undefined when there is none. */
export function processStartTime(pid: number): string | undefined {
  return isLinux ? startTimeFromProc(pid) : startTimeFromPs(pid);
}

/** False too for a process that has ended and was not reaped yet, where the kernel reveals it (Linux, /proc). */
export function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
  return !isLinux || statFields(pid)?.[0] !== 'Z';
}

/** By SIGSTOP, a terminal or a debugger. False where the kernel does not tell (it needs /proc). */
export function isStopped(pid: number): boolean {
  return isLinux && /^[Tt]$/.test(statFields(pid)?.[0] ?? '');
}

/** Field 22 of proc(5) stat; the name of the process, before it, may contain any character. */
function startTimeFromProc(pid: number): string | undefined {
  const fields = statFields(pid);
  return fields === undefined || fields[0] === 'Z' ? undefined : fields[19];
}

/** From field 3 (state) on. */
function statFields(pid: number): string[] | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  } catch {
    return undefined;
  }
}

function startTimeFromPs(pid: number): string | undefined {
  const { status, stdout } = spawnSync('ps', ['-o', 'lstart=', '-p', String(pid)], { encoding: 'utf8' });
  return status === 0 ? stdout.trim() : undefined;
}

export interface ProcessUsage {
  readonly residentBytes: number;
  /** User and system time, all threads. */
  readonly cpuSeconds: number;
}

/** Ticks of proc(5) per second, on every Linux. */
const TICKS_PER_SECOND = 100;

/** undefined when there is no such process, and where the kernel does not reveal it (it needs /proc). */
export function processUsage(pid: number): ProcessUsage | undefined {
  const fields = isLinux ? statFields(pid) : undefined;
  if (fields === undefined) return undefined;
  const at = (field: number): number => Number(fields[field - 3]);
  return { residentBytes: residentBytes(pid), cpuSeconds: (at(14) + at(15)) / TICKS_PER_SECOND };
}

/**
 * How long its main thread was ready to run and got no CPU, in ms: 0 for a process that waits for something else, and
 * where the kernel does not tell (it needs /proc and schedstats).
 */
export function starvedMs(pid: number): number {
  try {
    const [, waitedNs = '0'] = readFileSync(`/proc/${pid}/schedstat`, 'latin1').split(' ');
    return Number(waitedNs) / 1e6;
  } catch {
    return 0;
  }
}

/**
 * The environment it was started with; undefined where the kernel does not reveal it (another user's, no /proc), or has
 * none to show: the file is empty while the process is between two programs, in execve(2).
 */
export function environmentOf(pid: number): NodeJS.ProcessEnv | undefined {
  try {
    const pairs = readFileSync(`/proc/${pid}/environ`, 'utf8').split('\0').filter(Boolean);
    if (pairs.length === 0) return undefined;
    return Object.fromEntries(
      pairs.map((pair) => [pair.slice(0, pair.indexOf('=')), pair.slice(pair.indexOf('=') + 1)]),
    );
  } catch {
    return undefined;
  }
}

function residentBytes(pid: number): number {
  return bytesInStatus(pid, 'VmRSS');
}

/** Resident memory of this process that others have too: memfd and the like; 0 where the kernel does not tell. */
export function sharedResidentBytes(): number {
  return isLinux ? bytesInStatus(process.pid, 'RssShmem') : 0;
}

/** This file has KiB; others have pages, whose size differs between machines. */
function bytesInStatus(pid: number, name: 'VmRSS' | 'RssShmem'): number {
  try {
    const status = readFileSync(`/proc/${pid}/status`, 'latin1');
    return Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(status)?.[1] ?? 0) * 1024;
  } catch {
    return 0; // gone meanwhile
  }
}
