import { once } from 'node:events';
import { createServer, type IncomingMessage, type RequestListener, type ServerResponse } from 'node:http';
import { afterEach, describe, expect, test } from 'vitest';
import { NodeHttpBridge, type NodeHttpOptions } from '../../src/http/node/index.js';
import { FakeRawExchange, type FakeRawRequest } from './raw-server.js';

const bridges: NodeHttpBridge[] = [];
afterEach(() => {
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
