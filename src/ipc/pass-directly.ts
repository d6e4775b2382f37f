/** What goes to a reactor in the same thread without the ring (BASE mode). Runs in a worker. */
import type { HeldData } from './out-state.js';
import type { ReactorLink } from './reactor-links.js';
import { Reply } from './reply.js';

/** Parts of an answer below this size go through the ring, where the reactor joins them. */
const SMALLEST_PART_BYTES = 16_384;

/** @returns false: it has to go through the ring */
export function passDirectly(link: ReactorLink, reply: Reply): boolean {
  const { ring, direct } = link;
  const isLong = reply.bytes >= SMALLEST_PART_BYTES;
  if (direct === undefined || (!isLong && !reply.isWhole)) return false;
  if (isLong && !ring.isConsumed(ring.position)) direct.catchUp();
  return ring.isConsumed(ring.position) && direct.reply(reply);
}

/** What was held. @param most bytes at once @returns how many were passed, 0 of an end alone; −1: the ring has to take it */
export function passPiece(link: ReactorLink, sessionId: number, item: HeldData, most: number): number {
  const { data, at, frame } = item;
  const length = Math.min(data.length - at, most);
  const isLast = at + length === data.length;
  const piece = new Reply(frame.type, frame.lastFlags);
  piece.sessionId = sessionId;
  piece.detail = frame.detail;
  piece.flags = isLast ? frame.flags : (frame.flags & ~frame.lastFlags) | frame.moreFlags;
  if (typeof data === 'string') piece.text = data.slice(at, at + length);
  else piece.body = data.subarray(at, at + length);
  return passDirectly(link, piece) ? length : -1;
}
