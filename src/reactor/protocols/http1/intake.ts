/**
 * Finds requests in what clients send, refuses invalid ones, and dispatches each to a worker: head and body in one
 * piece where they are short, the head alone where the body follows. Runs in the reactor.
 */
import { AnswerFlag, Event, RequestBit, RequestFlag } from '../../../ipc/frame.js';
import { firstWordOf, REQUEST_PREFIX_BYTES, secondWordOf } from '../../../ipc/frames/http.js';
import { ReactorCounter } from '../../../memory/boards.js';
import { ChunkedDecoder } from '../../../protocol/http/chunked.js';
import { methods } from '../../../protocol/http/methods.js';
import type { PlainAnswer } from '../../../protocol/http/plain-answer.js';
import { tooManyRequests } from '../../../protocol/http/too-many.js';
import type { Connection } from '../../connection.js';
import { Life } from '../../life.js';
import type { WorkerRing } from '../../worker-ring.js';
import type { Answers } from './answers.js';
import { type Bodies, chunkedLimits } from './bodies.js';
import type { Cursor } from './cursor.js';
import type { Files } from './files.js';
import { type HttpState, Phase } from './http-state.js';
import type { Http1Parts } from './parts.js';
import { lookForPreface, mayBePreface } from './preface.js';
import type { RateCheck } from './rate-check.js';
import type { Sticky } from './sticky.js';
import type { Uploads } from './uploads.js';

const HEAD = methods.indexOf('HEAD');
/** Behind the target: the last digit of its version. What comes after HTTP/1.1 is processed as HTTP/1.1 (RFC 9110 2.5). */
const MINOR_AT = ' HTTP/1.'.length;
const ONE = 0x31;
type ForNow = Pick<PlainAnswer, 'status' | 'why' | 'retryAfterSeconds'>;
const FULL: ForNow = {
  status: 503,
  why: 'The server has reached its limit of requests under way.',
  retryAfterSeconds: 1,
};
const SHORT_HEAD_BYTES = 512;
const LF = 0x0a;

export interface IntakeParts {
  readonly parts: Http1Parts;
  readonly answers: Answers;
  readonly bodies: Bodies;
  readonly files: Files;
  readonly uploads: Uploads;
  /** Undefined: no limit. */
  readonly rate: RateCheck | undefined;
  /** Undefined: requests go by the dispatch alone. */
  readonly sticky: Sticky | undefined;
}

export class Intake {
  readonly #parts: Http1Parts;
  readonly #answers: Answers;
  readonly #bodies: Bodies;
  readonly #files: Files;
  readonly #uploads: Uploads;
  readonly #rate: RateCheck | undefined;
  readonly #sticky: Sticky | undefined;
  /** A request up to this length, head and body, goes to its worker in one piece. */
  readonly #shortBytes: number;
  /** Of a request with a body, which is longer than its body. */
  readonly #mostInPlace: number;

  constructor({ parts, answers, bodies, files, uploads, rate, sticky }: IntakeParts) {
    this.#parts = parts;
    this.#answers = answers;
    this.#bodies = bodies;
    this.#files = files;
    this.#uploads = uploads;
    this.#rate = rate;
    this.#sticky = sticky;
    this.#shortBytes = (parts.context.rings[0]?.longestFrame ?? 0) - REQUEST_PREFIX_BYTES;
    this.#mostInPlace = Math.min(this.#shortBytes, parts.options.bodyLimit);
  }

  /** The worker depends on what the request says, so that it is not read into the ring of one. */
  get choosesByRequest(): boolean {
    return this.#sticky !== undefined || this.#parts.dispatcher.choiceByRequest !== undefined;
  }

  /**
   * A whole request lies where its worker will find it, or names a file. @returns bytes taken; 0 when it is not that
   * simple: it is still to be taken then
   */
  takeInPlace(cursor: Cursor, ring: WorkerRing): number {
    const { head, bytes, at, to, http } = cursor;
    if (mayBePreface(bytes, at)) return 0;
    const headBytes = head.parse(bytes, at, to);
    if (headBytes <= 0 || head.isChunked || this.#answers.isFull) return 0;
    const bodyBytes = Math.max(0, head.contentLength);
    const length = headBytes + bodyBytes;
    if (bodyBytes > 0 && (at + length > to || length > this.#mostInPlace)) return 0;
    if (this.#parts.context.isEnding) head.keepAlive = false;
    cursor.headBytes = headBytes;
    http.hasBegun = true;
    http.isFresh = false;
    http.since = this.#parts.context.now;
    if (bodyBytes === 0 && !head.expectsOther && this.#files.answer(cursor)) return length;
    if (this.#rate?.admits(cursor) === false) return 0;
    this.#dispatch(cursor, ring, 0, length);
    return length;
  }

  /** @returns bytes taken; 0: the rest has to come, or it has to wait, or it was refused */
  take(cursor: Cursor): number {
    const { connection, http, bytes, at, to, head, length: there } = cursor;
    if (!http.hasBegun) {
      http.hasBegun = true;
      http.since = this.#parts.context.now;
    }
    if (there < http.wanted) return this.#waitForRest(http, there);
    if (http.looked > 0 && !isWorthALook(bytes, at, to, http.looked)) return 0;
    const preface = this.#parts.options.http2 ? lookForPreface(bytes, at, to) : 'no';
    if (preface !== 'no') return preface === 'more' ? 0 : this.#takePreface(cursor);
    const length = head.parse(bytes, at, to);
    if (length === 0) {
      http.looked = there;
      return 0;
    }
    if (length < 0) {
      this.#parts.access?.beginOdd(cursor);
      const isHttp2 = lookForPreface(bytes, at, to) !== 'no';
      return this.#refuse(connection, -length, isHttp2 ? 'HTTP/2 is off on this port.' : head.why);
    }
    http.looked = 0;
    http.isFresh = false;
    if (this.#parts.context.isEnding) head.keepAlive = false;
    cursor.headBytes = length;
    return this.#takeWithHead(cursor);
  }

  /** Makes the connection a tunnel from its first byte on. @returns false: there was no room, the connection waits */
  openTunnel(connection: Connection, http: HttpState): boolean {
    const { dispatcher, reading } = this.#parts;
    if (dispatcher.mustWait(connection)) return false;
    const ring = this.#uploads.ringFor(connection, dispatcher.ringFor(connection));
    if (ring === undefined) return false;
    if (!ring.hasRoomFor(REQUEST_PREFIX_BYTES)) {
      reading.stall(connection, ring, true);
      return false;
    }
    this.#answers.begin(connection, http, ring);
    http.hasBegun = true;
    const bits = RequestBit.http2 | (connection.secure === null ? 0 : RequestBit.tls);
    ring.putWords(firstWordOf(0, 0, bits), 0);
    ring.commit(Event.request, 0, http.exchange, connection.sessionId, REQUEST_PREFIX_BYTES);
    http.phase = Phase.owed;
    this.becomeTunnel(connection, http);
    return true;
  }

  /** The worker has accepted an upgrade. @param flags AnswerFlag */
  upgraded(connection: Connection, http: HttpState, flags: number): void {
    if (flags & AnswerFlag.webSocket) this.#becomeWebSocket(connection, http, (flags & AnswerFlag.deflate) !== 0);
    else this.becomeTunnel(connection, http);
  }

  /** From here on the connection belongs to one worker, and bytes go both ways as they come. */
  becomeTunnel(connection: Connection, http: HttpState): void {
    const { ending, reading, tunnel } = this.#parts;
    this.#leave(connection, http);
    connection.protocol = tunnel;
    connection.state = null;
    if (connection.life === Life.answering) return ending.peerEnded(connection);
    reading.readSoon(connection);
  }

  #becomeWebSocket(connection: Connection, http: HttpState, deflate: boolean): void {
    const { reading, webSocket } = this.#parts;
    this.#leave(connection, http);
    webSocket.begin(connection, deflate);
    if (connection.life === Life.answering) return webSocket.peerEnded(connection);
    reading.readSoon(connection);
  }

  /** The connection speaks HTTP no more, and belongs to the worker that has answered. */
  #leave(connection: Connection, http: HttpState): void {
    this.#answers.noLongerOwed(http);
    this.#parts.dispatcher.rebind(connection, http.worker);
  }

  /**
   * Only the first bytes of a connection are a preface, and over TLS not where ALPN has agreed otherwise (RFC
   * 9113, 3.3, 3.4).
   */
  #takePreface(cursor: Cursor): number {
    const { connection, http } = cursor;
    const alpn = connection.secure?.alpn ?? '';
    if (http.isFresh && alpn === '') {
      this.openTunnel(connection, http); // the preface itself goes into the tunnel
      return 0;
    }
    this.#parts.access?.beginOdd(cursor);
    const why = http.isFresh
      ? 'Another protocol was agreed upon by ALPN.'
      : 'HTTP/2 begins with the first byte of a connection.';
    return this.#refuse(connection, 400, why);
  }

  #takeWithHead(cursor: Cursor): number {
    const { http, head, headBytes, length: there } = cursor;
    const { contentLength, isChunked } = head;
    const { bodyLimit } = this.#parts.options;
    if (contentLength > bodyLimit) {
      this.#parts.access?.begin(cursor);
      return this.#refuseHead(cursor, 413, `The body has more than ${bodyLimit} bytes, which is the bodyLimit.`);
    }
    const hasBody = contentLength > 0 || isChunked;
    if (!hasBody && !head.expectsOther && this.#files.answer(cursor)) return headBytes;
    if (headBytes > this.#shortBytes) {
      this.#parts.access?.begin(cursor);
      return this.#refuseHead(cursor, 431, 'The head is too long for the channels of this server.');
    }
    if (!hasBody) return this.#give(cursor, headBytes, true);
    http.asksContinue = head.expectsContinue && there === headBytes;
    // The handler decides whether the body is to come; the worker sends 100 Continue when the handler asks for it.
    if (http.asksContinue) return this.#give(cursor, headBytes, false);
    if (isChunked) return this.#takeChunked(cursor);
    return this.#takeSized(cursor, headBytes + contentLength);
  }

  /** @param total head and body */
  #takeSized(cursor: Cursor, total: number): number {
    const { http, headBytes, length: there } = cursor;
    if (total > this.#shortBytes) return this.#give(cursor, headBytes, false);
    if (there < total) {
      this.#parts.access?.begin(cursor);
      http.wanted = total;
      http.pace.begin(this.#parts.context.now);
      return this.#waitForRest(http, there);
    }
    http.wanted = 0;
    return this.#give(cursor, total, true);
  }

  /** For a body that is dispatched whole. Its time limit counts from the last bytes that came. */
  #waitForRest(http: HttpState, there: number): number {
    if (there > http.had) {
      http.since = this.#parts.context.now;
      http.pace.came(there - http.had);
      http.had = there;
    }
    return 0;
  }

  /** Dispatches a chunked body that has come completely as a whole request, as others. */
  #takeChunked(cursor: Cursor): number {
    const { connection, http, bytes, at, to, headBytes } = cursor;
    const decoder = new ChunkedDecoder(chunkedLimits(this.#parts.options));
    const pieces: number[] = [];
    const taken = decoder.decode(bytes, at + headBytes, to, (start, end) => pieces.push(start, end));
    if (taken < 0) {
      this.#parts.access?.begin(cursor);
      return this.#refuseHead(cursor, -taken, decoder.why);
    }
    if (!decoder.isDone || decoder.trailers !== '' || headBytes + decoder.bodyBytes > this.#shortBytes) {
      return this.#give(cursor, headBytes, false);
    }
    const whole = Buffer.allocUnsafe(headBytes + decoder.bodyBytes);
    let end = bytes.copy(whole, 0, at, at + headBytes);
    for (let i = 0; i < pieces.length; i += 2) end += bytes.copy(whole, end, pieces[i], pieces[i + 1]);
    cursor.begin(connection, http, whole, 0, end);
    cursor.headBytes = headBytes;
    return this.#give(cursor, end, true) === 0 ? 0 : headBytes + taken;
  }

  /** @param isWhole no body follows @returns `length`, or 0: it has to wait, or the connection ends */
  #give(cursor: Cursor, length: number, isWhole: boolean): number {
    const { connection, bytes, at } = cursor;
    if (this.#rate?.admits(cursor) === false) return this.#turnAway(cursor, isWhole, tooMany(cursor)) ? length : 0;
    if (this.#answers.isFull) return this.#turnAway(cursor, isWhole, FULL) ? length : 0;
    const ring = this.#choose(cursor, length, isWhole);
    if (ring === undefined) return 0;
    if (!ring.hasRoomFor(length + REQUEST_PREFIX_BYTES)) {
      this.#parts.reading.stall(connection, ring, true);
      return 0;
    }
    bytes.copy(ring.bytes, ring.payloadAt + REQUEST_PREFIX_BYTES, at, at + length);
    this.#dispatch(cursor, ring, isWhole ? 0 : RequestFlag.bodyFollows, length);
    return length;
  }

  /** For now: the client may come again. @returns true: the connection goes on */
  #turnAway(cursor: Cursor, isWhole: boolean, answer: ForNow): boolean {
    const { connection, http, head } = cursor;
    this.#parts.access?.begin(cursor);
    this.#parts.count(ReactorCounter.httpRefused);
    const close = !isWhole || !head.keepAlive;
    this.#answers.answer(connection, http, {
      ...answer,
      ...{ close, isHead: head.method === HEAD },
    });
    return !close;
  }

  #choose(cursor: Cursor, length: number, isWhole: boolean): WorkerRing | undefined {
    const { dispatcher } = this.#parts;
    const { connection, bytes, at } = cursor;
    if (dispatcher.mustWait(connection)) return undefined;
    const ring = this.#sticky?.ringFor(cursor, length);
    const goal = ring ?? dispatcher.choiceByRequest?.(connection, bytes, at, length) ?? dispatcher.ringFor(connection);
    if (goal === 'wait') return undefined;
    if (goal === 'discard' || goal === 'close') {
      this.#parts.access?.begin(cursor);
      this.#refuseHead(cursor, 503, 'The request is not served here.');
      return undefined;
    }
    return isWhole ? goal : this.#uploads.ringFor(connection, goal);
  }

  /**
   * The payload lies in the ring, behind the place of the two words. @param flags RequestFlag @param length of the
   * payload without them
   */
  #dispatch(cursor: Cursor, ring: WorkerRing, flags: number, length: number): void {
    const { connection, http, head, headBytes } = cursor;
    const isWhole = flags === 0;
    http.phase = isWhole ? Phase.owed : Phase.streaming;
    http.isHead = head.method === HEAD;
    http.http10 = head.minor === 0;
    http.keepAlive = head.keepAlive;
    http.wanted = 0;
    http.had = 0;
    if (!isWhole) this.#bodies.begin(cursor);
    this.#parts.access?.begin(cursor);
    if (head.isNewer) ring.bytes[ring.payloadAt + REQUEST_PREFIX_BYTES + head.targetEnd + MINOR_AT] = ONE;
    this.#answers.begin(connection, http, ring);
    ring.putWords(firstWordOf(headBytes, head.method, bitsOf(cursor)), secondWordOf(head.targetStart, head.targetEnd));
    ring.commit(Event.request, flags, http.exchange, connection.sessionId, REQUEST_PREFIX_BYTES + length);
    this.#parts.dispatcher.requestDispatched(connection);
  }

  /** A request whose head was read: the answer to HEAD has no body. */
  #refuseHead({ connection, head }: Cursor, status: number, why: string): 0 {
    this.#answers.refuse(connection, { status, why, close: true, isHead: head.method === HEAD });
    return 0;
  }

  #refuse(connection: Connection, status: number, why: string): 0 {
    this.#answers.refuse(connection, { status, why, close: true });
    return 0;
  }
}

function tooMany({ http }: Cursor): ForNow {
  return tooManyRequests(http.verdict);
}

function bitsOf({ head, http, connection }: Cursor): number {
  let bits = head.keepAlive ? RequestBit.keepAlive : 0;
  if (head.minor === 0) bits |= RequestBit.http10;
  if (head.isChunked) bits |= RequestBit.chunked;
  if (head.isUpgrade) bits |= RequestBit.upgrade;
  if (connection.secure !== null) bits |= RequestBit.tls;
  if (http.asksContinue) bits |= RequestBit.asksContinue;
  if (head.expectsOther) bits |= RequestBit.expectsOther;
  return bits;
}

/**
 * A long head that comes in drops is not parsed at each of them, only where a line may have ended, and now and
 * then: there are at most `headerCountLimit` lines.
 */
function isWorthALook(bytes: Buffer, at: number, to: number, looked: number): boolean {
  const there = to - at;
  if (there <= SHORT_HEAD_BYTES || there >= looked * 2) return true;
  const end = bytes.indexOf(LF, at + looked);
  return end >= 0 && end < to;
}
