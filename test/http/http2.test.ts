import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { constants, type OutgoingHttpHeaders } from 'node:http2';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, describe, expect, test } from 'vitest';
import type { Exchange } from '../../src/http/exchange.js';
import { deferred } from '../../src/util/deferred.js';
import {
  answerOf,
  bodyOf,
  closed,
  endHttp2Worlds,
  fetched,
  handedOver,
  isGone,
  send,
  Wire,
  world,
} from '../helpers/http2-world.js';

afterEach(endHttp2Worlds);

const { NGHTTP2_CANCEL, NGHTTP2_INTERNAL_ERROR, NGHTTP2_NO_ERROR } = constants;

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

  test('that comes before the body reaches its client whole, which may send all of its body', async () => {
    const { client } = world({ serve: (exchange) => exchange.respond(200, '', [], 'early') });
    const answer = await fetched(client, { ':method': 'PUT', 'content-length': 1_000_000 }, Buffer.alloc(1_000_000));
    expect(answer).toMatchObject({ status: 200, code: NGHTTP2_NO_ERROR, body: Buffer.from('early') });
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

test.each(['whole', 'in pieces'])(
  'an answer over HTTP/2 (%s) whose memory shrinks behind it arrives as it was',
  async (how) => {
    const { client } = world({
      serve: (exchange) => {
        const bytes = Reflect.construct(ArrayBuffer, [1_000_000, { maxByteLength: 1_000_000 }]) as ArrayBuffer;
        const body = new Uint8Array(bytes).fill(7);
        if (how === 'whole') exchange.respond(200, '', [], body);
        else {
          exchange.begin(200, '', []);
          exchange.write(body);
          exchange.end();
        }
        Reflect.get(bytes, 'resize').call(bytes, 10);
      },
    });
    const { body } = await fetched(client);
    expect(body.equals(Buffer.alloc(1_000_000, 7))).toBe(true);
  },
);

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
