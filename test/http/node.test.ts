import { AsyncLocalStorage } from 'node:async_hooks';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type RequestListener, type ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { NodeHttpBridge, type NodeHttpOptions } from '../../src/http/node/index.js';
import { FakeRawExchange, type FakeRawRequest } from './raw-server.js';

const bridges: NodeHttpBridge[] = [];
afterEach(() => {
  vi.useRealTimers();
  for (const bridge of bridges.splice(0)) bridge.close();
});

function bridgeOf(listener: RequestListener | ReturnType<typeof createServer>, options?: NodeHttpOptions) {
  const bridge = new NodeHttpBridge(listener, options);
  bridges.push(bridge);
  return bridge;
}

async function ask(bridge: NodeHttpBridge, request: FakeRawRequest) {
  const exchange = new FakeRawExchange(request);
  bridge.handle(exchange);
  return { how: await exchange.finished, text: exchange.text, exchange };
}

const GET = 'GET /a HTTP/1.1\nHost: h\n\n';
const echo: RequestListener = async (req, res) => {
  let body = '';
  for await (const piece of req) body += piece;
  res.end(`${req.method} ${req.url} ${body} ${JSON.stringify(req.trailers)}`);
};

describe('a request', () => {
  test('is answered by a plain handler, and its connection goes on', async () => {
    const { how, text } = await ask(
      bridgeOf((_, res) => void res.end('hello')),
      { head: GET },
    );
    expect(how).toBe(false);
    expect(text).toMatch(/^HTTP\/1.1 200 OK\r\n[\s\S]*Content-Length: 5\r\n\r\nhello$/);
  });

  test('is served within the callback that brings it, also where it is the first of its connection', async () => {
    let served = 0;
    const bridge = bridgeOf((_, res) => void res.end(String(++served)));
    const exchange = new FakeRawExchange({ head: GET });
    bridge.handle(exchange);
    expect(served).toBe(1); // else a worker that it blocks would count as idle
    await exchange.finished;
  });

  test.each([
    ['Connection: close', 'GET / HTTP/1.1\nHost: h\nConnection: close\n\n'],
    ['HTTP/1.0', 'GET / HTTP/1.0\n\n'],
  ])('with %s ends its connection', async (_, head) => {
    const { how, text } = await ask(
      bridgeOf((_req, res) => void res.end('bye')),
      { head },
    );
    expect([how, text.endsWith('bye')]).toEqual([true, true]);
  });

  test('whose handler throws is answered 500, or broken off where the answer has begun, and it is told', async () => {
    const failures: unknown[] = [];
    const bridge = bridgeOf(
      (req, res) => {
        if (req.url === '/begun') res.flushHeaders();
        throw new Error('boom');
      },
      { failed: (error) => void failures.push(error) },
    );
    expect(await ask(bridge, { head: GET })).toMatchObject({
      how: true,
      text: expect.stringMatching(/^HTTP\/1.1 500 /),
    });
    const begun = new FakeRawExchange({ head: 'GET /begun HTTP/1.1\nHost: h\n\n' });
    bridge.handle(begun);
    expect([await begun.finished, begun.text]).toEqual(['aborted', expect.stringMatching(/^HTTP\/1.1 200 /)]);
    expect(failures).toEqual([new Error('boom'), new Error('boom')]);
    expect(bridge.requestCount).toBe(0);
  });

  test('whose handler says Connection: close ends its connection', async () => {
    const bridge = bridgeOf((_, res) => void res.setHeader('connection', 'close').end('bye'));
    expect((await ask(bridge, { head: GET })).how).toBe(true);
  });

  test.each<[string, FakeRawRequest]>([
    ['in one piece', { head: 'POST / HTTP/1.1\nHost: h\nContent-Length: 6\n\n', body: 'abcdef' }],
    ['in several pieces', { head: 'POST / HTTP/1.1\nHost: h\nContent-Length: 6\n\n', body: ['abc', 'def'] }],
    [
      'chunked, in one piece',
      { head: 'POST / HTTP/1.1\nHost: h\nTransfer-Encoding: chunked\n\n', body: 'abcdef', isChunked: true },
    ],
    [
      'chunked, in several',
      { head: 'POST / HTTP/1.1\nHost: h\nTransfer-Encoding: chunked\n\n', body: ['abc', '', 'def'], isChunked: true },
    ],
  ])('brings its body %s', async (_, request) => {
    const { how, text } = await ask(bridgeOf(echo), request);
    expect([how, text.endsWith('POST / abcdef {}')]).toEqual([false, true]);
  });

  test('brings its trailers', async () => {
    const head = 'POST / HTTP/1.1\nHost: h\nTransfer-Encoding: chunked\n\n';
    const { text } = await ask(bridgeOf(echo), { head, body: ['x'], trailers: ['X-Sum', '1'], isChunked: true });
    expect(text.endsWith('POST / x {"x-sum":"1"}')).toBe(true);
  });

  test('of one connection reuses its socket, of another has its own', async () => {
    const sockets: unknown[] = [];
    const bridge = bridgeOf((req, res) => {
      sockets.push(req.socket);
      res.end();
    });
    for (const fd of [1, 1, 2]) await ask(bridge, { head: GET, fd });
    expect(sockets[0]).toBe(sockets[1]);
    expect(sockets[2]).not.toBe(sockets[0]);
    bridge.gone(1);
    await ask(bridge, { head: GET, fd: 1 });
    expect(sockets[3]).not.toBe(sockets[0]);
  });

  test('beyond so many idle connections costs the socket of the oldest', async () => {
    const sockets: { destroyed: boolean }[] = [];
    const bridge = bridgeOf(
      (req, res) => {
        sockets.push(req.socket);
        res.end();
      },
      { maxIdle: 1 },
    );
    for (const fd of [1, 2, 3]) await ask(bridge, { head: GET, fd });
    expect(sockets.map(({ destroyed }) => destroyed)).toEqual([true, true, false]);
  });

  test('ends that one outside of the context of the request which is one too many', async () => {
    const storage = new AsyncLocalStorage<string>();
    const found: (string | undefined)[] = [];
    const bridge = bridgeOf(
      (req, res) => {
        req.socket.once('close', () => found.push(storage.getStore()));
        storage.run(`of ${req.url}`, () => res.end());
      },
      { maxIdle: 1 },
    );
    for (const fd of [1, 2]) await ask(bridge, { head: GET, fd });
    await vi.waitFor(() => expect(found).toEqual([undefined]));
  });

  test('finds a socket that looks like one', async () => {
    let seen: unknown[] = [];
    const bridge = bridgeOf((req, res) => {
      const socket = req.socket.setNoDelay(true).setKeepAlive(true).ref().unref();
      seen = [socket.remoteAddress, socket.remotePort, socket.remoteFamily, Reflect.get(socket, 'encrypted')];
      seen.push(socket.readyState, socket.bytesRead, socket.bytesWritten, socket.connecting);
      res.end();
    });
    await ask(bridge, { head: GET, isEncrypted: true });
    expect(seen).toEqual(['127.0.0.9', 4000, 'IPv4', true, 'open', 28, 0, false]);
  });

  test('to HEAD is answered without a body', async () => {
    const { how, text } = await ask(
      bridgeOf((_, res) => void res.end('hello')),
      { head: 'HEAD / HTTP/1.1\nHost: h\n\n' },
    );
    expect([how, text.endsWith('\r\n\r\n')]).toEqual([false, true]);
  });

  test('that expects 100 gets no second one from Node, and other hints pass', async () => {
    const bridge = bridgeOf((req, res) => {
      res.writeEarlyHints({ link: '</a.css>; rel=preload' });
      void echo(req, res);
    });
    const head = 'PUT / HTTP/1.1\nHost: h\nExpect: 100-continue\nContent-Length: 2\n\n';
    const { text } = await ask(bridge, { head, body: 'ab' });
    expect(text).not.toContain('100 Continue');
    expect(text).toMatch(/^HTTP\/1.1 103 Early Hints\r\n/);
    expect(text).toContain('PUT / ab');
  });

  test('that expects 100 goes to checkContinue where somebody listens', async () => {
    const server = createServer(echo).on('checkContinue', (_: IncomingMessage, res: ServerResponse) => {
      res.writeHead(417).end();
    });
    const head = 'PUT / HTTP/1.1\nHost: h\nExpect: 100-continue\nContent-Length: 2\n\n';
    expect((await ask(bridgeOf(server), { head, body: 'ab' })).text).toMatch(/^HTTP\/1.1 417 /);
  });

  test('whose body nobody reads is read to its end before the next one comes', async () => {
    const bridge = bridgeOf((_, res) => void res.end('done'));
    const body = Array.from({ length: 40 }, () => 'x'.repeat(10_000));
    const head = 'POST / HTTP/1.1\nHost: h\nContent-Length: 400000\n\n';
    const { how, exchange } = await ask(bridge, { head, body });
    expect([how, await exchange.body.next()]).toEqual([false, null]);
    expect((await ask(bridge, { head: GET })).how).toBe(false);
  });

  test('that Node does not understand is answered by Node, and ends its connection', async () => {
    const { how, text } = await ask(
      bridgeOf(() => {}),
      { head: 'GET / HTTP/1.1\nHo st: h\n\n' },
    );
    expect([how, text.slice(0, 12)]).toEqual([true, 'HTTP/1.1 400']);
  });

  test('for an upgrade that nobody listens for is a plain one', async () => {
    const head = 'GET / HTTP/1.1\nHost: h\nConnection: Upgrade\nUpgrade: websocket\n\n';
    const { how, text } = await ask(
      bridgeOf((_, res) => void res.end('plain')),
      { head, isUpgrade: true },
    );
    expect([how, text.endsWith('plain')]).toEqual([false, true]);
  });
});

describe('an answer', () => {
  test('waits for a client that does not keep up', async () => {
    let flushed = 0;
    const bridge = bridgeOf(async (_, res) => {
      for (let i = 0; i < 3; i++) {
        if (!res.write('x'.repeat(100_000))) await once(res, 'drain');
        flushed++;
      }
      res.end();
    });
    const exchange = new FakeRawExchange({ head: GET });
    exchange.canTake = false;
    bridge.handle(exchange);
    await new Promise(setImmediate);
    expect(flushed).toBe(0);
    exchange.canTake = true;
    exchange.letDrain();
    expect(await exchange.finished).toBe(false);
    expect(flushed).toBe(3);
  });

  test('that is destroyed in the middle aborts the exchange', async () => {
    const bridge = bridgeOf((_, res) => {
      res.write('part');
      setImmediate(() => res.destroy());
    });
    expect((await ask(bridge, { head: GET })).how).toBe('aborted');
  });

  test('has trailers, and letters beyond ASCII', async () => {
    const bridge = bridgeOf((_, res) => {
      res.writeHead(200, { trailer: 'x-sum' });
      res.write('größe');
      res.addTrailers({ 'x-sum': '1' });
      res.end();
    });
    const { text } = await ask(bridge, { head: GET });
    expect(text).toContain('größe');
    expect(text.endsWith('0\r\nx-sum: 1\r\n\r\n')).toBe(true);
  });

  test('to a client that goes away tells the handler', async () => {
    const closed = new Promise<boolean>((resolve) => {
      const bridge = bridgeOf((req, res) => {
        res.on('close', () => resolve(req.destroyed && !res.writableFinished));
      });
      const exchange = new FakeRawExchange({ head: GET });
      bridge.handle(exchange);
      setImmediate(() => exchange.goAway());
    });
    expect(await closed).toBe(true);
  });
});

test('draining waits for requests under way, and their answers end their connections', async () => {
  const answers: ServerResponse[] = [];
  const bridge = bridgeOf((_, res) => void answers.push(res));
  const exchange = new FakeRawExchange({ head: GET });
  const late = new FakeRawExchange({ head: GET, fd: 8 });
  bridge.handle(exchange);
  await new Promise(setImmediate);
  const drained = bridge.drain();
  bridge.handle(late);
  await new Promise(setImmediate);
  expect(bridge.requestCount).toBe(2);
  for (const answer of answers) answer.end('x');
  await drained;
  expect(await late.finished).toBe(true);
  expect(late.text).toContain('Connection: close');
  expect(await exchange.finished).toBe(false);
});

describe('an upgrade', () => {
  const head = 'GET /chat HTTP/1.1\nHost: h\nConnection: Upgrade\nUpgrade: toy\n\n';

  /** A server whose upgrades are taken by this listener. */
  async function upgraded() {
    const server = createServer();
    const taken = new Promise<Duplex>((resolve) => {
      server.on('upgrade', (_: IncomingMessage, socket: Duplex) => resolve(socket));
    });
    const bridge = bridgeOf(server);
    const exchange = new FakeRawExchange({ head, isUpgrade: true });
    bridge.handle(exchange);
    return { bridge, exchange, socket: await taken };
  }

  test('becomes a tunnel, which is no request under way any more', async () => {
    const { bridge, exchange, socket } = await upgraded();
    expect([bridge.requestCount, bridge.tunnelCount]).toEqual([0, 1]);
    socket.write('HTTP/1.1 101 X\r\n\r\n');
    expect(exchange.tunnelCalls).toEqual(['write HTTP/1.1 101 X\r\n\r\n']);
    const received: string[] = [];
    socket.on('data', (data: Buffer) => received.push(data.toString()));
    exchange.tunnelEvents?.received(Buffer.from('ping'));
    await new Promise(setImmediate);
    expect(received).toEqual(['ping']);
  });

  test('leaves the next request of that number a socket of its own', async () => {
    const { bridge, exchange, socket } = await upgraded();
    expect(exchange.fd).toBe(7);
    let other: unknown;
    bridge.server.on('request', (req: IncomingMessage, res: ServerResponse) => {
      other = req.socket;
      res.end();
    });
    await ask(bridge, { head: GET, fd: 7 });
    expect([other !== socket, socket.destroyed, bridge.tunnelCount]).toEqual([true, false, 1]);
  });

  test('pauses a client that is not read, and resumes it when it is', async () => {
    const { exchange, socket } = await upgraded();
    exchange.tunnelEvents?.received(Buffer.alloc(200_000, 'x'));
    expect(exchange.tunnelCalls).toEqual(['pause']);
    socket.resume();
    await new Promise(setImmediate);
    expect(exchange.tunnelCalls).toEqual(['pause', 'resume']);
  });

  test('hears that its client has ended, and ends its own side', async () => {
    const { exchange, socket } = await upgraded();
    const ended = once(socket.resume(), 'end');
    exchange.tunnelEvents?.ended();
    await ended;
    exchange.tunnelEvents?.ended();
    expect(socket.writable).toBe(true);
    socket.end('bye');
    await once(socket, 'close');
    expect(exchange.tunnelCalls).toEqual(['write bye', 'end', 'destroy']);
  });

  test('is destroyed when its client has gone, and when the bridge closes', async () => {
    const first = await upgraded();
    first.exchange.tunnelEvents?.gone();
    await once(first.socket, 'close');
    expect(first.bridge.tunnelCount).toBe(0);
    const second = await upgraded();
    second.bridge.close();
    expect(second.socket.destroyed).toBe(true);
  });

  test('is waited for as the bridge drains', async () => {
    const { bridge, socket } = await upgraded();
    let isDrained = false;
    const drained = bridge.drain().then(() => {
      isDrained = true;
    });
    await new Promise(setImmediate);
    expect(isDrained).toBe(false);
    socket.destroy();
    await drained;
  });
});

describe('an idle connection', () => {
  test('loses its socket after a while, one that is busy does not', async () => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval', 'performance'] });
    const sockets = new Map<string, { destroyed: boolean }>();
    const bridge = bridgeOf(
      (req, res) => {
        sockets.set(req.url ?? '', req.socket);
        if (req.url !== '/busy') res.end();
      },
      { idleMs: 1000 },
    );
    const state = () => [...sockets.values()].map(({ destroyed }) => destroyed);
    bridge.handle(new FakeRawExchange({ head: 'GET /busy HTTP/1.1\nHost: h\n\n', fd: 1 }));
    await ask(bridge, { head: 'GET /old HTTP/1.1\nHost: h\n\n', fd: 2 });
    vi.advanceTimersByTime(400);
    await ask(bridge, { head: 'GET /young HTTP/1.1\nHost: h\n\n', fd: 3 });
    vi.advanceTimersByTime(600);
    expect(state()).toEqual([false, false, false]);
    vi.advanceTimersByTime(500);
    expect(state()).toEqual([false, true, true]);
    bridge.gone(1);
    await new Promise(setImmediate);
    vi.advanceTimersByTime(1000);
    expect(vi.getTimerCount()).toBe(0);
  });

  test('is no part of a bridge that is closed', async () => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
    let socket: { destroyed: boolean } | undefined;
    const bridge = bridgeOf((req, res) => {
      socket = req.socket;
      res.end();
    });
    await ask(bridge, { head: GET });
    bridge.close();
    expect([socket?.destroyed, vi.getTimerCount()]).toEqual([true, 0]);
  });
});

describe('a client that leaves behind its whole request', () => {
  const POST = 'POST / HTTP/1.1\nHost: h\nContent-Length: 6\n\n';

  function leaving(listener: RequestListener) {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    let request: IncomingMessage | undefined;
    const bridge = bridgeOf((req, res) => {
      request = req.on('error', () => {});
      listener(req, res);
    });
    const exchange = new FakeRawExchange({ head: POST, body: 'abcdef' });
    bridge.handle(exchange);
    const isDestroyed = () => request?.socket.destroyed;
    return { exchange, isDestroyed, request: () => request as IncomingMessage };
  }

  test('is read to its end', async () => {
    const { exchange, isDestroyed, request } = leaving(() => {});
    await new Promise(setImmediate);
    exchange.goAway();
    expect(isDestroyed()).toBe(false);
    const pieces: string[] = [];
    request().on('data', (piece: Buffer) => pieces.push(piece.toString()));
    await once(request(), 'end');
    await new Promise(setImmediate);
    expect([pieces, isDestroyed(), vi.getTimerCount()]).toEqual([['abcdef'], true, 0]);
  });

  test('is seen as gone after a second where nobody reads', async () => {
    const { exchange, isDestroyed } = leaving(() => {});
    await new Promise(setImmediate);
    exchange.goAway();
    vi.advanceTimersByTime(999);
    expect(isDestroyed()).toBe(false);
    vi.advanceTimersByTime(1);
    expect(isDestroyed()).toBe(true);
  });

  test('may be read for a minute more', async () => {
    const { exchange, isDestroyed } = leaving((req) => void req.on('data', () => {}).pause());
    await new Promise(setImmediate);
    exchange.goAway();
    vi.advanceTimersByTime(1000);
    expect(isDestroyed()).toBe(false);
    vi.advanceTimersByTime(59_999);
    expect(isDestroyed()).toBe(false);
    vi.advanceTimersByTime(1);
    expect(isDestroyed()).toBe(true);
  });

  test('is seen as gone at once where it was read already', async () => {
    const { exchange, isDestroyed, request } = leaving((req) => void req.resume());
    await new Promise(setImmediate);
    expect(request().readableEnded).toBe(true);
    exchange.goAway();
    expect(isDestroyed()).toBe(true);
  });
});

describe('an answer that is not as long as its head says', () => {
  test('and has not begun is 500, told, and the end of the connection', async () => {
    const told: Error[] = [];
    const bridge = bridgeOf((_, res) => void res.writeHead(200, { 'content-length': '2' }).end('long'), {
      failed: (error) => told.push(error),
    });
    const { how, text } = await ask(bridge, { head: GET });
    expect([how, text.startsWith('HTTP/1.1 500 '), told.length, bridge.requestCount]).toEqual([true, true, 1, 0]);
    expect(text).toContain('Internal Server Error');
  });

  test('ends in its middle where it has begun', async () => {
    const bridge = bridgeOf((_, res) => {
      res.writeHead(200, { 'content-length': '10' }).write('part');
      setImmediate(() => res.end());
    });
    expect((await ask(bridge, { head: GET })).how).toBe('aborted');
  });
});

test('what fails on a socket is told while its client is there', async () => {
  const told: unknown[] = [];
  const sockets: Duplex[] = [];
  const bridge = bridgeOf((req) => void sockets.push(req.socket), { failed: (error) => told.push(error) });
  const exchange = new FakeRawExchange({ head: GET });
  bridge.handle(exchange);
  await new Promise(setImmediate);
  const fault = new Error('as the test wants');
  sockets[0]?.emit('error', fault);
  exchange.isGone = true;
  sockets[0]?.emit('error', fault);
  expect(told).toEqual([fault]);
});
