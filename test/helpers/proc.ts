/** Figures of a process, from /proc. */
import { readdirSync, readFileSync } from 'node:fs';

/** Resident memory in MiB. */
export function residentMiB(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  return Number(/VmRSS:\s+(\d+)/.exec(status)?.[1] ?? 0) / 1024;
}

export function descriptorCount(pid: number): number {
  return readdirSync(`/proc/${pid}/fd`).length;
}

/** CPU so far in seconds, in user mode and in the kernel; 0: there is no such process. */
export function cpuSeconds(pid: number): number {
  try {
    // The fields behind the name, which may have spaces: utime is the 12th of them. Ticks of 10 ms.
    const fields = readFileSync(`/proc/${pid}/stat`, 'latin1')
      .replace(/^.*\) /s, '')
      .split(' ');
    return (Number(fields[11]) + Number(fields[12])) / 100;
  } catch {
    return 0;
  }
}
