/** A server that speaks HTTP/2 without sockets or processes: Node's own client, a connection in memory, and the bridge. */
import { once } from 'node:events';
import type { RequestListener, Server } from 'node:http';
import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  type ClientSessionOptions,
  connect,
  type IncomingHttpHeaders,
  type OutgoingHttpHeaders,
} from 'node:http2';
import { Duplex } from 'node:stream';
import { expect } from 'vitest';
import type { Exchange } from '../../src/http/exchange.js';
import type { Http2Source } from '../../src/http/http-requests.js';
import { Http1Streams } from '../../src/http/http2/as-http1.js';
import { Http2Bridge, type Http2BridgeParts } from '../../src/http/http2/http2-bridge.js';
import type { Http2Exchange } from '../../src/http/http2/http2-exchange.js';
import { NodeHttpBridge } from '../../src/http/node/index.js';
import type { Tunnel, TunnelEvents } from '../../src/http/node/raw-exchange.js';

/** So much is on its way to the client at most. */
export const HIGH_WATER_MARK = 262_144;

/** The client's end of a connection; the other end is a tunnel as the worker gives it. Nothing arrives at once. */
export class Wire extends Duplex {
  readonly source: Http2Source;
  /** How often the server had to wait with what it had to send. */
  waits = 0;
  pauses = 0;
  #events: TunnelEvents | undefined;
  #isPaused = false;
  #held: (() => void) | undefined;
  #flying = 0;
  #drained: (() => void)[] = [];

  constructor(isEncrypted = false) {
    super({ highWaterMark: HIGH_WATER_MARK });
    const tunnel: Tunnel = {
      write: (data) => this.#write(Buffer.from(data)),
      drain: () => (this.#hasRoom ? Promise.resolve() : new Promise((resolve) => void this.#drained.push(resolve))),
      end: () => void setImmediate(() => this.#end()),
      destroy: () => void setImmediate(() => this.destroy()),
      pause: () => {
        this.pauses++;
        this.#isPaused = true;
      },
      resume: () => {
        this.#isPaused = false;
        const held = this.#held;
        this.#held = undefined;
        held?.();
      },
    };
    this.source = {
      ...{ fd: 7, isEncrypted, remoteAddress: '192.0.2.1', remotePort: 4711 },
      tunnel: (events) => {
        this.#events = events;
        return tunnel;
      },
    };
  }

  get #hasRoom(): boolean {
    return this.#flying + this.readableLength < HIGH_WATER_MARK;
  }

  #write(data: Buffer): boolean {
    this.#flying += data.length;
    setImmediate(() => {
      this.#flying -= data.length;
      if (!this.destroyed) this.push(data);
      this.#checkRoom();
    });
    if (!this.#hasRoom) this.waits++;
    return this.#hasRoom;
  }

  #end(): void {
    if (this.destroyed) return;
    this.once('end', () => this.destroy());
    this.push(null);
  }

  #checkRoom(): void {
    if (this.#hasRoom) for (const resolve of this.#drained.splice(0)) resolve();
  }

  override _read(): void {
    this.#checkRoom();
  }

  override _write(data: Buffer, _encoding: BufferEncoding, done: () => void): void {
    const pass = (): void => {
      this.#events?.received(data);
      done();
    };
    setImmediate(() => {
      if (this.#isPaused) this.#held = pass;
      else pass();
    });
  }

  override _final(done: () => void): void {
    setImmediate(() => this.#events?.ended());
    done();
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    setImmediate(() => this.#events?.gone());
    done(error);
  }
}

export interface World {
  readonly bridge: Http2Bridge;
  readonly client: ClientHttp2Session;
  readonly wire: Wire;
  readonly underWay: Set<Http2Exchange>;
  readonly logged: unknown[];
  readonly statuses: number[];
  dial(options?: ClientSessionOptions): { client: ClientHttp2Session; wire: Wire };
}

const clients: ClientHttp2Session[] = [];
const bridges: NodeHttpBridge[] = [];

/** To be called after each test. */
export function endHttp2Worlds(): void {
  for (const client of clients.splice(0)) client.destroy();
  for (const bridge of bridges.splice(0)) bridge.close();
}

export type Given = Partial<Omit<Http2BridgeParts, 'options'>> & {
  readonly options?: Partial<Http2BridgeParts['options']>;
  readonly isEncrypted?: boolean;
  /** An app in the manner of Node, in place of `serve`. */
  readonly listener?: RequestListener | Server;
  /** It has failed. */
  failed?(error: unknown): void;
};

function partsOf(listener: RequestListener | Server, failed: (error: unknown) => void): Partial<Http2BridgeParts> {
  const bridge = new NodeHttpBridge(listener, { failed });
  bridges.push(bridge);
  const streams = new Http1Streams(bridge, () => ({ remoteAddress: '192.0.2.1', remotePort: 4711 }));
  return { serve: (exchange) => streams.serve(exchange), closed: (fd) => streams.closed(fd), takesExpectations: true };
}

export function world({ options, isEncrypted = false, listener, failed = () => {}, ...given }: Given): World {
  const underWay = new Set<Http2Exchange>();
  const logged: unknown[] = [];
  const statuses: number[] = [];
  const bridge = new Http2Bridge({
    serve: (exchange) => exchange.respond(404, '', [], ''),
    answered: (status) => void statuses.push(status),
    begun: (request) => void underWay.add(request),
    ended: (request) => {
      expect(underWay.delete(request)).toBe(true);
    },
    options: {
      ...{ bodyLimit: 4_194_304, headerLimit: 16_384, headersTimeoutMs: 10_000, requestTimeoutMs: 10_000 },
      ...{ keepAliveTimeoutMs: 10_000, writeTimeoutMs: 10_000, sendBufferSize: 67_108_864, ...options },
    },
    isDraining: false,
    isFull: () => false,
    record: { countRefused: () => {}, countReset: () => {}, held: () => {} },
    log: { debug: (_message, fields) => void logged.push(fields?.['error']), warn: () => {} },
    ...(listener === undefined ? {} : partsOf(listener, failed)),
    ...given,
  });
  const dial: World['dial'] = (clientOptions) => {
    const wire = new Wire(isEncrypted);
    bridge.accept(wire.source);
    const client = connect('http://x', { ...clientOptions, createConnection: () => wire });
    client.on('error', () => {});
    clients.push(client);
    return { client, wire };
  };
  return { bridge, underWay, logged, statuses, dial, ...dial() };
}

export interface Answer {
  status: number;
  headers: IncomingHttpHeaders;
  body: Buffer;
  trailers: IncomingHttpHeaders;
  interim: IncomingHttpHeaders[];
  /** Code of RST_STREAM. */
  code: number;
}

export function send(
  client: ClientHttp2Session,
  headers: OutgoingHttpHeaders,
  body?: string | Buffer | null,
): ClientHttp2Stream {
  const stream = client.request({ ':path': '/', ...headers }, { endStream: body === undefined });
  stream.on('error', () => {});
  if (typeof body === 'string' || Buffer.isBuffer(body)) stream.end(body);
  return stream;
}

export async function answerOf(stream: ClientHttp2Stream): Promise<Answer> {
  const interim: IncomingHttpHeaders[] = [];
  let headers: IncomingHttpHeaders & { ':status'?: number | undefined } = {};
  let trailers: IncomingHttpHeaders = {};
  const pieces: Buffer[] = [];
  stream.on('headers', (fields) => void interim.push(fields));
  stream.on('response', (fields) => {
    headers = fields;
  });
  stream.on('trailers', (fields) => {
    trailers = fields;
  });
  stream.on('data', (piece: Buffer) => void pieces.push(piece));
  // A client that is told to stop sending has ended when its own data has not: Node emits no "close" for it.
  await Promise.race([closed(stream), once(stream, 'aborted')]);
  await new Promise((resolve) => setImmediate(resolve));
  const code = stream.rstCode ?? 0;
  return { status: headers[':status'] ?? 0, headers, body: Buffer.concat(pieces), trailers, interim, code };
}

export function closed(stream: {
  destroyed: boolean;
  once(event: 'close', listener: () => void): unknown;
}): Promise<void> {
  return new Promise((resolve) => void stream.once('close', () => resolve()));
}

export async function fetched(client: ClientHttp2Session, headers: OutgoingHttpHeaders = {}, body?: string | Buffer) {
  return answerOf(send(client, headers, body));
}

export async function bodyOf({ body }: Exchange): Promise<Buffer> {
  const pieces: Buffer[] = [];
  for (let piece = await body.next(); piece !== null; piece = await body.next()) pieces.push(piece);
  return Buffer.concat(pieces);
}

/** `serve` that hands over each exchange as it comes. */
export function handedOver(): { serve: (exchange: Exchange) => void; next: () => Promise<Exchange> } {
  const come: Exchange[] = [];
  const waiting: ((exchange: Exchange) => void)[] = [];
  return {
    serve: (exchange) => {
      const waiter = waiting.shift();
      if (waiter === undefined) come.push(exchange);
      else waiter(exchange);
    },
    next: () => {
      const exchange = come.shift();
      return exchange === undefined ? new Promise((resolve) => void waiting.push(resolve)) : Promise.resolve(exchange);
    },
  };
}

export function isGone(exchange: Exchange): Promise<void> {
  return new Promise((resolve) => exchange.onGone(resolve));
}
