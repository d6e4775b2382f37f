/**
 * A doorbell wakes the event loop of another thread or process: an eventfd on Linux, a pipe elsewhere.
 * Every holder of `write` may ring; the sleeper watches `read`.
 */
import * as C from './constants.js';
import { allocateStable, check, isLinux, libc, pin } from './libc.js';

export interface DoorbellDescriptors {
  readonly read: number;
  readonly write: number;
}

const ringValue = pin(allocateStable(8));
ringValue.buffer[0] = 1;
const clearSpace = pin(allocateStable(64));

export function createDoorbell(): DoorbellDescriptors {
  if (isLinux) {
    const descriptor = check(libc.eventfd(0, C.EFD_CLOEXEC | C.EFD_NONBLOCK), 'eventfd');
    return { read: descriptor, write: descriptor };
  }
  const pair = Buffer.alloc(8);
  check(libc.pipe(pair), 'pipe');
  const ends = { read: pair.readInt32LE(0), write: pair.readInt32LE(4) };
  for (const end of [ends.read, ends.write]) {
    libc.fcntl(end, C.F_SETFL, C.O_NONBLOCK);
    libc.fcntl(end, C.F_SETFD, C.FD_CLOEXEC);
  }
  return ends;
}

/** A full bell is a rung bell, so a failed write needs no handling. */
export function ringDoorbell(bell: DoorbellDescriptors): void {
  libc.write(bell.write, ringValue.address, bell.read === bell.write ? 8 : 1);
}

/** Needed where the poller is level-triggered; an edge-triggered epoll reports each ring by itself. */
export function clearDoorbell(bell: DoorbellDescriptors): void {
  libc.read(bell.read, clearSpace.address, bell.read === bell.write ? 8 : 64);
}
