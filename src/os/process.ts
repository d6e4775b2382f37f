/** What Node does not offer about processes and threads. All of it is Linux only and quietly does nothing elsewhere. */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import * as C from './constants.js';
import { addressOf, allocateStable, isLinux, libc } from './libc.js';
import { PAGE_BYTES } from './memory.js';

/** Names the calling thread for `top -H` and debuggers; the kernel keeps 15 bytes. */
export function setThreadName(name: string): void {
  if (!isLinux) return;
  const bytes = allocateStable(16);
  bytes.write(name.slice(0, 15), 'latin1');
  libc.prctl(C.PR_SET_NAME, addressOf(bytes), 0, 0, 0);
}

/** Children whose parent dies are handed to this process instead of init, so that it can end and reap them. */
export function becomeSubreaper(): void {
  if (isLinux) libc.prctl(C.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
}

const waitStatus = Buffer.alloc(4);

/** Takes the exit status of one child that Node does not know of. @returns true when it is gone (or was never ours) */
export function reapChild(pid: number): boolean {
  const result = libc.waitpid(pid, waitStatus, C.WNOHANG);
  return result === pid || result < 0;
}

/** siginfo_t, and where si_pid stands in it on all 64-bit Linux. */
const signalInfo = Buffer.alloc(128);
const SI_PID_AT = 16;

/** A child that has ended and whose exit status nobody has taken yet; it is not taken here. @returns 0: there is none */
export function findEndedChild(): number {
  if (!isLinux) return 0;
  signalInfo.writeInt32LE(0, SI_PID_AT);
  const result = libc.waitid(C.P_ALL, 0, signalInfo, C.WEXITED | C.WNOHANG | C.WNOWAIT);
  return result < 0 ? 0 : signalInfo.readInt32LE(SI_PID_AT);
}

/** Tells a process from a later one with the same pid; undefined when there is none. */
export function processStartTime(pid: number): string | undefined {
  return isLinux ? startTimeFromProc(pid) : startTimeFromPs(pid);
}

/** Field 22 of proc(5) stat; the name of the process, which comes before, may hold anything. */
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

/** undefined when there is no such process, and where the kernel does not tell others (it needs /proc). */
export function processUsage(pid: number): ProcessUsage | undefined {
  const fields = isLinux ? statFields(pid) : undefined;
  if (fields === undefined) return undefined;
  const at = (field: number): number => Number(fields[field - 3]);
  return { residentBytes: at(24) * PAGE_BYTES, cpuSeconds: (at(14) + at(15)) / TICKS_PER_SECOND };
}
