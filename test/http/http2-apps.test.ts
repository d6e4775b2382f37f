import { randomBytes } from 'node:crypto';
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import { constants } from 'node:http2';
import type { Duplex } from 'node:stream';
import express, { type Express } from 'express';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { deferred } from '../../src/util/deferred.js';
import { answerOf, closed, endHttp2Worlds, fetched, send, world } from '../helpers/http2-world.js';

afterEach(endHttp2Worlds);

const { NGHTTP2_INTERNAL_ERROR, NGHTTP2_NO_ERROR } = constants;

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
