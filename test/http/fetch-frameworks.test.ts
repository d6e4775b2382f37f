import { H3 } from 'h3';
import { Hono } from 'hono';
import { compress } from 'hono/compress';
import { cors } from 'hono/cors';
import { etag } from 'hono/etag';
import { streamSSE } from 'hono/streaming';
import { AutoRouter } from 'itty-router';
import { describe, expect, test } from 'vitest';
import type { FetchFunction } from '../../src/http/apps.js';
import { type FetchEnv, fetchHandler } from '../../src/http/fetch/index.js';
import { FakeExchange, type FakeRequest } from './fake-exchange.js';

const info = {
  server: {},
  clientOf: () => ({ remoteAddress: '::1', remotePort: 4000 }),
  failed: (error: unknown) => {
    throw error;
  },
};

async function ask(app: FetchFunction, request: FakeRequest): Promise<FakeExchange> {
  const exchange = new FakeExchange(request);
  await fetchHandler(app, info)(exchange);
  return exchange;
}

const json = ['Host', 'h', 'Content-Type', 'application/json'];

describe('Hono', () => {
  test('is taken with the environment it declares, whatever that is', async () => {
    const app = new Hono<{ Bindings: { answer: number } }>().get('/', (c) => c.text(String(c.env.answer)));
    const taken: FetchFunction = app.fetch; // as `HttpServerOptions.fetch` has it: must compile
    expect(await (await taken(new Request('http://h/'), { answer: 42 })).text()).toBe('42');
  });

  const app = new Hono<{ Bindings: FetchEnv }>();
  app.use('/cors', cors());
  app.use('/etag', etag());
  app.use('/gzip', compress({ threshold: 1 }));
  app.get('/', (c) => c.text('Hello'));
  app.get('/cors', (c) => c.json({ at: c.req.path }));
  app.get('/etag', (c) => c.text('tagged'));
  app.get('/gzip', (c) => c.text('x'.repeat(2000)));
  app.post('/echo/:id', async (c) => c.json({ id: c.req.param('id'), q: c.req.query('q'), body: await c.req.json() }));
  app.get('/sse', (c) => streamSSE(c, (stream) => stream.writeSSE({ data: 'one' })));
  app.get('/from', (c) => c.text(c.env.incoming.socket.remoteAddress));
  app.onError((error, c) => c.text(error.message, 500));
  app.get('/throw', () => {
    throw new Error('oops');
  });

  test('says hello in one piece', async () => {
    const exchange = await ask(app.fetch, {});
    expect([exchange.calls, exchange.text]).toEqual([['respond'], 'Hello']);
  });

  test.each<[FakeRequest, number, string]>([
    [{ target: '/cors' }, 200, '{"at":"/cors"}'],
    [{ target: '/etag' }, 200, 'tagged'],
    [{ target: '/sse' }, 200, 'data: one\n\n'],
    [{ target: '/from' }, 200, '::1'],
    [{ target: '/throw' }, 500, 'oops'],
    [{ target: '/none' }, 404, '404 Not Found'],
    [
      { method: 'POST', target: '/echo/5?q=%20x', rawHeaders: json, body: '{"a":1}' },
      200,
      '{"id":"5","q":" x","body":{"a":1}}',
    ],
  ])('answers %o with %i', async (request, status, text) => {
    const exchange = await ask(app.fetch, request);
    expect([exchange.status, exchange.text]).toEqual([status, text]);
  });

  test('keeps the fields of its middleware', async () => {
    expect((await ask(app.fetch, { target: '/cors' })).values('access-control-allow-origin')).toEqual(['*']);
    const gzip = await ask(app.fetch, {
      target: '/gzip',
      rawHeaders: ['Host', 'h', 'Accept-Encoding', 'gzip'],
    });
    expect(gzip.values('content-encoding')).toEqual(['gzip']);
    const tag = (await ask(app.fetch, { target: '/etag' })).values('etag')[0]!;
    const again = await ask(app.fetch, {
      target: '/etag',
      rawHeaders: ['Host', 'h', 'If-None-Match', tag],
    });
    expect(again.status).toBe(304);
  });
});

test('H3 answers with text, JSON, and what it read', async () => {
  const app = new H3();
  app.get('/', () => 'Hello');
  app.post('/echo/:id', async (event) => ({ id: event.context.params?.['id'], body: await event.req.json() }));
  const fetch = app.fetch;
  expect((await ask(fetch, {})).text).toBe('Hello');
  const echo = await ask(fetch, { method: 'POST', target: '/echo/5', rawHeaders: json, body: '{"a":1}' });
  expect(JSON.parse(echo.text)).toEqual({ id: '5', body: { a: 1 } });
  expect((await ask(fetch, { target: '/none' })).status).toBe(404);
});

test('itty-router answers with JSON, and what it read', async () => {
  const router = AutoRouter();
  router.get('/', () => 'Hello');
  router.post('/echo/:id', async ({ params, json: read, ...request }) => ({
    id: params['id'],
    kind: typeof request,
    read: typeof read,
  }));
  router.get('/env', (_, env) => ({ fd: env.fd }));
  const fetch = router.fetch;
  expect(JSON.parse((await ask(fetch, {})).text)).toBe('Hello');
  expect(JSON.parse((await ask(fetch, { target: '/env' })).text)).toEqual({ fd: 7 });
  const echo = await ask(fetch, { method: 'POST', target: '/echo/5', rawHeaders: json, body: '{"a":1}' });
  expect(JSON.parse(echo.text)).toMatchObject({ id: '5' });
});
