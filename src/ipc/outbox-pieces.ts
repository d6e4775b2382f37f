/** How much of a send fits into one frame. */
import { writeLatin1 } from '../util/latin1.js';
import { frameBytes, MAX_PAYLOAD, markOf, Request, SendFlag } from './frame.js';
import { type HeldData, type HeldFrame, isDetached, type NextFrame, type OutState } from './out-state.js';
import type { Reply } from './reply.js';
import type { RingWriter } from './ring.js';

/** Sends of several pieces bear it: a reactor sees by it when a process has died in the middle of one. */
export const OWN_MARK = markOf(process.pid);

/** Asking for room and closing must find a place although packets fill the ring. */
const RESERVED_FOR_REQUESTS = 4096;

/** So much room a frame with bytes for a client takes. */
export const neededFor = (bytes: number): number => frameBytes(bytes) + RESERVED_FOR_REQUESTS;

function wholeOf(reply: Reply): Buffer {
  const bytes = Buffer.allocUnsafe(reply.bytes);
  reply.writeTo(bytes, 0);
  return bytes;
}

/**
 * What waits of a reply. A send is one, however many parts it has. Where rooms are, so is an answer that a frame takes:
 * between two frames a reactor takes what other processes publish, which must not come behind the size of a chunk.
 */
export function keptOf(reply: Reply, ring: RingWriter, areRooms: boolean): (Uint8Array | string)[] {
  const isFrame = areRooms && reply.bytes <= Math.min(MAX_PAYLOAD, mostIn(ring));
  return isFrame || reply.type === Request.send ? [wholeOf(reply)] : reply.kept;
}

/**
 * What one frame to this connection may hold: an answer in one frame is copied once and leaves in one send(2). Never more
 * than the window allows, but for a piece of the usual length.
 */
export function longestFrame(ring: RingWriter, { window, unconfirmed }: OutState): number {
  const most = Math.max(MAX_PAYLOAD, Math.min((window >> 1) + MAX_PAYLOAD, window - unconfirmed));
  return Math.min(most, mostIn(ring));
}

/** What fits whenever half of the ring is free: that is what the reactor rings for. */
const mostIn = ({ size }: RingWriter): number => size / 2 - RESERVED_FOR_REQUESTS - frameBytes(0);

/**
 * Pieces of one answer, or whole sends, leave together: the size of a chunk, its bytes and the line behind them would
 * otherwise be a frame and a send(2) each.
 * @param mayJoin false: each item by itself, where what is published to rooms may come between any two
 */
export function nextFrame(state: OutState, most: number, mayJoin: boolean): NextFrame {
  const held = state.held ?? [];
  const [first] = held as [HeldData];
  const rest = first.data.length - first.at;
  if (rest > most) return { items: 1, bytes: most };
  // The rest of a send of several pieces is a frame with the mark of its sender.
  const isMarked = first.frame.type === Request.send && (state.keepsPlace || first.at > 0);
  let items = 1;
  let bytes = rest;
  for (let last = first; mayJoin && !isMarked; items++) {
    const next = held[items];
    if (next === undefined || !('data' in next) || isDetached(next) || !goesOnWith(last.frame, next.frame)) break;
    if (bytes + next.data.length > most) break;
    bytes += next.data.length;
    last = next;
  }
  return { items, bytes };
}

/** A frame of the one kind may bear what follows too. */
function goesOnWith(a: HeldFrame, b: HeldFrame): boolean {
  if (a === b) return true; // raw sends
  const isWhole = (a.flags & a.lastFlags) !== 0;
  return !isWhole && a.type === b.type && a.detail === b.detail && a.flags === (b.flags & ~b.lastFlags);
}

function encode(data: Uint8Array | string, from: number, end: number, target: Buffer, at: number): void {
  if (typeof data === 'string') writeLatin1(target, data.slice(from, end), at);
  else target.set(data.subarray(from, end), at);
}

/** Writes the next frame. The caller has checked the room. */
export function commitPiece(ring: RingWriter, state: OutState, { items, bytes }: NextFrame): void {
  const { keepsPlace, sessionId } = state;
  const held = (state.held ?? []) as readonly HeldData[];
  let at = ring.payloadAt;
  for (const { data, at: from } of held.slice(0, items - 1)) {
    encode(data, from, data.length, ring.bytes, at);
    at += data.length - from;
  }
  const { data, at: from, frame } = held[items - 1] as HeldData;
  const { type, flags, lastFlags, moreFlags, detail } = frame;
  const end = from + bytes - (at - ring.payloadAt);
  encode(data, from, end, ring.bytes, at);
  const isLast = end === data.length;
  const isPiece = type === Request.send && items === 1 && (keepsPlace || end - from < data.length);
  const more = keepsPlace || !isLast ? SendFlag.more : 0;
  if (isPiece) ring.commit(type, more, OWN_MARK, sessionId, bytes);
  else ring.commit(type, isLast ? flags : (flags & ~lastFlags) | moreFlags, detail, sessionId, bytes);
}
