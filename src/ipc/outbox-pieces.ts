/** How much of a send fits into one frame. */
import { frameBytes, MAX_PAYLOAD } from './frame.js';
import type { Reply } from './reply.js';
import type { RingWriter } from './ring.js';

/** Asking for room and closing must find a place although packets fill the ring. */
export const RESERVED_FOR_REQUESTS = 4096;

export function wholeOf(reply: Reply): Buffer {
  const bytes = Buffer.allocUnsafe(reply.bytes);
  reply.writeTo(bytes, 0);
  return bytes;
}

/** One that fits whenever half of the ring is free: that is what the reactor rings for. */
export function longestPiece({ size }: RingWriter): number {
  return Math.min(MAX_PAYLOAD, size / 2 - RESERVED_FOR_REQUESTS - frameBytes(0));
}
