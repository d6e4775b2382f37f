/**
 * HTTP on the connections of a reactor: finds requests in what clients send, refuses what is none, gives each to a worker
 * and sees to it that every request is answered, once and in order: one request of a connection is under way at a time,
 * those behind it wait. Runs in the reactor.
 *
 * ```
 *             head (and a short body) whole            answer whole, taken by the client
 *  request ────────────────────────────────▶ owed ───────────────────────────────────────▶ request
 *     │  head whole, the body is long          ▲
 *     └────────────▶ streaming ────────────────┘ body whole            101, or HTTP/2 ───▶ tunnel
 * ```
 */
import { STATUS_CODES } from 'node:http';
import {
  AnswerFlag,
  BodyFlag,
  CloseCode,
  Event,
  GoneFlag,
  REQUEST_PREFIX_BYTES,
  RequestBit,
  RequestFlag,
} from '../../ipc/frame.js';
import { ReactorCounter, WorkerField } from '../../memory/boards.js';
import { addressOf, allocateStable, EAGAIN, EINTR } from '../../os/libc.js';
import { receive } from '../../os/socket.js';
import { ChunkedDecoder, type ChunkedLimits } from '../../protocol/http/chunked.js';
import { httpDate } from '../../protocol/http/date.js';
import { parseFields } from '../../protocol/http/fields.js';
import type { FileAnswer } from '../../protocol/http/file-answer.js';
import { RequestHead } from '../../protocol/http/head.js';
import { methods } from '../../protocol/http/methods.js';
import { CONTINUE, type PlainAnswer, plainAnswer } from '../../protocol/http/plain-answer.js';
import { StaticFiles } from '../../protocol/http/static-files.js';
import { readLatin1, writeLatin1 } from '../../util/latin1.js';
import type { ReactorConnection } from '../connection.js';
import { type HttpOptions, type ReactorContext, SCRATCH_BYTES } from '../context.js';
import type { Ending } from '../ending.js';
import type { PacketGoal } from '../framing.js';
import { Input } from '../input.js';
import { FilePart } from '../out-queue.js';
import type { Sending } from '../sending.js';
import type { TlsStream } from '../tls/tls-stream.js';
import type { WorkerLane } from '../worker-lane.js';
import { BODY_WINDOW, HttpState, Phase } from './http-state.js';

export interface HttpHost {
  /** The worker that gets the next request, by the dispatch mode. */
  laneFor(connection: ReactorConnection): WorkerLane;
  /** The user's own function decides, by the request. Undefined: there is none. */
  readonly laneForRequest:
    | ((connection: ReactorConnection, bytes: Buffer, from: number, length: number) => PacketGoal)
    | undefined;
  /** Its worker is about to go: nothing of it may be given out now. */
  holds(connection: ReactorConnection): boolean;
  /** It is read on when the worker has room. */
  stall(connection: ReactorConnection, lane: WorkerLane): void;
  /** All that the kernel had was read. */
  readDry(connection: ReactorConnection): void;
  countReceived(connection: ReactorConnection, bytes: number): void;
  countDispatched(): void;
  /** The connection belongs to another worker from now on. */
  rebind(connection: ReactorConnection, worker: number): void;
  refused(connection: ReactorConnection, code: number, message: string): void;
}

const READS_PER_TURN = 4;
/** Nothing was taken, but the same bytes are to be looked at in another light. */
const AGAIN = -1;
/** While an answer is owed so much of what comes behind the request is read, to see the client's end. */
const READ_AHEAD_BYTES = 65_536;
const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
const FIRST_OF_PREFACE = 0x50;
const CHUNK_EXTENSION_BYTES = 4096;
const HEAD = methods.indexOf('HEAD');
/** What the server says by itself is shorter. */
const TEXT_BYTES = 32_768;
/** Uploads that wait for a worker look again after so long. */
const HELD_LOOK_MS = 20;
/** A client that was told to come later. */
const RETRY_SECONDS = 1;

export class Http {
  readonly #context: ReactorContext;
  readonly #ending: Ending;
  readonly #sending: Sending;
  readonly #host: HttpHost;
  readonly #heads: (RequestHead | undefined)[];
  /** By listen port; undefined where no files are served. */
  readonly #statics: (StaticFiles | undefined)[];
  /** Owed answers of this reactor. */
  #underWay = 0;
  /** Uploads that wait for a worker that is not being replaced. */
  readonly #held = new Set<ReactorConnection>();
  #heldTimer: NodeJS.Timeout | undefined;
  /** A request that is not longer, head and body, goes to its worker in one piece. */
  readonly #shortBytes: number;
  readonly #text = allocateStable(TEXT_BYTES);
  readonly #textAddress = addressOf(this.#text);

  constructor(context: ReactorContext, ending: Ending, sending: Sending, host: HttpHost) {
    this.#context = context;
    this.#ending = ending;
    this.#sending = sending;
    this.#host = host;
    this.#heads = context.options.ports.map(({ http }) =>
      http === null ? undefined : new RequestHead(headLimits(http)),
    );
    this.#statics = context.options.ports.map(({ http }) =>
      http === null || http.staticFiles.length === 0 ? undefined : new StaticFiles(http.staticFiles),
    );
    this.#shortBytes = (context.lanes[0]?.longestFrame ?? 0) - REQUEST_PREFIX_BYTES;
    context.board.setUnderWay(context.id, 0);
  }

  speaks(port: number): boolean {
    return this.#heads[port] !== undefined;
  }

  // ——— reading ———

  read(connection: ReactorConnection): void {
    const http = this.#stateOf(connection);
    if (connection.tls !== null) return this.#readTls(connection, http, connection.tls);
    if (connection.input !== null) this.#goOn(connection, http);
    for (let i = 0; i < READS_PER_TURN; i++) {
      if (connection.stalled || !this.#mayReceive(connection, http)) return;
      const n = this.#receive(connection, http);
      if (n > 0) {
        if (n < SCRATCH_BYTES && !connection.hangup && !connection.stalled) return this.#host.readDry(connection);
      } else if (n === 0) return;
      else if (n === -EAGAIN) return this.#host.readDry(connection);
      else if (n !== -EINTR) return this.#ending.fail(connection, -n);
    }
    this.#context.again.push(connection);
  }

  #readTls(connection: ReactorConnection, http: HttpState, tls: TlsStream): void {
    const isNew = http.exchange === 0 && http.phase === Phase.request;
    if (isNew && tls.alpn === 'h2' && !this.#openTunnel(connection, http)) return;
    if (connection.input !== null) this.#goOn(connection, http);
    for (let i = 0; i < READS_PER_TURN; i++) {
      if (connection.stalled || !this.#mayReceive(connection, http)) return;
      const bytes = tls.read();
      if (bytes === null) {
        connection.readable = false;
        if (tls.hasEnded) this.#peerEnded(connection, http);
        return;
      }
      this.#host.countReceived(connection, bytes.length);
      this.#take(connection, http, bytes, bytes.length);
    }
    this.#context.again.push(connection);
  }

  /** The next `count` bytes of the client, which were read elsewhere. */
  take(connection: ReactorConnection, bytes: Buffer, count: number): void {
    this.#take(connection, this.#stateOf(connection), bytes, count);
  }

  #stateOf(connection: ReactorConnection): HttpState {
    connection.http ??= new HttpState(this.#context.now);
    return connection.http;
  }

  #mayReceive(connection: ReactorConnection, http: HttpState): boolean {
    if (connection.ended || connection.closeCode >= 0) return false;
    switch (http.phase) {
      case Phase.request:
        return !this.#held.has(connection);
      case Phase.streaming:
        return http.credit > 0 && connection.input === null;
      case Phase.tunnel:
        return connection.input === null;
      default:
        return !http.halfClosed && (connection.input === null || connection.input.length < READ_AHEAD_BYTES);
    }
  }

  /** @returns as recv(2), but 0 also when the client has ended, which was seen to */
  #receive(connection: ReactorConnection, http: HttpState): number {
    if (http.phase === Phase.request && connection.input === null && this.#host.laneForRequest === undefined) {
      return this.#receiveInPlace(connection, http);
    }
    const { scratch, scratchAddress } = this.#context;
    const n = receive(connection.descriptor, scratchAddress, SCRATCH_BYTES);
    if (n > 0) {
      this.#host.countReceived(connection, n);
      this.#take(connection, http, scratch, n);
    } else if (n === 0) this.#peerEnded(connection, http);
    return n;
  }

  /**
   * The usual case: a whole request without a body comes in one piece. It is read to where its worker will find it, and
   * needs no copy.
   */
  #receiveInPlace(connection: ReactorConnection, http: HttpState): number {
    if (this.#host.holds(connection)) return 0;
    const lane = this.#host.laneFor(connection);
    const room = lane.readLimit - REQUEST_PREFIX_BYTES;
    if (room <= 0) {
      this.#host.stall(connection, lane);
      return 0;
    }
    const n = receive(connection.descriptor, lane.packetAddress + REQUEST_PREFIX_BYTES, room);
    if (n > 0) {
      this.#host.countReceived(connection, n);
      const at = lane.payloadAt + REQUEST_PREFIX_BYTES;
      if (!this.#takeInPlace(connection, http, lane, at, n)) {
        const { scratch } = this.#context;
        lane.bytes.copy(scratch, 0, at, at + n);
        this.#take(connection, http, scratch, n);
      }
      return n === room ? SCRATCH_BYTES : n;
    }
    if (n === 0) this.#peerEnded(connection, http);
    return n;
  }

  /** @returns false when it is not that simple; nothing has happened then */
  #takeInPlace(connection: ReactorConnection, http: HttpState, lane: WorkerLane, at: number, count: number): boolean {
    const head = this.#headOf(connection);
    const { bytes } = lane;
    if (bytes[at] === FIRST_OF_PREFACE && bytes[at + 1] === 0x52) return false;
    const length = head.parse(bytes, at, at + count);
    if (length <= 0 || head.isChunked || head.contentLength > 0) return false;
    if (this.#statics[connection.port] !== undefined || this.#isFull(connection)) return false;
    http.hasBegun = true;
    if (length < count) connection.input = new Input(bytes, at + length, at + count);
    this.#dispatch(connection, http, lane, head, 0, length, length);
    return true;
  }

  #take(connection: ReactorConnection, http: HttpState, bytes: Buffer, count: number): void {
    if (connection.input !== null) {
      connection.input.append(bytes, count);
      return this.#goOn(connection, http);
    }
    const taken = this.#consume(connection, http, bytes, 0, count);
    if (taken < count && !connection.ended && connection.closeCode < 0) {
      connection.input = new Input(bytes, taken, count);
    }
  }

  /** With what waits. */
  #goOn(connection: ReactorConnection, http: HttpState): void {
    const { input } = connection;
    if (input === null) return;
    input.from = this.#consume(connection, http, input.bytes, input.from, input.to);
    if (input.from >= input.to || connection.closeCode >= 0) connection.input = null;
  }

  /** @returns where it stopped: the rest has to wait */
  #consume(connection: ReactorConnection, http: HttpState, bytes: Buffer, from: number, to: number): number {
    let at = from;
    while (at < to && !connection.ended && connection.closeCode < 0) {
      const taken = this.#consumeOne(connection, http, bytes, at, to);
      if (taken === 0) break;
      if (taken !== AGAIN) at += taken;
    }
    return at;
  }

  #consumeOne(connection: ReactorConnection, http: HttpState, bytes: Buffer, at: number, to: number): number {
    switch (http.phase) {
      case Phase.request:
        return this.#takeRequest(connection, http, bytes, at, to);
      case Phase.streaming:
        return this.#takeBody(connection, http, bytes, at, to);
      case Phase.tunnel:
        return this.#takeTunnelled(connection, bytes, at, to);
      default:
        return 0;
    }
  }

  // ——— requests ———

  /** @returns bytes taken; 0: the rest has to come, or it has to wait, or it was refused */
  #takeRequest(connection: ReactorConnection, http: HttpState, bytes: Buffer, at: number, to: number): number {
    if (!http.hasBegun) {
      http.hasBegun = true;
      http.since = this.#context.now;
    }
    const there = to - at;
    if (there < http.wanted) return 0;
    if (http.looked > 0 && !mayBeWhole(bytes, at, to, http.looked)) return 0;
    if (bytes[at] === FIRST_OF_PREFACE && this.#optionsOf(connection).http2) {
      const preface = lookForPreface(bytes, at, to);
      if (preface === 'more') return 0;
      if (preface === 'yes') return this.#openTunnel(connection, http) ? AGAIN : 0;
    }
    const head = this.#headOf(connection);
    const length = head.parse(bytes, at, to);
    if (length === 0) {
      http.looked = there;
      return 0;
    }
    if (length < 0) {
      this.#refuse(connection, { status: -length, why: head.why, close: true });
      return 0;
    }
    http.looked = 0;
    return this.#takeWhole(connection, http, head, bytes, at, to, length);
  }

  /** The head is whole. */
  #takeWhole(
    connection: ReactorConnection,
    http: HttpState,
    head: RequestHead,
    bytes: Buffer,
    at: number,
    to: number,
    headLength: number,
  ): number {
    const { contentLength, isChunked } = head;
    const { bodyLimit } = this.#optionsOf(connection);
    if (contentLength > bodyLimit) {
      this.#refuse(connection, { status: 413, why: `The body has more than ${bodyLimit} bytes.`, close: true });
      return 0;
    }
    const hasBody = contentLength > 0 || isChunked;
    if (!hasBody && this.#answerWithFile(connection, http, head, bytes, at, headLength)) return headLength;
    if (headLength > this.#shortBytes) {
      this.#refuse(connection, {
        status: 431,
        why: 'The head is too long for the channels of this server.',
        close: true,
      });
      return 0;
    }
    if (!hasBody) return this.#giveOut(connection, http, head, bytes, at, headLength, headLength, true);
    if (head.expectsContinue && !http.continued && to - at === headLength) {
      http.continued = true;
      this.#say(connection, CONTINUE);
      if (connection.ended) return 0;
    }
    if (isChunked) return this.#takeChunked(connection, http, head, bytes, at, to, headLength);
    const total = headLength + contentLength;
    if (total > this.#shortBytes)
      return this.#giveOut(connection, http, head, bytes, at, headLength, headLength, false);
    if (to - at < total) {
      http.wanted = total;
      http.since = this.#context.now;
      return 0;
    }
    http.wanted = 0;
    return this.#giveOut(connection, http, head, bytes, at, headLength, total, true);
  }

  /** @returns false: no file is meant, or none that is there */
  #answerWithFile(
    connection: ReactorConnection,
    http: HttpState,
    head: RequestHead,
    bytes: Buffer,
    at: number,
    length: number,
  ): boolean {
    const statics = this.#statics[connection.port];
    if (statics === undefined || head.method > HEAD) return false;
    const target = readLatin1(bytes, at + head.targetStart, at + head.targetEnd);
    const fields = new LazyFields(bytes, at + head.linesStart, at + length - 2);
    const answer = statics.answer(
      methods[head.method] as string,
      target,
      (name) => fields.get(name),
      this.#context.now,
    );
    if (answer === undefined) return false;
    this.#count(ReactorCounter.filesServed);
    http.isHead = head.method === HEAD;
    this.#send(connection, http, head, answer);
    return true;
  }

  #send(connection: ReactorConnection, http: HttpState, head: RequestHead, answer: FileAnswer): void {
    let text = fileHead(answer, head);
    for (const piece of http.isHead ? [] : answer.pieces) {
      if ('text' in piece) text += piece.text;
      else if ('bytes' in piece && piece.bytes.length + text.length <= TEXT_BYTES) {
        const begun = writeLatin1(this.#text, text, 0);
        text = '';
        piece.bytes.copy(this.#text, begun);
        this.#sending.write(connection, this.#text, 0, this.#textAddress, begun + piece.bytes.length);
      } else if ('path' in piece) {
        this.#say(connection, text);
        text = '';
        if (!connection.ended)
          this.#sending.writeFile(connection, new FilePart(piece.path, piece.offset, piece.length));
      }
      if (connection.ended) return;
    }
    if (text !== '') this.#say(connection, text);
    if (connection.ended) return;
    if (!head.keepAlive) {
      this.#drop(connection);
      return this.#ending.closeWhenFlushed(connection, CloseCode.SERVER_CLOSED);
    }
    http.phase = Phase.flushing;
    if (connection.isFlushed) this.flushed(connection);
  }

  /** A chunked body that is all there is given out whole, as others are. */
  #takeChunked(
    connection: ReactorConnection,
    http: HttpState,
    head: RequestHead,
    bytes: Buffer,
    at: number,
    to: number,
    headLength: number,
  ): number {
    const decoder = new ChunkedDecoder(chunkedLimits(this.#optionsOf(connection)));
    const pieces: number[] = [];
    const taken = decoder.decode(bytes, at + headLength, to, (start, end) => pieces.push(start, end));
    if (taken < 0) {
      this.#refuse(connection, { status: -taken, why: decoder.why, close: true });
      return 0;
    }
    if (!decoder.isDone || decoder.trailers !== '' || headLength + decoder.bodyBytes > this.#shortBytes) {
      return this.#giveOut(connection, http, head, bytes, at, headLength, headLength, false);
    }
    const whole = Buffer.allocUnsafe(headLength + decoder.bodyBytes);
    let end = bytes.copy(whole, 0, at, at + headLength);
    for (let i = 0; i < pieces.length; i += 2) end += bytes.copy(whole, end, pieces[i], pieces[i + 1]);
    const given = this.#giveOut(connection, http, head, whole, 0, headLength, end, true);
    return given === 0 ? 0 : headLength + taken;
  }

  /** @param isWhole no body follows @returns `length`, or 0: it has to wait, or the connection ends */
  #giveOut(
    connection: ReactorConnection,
    http: HttpState,
    head: RequestHead,
    bytes: Buffer,
    at: number,
    headLength: number,
    length: number,
    isWhole: boolean,
  ): number {
    if (this.#isFull(connection)) {
      const close = !isWhole || !head.keepAlive;
      this.#answer(connection, http, {
        ...{ status: 503, why: 'The server has as many requests under way as it takes.', close },
        ...{ isHead: head.method === HEAD, retryAfterSeconds: RETRY_SECONDS },
      });
      return close ? 0 : length;
    }
    const lane = this.#choose(connection, bytes, at, length, isWhole);
    if (lane === undefined) return 0;
    if (!lane.hasRoomFor(length + REQUEST_PREFIX_BYTES)) {
      this.#host.stall(connection, lane);
      return 0;
    }
    bytes.copy(lane.bytes, lane.payloadAt + REQUEST_PREFIX_BYTES, at, at + length);
    this.#dispatch(connection, http, lane, head, isWhole ? 0 : RequestFlag.bodyFollows, headLength, length);
    return length;
  }

  #choose(
    connection: ReactorConnection,
    bytes: Buffer,
    at: number,
    length: number,
    isWhole: boolean,
  ): WorkerLane | undefined {
    if (this.#host.holds(connection)) return undefined;
    const goal = this.#host.laneForRequest?.(connection, bytes, at, length) ?? this.#host.laneFor(connection);
    if (goal === 'wait') return undefined;
    if (goal === 'discard' || goal === 'close') {
      this.#refuse(connection, { status: 503, why: 'The request is not served here.', close: true });
      return undefined;
    }
    if (isWhole || !this.#isDismissing(goal.worker)) return goal;
    const other = this.#context.lanes.find(({ worker }) => this.#takesUploads(worker));
    if (other === undefined) this.#hold(connection);
    return other;
  }

  #dispatch(
    connection: ReactorConnection,
    http: HttpState,
    lane: WorkerLane,
    head: RequestHead,
    flags: number,
    headLength: number,
    length: number,
  ): void {
    const isWhole = flags === 0;
    http.phase = isWhole ? Phase.owed : Phase.streaming;
    http.isHead = head.method === HEAD;
    http.http10 = head.minor === 0;
    http.keepAlive = head.keepAlive;
    http.wanted = 0;
    if (!isWhole) {
      http.bodyLeft = head.isChunked ? 0 : head.contentLength;
      http.decoder = head.isChunked ? new ChunkedDecoder(chunkedLimits(this.#optionsOf(connection))) : null;
      http.credit = BODY_WINDOW;
    }
    let bits = head.keepAlive ? RequestBit.keepAlive : 0;
    if (head.minor === 0) bits |= RequestBit.http10;
    if (head.isChunked) bits |= RequestBit.chunked;
    if (head.isUpgrade) bits |= RequestBit.upgrade;
    if (connection.tls !== null) bits |= RequestBit.tls;
    this.#begin(connection, http, lane);
    lane.commitRequest(
      connection.sessionId,
      http.exchange,
      flags,
      headLength | (head.method << 16) | (bits << 24),
      head.targetStart | (head.targetEnd << 16),
      REQUEST_PREFIX_BYTES + length,
    );
    this.#host.countDispatched();
  }

  #begin(connection: ReactorConnection, http: HttpState, lane: WorkerLane): void {
    http.exchange = (http.exchange + 1) & 0xffff;
    http.worker = lane.worker;
    http.begun = false;
    http.continued = false;
    http.since = this.#context.now;
    this.#context.table.setTaker(connection.slot, 0);
    this.#setUnderWay(this.#underWay + 1);
  }

  // ——— bodies that are streamed ———

  #takeBody(connection: ReactorConnection, http: HttpState, bytes: Buffer, at: number, to: number): number {
    const lane = this.#context.lane(http.worker);
    const most = Math.min(to - at, http.credit, lane.readLimit);
    if (most <= 0) {
      if (http.credit > 0) this.#host.stall(connection, lane);
      return 0;
    }
    http.since = this.#context.now;
    return http.decoder === null
      ? this.#takeSized(connection, http, lane, bytes, at, most)
      : this.#takeDecoded(connection, http, lane, http.decoder, bytes, at, most);
  }

  #takeSized(
    connection: ReactorConnection,
    http: HttpState,
    lane: WorkerLane,
    bytes: Buffer,
    at: number,
    most: number,
  ): number {
    const count = Math.min(most, http.bodyLeft);
    bytes.copy(lane.bytes, lane.payloadAt, at, at + count);
    http.bodyLeft -= count;
    http.credit -= count;
    this.#commitBody(connection, http, lane, count, http.bodyLeft === 0);
    return count;
  }

  #takeDecoded(
    connection: ReactorConnection,
    http: HttpState,
    lane: WorkerLane,
    decoder: ChunkedDecoder,
    bytes: Buffer,
    at: number,
    most: number,
  ): number {
    const start = lane.payloadAt;
    let end = start;
    const taken = decoder.decode(bytes, at, at + most, (from, to) => {
      end += bytes.copy(lane.bytes, end, from, to);
    });
    if (taken < 0) {
      this.#breakOff(connection, http, { status: -taken, why: decoder.why, close: true });
      return 0;
    }
    http.credit -= end - start;
    const { isDone, trailers } = decoder;
    if (end > start || (isDone && trailers === '')) {
      this.#commitBody(connection, http, lane, end - start, isDone && trailers === '');
    }
    if (isDone && trailers !== '') {
      const length = writeLatin1(lane.bytes, trailers, lane.payloadAt);
      const flags = BodyFlag.last | BodyFlag.trailers;
      lane.commitBody(connection.sessionId, http.exchange, flags, length);
      this.#bodyIsWhole(http);
    }
    return taken;
  }

  #commitBody(connection: ReactorConnection, http: HttpState, lane: WorkerLane, count: number, isLast: boolean): void {
    lane.commitBody(connection.sessionId, http.exchange, isLast ? BodyFlag.last : 0, count);
    if (isLast) this.#bodyIsWhole(http);
  }

  #bodyIsWhole(http: HttpState): void {
    http.phase = Phase.owed;
    http.decoder = null;
    http.since = this.#context.now;
  }

  /** The worker has taken so much of the body. */
  taken(connection: ReactorConnection, exchange: number, bytes: number): void {
    const { http } = connection;
    if (http === null || http.exchange !== exchange || http.phase !== Phase.streaming) return;
    http.credit = Math.min(BODY_WINDOW, http.credit + bytes);
    http.since = this.#context.now;
    this.#readSoon(connection);
  }

  // ——— answers ———

  /** @returns false: bytes of an exchange that is over */
  isAwaited({ http }: ReactorConnection, exchange: number): boolean {
    return http !== null && http.exchange === exchange && http.isOwed;
  }

  /** Bytes of the answer were written. @param flags AnswerFlag */
  answered(connection: ReactorConnection, flags: number): void {
    const { http } = connection;
    if (http === null || connection.ended) return;
    if ((flags & AnswerFlag.interim) === 0) http.begun = true;
    if (flags & AnswerFlag.tunnel) return this.#becomeTunnel(connection, http);
    if (flags & AnswerFlag.last) this.#finish(connection, http, (flags & AnswerFlag.close) !== 0);
  }

  #finish(connection: ReactorConnection, http: HttpState, close: boolean): void {
    const isWhole = http.phase !== Phase.streaming;
    this.#noLongerOwed(http);
    if (close || !isWhole) {
      this.#drop(connection);
      return this.#ending.closeWhenFlushed(connection, CloseCode.SERVER_CLOSED);
    }
    if (http.halfClosed) {
      http.halfClosed = false;
      connection.readable = true; // whatever came before its end, and then the end once more
    }
    http.phase = Phase.flushing;
    if (connection.isFlushed) this.flushed(connection);
  }

  /** The client has taken all that waited for it. */
  flushed(connection: ReactorConnection): void {
    const { http } = connection;
    if (http === null || http.phase !== Phase.flushing) return;
    http.phase = Phase.request;
    http.hasBegun = false;
    http.since = this.#context.now;
    if (connection.input !== null || connection.readable) this.#readSoon(connection);
  }

  #noLongerOwed(http: HttpState): void {
    if (!http.isOwed) return;
    http.phase = Phase.flushing;
    http.decoder = null;
    this.#setUnderWay(this.#underWay - 1);
  }

  /** The server's own answer to the request at the front, or to the one that is under way. */
  #answer(connection: ReactorConnection, http: HttpState, answer: PlainAnswer): void {
    this.#noLongerOwed(http);
    this.#say(connection, plainAnswer(answer));
    if (connection.ended) return;
    if (answer.close) {
      this.#drop(connection);
      return this.#ending.closeWhenFlushed(connection, codeOf(answer.status));
    }
    http.phase = Phase.flushing;
    if (connection.isFlushed) this.flushed(connection);
  }

  #refuse(connection: ReactorConnection, answer: PlainAnswer): void {
    this.#host.refused(connection, CloseCode.HTTP_REFUSED, answer.why);
    this.#count(ReactorCounter.httpRefused);
    this.#answer(connection, this.#stateOf(connection), answer);
  }

  /** Of a request that a worker has: it is told, and the client too if it has not been told anything yet. */
  #breakOff(connection: ReactorConnection, http: HttpState, answer: PlainAnswer): void {
    this.#tellGone(connection, http, GoneFlag.timedOut);
    if (!http.begun) return this.#answer(connection, http, answer);
    this.#noLongerOwed(http);
    this.#ending.reset(connection, codeOf(answer.status));
  }

  /** @param text of at most TEXT_BYTES */
  #say(connection: ReactorConnection, text: string): void {
    if (text === '') return;
    const length = writeLatin1(this.#text, text, 0);
    this.#sending.write(connection, this.#text, 0, this.#textAddress, length);
  }

  /** Bytes that wait are not looked at any more. */
  #drop(connection: ReactorConnection): void {
    connection.input = null;
  }

  // ——— ends ———

  /** FIN. */
  #peerEnded(connection: ReactorConnection, http: HttpState): void {
    connection.readable = false;
    switch (http.phase) {
      case Phase.owed:
        http.halfClosed = true;
        return this.#tellGone(connection, http, GoneFlag.halfClosed);
      case Phase.streaming:
        this.#tellGone(connection, http, 0);
        this.#noLongerOwed(http);
        return this.#ending.closeWhenFlushed(connection, CloseCode.CLIENT_CLOSED);
      case Phase.tunnel:
        return this.#ending.peerEnded(connection);
      case Phase.flushing:
      case Phase.request:
        this.#drop(connection);
        return this.#ending.closeWhenFlushed(connection, CloseCode.CLIENT_CLOSED);
    }
  }

  /** The connection is gone, however it went. */
  released(connection: ReactorConnection): void {
    const { http } = connection;
    this.#held.delete(connection);
    if (http === null || !http.isOwed) return;
    this.#tellGone(connection, http, 0);
    this.#noLongerOwed(http);
  }

  #tellGone(connection: ReactorConnection, http: HttpState, flags: number): void {
    this.#context.lane(http.worker).sendEvent(Event.gone, flags, http.exchange, connection.sessionId);
  }

  // ——— tunnels ———

  /** From its first byte on. @returns false: there was no room, it is stalled */
  #openTunnel(connection: ReactorConnection, http: HttpState): boolean {
    if (this.#host.holds(connection)) return false;
    const chosen = this.#host.laneFor(connection);
    const lane = this.#isDismissing(chosen.worker)
      ? this.#context.lanes.find(({ worker }) => this.#takesUploads(worker))
      : chosen;
    if (lane === undefined) {
      this.#hold(connection);
      return false;
    }
    if (!lane.hasRoomFor(REQUEST_PREFIX_BYTES)) {
      this.#host.stall(connection, lane);
      return false;
    }
    this.#begin(connection, http, lane);
    http.hasBegun = true;
    const bits = RequestBit.http2 | (connection.tls === null ? 0 : RequestBit.tls);
    lane.commitRequest(connection.sessionId, http.exchange, 0, bits << 24, 0, REQUEST_PREFIX_BYTES);
    http.phase = Phase.owed;
    this.#becomeTunnel(connection, http);
    return true;
  }

  #becomeTunnel(connection: ReactorConnection, http: HttpState): void {
    this.#noLongerOwed(http);
    http.phase = Phase.tunnel;
    this.#host.rebind(connection, http.worker);
    if (http.halfClosed) return this.#ending.peerEnded(connection);
    this.#readSoon(connection);
  }

  #takeTunnelled(connection: ReactorConnection, bytes: Buffer, at: number, to: number): number {
    const lane = this.#context.lane(connection.worker);
    const count = Math.min(to - at, lane.readLimit);
    if (count === 0) {
      this.#host.stall(connection, lane);
      return 0;
    }
    bytes.copy(lane.bytes, lane.payloadAt, at, at + count);
    lane.commitPacket(connection.sessionId, count);
    return count;
  }

  // ——— workers that die, and those that are being replaced ———

  /** A worker has ended: what its process had taken is not answered by anybody else. */
  reapDead(): void {
    for (const connection of this.#context.connections.list()) {
      const { http } = connection;
      if (http === null || (!http.isOwed && http.phase !== Phase.tunnel)) continue;
      const pid = this.#context.table.taker(connection.slot);
      if (pid === 0 || this.#context.workers.processes(http.worker).includes(pid)) continue;
      this.#lost(connection, http);
    }
  }

  #lost(connection: ReactorConnection, http: HttpState): void {
    if (http.phase === Phase.tunnel || http.begun) {
      this.#noLongerOwed(http);
      return this.#ending.reset(connection, CloseCode.WORKER_DIED);
    }
    this.#count(ReactorCounter.badGateways);
    const close = http.phase === Phase.streaming || !http.keepAlive || http.http10 || http.halfClosed;
    this.#answer(connection, http, {
      ...{ status: 502, why: 'The process that served the request has ended.', close, isHead: http.isHead },
    });
  }

  #hold(connection: ReactorConnection): void {
    this.#held.add(connection);
    this.#heldTimer ??= setInterval(() => this.#context.wake(), HELD_LOOK_MS);
  }

  /** Once per turn: uploads that wait for a worker that takes them. */
  readHeld(): void {
    if (this.#held.size === 0 || !this.#context.lanes.some(({ worker }) => this.#takesUploads(worker))) return;
    const held = [...this.#held];
    this.stop();
    for (const connection of held) if (!connection.ended) this.#readSoon(connection);
  }

  stop(): void {
    this.#held.clear();
    clearInterval(this.#heldTimer);
    this.#heldTimer = undefined;
  }

  #isDismissing(worker: number): boolean {
    return this.#context.workers.field(worker, WorkerField.dismissing) !== 0;
  }

  #takesUploads(worker: number): boolean {
    return this.#context.workers.field(worker, WorkerField.pid) !== 0 && !this.#isDismissing(worker);
  }

  // ——— time ———

  /** How often `checkTimes` has something to look at, in ms; 0: never. */
  get lookMs(): number {
    let shortest = Number.POSITIVE_INFINITY;
    for (const { http } of this.#context.options.ports) {
      if (http === null) continue;
      for (const ms of [http.headersTimeoutMs, http.requestTimeoutMs, http.keepAliveTimeoutMs]) {
        if (ms > 0) shortest = Math.min(shortest, ms);
      }
    }
    return shortest === Number.POSITIVE_INFINITY ? 0 : Math.min(1000, Math.max(20, Math.floor(shortest / 4)));
  }

  checkTimes(): void {
    for (const connection of this.#context.connections.list()) {
      if (connection.closeCode >= 0 || connection.told || !this.speaks(connection.port)) continue;
      this.#checkTime(connection, this.#stateOf(connection));
    }
  }

  #checkTime(connection: ReactorConnection, http: HttpState): void {
    const { headersTimeoutMs, requestTimeoutMs, keepAliveTimeoutMs } = this.#optionsOf(connection);
    const passed = this.#context.now - http.since;
    const isOver = (limit: number): boolean => limit > 0 && passed >= limit;
    if (connection.stalled) return;
    if (http.phase === Phase.request && !http.hasBegun) {
      if (isOver(keepAliveTimeoutMs)) this.#ending.closeWhenFlushed(connection, CloseCode.KEEP_ALIVE_TIMEOUT);
    } else if (http.phase === Phase.request) {
      if (!isOver(http.wanted > 0 ? requestTimeoutMs : headersTimeoutMs) || this.#held.has(connection)) return;
      this.#timeOut(connection, http, 408, 'The request did not come in time.');
    } else if (http.phase === Phase.streaming && http.credit > 0) {
      if (isOver(requestTimeoutMs)) this.#timeOut(connection, http, 408, 'The body did not come in time.');
    } else if (http.isOwed && !http.begun && isOver(requestTimeoutMs)) {
      this.#timeOut(connection, http, 503, 'The server could not answer in time.');
    }
  }

  #timeOut(connection: ReactorConnection, http: HttpState, status: number, why: string): void {
    this.#count(ReactorCounter.httpTimedOut);
    const close = status === 408 || http.phase === Phase.streaming || !http.keepAlive || http.http10;
    const answer = { status, why, close, isHead: http.isHead };
    if (http.isOwed) this.#breakOff(connection, http, answer);
    else this.#answer(connection, http, answer);
  }

  // ——— small things ———

  #isFull(connection: ReactorConnection): boolean {
    const { maxConcurrency } = this.#optionsOf(connection);
    if (maxConcurrency === 0) return false;
    let underWay = this.#underWay;
    for (let id = 0; id < this.#context.reactorNum; id++) {
      if (id !== this.#context.id) underWay += this.#context.board.underWay(id);
    }
    return underWay >= maxConcurrency;
  }

  #setUnderWay(count: number): void {
    this.#underWay = count;
    this.#context.board.setUnderWay(this.#context.id, count);
  }

  #readSoon(connection: ReactorConnection): void {
    this.#context.again.push(connection);
  }

  #optionsOf(connection: ReactorConnection): HttpOptions {
    return this.#context.options.ports[connection.port]?.http as HttpOptions;
  }

  #headOf(connection: ReactorConnection): RequestHead {
    return this.#heads[connection.port] as RequestHead;
  }

  #count(counter: number): void {
    this.#context.board.add(this.#context.id, counter, 1);
  }
}

/** Why a connection ends behind an answer of the server's own. */
function codeOf(status: number): number {
  if (status === 502) return CloseCode.WORKER_DIED;
  return status === 408 || status === 503 ? CloseCode.HTTP_TIMEOUT : CloseCode.HTTP_REFUSED;
}

function headLimits({ requestLineLimit, headerLimit, headerCountLimit }: HttpOptions) {
  return { lineBytes: requestLineLimit, headerBytes: headerLimit, headerCount: headerCountLimit };
}

function chunkedLimits({ bodyLimit, headerLimit, headerCountLimit }: HttpOptions): ChunkedLimits {
  return {
    ...{ bodyBytes: bodyLimit, extensionBytes: CHUNK_EXTENSION_BYTES },
    ...{ trailerBytes: headerLimit, trailerCount: headerCountLimit },
  };
}

/** A head that comes in drops is not parsed at each of them: only where its end may have come, and now and then. */
function mayBeWhole(bytes: Buffer, at: number, to: number, looked: number): boolean {
  if (to - at >= looked * 2) return true;
  const end = bytes.indexOf('\r\n\r\n', at + Math.max(0, looked - 3), 'latin1');
  return end >= 0 && end < to;
}

function lookForPreface(bytes: Buffer, at: number, to: number): 'yes' | 'no' | 'more' {
  const length = Math.min(PREFACE.length, to - at);
  if (PREFACE.compare(bytes, at, at + length, 0, length) !== 0) return 'no';
  // Three letters may still become PROPFIND, or a method nobody knows.
  return length === PREFACE.length ? 'yes' : 'more';
}

/** The fields of a head, read when one is asked for. */
class LazyFields {
  readonly #bytes: Buffer;
  readonly #from: number;
  readonly #to: number;
  #fields: string[] | undefined;

  constructor(bytes: Buffer, from: number, to: number) {
    this.#bytes = bytes;
    this.#from = from;
    this.#to = to;
  }

  /** @param name in lower case @returns several lines as the list they are */
  get(name: string): string | undefined {
    this.#fields ??= parseFields(readLatin1(this.#bytes, this.#from, this.#to));
    let found: string | undefined;
    for (let i = 0; i < this.#fields.length; i += 2) {
      if (this.#fields[i]?.toLowerCase() !== name) continue;
      found = found === undefined ? this.#fields[i + 1] : `${found}, ${this.#fields[i + 1]}`;
    }
    return found;
  }
}

/** The planner has said all but what belongs to the connection. */
function fileHead({ status, fields }: FileAnswer, { keepAlive, minor }: RequestHead): string {
  let text = `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}\r\ndate: ${httpDate()}\r\n`;
  for (let i = 0; i < fields.length; i += 2) text += `${fields[i]}: ${fields[i + 1]}\r\n`;
  if (!keepAlive) text += 'connection: close\r\n';
  else if (minor === 0) text += 'connection: keep-alive\r\n';
  return `${text}\r\n`;
}
