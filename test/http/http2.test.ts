import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type RequestListener, type Server, type ServerResponse } from 'node:http';
import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  type ClientSessionOptions,
  connect,
  constants,
  type IncomingHttpHeaders,
  type OutgoingHttpHeaders,
} from 'node:http2';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Duplex } from 'node:stream';
import express, { type Express } from 'express';
import { afterAll, afterEach, describe, expect, test, vi } from 'vitest';
import type { Exchange } from '../../src/http/exchange.js';
import type { Http2Source } from '../../src/http/http-requests.js';
import { Http1Streams } from '../../src/http/http2/as-http1.js';
import { Http2Bridge, type Http2BridgeParts } from '../../src/http/http2/http2-bridge.js';
import type { Http2Exchange } from '../../src/http/http2/http2-exchange.js';
import { TunnelSocket } from '../../src/http/http2/tunnel-socket.js';
import { NodeHttpBridge } from '../../src/http/node/index.js';
import type { Tunnel, TunnelEvents } from '../../src/http/node/raw-exchange.js';
import { deferred } from '../../src/util/deferred.js';

/** So much is on its way to the client at most. */
const HIGH_WATER_MARK = 262_144;

/** The client's end of a connection; the other end is a tunnel as the worker gives it. Nothing arrives at once. */
class Wire extends Duplex {
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

interface World {
  readonly bridge: Http2Bridge;
  readonly client: ClientHttp2Session;
  readonly wire: Wire;
  readonly underWay: Set<Http2Exchange>;
  readonly logged: unknown[];
  readonly statuses: number[];
  dial(options?: ClientSessionOptions): { client: ClientHttp2Session; wire: Wire };
}

const clients: ClientHttp2Session[] = [];
afterEach(() => {
  for (const client of clients.splice(0)) client.destroy();
});

type Given = Partial<Omit<Http2BridgeParts, 'options'>> & {
  readonly options?: Partial<Http2BridgeParts['options']>;
  readonly isEncrypted?: boolean;
  /** An app in the manner of Node, in place of `serve`. */
  readonly listener?: RequestListener | Server;
  /** It has failed. */
  failed?(error: unknown): void;
};

const bridges: NodeHttpBridge[] = [];
afterEach(() => {
  for (const bridge of bridges.splice(0)) bridge.close();
});

function partsOf(listener: RequestListener | Server, failed: (error: unknown) => void): Partial<Http2BridgeParts> {
  const bridge = new NodeHttpBridge(listener, { failed });
  bridges.push(bridge);
  const streams = new Http1Streams(bridge, () => ({ remoteAddress: '192.0.2.1', remotePort: 4711 }));
  return { serve: (exchange) => streams.serve(exchange), closed: (fd) => streams.closed(fd), takesExpectations: true };
}

function world({ options, isEncrypted = false, listener, failed = () => {}, ...given }: Given): World {
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

interface Answer {
  status: number;
  headers: IncomingHttpHeaders;
  body: Buffer;
  trailers: IncomingHttpHeaders;
  interim: IncomingHttpHeaders[];
  /** Code of RST_STREAM. */
  code: number;
}

function send(
  client: ClientHttp2Session,
  headers: OutgoingHttpHeaders,
  body?: string | Buffer | null,
): ClientHttp2Stream {
  const stream = client.request({ ':path': '/', ...headers }, { endStream: body === undefined });
  stream.on('error', () => {});
  if (typeof body === 'string' || Buffer.isBuffer(body)) stream.end(body);
  return stream;
}

async function answerOf(stream: ClientHttp2Stream): Promise<Answer> {
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

function closed(stream: { destroyed: boolean; once(event: 'close', listener: () => void): unknown }): Promise<void> {
  return new Promise((resolve) => void stream.once('close', () => resolve()));
}

async function fetched(client: ClientHttp2Session, headers: OutgoingHttpHeaders = {}, body?: string | Buffer) {
  return answerOf(send(client, headers, body));
}

async function bodyOf({ body }: Exchange): Promise<Buffer> {
  const pieces: Buffer[] = [];
  for (let piece = await body.next(); piece !== null; piece = await body.next()) pieces.push(piece);
  return Buffer.concat(pieces);
}

/** `serve` that hands over each exchange as it comes. */
function handedOver(): { serve: (exchange: Exchange) => void; next: () => Promise<Exchange> } {
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

function isGone(exchange: Exchange): Promise<void> {
  return new Promise((resolve) => exchange.onGone(resolve));
}

const { NGHTTP2_CANCEL, NGHTTP2_ENHANCE_YOUR_CALM, NGHTTP2_INTERNAL_ERROR, NGHTTP2_NO_ERROR } = constants;

describe('a request over HTTP/2', () => {
  test('reaches the handler with its method, target, and fields as HTTP/1 has them', async () => {
    const seen = deferred<Exchange>();
    const { client } = world({
      isEncrypted: true,
      serve: (exchange) => {
        seen.resolve(exchange);
        exchange.respond(200, '', ['Content-Type', 'text/plain'], 'hello');
      },
    });
    const answer = await fetched(client, { ':path': '/a?b=c', cookie: ['a=1', 'b=2', 'c=3'], 'x-more': '1' });
    const { fd, httpVersion, method, target, isEncrypted, rawHeaders, body } = await seen.promise;
    expect({ fd, httpVersion, method, target, isEncrypted }).toEqual({
      ...{ fd: 7, httpVersion: '2.0', method: 'GET', target: '/a?b=c', isEncrypted: true },
    });
    expect(rawHeaders).toEqual(['host', 'x:80', 'cookie', 'a=1; b=2; c=3', 'x-more', '1']);
    expect(body.whole).toEqual(Buffer.alloc(0));
    expect(answer).toMatchObject({ status: 200, code: NGHTTP2_NO_ERROR });
    expect(answer.body.toString()).toBe('hello');
    expect(answer.headers).toMatchObject({ 'content-type': 'text/plain', 'content-length': '5' });
    expect(Date.parse(answer.headers.date as string)).not.toBeNaN();
  });

  test('keeps the host it came with', async () => {
    const { serve, next } = handedOver();
    const { client } = world({ serve });
    send(client, { host: 'x' });
    expect((await next()).rawHeaders).toEqual(['host', 'x']);
  });

  test('may have 2 MiB of body, and as much of an answer', async () => {
    const { client, underWay } = world({
      serve: async (exchange) => {
        expect(exchange.body.whole).toBeNull();
        exchange.begin(200, '', []);
        for (let piece = await exchange.body.next(); piece !== null; piece = await exchange.body.next()) {
          if (!exchange.write(piece)) await exchange.drain();
        }
        exchange.end();
      },
    });
    const body = randomBytes(2_097_152);
    const answer = await fetched(client, { ':method': 'POST' }, body);
    expect(answer.body.equals(body)).toBe(true);
    expect(answer.headers['content-length']).toBeUndefined();
    expect(underWay.size).toBe(0);
  });

  test('may be one of a hundred at once', async () => {
    const { client } = world({
      serve: async (exchange) => {
        const body = await bodyOf(exchange);
        exchange.respond(200, '', [], Buffer.concat([Buffer.from(`${exchange.target} `), body]));
      },
    });
    const requests = Array.from({ length: 100 }, (_, i) =>
      fetched(client, { ':method': 'PUT', ':path': `/${i}` }, `n${i}`),
    );
    const texts = (await Promise.all(requests)).map(({ body }) => body.toString());
    expect(texts).toEqual(Array.from({ length: 100 }, (_, i) => `/${i} n${i}`));
  });

  test('is read no faster than its handler takes it', async () => {
    const { serve, next } = handedOver();
    const { client } = world({ serve });
    const stream = send(client, { ':method': 'POST' }, null);
    const body = Buffer.alloc(1_000_000);
    let isSent = false;
    stream.end(body, () => {
      isSent = true;
    });
    const exchange = await next();
    for (let i = 0; i < 5; i++) await new Promise((resolve) => client.ping(resolve));
    expect(isSent).toBe(false);
    expect((await bodyOf(exchange)).length).toBe(body.length);
    exchange.respond(204, '', [], '');
    expect((await answerOf(stream)).status).toBe(204);
  });

  test('brings trailers behind its body, and gets some', async () => {
    const { client } = world({
      serve: async (exchange) => {
        expect(exchange.body.trailers).toEqual([]);
        await bodyOf(exchange);
        exchange.begin(200, '', []);
        exchange.write('body');
        exchange.end('', ['X-Got', exchange.body.trailers.join('='), 'connection', 'close']);
      },
    });
    const stream = client.request({ ':method': 'POST' }, { waitForTrailers: true });
    stream.on('wantTrailers', () => stream.sendTrailers({ 'x-sum': '42' }));
    stream.end('data');
    const answer = await answerOf(stream);
    expect(answer.trailers['x-got']).toBe('x-sum=42');
    expect(answer.body.toString()).toBe('body');
  });

  test('that asks first whether it may send its body is told so when the body is wanted', async () => {
    const { client } = world({ serve: async (exchange) => exchange.respond(200, '', [], await bodyOf(exchange)) });
    const stream = send(client, { ':method': 'POST', expect: '100-continue' }, null);
    stream.on('continue', () => stream.end('now'));
    expect((await answerOf(stream)).body.toString()).toBe('now');
  });

  test.each([
    [405, { ':method': 'CONNECT', ':authority': 'x:1' }],
    [501, { ':method': 'BREW' }],
    [501, { ':method': 'get' }],
    [400, { ':path': 'x' }],
    [400, { ':path': 'http://x/' }],
    [400, { ':path': '/#x' }],
    [400, { ':path': '*' }],
    [400, { ':authority': 'x', host: 'y' }],
    [400, { ':authority': 'a b' }],
    [413, { ':method': 'POST', 'content-length': '4194305' }],
  ])('is answered %d when it has %o', async (status, headers: OutgoingHttpHeaders) => {
    const { client } = world({ serve: () => expect.fail('it is not served') });
    const stream =
      headers[':method'] === 'CONNECT' ? client.request(headers) : client.request({ ':path': '/', ...headers });
    stream.on('error', () => {});
    const answer = await answerOf(stream);
    if (answer.status === 0) expect(answer.code).not.toBe(NGHTTP2_NO_ERROR);
    else expect(answer.status).toBe(status);
  });

  test('of OPTIONS may have * for its target', async () => {
    const { client } = world({ serve: (exchange) => exchange.respond(200, '', [], exchange.target) });
    expect((await fetched(client, { ':method': 'OPTIONS', ':path': '*' })).body.toString()).toBe('*');
  });

  test('whose fields are too many bytes is not served', async () => {
    const { client } = world({ serve: () => expect.fail('it is not served') });
    const headers = { 'x-big': 'x'.repeat(16_384) };
    expect((await fetched(client, headers)).status).toBe(431);
    await new Promise((resolve) => client.ping(resolve)); // now the client has told that it knows of the limit
    const answer = await fetched(client, headers);
    expect(answer.status === 431 || answer.code !== NGHTTP2_NO_ERROR).toBe(true);
  });
});

describe('an answer over HTTP/2', () => {
  test('has no fields that belong to a connection of HTTP/1', async () => {
    const { client } = world({
      serve: (exchange) => {
        const own = [
          'Connection',
          'close',
          'Keep-Alive',
          'timeout=5',
          'Transfer-Encoding',
          'chunked',
          'Upgrade',
          'h2c',
        ];
        const fields = [
          ...own,
          'Proxy-Connection',
          'x',
          'Set-Cookie',
          'a=1',
          'set-cookie',
          'b=2',
          'Via',
          'a',
          'via',
          'b',
        ];
        exchange.respond(200, '', [...fields, 'ETag', '"1"', 'etag', '"2"', 'Date', 'today'], 'x');
      },
    });
    const { headers, status } = await fetched(client);
    expect(status).toBe(200);
    const { 'content-length': length, 'set-cookie': cookies, etag, via, date } = headers;
    expect({ length, cookies, etag, via, date }).toEqual({
      ...{ length: '1', cookies: ['a=1', 'b=2'], etag: '"2"', date: 'today' },
      via: expect.stringMatching(/b$/),
    });
    const others = Object.keys(headers).filter((name) => /connection|keep-alive|transfer|upgrade/.test(name));
    expect(others).toEqual([]);
  });

  test('that repeats fields as HTTP allows it keeps all of them', async () => {
    const { client } = world({ serve: (exchange) => exchange.respond(200, '', ['Via', 'a', 'via', 'b'], '') });
    expect((await fetched(client)).headers['via']).toBe('a, b');
  });

  test.each([
    ['HEAD', 200, '5'],
    ['GET', 204, undefined],
    ['GET', 304, undefined],
  ])('to %s with status %d has no body', async (method, status, length) => {
    const { client, underWay } = world({
      serve: (exchange) => {
        if (exchange.target === '/begin') {
          exchange.begin(status, '', length === undefined ? [] : ['content-length', length]);
          exchange.write('hello');
          setImmediate(() => exchange.end());
        } else exchange.respond(status, '', [], 'hello');
      },
    });
    for (const path of ['/', '/begin']) {
      const answer = await fetched(client, { ':method': method, ':path': path });
      expect(answer).toMatchObject({ status, code: NGHTTP2_NO_ERROR, body: Buffer.alloc(0) });
      expect(answer.headers['content-length']).toBe(length);
    }
    await new Promise((resolve) => setImmediate(resolve));
    expect(underWay.size).toBe(0);
  });

  test('to HEAD ends a request whose body nobody reads', async () => {
    const { client } = world({ serve: (exchange) => exchange.respond(200, '', [], 'hello') });
    const stream = send(client, { ':method': 'HEAD' }, null);
    stream.write('x');
    expect(await answerOf(stream)).toMatchObject({ status: 200, code: NGHTTP2_NO_ERROR });
  });

  test('may be without anything in it', async () => {
    const { client } = world({
      serve: (exchange) => {
        exchange.begin(200, '', []);
        exchange.end();
        exchange.end();
        exchange.respond(500, '', [], '');
        expect(exchange.write('x')).toBe(false);
      },
    });
    expect(await fetched(client)).toMatchObject({ status: 200, code: NGHTTP2_NO_ERROR, body: Buffer.alloc(0) });
  });

  test('comes behind 103 and its fields', async () => {
    const { client } = world({
      serve: (exchange) => {
        exchange.inform(103, ['Link', '</a.css>', 'link', '</b.css>', 'connection', 'close']);
        exchange.respond(200, '', [], '');
        exchange.inform(103, []);
      },
    });
    const { interim, status } = await fetched(client);
    expect(status).toBe(200);
    expect(interim).toHaveLength(1);
    expect(interim[0]).toMatchObject({ ':status': 103, link: '</a.css>, </b.css>' });
  });

  test('ends a request whose body nobody reads', async () => {
    const { client } = world({ serve: (exchange) => exchange.respond(403, '', [], 'no') });
    const stream = send(client, { ':method': 'POST' }, null);
    stream.write(Buffer.alloc(200_000));
    expect(await answerOf(stream)).toMatchObject({ status: 403, code: NGHTTP2_NO_ERROR, body: Buffer.from('no') });
  });

  test('ends a request whose body was read in part, and what has come of it is told from all of it', async () => {
    const read = deferred<unknown>();
    const { client } = world({
      serve: async (exchange) => {
        await exchange.body.next();
        exchange.respond(403, '', [], 'no');
        bodyOf(exchange).then(read.resolve, read.resolve);
      },
    });
    const stream = send(client, { ':method': 'POST' }, null);
    stream.write(Buffer.alloc(200_000));
    expect(await answerOf(stream)).toMatchObject({ status: 403, code: NGHTTP2_NO_ERROR });
    expect(await read.promise).toMatchObject({ code: 'ERR_HTTP_BODY_CUT', detail: { reason: 'answered' } });
  });

  test('that is broken off resets its stream', async () => {
    const { client, underWay } = world({
      serve: (exchange) => {
        exchange.begin(200, '', []);
        exchange.write('half');
        setImmediate(() => exchange.abort());
      },
    });
    expect((await fetched(client)).code).toBe(NGHTTP2_INTERNAL_ERROR);
    expect(underWay.size).toBe(0);
  });
});

describe('a file in an answer over HTTP/2', () => {
  const folder = mkdtempSync(join(tmpdir(), 'tswoole-http2-'));
  const path = join(folder, 'file');
  const content = randomBytes(1_000_000);
  writeFileSync(path, content);
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  test('stands where it was written, between pieces', async () => {
    const { client } = world({
      serve: (exchange) => {
        exchange.begin(200, '', ['content-length', '900008']);
        exchange.write('>>');
        exchange.writeFile({ path, offset: 50_000, length: 800_000 });
        expect(exchange.write('<<')).toBe(false);
        exchange.writeFile({ path, offset: 0, length: 100_000 });
        exchange.end('last');
      },
    });
    const { body, code } = await fetched(client);
    const [first, second] = [content.subarray(50_000, 850_000), content.subarray(0, 100_000)];
    const whole = [Buffer.from('>>'), first, Buffer.from('<<'), second, Buffer.from('last')];
    expect(body.equals(Buffer.concat(whole))).toBe(true);
    expect(code).toBe(NGHTTP2_NO_ERROR);
  });

  test('that is not there, or too short, breaks the answer off', async () => {
    for (const piece of [
      { path: join(folder, 'none'), offset: 0, length: 5 },
      { path, offset: 999_990, length: 20 },
    ]) {
      const { client, logged } = world({
        serve: (exchange) => {
          exchange.begin(200, '', ['content-length', String(piece.length)]);
          exchange.writeFile(piece);
          exchange.end();
        },
      });
      expect((await fetched(client)).code).toBe(NGHTTP2_INTERNAL_ERROR);
      expect(logged.length).toBeGreaterThan(0);
    }
  });

  test('is not read on when the client has gone', async () => {
    const drained = deferred<void>();
    const { client } = world({
      serve: (exchange) => {
        exchange.begin(200, '', ['content-length', '1000000']);
        exchange.writeFile({ path, offset: 0, length: 1_000_000 });
        exchange.drain().then(drained.resolve);
      },
    });
    const stream = send(client, {});
    await once(stream, 'response');
    stream.close(NGHTTP2_CANCEL);
    await drained.promise;
  });
});

describe('a client of HTTP/2 that goes', () => {
  test('by a reset of its stream makes the exchange gone', async () => {
    const { serve, next } = handedOver();
    const { client, underWay } = world({ serve });
    const stream = send(client, { ':method': 'POST' }, null);
    stream.write('x');
    const exchange = await next();
    expect(await exchange.body.next()).toEqual(Buffer.from('x'));
    const piece = exchange.body.next();
    expect(underWay.size).toBe(1);
    stream.destroy(new Error('enough'));
    await isGone(exchange);
    await expect(piece).rejects.toMatchObject({ code: 'ERR_HTTP_CLIENT_GONE' });
    await expect(exchange.body.next()).rejects.toMatchObject({ code: 'ERR_HTTP_CLIENT_GONE' });
    expect(exchange.isGone).toBe(true);
    expect(underWay.size).toBe(0);
    exchange.inform(103, []);
    exchange.begin(200, '', []);
    exchange.respond(200, '', [], 'x');
    expect(exchange.write('x')).toBe(false);
    await exchange.drain();
    exchange.end();
    exchange.abort();
  });

  test.each(['GET', 'HEAD'])('by a reset of %s that waits for its answer makes the exchange gone', async (method) => {
    const { serve, next } = handedOver();
    const { client } = world({ serve });
    const stream = send(client, { ':method': method });
    const exchange = await next();
    stream.close(NGHTTP2_CANCEL);
    await isGone(exchange);
  });

  test('with its connection makes all exchanges gone', async () => {
    const { serve, next } = handedOver();
    const { bridge, client, wire, underWay } = world({ serve });
    send(client, {});
    send(client, { ':method': 'POST' }, null);
    const exchanges = [await next(), await next()];
    wire.destroy();
    await Promise.all(exchanges.map(isGone));
    expect(underWay.size).toBe(0);
    await bridge.drain();
  });

  test('while it is being written to ends the wait for room', async () => {
    const { serve, next } = handedOver();
    const { client, wire } = world({ serve });
    send(client, {});
    const exchange = await next();
    exchange.begin(200, '', []);
    exchange.write(Buffer.alloc(1_000_000));
    const drained = exchange.drain();
    wire.destroy();
    await drained;
  });

  test('with its head alone, by a reset of a stream whose answer waits, keeps nothing', async () => {
    const { client, wire, underWay } = world({
      serve: (exchange) => exchange.respond(200, '', [], Buffer.alloc(100_000)),
    });
    const stream = send(client, {});
    await once(stream, 'response');
    stream.close(NGHTTP2_CANCEL);
    await closed(stream);
    expect(underWay.size).toBe(0);
    expect(wire.destroyed).toBe(false);
  });

  test('in the middle of nonsense ends the connection, and nobody else', async () => {
    const { bridge, wire } = world({});
    const other = new Wire();
    bridge.accept(other.source);
    other.resume();
    other.write(randomBytes(100));
    await closed(other);
    expect(wire.destroyed).toBe(false);
  });
});

describe('the connection below HTTP/2', () => {
  function source(tunnel: Partial<Tunnel>): { socket: TunnelSocket; events: TunnelEvents } {
    let events: TunnelEvents | undefined;
    const nothing = (): void => {};
    const whole: Tunnel = {
      ...{ write: () => true, drain: async () => {}, end: nothing, destroy: nothing, pause: nothing, resume: nothing },
      ...tunnel,
    };
    const socket = new TunnelSocket({
      ...{ fd: 1, isEncrypted: true, remoteAddress: '::1', remotePort: 9 },
      tunnel: (given) => {
        events = given;
        return whole;
      },
    });
    return { socket, events: events as TunnelEvents };
  }

  test('is paused when nobody reads, and read on with the reader', async () => {
    const told: string[] = [];
    const { socket, events } = source({ pause: () => void told.push('pause'), resume: () => void told.push('resume') });
    for (let i = 0; i < 8; i++) events.received(Buffer.alloc(16_384));
    expect(told).toEqual(['pause']);
    let bytes = 0;
    socket.on('data', (piece: Buffer) => {
      bytes += piece.length;
    });
    await new Promise((resolve) => setImmediate(resolve));
    expect(bytes).toBe(8 * 16_384);
    expect(told).toEqual(['pause', 'resume']);
    events.ended();
    await once(socket, 'end');
    events.received(Buffer.from('late'));
  });

  test('makes the writer wait for room', async () => {
    const written: number[] = [];
    const room = deferred<void>();
    const { socket } = source({
      write: (data) => {
        written.push(data.length);
        return written.length !== 1;
      },
      drain: () => room.promise,
    });
    const done: string[] = [];
    socket.write('one', () => void done.push('one'));
    socket.write('two', () => void done.push('two'));
    socket.write('three', () => void done.push('three'));
    await new Promise((resolve) => setImmediate(resolve));
    expect({ written, done }).toEqual({ written: [3], done: [] });
    room.resolve();
    await new Promise((resolve) => setImmediate(resolve));
    expect({ written, done }).toEqual({ written: [3, 8], done: ['one', 'two', 'three'] });
  });

  test('is ended in good order, or broken off', async () => {
    const told: string[] = [];
    const tunnel = { end: () => void told.push('end'), destroy: () => void told.push('destroy') };
    const { socket, events } = source(tunnel);
    socket.end();
    await once(socket, 'finish');
    socket.destroy();
    events.gone();
    expect(told).toEqual(['end']);
    source(tunnel).socket.destroy();
    expect(told).toEqual(['end', 'destroy']);
    const slow = source(tunnel);
    slow.socket.end();
    await once(slow.socket, 'finish');
    slow.socket.kill();
    expect(told).toEqual(['end', 'destroy', 'end', 'destroy']);
  });
});

describe('the limits of HTTP/2', () => {
  test('answer 413 to a body that turns out too large', async () => {
    const { serve, next } = handedOver();
    const { client, underWay } = world({ serve, options: { bodyLimit: 1000 } });
    const stream = send(client, { ':method': 'POST' }, null);
    stream.write(Buffer.alloc(1001));
    const exchange = await next();
    const read = bodyOf(exchange);
    await expect(read).rejects.toMatchObject({ code: 'ERR_HTTP_BODY_CUT', detail: { reason: 'limit', status: 413 } });
    expect(exchange.isGone).toBe(true);
    expect(await answerOf(stream)).toMatchObject({ status: 413, code: NGHTTP2_NO_ERROR });
    expect(underWay.size).toBe(0);
  });

  test('reset a stream whose body turns out too large when the answer has begun', async () => {
    const { client } = world({
      options: { bodyLimit: 1000 },
      serve: (exchange) => {
        exchange.begin(200, '', []);
        bodyOf(exchange).catch(() => {});
      },
    });
    expect((await fetched(client, { ':method': 'POST' }, Buffer.alloc(1001))).code).toBe(NGHTTP2_INTERNAL_ERROR);
  });

  test('answer 503 when the handler does not answer in time', async () => {
    const { serve, next } = handedOver();
    const { client, underWay } = world({ serve, options: { requestTimeoutMs: 20 } });
    const answer = fetched(client);
    const exchange = await next();
    await isGone(exchange);
    expect(await answer).toMatchObject({ status: 503, code: NGHTTP2_NO_ERROR });
    expect(underWay.size).toBe(0);
  });

  test('answer 408 when the client does not send the body that is waited for', async () => {
    const { client } = world({
      options: { requestTimeoutMs: 20 },
      serve: (exchange) => void bodyOf(exchange).catch(() => {}),
    });
    expect((await answerOf(send(client, { ':method': 'POST' }, null))).status).toBe(408);
  });

  test('leave an answer alone that has begun in time', async () => {
    const { client } = world({
      options: { requestTimeoutMs: 20 },
      serve: (exchange) => {
        exchange.begin(200, '', []);
        setTimeout(() => exchange.end('late'), 60);
      },
    });
    expect((await fetched(client)).body.toString()).toBe('late');
  });

  test('close a connection that has had no stream for some time', async () => {
    const { bridge, client } = world({
      options: { keepAliveTimeoutMs: 20 },
      serve: (exchange) => exchange.respond(200, '', [], ''),
    });
    const goaway = once(client, 'goaway');
    expect((await fetched(client)).status).toBe(200);
    expect((await goaway)[0]).toBe(NGHTTP2_NO_ERROR);
    await closed(client);
    await bridge.drain();
  });

  test('close a connection that never begins', async () => {
    const { bridge } = world({ options: { headersTimeoutMs: 20 } });
    const wire = new Wire();
    bridge.accept(wire.source);
    wire.resume();
    await closed(wire);
  });

  test('send a client away that resets stream after stream', async () => {
    const { serve } = handedOver();
    const { client, underWay, wire } = world({ serve });
    let code = -1;
    client.on('goaway', (given) => {
      code = given;
    });
    const gone = closed(wire);
    for (let i = 0; i < 50 && !client.destroyed && !client.closed; i++) {
      const streams = Array.from({ length: 20 }, () => send(client, {}));
      await new Promise((resolve) => client.ping(resolve));
      for (const stream of streams) stream.close(NGHTTP2_CANCEL);
    }
    await gone;
    expect(code).toBe(NGHTTP2_ENHANCE_YOUR_CALM);
    expect(underWay.size).toBe(0);
  });

  test('take no more than 128 streams at once', async () => {
    const { client } = world({});
    await once(client, 'remoteSettings');
    expect(client.remoteSettings).toMatchObject({ maxConcurrentStreams: 128, maxHeaderListSize: 16_384 });
  });
});

describe('the end of HTTP/2', () => {
  test('tells clients by GOAWAY, and waits for the streams under way', async () => {
    const { serve, next } = handedOver();
    const { bridge, client, underWay, dial } = world({ serve });
    const idle = dial();
    const goaways = [once(client, 'goaway'), once(idle.client, 'goaway')];
    const answer = fetched(client);
    const exchange = await next();
    let isDrained = false;
    const drained = bridge.drain().then(() => {
      isDrained = true;
    });
    await Promise.all(goaways);
    await closed(idle.client);
    expect(isDrained).toBe(false);
    exchange.respond(200, '', [], 'last');
    expect((await answer).body.toString()).toBe('last');
    await drained;
    expect(underWay.size).toBe(0);
    const late = dial();
    await closed(late.client);
  });

  test('without connections is reached at once', async () => {
    const { bridge, client } = world({});
    client.close();
    await closed(client);
    await bridge.drain();
    await bridge.drain();
  });
});

describe('an app in the manner of Node over HTTP/2', () => {
  type Next = () => unknown;
  type Handler = (request: IncomingMessage, response: ServerResponse, next: Next) => unknown;

  /** Express 4 in small: one handler behind the other. */
  function app(...handlers: Handler[]) {
    return (request: IncomingMessage, response: ServerResponse): unknown => {
      const step = (at: number): unknown => handlers[at]?.(request, response, () => step(at + 1));
      return step(0);
    };
  }

  function declaring(response: ServerResponse, bytes: number): ServerResponse {
    response.setHeader('content-length', bytes);
    return response;
  }

  test('gets requests with their bodies, and answers them', async () => {
    const seen: unknown[] = [];
    const listener = app(
      (_request, response, next) => {
        response.setHeader('X-Powered-By', 'tests');
        next();
      },
      (request, response) => {
        const { remoteAddress, encrypted } = request.socket as unknown as { remoteAddress: string; encrypted: boolean };
        seen.push(request.method, request.url, request.headers.host, request.headers.cookie, remoteAddress, encrypted);
        response.statusCode = 201;
        request.pipe(response);
      },
    );
    const { client, underWay } = world({ listener, isEncrypted: true });
    const body = randomBytes(300_000);
    const answer = await fetched(client, { ':method': 'POST', ':path': '/up', cookie: ['a=1', 'b=2'] }, body);
    expect(answer.status).toBe(201);
    expect(answer.headers['x-powered-by']).toBe('tests');
    expect(answer.body.equals(body)).toBe(true);
    expect(seen).toEqual(['POST', '/up', 'x:80', 'a=1; b=2', '192.0.2.1', true]);
    client.close();
    await closed(client);
    expect(underWay.size).toBe(0);
  });

  test('that throws is answered 500, and told of', async () => {
    const failures: unknown[] = [];
    const { client } = world({
      failed: (error) => void failures.push(error),
      listener: () => {
        throw new Error('at once');
      },
    });
    expect((await fetched(client)).status).toBe(500);
    expect(failures).toEqual([new Error('at once')]);
  });

  test.each([
    ['itself', (app: Express) => app as unknown as RequestListener],
    [
      'behind a function',
      (app: Express): RequestListener =>
        (q, s) =>
          app(q as never, s as never),
    ],
    [
      'behind a promise',
      (app: Express): RequestListener =>
        async (q, s) =>
          app((await q) as never, s as never),
    ],
  ])('made for HTTP/1 is served as any other: Express %s', async (_, listenerOf) => {
    const app = express()
      .use(express.text())
      .all('/{*any}', (req, res) => {
        const { method, body, httpVersion } = req;
        setImmediate(() =>
          res.status(201).send(`${method} ${typeof body === 'string' ? body.length : 0} ${httpVersion}`),
        );
      });
    const failures: unknown[] = [];
    const { client, underWay } = world({ listener: listenerOf(app), failed: (error) => void failures.push(error) });
    const post = { ':method': 'POST', 'content-type': 'text/plain' };
    for (let i = 0; i < 3; i++) {
      const got = await fetched(client);
      expect([got.status, got.body.toString()]).toEqual([201, 'GET 0 1.1']);
      for (const more of [{}, { 'content-length': '50000' }]) {
        const { status, body } = await fetched(client, { ...post, ...more }, 'x'.repeat(50_000));
        expect([status, body.toString()]).toEqual([201, 'POST 50000 1.1']);
      }
    }
    expect([failures, underWay.size]).toEqual([[], 0]);
  });

  test('may give the fields of connections, repeats, a coding, and what it was sent: its client gets what HTTP/2 has', async () => {
    const { client } = world({
      listener: (request, response) =>
        setImmediate(() => {
          response.setHeader('Keep-Alive', 'timeout=5');
          response.setHeader('Connection', 'x-hop, keep-alive');
          response.setHeader('x-hop', '1');
          response.setHeader('content-type', ['text/plain', 'text/html']);
          response.setHeader('set-cookie', ['a=1', 'b=2']);
          response.setHeader('transfer-encoding', 'chunked');
          response.setHeader('x-names', Object.keys(request.headers).join());
          response.end('body');
        }),
    });
    const { status, headers, body } = await fetched(client, { 'x-a': '1' });
    expect([status, body.toString(), headers['set-cookie']]).toEqual([200, 'body', ['a=1', 'b=2']]);
    expect(headers).toMatchObject({ 'content-type': 'text/html', 'x-names': 'host,x-a' });
    for (const name of ['keep-alive', 'connection', 'x-hop', 'transfer-encoding'])
      expect(headers[name]).toBeUndefined();
  });

  test('cannot split its answer: what is refused over HTTP/1 is refused', async () => {
    const { client } = world({
      listener: (request, response) => response.setHeader('location', decodeURI(request.url ?? '')).end(),
    });
    for (const path of ['/a%0d%0aset-cookie:b', '/a%0ab', '/a%00']) {
      const { status, headers } = await fetched(client, { ':path': path });
      expect([status, headers['location'], headers['set-cookie']]).toEqual([500, undefined, undefined]);
    }
    expect((await fetched(client, { ':path': '/a' })).headers['location']).toBe('/a');
  });

  test.each<[string, (response: ServerResponse) => void]>([
    ['a status that HTTP/2 has not', (response) => response.writeHead(999).end('x')],
    ['101', (response) => response.writeHead(101).end()],
  ])('that answers %s ends its stream, and nothing else', async (_, answer) => {
    const { client, underWay } = world({
      listener: (request, response) =>
        request.url === '/' ? setImmediate(() => answer(response)) : response.end('on'),
    });
    const { status, code } = await fetched(client);
    expect([status, code]).toEqual([0, NGHTTP2_INTERNAL_ERROR]);
    expect((await fetched(client, { ':path': '/next' })).body.toString()).toBe('on');
    expect(underWay.size).toBe(0);
  });

  test('may answer in whatever event tells it that the client has gone', async () => {
    const told: string[] = [];
    const { client, wire } = world({
      listener: (request, response) => {
        for (const event of ['aborted', 'error', 'close']) {
          request.on(event, () => {
            told.push(event);
            if (!response.headersSent) response.writeHead(200, { 'x-a': '1' });
            response.write('bye');
            response.end('bye');
          });
        }
        request.resume();
        response.on('close', () => told.push('gone'));
      },
    });
    const stream = send(client, { ':method': 'POST' }, null);
    stream.write('half');
    await new Promise((resolve) => client.ping(resolve));
    stream.destroy(new Error('enough'));
    await vi.waitFor(() => expect(told).toContain('gone'));
    expect(told).toContain('aborted');
    wire.destroy();
  });

  test('gets streams of one client on sockets that wait for the next, and no more of them than at once', async () => {
    const sockets = new Set<unknown>();
    const { client } = world({
      listener: (request, response) => {
        sockets.add(request.socket);
        setImmediate(() => response.end());
      },
    });
    for (let i = 0; i < 5; i++) expect((await fetched(client)).status).toBe(200);
    expect(sockets.size).toBe(1);
    await Promise.all([1, 2, 3].map(() => fetched(client)));
    expect(sockets.size).toBeLessThanOrEqual(3);
    client.close();
    await vi.waitFor(() => expect([...sockets].every((socket) => (socket as Duplex).destroyed)).toBe(true));
  });

  test('sends trailers, and an early hint before its answer', async () => {
    const { client } = world({
      listener: (_, response) => {
        response.writeEarlyHints({ link: '</a.css>; rel=preload' });
        response.writeHead(200, { trailer: 'x-sum' });
        response.write('body');
        response.addTrailers({ 'x-sum': '4' });
        response.end();
      },
    });
    const { interim, body, trailers } = await fetched(client);
    expect(interim).toMatchObject([{ ':status': 103, link: '</a.css>; rel=preload' }]);
    expect([body.toString(), trailers['x-sum']]).toEqual(['body', '4']);
  });

  test('is under the same limits', async () => {
    const { client, underWay } = world({
      options: { bodyLimit: 1000, requestTimeoutMs: 50 },
      listener: (request, response) => {
        request.on('data', () => {});
        request.on('end', () => request.url === '/answer' && response.end('x'));
      },
    });
    const post = { ':method': 'POST' };
    expect((await fetched(client, post, Buffer.alloc(1001))).status).toBe(413);
    expect((await fetched(client, { ...post, 'content-length': '1001' }, Buffer.alloc(1001))).status).toBe(413);
    expect((await fetched(client, { ...post, ':path': '/answer' }, Buffer.alloc(1000))).status).toBe(200);
    expect((await fetched(client, post, 'x')).status).toBe(503);
    client.close();
    await closed(client);
    expect(underWay.size).toBe(0);
  });

  test('writes text in its encoding, bytes, and calls back', async () => {
    const called: string[] = [];
    const { client } = world({
      listener: (_, response) => {
        response.setHeader('content-length', '7');
        response.write('c3a9', 'hex', () => called.push('write'));
        response.write('é', () => called.push('plain'));
        response.write(Buffer.from('b'));
        response.end('6363', 'hex', () => called.push('end'));
      },
    });
    const { status, body } = await fetched(client);
    expect([status, body.toString(), called.sort()]).toEqual([200, 'éébcc', ['end', 'plain', 'write']]);
  });

  test.each<[string, (response: ServerResponse, done: () => void) => void]>([
    ['a callback alone', (response, done) => response.end(done)],
    ['text and a callback', (response, done) => response.end('', done)],
    ['nothing, an encoding and a callback', (response, done) => response.end(null as never, 'utf8', done)],
  ])('may end with %s', async (_, end) => {
    const done = deferred<void>();
    const { client } = world({ listener: (_request, response) => end(response, () => done.resolve()) });
    expect((await fetched(client)).status).toBe(200);
    await done.promise;
  });

  test.each<[string, (response: ServerResponse) => void]>([
    ['more in one piece', (response) => declaring(response, 1).end('ab')],
    ['more in pieces', (response) => declaring(response, 1).write('ab')],
    ['less', (response) => declaring(response, 3).end('ab')],
    ['nothing', (response) => declaring(response, 3).end()],
  ])('that sends %s than it has declared is told of, and its client sees it', async (_, answer) => {
    const failures: unknown[] = [];
    const { client } = world({
      failed: (error) => void failures.push(error),
      listener: (_request, response) => answer(response),
    });
    const got = await fetched(client);
    expect(failures).toEqual([expect.objectContaining({ code: 'ERR_HTTP_CONTENT_LENGTH' })]);
    expect([got.status, got.code]).toEqual([500, NGHTTP2_NO_ERROR]);
  });

  test('that sends less than it has declared, in pieces, breaks its stream off', async () => {
    const failures: unknown[] = [];
    const { client } = world({
      failed: (error) => void failures.push(error),
      listener: (_request, response) => {
        response.setHeader('content-length', 5);
        response.write('ab');
        setTimeout(() => response.end(), 100);
      },
    });
    const { status, code } = await fetched(client);
    expect([status, code, failures.length]).toEqual([200, NGHTTP2_INTERNAL_ERROR, 1]);
  });

  test('declares to HEAD what GET would have', async () => {
    const { client } = world({ listener: (_, response) => declaring(response, 5).end() });
    const { status, headers } = await fetched(client, { ':method': 'HEAD' });
    expect([status, headers['content-length']]).toEqual([200, '5']);
  });

  test.each<[string, (response: ServerResponse) => void]>([
    ['writeHead', (response) => response.writeHead(204, { 'Content-Length': '5', 'x-a': '1' }).end()],
    ['its fields', (response) => declaring(response, 5).writeHead(204, { 'x-a': '1' }).end()],
    [
      'its status',
      (response) => {
        response.statusCode = 204;
        response.setHeader('x-a', '1');
        declaring(response, 5).end();
      },
    ],
  ])('has no length with 204, which %s may say', async (_, answer) => {
    const { client } = world({ listener: (_request, response) => answer(response) });
    const { status, headers } = await fetched(client);
    expect([status, headers['content-length'], headers['x-a']]).toEqual([204, undefined, '1']);
  });

  test.each(['app', 'exchange'])('is not served where the server is full: for an %s', async (kind) => {
    let refused = 0;
    let served = 0;
    const { client, underWay } = world({
      ...(kind === 'app' ? { listener: () => void served++ } : { serve: () => void served++ }),
      isFull: () => true,
      record: { countRefused: () => void refused++, countReset: () => {}, held: () => {} },
    });
    const { status, headers } = await fetched(client);
    expect([status, headers['retry-after'], refused, served, underWay.size]).toEqual([503, '1', 1, 0, 0]);
  });

  test('is asked for its body by 100 Continue', async () => {
    const { client } = world({ listener: (request, response) => request.pipe(response) });
    const stream = send(client, { ':method': 'POST', expect: '100-continue' }, null);
    stream.on('continue', () => stream.end('now'));
    expect((await answerOf(stream)).body.toString()).toBe('now');
  });
});

describe('a body over HTTP/2', () => {
  type Cut = (stream: ClientHttp2Stream, wire: Wire) => void;
  const cuts: [string, Cut][] = [
    // Node's `close` would send END_STREAM first.
    ['a reset of its stream', (stream) => stream.destroy(new Error('enough'))],
    ['the end of its connection', (_, wire) => wire.destroy()],
  ];
  /** Large enough that the reader is behind, and within the window. */
  const some = Buffer.alloc(50_000, 'x');

  const begun = async (isWhole: boolean): Promise<{ exchange: Exchange; stream: ClientHttp2Stream; wire: Wire }> => {
    const { serve, next } = handedOver();
    const { client, wire } = world({ serve });
    const stream = send(client, { ':method': 'POST' }, null);
    stream.write(some);
    if (isWhole) stream.end();
    const exchange = await next();
    // The server has seen what was sent before.
    await new Promise((resolve) => client.ping(resolve));
    return { exchange, stream, wire };
  };

  test.each(cuts)('that was cut by %s is an error for each who reads it, also later', async (_, cut) => {
    const { exchange, stream, wire } = await begun(false);
    cut(stream, wire);
    await isGone(exchange);
    await expect(bodyOf(exchange)).rejects.toMatchObject({ code: 'ERR_HTTP_CLIENT_GONE' });
    await expect(exchange.body.next()).rejects.toMatchObject({ code: 'ERR_HTTP_CLIENT_GONE' });
  });

  test.each(cuts)('that was cut by %s while it is read is an error behind what has come', async (_, cut) => {
    const { exchange, stream, wire } = await begun(false);
    let bytes = 0;
    const reading = (async () => {
      for (let piece = await exchange.body.next(); piece !== null; piece = await exchange.body.next()) {
        bytes += piece.length;
      }
    })();
    cut(stream, wire);
    await expect(reading).rejects.toMatchObject({ code: 'ERR_HTTP_CLIENT_GONE' });
    expect(bytes).toBe(some.length);
  });

  test.each(cuts)('that had come whole before %s is given whole', async (_, cut) => {
    const { exchange, stream, wire } = await begun(true);
    cut(stream, wire);
    await isGone(exchange);
    expect((await bodyOf(exchange)).equals(some)).toBe(true);
  });

  test('whose time is over is an error that says so', async () => {
    const { serve, next } = handedOver();
    const { client } = world({ serve, options: { requestTimeoutMs: 50 } });
    const stream = send(client, { ':method': 'POST' }, null);
    stream.write(some);
    const exchange = await next();
    await isGone(exchange);
    const cut = { code: 'ERR_HTTP_BODY_CUT', detail: { reason: 'timeout', status: 503 } };
    await expect(bodyOf(exchange)).rejects.toMatchObject(cut);
    expect((await answerOf(stream)).status).toBe(503);
  });

  test.each(cuts)('that was cut by %s is no whole one for an app', async (_, cut) => {
    const told = deferred<string>();
    const came = deferred<void>();
    const { client, wire } = world({
      listener: (request) => {
        request.on('data', () => came.resolve());
        request.on('end', () => told.resolve('end'));
        request.on('error', (error: NodeJS.ErrnoException) => told.resolve(`${error.code}`));
      },
    });
    const stream = send(client, { ':method': 'POST' }, null);
    stream.write(some);
    await came.promise;
    cut(stream, wire);
    expect(await told.promise).toBe('ECONNRESET');
  });

  test.each(cuts)('that had come whole before %s is whole for an app that reads slowly', async (_, cut) => {
    const begunReading = deferred<void>();
    const told = deferred<string | number>();
    const { client, wire } = world({
      listener: (request) => {
        let bytes = 0;
        request.on('data', (piece: Buffer) => {
          bytes += piece.length;
          request.pause();
          begunReading.resolve();
          setTimeout(() => request.resume(), 2);
        });
        request.on('end', () => told.resolve(bytes));
        request.on('error', (error: NodeJS.ErrnoException) => told.resolve(`${error.code}`));
      },
    });
    const stream = send(client, { ':method': 'POST' }, some);
    await begunReading.promise;
    await new Promise((resolve) => client.ping(resolve));
    cut(stream, wire);
    expect(await told.promise).toBe(some.length);
  });

  test.each(['exchange', 'app'])('that drips is bounded by minBodyBytesPerSecond: for an %s', async (kind) => {
    const given: Given =
      kind === 'app'
        ? { listener: (request) => request.resume() }
        : { serve: (exchange) => void bodyOf(exchange).catch(() => {}) };
    const { client } = world({ ...given, options: { requestTimeoutMs: 300, minBodyBytesPerSecond: 1000 } });
    const stream = send(client, { ':method': 'POST' }, null);
    const drip = setInterval(() => stream.write('x'), 20);
    stream.on('response', () => {
      clearInterval(drip);
      stream.end();
    });
    expect((await answerOf(stream)).status).toBe(408);
  });

  test('that is quick enough is not bounded by it', async () => {
    const { client } = world({
      serve: async (exchange) => exchange.respond(200, '', [], String((await bodyOf(exchange)).length)),
      options: { requestTimeoutMs: 300, minBodyBytesPerSecond: 5 },
    });
    const stream = send(client, { ':method': 'POST' }, null);
    let left = 30;
    const drip = setInterval(() => {
      left -= 1;
      stream.write('x');
      if (left > 0) return;
      clearInterval(drip);
      stream.end();
    }, 20);
    expect((await answerOf(stream)).body.toString()).toBe('30');
  });

  test('that is empty, and ends behind its head, is whole for who asks late, too', async () => {
    const { serve, next } = handedOver();
    const { client } = world({ serve });
    const answer = fetched(client, { ':method': 'POST' }, '');
    const exchange = await next();
    for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setImmediate(resolve));
    expect((await bodyOf(exchange)).length).toBe(0);
    exchange.respond(200, '', [], 'x');
    expect((await answer).body.toString()).toBe('x');
  });

  test('that is refused is not asked for', async () => {
    const { client } = world({ serve: (exchange) => exchange.respond(403, '', [], 'no') });
    const stream = send(client, { ':method': 'POST', expect: '100-continue' }, null);
    let isAsked = false;
    stream.on('continue', () => {
      isAsked = true;
    });
    expect((await answerOf(stream)).status).toBe(403);
    expect(isAsked).toBe(false);
  });

  test('behind an expectation that handlers do not know is refused with 417', async () => {
    const { client } = world({});
    expect((await fetched(client, { expect: 'tea' })).status).toBe(417);
    const { client: other } = world({ listener: (_, response) => response.end() });
    expect((await fetched(other, { expect: 'tea' })).status).toBe(417);
  });

  test('is a matter of the app where it listens for checkContinue and checkExpectation', async () => {
    const told: string[] = [];
    const server = createServer((_, response) => response.end('asked'));
    for (const event of ['checkContinue', 'checkExpectation'] as const) {
      server.on(event, (_, response) => {
        told.push(event);
        response.statusCode = 403;
        response.end();
      });
    }
    const { client } = world({ listener: server });
    const stream = send(client, { ':method': 'POST', expect: '100-continue' }, null);
    stream.on('response', () => stream.end());
    expect((await answerOf(stream)).status).toBe(403);
    expect((await fetched(client, { expect: 'tea' })).status).toBe(403);
    expect(told).toEqual(['checkContinue', 'checkExpectation']);
  });
});
