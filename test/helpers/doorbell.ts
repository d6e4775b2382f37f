import { readSync } from 'node:fs';

/** True when somebody has rung; takes the ring. */
export function readableNow(descriptor: number): boolean {
  try {
    return readSync(descriptor, Buffer.alloc(8)) > 0;
  } catch {
    return false; // EAGAIN
  }
}
