/**
 * WebSocket (RFC 6455) on a connection that an HTTP upgrade has made one. All its state lies here: so it outlives every
 * process of its worker. Frames are read where they will lie: a whole message that comes in one read is unmasked in the
 * ring of its worker and not copied. Runs in the reactor.
 *
 * ```
 *  open ──── Close frame, or a broken rule ────▶ its worker has sent what it has ──▶ Close frame out ──▶ closing (life.ts)
 *    └────── disconnect() of a process ──────────────────────────────────────────────────▲
 * ```
 */

import { CloseCode, detailOf, Request, typeOf } from '../../../ipc/frame.js';
import type { Frame } from '../../../ipc/frames/frame.js';
import { ReactorCounter } from '../../../memory/boards.js';
import { SlotFlag } from '../../../memory/connection-table.js';
import { addressOf, allocateStable } from '../../../os/libc.js';
import { readClosePayload } from '../../../protocol/websocket/close-codes.js';
import { FrameHeader, Opcode } from '../../../protocol/websocket/frame-header.js';
import { maskAt, unmask } from '../../../protocol/websocket/unmask.js';
import { readUtf8 } from '../../../util/utf8.js';
import type { Connection } from '../../connection.js';
import { type PortOptions, SCRATCH_BYTES, type WebSocketLimits } from '../../context.js';
import { Input } from '../../input.js';
import { Life } from '../../life.js';
import { FrameKind, type FrameTypes, type Protocol } from '../../protocol.js';
import type { Batch } from '../../publication.js';
import { READS_PER_TURN } from '../../reading.js';
import type { Rooms } from '../../rooms.js';
import type { WorkerRing } from '../../worker-ring.js';
import type { StreamParts } from '../definition.js';
import { Closing } from './closing.js';
import { Given, isTextOf, Messages } from './messages.js';
import { Pings, tickMsFor } from './pings.js';
import { RoomQueue, type SavedLatest } from './room-queue.js';
import { Assembly, packSocket, type SocketRecord, SocketState, stateOf, unpackSocket } from './socket-state.js';
import { Spaces } from './spaces.js';

/** Behind the six bytes of a short frame's header its payload lies at a multiple of 8. */
const LEAD = 2;
const FIN = 0x80;
/** It has ended without a Close frame (RFC 6455 7.1.5). */
const ABNORMAL = 1006;
const MOST_CONTROL_BYTES = 125;

export class WebSockets implements Protocol {
  readonly name = 'websocket';
  readonly isBound = false;
  readonly frames: FrameTypes = [
    [Request.disconnect, FrameKind.ordered],
    [Request.ping, FrameKind.ordered],
  ];
  readonly tickMs: number;
  readonly #parts: StreamParts;
  readonly #rooms: Rooms;
  readonly #messages: Messages;
  readonly #closing: Closing;
  readonly #pings: Pings;
  readonly #queue: RoomQueue;
  readonly #header = new FrameHeader();
  readonly #spaces = new Spaces();
  /** Length of the frame at the front, where a part of it has come; 0: it is whole, or its length is not known. */
  #missing = 0;
  /** Control frames are built here. */
  readonly #control = allocateStable(2 + MOST_CONTROL_BYTES);
  readonly #controlAddress = addressOf(this.#control);
  readonly #controlWords = new Int32Array(this.#control.buffer, 0, this.#control.buffer.byteLength >> 2);
  /** A pong of theirs waits until a send in pieces is whole. */
  readonly #owing = new Set<Connection>();

  constructor(parts: StreamParts) {
    this.#parts = parts;
    this.tickMs = tickMsFor(parts.context.options.ports.map(({ webSocket }) => webSocket?.pingIntervalMs ?? 0));
    this.#rooms = parts.rooms;
    this.#messages = new Messages(parts);
    this.#closing = new Closing(parts, (connection) => this.#sendOwed(connection));
    this.#pings = new Pings(parts, (connection) => this.#sendControl(connection, Opcode.ping, 0));
    this.#queue = new RoomQueue(parts);
  }

  open(): void {}

  /** From here on the connection speaks WebSocket. */
  begin(connection: Connection, deflate: boolean): void {
    connection.protocol = this;
    connection.state = new SocketState(deflate);
    const { table, board, id } = this.#parts.context;
    table.setFlag(connection.slot, SlotFlag.webSocket, true);
    table.setFlag(connection.slot, SlotFlag.deflate, deflate);
    board.add(id, ReactorCounter.webSockets, 1);
  }

  // ——— reading ———

  readable(connection: Connection): void {
    const state = stateOf(connection);
    if (state.endCode >= 0) return; // nothing counts behind a close
    const { context, dispatcher } = this.#parts;
    if (!dispatcher.mayGiveTo(connection) || !this.#goOn(connection, state)) return;
    for (let i = 0; i < READS_PER_TURN; i++) if (!this.#receive(connection, state)) return;
    context.again.push(connection);
  }

  /** @returns true when there may be more */
  #receive(connection: Connection, state: SocketState): boolean {
    const { context, reading } = this.#parts;
    const ring = context.ring(connection.worker);
    const room = ring.messageLimit - LEAD;
    if (room <= 0) {
      reading.stall(connection, ring, false);
      return false;
    }
    if (connection.input !== null) return this.#receiveMore(connection, state, connection.input);
    const at = ring.payloadAt + LEAD;
    const n = connection.transport.receive(connection, ring.bytes, at, ring.packetAddress + LEAD, room);
    if (n <= 0) return reading.endOfBytes(connection, n);
    reading.countReceived(connection, n);
    this.#takeInPlace(connection, state, ring, n);
    return this.#mayReadOn(connection, state) && !reading.isDry(connection, n, room);
  }

  /** Behind what is not whole yet. */
  #receiveMore(connection: Connection, state: SocketState, input: Input): boolean {
    const { context, reading } = this.#parts;
    const { scratch, scratchAddress } = context;
    const n = connection.transport.receive(connection, scratch, 0, scratchAddress, SCRATCH_BYTES);
    if (n <= 0) return reading.endOfBytes(connection, n);
    reading.countReceived(connection, n);
    input.append(scratch, n);
    this.#goOn(connection, state);
    return this.#mayReadOn(connection, state) && !reading.isDry(connection, n, SCRATCH_BYTES);
  }

  #mayReadOn({ holds, isClosed }: Connection, { endCode }: SocketState): boolean {
    return endCode < 0 && holds === 0 && !isClosed;
  }

  /** The usual case: one message comes whole in one read, and needs no copy. */
  #takeInPlace(connection: Connection, state: SocketState, ring: WorkerRing, n: number): void {
    const { bytes } = ring;
    const at = ring.payloadAt + LEAD;
    const header = this.#header;
    header.allowsCompression = state.deflate;
    const { scratch } = this.#parts.context;
    const isOne = state.assembly === null && header.parse(bytes, at, at + n) === 1 && this.#isMessage(header);
    const total = header.headerBytes + header.length;
    if (!isOne || total > n || header.length > this.#limitsOf(connection).maxMessageBytes) {
      bytes.copy(scratch, 0, at, at + n);
      return this.#take(connection, state, scratch, n);
    }
    const { opcode, headerBytes, length, isCompressed: isDeflated } = header;
    const rest = n - total;
    if (rest > 0) bytes.copy(scratch, 0, at + total, at + n);
    const from = at + headerBytes;
    const mask = maskAt(bytes, from - 4);
    const isText = isTextOf(opcode);
    const message = { bytes, at: from, length, mask, isText, isDeflated, isUnchecked: isText && !isDeflated };
    if (!this.#messages.giveInPlace(connection, ring, LEAD + headerBytes, message)) return this.#notUtf8(connection);
    this.#counted();
    if (rest > 0) this.#take(connection, state, scratch, rest);
  }

  #isMessage({ opcode, isFinal }: FrameHeader): boolean {
    return isFinal && (opcode === Opcode.text || opcode === Opcode.binary);
  }

  #take(connection: Connection, state: SocketState, bytes: Buffer, count: number): void {
    const taken = this.#consume(connection, state, bytes, 0, count);
    if (taken >= count || state.endCode >= 0 || connection.isClosing) return;
    connection.input = new Input(bytes, taken, count, this.#spaces.forFrame(this.#missing));
  }

  /** Continues with what is stored. @returns false: nothing more is read now */
  #goOn(connection: Connection, state: SocketState): boolean {
    if (state.assembly?.isWhole && !this.#giveAssembled(connection, state)) return false;
    const { input } = connection;
    if (input === null) return state.endCode < 0;
    input.from = this.#consume(connection, state, input.bytes, input.from, input.to);
    if (input.from >= input.to && connection.input === input) {
      connection.input = null;
      this.#spaces.giveBack(input.bytes);
    }
    return !connection.hasNoRoom && state.endCode < 0 && !connection.isClosing;
  }

  /** Takes whole frames. @returns where it stopped: the rest has to wait */
  #consume(connection: Connection, state: SocketState, bytes: Buffer, from: number, to: number): number {
    const header = this.#header;
    let at = from;
    this.#missing = 0;
    while (at < to && this.#mayTake(connection, state)) {
      header.allowsCompression = state.deflate;
      const found = header.parse(bytes, at, to);
      if (found < 0) {
        this.#closing.refuse(connection, -found, header.why);
        break;
      }
      if (found === 0 || !this.#isAllowed(connection, state)) break;
      const { headerBytes, length } = header;
      this.#missing = at + headerBytes + length > to ? headerBytes + length : 0;
      if (this.#missing > 0 || !this.#takeFrame(connection, state, bytes, at + headerBytes)) break;
      at += headerBytes + length;
    }
    return at;
  }

  /** A message whose last fragment has come goes first. */
  #mayTake({ isClosing }: Connection, { endCode, assembly }: SocketState): boolean {
    return endCode < 0 && !isClosing && assembly?.isWhole !== true;
  }

  /** Before a byte of its payload is kept: the order of frames, and the limit. */
  #isAllowed(connection: Connection, state: SocketState): boolean {
    const { opcode, length } = this.#header;
    if (opcode >= Opcode.close) return true;
    const { assembly } = state;
    if ((opcode === Opcode.continuation) !== (assembly !== null)) {
      const why = assembly === null ? 'a continuation without a beginning' : 'a new message inside of another';
      this.#closing.refuse(connection, 1002, why);
      return false;
    }
    const { maxMessageBytes } = this.#limitsOf(connection);
    if (length + (assembly?.length ?? 0) <= maxMessageBytes) return true;
    this.#closing.refuse(connection, 1009, `a message has more than ${maxMessageBytes} bytes`);
    return false;
  }

  /** @param at of its payload @returns false: it waits for room */
  #takeFrame(connection: Connection, state: SocketState, bytes: Buffer, at: number): boolean {
    const { opcode, length, isCompressed: isDeflated, isFinal } = this.#header;
    const mask = maskAt(bytes, at - 4);
    if (opcode >= Opcode.close) {
      this.#takeControl(connection, state, bytes, at);
      return true;
    }
    if (!isFinal || state.assembly !== null) return this.#takeFragment(connection, state, bytes, at);
    const isText = isTextOf(opcode);
    const message = { bytes, at, length, mask, isText, isDeflated, isUnchecked: isText && !isDeflated };
    const given = this.#messages.give(connection, message);
    if (given === Given.notUtf8) this.#notUtf8(connection);
    else if (given === Given.whole) this.#counted();
    return given === Given.whole;
  }

  /** @returns true: the frame is taken, whether its message found room or not */
  #takeFragment(connection: Connection, state: SocketState, bytes: Buffer, at: number): boolean {
    const { opcode, length, isFinal, isCompressed } = this.#header;
    state.assembly ??= new Assembly(opcode, isCompressed, isTextOf(opcode));
    const { assembly } = state;
    const isSound = assembly.add(bytes, at, length, maskAt(bytes, at - 4));
    if (!isSound || (isFinal && assembly.utf8?.end() === false)) {
      this.#notUtf8(connection);
      return false;
    }
    this.#keeps(connection, assembly.length);
    assembly.isWhole = isFinal;
    if (isFinal) this.#giveAssembled(connection, state);
    return true;
  }

  /** @returns false: it waits for room */
  #giveAssembled(connection: Connection, state: SocketState): boolean {
    const { assembly } = state;
    if (assembly === null) return true;
    const { opcode, isDeflated, bytes, length } = assembly;
    const isText = isTextOf(opcode);
    const message = { bytes, at: 0, length, mask: 0, isText, isDeflated, isUnchecked: false };
    if (this.#messages.give(connection, message) !== Given.whole) return false;
    state.assembly = null;
    this.#keeps(connection, 0);
    this.#counted();
    return true;
  }

  /** Fragments count as bytes that the server holds. */
  #keeps(connection: Connection, bytes: number): void {
    connection.kept = bytes;
    this.#parts.context.countBuffered(connection);
  }

  #notUtf8(connection: Connection): void {
    this.#closing.refuse(connection, 1007, 'a text is not UTF-8');
  }

  #counted(): void {
    const { board, id } = this.#parts.context;
    board.add(id, ReactorCounter.messages, 1);
  }

  #limitsOf({ port }: Connection): WebSocketLimits {
    const { webSocket } = this.#parts.context.options.ports[port] as PortOptions;
    return webSocket ?? NO_LIMITS;
  }

  // ——— control frames ———

  #takeControl(connection: Connection, state: SocketState, bytes: Buffer, at: number): void {
    const { opcode, length } = this.#header;
    const control = this.#control;
    bytes.copy(control, 2, at, at + length);
    unmask(control, this.#controlWords, 2, length, maskAt(bytes, at - 4));
    if (opcode === Opcode.pong) state.pings = 0;
    else if (opcode === Opcode.ping) this.#pong(connection, state, length);
    else this.#takeClose(connection, length);
  }

  #takeClose(connection: Connection, length: number): void {
    const close = readClosePayload(this.#control, 2, length);
    if ('refuse' in close) this.#closing.refuse(connection, close.refuse, close.why);
    else this.#closing.clientCloses(connection, close.code, close.reason);
  }

  /** Its payload lies in `control`. Of several pings only the last has to be answered (RFC 6455 5.5.3). */
  #pong(connection: Connection, state: SocketState, length: number): void {
    if (connection.speech === null && connection.out === null)
      return this.#sendControl(connection, Opcode.pong, length);
    state.owedPong = Buffer.from(this.#control.subarray(2, 2 + length));
    this.#owing.add(connection);
  }

  #payOwed(connection: Connection): void {
    if (connection.speech === null && connection.out === null) this.#sendOwed(connection);
  }

  /** Before the Close frame at the latest: the ping came before that of the client (RFC 6455 5.5.2). */
  #sendOwed(connection: Connection): void {
    const state = stateOf(connection);
    const { owedPong } = state;
    this.#owing.delete(connection);
    state.owedPong = null;
    if (owedPong === null || connection.isClosing) return;
    owedPong.copy(this.#control, 2);
    this.#sendControl(connection, Opcode.pong, owedPong.length);
  }

  /** Not in the middle of a send in pieces. @param length of the payload in `control` */
  #sendControl(connection: Connection, opcode: number, length: number): void {
    if (connection.speech !== null || connection.isClosing) return;
    this.#control[0] = FIN | opcode;
    this.#control[1] = length;
    this.#parts.sending.write(connection, this.#control, 0, this.#controlAddress, 2 + length);
  }

  // ——— what processes send ———

  frame(connection: Connection, frame: Frame): void {
    const { word, bytes, payloadAt, length } = frame;
    switch (typeOf(word)) {
      case Request.disconnect:
        return this.#closing.disconnect(connection, detailOf(word), readUtf8(bytes, payloadAt, payloadAt + length));
      case Request.ping: {
        const count = bytes.copy(this.#control, 2, payloadAt, payloadAt + Math.min(length, MOST_CONTROL_BYTES));
        return this.#sendControl(connection, Opcode.ping, count);
      }
    }
  }

  publish(connection: Connection, batch: Batch): void {
    const state = stateOf(connection);
    if (state.endCode < 0 && !connection.isClosing)
      this.#queue.publish(connection, state, batch, this.#limitsOf(connection));
  }

  flushed(connection: Connection): void {
    if (stateOf(connection).owedPong !== null) this.#payOwed(connection);
    this.#queue.flushed(connection);
  }

  // ——— ends ———

  peerEnded(connection: Connection): void {
    connection.readable = false;
    if (connection.life === Life.answering) this.#closing.abandoned(connection);
    else this.#parts.ending.peerEnded(connection);
  }

  lost(connection: Connection, code: number): void {
    this.#closing.lost(connection, code);
  }

  overdue(connection: Connection): void {
    this.#parts.ending.closeWhenFlushed(connection, CloseCode.ANSWER_TIMEOUT);
  }

  closed(connection: Connection): void {
    this.#closing.forget(connection);
    this.#owing.delete(connection);
    this.#queue.forget(connection);
    connection.kept = 0;
    const { board, id } = this.#parts.context;
    const { endCode } = stateOf(connection);
    board.add(id, ReactorCounter.webSockets, -1);
    board.countClose(id, endCode < 0 ? ABNORMAL : endCode);
  }

  isBusy(): boolean {
    return false;
  }

  /** It cannot go to the next process: the client is told to come again. */
  dismiss(connection: Connection): void {
    this.#closing.dismiss(connection);
  }

  beforeClose(connection: Connection): void {
    this.#closing.beforeClose(connection);
  }

  save(connection: Connection): SavedSocket {
    const socket = packSocket(stateOf(connection), this.#rooms.namesOf(connection));
    return { ...socket, latest: this.#queue.save(connection) };
  }

  restore(connection: Connection, saved: unknown): void {
    const { latest, ...record } = saved as SavedSocket;
    const state = unpackSocket(record);
    connection.state = state;
    connection.kept = state.assembly?.length ?? 0;
    if (state.owedPong !== null) this.#owing.add(connection);
    for (const name of record.rooms) this.#rooms.join(connection, name);
    if (latest !== undefined) this.#queue.restore(connection, latest);
    this.#closing.adopt(connection);
  }

  // ——— time ———

  turnEnd(): void {
    for (const connection of this.#owing) this.#payOwed(connection);
    this.#queue.turnEnd();
  }

  tick(): void {
    this.#closing.check();
    for (const connection of this.#parts.context.connections.list()) {
      if (connection.protocol === this) this.#pings.check(connection, this.#limitsOf(connection));
    }
  }

  /** Nothing of it belongs to one process. */
  workerDied(): void {}

  /** Messages are missing; those that have come are whole. */
  sendsLost(connection: Connection): void {
    this.#parts.ending.closeWhenFlushed(connection, CloseCode.WORKER_DIED);
  }

  stop(): void {}
}

interface SavedSocket extends SocketRecord {
  readonly latest?: SavedLatest | undefined;
}

/** Of a port whose HTTP app has answered an upgrade of its own as one of the server: not to be. */
const NO_LIMITS: WebSocketLimits = {
  ...{ maxMessageBytes: 1 << 20, pingIntervalMs: 0, slowConsumer: 'close', roomHighWatermark: 1 << 20 },
};
