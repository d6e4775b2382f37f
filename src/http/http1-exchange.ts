/**
 * A request that came over HTTP/1, and its answer: the head's bytes go to the wire as they are built here. Runs in
 * a worker.
 */

import { ServerError } from '../errors/index.js';
import { AnswerFlag, JoinAs, RequestBit, RequestFlag } from '../ipc/frame.js';
import { bitsOf, headBytesOf, methodOf, targetEndOf, targetStartOf, ticketOf } from '../ipc/frames/http.js';
import type { Outbox } from '../ipc/outbox.js';
import { parseFields } from '../protocol/http/fields.js';
import type { Forwarded } from '../protocol/http/forwarded.js';
import { methods } from '../protocol/http/methods.js';
import { CONTINUE } from '../protocol/http/plain-answer.js';
import { isAscii } from '../util/ascii.js';
import { copyBytes } from '../util/copy-bytes.js';
import { readLatin1 } from '../util/latin1.js';
import { afterGone } from '../util/pause.js';
import type { AnswerFrames } from './answer-frames.js';
import { type AnswerHeads, fieldLines, headOf, Persistence, statusLine } from './answer-head.js';
import { type BodyCut, byAnswer, byServer } from './cut.js';
import type { Exchange, FieldList, FilePiece, RequestBody } from './exchange.js';
import {
  interimFields,
  LengthCount,
  lengthToBegin,
  lengthToTell,
  mayNeedBody,
  statusHasBody,
} from './framing-fields.js';
import { type IncomingBody, noBody, StreamedBody, WholeBody } from './incoming-body.js';
import type { RawExchange, Tunnel, TunnelEvents } from './node/raw-exchange.js';
import type { RequestSpan } from './request-span.js';
import type { TakenRequest } from './taken-request.js';

/** Shared by the exchanges of one worker. */
export interface Http1Host {
  readonly outbox: Outbox;
  readonly frames: AnswerFrames;
  /** The server is shutting down. */
  readonly isDraining: boolean;
  /** False: no event reports the end of a connection to this process; sending shows it. */
  readonly seesEnds: boolean;
  /** This process is being replaced, or shuts down. */
  readonly isLeaving: boolean;
  readonly heads: AnswerHeads;
  remote(fd: number): { remoteAddress: string; remotePort: number };
  /** Missing: no proxy is trusted. */
  forwarded?(exchange: Http1Exchange): Forwarded | undefined;
  /** An answer of this status begins. */
  answered(status: number): void;
  /** The answer is whole, or will never be. */
  ended(exchange: Http1Exchange): void;
  openTunnel(fd: number, events: TunnelEvents): Tunnel;
  /** The answer comes from another process. */
  detached(exchange: Http1Exchange): void;
}

/** From the target's end to the first field line: ` HTTP/1.1` and CRLF. */
const VERSION_BYTES = 11;
const { last: LAST, close: CLOSE, interim: INTERIM, tunnel: TUNNEL } = AnswerFlag;

/** One frame takes it whatever the channel's size. */
const MOST_MEMBER_BYTES = 16_384;

export class Http1Exchange implements Exchange, RawExchange {
  readonly fd: number;
  /** Its number: frames of the answer carry it. */
  readonly number: number;
  readonly head: string;
  /** The exchange continues after the callback: the service keeps it. */
  isTracked = false;
  isEnded = false;
  isGone = false;
  span: RequestSpan | undefined;
  readonly #host: Http1Host;
  readonly #first: number;
  readonly #second: number;
  readonly #body: IncomingBody;
  #fields: string[] | undefined;
  #isChunkedAnswer = false;
  #closes = false;
  #hasNoBody = false;
  /** What is published to rooms comes between its pieces: each piece leaves in one frame. */
  #isMember = false;
  /** Of an answer in pieces with a length. */
  #length: LengthCount | null = null;
  #leavingListener: (() => void) | undefined;
  #hasBegun = false;
  /** Of an answer as bytes the status has been seen. */
  #isAnswered = false;
  /** The client has ended its side; the answer had begun then, or not. */
  #halfClosed: 'no' | 'before' | 'within' = 'no';
  #goneListeners: (() => void)[] | undefined;
  #halfClosedListeners: ((hasBegun: boolean) => void)[] | undefined;

  constructor(host: Http1Host, { fd, exchange, flags, first, second, bytes, at, end }: Omit<TakenRequest, 'fill'>) {
    const headEnd = at + headBytesOf(first);
    this.fd = fd;
    this.number = exchange;
    this.#host = host;
    this.#first = first;
    this.#second = second;
    this.head = readLatin1(bytes, at, headEnd);
    if (flags & RequestFlag.bodyFollows) this.#body = new StreamedBody(this, this.#has(RequestBit.asksContinue));
    else this.#body = headEnd === end ? noBody : new WholeBody(copyBytes(bytes, headEnd, end));
  }

  get isHttp2(): boolean {
    return this.#has(RequestBit.http2);
  }

  get httpVersion(): '1.0' | '1.1' {
    return this.#has(RequestBit.http10) ? '1.0' : '1.1';
  }

  get method(): string {
    return methods[methodOf(this.#first)] as string;
  }

  get target(): string {
    return this.head.slice(targetStartOf(this.#second), targetEndOf(this.#second));
  }

  get isEncrypted(): boolean {
    return this.#has(RequestBit.tls);
  }

  get isChunked(): boolean {
    return this.#has(RequestBit.chunked);
  }

  get isUpgrade(): boolean {
    return this.#has(RequestBit.upgrade);
  }

  /** The Expect field asks for something else than 100-continue. */
  get expectsOther(): boolean {
    return this.#has(RequestBit.expectsOther);
  }

  get rawHeaders(): readonly string[] {
    this.#fields ??= parseFields(this.head.slice(targetEndOf(this.#second) + VERSION_BYTES, -2));
    return this.#fields;
  }

  get body(): RequestBody {
    return this.#body;
  }

  get forwarded(): Forwarded | undefined {
    return this.#host.forwarded?.(this);
  }

  /** Of the connection, as `remotePort`: what servers of Node call the address of a socket. */
  get remoteAddress(): string {
    return this.#host.remote(this.fd).remoteAddress;
  }

  get remotePort(): number {
    return this.#host.remote(this.fd).remotePort;
  }

  // ——— incoming ———

  /** @param flags BodyFlag */
  bodyCame(data: Buffer, flags: number): void {
    if (this.#body instanceof StreamedBody) this.#body.push(data, flags);
  }

  get hasWholeBody(): boolean {
    return this.#body.isComplete;
  }

  /** True when only the process that has it can continue it: another one cannot take its body. */
  get isUpload(): boolean {
    return !this.isEnded && !this.#body.isComplete;
  }

  /** Lets the client send the body it has announced. Not sent where the body is there, or behind a final head (RFC 9110 10.1.1, 15.2). */
  sendContinue(): void {
    if (this.isEnded || this.#hasBegun || this.#body.isComplete) return;
    this.#send(INTERIM | AnswerFlag.continue, CONTINUE, null);
  }

  /** An answer that is made of the body goes on behind its head, and the client would not send it any more. */
  #continueBefore(status: number): void {
    const body = this.#body;
    if (!mayNeedBody(status) || !(body instanceof StreamedBody) || !body.isClaimed || !body.isAskedFor) return;
    body.leaveContinue();
    this.sendContinue();
  }

  leaveContinue(): void {
    if (this.#body instanceof StreamedBody) this.#body.leaveContinue();
  }

  /** The reactor may send that many more bytes of the body. */
  taken(bytes: number): void {
    this.#host.frames.taken(this, bytes);
  }

  /** The client has ended its side, after its whole request: an answer may still reach it. */
  ended(): void {
    if (!this.isGone) this.#clientEnded();
  }

  /** An answer does not reach the client any more. */
  gone(cut: BodyCut): void {
    if (this.isGone) return;
    this.isGone = true;
    this.#body.fail(cut);
    const listeners = this.#goneListeners ?? [];
    this.#goneListeners = undefined;
    for (const listener of listeners) listener();
    this.#end();
  }

  onGone(listener: () => void): void {
    if (this.isGone) return listener();
    this.#goneListeners ??= [];
    this.#goneListeners.push(listener);
  }

  onHalfClosed(listener: (hasBegun: boolean) => void): void {
    if (this.#halfClosed !== 'no') return listener(this.#halfClosed === 'within');
    this.#halfClosedListeners ??= [];
    this.#halfClosedListeners.push(listener);
  }

  onLeaving(listener: () => void): void {
    this.#leavingListener = listener;
    if (this.#host.isLeaving) listener();
  }

  /** The process is about to leave. */
  leave(): void {
    this.#leavingListener?.();
  }

  // ——— the answer ———

  respond(status: number, reason: string, fields: FieldList, body: string | Uint8Array): void {
    if (this.isEnded) return;
    this.span?.answers(status);
    this.#host.answered(status);
    const hasNone = !statusHasBody(status);
    const bytes = plainBytes(body);
    const length = lengthToTell(status, this.#isHead, fields, bytes.length);
    const persistence = this.#persistence;
    const isSent = !hasNone && bytes.length > 0 && !this.#isHead;
    const text = isSent && typeof bytes === 'string' ? bytes : '';
    const rest = isSent && typeof bytes !== 'string' ? bytes : null;
    const kept = this.#host.heads.find(status, reason, fields, length, persistence);
    if (kept !== undefined) {
      const flags = persistence === Persistence.ends ? LAST | CLOSE : LAST;
      this.#host.frames.send(this, flags, kept, text, rest);
    } else {
      const head = headOf(status, reason, fields, length, persistence);
      this.#send(head.closes ? LAST | CLOSE : LAST, `${head.text}\r\n${text}`, rest);
    }
    this.#end();
  }

  begin(status: number, reason: string, fields: FieldList): void {
    if (this.isEnded) return;
    this.span?.answers(status);
    this.#host.answered(status);
    this.#continueBefore(status);
    this.#hasBegun = true;
    this.#hasNoBody = !statusHasBody(status) || this.#isHead;
    const declared = lengthToBegin(status, fields);
    const isOpenEnded = declared === -1 && statusHasBody(status);
    // Only the end of the connection ends such a body in HTTP/1.0.
    const ends = isOpenEnded && this.#has(RequestBit.http10);
    const head = headOf(status, reason, fields, declared, ends ? Persistence.ends : this.#persistenceOfPieces);
    this.#closes = head.closes;
    this.#isChunkedAnswer = isOpenEnded && !ends && !this.#hasNoBody;
    this.#length = declared === -1 || this.#hasNoBody ? null : new LengthCount(declared);
    const framing = isOpenEnded && !ends ? 'transfer-encoding: chunked\r\n' : '';
    this.#send(0, `${head.text}${framing}\r\n`, null);
  }

  write(data: string | Uint8Array): boolean {
    if (this.isEnded) return false;
    if (data.length === 0 || this.#hasNoBody) return true;
    if (this.#isChunkedAnswer) return this.#writeChunk(0, data, '');
    const bytes = plainBytes(data);
    this.#length?.add(bytes.length);
    return this.#writePlain(0, bytes);
  }

  writeFile(piece: FilePiece): void {
    if (this.isEnded || this.#hasNoBody || piece.length === 0) return;
    this.#length?.add(piece.length);
    this.#host.frames.sendFile(this, 0, piece);
  }

  end(data: string | Uint8Array = '', trailers: FieldList = []): void {
    if (this.isEnded) return;
    const flags = this.#closes || !this.#body.isComplete ? LAST | CLOSE : LAST;
    if (this.#isChunkedAnswer) {
      const tail = `0\r\n${fieldLines(trailers)}\r\n`;
      if (data.length > 0) this.#writeChunk(flags, data, tail);
      else this.#send(flags, tail, null);
    } else this.#endPlain(flags, this.#hasNoBody ? '' : data);
    this.#end();
  }

  inform(status: number, fields: FieldList): void {
    if (this.isEnded || this.#has(RequestBit.http10)) return;
    this.#send(INTERIM, `${statusLine(status, '')}${fieldLines(interimFields(fields))}\r\n`, null);
  }

  get mayJoin(): boolean {
    return this.#host.outbox.rooms.areThere;
  }

  join(room: string): boolean {
    if (this.isEnded || !this.#hasBegun || this.#hasNoBody) return false;
    this.#isMember = true;
    return this.#host.outbox.rooms.join(this.fd, room, this.#isChunkedAnswer ? JoinAs.chunkedEvents : JoinAs.events);
  }

  drain(): Promise<void> {
    return this.isGone ? afterGone() : this.#host.outbox.drain(this.fd);
  }

  detach(): number {
    if (!this.#body.isComplete) {
      throw new ServerError('ERR_HTTP_DETACH', { why: 'its body is still on its way to this process' });
    }
    this.#host.detached(this);
    this.#end();
    return ticketOf(this.number, this.#first);
  }

  abort(): void {
    if (this.isEnded) return;
    this.span?.aborts();
    this.#host.outbox.close(this.fd, true);
    this.gone(byServer);
  }

  // ——— the answer as bytes, from code that speaks HTTP itself ———

  writeRaw(data: Uint8Array | string, encoding: 'latin1' | 'utf8' = 'latin1'): boolean {
    if (this.isEnded) return false;
    if (data.length === 0) return true;
    if (!this.#isAnswered) this.#rawBegins(data);
    if (typeof data !== 'string') return this.#send(0, '', data);
    return encoding === 'latin1' ? this.#send(0, data, null) : this.#send(0, '', Buffer.from(data));
  }

  /** Interim answers come before the one that counts. */
  #rawBegins(data: Uint8Array | string): void {
    const status = statusOf(data);
    if (!(status >= 100)) return;
    this.span?.answers(status);
    this.#isAnswered = status >= 200;
    if (this.#isAnswered) this.#host.answered(status);
  }

  finish(close: boolean): void {
    if (this.isEnded) return;
    this.#send(close || this.mustClose ? LAST | CLOSE : LAST, '', null);
    this.#end();
  }

  /** Accepts the upgrade to WebSocket: from here on the reactor frames what comes. @param head of the 101, whole */
  becomeWebSocket(head: string, deflate: boolean): void {
    if (this.isEnded) return;
    this.span?.answers(101);
    this.#send(LAST | AnswerFlag.webSocket | (deflate ? AnswerFlag.deflate : 0), head, null);
    this.#end();
  }

  tunnel(events: TunnelEvents): Tunnel {
    const tunnel = this.#host.openTunnel(this.fd, events);
    this.span?.answers(101);
    this.#send(LAST | TUNNEL, '', null);
    this.#end();
    return tunnel;
  }

  // ——— inside ———

  #clientEnded(): void {
    if (this.#halfClosed !== 'no') return;
    this.#halfClosed = this.#hasBegun ? 'within' : 'before';
    const listeners = this.#halfClosedListeners ?? [];
    this.#halfClosedListeners = undefined;
    for (const listener of listeners) listener(this.#hasBegun);
  }

  #has(bit: number): boolean {
    return (bitsOf(this.#first) & bit) !== 0;
  }

  get #isHead(): boolean {
    return methodOf(this.#first) === 1; // methods[1]
  }

  /** The client would not stay, or may not: the rest of its body stands before its next request. */
  get mustClose(): boolean {
    return !this.#has(RequestBit.keepAlive) || this.#host.isDraining || !this.#body.isComplete;
  }

  get #persistence(): Persistence {
    if (this.mustClose) return Persistence.ends;
    return this.#has(RequestBit.http10) ? Persistence.staysIfTold : Persistence.stays;
  }

  /** Who answers while it reads, as an echo does, has the whole body by the end: then the connection stays. Who does not read has not. */
  get #persistenceOfPieces(): Persistence {
    const isOpen = this.#has(RequestBit.keepAlive) && !this.#has(RequestBit.http10) && !this.#host.isDraining;
    const isUnderWay = this.#body instanceof StreamedBody && this.#body.isClaimed && !this.#body.isAskedFor;
    return isOpen && isUnderWay ? Persistence.stays : this.#persistence;
  }

  #send(flags: number, text: string, body: Uint8Array | null, tail = ''): boolean {
    const { frames, seesEnds } = this.#host;
    if (frames.sendChunk(this, flags, text, body, tail)) return true;
    if (!seesEnds && !frames.outbox.isOpen(this.fd)) this.gone(byServer);
    return false;
  }

  /** @param data from `plainBytes` */
  #writePlain(flags: number, data: string | Uint8Array): boolean {
    if (this.#isMember) checkMemberPiece(data);
    return typeof data === 'string' ? this.#send(flags, data, null) : this.#send(flags, '', data);
  }

  #endPlain(flags: number, data: string | Uint8Array): void {
    const bytes = plainBytes(data);
    if (this.#length !== null) {
      this.#length.add(bytes.length);
      this.#length.checkWhole();
    }
    this.#writePlain(flags, bytes);
  }

  #writeChunk(flags: number, data: string | Uint8Array, tail: string): boolean {
    if (this.#isMember) checkMemberPiece(data);
    if (typeof data === 'string' && isAscii(data)) {
      return this.#send(flags, `${data.length.toString(16)}\r\n${data}\r\n${tail}`, null);
    }
    const bytes = typeof data === 'string' ? Buffer.from(data) : data;
    const size = `${bytes.length.toString(16)}\r\n`;
    return this.#send(flags, size, bytes, `\r\n${tail}`);
  }

  #end(): void {
    if (this.isEnded) return;
    this.isEnded = true;
    this.span?.end();
    this.#body.fail(byAnswer);
    if (this.isTracked) this.#host.ended(this);
  }
}

/** @throws ServerError ERR_HTTP_SSE */
function checkMemberPiece(data: string | Uint8Array): void {
  const length = Buffer.byteLength(data);
  if (length <= MOST_MEMBER_BYTES) return;
  const expected = `at most ${MOST_MEMBER_BYTES} bytes in a stream that is a member of rooms`;
  throw new ServerError('ERR_HTTP_SSE', { field: 'data', expected, received: `${length} bytes` });
}

/** A text stays a text where its characters are its bytes. */
function plainBytes(data: string | Uint8Array): string | Uint8Array {
  return typeof data !== 'string' || isAscii(data) ? data : Buffer.from(data);
}

/** `HTTP/1.1 200`. */
const STATUS_AT = 9;
const STATUS_END = 12;

/** @param head an answer begins with it @returns NaN where that has no status */
function statusOf(head: Uint8Array | string): number {
  if (typeof head === 'string') return Number(head.slice(STATUS_AT, STATUS_END));
  return Number(Buffer.from(head.subarray(STATUS_AT, STATUS_END)).toString('latin1'));
}
