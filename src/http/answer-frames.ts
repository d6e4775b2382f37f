/** Builds the frames of an HTTP answer for the outbox. Runs in every process that answers. */
import { AnswerFlag, Request } from '../ipc/frame.js';
import { filePayload } from '../ipc/frames/file.js';
import { takenPayload } from '../ipc/frames/http.js';
import type { Outbox } from '../ipc/outbox.js';
import { Reply } from '../ipc/reply.js';
import { requestFrame } from '../ipc/request-frame.js';
import type { FilePiece } from './exchange.js';

/** The number by which a reactor finds a request. */
export interface ExchangeNumber {
  readonly fd: number;
  readonly number: number;
}

/** Flags of the last frame of an answer. */
const AT_THE_END = AnswerFlag.last | AnswerFlag.close | AnswerFlag.tunnel | AnswerFlag.webSocket;

export class AnswerFrames {
  readonly outbox: Outbox;
  /** Reused. */
  readonly #reply = new Reply(Request.answer, AT_THE_END, AnswerFlag.more);

  constructor(outbox: Outbox) {
    this.outbox = outbox;
  }

  /**
   * Bytes of an answer: `head`, then `text` (latin1), then `body`.
   * @param flags AnswerFlag @returns as `Outbox.send`
   */
  send(
    { fd, number }: ExchangeNumber,
    flags: number,
    head: Uint8Array | null,
    text: string,
    body: Uint8Array | null,
  ): boolean {
    const reply = this.#reply;
    reply.sessionId = fd;
    reply.detail = number;
    reply.flags = flags;
    reply.head = head;
    reply.text = text;
    reply.body = body;
    const goesOn = this.outbox.reply(reply);
    reply.body = null; // not kept until the next answer
    return goesOn;
  }

  /** As `send`: the size line of a chunk, its bytes, and what comes behind them (latin1). */
  sendChunk(exchange: ExchangeNumber, flags: number, size: string, body: Uint8Array | null, tail: string): boolean {
    this.#reply.tail = tail;
    const goesOn = this.send(exchange, flags, null, size, body);
    this.#reply.tail = '';
    return goesOn;
  }

  /** A part of a file as (the end of) an answer. */
  sendFile({ fd, number }: ExchangeNumber, flags: number, { path, offset, length }: FilePiece): boolean {
    return this.outbox.request(requestFrame(Request.answerFile, fd, flags, number, filePayload(path, offset, length)));
  }

  /** Bytes of the body were taken: the reactor may send that many more. */
  taken({ fd, number }: ExchangeNumber, bytes: number): void {
    if (!this.outbox.isOpen(fd)) return;
    this.outbox.notify(requestFrame(Request.taken, fd, 0, number, takenPayload(bytes)));
  }
}
