/** The body of a request of HTTP/1: whole with the head, or in pieces that the reactor sends as they are taken. */
import { BodyFlag } from '../ipc/frame.js';
import { parseFields } from '../protocol/http/fields.js';
import { type BodyCut, cutError } from './cut.js';
import type { RequestBody } from './exchange.js';

export interface IncomingBody extends RequestBody {
  /** The whole body has come to this process: whatever happens, it can be read to its end. */
  readonly isComplete: boolean;
  /** The rest will not come. The first cut counts; none does when the whole body has come. */
  fail(cut: BodyCut): void;
}

const noTrailers: readonly string[] = [];

export class WholeBody implements IncomingBody {
  readonly whole: Buffer;
  readonly isComplete = true;
  readonly trailers = noTrailers;
  #isTaken = false;

  constructor(whole: Buffer) {
    this.whole = whole;
  }

  async next(): Promise<Buffer | null> {
    if (this.#isTaken || this.whole.length === 0) return null;
    this.#isTaken = true;
    return this.whole;
  }

  claim(): void {}

  fail(): void {}
}

export const noBody: IncomingBody = new WholeBody(Buffer.alloc(0));

interface BodySource {
  taken(bytes: number): void;
  /** The client waits for 100 Continue. */
  sendContinue(): void;
}

/** The reactor is notified after each N bytes taken. */
const CONFIRM_BYTES = 65_536;

/**
 * Received bytes are kept until they are read, also behind a cut: at most the reactor's window, and as long as the
 * request.
 */
export class StreamedBody implements IncomingBody {
  readonly whole = null;
  trailers: readonly string[] = noTrailers;
  isComplete = false;
  /** Who answers in pieces may still read it: until then nobody knows that it is wanted. */
  isClaimed = false;
  readonly #source: BodySource;
  #pieces: Buffer[] = [];
  #waiting: { resolve: (piece: Buffer | null) => void; reject: (error: Error) => void } | undefined;
  #cut: BodyCut | undefined;
  #unconfirmed = 0;
  /** The client waits for 100 Continue, and this body sends it. */
  #asksContinue: boolean;

  constructor(source: BodySource, asksContinue: boolean) {
    this.#source = source;
    this.#asksContinue = asksContinue;
  }

  claim(): void {
    this.isClaimed = true;
  }

  next(): Promise<Buffer | null> {
    this.isClaimed = true;
    const piece = this.#pieces.shift();
    if (piece !== undefined) {
      this.#confirm(piece.length);
      return Promise.resolve(piece);
    }
    if (this.isComplete) return Promise.resolve(null);
    if (this.#cut !== undefined) return Promise.reject(cutError(this.#cut));
    if (this.#asksContinue) {
      this.#asksContinue = false;
      this.#source.sendContinue();
    }
    return new Promise((resolve, reject) => {
      this.#waiting = { resolve, reject };
    });
  }

  /** The client waits to be told that it may send: without it, nobody knows whether it will. */
  get isAskedFor(): boolean {
    return this.#asksContinue;
  }

  /** The caller sends 100 Continue to the client, or a final answer. */
  leaveContinue(): void {
    this.#asksContinue = false;
  }

  push(data: Buffer, flags: number): void {
    if (this.#cut !== undefined) return;
    this.#asksContinue = false; // the client has not waited
    if ((flags & BodyFlag.last) !== 0) this.isComplete = true;
    if ((flags & BodyFlag.trailers) !== 0) this.trailers = parseFields(data.toString('latin1'));
    else if (data.length > 0) this.#pieces.push(data);
    if (this.#waiting === undefined) return;
    const piece = this.#pieces.shift();
    if (piece === undefined && !this.isComplete) return;
    const { resolve } = this.#waiting;
    this.#waiting = undefined;
    if (piece !== undefined) this.#confirm(piece.length);
    resolve(piece ?? null);
  }

  fail(cut: BodyCut): void {
    if (this.isComplete || this.#cut !== undefined) return;
    this.#cut = cut;
    this.#waiting?.reject(cutError(cut));
    this.#waiting = undefined;
  }

  #confirm(bytes: number): void {
    this.#unconfirmed += bytes;
    if (this.#unconfirmed < CONFIRM_BYTES || this.isComplete || this.#cut !== undefined) return;
    this.#source.taken(this.#unconfirmed);
    this.#unconfirmed = 0;
  }
}
