/**
 * HTTP/1 on a listen port: one request of a connection is under way at a time, those behind it wait; so answers are in
 * order. HTTP/2 and upgrades become tunnels. Runs in the reactor.
 *
 * ```
 *             head (and a short body) whole            answer whole, taken by the client
 *  request ────────────────────────────────▶ owed ───────────────────────────────────────▶ request
 *     │  head whole, the body is long          ▲
 *     └────────────▶ streaming ────────────────┘ body whole        101, or HTTP/2 ───▶ another protocol: the tunnel
 * ```
 */
import { AnswerFlag, CloseCode, detailOf, flagsOf, JoinAs, Request, typeOf } from '../../../ipc/frame.js';
import { readFileRequest } from '../../../ipc/frames/file.js';
import type { Frame } from '../../../ipc/frames/frame.js';
import { REQUEST_PREFIX_BYTES, readTaken } from '../../../ipc/frames/http.js';
import type { Reply } from '../../../ipc/reply.js';
import { ReactorCounter } from '../../../memory/boards.js';
import { RequestHead } from '../../../protocol/http/head.js';
import type { Connection } from '../../connection.js';
import { type HttpOptions, SCRATCH_BYTES } from '../../context.js';
import { Input } from '../../input.js';
import { Life } from '../../life.js';
import { FilePart } from '../../out-queue.js';
import { FrameKind, type FrameTypes, type Protocol } from '../../protocol.js';
import type { Batch } from '../../publication.js';
import { READS_PER_TURN } from '../../reading.js';
import type { ProtocolDefinition, ProtocolParts, ProtocolPort } from '../definition.js';
import { Answers } from './answers.js';
import { Bodies } from './bodies.js';
import { Cursor } from './cursor.js';
import { Files } from './files.js';
import { type HttpRecord, HttpState, Phase, packHttp, unpackHttp } from './http-state.js';
import { Intake } from './intake.js';
import { Http1Parts, stateOf } from './parts.js';
import { rateCheckOf } from './rate-check.js';
import { RoomEvents } from './room-events.js';
import { stickyOf } from './sticky.js';
import { Times } from './times.js';
import { Uploads } from './uploads.js';

/** Who has sent nothing for so long sends nothing right now. */
const SOON_MS = 300;

/** While a reply is pending, the reactor reads at most this much behind the request, to see the client's end. */
const READ_AHEAD_BYTES = 65_536;

export class Http1 implements Protocol {
  readonly name = 'http1';
  readonly isBound = false;
  readonly frames: FrameTypes = [
    [Request.answer, FrameKind.bytes],
    [Request.answerFile, FrameKind.ordered],
    [Request.taken, FrameKind.urgent],
  ];
  readonly tickMs: number;
  readonly #parts: Http1Parts;
  readonly #answers: Answers;
  readonly #bodies: Bodies;
  readonly #uploads: Uploads;
  readonly #times: Times;
  readonly #intake: Intake;
  readonly #cursor: Cursor;
  readonly #roomEvents: RoomEvents;

  constructor(parts: ProtocolParts, port: ProtocolPort) {
    this.#parts = new Http1Parts(parts, port);
    this.#answers = new Answers(this.#parts, (connection, http, flags) =>
      this.#intake.upgraded(connection, http, flags),
    );
    this.#bodies = new Bodies(this.#parts, this.#answers);
    this.#uploads = new Uploads(this.#parts);
    this.#times = new Times(this.#parts, this.#answers, this.#uploads);
    this.#cursor = new Cursor(new RequestHead(headLimits(this.#parts.options)));
    this.#roomEvents = new RoomEvents(this.#parts);
    this.tickMs = this.#times.lookMs;
    this.#intake = new Intake({
      ...{ parts: this.#parts, answers: this.#answers, bodies: this.#bodies, uploads: this.#uploads },
      files: new Files(this.#parts, this.#answers),
      rate: rateCheckOf(this.#parts),
      sticky: stickyOf(this.#parts),
    });
  }

  open(connection: Connection): void {
    const http = new HttpState(this.#parts.context.now);
    http.isHttp2 = connection.secure?.alpn === 'h2';
    connection.state = http;
  }

  // ——— reading ———

  readable(connection: Connection): void {
    const http = stateOf(connection);
    if (http.isHttp2) return void this.#intake.openTunnel(connection, http);
    if (connection.input !== null) this.#goOn(connection, http);
    if (!connection.readable) return;
    for (let i = 0; i < READS_PER_TURN; i++) {
      if (!this.#mayReceive(connection, http) || !this.#receive(connection, http)) return;
    }
    this.#parts.reading.readSoon(connection);
  }

  #mayReceive(connection: Connection, http: HttpState): boolean {
    if (connection.isClosing || connection.holds !== 0 || connection.protocol !== this) return false;
    switch (http.phase) {
      case Phase.request:
        return !this.#uploads.waits(connection);
      case Phase.streaming:
        return http.credit > 0 && connection.input === null;
      default:
        return connection.life !== Life.answering && this.#mayReadAhead(connection, http);
    }
  }

  /** Enough has been read ahead, so reading does not show the client's end, which the kernel has reported. */
  #mayReadAhead(connection: Connection, http: HttpState): boolean {
    if (connection.input === null || connection.input.length < READ_AHEAD_BYTES) return true;
    if (connection.hangup && http.phase === Phase.owed) this.#answers.peerEnded(connection, http);
    return false;
  }

  /** @returns true when there may be more */
  #receive(connection: Connection, http: HttpState): boolean {
    const isUsual = http.phase === Phase.request && connection.input === null && !this.#intake.choosesByRequest;
    if (isUsual) return this.#receiveInPlace(connection, http);
    const { context, reading } = this.#parts;
    const { scratch, scratchAddress } = context;
    const n = connection.transport.receive(connection, scratch, 0, scratchAddress, SCRATCH_BYTES);
    if (n <= 0) return reading.endOfBytes(connection, n);
    reading.countReceived(connection, n);
    this.#take(connection, http, scratch, n);
    return !connection.isClosed && !reading.isDry(connection, n, SCRATCH_BYTES);
  }

  /**
   * The usual case: a whole request comes in one piece. The reactor reads it straight into its worker's ring, without a
   * copy.
   */
  #receiveInPlace(connection: Connection, http: HttpState): boolean {
    const { context, dispatcher, reading } = this.#parts;
    if (dispatcher.mustWait(connection)) return false;
    const ring = dispatcher.ringFor(connection);
    const room = ring.readLimit - REQUEST_PREFIX_BYTES;
    if (room <= 0) {
      reading.stall(connection, ring, true);
      return false;
    }
    const { bytes } = ring;
    const at = ring.payloadAt + REQUEST_PREFIX_BYTES;
    const n = connection.transport.receive(connection, bytes, at, ring.packetAddress + REQUEST_PREFIX_BYTES, room);
    if (n <= 0) return reading.endOfBytes(connection, n);
    reading.countReceived(connection, n);
    this.#cursor.begin(connection, http, bytes, at, at + n);
    const taken = this.#intake.takeInPlace(this.#cursor, ring);
    if (taken === 0) {
      bytes.copy(context.scratch, 0, at, at + n);
      this.#take(connection, http, context.scratch, n);
    } else if (taken < n && !connection.isClosing) {
      connection.input = new Input(bytes, at + taken, at + n);
      if (http.phase === Phase.request) this.#goOn(connection, http); // a file was the answer
    }
    return !connection.isClosed && !reading.isDry(connection, n, room);
  }

  #take(connection: Connection, http: HttpState, bytes: Buffer, count: number): void {
    if (connection.input !== null) {
      connection.input.append(bytes, count);
      return this.#goOn(connection, http);
    }
    const taken = this.#consume(connection, http, bytes, 0, count);
    if (taken < count && !connection.isClosing) connection.input = new Input(bytes, taken, count);
  }

  /** Continues with the stored input. */
  #goOn(connection: Connection, http: HttpState): void {
    const { input } = connection;
    if (input === null) return;
    input.from = this.#consume(connection, http, input.bytes, input.from, input.to);
    if (input.from >= input.to || connection.isClosing) connection.input = null;
  }

  /** @returns where it stopped: the rest has to wait */
  #consume(connection: Connection, http: HttpState, bytes: Buffer, from: number, to: number): number {
    let at = from;
    while (at < to && !connection.isClosing) {
      this.#cursor.begin(connection, http, bytes, at, to);
      const taken = this.#takeOne(http);
      if (taken === 0) break;
      at += taken;
    }
    return at;
  }

  #takeOne({ phase }: HttpState): number {
    if (phase === Phase.request) return this.#intake.take(this.#cursor);
    return phase === Phase.streaming ? this.#bodies.take(this.#cursor) : 0;
  }

  // ——— what workers send ———

  frame(connection: Connection, frame: Frame, peer: number): void {
    const type = typeOf(frame.word);
    const exchange = detailOf(frame.word);
    if (type === Request.taken) return this.#bodies.taken(connection, exchange, readTaken(frame));
    const isAwaited = this.#answers.isAwaited(connection, exchange, peer);
    if (type === Request.answer) this.#parts.count(isAwaited ? ReactorCounter.replies : ReactorCounter.discarded);
    if (!isAwaited) return;
    const http = stateOf(connection);
    const { sending, access } = this.#parts;
    if (type === Request.answerFile) {
      const { path, offset, bytes } = readFileRequest(frame);
      access?.sentBody(http, bytes);
      sending.writeFile(connection, new FilePart(path, offset, bytes));
    } else if (frame.length > 0) {
      const isInterim = (flagsOf(frame.word) & AnswerFlag.interim) !== 0;
      if (!isInterim) access?.sent(http, frame.bytes, frame.payloadAt, frame.length);
      sending.write(connection, frame.bytes, frame.payloadAt, frame.address + frame.payloadAt, frame.length);
    }
    this.#answers.answered(connection, flagsOf(frame.word), peer);
    this.#roomEvents.sendWaiting(connection, http);
  }

  reply(connection: Connection, answer: Reply, peer: number): boolean {
    if (!this.#answers.isAwaited(connection, answer.detail, peer)) {
      this.#parts.count(ReactorCounter.discarded);
      return true;
    }
    const http = stateOf(connection);
    if (!this.#answers.answerDirectly(connection, answer, peer)) return false;
    this.#parts.count(ReactorCounter.replies);
    this.#roomEvents.sendWaiting(connection, http);
    return true;
  }

  /** Only an answer under way that is a stream of events. */
  joins(connection: Connection, as: number): boolean {
    const http = stateOf(connection);
    if (as === JoinAs.frames || !http.isOwed || !http.begun) return false;
    http.joinedAs = as;
    return true;
  }

  publish(connection: Connection, batch: Batch): void {
    this.#roomEvents.publish(connection, stateOf(connection), batch);
  }

  flushed(connection: Connection): void {
    this.#answers.flushed(connection);
  }

  // ——— ends ———

  peerEnded(connection: Connection): void {
    this.#answers.peerEnded(connection, stateOf(connection));
  }

  lost(connection: Connection, code: number): void {
    this.#answers.lost(connection, code);
  }

  overdue(connection: Connection): void {
    this.#answers.overdue(connection);
  }

  closed(connection: Connection): void {
    this.#uploads.released(connection);
    this.#answers.lost(connection, CloseCode.SOCKET_ERROR);
  }

  isBusy(connection: Connection): boolean {
    return stateOf(connection).isOwed;
  }

  expectsRequest(connection: Connection): boolean {
    const { now, table } = this.#parts.context;
    return now - table.lastReceivedAt(connection.slot) < SOON_MS;
  }

  /** Longer bodies, and those of unknown length, are with a worker as soon as the head has come. */
  collectsBody(connection: Connection): boolean {
    return stateOf(connection).wanted > 0;
  }

  answeringWorker(connection: Connection): number {
    const { isOwed, worker } = stateOf(connection);
    return isOwed ? worker : -1;
  }

  dismiss(connection: Connection): void {
    this.#answers.dismiss(connection);
  }

  /** The head of an upload lies with a worker of this process, which no longer gets what follows. */
  canGoOver(connection: Connection): boolean {
    return stateOf(connection).phase !== Phase.streaming;
  }

  save(connection: Connection): HttpRecord {
    return packHttp(stateOf(connection));
  }

  restore(connection: Connection, saved: unknown): void {
    connection.state = unpackHttp(saved as HttpRecord);
    this.#answers.adopt(connection);
  }

  // ——— time ———

  turnEnd(): void {
    this.#uploads.readHeld();
  }

  tick(): void {
    for (const connection of this.#own()) this.#times.check(connection);
  }

  workerDied(): void {
    for (const connection of this.#own()) this.#answers.checkTaker(connection);
  }

  /** Of an answer that another process has begun: a part that was sent to the connection. The rest `workerDied` has answered. */
  sendsLost(connection: Connection): void {
    this.#answers.sendsLost(connection);
  }

  stop(): void {
    this.#uploads.stop();
  }

  #own(): Connection[] {
    return this.#parts.context.connections.list().filter(({ protocol }) => protocol === this);
  }
}

export const http1: ProtocolDefinition = {
  speaks: ({ options }) => options.http !== null,
  create: (parts, port) => new Http1(parts, port),
};

function headLimits({ requestLineLimit, headerLimit, headerCountLimit }: HttpOptions) {
  return {
    ...{ lineBytes: requestLineLimit, headerBytes: headerLimit, headerCount: headerCountLimit },
    passesExpectations: true,
  };
}
