/**
 * The HTTP of a worker: takes requests out of the ring, has them served, and keeps those whose answer takes longer than
 * their callback, so that what comes for them later (bodies, the client's end) finds them. Runs in a worker.
 */
import { GoneFlag, goneCode } from '../ipc/frame.js';
import type { Outbox } from '../ipc/outbox.js';
import type { Http2Record } from '../memory/boards.js';
import type { HttpService, HttpWorker, TakenRequest } from '../worker/http-service.js';
import { AnswerHeads } from './answer-head.js';
import { byServer, cutOf } from './cut.js';
import { Http1Exchange, type Http1Host } from './http1-exchange.js';
import type { Tunnel, TunnelEvents } from './node/raw-exchange.js';
import type { RequestGate } from './request-gate.js';

/** A connection that speaks HTTP/2 from its first byte. */
export interface Http2Source {
  readonly fd: number;
  readonly isEncrypted: boolean;
  readonly remoteAddress: string;
  readonly remotePort: number;
  tunnel(events: TunnelEvents): Tunnel;
}

/** Who answers the requests of one listen port. */
export interface PortHandler {
  /** May not throw. */
  serve(exchange: Http1Exchange): void;
  http2(source: Http2Source): void;
  /** Connections that cannot go over to another process are told to come again: HTTP/2, by GOAWAY. */
  dismiss(): void;
  /** The server is shutting down: clients are told not to come again. */
  drain(): void;
}

export interface HttpRequestsParts {
  portOf(fd: number): number;
  remote(fd: number): { remoteAddress: string; remotePort: number };
  /** By listen port. */
  readonly handlers: readonly (PortHandler | undefined)[];
  /** Undefined: any number of requests is served at once. */
  readonly gate: RequestGate | undefined;
}

export class HttpRequests implements HttpService, Http1Host {
  readonly #parts: HttpRequestsParts;
  /** Under way beyond their callback. */
  readonly #exchanges = new Map<number, Http1Exchange>();
  readonly #tunnels = new Map<number, TunnelEvents>();
  /** Those among them that are told by GOAWAY. */
  readonly #http2 = new Set<number>();
  #worker: HttpWorker | undefined;
  /** Whoever waits for uploads and tunnels to end. */
  #dismissed: (() => void) | undefined;
  readonly heads = new AnswerHeads();
  readonly hearsOfEnds = true;
  isDraining = false;
  isLeaving = false;

  constructor(parts: HttpRequestsParts) {
    this.#parts = parts;
  }

  begin(worker: HttpWorker): void {
    this.#worker = worker;
  }

  get outbox(): Outbox {
    return this.#itsWorker.outbox;
  }

  remote(fd: number): { remoteAddress: string; remotePort: number } {
    return this.#parts.remote(fd);
  }

  /** A callback has failed: it is logged and counted. */
  failed(error: unknown, what: string): void {
    this.#itsWorker.callbackFailed(error, what);
  }

  // ——— what the worker passes on ———

  take(request: TakenRequest): Http1Exchange {
    return new Http1Exchange(this, request);
  }

  serve(exchange: Http1Exchange): void {
    const handler = this.#parts.handlers[this.#parts.portOf(exchange.fd)];
    if (handler === undefined) return exchange.abort(); // its port is gone with a connection that has ended
    if (exchange.isHttp2) return handler.http2(this.#http2Source(exchange));
    const { gate } = this.#parts;
    if (gate === undefined) handler.serve(exchange);
    else gate.enter(exchange, () => handler.serve(exchange));
    if (!exchange.isEnded) this.#track(exchange);
    else gate?.leave(exchange);
  }

  body(fd: number, exchange: number, flags: number, data: Buffer): void {
    const known = this.#exchanges.get(fd);
    if (known?.number !== exchange) return;
    known.bodyCame(data, flags);
    this.#checkDismissed();
  }

  gone(fd: number, exchange: number, flags: number, message: string): void {
    const known = this.#exchanges.get(fd);
    if (known?.number !== exchange) return;
    if (flags & GoneFlag.halfClosed) known.ended();
    else known.gone(cutOf(goneCode(flags), message));
  }

  received(fd: number, data: Buffer): boolean {
    const events = this.#tunnels.get(fd);
    if (events === undefined) {
      if (this.#parts.handlers[this.#parts.portOf(fd)] === undefined) return false;
      this.outbox.close(fd, true); // it was a tunnel of a process that has died
      return true;
    }
    events.received(data);
    return true;
  }

  ended(fdOrExchange: number | Http1Exchange, isHalf = false): void {
    if (typeof fdOrExchange !== 'number') return this.#exchangeEnded(fdOrExchange);
    const events = this.#tunnels.get(fdOrExchange);
    if (isHalf) return events?.ended();
    this.#closeTunnel(fdOrExchange);
    events?.gone();
  }

  dismiss(deadlineMs: number, done: () => void): void {
    for (const [fd, events] of [...this.#tunnels]) if (!this.#http2.has(fd)) events.ended();
    for (const handler of this.#parts.handlers) handler?.dismiss();
    this.#leave();
    if (!this.#isHeldUp) return done();
    const timer = setTimeout(() => this.#dismissed?.(), deadlineMs);
    this.#dismissed = () => {
      this.#dismissed = undefined;
      clearTimeout(timer);
      for (const fd of [...this.#tunnels.keys()]) this.outbox.close(fd, true);
      done();
    };
  }

  drain(): void {
    this.isDraining = true;
    for (const handler of this.#parts.handlers) handler?.drain();
    this.#leave();
  }

  #leave(): void {
    this.isLeaving = true;
    for (const exchange of [...this.#exchanges.values()]) exchange.leave();
  }

  detached({ fd }: Http1Exchange): void {
    this.#itsWorker.requestDetached(fd);
  }

  poll(): void {
    for (const [fd, exchange] of [...this.#exchanges]) if (!this.outbox.isOpen(fd)) exchange.gone(byServer);
  }

  /** What HTTP/2 does here. */
  get http2(): Http2Record {
    return this.#itsWorker.http2;
  }

  /** Of a request that did not come through `take`. */
  countUnderWay(change: 1 | -1): void {
    this.#itsWorker.addPending(change);
  }

  // ——— tunnels ———

  openTunnel(fd: number, events: TunnelEvents): Tunnel {
    const { outbox } = this;
    this.#tunnels.set(fd, events);
    this.#itsWorker.holdConnection(fd);
    let hasEnded = false;
    return {
      write: (data) => outbox.send(fd, data),
      drain: () => outbox.drain(fd),
      end: () => {
        hasEnded = true;
        outbox.close(fd, false);
      },
      // What was written before the end still leaves.
      destroy: () => void (hasEnded || outbox.close(fd, true)),
      pause: () => void outbox.setPaused(fd, true),
      resume: () => void outbox.setPaused(fd, false),
    };
  }

  #closeTunnel(fd: number): void {
    if (!this.#tunnels.delete(fd)) return;
    this.#http2.delete(fd);
    this.#itsWorker.releaseConnection(fd);
    this.#checkDismissed();
  }

  #http2Source(exchange: Http1Exchange): Http2Source {
    const { fd, isEncrypted } = exchange;
    const { remoteAddress, remotePort } = this.remote(fd);
    const tunnel = (events: TunnelEvents): Tunnel => {
      this.#http2.add(fd);
      return this.openTunnel(fd, events);
    };
    return { fd, isEncrypted, remoteAddress, remotePort, tunnel };
  }

  // ——— inside ———

  #track(exchange: Http1Exchange): void {
    const { fd } = exchange;
    this.#exchanges.get(fd)?.gone(byServer); // nobody has told us that it is over
    exchange.isTracked = true;
    this.#exchanges.set(fd, exchange);
    this.#itsWorker.addPending(1);
  }

  #exchangeEnded(exchange: Http1Exchange): void {
    if (this.#exchanges.get(exchange.fd) === exchange) this.#exchanges.delete(exchange.fd);
    this.#itsWorker.addPending(-1);
    this.#parts.gate?.leave(exchange);
    this.#checkDismissed();
  }

  get #isHeldUp(): boolean {
    if (this.#tunnels.size > 0) return true;
    for (const exchange of this.#exchanges.values()) if (exchange.isUpload) return true;
    return false;
  }

  #checkDismissed(): void {
    if (this.#dismissed !== undefined && !this.#isHeldUp) this.#dismissed();
  }

  get #itsWorker(): HttpWorker {
    if (this.#worker === undefined) throw new Error('the HTTP of this process has no worker yet');
    return this.#worker;
  }
}
