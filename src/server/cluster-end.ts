/**
 * How the broker process tells that its server was killed: it is told to end then as when the server stops. Runs in the broker
 * process.
 */
import { readFileSync } from 'node:fs';
import { pause } from '../util/pause.js';

/** A killed process closes its channels some moments before it counts as dead. */
const DYING_MS = 20;

/** @returns whether the master, or the process that has started this one, has died @param parentPid as it was */
export async function hasServerDied(masterPid: number, parentPid: number): Promise<boolean> {
  const isOneDead = (): boolean => process.ppid !== parentPid || [masterPid, parentPid].some(isDead);
  if (isOneDead()) return true;
  await pause(DYING_MS);
  return isOneDead();
}

/** Also while its parent has not reaped it (on Linux; elsewhere it counts as living until then). */
export function isDead(pid: number): boolean {
  try {
    process.kill(pid, 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ESRCH'; // EPERM: this process has given up its rights
  }
  try {
    // PID (name) state: the name may contain anything.
    return /\) [ZX] [^)]*$/.test(readFileSync(`/proc/${pid}/stat`, 'latin1'));
  } catch {
    return false;
  }
}
