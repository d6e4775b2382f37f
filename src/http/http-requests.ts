/**
 * The HTTP of a worker: takes requests out of the ring, passes them to handlers, and keeps those whose answer
 * outlasts their callback, so that later frames (bodies, the client's end) find them. Runs in a worker.
 */
import { detailOf, Event, flagsOf, GoneFlag, goneCode, typeOf } from '../ipc/frame.js';
import type { Outbox } from '../ipc/outbox.js';
import type { RingReader } from '../ipc/ring.js';
import { Http2Record } from '../memory/boards.js';
import type { Forwarded } from '../protocol/http/forwarded.js';
import { inOwnContext } from '../util/own-context.js';
import { runTicks } from '../util/ticks.js';
import { copyPayload, readMessage } from '../worker/payload.js';
import type { FrameService, ServiceHost } from '../worker/service.js';
import type { ByteTaker } from '../worker/worker-connection.js';
import { AnswerFrames } from './answer-frames.js';
import { AnswerHeads } from './answer-head.js';
import { byServer, cutOf } from './cut.js';
import { Http1Exchange, type Http1Host } from './http1-exchange.js';
import type { Tunnel, TunnelEvents } from './node/raw-exchange.js';
import type { Sent } from './request-clients.js';
import type { RequestGate } from './request-gate.js';
import { startRequestSpan } from './request-span.js';
import { TakenRequest } from './taken-request.js';

/** A connection that speaks HTTP/2 from its first byte. */
export interface Http2Source {
  readonly fd: number;
  readonly isEncrypted: boolean;
  readonly remoteAddress: string;
  readonly remotePort: number;
  tunnel(events: TunnelEvents): Tunnel;
}

/** The handler of one listen port's requests. */
export interface PortHandler {
  /** May not throw. */
  serve(exchange: Http1Exchange): void;
  http2(source: Http2Source): void;
  /** Sends clients whose connections cannot be handed off to another process elsewhere: HTTP/2, by GOAWAY. */
  dismiss(): void;
  /** The server is shutting down: asks clients not to come again. */
  drain(): void;
  /** Code that instruments the handler makes the spans of its requests. Missing: none does. */
  isInstrumented?(): boolean;
}

export interface HttpRequestsParts {
  portOf(fd: number): number;
  remote(fd: number): { remoteAddress: string; remotePort: number };
  /** Missing: no proxy is trusted. */
  forwarded?(sent: Sent): Forwarded | undefined;
  /** By listen port. */
  readonly handlers: readonly (PortHandler | undefined)[];
  /** Undefined: this worker serves any number of requests at once. */
  readonly gate: RequestGate | undefined;
}

const nothing = Buffer.alloc(0);
/** Noted once: looking it up costs each request more than its place in shared memory. */
const OWN_PID = process.pid;

export class HttpRequests implements FrameService<Http1Exchange | undefined>, ByteTaker, Http1Host {
  readonly types = [Event.request, Event.body, Event.gone];
  readonly isIncomplete = false;
  readonly #host: ServiceHost;
  readonly #parts: HttpRequestsParts;
  /** The HTTP/2 figures of this process. */
  readonly http2: Http2Record;
  /** Requests that continue beyond their callback. */
  readonly #exchanges = new Map<number, Http1Exchange>();
  readonly #tunnels = new Map<number, TunnelEvents>();
  /** Those among them that end by GOAWAY. */
  readonly #http2 = new Set<number>();
  /** Those whose connection was closed when `poll` looked last. */
  #seenClosed: ReadonlySet<Http1Exchange> = new Set();
  /** Called when the last upload and the last tunnel have ended. */
  #dismissed: (() => void) | undefined;
  readonly frames: AnswerFrames;
  readonly heads = new AnswerHeads();
  readonly seesEnds = true;
  isDraining = false;
  isLeaving = false;
  /** The request at the front of the ring, while it becomes an exchange. */
  readonly #request = new TakenRequest();
  #length = 0;
  /** The frame that was taken: a request, or what comes for one. */
  #type = 0;
  #fd = 0;
  #exchange = 0;
  #flags = 0;
  #data: Buffer = nothing;
  #message = '';

  constructor(host: ServiceHost, parts: HttpRequestsParts) {
    this.#host = host;
    this.#parts = parts;
    this.frames = new AnswerFrames(host.outbox);
    this.http2 = new Http2Record(host.region, host.id, host.lane);
    parts.handlers.forEach((handler, port) => {
      if (handler !== undefined) host.connections.takeBytesOf(port, this);
    });
  }

  get outbox(): Outbox {
    return this.#host.outbox;
  }

  remote(fd: number): { remoteAddress: string; remotePort: number } {
    return this.#parts.remote(fd);
  }

  forwarded(exchange: Http1Exchange): Forwarded | undefined {
    return this.#parts.forwarded?.(exchange);
  }

  answered(status: number): void {
    this.#host.figures.countAnswer(status);
  }

  /** A callback has failed: it is logged and counted. */
  failed(error: unknown, what: string): void {
    this.#host.calls.failed(error, what);
  }

  // ——— what reactors send ———

  take(ring: RingReader): Http1Exchange | undefined {
    this.#type = typeOf(ring.word);
    return this.#type === Event.request ? this.#takeRequest(ring) : this.#takeRest(ring);
  }

  deliver(exchange: Http1Exchange | undefined): boolean {
    if (exchange !== undefined) this.#deliverRequest(exchange);
    else if (this.#type !== Event.request) this.#deliverRest();
    return false;
  }

  /** @returns nothing where the server has closed the connection */
  #takeRequest(ring: RingReader): Http1Exchange | undefined {
    const { table } = this.#host;
    const { sessionId } = ring;
    if (table.isClosedByServer(sessionId)) return undefined;
    table.setTaker(table.slotOf(sessionId), OWN_PID);
    this.#request.fill(ring);
    this.#length = ring.length;
    return new Http1Exchange(this, this.#request);
  }

  #deliverRequest(exchange: Http1Exchange): void {
    this.#host.figures.countRequest(this.#length);
    this.#serve(exchange);
    this.#host.calls.ended();
  }

  #serve(exchange: Http1Exchange): void {
    const handler = this.#parts.handlers[this.#parts.portOf(exchange.fd)];
    if (handler === undefined) return exchange.abort(); // the connection has ended, and its port is unknown
    if (exchange.isHttp2) return handler.http2(this.#http2Source(exchange));
    const { gate } = this.#parts;
    if (gate === undefined) this.#begin(exchange, handler);
    else gate.enter(exchange, () => this.#admitted(exchange, handler));
    runTicks(); // what ends in them need not be tracked
    if (!exchange.isEnded) this.#track(exchange);
    else gate?.leave(exchange);
  }

  /** A client may have left while its request waited: the event that tells it comes with a later turn. */
  #admitted(exchange: Http1Exchange, handler: PortHandler): void {
    if (this.outbox.isOpen(exchange.fd)) this.#begin(exchange, handler);
  }

  #begin(exchange: Http1Exchange, handler: PortHandler): void {
    const span = handler.isInstrumented?.() ? undefined : startRequestSpan(exchange, () => exchange.remoteAddress);
    if (span === undefined) return handler.serve(exchange);
    exchange.span = span;
    span.run(() => handler.serve(exchange));
  }

  /** A piece of a body, or the news that the exchange is over. */
  #takeRest(ring: RingReader): undefined {
    const { word } = ring;
    this.#fd = ring.sessionId;
    this.#exchange = detailOf(word);
    this.#flags = flagsOf(word);
    if (this.#type === Event.body) this.#data = copyPayload(ring);
    else this.#message = readMessage(ring);
  }

  #deliverRest(): void {
    const known = this.#exchanges.get(this.#fd);
    const data = this.#data;
    this.#data = nothing;
    if (known?.number !== this.#exchange) return;
    if (this.#type === Event.body) {
      known.bodyCame(data, this.#flags);
      return this.#checkDismissed();
    }
    if (this.#flags & GoneFlag.halfClosed) known.ended();
    else known.gone(cutOf(goneCode(this.#flags), this.#message));
  }

  /** Bytes of a tunnel. */
  received(fd: number, data: Buffer): void {
    const events = this.#tunnels.get(fd);
    if (events === undefined)
      this.outbox.close(fd, true); // a tunnel of a process that has died
    else events.received(data);
  }

  connectionEnded(fd: number, isHalf: boolean): void {
    const events = this.#tunnels.get(fd);
    if (isHalf) return events?.ended();
    this.#closeTunnel(fd);
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
    for (const exchange of [...this.#exchanges.values()]) inOwnContext(exchange.leave, exchange);
  }

  /** Its taker is unknown from now on: the end of this process is not the end of the request. */
  detached({ fd }: Http1Exchange): void {
    const { table } = this.#host;
    table.setTaker(table.slotOf(fd), 0);
  }

  /**
   * A reactor closes a connection before the frame that tells why can be seen: an exchange is over where none has come
   * since the last look.
   */
  poll(): void {
    const closed = new Set<Http1Exchange>();
    for (const [fd, exchange] of this.#exchanges) if (!this.outbox.isOpen(fd)) closed.add(exchange);
    for (const exchange of closed) if (this.#seenClosed.has(exchange)) inOwnContext(exchange.gone, exchange, byServer);
    this.#seenClosed = closed;
  }

  /** For a request that did not come through `take`. */
  countUnderWay(change: 1 | -1): void {
    this.#host.calls.addPending(change);
  }

  // ——— tunnels ———

  openTunnel(fd: number, events: TunnelEvents): Tunnel {
    const { outbox } = this;
    this.#tunnels.set(fd, events);
    this.#host.connections.hold(fd, this);
    let hasEnded = false;
    return {
      write: (data) => outbox.send(fd, data),
      drain: () => outbox.drain(fd),
      end: () => {
        hasEnded = true;
        outbox.close(fd, false);
      },
      // Bytes written before the end still leave.
      destroy: () => void (hasEnded || outbox.close(fd, true)),
      pause: () => void outbox.setPaused(fd, true),
      resume: () => void outbox.setPaused(fd, false),
    };
  }

  #closeTunnel(fd: number): void {
    if (!this.#tunnels.delete(fd)) return;
    this.#http2.delete(fd);
    this.#host.connections.release(fd);
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
    const before = this.#exchanges.get(fd);
    if (before !== undefined) inOwnContext(before.gone, before, byServer); // no frame has reported its end
    exchange.isTracked = true;
    this.#exchanges.set(fd, exchange);
    this.#host.calls.addPending(1);
  }

  ended(exchange: Http1Exchange): void {
    if (this.#exchanges.get(exchange.fd) === exchange) this.#exchanges.delete(exchange.fd);
    this.#host.calls.addPending(-1);
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
}
