/**
 * Processes whose parent has died: what a worker had started becomes the master's child when the worker is killed (see
 * `becomeSubreaper`), and so does everything in a container where the master is process 1. Node takes the exit status
 * of the children it has started itself; the master has to take those of the others, or they stay as zombies.
 */
import { findEndedChild, reapChild } from '../os/process.js';

/** Node takes the status of its own in the turn that brings SIGCHLD. One that is still there after this is not Node's. */
const LOOK_AGAIN_MS = 50;

export function reapAdopted(): void {
  let suspect = 0;
  let timer: NodeJS.Timeout | undefined;
  const look = (): void => {
    timer = undefined;
    let pid = findEndedChild();
    while (pid !== 0 && pid === suspect) {
      reapChild(pid);
      pid = findEndedChild();
    }
    suspect = pid;
    if (pid !== 0) lookSoon();
  };
  const lookSoon = (): void => {
    if (timer === undefined) timer = setTimeout(look, LOOK_AGAIN_MS).unref();
  };
  process.on('SIGCHLD', lookSoon);
}
