import { once } from 'node:events';
import { Agent, createServer, request } from 'node:http';
import { text } from 'node:stream/consumers';
import express from 'express';
import fastify from 'fastify';
import Koa from 'koa';
import { Server as SocketIo } from 'socket.io';
import { io } from 'socket.io-client';
import { afterEach, describe, expect, test } from 'vitest';
import { WebSocket, WebSocketServer } from 'ws';
import { NodeHttpBridge } from '../../src/http/node/index.js';
import { serveRaw } from './raw-server.js';

const endings: (() => unknown)[] = [];
afterEach(async () => {
  for (const end of endings.splice(0)) await end();
});

async function serve(listener: ConstructorParameters<typeof NodeHttpBridge>[0]) {
  const bridge = new NodeHttpBridge(listener);
  const { port, close } = await serveRaw((exchange) => bridge.handle(exchange));
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  endings.push(() => [agent.destroy(), bridge.close(), close()]);
  const ask = async (method: string, path: string, body?: string) => {
    const headers = body === undefined ? {} : { 'content-type': 'application/json', 'content-length': body.length };
    const req = request({ port, host: '127.0.0.1', method, path, agent, headers }).end(body);
    const [res] = await once(req, 'response');
    return `${res.statusCode} ${await text(res)}`;
  };
  return { port, bridge, ask };
}

type Ask = Awaited<ReturnType<typeof serve>>['ask'];

/** What each framework's small application must do, on one connection. */
async function behaves(ask: Ask): Promise<void> {
  for (let i = 0; i < 3; i++) expect(await ask('GET', '/')).toBe('200 Hello');
  expect(await ask('POST', '/echo', '{"a":1}')).toBe('200 {"a":1}');
  expect(await ask('GET', '/none')).toMatch(/^404 /);
  expect(await ask('GET', '/throw')).toMatch(/^500 /);
  expect(await ask('GET', '/')).toBe('200 Hello');
}

const boom = () => {
  throw new Error('boom');
};

describe('unchanged', () => {
  test('Express answers', async () => {
    const app = express().use(express.json()).set('env', 'test');
    app.get('/', (_, res) => void res.send('Hello'));
    app.post('/echo', (req, res) => void res.json(req.body));
    app.get('/throw', boom);
    await behaves((await serve(app)).ask);
  });

  test('Koa answers', async () => {
    const app = new Koa();
    app.silent = true;
    app.use(async (ctx) => {
      if (ctx.path === '/') ctx.body = 'Hello';
      if (ctx.path === '/echo') ctx.body = JSON.parse(await text(ctx.req));
      if (ctx.path === '/throw') boom();
    });
    await behaves((await serve(app.callback())).ask);
  });

  test('Fastify answers', async () => {
    const app = fastify();
    app.get('/', () => 'Hello');
    app.post('/echo', ({ body }) => body);
    app.get('/throw', boom);
    await app.ready();
    endings.push(() => app.close());
    await behaves((await serve(app.server)).ask);
  });
});

test('ws speaks through an upgraded connection, both ways and to its end', async () => {
  const server = createServer((_, res) => void res.end('plain'));
  const sockets = new WebSocketServer({ server });
  sockets.on('connection', (socket) =>
    socket.on('message', (data, isBinary) => socket.send(data, { binary: isBinary })),
  );
  const { port, bridge, ask } = await serve(server);
  expect(await ask('GET', '/')).toBe('200 plain');
  const client = new WebSocket(`ws://127.0.0.1:${port}/`);
  await once(client, 'open');
  expect(bridge.tunnelCount).toBe(1);
  for (const size of [1, 1000, 300_000]) {
    client.send(Buffer.alloc(size, 'x'));
    const [data] = await once(client, 'message');
    expect(data.length).toBe(size);
  }
  client.close(1000, 'done');
  const [code] = await once(client, 'close');
  expect(code).toBe(1000);
  await bridge.drain();
  expect(bridge.tunnelCount).toBe(0);
});

test('ws refuses an upgrade with an answer that arrives', async () => {
  const server = createServer();
  new WebSocketServer({ server, verifyClient: () => false });
  const { port } = await serve(server);
  const client = new WebSocket(`ws://127.0.0.1:${port}/`);
  const [, res] = await once(client, 'unexpected-response');
  expect(res.statusCode).toBe(401);
});

test.each([['polling'], ['websocket']])('socket.io speaks by %s', async (transport) => {
  const server = createServer();
  const sockets = new SocketIo(server);
  sockets.on('connection', (socket) => socket.on('ask', (question, answer) => answer(`${question}!`)));
  const { port } = await serve(server);
  const client = io(`http://127.0.0.1:${port}`, { transports: [transport], reconnection: false });
  endings.unshift(
    () => client.close(),
    () => sockets.disconnectSockets(true),
  );
  expect(await client.timeout(5000).emitWithAck('ask', 'well')).toBe('well!');
});
