/**
 * Sees to it that every request is answered, once: by its worker, or, where that dies, takes too long, or should not be
 * asked, by the server itself. Runs in the reactor.
 */

import { AnswerFlag, CloseCode, Event, goneFlags } from '../../ipc/frame.js';
import type { WholeAnswer } from '../../ipc/outbox.js';
import { ReactorCounter } from '../../memory/boards.js';
import { addressOf, allocateStable } from '../../os/libc.js';
import type { AnswerPiece } from '../../protocol/http/file-answer.js';
import { type PlainAnswer, plainAnswer } from '../../protocol/http/plain-answer.js';
import { writeLatin1 } from '../../util/latin1.js';
import type { ReactorConnection } from '../connection.js';
import { FilePart } from '../out-queue.js';
import type { WorkerLane } from '../worker-lane.js';
import { type HttpState, Phase } from './http-state.js';
import type { HttpParts } from './parts.js';

/** What the server says by itself is not longer. */
export const TEXT_BYTES = 32_768;

export class Answers {
  readonly #parts: HttpParts;
  readonly #tunnelled: (connection: ReactorConnection, http: HttpState) => void;
  /** Owed answers of this reactor. */
  #underWay = 0;
  readonly #text = allocateStable(TEXT_BYTES);
  readonly #textAddress = addressOf(this.#text);

  /** @param tunnelled the worker has answered that from here on bytes go both ways */
  constructor(parts: HttpParts, tunnelled: (connection: ReactorConnection, http: HttpState) => void) {
    this.#parts = parts;
    this.#tunnelled = tunnelled;
    parts.context.board.setUnderWay(parts.context.id, 0);
  }

  /** @returns false: bytes of an exchange that is over, or that another process answers */
  isAwaited({ http }: ReactorConnection, exchange: number, peer: number): boolean {
    if (http === null || http.exchange !== exchange || !http.isOwed) return false;
    return http.answerer === null || http.answerer.peer === peer;
  }

  /**
   * A whole answer from a worker in this process (BASE mode), which need not go through the ring: 2 to 3 % of what a
   * request costs. @returns false: it is too long, the ring takes it in pieces
   */
  answerDirectly(connection: ReactorConnection, { flags, head, text, body }: WholeAnswer, peer: number): boolean {
    const textAt = head === null ? 0 : head.length;
    const bodyAt = textAt + text.length;
    const length = bodyAt + (body === null ? 0 : body.length);
    if (length > TEXT_BYTES) return false;
    if (head !== null) this.#text.set(head, 0);
    if (text !== '') writeLatin1(this.#text, text, textAt);
    if (body !== null) this.#text.set(body, bodyAt);
    this.#parts.sending.write(connection, this.#text, 0, this.#textAddress, length);
    this.answered(connection, flags, peer);
    return true;
  }

  /** Bytes of the answer were written. @param flags AnswerFlag */
  answered(connection: ReactorConnection, flags: number, peer: number): void {
    const { http } = connection;
    if (http === null || connection.ended) return;
    if ((flags & AnswerFlag.interim) === 0) {
      if (!http.begun && (flags & AnswerFlag.last) === 0) this.#noteAnswerer(connection, http, peer);
      http.begun = true;
    } else if (flags & AnswerFlag.continue) this.#continued(http);
    if (flags & AnswerFlag.tunnel) return this.#tunnelled(connection, http);
    if (flags & AnswerFlag.last) this.finish(connection, http, (flags & AnswerFlag.close) !== 0);
  }

  /** A request that was detached has no taker: only what answers it can tell that its answer will never be whole. */
  #noteAnswerer({ slot }: ReactorConnection, http: HttpState, peer: number): void {
    const { context, host } = this.#parts;
    if (context.table.taker(slot) === 0) http.answerer = { peer, pid: host.processOf(peer) };
  }

  /** The client sends its body from now on: its time begins. */
  #continued(http: HttpState): void {
    http.asksContinue = false;
    http.since = this.#parts.context.now;
    http.pace.begin(http.since);
  }

  finish(connection: ReactorConnection, http: HttpState, close: boolean): void {
    const isWhole = http.phase !== Phase.streaming;
    this.noLongerOwed(http);
    if (close || !isWhole || http.isDismissed) {
      this.drop(connection);
      const code = http.isDismissed ? CloseCode.WORKER_REPLACED : CloseCode.SERVER_CLOSED;
      return this.#parts.ending.closeWhenFlushed(connection, code);
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
    http.since = this.#parts.context.now;
    if (connection.input !== null || connection.readable) this.#parts.readSoon(connection);
  }

  noLongerOwed(http: HttpState): void {
    if (!http.isOwed) return;
    http.phase = Phase.flushing;
    http.decoder = null;
    this.#setUnderWay(this.#underWay - 1);
  }

  /** The server's own answer to the request at the front, or to the one that is under way. */
  answer(connection: ReactorConnection, http: HttpState, answer: PlainAnswer): void {
    this.noLongerOwed(http);
    this.say(connection, plainAnswer(answer));
    if (connection.ended) return;
    if (answer.close) {
      this.drop(connection);
      return this.#parts.ending.closeWhenFlushed(connection, codeOf(answer.status));
    }
    http.phase = Phase.flushing;
    if (connection.isFlushed) this.flushed(connection);
  }

  refuse(connection: ReactorConnection, answer: PlainAnswer): void {
    this.#parts.host.refused(connection, CloseCode.HTTP_REFUSED, answer.why);
    this.#parts.count(ReactorCounter.httpRefused);
    this.answer(connection, this.#parts.stateOf(connection), answer);
  }

  /** Of a request that a worker has: it is told, and the client too if it has not been told anything yet. */
  breakOff(connection: ReactorConnection, http: HttpState, answer: PlainAnswer): void {
    this.#tellGone(connection, http, goneFlags(codeOf(answer.status)), `${answer.status} ${answer.why}`);
    if (!http.begun) return this.answer(connection, http, answer);
    this.noLongerOwed(http);
    this.#parts.ending.reset(connection, codeOf(answer.status));
  }

  /**
   * The client has ended its side and nothing of the answer has left for halfCloseTimeoutMs. One that has not begun is
   * left to requestTimeoutMs, where there is one.
   */
  overdue(connection: ReactorConnection): void {
    const http = this.#parts.stateOf(connection);
    if (!http.begun && this.#parts.optionsOf(connection).requestTimeoutMs > 0) return;
    this.#parts.count(ReactorCounter.httpTimedOut);
    this.#tellGone(connection, http, goneFlags(CloseCode.ANSWER_TIMEOUT));
    if (!http.begun) {
      const why = 'The server could not answer in time.';
      return this.answer(connection, http, { status: 503, why, close: true, isHead: http.isHead });
    }
    this.noLongerOwed(http);
    this.#parts.ending.reset(connection, CloseCode.ANSWER_TIMEOUT);
  }

  /** @param text of at most TEXT_BYTES */
  say(connection: ReactorConnection, text: string): void {
    if (text === '') return;
    const length = writeLatin1(this.#text, text, 0);
    this.#parts.sending.write(connection, this.#text, 0, this.#textAddress, length);
  }

  /** A head, and what follows: small pieces leave together with it. */
  sayPieces(connection: ReactorConnection, head: string, pieces: readonly AnswerPiece[]): void {
    let text = head;
    for (const piece of pieces) {
      if ('text' in piece) text += piece.text;
      else if ('bytes' in piece) {
        const begun = writeLatin1(this.#text, text, 0);
        text = '';
        const end = begun + piece.bytes.copy(this.#text, begun);
        this.#parts.sending.write(connection, this.#text, 0, this.#textAddress, end);
      } else {
        this.say(connection, text);
        text = '';
        if (!connection.ended) {
          this.#parts.sending.writeFile(connection, new FilePart(piece.path, piece.offset, piece.length));
        }
      }
      if (connection.ended) return;
    }
    this.say(connection, text);
  }

  /** Bytes that wait are not looked at any more. */
  drop(connection: ReactorConnection): void {
    connection.input = null;
  }

  /** FIN. */
  peerEnded(connection: ReactorConnection, http: HttpState): void {
    connection.readable = false;
    switch (http.phase) {
      case Phase.owed:
        http.halfClosed = true;
        this.#parts.ending.limitPauses(connection);
        return this.#tellGone(connection, http, goneFlags(CloseCode.CLIENT_CLOSED, true));
      case Phase.streaming:
        this.#tellGone(connection, http, goneFlags(CloseCode.CLIENT_CLOSED));
        this.noLongerOwed(http);
        return this.#parts.ending.closeWhenFlushed(connection, CloseCode.CLIENT_CLOSED);
      case Phase.tunnel:
        return this.#parts.ending.peerEnded(connection);
      case Phase.flushing:
      case Phase.request:
        this.drop(connection);
        return this.#parts.ending.closeWhenFlushed(connection, CloseCode.CLIENT_CLOSED);
    }
  }

  /** It cannot go over to the process that comes next: what is owed is answered, and nothing else. */
  dismiss(connection: ReactorConnection): void {
    const http = this.#parts.stateOf(connection);
    http.isDismissed = true;
    if (http.isOwed || http.phase === Phase.tunnel) return;
    this.drop(connection);
    this.#parts.ending.closeWhenFlushed(connection, CloseCode.WORKER_REPLACED);
  }

  /** The connection is gone, or takes no more bytes: nothing that a worker still does for it has an effect. @param code CloseCode */
  lost(connection: ReactorConnection, code: number): void {
    const { http } = connection;
    if (http === null || !http.isOwed) return;
    this.#tellGone(connection, http, goneFlags(code));
    this.noLongerOwed(http);
  }

  #tellGone({ sessionId }: ReactorConnection, http: HttpState, flags: number, message = ''): void {
    this.#parts.context.lane(http.worker).sendEvent(Event.gone, flags, http.exchange, sessionId, message);
  }

  /** A worker has ended: what its process had taken is not answered by anybody else. */
  reapDead(): void {
    for (const connection of this.#parts.context.connections.list()) {
      const { http } = connection;
      if (http === null || (!http.isOwed && http.phase !== Phase.tunnel)) continue;
      if (this.#isDead(connection, http)) this.#lost(connection, http);
    }
  }

  #isDead({ slot }: ReactorConnection, { answerer, worker }: HttpState): boolean {
    const { context, host } = this.#parts;
    // 0: it was gone before the beginning of its answer was taken.
    if (answerer !== null) return answerer.pid === 0 || host.processOf(answerer.peer) !== answerer.pid;
    const pid = context.table.taker(slot);
    return pid !== 0 && !context.workers.processes(worker).includes(pid);
  }

  #lost(connection: ReactorConnection, http: HttpState): void {
    if (http.phase === Phase.tunnel || http.begun) {
      this.noLongerOwed(http);
      return this.#parts.ending.reset(connection, CloseCode.WORKER_DIED);
    }
    this.#parts.count(ReactorCounter.badGateways);
    const close = http.phase === Phase.streaming || !http.keepAlive || http.http10 || http.halfClosed;
    this.answer(connection, http, {
      ...{ status: 502, why: 'The process that served the request has ended.', close, isHead: http.isHead },
    });
  }

  isFull(connection: ReactorConnection): boolean {
    const { maxConcurrency } = this.#parts.optionsOf(connection);
    if (maxConcurrency === 0) return false;
    let underWay = this.#underWay;
    for (let id = 0; id < this.#parts.context.reactorNum; id++) {
      if (id !== this.#parts.context.id) underWay += this.#parts.context.board.underWay(id);
    }
    const { workers, lanes } = this.#parts.context;
    return underWay + workers.streamsUnderWay(lanes.length) >= maxConcurrency;
  }

  begin(connection: ReactorConnection, http: HttpState, lane: WorkerLane): void {
    http.exchange = (http.exchange + 1) & 0xffff;
    http.worker = lane.worker;
    http.begun = false;
    http.answerer = null;
    http.since = this.#parts.context.now;
    this.#parts.context.table.setTaker(connection.slot, 0);
    this.#setUnderWay(this.#underWay + 1);
  }

  /** One that the process before this one had given to a worker. */
  adopt({ http }: ReactorConnection): void {
    if (http?.isOwed) this.#setUnderWay(this.#underWay + 1);
  }

  #setUnderWay(count: number): void {
    this.#underWay = count;
    this.#parts.context.board.setUnderWay(this.#parts.context.id, count);
  }
}

/** Why a connection ends behind an answer of the server's own. */
function codeOf(status: number): number {
  if (status === 502) return CloseCode.WORKER_DIED;
  return status === 408 || status === 503 ? CloseCode.HTTP_TIMEOUT : CloseCode.HTTP_REFUSED;
}
