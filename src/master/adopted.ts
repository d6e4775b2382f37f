/**
 * Reaps processes whose parent has died: a child of a killed worker becomes the master's child (see
 * `becomeSubreaper`), and so does everything in a container where the master is process 1. Node takes the exit
 * status of its own children; the master has to take the status of the others, or they stay as zombies.
 */
import { findEndedChild, reapChild } from '../os/process.js';

/**
 * Node takes the status of its own children in the turn that brings SIGCHLD. A process that is still there after
 * this is not Node's.
 */
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
