/** How much of a send fits into one frame. */
import { frameBytes, MAX_PAYLOAD, markOf, Request, SendFlag } from './frame.js';
import type { HeldData, OutState } from './out-state.js';
import type { Reply } from './reply.js';
import type { RingWriter } from './ring.js';

/** Sends of several pieces bear it: a reactor sees by it when a process has died in the middle of one. */
export const OWN_MARK = markOf(process.pid);

/** Asking for room and closing must find a place although packets fill the ring. */
export const RESERVED_FOR_REQUESTS = 4096;

export function wholeOf(reply: Reply): Buffer {
  const bytes = Buffer.allocUnsafe(reply.bytes);
  reply.writeTo(bytes, 0);
  return bytes;
}

/**
 * What one frame to this connection may hold: an answer in one frame is copied once and leaves in one send(2). Never more
 * than the window allows, but for a piece of the usual length.
 */
export function longestFrame({ size }: RingWriter, { window, unconfirmed }: OutState): number {
  const most = Math.max(MAX_PAYLOAD, Math.min((window >> 1) + MAX_PAYLOAD, window - unconfirmed));
  // What fits whenever half of the ring is free: that is what the reactor rings for.
  return Math.min(most, size / 2 - RESERVED_FOR_REQUESTS - frameBytes(0));
}

/** Writes a frame with the next bytes of what is held for a connection. The caller has checked the room. */
export function commitPiece(ring: RingWriter, state: OutState, { data, at, frame }: HeldData, length: number): void {
  const { type, flags, lastFlags, detail } = frame;
  const isLast = at + length === data.length;
  const isPiece = type === Request.send && (state.keepsPlace || length < data.length);
  const more = state.keepsPlace || !isLast ? SendFlag.more : 0;
  ring.bytes.set(data.subarray(at, at + length), ring.payloadAt);
  if (isPiece) ring.commit(type, more, OWN_MARK, state.sessionId, length);
  else ring.commit(type, isLast ? flags : flags & ~lastFlags, detail, state.sessionId, length);
}
