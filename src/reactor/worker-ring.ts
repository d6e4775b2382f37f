/**
 * A reactor's link to one worker id: the ring of packets and events, whichever process reads it at the moment. It
 * outlives every process of that id. Runs in the reactor.
 */
import { Event, flagsOf, HEADER_BYTES, MAX_PAYLOAD, PieceFlag, typeOf, wordOf } from '../ipc/frame.js';
import type { RingWriter } from '../ipc/ring.js';
import type { Wakes } from '../ipc/sleep.js';
import { Fifo } from '../util/fifo.js';
import type { Connection } from './connection.js';
import { Hold } from './life.js';

/** Packets leave this much of the ring to events, so that a connect or close seldom has to wait. */
const RESERVED_FOR_EVENTS = 8192;
/** What one read takes at most: a packet of raw bytes is not longer. */
const MAX_READ = 65_536;
/** Below this much room reading stops: tiny pieces cost more than waiting. */
const MIN_READ = 4096;
const MAX_EVENT_BYTES = 512;
/** Unpublished packets are shown to the worker at this size, so that it works while the reactor still reads. */
const PUBLISH_AT = 16384;

export interface SpilledEvent {
  readonly type: number;
  readonly flags: number;
  readonly detail: number;
  readonly sessionId: number;
  readonly payload: Buffer;
}

const nothing = Buffer.alloc(0);

export class WorkerRing {
  readonly worker: number;
  readonly #ring: RingWriter;
  readonly #wakers: readonly Wakes[];
  readonly #currentLane: () => number;
  /** Events that found no room. Bounded by the number of connections: no packet is read while one waits here. */
  readonly #spill = new Fifo<SpilledEvent>();
  #stalled: Connection[] = [];
  /** A connection waits with a whole packet. */
  #half = false;

  /** @param currentLane which of the worker's lanes receives packets now */
  constructor(worker: number, ring: RingWriter, wakers: readonly Wakes[], currentLane: () => number) {
    this.worker = worker;
    this.#ring = ring;
    this.#wakers = wakers;
    this.#currentLane = currentLane;
  }

  /** How many bytes may be read for this worker now; 0 when it is behind. */
  get readLimit(): number {
    return this.#limitOf(MAX_READ);
  }

  /** The same for a protocol that reads its messages in place, with what is around them. */
  get messageLimit(): number {
    return this.#limitOf(MAX_PAYLOAD);
  }

  #limitOf(most: number): number {
    if (this.#spill.size > 0) return 0;
    const limit = this.#ring.room(most + HEADER_BYTES + RESERVED_FOR_EVENTS) - HEADER_BYTES - RESERVED_FOR_EVENTS;
    if (limit < MIN_READ) return 0;
    return limit < most ? limit & ~7 : most;
  }

  /** Where recv(2) puts the next packet. */
  get packetAddress(): number {
    return this.#ring.address + this.#ring.payloadAt;
  }

  commitPacket(sessionId: number, bytes: number): void {
    this.commit(Event.receive, 0, 0, sessionId, bytes);
  }

  /** Where the payload of the next frame goes, as an index into `bytes`. */
  get payloadAt(): number {
    return this.#ring.payloadAt;
  }

  get bytes(): Buffer {
    return this.#ring.bytes;
  }

  /** Writes two words at `payloadAt`. */
  putWords(first: number, second: number): void {
    this.#ring.putWords(first, second);
  }

  /** Closes the frame whose payload was written at `payloadAt`. */
  commit(type: number, flags: number, detail: number, sessionId: number, bytes: number): void {
    this.#ring.commit(type, flags, detail, sessionId, bytes);
    if (this.#ring.unpublishedBytes >= PUBLISH_AT) this.flush();
  }

  /** True when a frame of that size, and events behind it, find room. */
  hasRoomFor(bytes: number): boolean {
    return this.#hasRoom(bytes + HEADER_BYTES + 8 + RESERVED_FOR_EVENTS);
  }

  /** The ring in words, for who works on bytes in place. */
  get words(): Int32Array {
    return this.#ring.words;
  }

  /** The longest piece of a long packet. */
  get pieceBytes(): number {
    return this.#pieceBytes;
  }

  /** True when a packet of that length is written whole or not at all. */
  takesWhole(bytes: number): boolean {
    return this.#bytesNeeded(bytes) <= this.#ring.size / 2;
  }

  /** True when all pieces of a packet of that length, and events behind it, find room. */
  hasRoomForAll(bytes: number): boolean {
    return this.#hasRoom(this.#bytesNeeded(bytes));
  }

  /** The longest request that this ring takes as one frame. */
  get longestFrame(): number {
    return Math.min(MAX_PAYLOAD, this.#ring.size / 2 - RESERVED_FOR_EVENTS - HEADER_BYTES - 8);
  }

  /**
   * Writes a packet that lies elsewhere. A packet of up to half the ring is written whole or not at all; of a longer
   * one, as much as there is room for. @param sent how much of it was written before @returns how much is written now
   */
  writePacket(sessionId: number, bytes: Buffer, at: number, length: number, sent: number): number {
    const needed = this.#bytesNeeded(length);
    if (needed <= this.#ring.size / 2 && !this.#hasRoom(needed)) return 0;
    let done = sent;
    while (done < length) {
      const piece = Math.min(this.#pieceBytes, length - done);
      if (!this.hasRoomFor(piece)) return done;
      this.#writePiece(wordOf(Event.receive, pieceFlags(done, piece, length), 0), sessionId, bytes, at + done, piece);
      done += piece;
    }
    if (this.#ring.unpublishedBytes >= PUBLISH_AT) this.flush();
    return done;
  }

  /** Writes a frame without a connection. @returns false when there was no room: nothing is written */
  writeWhole(type: number, bytes: Buffer, length: number): boolean {
    if (!this.#hasRoom(this.#bytesNeeded(length))) return false;
    for (let done = 0; done < length; ) {
      const piece = Math.min(this.#pieceBytes, length - done);
      this.#writePiece(wordOf(type, pieceFlags(done, piece, length), 0), 0, bytes, done, piece);
      done += piece;
    }
    if (this.#ring.unpublishedBytes >= PUBLISH_AT) this.flush();
    return true;
  }

  /**
   * Writes of a frame without a connection as much as there is room for, in pieces.
   * @param sent how much of it was written before @returns how much is written now
   */
  writeOn(type: number, bytes: Buffer, sent: number): number {
    const { length } = bytes;
    let done = sent;
    while (done < length) {
      const piece = Math.min(this.#pieceBytes, length - done);
      if (!this.hasRoomFor(piece)) break;
      this.#writePiece(wordOf(type, pieceFlags(done, piece, length), 0), 0, bytes, done, piece);
      done += piece;
    }
    if (this.#ring.unpublishedBytes >= PUBLISH_AT) this.flush();
    return done;
  }

  /** @returns false: half of the ring is free; true: the worker rings when it is */
  waitsForRoom(): boolean {
    return this.#ring.waitForRoom() || this.#spill.size > 0;
  }

  sendEvent(type: number, flags: number, detail: number, sessionId: number, message = ''): void {
    const payload = message === '' ? nothing : Buffer.from(message).subarray(0, MAX_EVENT_BYTES);
    const event = { type, flags, detail, sessionId, payload };
    if (this.#spill.size > 0 || !this.#write(event)) this.#spill.push(event);
  }

  /** Events that wait for room, for the next process. */
  takeSpilled(): SpilledEvent[] {
    const events: SpilledEvent[] = [];
    for (let event = this.#spill.shift(); event !== undefined; event = this.#spill.shift()) events.push(event);
    return events;
  }

  spill(event: SpilledEvent): void {
    this.#spill.push(event);
  }

  /**
   * Position in the ring behind everything sent so far, to be asked with `isConsumed`. Spilled events count as unseen.
   */
  mark(): () => boolean {
    if (this.#spill.size > 0) return this.#markSpilled();
    const position = this.#ring.position;
    return () => this.#ring.isConsumed(position);
  }

  /** No room: the reactor resumes the connection when there is; with `half` only when half the ring is free. */
  stall(connection: Connection, half = false): void {
    this.#half ||= half;
    if (connection.hasNoRoom) return;
    connection.holds |= Hold.noRoom;
    this.#stalled.push(connection);
  }

  get isBehind(): boolean {
    return this.#stalled.length > 0 || this.#spill.size > 0;
  }

  /** Writes spilled events. @returns the connections that may be read again; empty while there is no room */
  takeRelieved(): readonly Connection[] {
    this.#writeSpilled();
    if ((this.#half || this.readLimit === 0) && this.#ring.waitForRoom()) return [];
    this.#writeSpilled();
    if (this.readLimit === 0) return this.takeRelieved(); // events fill it again, and the worker is to ring again
    this.#half = false;
    const relieved = this.#stalled;
    this.#stalled = [];
    for (const connection of relieved) connection.holds &= ~Hold.noRoom;
    return relieved;
  }

  /** Bytes the worker has not taken yet. */
  get queuedBytes(): number {
    return this.#ring.queuedBytes + this.#ring.unpublishedBytes;
  }

  /** A turn begins: no frame is half written. */
  beginTurn(): void {
    this.#ring.rewind();
  }

  /** Shows the worker what was written and wakes it if it sleeps. */
  flush(): void {
    if (this.#ring.publish()) this.#wakers[this.#currentLane()]?.wake();
  }

  /** After the reactor has read what a worker sent: the worker waits for room in its own ring. */
  ringBell(lane: number): void {
    this.#wakers[lane]?.ring();
  }

  get #pieceBytes(): number {
    return Math.min(MAX_PAYLOAD, this.#ring.size / 4);
  }

  #bytesNeeded(length: number): number {
    return length + Math.ceil(length / this.#pieceBytes) * (HEADER_BYTES + 8) + RESERVED_FOR_EVENTS;
  }

  #hasRoom(bytes: number): boolean {
    return this.#spill.size === 0 && this.#ring.room(bytes) >= bytes;
  }

  #writePiece(word: number, sessionId: number, bytes: Buffer, at: number, length: number): void {
    bytes.copy(this.#ring.bytes, this.#ring.payloadAt, at, at + length);
    this.#ring.commit(typeOf(word), flagsOf(word), 0, sessionId, length);
  }

  #write(event: SpilledEvent): boolean {
    const { payload } = event;
    const bytes = HEADER_BYTES + ((payload.length + 7) & ~7);
    if (this.#ring.room(bytes) < bytes) return false;
    payload.copy(this.#ring.bytes, this.#ring.payloadAt);
    this.#ring.commit(event.type, event.flags, event.detail, event.sessionId, payload.length);
    return true;
  }

  #writeSpilled(): void {
    for (let event = this.#spill.peek(); event !== undefined && this.#write(event); event = this.#spill.peek()) {
      this.#spill.shift();
    }
  }

  #markSpilled(): () => boolean {
    let position: number | undefined;
    return () => {
      if (this.#spill.size > 0) return false;
      position ??= this.#ring.position;
      return this.#ring.isConsumed(position);
    };
  }
}

/** @param done bytes of the packet that were sent before */
function pieceFlags(done: number, piece: number, length: number): number {
  return (done + piece < length ? PieceFlag.more : 0) | (done > 0 ? PieceFlag.continued : 0);
}
