import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { createServer, type IncomingMessage, type RequestListener, Server, type ServerResponse } from 'node:http';
import { CONTINUE, plainAnswer } from '../../protocol/http/plain-answer.js';
import { inOwnContext } from '../../util/own-context.js';
import { AdoptedPrototypes } from './adopted-prototypes.js';
import { AnswerGuard } from './answer-guard.js';
import { CarriedSocket } from './carried-socket.js';
import { feedRequest } from './feed.js';
import type { RawExchange } from './raw-exchange.js';
import { SpannedEvents } from './spanned-events.js';

export interface NodeHttpOptions {
  /** The largest head that the reactor lets through: Node must not be stricter. */
  readonly maxHeaderBytes?: number;
  /** A connection's socket is dropped after this time without a request; its next request gets a new one. */
  readonly idleMs?: number;
  /** The most idle sockets that are kept. */
  readonly maxIdle?: number;
  /** Node or a listener has failed on a connection outside of a request's answer. */
  readonly failed?: (error: Error) => void;
}

/** Published by Node for each request of each server, before any of its listeners is called. */
const STARTED = 'http.server.request.start';
/** The rest of a client that has left is read within this time, and its reading begins within that. */
const LEFT_MS = 60_000;
const UNREAD_MS = 1000;
const DEFAULTS = { maxHeaderBytes: 256 * 1024, idleMs: 10_000, maxIdle: 1024 };

/** One request of a connection. */
interface Current {
  readonly exchange: RawExchange;
  readonly guard: AnswerGuard;
  /** Bytes written on the socket when it came. */
  readonly bytesBefore: number;
  /** Node's request object. */
  request: IncomingMessage | null;
  /** All of the request was given to Node. */
  isFed: boolean;
  /** Node has parsed it, and called for an answer. */
  isStarted: boolean;
  /** Node has written the whole answer. */
  isAnswered: boolean;
}

interface Carried {
  readonly fd: number;
  readonly socket: CarriedSocket;
  current: Current | null;
  idleSince: number;
}

/**
 * Requests for handlers written for Node's own http: `(req, res)`, Express, Koa, Fastify, `ws`, socket.io. Each connection
 * that has a request in this worker is a socket of an `http.Server` that listens nowhere. Runs in a worker.
 */
export class NodeHttpBridge {
  readonly server: Server;
  readonly #options: Required<Omit<NodeHttpOptions, 'failed'>>;
  readonly #failed: (error: Error) => void;
  /** By session id; idle ones in the order in which they became idle. */
  readonly #carried = new Map<number, Carried>();
  readonly #bySocket = new WeakMap<object, Carried>();
  readonly #tunnels = new Set<CarriedSocket>();
  readonly #prototypes: AdoptedPrototypes;
  readonly #onStarted = (message: unknown) => this.#started(message as StartMessage);
  readonly #onUpgrade = (_: IncomingMessage, socket: object) => this.#upgraded(socket);
  #spans: SpannedEvents | undefined;
  #underWay = 0;
  #isDraining = false;
  #drained: (() => void)[] = [];
  #sweeping: NodeJS.Timeout | undefined;

  constructor(listener: RequestListener | Server, options: NodeHttpOptions = {}) {
    this.#options = {
      maxHeaderBytes: options.maxHeaderBytes ?? DEFAULTS.maxHeaderBytes,
      idleMs: options.idleMs ?? DEFAULTS.idleMs,
      maxIdle: options.maxIdle ?? DEFAULTS.maxIdle,
    };
    this.#failed = options.failed ?? (() => {});
    this.server =
      listener instanceof Server ? listener : createServer({ maxHeaderSize: this.#options.maxHeaderBytes }, listener);
    this.#prototypes = new AdoptedPrototypes(this.server);
    // The reactor answers clients that wait too long.
    Object.assign(this.server, { timeout: 0, keepAliveTimeout: 0, headersTimeout: 0, requestTimeout: 0 });
    subscribe(STARTED, this.#onStarted);
  }

  /** Requests whose answers are not complete. */
  get requestCount(): number {
    return this.#underWay;
  }

  /** Connections that were upgraded. */
  get tunnelCount(): number {
    return this.#tunnels.size;
  }

  handle(exchange: RawExchange): void {
    const carried = this.#carriedOf(exchange);
    const bytesBefore = carried.socket.bytesWritten;
    const guard = new AnswerGuard(exchange.head.startsWith('HEAD '), exchange.mustClose);
    const current: Current = {
      ...{ exchange, guard, bytesBefore, request: null },
      ...{ isFed: false, isStarted: false, isAnswered: false },
    };
    carried.current = current;
    if (exchange.span !== undefined) {
      this.#spans ??= new SpannedEvents(this.server, (socket) => this.#bySocket.get(socket)?.current?.exchange.span);
    }
    this.#underWay++;
    carried.socket.carryTo(new Answer(exchange, guard, (fault) => this.#broken(carried, current, fault)));
    exchange.leaveContinue();
    exchange.onGone(() => carried.current === current && this.#clientLeft(carried, current));
    if (exchange.isUpgrade) this.#watchUpgrades();
    feedRequest(exchange, carried.socket).then(
      () => {
        current.isFed = true;
        this.#completed(carried, current);
      },
      (error: Error) => this.#unfed(carried, current, error),
    );
  }

  /** The client has gone in the middle of its request, or the listener has thrown. */
  #unfed(carried: Carried, current: Current, error: Error): void {
    // Where the answer has ended first, Node is about to end the socket itself.
    if (carried.current !== current) carried.socket.destroy();
    else if (current.isStarted && !current.exchange.isGone) this.#broken(carried, current, error);
    else carried.socket.destroy(error);
  }

  /**
   * As of a socket that Node owns, with one difference: a body that has come whole is read to its end, if it is
   * being read.
   */
  #clientLeft({ socket }: Carried, { exchange, request }: Current): void {
    const hasBody = exchange.body.whole?.length !== 0;
    if (!exchange.hasWholeBody || !hasBody || request === null || request.readableEnded) return void socket.destroy();
    // A handler that is not reading yet may be about to; one that never does is to see the end soon.
    let timer = setTimeout(() => {
      if (!isRead(request)) return void socket.destroy();
      timer = setTimeout(() => socket.destroy(), LEFT_MS).unref();
    }, UNREAD_MS).unref();
    const end = (): void => {
      clearTimeout(timer);
      process.nextTick(() => socket.destroy());
    };
    request.once('end', end).once('close', end);
  }

  /** The connection has ended while it had no request here. */
  gone(fd: number): void {
    this.#carried.get(fd)?.socket.destroy();
  }

  /** Answers from now on end their connections. Resolves when no request is under way and no tunnel open. */
  drain(): Promise<void> {
    this.#isDraining = true;
    return new Promise((resolve) => {
      this.#drained.push(resolve);
      this.#notifyDrained();
    });
  }

  /** Ends the rest, and takes no more. */
  close(): void {
    unsubscribe(STARTED, this.#onStarted);
    this.server.off('upgrade', this.#onUpgrade);
    clearInterval(this.#sweeping);
    for (const { socket } of this.#carried.values()) socket.destroy();
    for (const socket of this.#tunnels) socket.destroy();
  }

  #carriedOf(exchange: RawExchange): Carried {
    const known = this.#carried.get(exchange.fd);
    // A socket that still has a request of the same connection was left by an answer that never ended.
    if (known !== undefined && known.current === null && !known.socket.destroyed && known.socket.writable) return known;
    known?.socket.destroy();
    const carried = { fd: exchange.fd, socket: new CarriedSocket(exchange), current: null, idleSince: 0 };
    this.#carried.set(exchange.fd, carried);
    this.#bySocket.set(carried.socket, carried);
    this.#watch(carried);
    this.server.emit('connection', carried.socket);
    // Node's stream would pass on its first bytes with the next tick: the request would be served outside of its callback,
    // and a worker that it blocks would count as idle.
    carried.socket.read(0);
    return carried;
  }

  #watch(carried: Carried): void {
    const { socket } = carried;
    socket.on('error', (error) => {
      if (carried.current?.exchange.isGone === false) this.#failed(error);
    });
    socket.once('finish', () => this.#ended(carried));
    socket.once('close', () => {
      this.#ended(carried);
      this.#tunnels.delete(socket);
      if (this.#carried.get(carried.fd) === carried) this.#carried.delete(carried.fd);
      this.#notifyDrained();
    });
  }

  /** Node has ended its side: behind the whole answer, or in its middle. */
  #ended(carried: Carried): void {
    const { current, socket } = carried;
    if (current === null || socket.isTunnel) return;
    const fault = current.isAnswered ? current.guard.shortFault : undefined;
    if (fault !== undefined) return this.#broken(carried, current, fault);
    this.#release(carried);
    // Node answers an invalid request with a few bytes, and destroys the socket right behind them.
    const isRefused = !current.isStarted && socket.bytesWritten > current.bytesBefore;
    if (current.isAnswered || socket.writableFinished || isRefused) current.exchange.finish(true);
    else if (!current.exchange.isGone) current.exchange.abort();
  }

  #started({ request, response, socket }: StartMessage): void {
    const carried = this.#bySocket.get(socket);
    const current = carried?.current;
    if (carried === undefined || current === null || current === undefined) return;
    current.isStarted = true;
    current.request = request;
    if (this.#isDraining) response.shouldKeepAlive = false;
    response.once('finish', () => {
      current.isAnswered = true;
      this.#prototypes.saw(request, response);
      // Node decides right behind this whether the connection ends; then it ends the socket.
      process.nextTick(() => this.#completed(carried, current));
    });
  }

  /** Whole answer and whole request: only then can the next one be fed. */
  #completed(carried: Carried, current: Current): void {
    if (carried.current !== current || !current.isFed || !current.isAnswered) return;
    if (!carried.socket.writable || carried.socket.isTunnel) return;
    const fault = current.guard.shortFault;
    if (fault !== undefined) return this.#broken(carried, current, fault);
    this.#release(carried);
    carried.idleSince = performance.now();
    // Behind those that are idle for longer.
    this.#carried.delete(carried.fd);
    this.#carried.set(carried.fd, carried);
    this.#sweepLater();
    current.exchange.finish(current.guard.endsWithConnection);
  }

  /**
   * The listener has thrown, or the body does not have the length in its head. The client sees it: by a 500, or by the end of
   * its connection.
   */
  #broken(carried: Carried, current: Current, fault: Error): void {
    if (carried.current !== current) return;
    const { exchange, guard } = current;
    this.#release(carried);
    carried.socket.destroy();
    if (exchange.isGone) return;
    this.#failed(fault);
    if (guard.hasBegun) return exchange.abort();
    exchange.writeRaw(plainAnswer({ ...REFUSAL, isHead: exchange.head.startsWith('HEAD ') }));
    exchange.finish(true);
  }

  #release(carried: Carried): void {
    carried.current = null;
    carried.socket.carryTo(null);
    this.#underWay--;
    this.#notifyDrained();
  }

  /** This listener is called first; Node checks only whether there is a listener, so it may not be the only one. */
  #watchUpgrades(): void {
    this.server.off('upgrade', this.#onUpgrade);
    if (this.server.listenerCount('upgrade') > 0) this.server.prependListener('upgrade', this.#onUpgrade);
  }

  #upgraded(socket: object): void {
    const carried = this.#bySocket.get(socket);
    const current = carried?.current;
    if (carried === undefined || current === null || current === undefined) return;
    this.#carried.delete(carried.fd);
    this.#tunnels.add(carried.socket);
    this.#release(carried);
    carried.socket.openTunnel((events) => current.exchange.tunnel(events));
  }

  #sweepLater(): void {
    if (this.#carried.size - this.#underWay > this.#options.maxIdle) drop(this.#oldestIdle()?.socket);
    this.#sweeping ??= setInterval(() => this.#sweep(), this.#options.idleMs / 2).unref();
  }

  #oldestIdle(): Carried | undefined {
    for (const carried of this.#carried.values()) if (carried.current === null) return carried;
    return undefined;
  }

  #sweep(): void {
    const until = performance.now() - this.#options.idleMs;
    for (const { current, socket, idleSince } of this.#carried.values()) {
      if (current === null && idleSince < until) drop(socket);
    }
    if (this.#carried.size > 0) return;
    clearInterval(this.#sweeping);
    this.#sweeping = undefined;
  }

  #notifyDrained(): void {
    if (this.#underWay > 0 || this.#tunnels.size > 0 || !this.#isDraining) return;
    for (const resolve of this.#drained.splice(0)) resolve();
  }
}

/** Its listeners belong to another request than the one under way. */
function drop(socket: CarriedSocket | undefined): void {
  if (socket !== undefined) inOwnContext(socket.destroy, socket);
}

function isRead({ readableFlowing, readableEnded }: IncomingMessage): boolean {
  return readableFlowing !== null && !readableEnded;
}

interface StartMessage {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly socket: object;
}

const REFUSAL = { status: 500, why: 'Internal Server Error', close: true };

/** Destination of the bytes of one answer. */
class Answer {
  readonly #exchange: RawExchange;
  readonly #guard: AnswerGuard;
  readonly #broken: (fault: Error) => void;
  #hasBegun = false;

  constructor(exchange: RawExchange, guard: AnswerGuard, broken: (fault: Error) => void) {
    this.#exchange = exchange;
    this.#guard = guard;
    this.#broken = broken;
  }

  write(data: Uint8Array | string, encoding: 'latin1' | 'utf8'): boolean {
    // Node writes it by itself, or when the app calls for it (`checkContinue`).
    if (data === CONTINUE && !this.#hasBegun) {
      this.#exchange.sendContinue();
      return true;
    }
    // 1xx comes before the answer.
    if (typeof data !== 'string' || !data.startsWith('HTTP/1.1 1')) this.#hasBegun = true;
    const passed = this.#guard.pass(data, encoding);
    if ('data' in passed) return this.#exchange.writeRaw(passed.data, passed.encoding);
    this.#broken(passed.fault);
    return true;
  }

  drain(): Promise<void> {
    return this.#exchange.drain();
  }
}
