/** Carries out what workers and other processes send for connections. Runs in the reactor. */

import { CloseFlag, detailOf, flagsOf, Request, SendFlag, typeOf } from '../ipc/frame.js';
import { readAccept } from '../ipc/frames/accept.js';
import { readFileRequest } from '../ipc/frames/file.js';
import type { Frame } from '../ipc/frames/frame.js';
import type { RingReader } from '../ipc/ring.js';
import { ReactorCounter, WorkerField } from '../memory/boards.js';
import { LANES_PER_WORKER, otherLaneOf, peerOf } from '../memory/layout.js';
import type { Region } from '../memory/region.js';
import { readUtf8 } from '../util/utf8.js';
import type { Admission } from './admission/admission.js';
import type { Connection } from './connection.js';
import { type ReactorContext, SCRATCH_BYTES, watcherOf } from './context.js';
import { DeferredCloses } from './deferred-closes.js';
import type { Ending } from './ending.js';
import type { InflightLimit } from './inflight-limit.js';
import { FilePart } from './out-queue.js';
import { FrameKind } from './protocol.js';
import type { Protocols } from './protocols/index.js';
import type { Reading } from './reading.js';
import type { RoomAnswers } from './room-answers.js';
import type { Rooms } from './rooms.js';
import type { Sending } from './sending.js';
import type { WaitingFrame } from './speech.js';
import { Speeches } from './speeches.js';

/** A process that may send to this reactor's connections. */
export interface ReactorSender {
  readonly ring: RingReader;
  /** −1: a sender that receives no events (task worker, user process, manager, master). */
  readonly worker: number;
  readonly peer: number;
  /** Wakes the process, which waits for room in its ring. */
  ringBell(): void;
  /** Only the accepting thread may hand over descriptors. */
  readonly mayAccept: boolean;
}

export interface RequestsParts {
  readonly context: ReactorContext;
  readonly region: Region;
  readonly senders: readonly ReactorSender[];
  readonly protocols: Protocols;
  readonly ending: Ending;
  readonly sending: Sending;
  readonly reading: Reading;
  readonly inflight: InflightLimit;
  readonly admission: Admission;
  readonly rooms: Rooms;
  readonly roomAnswers: RoomAnswers;
  /** A sender wrote a frame that cannot be read. */
  onBrokenSender(worker: number): void;
}

const nothing = Buffer.alloc(0);
const REQUESTS_PER_TURN = 1024;
/** More than a ring holds. */
const ALL = 2 ** 30;
/** Frames below this size for the same connection in a row leave in one send(2). */
const GATHER_LIMIT = 8192;
/** The bits of a frame's first word that parts of one reply have in common: type and detail. */
const SAME_REPLY = 0xffff00ff;

/** The reactor's own frames; those of protocols are in `Protocol.frames`. */
const kindOfOwn = new Uint8Array(256);
kindOfOwn[Request.send] = FrameKind.bytes;
for (const type of [Request.closed, Request.sendFile, Request.watchDrain]) kindOfOwn[type] = FrameKind.ordered;
for (const type of [Request.close, Request.closing, Request.pause, Request.resume, Request.readOn, Request.accept]) {
  kindOfOwn[type] = FrameKind.urgent;
}
for (const type of [Request.join, Request.leave]) kindOfOwn[type] = FrameKind.urgent;
kindOfOwn[Request.publish] = FrameKind.wide;
kindOfOwn[Request.ask] = FrameKind.wide;

/** Bytes for one client: a frame, or several in a row, where they lie. Used again. */
class Gathered implements Frame {
  word = 0;
  sessionId = 0;
  bytes: Buffer = nothing;
  address = 0;
  payloadAt = 0;
  length = 0;
}

export class Requests {
  readonly speeches: Speeches;
  readonly #parts: RequestsParts;
  readonly #closes = new DeferredCloses();
  readonly #reply = new Gathered();
  /** What a worker has sent goes before a frame of another process: see `takeOfItsWorker`. */
  #isTakingFirst = false;
  /** A reactor in a worker's thread may be asked to catch up at any time (BASE mode). */
  #isTaking = false;

  constructor(parts: RequestsParts) {
    const { context, ending } = parts;
    this.#parts = parts;
    this.speeches = new Speeches({ context, ending, play: (frame) => this.#play(frame) });
  }

  get areWaiting(): boolean {
    return this.#parts.senders.some(({ ring }) => ring.available());
  }

  /** True when there are frames of that worker, of the process that has its id or of the one before. */
  areWaitingOf(worker: number): boolean {
    const { senders } = this.#parts;
    for (let lane = 0; lane < LANES_PER_WORKER; lane++) {
      if (senders[peerOf(worker, lane)]?.ring.available() === true) return true;
    }
    return false;
  }

  /** @returns true when there is more than one turn's share, or they are being taken already */
  take(): boolean {
    if (this.#isTaking) return true;
    this.#isTaking = true;
    try {
      return this.#take();
    } finally {
      this.#isTaking = false;
    }
  }

  #take(): boolean {
    const isUnfinished = this.#takeAll();
    if (this.#closes.isEmpty) return isUnfinished;
    return this.#closes.settle(
      () => this.#takeAll(),
      ({ word, sessionId, peer }) => this.#carryOutClose(word, sessionId, peer),
    );
  }

  #takeAll(): boolean {
    let isUnfinished = false;
    for (const sender of this.#parts.senders) {
      if (sender.ring.available() && this.#takeFrom(sender)) isUnfinished = true;
    }
    this.#parts.rooms.flush();
    return isUnfinished;
  }

  #takeFrom(sender: ReactorSender): boolean {
    const { ring } = sender;
    let left = REQUESTS_PER_TURN;
    while (left > 0 && ring.available()) {
      this.#takeOfPredecessor(sender);
      left = this.#takeVisible(sender, left);
    }
    releaseRoom(sender);
    return left <= 0;
  }

  /**
   * A worker replies after the process that had its id before has let go: what that one has sent goes first. Called when
   * frames of the successor are visible, for then all earlier ones are.
   */
  #takeOfPredecessor({ worker, peer }: ReactorSender): void {
    if (worker < 0) return;
    const { context, senders } = this.#parts;
    const predecessor = senders[otherLaneOf(peer)];
    if (predecessor === undefined || peer !== peerOf(worker, context.workers.field(worker, WorkerField.lane))) return;
    if (!predecessor.ring.look()) return;
    this.#takeVisible(predecessor, ALL);
    releaseRoom(predecessor);
  }

  /** Takes the frames that were visible at the last look. @param most of them @returns how many more may be taken */
  #takeVisible(sender: ReactorSender, most: number): number {
    const { ring } = sender;
    for (let left = most; left > 0; left--) {
      if (!ring.isSound) {
        ring.discard();
        this.#parts.onBrokenSender(sender.worker);
        return left;
      }
      this.#takeOfItsWorker(ring.sessionId, sender);
      const type = typeOf(ring.word);
      // Most frames are sends: without the look-up a raw packet and its echo cost some 5 % less.
      if (type === Request.send || this.#kindOf(type) === FrameKind.bytes) this.#takeReply(ring, sender.peer);
      else {
        this.#takeRequest(ring, sender);
        ring.advance();
      }
      if (!ring.hasVisible) return left - 1;
    }
    return 0;
  }

  /**
   * A process that sends to a connection whose answer another worker owes has heard of it from that worker: what the worker
   * has sent goes first. Otherwise a message of a WebSocket could leave before the 101 that makes it one.
   */
  #takeOfItsWorker(sessionId: number, sender: ReactorSender): void {
    const connection = this.#parts.context.connectionOf(sessionId);
    const worker = connection?.protocol.answeringWorker?.(connection) ?? -1;
    if (worker < 0 || worker === sender.worker || this.#isTakingFirst) return;
    this.#isTakingFirst = true;
    for (let lane = 0; lane < LANES_PER_WORKER; lane++) this.#takeFirst(peerOf(worker, lane), sender);
    this.#isTakingFirst = false;
  }

  #takeFirst(peer: number, before: ReactorSender): void {
    const first = this.#parts.senders[peer];
    if (first === undefined || first === before || !first.ring.look()) return;
    this.#takeVisible(first, ALL);
    releaseRoom(first);
  }

  #kindOf(type: number): FrameKind {
    const own = kindOfOwn[type] ?? FrameKind.unknown;
    return own === FrameKind.unknown ? this.#parts.protocols.kindOf(type) : (own as FrameKind);
  }

  // ——— bytes for clients ———

  #takeReply(ring: RingReader, peer: number): void {
    const reply = this.#reply;
    this.#gather(ring, reply);
    const { rooms } = this.#parts;
    if (rooms.isPending) rooms.flush();
    const connection = this.#parts.context.connectionOf(reply.sessionId);
    if (connection !== undefined && this.speeches.holds(connection, peer)) {
      return this.speeches.wait(connection, peer, reply);
    }
    this.#carryOutReply(connection, reply, peer);
  }

  /** Takes one frame, and those behind it that are small parts of the same reply. */
  #gather(ring: RingReader, reply: Gathered): void {
    const { scratch, scratchAddress } = this.#parts.context;
    const { word } = ring;
    reply.word = word;
    reply.sessionId = ring.sessionId;
    reply.bytes = ring.bytes;
    reply.address = ring.address;
    reply.payloadAt = ring.payloadAt;
    reply.length = ring.length;
    ring.advance();
    if (reply.length >= GATHER_LIMIT || flagsOf(word) !== 0 || !this.#goesOn(ring, reply)) return;
    reply.bytes.copy(scratch, 0, reply.payloadAt, reply.payloadAt + reply.length);
    do {
      ring.bytes.copy(scratch, reply.length, ring.payloadAt, ring.payloadAt + ring.length);
      reply.word |= ring.word;
      reply.length += ring.length;
      ring.advance();
    } while (flagsOf(reply.word) === 0 && this.#goesOn(ring, reply));
    reply.bytes = scratch;
    reply.address = scratchAddress;
    reply.payloadAt = 0;
  }

  /** The next frame is another part of the same reply. Nothing is put behind a frame with flags: they tell what follows it. */
  #goesOn(ring: RingReader, { word, sessionId, length }: Gathered): boolean {
    return (
      ring.hasVisible &&
      ((ring.word ^ word) & SAME_REPLY) === 0 &&
      ring.sessionId === sessionId &&
      ring.isSound &&
      ring.length <= SCRATCH_BYTES - length
    );
  }

  #carryOutReply(connection: Connection | undefined, reply: Frame, peer: number): void {
    const { id, board } = this.#parts.context;
    if (connection === undefined || connection.isClosing) return board.add(id, ReactorCounter.discarded, 1);
    if (typeOf(reply.word) !== Request.send) return connection.protocol.frame(connection, reply, peer);
    const { word, bytes, address, payloadAt, length } = reply;
    board.add(id, ReactorCounter.replies, 1);
    if (length > 0) this.#parts.sending.write(connection, bytes, payloadAt, address + payloadAt, length);
    const isPart = (flagsOf(word) & SendFlag.more) !== 0;
    if (isPart || connection.speech !== null) this.speeches.spoke(connection, peer, detailOf(word), isPart);
  }

  // ——— what is to be done with connections ———

  #takeRequest(frame: Frame, sender: ReactorSender): void {
    const { word, sessionId } = frame;
    const type = typeOf(word);
    const kind = this.#kindOf(type);
    const arrival = type === Request.accept && sender.mayAccept ? readAccept(frame) : undefined;
    if (arrival !== undefined) return this.#parts.admission.accept(arrival);
    if (kind === FrameKind.wide) return this.#takeWide(frame, sender);
    if (kind === FrameKind.unknown || type === Request.accept) return this.#parts.onBrokenSender(sender.worker);
    const connection = this.#parts.context.connectionOf(sessionId);
    if (connection === undefined) return this.#forGone(type, sessionId, sender);
    const { rooms } = this.#parts;
    if (rooms.isPending) rooms.flush();
    if (kind === FrameKind.ordered && this.speeches.holds(connection, sender.peer)) {
      return this.speeches.wait(connection, sender.peer, frame);
    }
    this.#carryOut(connection, frame, sender);
  }

  #takeWide(frame: Frame, { peer, worker }: ReactorSender): void {
    const { rooms, roomAnswers } = this.#parts;
    if (typeOf(frame.word) === Request.ask) roomAnswers.ask(frame, worker);
    else rooms.take(frame, flagsOf(frame.word), peer);
  }

  #carryOut(connection: Connection, frame: Frame, sender: ReactorSender): void {
    const { ending, reading, sending, inflight } = this.#parts;
    switch (typeOf(frame.word)) {
      case Request.close:
        return this.#close(connection, frame.word, sender.peer);
      case Request.closing:
        return ending.announceClose(connection);
      case Request.closed:
        return ending.answered(connection);
      case Request.pause:
        return reading.setPaused(connection, true);
      case Request.resume:
        return reading.setPaused(connection, false);
      case Request.readOn:
        inflight.release(connection);
        return reading.readIfHasMore(connection);
      case Request.join:
        return this.#join(connection, frame);
      case Request.leave:
        return this.#parts.rooms.leave(connection, textOf(frame));
      case Request.sendFile:
        return this.#sendFile(connection, frame);
      case Request.watchDrain:
        return sending.watchDrain(connection, watcherOf(sender.worker, sender.peer));
      default:
        if (!connection.isClosing) connection.protocol.frame(connection, frame, sender.peer);
    }
  }

  /** A connection that is gone has room for everything: the process that asks drops what it holds for it. */
  #forGone(type: number, sessionId: number, { worker, peer }: ReactorSender): void {
    if (type === Request.watchDrain) this.#parts.context.notifyRoom(watcherOf(worker, peer), sessionId);
  }

  #join(connection: Connection, frame: Frame): void {
    const { publish, joins } = connection.protocol;
    if (publish === undefined || joins?.call(connection.protocol, connection, detailOf(frame.word)) === false) return;
    this.#parts.rooms.join(connection, textOf(frame));
  }

  #sendFile(connection: Connection, frame: Frame): void {
    if (connection.isClosing) return;
    const { path, offset, bytes } = readFileRequest(frame);
    this.#parts.sending.writeFile(connection, new FilePart(path, offset, bytes));
  }

  #close(connection: Connection, word: number, peer: number): void {
    if (flagsOf(word) & CloseFlag.reset) this.#parts.ending.reset(connection, detailOf(word));
    else this.#closes.add({ word, sessionId: connection.sessionId, peer });
  }

  #carryOutClose(word: number, sessionId: number, peer: number): void {
    const connection = this.#parts.context.connectionOf(sessionId);
    if (connection === undefined) return;
    if (!this.speeches.holds(connection, peer)) {
      return this.#parts.ending.closeWhenFlushed(connection, detailOf(word));
    }
    this.speeches.wait(connection, peer, { word, sessionId, bytes: nothing, address: 0, payloadAt: 0, length: 0 });
  }

  /** Carries out a frame that waited until another process's send was whole. */
  #play(frame: WaitingFrame): void {
    const { word, sessionId, peer } = frame;
    const sender = this.#parts.senders[peer];
    if (sender === undefined) return;
    if (typeOf(word) === Request.close) return this.#carryOutClose(word, sessionId, peer);
    if (this.#kindOf(typeOf(word)) !== FrameKind.bytes) return this.#takeRequest(frame, sender);
    this.#carryOutReply(this.#parts.context.connectionOf(sessionId), frame, peer);
  }
}

function textOf({ bytes, payloadAt, length }: Frame): string {
  return readUtf8(bytes, payloadAt, payloadAt + length);
}

function releaseRoom({ ring, ringBell }: ReactorSender): void {
  ring.release();
  if (ring.writerWantsBell()) ringBell();
}
