/** Process and thread calls that Node lacks. All are Linux only and do nothing elsewhere. */
import * as C from './constants.js';
import { addressOf, allocateStable, isLinux, libc } from './libc.js';

/** Names the calling thread for `top -H` and debuggers; the kernel keeps 15 bytes. */
export function setThreadName(name: string): void {
  if (!isLinux) return;
  const bytes = allocateStable(16);
  bytes.write(name.slice(0, 15), 'latin1');
  libc.prctl(C.PR_SET_NAME, addressOf(bytes), 0, 0, 0);
}

/** Makes this process, instead of init, the parent of orphaned descendants, so that it can end and reap them. */
export function becomeSubreaper(): void {
  if (isLinux) libc.prctl(C.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
}

const waitStatus = Buffer.alloc(4);

/** Reaps one child that Node does not know of. @returns true when it is gone (or was never ours) */
export function reapChild(pid: number): boolean {
  const result = libc.waitpid(pid, waitStatus, C.WNOHANG);
  return result === pid || result < 0;
}

/** siginfo_t, and where si_pid stands in it on all 64-bit Linux. */
const signalInfo = Buffer.alloc(128);
const SI_PID_AT = 16;

/** Finds a child that has ended and is not reaped yet; does not reap it. @returns 0: there is none */
export function findEndedChild(): number {
  if (!isLinux) return 0;
  signalInfo.writeInt32LE(0, SI_PID_AT);
  const result = libc.waitid(C.P_ALL, 0, signalInfo, C.WEXITED | C.WNOHANG | C.WNOWAIT);
  return result < 0 ? 0 : signalInfo.readInt32LE(SI_PID_AT);
}
