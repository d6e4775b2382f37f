import { readSync } from 'node:fs';
import type { DoorbellDescriptors } from '../../src/os/doorbell.js';
import { libc } from '../../src/os/libc.js';

/** True when somebody has rung; takes the ring. */
export function readableNow(descriptor: number): boolean {
  try {
    return readSync(descriptor, Buffer.alloc(8)) > 0;
  } catch {
    return false; // EAGAIN
  }
}

export function closeDoorbell(bell: DoorbellDescriptors): void {
  libc.close(bell.read);
  if (bell.write !== bell.read) libc.close(bell.write);
}
