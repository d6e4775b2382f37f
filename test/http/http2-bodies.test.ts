import { createServer } from 'node:http';
import type { ClientHttp2Stream } from 'node:http2';
import { afterEach, describe, expect, test } from 'vitest';
import type { Exchange } from '../../src/http/exchange.js';
import { deferred } from '../../src/util/deferred.js';
import {
  answerOf,
  bodyOf,
  endHttp2Worlds,
  fetched,
  type Given,
  handedOver,
  isGone,
  send,
  type Wire,
  world,
} from '../helpers/http2-world.js';

afterEach(endHttp2Worlds);

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

  test('that an answer is made of is asked for before its head', async () => {
    const { client } = world({
      serve: async (exchange) => {
        exchange.body.claim();
        exchange.begin(200, '', []);
        exchange.end(await bodyOf(exchange));
      },
    });
    const stream = send(client, { ':method': 'POST', expect: '100-continue' }, null);
    const order: string[] = [];
    stream.on('continue', () => {
      order.push('100');
      stream.end('the body');
    });
    stream.on('response', () => order.push('head'));
    expect((await answerOf(stream)).body.toString()).toBe('the body');
    expect(order).toEqual(['100', 'head']);
  });

  const unwanted: [why: string, status: number, serve: (exchange: Exchange) => void][] = [
    ['refused', 403, (exchange) => exchange.respond(403, '', [], 'no')],
    [
      'not read, though the answer comes in pieces,',
      200,
      (exchange) => {
        exchange.begin(200, '', []);
        exchange.end('without it');
      },
    ],
  ];
  test.each(unwanted)('that is %s is not asked for', async (_, status, serve) => {
    const { client } = world({ serve });
    const stream = send(client, { ':method': 'POST', expect: '100-continue' }, null);
    let isAsked = false;
    stream.on('continue', () => {
      isAsked = true;
    });
    expect((await answerOf(stream)).status).toBe(status);
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
