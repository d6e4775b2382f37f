import { fstatSync, readSync } from 'node:fs';

/** Reads from position 0, because the descriptor, and so its position, is shared with other processes. */
export function readWhole(descriptor: number): string {
  const bytes = Buffer.alloc(fstatSync(descriptor).size);
  for (let at = 0; at < bytes.length; ) {
    const count = readSync(descriptor, bytes, at, bytes.length - at, at);
    if (count === 0) break;
    at += count;
  }
  return bytes.toString('utf8');
}
