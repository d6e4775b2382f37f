import { createServer, IncomingMessage, type RequestListener, ServerResponse } from 'node:http';
import { Readable } from 'node:stream';
import express from 'express';
import { afterEach, describe, expect, test } from 'vitest';
import { NodeHttpBridge } from '../../src/http/node/index.js';
import { FakeRawExchange } from './raw-server.js';

const bridges: NodeHttpBridge[] = [];
afterEach(() => {
  for (const bridge of bridges.splice(0)) bridge.close();
});

/** Prototypes of request and response when they come to the app: whose they are. */
function watch(listener: RequestListener | ReturnType<typeof createServer>) {
  const bridge = new NodeHttpBridge(listener);
  bridges.push(bridge);
  let seen: (object | null)[] = [];
  bridge.server.prependListener('request', (req, res) => {
    seen = [Object.getPrototypeOf(req), Object.getPrototypeOf(res)];
  });
  return async (path = '/', count = 1) => {
    let text = '';
    for (let i = 0; i < count; i++) {
      const exchange = new FakeRawExchange({ head: `GET ${path} HTTP/1.1\nHost: h\n\n` });
      bridge.handle(exchange);
      await exchange.finished;
      text = exchange.text;
    }
    return { seen, status: text.slice(9, 12), body: text.slice(text.indexOf('\r\n\r\n') + 4) };
  };
}

const NODES = [IncomingMessage.prototype, ServerResponse.prototype];
const ENOUGH = 17;
const extended = (base: object, names: object) => Object.create(base, Object.getOwnPropertyDescriptors(names));
const given =
  (requests: (path: string) => object, responses: object): RequestListener =>
  (req, res) => {
    Object.setPrototypeOf(req, requests(req.url ?? ''));
    Object.setPrototypeOf(res, responses);
    res.end('ok');
  };

describe('the prototypes that an app gives its requests and responses', () => {
  const request = extended(IncomingMessage.prototype, { isMine: true });
  const response = extended(ServerResponse.prototype, { send() {} });

  test('are theirs from the start, once it has given them to many in turn', async () => {
    const ask = watch(given(() => request, response));
    expect((await ask()).seen).toEqual(NODES);
    expect((await ask('/', 15)).seen.map((each) => NODES.includes(each as never))).toEqual([true, true]);
    const { seen, status, body } = await ask();
    expect([seen[0] === request, seen[1] === response, status, body]).toEqual([true, true, '200', 'ok']);
  });

  test('change with the app', async () => {
    let current = request;
    const next = extended(IncomingMessage.prototype, { isOther: true });
    const ask = watch(given(() => current, response));
    expect((await ask('/', ENOUGH)).seen[0]).toBe(request);
    current = next;
    expect((await ask('/', ENOUGH)).seen[0]).toBe(next);
  });

  test.each([
    ['a field', Object.create(IncomingMessage.prototype, { url: { get: () => '/' } })],
    ['a method of Node', extended(IncomingMessage.prototype, { setTimeout() {} })],
    ['a field further up', Object.create(extended(IncomingMessage.prototype, { method: 'PUT' }))],
    [
      'all of a request of Node',
      Object.create(Readable.prototype, Object.getOwnPropertyDescriptors(IncomingMessage.prototype)),
    ],
  ])('are left to the app where one replaces %s', async (_, odd) => {
    const ask = watch((req, res) => {
      res.prependOnceListener('finish', () => Object.setPrototypeOf(req, odd));
      res.end('ok');
    });
    const { seen, status } = await ask('/', 2 * ENOUGH);
    expect([seen[0] === IncomingMessage.prototype, status]).toEqual([true, '200']);
  });

  test('are left to apps that take turns, and to one that makes them anew for each', async () => {
    const other = extended(IncomingMessage.prototype, { isOther: true });
    const inTurn = watch(given((path) => (path === '/a' ? request : other), response));
    for (let i = 0; i < ENOUGH; i++) for (const path of ['/a', '/b']) await inTurn(path);
    expect((await inTurn()).seen[0]).toBe(IncomingMessage.prototype);
    const anew = watch(given(() => extended(IncomingMessage.prototype, { isMine: true }), response));
    expect((await anew('/', 2 * ENOUGH)).seen[0]).toBe(IncomingMessage.prototype);
  });

  test.each(['class', 'function'])('are left alone where the server was made with a %s of its own', async (kind) => {
    class AsClass extends IncomingMessage {}
    function AsFunction(this: IncomingMessage, ...args: unknown[]) {
      Reflect.apply(IncomingMessage as never, this, args);
    }
    AsFunction.prototype = Object.create(IncomingMessage.prototype);
    const Own = kind === 'class' ? AsClass : (AsFunction as unknown as typeof AsClass);
    const app = given(() => extendedOwn, response);
    const extendedOwn = extended(Own.prototype, { isMine: true });
    const ask = watch(createServer({ IncomingMessage: Own }, app));
    const { seen, status } = await ask('/', 2 * ENOUGH);
    expect([seen[0] === Own.prototype, status]).toEqual([true, '200']);
  });

  test('of Express serve as before, mounted apps too', async () => {
    const inner = express().get('/who', (req, res) => void res.send(`inner ${req.path} ${req.app === inner}`));
    const app = express();
    app.use('/inner', inner);
    app.get('/', (req, res) => void res.send(`${req.protocol} ${req.get('host')} ${req.app === app}`));
    const ask = watch(app);
    const asked = async () => [(await ask()).body, (await ask('/inner/who')).body, (await ask('/none')).status];
    const before = await asked();
    expect(before).toEqual(['http h true', 'inner /who true', '404']);
    expect((await ask('/', ENOUGH)).seen).toEqual([app.request, app.response]);
    expect(await asked()).toEqual(before);
    // Another app that gets most requests takes over, and nothing else changes.
    expect((await ask('/inner/who', ENOUGH)).seen).toEqual([inner.request, inner.response]);
    expect(await asked()).toEqual(before);
  });
});
