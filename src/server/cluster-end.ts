/**
 * How the broker process tells that its server was killed: it is told to end then as when the server stops. Runs in the broker
 * process.
 */
import { isRunning } from '../os/other-process.js';
import { pause } from '../util/pause.js';

/** A killed process closes its channels some moments before it counts as dead. */
const DYING_MS = 20;

/** @returns whether the master, or the process that has started this one, has died @param parentPid as it was */
export async function hasServerDied(masterPid: number, parentPid: number): Promise<boolean> {
  const isOneDead = (): boolean => process.ppid !== parentPid || ![masterPid, parentPid].every(isRunning);
  if (isOneDead()) return true;
  await pause(DYING_MS);
  return isOneDead();
}
