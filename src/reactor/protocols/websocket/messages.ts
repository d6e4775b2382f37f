/**
 * Passes messages to the worker: unmasked, and texts checked, in its ring, where they lie. A message goes whole or not
 * at all; one that no half of the ring holds goes in pieces, as there is room. Runs in the reactor.
 */
import { isUtf8 } from 'node:buffer';
import { Event, MessageFlag, PieceFlag } from '../../../ipc/frame.js';
import { Opcode } from '../../../protocol/websocket/frame-header.js';
import { turned, unmask } from '../../../protocol/websocket/unmask.js';
import { unmaskCopy } from '../../../protocol/websocket/unmask-copy.js';
import { Utf8Check } from '../../../protocol/websocket/utf8.js';
import type { Connection } from '../../connection.js';
import type { WorkerRing } from '../../worker-ring.js';
import type { StreamParts } from '../definition.js';
import { stateOf } from './socket-state.js';

/** From here on SIMD is faster: in place, and where the bytes are copied anyway. */
const LONG_BYTES = 4096;
const SHORT_BYTES = 256;

/** A message of a client, where it was read. */
export interface Incoming {
  readonly bytes: Buffer;
  readonly at: number;
  readonly length: number;
  /** 0: it is not masked any more. */
  readonly mask: number;
  readonly isText: boolean;
  readonly isDeflated: boolean;
  /** False: its text was checked. */
  readonly isUnchecked: boolean;
}

/** What became of a message. */
export const Given = { whole: 0, noRoom: 1, notUtf8: 2 } as const;
export type Given = (typeof Given)[keyof typeof Given];

export class Messages {
  readonly #parts: StreamParts;

  constructor(parts: StreamParts) {
    this.#parts = parts;
  }

  /**
   * It was received into the ring at `at`, `lead` bytes behind the place of the next payload.
   * @returns false: it is no UTF-8, and was not given
   */
  giveInPlace(connection: Connection, ring: WorkerRing, lead: number, message: Incoming): boolean {
    const { bytes, at, length, mask, isText, isDeflated } = message;
    const isAscii =
      length < LONG_BYTES
        ? unmask(bytes, ring.words, at, length, mask)
        : unmaskCopy(bytes.subarray(at, at + length), bytes, at, mask);
    if (isText && !isDeflated && !isAscii && !isUtf8(bytes.subarray(at, at + length))) return false;
    ring.commit(Event.message, flagsOf(message, isAscii), lead, connection.sessionId, lead + length);
    this.#parts.dispatcher.requestDispatched(connection);
    return true;
  }

  give(connection: Connection, message: Incoming): Given {
    const ring = this.#parts.context.ring(connection.worker);
    if (ring.takesWhole(message.length) && message.length <= ring.pieceBytes)
      return this.#giveOne(connection, ring, message);
    return this.#giveInPieces(connection, ring, message);
  }

  #giveOne(connection: Connection, ring: WorkerRing, message: Incoming): Given {
    const { length, isUnchecked } = message;
    if (!ring.hasRoomFor(length)) return this.#stall(connection, ring);
    const to = ring.payloadAt;
    const isAscii = copyUnmasked(message, ring, to);
    if (isUnchecked && !isAscii && !isUtf8(ring.bytes.subarray(to, to + length))) return Given.notUtf8;
    ring.commit(Event.message, flagsOf(message, isAscii), 0, connection.sessionId, length);
    this.#parts.dispatcher.requestDispatched(connection);
    return Given.whole;
  }

  #giveInPieces(connection: Connection, ring: WorkerRing, message: Incoming): Given {
    const state = stateOf(connection);
    const { length, isUnchecked } = message;
    if (state.given === 0 && ring.takesWhole(length) && !ring.hasRoomForAll(length))
      return this.#stall(connection, ring);
    if (isUnchecked && state.utf8 === null) state.utf8 = checkOf(message, state.given);
    while (state.given < length) {
      const piece = Math.min(ring.pieceBytes, length - state.given);
      if (!ring.hasRoomFor(piece)) return this.#stall(connection, ring);
      if (!this.#givePiece(connection, ring, message, piece)) return Given.notUtf8;
    }
    state.given = 0;
    state.utf8 = null;
    this.#parts.dispatcher.requestDispatched(connection);
    return Given.whole;
  }

  #givePiece(connection: Connection, ring: WorkerRing, message: Incoming, piece: number): boolean {
    const state = stateOf(connection);
    const { given, utf8 } = state;
    const to = ring.payloadAt;
    message.bytes.copy(ring.bytes, to, message.at + given, message.at + given + piece);
    unmask(ring.bytes, ring.words, to, piece, turned(message.mask, given));
    const isLast = given + piece === message.length;
    if (utf8 !== null && (!utf8.push(ring.bytes, to, to + piece) || (isLast && !utf8.end()))) return false;
    const place = (isLast ? 0 : PieceFlag.more) | (given > 0 ? PieceFlag.continued : 0);
    ring.commit(Event.message, flagsOf(message, false) | place, 0, connection.sessionId, piece);
    state.given += piece;
    return true;
  }

  #stall(connection: Connection, ring: WorkerRing): Given {
    this.#parts.reading.stall(connection, ring, true);
    return Given.noRoom;
  }
}

/** What is not masked goes through it too: it says whether all is ASCII. */
function copyUnmasked({ bytes, at, length, mask }: Incoming, ring: WorkerRing, to: number): boolean {
  if (length >= SHORT_BYTES) return unmaskCopy(bytes.subarray(at, at + length), ring.bytes, to, mask);
  bytes.copy(ring.bytes, to, at, at + length);
  return unmask(ring.bytes, ring.words, to, length, mask);
}

/** For a message of which the preceding process has given the beginning. */
function checkOf({ bytes, at, mask }: Incoming, given: number): Utf8Check {
  const check = new Utf8Check();
  if (given === 0) return check;
  const begun = Buffer.allocUnsafeSlow(given);
  bytes.copy(begun, 0, at, at + given);
  unmask(begun, new Int32Array(begun.buffer, 0, given >> 2), 0, given, mask);
  check.push(begun, 0, given);
  return check;
}

function flagsOf({ isText, isDeflated }: Incoming, isAscii: boolean): number {
  if (isDeflated) return MessageFlag.deflated | (isText ? 0 : MessageFlag.binary);
  if (!isText) return MessageFlag.binary;
  return isAscii ? MessageFlag.ascii : 0;
}

export const isTextOf = (opcode: number): boolean => opcode === Opcode.text;
