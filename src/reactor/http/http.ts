/**
 * HTTP on the connections of a reactor: finds requests in what clients send, refuses what is none, and gives each to a worker.
 * One request of a connection is under way at a time, those behind it wait; so answers are in order. Runs in the reactor.
 *
 * ```
 *             head (and a short body) whole            answer whole, taken by the client
 *  request ────────────────────────────────▶ owed ───────────────────────────────────────▶ request
 *     │  head whole, the body is long          ▲
 *     └────────────▶ streaming ────────────────┘ body whole            101, or HTTP/2 ───▶ tunnel
 * ```
 */
import { CloseCode, RequestBit, RequestFlag } from '../../ipc/frame.js';
import { firstWordOf, REQUEST_PREFIX_BYTES, secondWordOf } from '../../ipc/frames/http.js';
import { ReactorCounter } from '../../memory/boards.js';
import { EAGAIN, EINTR } from '../../os/libc.js';
import { receive } from '../../os/socket.js';
import { ChunkedDecoder } from '../../protocol/http/chunked.js';
import { RequestHead } from '../../protocol/http/head.js';
import { methods } from '../../protocol/http/methods.js';
import type { ReactorConnection } from '../connection.js';
import { type HttpOptions, type ReactorContext, SCRATCH_BYTES } from '../context.js';
import type { Ending } from '../ending.js';
import { Input } from '../input.js';
import type { Sending } from '../sending.js';
import type { TlsStream } from '../tls/tls-stream.js';
import type { WorkerLane } from '../worker-lane.js';
import { Answers } from './answers.js';
import { Bodies, chunkedLimits } from './bodies.js';
import { Files } from './files.js';
import { type HttpState, Phase } from './http-state.js';
import { type HttpHost, HttpParts } from './parts.js';
import { lookForPreface, mayBePreface } from './preface.js';
import { Times } from './times.js';
import { Uploads } from './uploads.js';

const READS_PER_TURN = 4;
/** Nothing was taken, but the same bytes are to be looked at in another light. */
const AGAIN = -1;
/** While an answer is owed so much of what comes behind the request is read, to see the client's end. */
const READ_AHEAD_BYTES = 65_536;
const HEAD = methods.indexOf('HEAD');
/** Behind the target: the last digit of its version. What comes after HTTP/1.1 is processed as HTTP/1.1 (RFC 9110 2.5). */
const MINOR_AT = ' HTTP/1.'.length;
const ONE = 0x31;
/** A client that was told to come later. */
const RETRY_SECONDS = 1;

export class Http {
  readonly answers: Answers;
  readonly bodies: Bodies;
  readonly uploads: Uploads;
  readonly times: Times;
  readonly #parts: HttpParts;
  readonly #files: Files;
  /** By listen port; undefined where it does not speak HTTP. */
  readonly #heads: readonly (RequestHead | undefined)[];
  /** A request that is not longer, head and body, goes to its worker in one piece. */
  readonly #shortBytes: number;

  constructor(context: ReactorContext, ending: Ending, sending: Sending, host: HttpHost) {
    this.#parts = new HttpParts(context, ending, sending, host);
    this.answers = new Answers(this.#parts, (connection, http) => this.#becomeTunnel(connection, http));
    this.bodies = new Bodies(this.#parts, this.answers);
    this.uploads = new Uploads(this.#parts);
    this.times = new Times(this.#parts, this.answers, this.uploads);
    this.#files = new Files(this.#parts, this.answers);
    this.#heads = context.options.ports.map(({ http }) =>
      http === null ? undefined : new RequestHead(headLimits(http)),
    );
    this.#shortBytes = (context.lanes[0]?.longestFrame ?? 0) - REQUEST_PREFIX_BYTES;
  }

  speaks(port: number): boolean {
    return this.#heads[port] !== undefined;
  }

  /** The connection is gone, however it went. */
  released(connection: ReactorConnection): void {
    this.uploads.released(connection);
    this.answers.lost(connection, CloseCode.SOCKET_ERROR);
  }

  // ——— reading ———

  read(connection: ReactorConnection): void {
    const http = this.#parts.stateOf(connection);
    if (connection.tls !== null) return this.#readTls(connection, http, connection.tls);
    if (connection.input !== null) this.#goOn(connection, http);
    for (let i = 0; i < READS_PER_TURN; i++) {
      if (connection.stalled || !this.#mayReceive(connection, http)) return;
      const n = this.#receive(connection, http);
      if (n > 0) {
        if (n < SCRATCH_BYTES && !connection.hangup && !connection.stalled) return this.#parts.host.readDry(connection);
      } else if (n === 0) return;
      else if (n === -EAGAIN) return this.#parts.host.readDry(connection);
      else if (n !== -EINTR) return this.#parts.ending.fail(connection, -n);
    }
    this.#parts.context.again.push(connection);
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
        if (tls.hasEnded) this.answers.peerEnded(connection, http);
        return;
      }
      this.#parts.host.countReceived(connection, bytes.length);
      this.#take(connection, http, bytes, bytes.length);
    }
    this.#parts.context.again.push(connection);
  }

  /** The next `count` bytes of the client, which were read elsewhere. */
  take(connection: ReactorConnection, bytes: Buffer, count: number): void {
    this.#take(connection, this.#parts.stateOf(connection), bytes, count);
  }

  #mayReceive(connection: ReactorConnection, http: HttpState): boolean {
    if (connection.ended || connection.closeCode >= 0) return false;
    switch (http.phase) {
      case Phase.request:
        return !this.uploads.waits(connection);
      case Phase.streaming:
        return http.credit > 0 && connection.input === null;
      case Phase.tunnel:
        return connection.input === null;
      default:
        return !http.halfClosed && this.#mayReadAhead(connection, http);
    }
  }

  /** What has been read ahead is enough, so the client's end, of which the kernel has told, is not seen by reading. */
  #mayReadAhead(connection: ReactorConnection, http: HttpState): boolean {
    if (connection.input === null || connection.input.length < READ_AHEAD_BYTES) return true;
    if (connection.hangup && http.phase === Phase.owed) this.answers.peerEnded(connection, http);
    return false;
  }

  /** @returns as recv(2), but 0 also when the client has ended, which was seen to */
  #receive(connection: ReactorConnection, http: HttpState): number {
    if (http.phase === Phase.request && connection.input === null && this.#parts.host.laneForRequest === undefined) {
      return this.#receiveInPlace(connection, http);
    }
    const { scratch, scratchAddress } = this.#parts.context;
    const n = receive(connection.descriptor, scratchAddress, SCRATCH_BYTES);
    if (n > 0) {
      this.#parts.host.countReceived(connection, n);
      this.#take(connection, http, scratch, n);
    } else if (n === 0) this.answers.peerEnded(connection, http);
    return n;
  }

  /**
   * The usual case: a whole request without a body comes in one piece. It is read to where its worker will find it, and
   * needs no copy.
   */
  #receiveInPlace(connection: ReactorConnection, http: HttpState): number {
    if (this.#parts.host.holds(connection)) return 0;
    const lane = this.#parts.host.laneFor(connection);
    const room = lane.readLimit - REQUEST_PREFIX_BYTES;
    if (room <= 0) {
      this.#parts.host.stall(connection, lane);
      return 0;
    }
    const n = receive(connection.descriptor, lane.packetAddress + REQUEST_PREFIX_BYTES, room);
    if (n > 0) {
      this.#parts.host.countReceived(connection, n);
      const at = lane.payloadAt + REQUEST_PREFIX_BYTES;
      if (!this.#takeInPlace(connection, http, lane, at, n)) {
        const { scratch } = this.#parts.context;
        lane.bytes.copy(scratch, 0, at, at + n);
        this.#take(connection, http, scratch, n);
      }
      return n === room ? SCRATCH_BYTES : n;
    }
    if (n === 0) this.answers.peerEnded(connection, http);
    return n;
  }

  /** @returns false when it is not that simple; nothing has happened then */
  #takeInPlace(connection: ReactorConnection, http: HttpState, lane: WorkerLane, at: number, count: number): boolean {
    const head = this.#headOf(connection);
    const { bytes } = lane;
    if (mayBePreface(bytes, at)) return false;
    const length = head.parse(bytes, at, at + count);
    if (length <= 0 || head.isChunked || head.contentLength > 0) return false;
    if (this.#files.isServedBy(connection.port) || this.answers.isFull(connection)) return false;
    http.hasBegun = true;
    http.isFresh = false;
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
        return this.bodies.take(connection, http, bytes, at, to);
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
      http.since = this.#parts.context.now;
    }
    const there = to - at;
    if (there < http.wanted) return this.#waitForRest(http, there);
    if (http.looked > 0 && !isWorthALook(bytes, at, to, http.looked)) return 0;
    const preface = this.#parts.optionsOf(connection).http2 ? lookForPreface(bytes, at, to) : 'no';
    if (preface !== 'no') return preface === 'more' ? 0 : this.#takePreface(connection, http);
    const head = this.#headOf(connection);
    const length = head.parse(bytes, at, to);
    if (length === 0) {
      http.looked = there;
      return 0;
    }
    if (length < 0) {
      this.answers.refuse(connection, { status: -length, why: head.why, close: true });
      return 0;
    }
    http.looked = 0;
    http.isFresh = false;
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
    const { bodyLimit } = this.#parts.optionsOf(connection);
    if (contentLength > bodyLimit) {
      this.answers.refuse(connection, {
        status: 413,
        why: `The body has more than ${bodyLimit} bytes, which is the bodyLimit.`,
        close: true,
      });
      return 0;
    }
    const hasBody = contentLength > 0 || isChunked;
    if (!hasBody && !head.expectsOther && this.#files.answer(connection, http, head, bytes, at, headLength))
      return headLength;
    if (headLength > this.#shortBytes) {
      this.answers.refuse(connection, {
        status: 431,
        why: 'The head is too long for the channels of this server.',
        close: true,
      });
      return 0;
    }
    if (!hasBody) return this.#giveOut(connection, http, head, bytes, at, headLength, headLength, true);
    http.asksContinue = head.expectsContinue && to - at === headLength;
    if (http.asksContinue) {
      // The handler decides whether the body is to come, and the worker tells the client when it asks for it.
      return this.#giveOut(connection, http, head, bytes, at, headLength, headLength, false);
    }
    if (isChunked) return this.#takeChunked(connection, http, head, bytes, at, to, headLength);
    const total = headLength + contentLength;
    if (total > this.#shortBytes)
      return this.#giveOut(connection, http, head, bytes, at, headLength, headLength, false);
    if (to - at < total) {
      http.wanted = total;
      http.pace.begin(this.#parts.context.now);
      return this.#waitForRest(http, to - at);
    }
    http.wanted = 0;
    return this.#giveOut(connection, http, head, bytes, at, headLength, total, true);
  }

  /** For a body that is given out as a whole. Its time counts from when more of it came last. */
  #waitForRest(http: HttpState, there: number): number {
    if (there > http.had) {
      http.since = this.#parts.context.now;
      http.pace.came(there - http.had);
      http.had = there;
    }
    return 0;
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
    const decoder = new ChunkedDecoder(chunkedLimits(this.#parts.optionsOf(connection)));
    const pieces: number[] = [];
    const taken = decoder.decode(bytes, at + headLength, to, (start, end) => pieces.push(start, end));
    if (taken < 0) {
      this.answers.refuse(connection, { status: -taken, why: decoder.why, close: true });
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
    if (this.answers.isFull(connection)) {
      this.#parts.count(ReactorCounter.httpRefused);
      const close = !isWhole || !head.keepAlive;
      this.answers.answer(connection, http, {
        ...{ status: 503, why: 'The server has as many requests under way as it takes.', close },
        ...{ isHead: head.method === HEAD, retryAfterSeconds: RETRY_SECONDS },
      });
      return close ? 0 : length;
    }
    const lane = this.#choose(connection, bytes, at, length, isWhole);
    if (lane === undefined) return 0;
    if (!lane.hasRoomFor(length + REQUEST_PREFIX_BYTES)) {
      this.#parts.host.stall(connection, lane);
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
    if (this.#parts.host.holds(connection)) return undefined;
    const goal =
      this.#parts.host.laneForRequest?.(connection, bytes, at, length) ?? this.#parts.host.laneFor(connection);
    if (goal === 'wait') return undefined;
    if (goal === 'discard' || goal === 'close') {
      this.answers.refuse(connection, { status: 503, why: 'The request is not served here.', close: true });
      return undefined;
    }
    return isWhole ? goal : this.uploads.laneFor(connection, goal);
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
    http.had = 0;
    if (!isWhole) this.bodies.begin(connection, http, head);
    let bits = head.keepAlive ? RequestBit.keepAlive : 0;
    if (head.minor === 0) bits |= RequestBit.http10;
    if (head.isChunked) bits |= RequestBit.chunked;
    if (head.isUpgrade) bits |= RequestBit.upgrade;
    if (connection.tls !== null) bits |= RequestBit.tls;
    if (http.asksContinue) bits |= RequestBit.asksContinue;
    if (head.expectsOther) bits |= RequestBit.expectsOther;
    if (head.isNewer) lane.bytes[lane.payloadAt + REQUEST_PREFIX_BYTES + head.targetEnd + MINOR_AT] = ONE;
    this.answers.begin(connection, http, lane);
    lane.commitRequest(
      connection.sessionId,
      http.exchange,
      flags,
      firstWordOf(headLength, head.method, bits),
      secondWordOf(head.targetStart, head.targetEnd),
      REQUEST_PREFIX_BYTES + length,
    );
    this.#parts.host.countDispatched(connection);
  }

  // ——— tunnels ———

  /** Only the first bytes of a connection are one, and over TLS not where ALPN has said something else (RFC 9113, 3.3, 3.4). */
  #takePreface(connection: ReactorConnection, http: HttpState): number {
    const { alpn } = connection.tls ?? { alpn: '' };
    if (http.isFresh && alpn === '') return this.#openTunnel(connection, http) ? AGAIN : 0;
    const why = http.isFresh
      ? 'Another protocol was agreed upon by ALPN.'
      : 'HTTP/2 begins with the first byte of a connection.';
    this.answers.refuse(connection, { status: 400, why, close: true });
    return 0;
  }

  /** From its first byte on. @returns false: there was no room, it is stalled */
  #openTunnel(connection: ReactorConnection, http: HttpState): boolean {
    if (this.#parts.host.holds(connection)) return false;
    const lane = this.uploads.laneFor(connection, this.#parts.host.laneFor(connection));
    if (lane === undefined) return false;
    if (!lane.hasRoomFor(REQUEST_PREFIX_BYTES)) {
      this.#parts.host.stall(connection, lane);
      return false;
    }
    this.answers.begin(connection, http, lane);
    http.hasBegun = true;
    const bits = RequestBit.http2 | (connection.tls === null ? 0 : RequestBit.tls);
    lane.commitRequest(connection.sessionId, http.exchange, 0, firstWordOf(0, 0, bits), 0, REQUEST_PREFIX_BYTES);
    http.phase = Phase.owed;
    this.#becomeTunnel(connection, http);
    return true;
  }

  #becomeTunnel(connection: ReactorConnection, http: HttpState): void {
    this.answers.noLongerOwed(http);
    http.phase = Phase.tunnel;
    this.#parts.host.rebind(connection, http.worker);
    const { halfClosed } = http;
    http.halfClosed = false; // from here on it is the end of a tunnel
    if (halfClosed) return this.#parts.ending.peerEnded(connection);
    this.#parts.readSoon(connection);
  }

  #takeTunnelled(connection: ReactorConnection, bytes: Buffer, at: number, to: number): number {
    const lane = this.#parts.context.lane(connection.worker);
    const count = Math.min(to - at, lane.readLimit);
    if (count === 0) {
      this.#parts.host.stall(connection, lane);
      return 0;
    }
    bytes.copy(lane.bytes, lane.payloadAt, at, at + count);
    lane.commitPacket(connection.sessionId, count);
    return count;
  }

  #headOf(connection: ReactorConnection): RequestHead {
    return this.#heads[connection.port] as RequestHead;
  }
}

function headLimits({ requestLineLimit, headerLimit, headerCountLimit }: HttpOptions) {
  return {
    ...{ lineBytes: requestLineLimit, headerBytes: headerLimit, headerCount: headerCountLimit },
    passesExpectations: true,
  };
}

/**
 * A long head that comes in drops is not parsed at each of them, only where a line may have ended, and now and then: there
 * are at most `headerCountLimit` lines.
 */
function isWorthALook(bytes: Buffer, at: number, to: number, looked: number): boolean {
  const there = to - at;
  if (there <= SHORT_HEAD_BYTES || there >= looked * 2) return true;
  const end = bytes.indexOf(LF, at + looked);
  return end >= 0 && end < to;
}

const SHORT_HEAD_BYTES = 512;
const LF = 0x0a;
