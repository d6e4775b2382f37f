/** The body of a request of HTTP/1: whole with the head, or in pieces that the reactor sends as they are taken. */
import { ServerError } from '../errors/index.js';
import { BodyFlag } from '../ipc/frame.js';
import { parseFields } from '../protocol/http/fields.js';
import type { RequestBody } from './exchange.js';

export interface IncomingBody extends RequestBody {
  /** All of it has come to this process. */
  readonly isComplete: boolean;
  /** Nobody will read the rest. */
  abandon(): void;
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

  abandon(): void {}
}

export const noBody: IncomingBody = new WholeBody(Buffer.alloc(0));

interface BodySource {
  readonly fd: number;
  taken(bytes: number): void;
}

/** So much is taken before the reactor is told. */
const TELL_BYTES = 65_536;

export class StreamedBody implements IncomingBody {
  readonly whole = null;
  trailers: readonly string[] = noTrailers;
  isComplete = false;
  readonly #source: BodySource;
  #pieces: Buffer[] = [];
  #waiting: { resolve: (piece: Buffer | null) => void; reject: (error: Error) => void } | undefined;
  #isGone = false;
  #isAbandoned = false;
  #untold = 0;

  constructor(source: BodySource) {
    this.#source = source;
  }

  next(): Promise<Buffer | null> {
    const piece = this.#pieces.shift();
    if (piece !== undefined) {
      this.#tell(piece.length);
      return Promise.resolve(piece);
    }
    if (this.isComplete || this.#isAbandoned) return Promise.resolve(null);
    if (this.#isGone) return Promise.reject(this.#goneError());
    return new Promise((resolve, reject) => {
      this.#waiting = { resolve, reject };
    });
  }

  push(data: Buffer, flags: number): void {
    if ((flags & BodyFlag.last) !== 0) this.isComplete = true;
    if ((flags & BodyFlag.trailers) !== 0) this.trailers = parseFields(data.toString('latin1'));
    else if (data.length > 0 && !this.#isAbandoned) this.#pieces.push(data);
    if (this.#waiting === undefined) return;
    const piece = this.#pieces.shift();
    if (piece === undefined && !this.isComplete) return;
    const { resolve } = this.#waiting;
    this.#waiting = undefined;
    if (piece !== undefined) this.#tell(piece.length);
    resolve(piece ?? null);
  }

  fail(): void {
    if (this.isComplete) return;
    this.#isGone = true;
    this.#waiting?.reject(this.#goneError());
    this.#waiting = undefined;
  }

  abandon(): void {
    this.#isAbandoned = true;
    this.#pieces = [];
    this.#waiting?.resolve(null);
    this.#waiting = undefined;
  }

  #tell(bytes: number): void {
    this.#untold += bytes;
    if (this.#untold < TELL_BYTES || this.isComplete) return;
    this.#source.taken(this.#untold);
    this.#untold = 0;
  }

  #goneError(): ServerError {
    return new ServerError('ERR_HTTP_CLIENT_GONE', {});
  }
}
