/**
 * Every request is answered, once: by its worker, or, where the worker dies, takes too long, or should not be
 * asked, by the server itself. Runs in the reactor.
 */

import { AnswerFlag, CloseCode, Event, goneFlags } from '../../../ipc/frame.js';
import type { Reply } from '../../../ipc/reply.js';
import { ReactorCounter } from '../../../memory/boards.js';
import { addressOf, allocateStable, pin } from '../../../os/libc.js';
import type { AnswerPiece } from '../../../protocol/http/file-answer.js';
import { type PlainAnswer, plainAnswer } from '../../../protocol/http/plain-answer.js';
import { writeLatin1 } from '../../../util/latin1.js';
import type { Connection } from '../../connection.js';
import { Life } from '../../life.js';
import { FilePart } from '../../out-queue.js';
import type { WorkerRing } from '../../worker-ring.js';
import { type HttpState, Phase } from './http-state.js';
import { type Http1Parts, stateOf } from './parts.js';

/** Replies of the server itself are not longer. */
export const TEXT_BYTES = 32_768;

/** Where long texts are encoded, one place per thread, made when the first one comes. */
const LONG_TEXT_BYTES = 524_288;
let longText: ReturnType<typeof pin> | undefined;

export class Answers {
  readonly #parts: Http1Parts;
  readonly #upgraded: (connection: Connection, http: HttpState, flags: number) => void;
  readonly #text = allocateStable(TEXT_BYTES);
  readonly #textAddress = addressOf(this.#text);

  /** @param upgraded the worker has replied that the connection speaks another protocol from here on (AnswerFlag) */
  constructor(parts: Http1Parts, upgraded: (connection: Connection, http: HttpState, flags: number) => void) {
    this.#parts = parts;
    this.#upgraded = upgraded;
  }

  /** @returns false: the bytes belong to an exchange that is over, or that another process answers */
  isAwaited(connection: Connection, exchange: number, peer: number): boolean {
    const http = stateOf(connection);
    if (http.exchange !== exchange || !http.isOwed) return false;
    return http.answerer === null || http.answerer.peer === peer;
  }

  /**
   * (A part of) a reply from a worker in this process (BASE mode), which need not go through the ring; the body of a whole
   * one is not copied. @returns false: there is no room for it, the ring takes it in pieces
   */
  answerDirectly(connection: Connection, reply: Reply, peer: number): boolean {
    const length = reply.bytes;
    const { sending, access } = this.#parts;
    if (length > TEXT_BYTES && !sending.hasRoomFor(connection, length)) return false;
    if (access !== undefined && (reply.flags & AnswerFlag.interim) === 0) access.replied(stateOf(connection), reply);
    if (length > TEXT_BYTES) {
      if (reply.body === null && length <= LONG_TEXT_BYTES) this.#writeLongText(connection, reply, length);
      // Who streams may fill its buffer again for the next part; the body of a whole answer is given away.
      else sending.writeParts(connection, reply.parts, length, reply.isWhole);
    } else {
      reply.writeTo(this.#text, 0);
      if (goesOn(connection, reply)) sending.hold(connection, this.#text, 0, length);
      else sending.write(connection, this.#text, 0, this.#textAddress, length);
    }
    this.answered(connection, reply.flags, peer);
    return true;
  }

  /** A text has no bytes that could be lent: it is encoded into memory that is used again, and leaves from there. */
  #writeLongText(connection: Connection, reply: Reply, length: number): void {
    longText ??= pin(allocateStable(LONG_TEXT_BYTES));
    reply.writeTo(longText.buffer, 0);
    this.#parts.sending.write(connection, longText.buffer, 0, longText.address, length);
  }

  /** Bytes of the reply were written. @param flags AnswerFlag */
  answered(connection: Connection, flags: number, peer: number): void {
    if (connection.isClosed) return;
    const http = stateOf(connection);
    http.isWithinPiece = (flags & AnswerFlag.more) !== 0;
    if ((flags & AnswerFlag.interim) === 0) {
      if (!http.begun && (flags & AnswerFlag.last) === 0) this.#noteAnswerer(connection, http, peer);
      http.begun = true;
    } else if (flags & AnswerFlag.continue) this.#continued(http);
    if (flags & (AnswerFlag.tunnel | AnswerFlag.webSocket)) {
      this.#parts.access?.end(http, true);
      return this.#upgraded(connection, http, flags);
    }
    if (flags & AnswerFlag.last) this.finish(connection, http, (flags & AnswerFlag.close) !== 0);
  }

  /**
   * A detached request has no taker: only the process that answers it can report that the reply will never be whole.
   */
  #noteAnswerer({ slot }: Connection, http: HttpState, peer: number): void {
    const { table, processes } = this.#parts.context;
    if (table.taker(slot) === 0) http.answerer = { peer, pid: processes.of(peer) };
  }

  /** The client sends its body from now on: its time limit begins. */
  #continued(http: HttpState): void {
    http.asksContinue = false;
    http.since = this.#parts.context.now;
    http.pace.begin(http.since);
  }

  finish(connection: Connection, http: HttpState, close: boolean): void {
    const isWhole = http.phase !== Phase.streaming;
    if (http.joinedAs !== 0) this.#leaveRooms(connection, http);
    if (http.access !== null) this.#parts.access?.done(connection, http);
    this.noLongerOwed(http);
    if (close || !isWhole || http.isDismissed) {
      this.drop(connection);
      const code = http.isDismissed ? CloseCode.WORKER_REPLACED : CloseCode.SERVER_CLOSED;
      return this.#parts.ending.closeWhenFlushed(connection, code);
    }
    this.#lookForTheEndAgain(connection);
    http.phase = Phase.flushing;
    if (connection.out?.isHeld === true) this.#takeNext(connection, http);
    else if (connection.isFlushed) this.flushed(connection);
  }

  /** The next request of a batch is given to the worker in the same turn, and its answer joins the one that is held. */
  #takeNext(connection: Connection, http: HttpState): void {
    const { worker } = http;
    this.#readyForNext(http);
    if (connection.input === null && !connection.readable) return;
    this.#parts.reading.read(connection);
    this.#parts.context.ring(worker).flush();
  }

  /** The client has taken all queued bytes. */
  flushed(connection: Connection): void {
    const http = stateOf(connection);
    if (http.phase !== Phase.flushing) return;
    this.#parts.access?.flushed(http);
    this.#lookForTheEndAgain(connection);
    this.#readyForNext(http);
    if (connection.input !== null || connection.readable) this.#parts.reading.readSoon(connection);
  }

  /** Behind the requests that came before the client's end. */
  #lookForTheEndAgain(connection: Connection): void {
    if (connection.life !== Life.answering) return;
    connection.moveTo(Life.open);
    connection.readable = true;
  }

  #readyForNext(http: HttpState): void {
    http.phase = Phase.request;
    http.hasBegun = false;
    http.verdict = 0;
    http.since = this.#parts.context.now;
  }

  /** The answer was a member of rooms until now. */
  #leaveRooms(connection: Connection, http: HttpState): void {
    http.joinedAs = 0;
    this.#parts.rooms.leaveAll(connection);
  }

  noLongerOwed(http: HttpState): void {
    if (!http.isOwed) return;
    http.phase = Phase.flushing;
    http.decoder = null;
    if (http.access?.isDone === false) this.#parts.access?.end(http, false);
    this.#countUnderWay(-1);
  }

  /** Sends the server's own reply to the request at the front, or to the one under way. */
  answer(connection: Connection, http: HttpState, answer: PlainAnswer): void {
    const text = plainAnswer(answer);
    this.#parts.access?.own(connection, http, text);
    this.noLongerOwed(http);
    this.send(connection, text);
    this.#parts.access?.done(connection, http);
    if (connection.isClosed) return;
    if (answer.close) {
      this.drop(connection);
      return this.#parts.ending.closeWhenFlushed(connection, codeOf(answer.status));
    }
    http.phase = Phase.flushing;
    if (connection.isFlushed) this.flushed(connection);
  }

  refuse(connection: Connection, answer: PlainAnswer): void {
    this.#parts.refused(connection, CloseCode.HTTP_REFUSED, answer.why);
    this.#parts.count(ReactorCounter.httpRefused);
    this.answer(connection, stateOf(connection), answer);
  }

  /**
   * Breaks off a request that a worker has: notifies the worker, and answers the client if it has received nothing
   * yet.
   */
  breakOff(connection: Connection, http: HttpState, answer: PlainAnswer): void {
    this.#sendGone(connection, http, goneFlags(codeOf(answer.status)), `${answer.status} ${answer.why}`);
    if (!http.begun) return this.answer(connection, http, answer);
    this.noLongerOwed(http);
    this.#parts.ending.reset(connection, codeOf(answer.status));
  }

  /**
   * The client has ended its side and nothing of the reply has left for halfCloseTimeoutMs. A reply that has not
   * begun is left to requestTimeoutMs, where that is set.
   */
  overdue(connection: Connection): void {
    const http = stateOf(connection);
    if (!http.begun && this.#parts.options.requestTimeoutMs > 0) return;
    this.#parts.count(ReactorCounter.httpTimedOut);
    this.#sendGone(connection, http, goneFlags(CloseCode.ANSWER_TIMEOUT));
    if (!http.begun) {
      const why = 'The server could not answer in time.';
      return this.answer(connection, http, { status: 503, why, close: true, isHead: http.isHead });
    }
    this.noLongerOwed(http);
    this.#parts.ending.reset(connection, CloseCode.ANSWER_TIMEOUT);
  }

  /** @param text of at most TEXT_BYTES */
  send(connection: Connection, text: string): void {
    if (text === '') return;
    const length = writeLatin1(this.#text, text, 0);
    this.#parts.sending.write(connection, this.#text, 0, this.#textAddress, length);
  }

  /** Sends a head and its body: small pieces leave together with it. */
  sendPieces(connection: Connection, head: string, pieces: readonly AnswerPiece[]): void {
    let text = head;
    for (const piece of pieces) {
      if ('text' in piece) text += piece.text;
      else if ('bytes' in piece) {
        this.#sendBytes(connection, text, piece.bytes);
        text = '';
      } else {
        const length = writeLatin1(this.#text, text, 0);
        const { path, offset, length: bytes } = piece;
        this.#parts.sending.writeFile(connection, new FilePart(path, offset, bytes), this.#text.subarray(0, length));
        text = '';
      }
      if (connection.isClosed) return;
    }
    this.send(connection, text);
  }

  /** Small files are held whole, and those whose size shows only when they are read may be longer than `#text`. */
  #sendBytes(connection: Connection, text: string, bytes: Buffer): void {
    let begun = writeLatin1(this.#text, text, 0);
    let at = 0;
    do {
      const count = bytes.copy(this.#text, begun, at);
      this.#parts.sending.write(connection, this.#text, 0, this.#textAddress, begun + count);
      at += count;
      begun = 0;
    } while (at < bytes.length && !connection.isClosed);
  }

  /** Discards waiting bytes. */
  drop(connection: Connection): void {
    connection.input = null;
  }

  /** FIN. */
  peerEnded(connection: Connection, http: HttpState): void {
    connection.readable = false;
    switch (http.phase) {
      case Phase.owed:
        this.#parts.ending.answering(connection);
        return this.#sendGone(connection, http, goneFlags(CloseCode.CLIENT_CLOSED, true));
      case Phase.streaming:
        this.#sendGone(connection, http, goneFlags(CloseCode.CLIENT_CLOSED));
        this.noLongerOwed(http);
        return this.#parts.ending.closeWhenFlushed(connection, CloseCode.CLIENT_CLOSED);
      case Phase.flushing:
        // Requests that came before the end wait for the client to take this answer.
        if (connection.input !== null) return this.#parts.ending.answering(connection);
        return this.#close(connection);
      case Phase.request:
        return this.#close(connection);
    }
  }

  #close(connection: Connection): void {
    this.drop(connection);
    this.#parts.ending.closeWhenFlushed(connection, CloseCode.CLIENT_CLOSED);
  }

  /**
   * Dismisses a connection that cannot be handed off to the next process: pending requests are answered, and no
   * others.
   */
  dismiss(connection: Connection): void {
    const http = stateOf(connection);
    http.isDismissed = true;
    if (http.isOwed) return;
    this.drop(connection);
    this.#parts.ending.closeWhenFlushed(connection, CloseCode.WORKER_REPLACED);
  }

  /**
   * The connection is gone, or takes no more bytes: further work of a worker for it has no effect. @param code
   * CloseCode
   */
  lost(connection: Connection, code: number): void {
    const http = stateOf(connection);
    if (http.access !== null) this.#parts.access?.lost(connection, http);
    if (!http.isOwed) return;
    this.#sendGone(connection, http, goneFlags(code));
    this.noLongerOwed(http);
  }

  #sendGone({ sessionId }: Connection, http: HttpState, flags: number, message = ''): void {
    this.#parts.context.ring(http.worker).sendEvent(Event.gone, flags, http.exchange, sessionId, message);
  }

  /** Processes have ended: no other process answers the requests that they had taken. */
  checkTaker(connection: Connection): void {
    const http = stateOf(connection);
    if (http.isOwed && this.#isDead(connection, http)) this.#takerDied(connection, http);
  }

  #isDead({ slot }: Connection, { answerer, worker }: HttpState): boolean {
    const { table, processes } = this.#parts.context;
    // pid 0: it was gone before the beginning of its reply was taken.
    if (answerer !== null) return answerer.pid === 0 || processes.isGone(answerer.peer, answerer.pid);
    const pid = table.taker(slot);
    return pid !== 0 && processes.isGoneFrom(worker, pid);
  }

  #takerDied(connection: Connection, http: HttpState): void {
    if (http.begun) {
      this.noLongerOwed(http);
      return this.#parts.ending.reset(connection, CloseCode.WORKER_DIED);
    }
    this.#parts.count(ReactorCounter.badGateways);
    const close = this.closesBehind(connection, http);
    this.answer(connection, http, {
      ...{ status: 502, why: 'The process that served the request has ended.', close, isHead: http.isHead },
    });
  }

  sendsLost(connection: Connection): void {
    const http = stateOf(connection);
    if (!http.isOwed || !http.begun) return;
    this.noLongerOwed(http);
    this.#parts.ending.reset(connection, CloseCode.WORKER_DIED);
  }

  /** True when a reply of the server itself, to the request under way, ends the connection. */
  closesBehind({ life }: Connection, http: HttpState): boolean {
    return http.phase === Phase.streaming || !http.keepAlive || http.http10 || life === Life.answering;
  }

  /** True when `maxConcurrency` requests of the server are under way. */
  get isFull(): boolean {
    const { maxConcurrency } = this.#parts.options;
    if (maxConcurrency === 0) return false;
    const { board, workers, rings, reactorNum } = this.#parts.context;
    let underWay = 0;
    for (let id = 0; id < reactorNum; id++) underWay += board.underWay(id);
    return underWay + workers.streamsUnderWay(rings.length) >= maxConcurrency;
  }

  begin(connection: Connection, http: HttpState, ring: WorkerRing): void {
    http.exchange = (http.exchange + 1) & 0xffff;
    http.worker = ring.worker;
    http.begun = false;
    http.answerer = null;
    http.since = this.#parts.context.now;
    this.#parts.context.table.setTaker(connection.slot, 0);
    this.#countUnderWay(1);
  }

  /** Adopts a connection that the preceding process had given to a worker. */
  adopt(connection: Connection): void {
    if (stateOf(connection).isOwed) this.#countUnderWay(1);
  }

  #countUnderWay(change: 1 | -1): void {
    const { board, id } = this.#parts.context;
    board.countUnderWay(id, change);
  }
}

/** Why a connection ends after a reply of the server itself. */
function codeOf(status: number): number {
  if (status === 502) return CloseCode.WORKER_DIED;
  return status === 408 || status === 503 ? CloseCode.HTTP_TIMEOUT : CloseCode.HTTP_REFUSED;
}

/** Further requests have come with this one (pipelining), and nothing else is queued before its answer. */
function goesOn({ input, out, life }: Connection, { flags }: Reply): boolean {
  return input !== null && flags === AnswerFlag.last && life === Life.open && (out === null || out.isHeld);
}
