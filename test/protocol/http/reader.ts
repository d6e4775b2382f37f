/** Reads what a client sends on one connection, as a server would: heads, bodies, one request behind the other. */
import { ChunkedDecoder, type ChunkedLimits } from '../../../src/protocol/http/chunked.js';
import { parseFields } from '../../../src/protocol/http/fields.js';
import { type HeadLimits, MORE, RequestHead } from '../../../src/protocol/http/head.js';
import { methods } from '../../../src/protocol/http/methods.js';

export interface ReadRequest {
  readonly method: string;
  readonly target: string;
  readonly version: string;
  readonly rawHeaders: readonly string[];
  /** latin1. */
  body: string;
  trailers: string;
  readonly keepAlive: boolean;
  readonly expectsContinue: boolean;
  readonly isUpgrade: boolean;
}

export class Reader {
  readonly requests: ReadRequest[] = [];
  /** Where each of them ends. */
  readonly ends: number[] = [];
  refusal: number | undefined;
  why = '';

  readonly #limits: HeadLimits & ChunkedLimits;
  readonly #head: RequestHead;
  #bytes: Buffer = Buffer.alloc(0);
  #from = 0;
  /** The request whose body is read, and how. */
  #open: ReadRequest | undefined;
  #left = 0;
  #decoder: ChunkedDecoder | undefined;
  #isOver = false;

  constructor(limits: HeadLimits & ChunkedLimits) {
    this.#limits = limits;
    this.#head = new RequestHead(limits);
  }

  /** @param to how much of `bytes`, which is all a client sends, has come; what follows is not there yet */
  take(bytes: Buffer, to: number): void {
    this.#bytes = bytes;
    while (!this.#isOver && (this.#open === undefined ? this.#readHead(to) : this.#readBody(to)));
  }

  #refuse(status: number, why: string): false {
    this.refusal = status;
    this.why = why;
    this.#isOver = true;
    return false;
  }

  #readHead(to: number): boolean {
    const head = this.#head;
    const from = this.#from;
    const length = head.parse(this.#bytes, from, to);
    if (length === MORE) return false;
    if (length < 0) return this.#refuse(-length, head.why);
    this.#from += length;
    if (head.contentLength > this.#limits.bodyBytes) return this.#refuse(413, 'too large');
    const text = (start: number, end: number): string => this.#bytes.toString('latin1', from + start, from + end);
    this.#open = {
      method: methods[head.method] ?? '',
      target: text(head.targetStart, head.targetEnd),
      version: `1.${head.minor}`,
      rawHeaders: parseFields(text(head.linesStart, length - 2)),
      body: '',
      trailers: '',
      keepAlive: head.keepAlive,
      expectsContinue: head.expectsContinue,
      isUpgrade: head.isUpgrade,
    };
    this.#left = Math.max(0, head.contentLength);
    this.#decoder = head.isChunked ? new ChunkedDecoder(this.#limits) : undefined;
    return true;
  }

  /** @returns true when the body has ended */
  #readBody(to: number): boolean {
    const open = this.#open!;
    if (this.#decoder !== undefined) return this.#readChunks(open, this.#decoder, to);
    const end = Math.min(to, this.#from + this.#left);
    open.body += this.#bytes.toString('latin1', this.#from, end);
    this.#left -= end - this.#from;
    this.#from = end;
    return this.#left === 0 && this.#end(open);
  }

  #readChunks(open: ReadRequest, decoder: ChunkedDecoder, to: number): boolean {
    const taken = decoder.decode(this.#bytes, this.#from, to, (start, end) => {
      open.body += this.#bytes.toString('latin1', start, end);
    });
    if (taken < 0) return this.#refuse(-taken, decoder.why);
    this.#from += taken;
    if (!decoder.isDone) {
      // As if another process went on.
      this.#decoder = ChunkedDecoder.restored(this.#limits, JSON.parse(JSON.stringify(decoder.state)));
      return false;
    }
    open.trailers = decoder.trailers;
    return this.#end(open);
  }

  #end(request: ReadRequest): true {
    this.requests.push(request);
    this.ends.push(this.#from);
    this.#open = undefined;
    this.#isOver = !request.keepAlive;
    return true;
  }
}
