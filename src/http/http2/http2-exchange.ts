/** A request that came as a stream of HTTP/2, and its answer. Runs in a worker. */
import type { OutgoingHttpHeaders, ServerHttp2Stream, ServerStreamResponseOptions } from 'node:http2';
import { ServerError } from '../../errors/index.js';
import type { Forwarded } from '../../protocol/http/forwarded.js';
import { afterGone } from '../../util/pause.js';
import { type BodyCut, byAnswer, byClient, byServer, type CutReason } from '../cut.js';
import type { Exchange, FieldList, FilePiece, RequestBody } from '../exchange.js';
import { LengthCount, lengthToBegin, lengthToTell, mayNeedBody, statusHasBody } from '../framing-fields.js';
import { WholeBody } from '../incoming-body.js';
import type { Sent } from '../request-clients.js';
import { findHeader } from '../request-headers.js';
import type { RequestSpan } from '../request-span.js';
import { answerHeaders, cutBy, type Refusal, type RequestHead, toHeaders, tooLarge, withoutRepeats } from './fields.js';
import type { HeldStream } from './held-connection.js';
import { Outgoing, steady } from './outgoing.js';
import { PacedBody, TOO_SLOW } from './paced-body.js';
import { StreamBody } from './stream-body.js';
import { breakOff, closeBehindAnswer, endSpan, refuse } from './stream-end.js';

/** Shared by the exchanges of one connection. */
export interface Http2Host {
  readonly fd: number;
  readonly isEncrypted: boolean;
  readonly bodyLimit: number;
  readonly requestTimeoutMs: number;
  readonly minBodyBytesPerSecond?: number;
  /** No client is read now: that is no time of theirs. */
  readsNobody?(): boolean;
  /** Missing: no proxy is trusted. */
  forwarded?(sent: Sent): Forwarded | undefined;
  /** An answer of this status has begun. */
  answered(status: number): void;
  /** The server answers in place of the handler. */
  refused?(): void;
  /** The answer is whole, or will never be. Called only for exchanges that were begun. */
  ended(exchange: Http2Exchange): void;
  /** A failure that the client sees only by the end of the stream. */
  failed(error: unknown): void;
}

/** So few of an answer's bytes wait for a request that nobody reads that they need not be counted. */
const LAST_BYTES = 1024;

export class Http2Exchange implements Exchange {
  readonly httpVersion = '2.0';
  readonly method: string;
  readonly target: string;
  readonly rawHeaders: readonly string[];
  readonly body: RequestBody;
  isGone = false;
  isEnded = false;
  span: RequestSpan | undefined;
  readonly #host: Http2Host;
  readonly #stream: ServerHttp2Stream;
  readonly #streamed: StreamBody | undefined;
  readonly #held: HeldStream;
  readonly #paced: PacedBody;
  readonly #outgoing: Outgoing;
  #isTracked = false;
  #sendsContinue = true;
  /** The client waits to be told that it may send its body, and has not been. */
  #asks = false;
  #timer: NodeJS.Timeout | undefined;
  #hasNoBody = false;
  /** Of an answer in pieces. */
  #status = 0;
  /** Of an answer in pieces with a length. */
  #length: LengthCount | null = null;
  #trailers: FieldList = [];
  #goneListeners: (() => void)[] = [];
  #leavingListener: (() => void) | undefined;

  constructor(host: Http2Host, held: HeldStream, stream: ServerHttp2Stream, head: RequestHead) {
    this.#host = host;
    this.#held = held;
    this.#stream = stream;
    this.method = head.method;
    this.target = head.target;
    this.rawHeaders = head.rawHeaders;
    this.#outgoing = new Outgoing(held, stream, (error) => this.#cannotGoOn(error));
    this.#paced = new PacedBody(
      host,
      () => this.#streamed?.isAwaited === true && host.readsNobody?.() !== true,
      () => this.#refuse(TOO_SLOW, 'timeout'),
    );
    this.#streamed = stream.endAfterHeaders ? undefined : this.#streamedBody();
    this.body = this.#streamed ?? new WholeBody(Buffer.alloc(0));
    stream.on('aborted', () => this.#lost(byClient));
    stream.on('close', () => this.#lost(byClient));
  }

  get fd(): number {
    return this.#host.fd;
  }

  get isEncrypted(): boolean {
    return this.#host.isEncrypted;
  }

  get forwarded(): Forwarded | undefined {
    return this.#host.forwarded?.(this);
  }

  /** The client has sent all of it, and it is here. */
  get hasWholeBody(): boolean {
    return this.#streamed?.isComplete ?? true;
  }

  /** The exchange continues after its callback. */
  track(): void {
    this.#isTracked = true;
    if (this.#streamed !== undefined) this.#paced.start();
    const { requestTimeoutMs } = this.#host;
    if (requestTimeoutMs > 0 && (!this.#stream.headersSent || this.#isSentOn))
      this.#timer = setTimeout(() => this.#timeOut(), requestTimeoutMs);
  }

  onGone(listener: () => void): void {
    if (this.isGone) return listener();
    if (!this.isEnded) this.#goneListeners.push(listener);
  }

  onHalfClosed(): void {}

  /** The reader of the body sends 100 Continue itself, or does not: reading the body does not send it. */
  leaveContinue(): void {
    this.#sendsContinue = false;
  }

  onLeaving(listener: () => void): void {
    this.#leavingListener = listener;
  }

  /** The process is about to leave. */
  leave(): void {
    this.#leavingListener?.();
  }

  detach(): number {
    throw new ServerError('ERR_HTTP_DETACH', {
      why: 'a stream of HTTP/2 belongs to the process that has its connection',
    });
  }

  // ——— the answer ———

  respond(status: number, _reason: string, fields: FieldList, body: string | Uint8Array): void {
    if (this.isEnded) return;
    const bytes = Buffer.byteLength(body);
    this.#hasNoBody = !statusHasBody(status) || this.method === 'HEAD';
    const headers = answerHeaders(status, fields, lengthToTell(status, this.method === 'HEAD', fields, bytes));
    const endStream = this.#hasNoBody || bytes === 0;
    if (!this.#sendHead(headers, { endStream })) return;
    if (endStream) return this.#end();
    const data = steady(body);
    const { now, last } = this.#waitsForRest(status) ? withoutLast(data) : { now: data, last: undefined };
    if (last === undefined) this.#stream.end(now);
    else this.#stream.write(now);
    this.#held.added();
    this.#end(last && (() => void this.#stream.end(last)));
  }

  begin(status: number, _reason: string, fields: FieldList): void {
    if (this.isEnded) return;
    this.#status = status;
    this.#hasNoBody = !statusHasBody(status) || this.method === 'HEAD';
    const declared = lengthToBegin(status, fields);
    this.#length = declared === -1 || this.#hasNoBody ? null : new LengthCount(declared);
    const headers = answerHeaders(status, fields, declared);
    // The answer may be made of the body, as with HTTP/1: behind the head nobody would ask for it.
    if (mayNeedBody(status) && this.#streamed?.isClaimed === true) this.#letSend();
    const waitForTrailers = !this.#hasNoBody && declared === -1;
    if (waitForTrailers) this.#stream.once('wantTrailers', () => this.#sendTrailers());
    this.#sendHead(headers, { endStream: this.#hasNoBody, waitForTrailers });
  }

  write(data: string | Uint8Array): boolean {
    if (this.isEnded) return false;
    if (data.length === 0 || this.#hasNoBody) return true;
    this.#length?.add(Buffer.byteLength(data));
    return this.#outgoing.write(data);
  }

  writeFile(piece: FilePiece): void {
    if (this.isEnded || this.#hasNoBody || piece.length === 0) return;
    this.#length?.add(piece.length);
    this.#outgoing.writeFile(piece);
  }

  end(data: string | Uint8Array = '', trailers: FieldList = []): void {
    if (this.isEnded) return;
    if (!this.#hasNoBody) {
      this.#length?.add(Buffer.byteLength(data));
      this.#length?.checkWhole();
      this.#trailers = trailers;
      const last = (rest: string | Uint8Array): void => {
        if (rest.length > 0) this.#outgoing.write(rest);
        this.#outgoing.end();
      };
      if (!this.#waitsForRest(this.#status)) last(data);
      else {
        const { now, last: rest } = withoutLast(data);
        if (now.length > 0) this.#outgoing.write(now);
        return this.#end(() => last(rest));
      }
    }
    this.#end();
  }

  inform(status: number, fields: FieldList): void {
    const { closed, destroyed, headersSent } = this.#stream;
    if (this.isEnded || closed || destroyed || headersSent || status === 101) return;
    if (status === 100) this.#asks = false;
    this.#try(() => this.#stream.additionalHeaders({ ...toHeaders(fields), ':status': status }));
  }

  drain(): Promise<void> {
    return this.isGone ? afterGone() : this.#outgoing.drain();
  }

  abort(): void {
    if (this.isEnded) return;
    this.span?.aborts();
    this.#reset();
    this.#lost(byServer);
  }

  // ——— inside ———

  #streamedBody(): StreamBody {
    const { bodyLimit } = this.#host;
    this.#asks = findHeader(this.rawHeaders, 'expect')?.toLowerCase() === '100-continue';
    return new StreamBody(this.#stream, bodyLimit, {
      wanted: () => this.#letSend(),
      came: (bytes) => {
        this.#timer?.refresh();
        this.#paced.came(bytes);
      },
      overflowed: () => this.#refuse(tooLarge(bodyLimit), 'limit'),
    });
  }

  /** A client that waits for 100 Continue sends its body from now on. */
  #letSend(): void {
    if (!this.#asks || !this.#sendsContinue) return;
    this.#sendsContinue = false;
    this.inform(100, []);
  }

  /** @returns false: there will be no answer */
  #sendHead(headers: OutgoingHttpHeaders, options: ServerStreamResponseOptions): boolean {
    if (!this.#isSentOn) clearTimeout(this.#timer);
    if (this.#stream.destroyed || this.#stream.closed) {
      this.#lost(byClient);
      return false;
    }
    const isSent = this.#try(() => {
      try {
        this.#stream.respond(headers, options);
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ERR_HTTP2_HEADER_SINGLE_VALUE') throw error;
        this.#stream.respond(withoutRepeats(headers), options);
      }
    });
    if (isSent) this.#host.answered(Number(headers[':status']));
    else this.abort();
    return isSent;
  }

  #sendTrailers(): void {
    if (!this.#try(() => this.#stream.sendTrailers(toHeaders(this.#trailers)))) this.#reset();
  }

  /** Node refuses more than this server does; the server continues all the same. */
  #try(action: () => void): boolean {
    try {
      action();
      return true;
    } catch (error) {
      this.#host.failed(error);
      return false;
    }
  }

  /** The client has not sent all of its request yet. */
  get #isSentOn(): boolean {
    return this.#streamed?.isComplete === false;
  }

  #timeOut(): void {
    if (this.#stream.headersSent && this.#streamed?.isAwaited !== true) {
      // The handler takes its time with the body, and an answer has begun: the client is not late.
      if (this.#isSentOn) this.#timer?.refresh();
    } else if (this.#streamed?.isAwaited) this.#refuse({ status: 408, why: 'The request took too long.' }, 'timeout');
    else this.#refuse({ status: 503, why: 'The server could not answer in time.' }, 'timeout');
  }

  /** The client gets this answer in place of the handler's, for which the exchange is gone. */
  #refuse(refusal: Refusal, reason: CutReason): void {
    if (this.isEnded) return;
    this.#streamed?.fail(cutBy(refusal, reason));
    if (this.#stream.headersSent) this.#reset();
    else {
      this.#host.refused?.();
      this.#try(() => refuse(this.#stream, refusal, this.#host.bodyLimit));
    }
    this.#lost(byServer);
  }

  #cannotGoOn(error: unknown): void {
    this.#host.failed(error);
    this.#reset();
    this.#lost(byServer);
  }

  #reset(): void {
    breakOff(this.#stream);
  }

  /** Further writes of the handler do not arrive. */
  #lost(cut: BodyCut): void {
    this.#outgoing.close();
    if (this.isEnded) return;
    this.isGone = true;
    this.#streamed?.fail(cut);
    const listeners = this.#goneListeners;
    this.#goneListeners = [];
    for (const listener of listeners) listener();
    this.#settle();
  }

  /**
   * A client may take the last byte of a success for the end of the exchange, and then neither send the rest of its body
   * nor end: curl does up to 7.88. So that byte waits for the rest, where the client has said how much it is. An answer
   * that redirects or refuses is itself a reason to stop.
   */
  #waitsForRest(status: number): boolean {
    if (status >= 300 || this.#asks || this.#streamed === undefined || this.#streamed.hasCome) return false;
    return findHeader(this.rawHeaders, 'content-length') !== undefined;
  }

  /** @param last ends the answer, once the client has sent its body. Missing: it has ended */
  #end(last?: () => void): void {
    this.#streamed?.fail(byAnswer);
    this.#held.isAnswered = true;
    closeBehindAnswer(this.#stream, { bodyLimit: this.#host.bodyLimit, ...(last && { last }) });
    this.#settle();
  }

  #settle(): void {
    if (this.isEnded) return;
    this.isEnded = true;
    if (this.span !== undefined) endSpan(this.span, this.#stream);
    this.#goneListeners = [];
    clearTimeout(this.#timer);
    this.#paced.stop();
    if (this.#isTracked) this.#host.ended(this);
  }
}

/** All but the end of an answer's body, and that end. */
function withoutLast(body: string | Uint8Array): { now: Uint8Array; last: Uint8Array } {
  const bytes = typeof body === 'string' ? Buffer.from(body) : body;
  const at = Math.max(0, bytes.length - LAST_BYTES);
  return { now: bytes.subarray(0, at), last: bytes.subarray(at) };
}
