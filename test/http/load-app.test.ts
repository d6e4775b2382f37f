import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { Server } from 'node:http';
import { type AddressInfo, createServer as createNetServer, Server as NetServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { exportsApp, loadApp } from '../../src/http/load-app.js';
import { listenArguments, OwnListen } from '../../src/http/own-listen.js';

let folder: string;
let files = 0;
const { listen } = Server.prototype;
const { listen: listenOfNet } = NetServer.prototype;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'apps-'));
});

afterAll(() => {
  rmSync(folder, { recursive: true });
  Server.prototype.listen = listen;
  NetServer.prototype.listen = listenOfNet;
});

const refused = new Promise<void>(() => {});
const nobodyListens = { encrypts: false, refused, within: async () => undefined } as unknown as OwnListen;

function load(script: string, ownListen = nobodyListens) {
  const path = join(folder, `app-${files++}.mjs`);
  writeFileSync(path, script);
  return loadApp(path, ownListen);
}

/** What an app was asked, and answers. */
const call = (fetch: unknown): unknown => (fetch as (request: unknown) => unknown)('a request');

describe('an app that exports', () => {
  it.each([
    ['a function fetch', `export const fetch = (r) => 'fetched ' + r; export default (a, b) => {};`],
    ['an object with fetch', `class A { #a = 'fetched '; fetch(r) { return this.#a + r; } } export default new A();`],
    ['a function with fetch', `const app = () => {}; app.fetch = (r) => 'fetched ' + r; export { app };`],
    ['a function of the request alone', `export const handler = (r) => 'fetched ' + r;`],
    ['one within the default of another', `export default { default: { fetch: (r) => 'fetched ' + r } };`],
    ['the promise of one', `export default Promise.resolve({ fetch: (r) => 'fetched ' + r });`],
  ])('%s is one of fetch', async (_, script) => {
    const apps = await load(script);
    expect(Object.keys(apps)).toEqual(['fetch']);
    expect(call(apps.fetch)).toBe('fetched a request');
  });

  it.each([
    ['a function of (request, response)', `export const application = (a, b) => 'heard';`],
    ['a function of (request, response, next)', `export const api = (a, b, c) => 'heard';`],
    ['a function of all it gets', `export const listener = (...all) => 'heard';`],
    ['a Koa app', `export default { callback: () => (a, b) => 'heard' };`],
  ])('%s is one of listener', async (_, script) => {
    const { listener, fetch } = await load(script);
    expect(fetch).toBeUndefined();
    expect((listener as unknown as () => unknown)()).toBe('heard');
  });

  it('a server of Node is one as it is', async () => {
    const { listener } = await load(`import { createServer } from 'node:http'; export const server = createServer();`);
    expect(listener).toBeInstanceOf(Server);
  });

  it('an app of Fastify is made ready first', async () => {
    const { listener } = await load(`
      const said = [];
      export const fastify = { ready: async () => said.push('ready'), routing: (a, b) => said.push(a, b), said };
      globalThis.saidByFastify = said;`);
    (listener as unknown as (a: string, b: string) => void)('request', 'response');
    expect(Reflect.get(globalThis, 'saidByFastify')).toEqual(['ready', 'request', 'response']);
  });

  it('an app of Nest is made ready, and answers by its adapter', async () => {
    const nest = (instance: string) =>
      `let is = false; export default { init: async () => { is = true; }, getHttpAdapter: () => ({ ${instance} }) };`;
    const { listener } = await load(nest(`getInstance: () => is && ((a, b) => 'heard')`));
    expect((listener as unknown as () => unknown)()).toBe('heard');
    expect(await load(nest(''))).toEqual({});
  });

  it.each([
    ['Fastify', 'export const fastify = { ready: async () => {}, routing: (a, b) => {}, server: createServer({}) };'],
    [
      'Nest',
      `export default { init: async () => {}, getHttpServer: () => createServer({}),
      getHttpAdapter: () => ({ getInstance: () => (a, b) => {} }) };`,
    ],
  ])('an app of %s is known by its server where it has a certificate of its own', async (_, script) => {
    const { hasOwnTls } = await load(`import { createServer } from 'node:https';\n${script}`);
    expect(hasOwnTls).toBe(true);
    expect(await load(`import { createServer } from 'node:http';\n${script}`)).not.toHaveProperty('hasOwnTls');
  });

  it.each([
    ['https', 'createServer({})'],
    ['http2', 'createSecureServer({})'],
    ['tls', 'createServer({})'],
  ])('a server of %s is refused with what to do', async (module, made) => {
    const refusal = load(`import * as module from 'node:${module}'; export default module.${made};`);
    await expect(refusal).rejects.toMatchObject({ code: 'ERR_HTTP_APP', message: expect.stringContaining('(--tls)') });
  });

  it('more than one is the likeliest', async () => {
    const names = ['listener', 'fastify', 'api', 'application', 'server', 'handler', 'app', 'default'];
    const exported = names.map((name) => `  ${name}: `).reverse();
    for (let least = 1; least <= names.length; least++) {
      const some = exported.slice(-least).map((line) => line.trim().slice(0, -1));
      const script = some
        .map((name) => `const _${name} = (r) => '${name}'; export { _${name} as ${name} };`)
        .join('\n');
      expect(call((await load(script)).fetch)).toBe(some[0]);
    }
  });

  it('nothing that is known, and does not listen, is refused with what it exports', async () => {
    const refusal = load(`export const a = 1; export const app = { routing: () => {} }; export default null;`);
    await expect(refusal).rejects.toMatchObject({
      code: 'ERR_HTTP_APP',
      detail: { why: expect.stringContaining('it exports a, app, default') },
    });
    await expect(load('')).rejects.toMatchObject({ detail: { why: expect.stringContaining('it exports nothing') } });
  });

  it('nothing, and listens, is the server that listens', async () => {
    const server = new Server();
    const asked: number[] = [];
    const within = async (ms: number) => asked.push(ms) && server;
    expect(await load('', { refused, within } as unknown as OwnListen)).toEqual({ listener: server });
    expect(asked).toEqual([5000]);
  });
});

it('an app that cannot be loaded is refused with the reason', async () => {
  await expect(load('throw new TypeError("broken")')).rejects.toMatchObject({
    ...{ code: 'ERR_HTTP_APP', detail: { why: 'it cannot be loaded' }, cause: { message: 'broken' } },
  });
});

it.each([
  [{ default: () => {} }, true],
  [{ fetch: () => {} }, true],
  [{ app: { a: 1 } }, true],
  [{ app: {} }, false],
  [{ app: null, server: 1, other: () => {} }, false],
  [{}, false],
])('exports %j may be an app: %s', (exported, may) => {
  expect(exportsApp(exported)).toBe(may);
});

describe('an app that listens by itself', () => {
  it('gets no port, is told that it listens, and finds the address of the server', async () => {
    const address: AddressInfo = { address: '127.0.0.1', port: 9501, family: 'IPv4' };
    const own = new OwnListen(() => address);
    const server = new Server();
    const heard: string[] = [];
    server.on('listening', () => heard.push('event'));
    expect(server.listen(3000, () => heard.push('callback'))).toBe(server);
    expect(heard).toEqual([]);
    new Server().listen();
    expect(await own.within(1000)).toBe(server);
    await new Promise(setImmediate);
    expect([heard.sort(), server.address(), server.listening]).toEqual([['callback', 'event'], address, false]);
  });

  it.each([
    ['https', `import { createServer } from 'node:https'; createServer({}, app).listen(0);`],
    ['http2', `import { createSecureServer } from 'node:http2'; createSecureServer({}, app).listen(0);`],
    [
      'tls, beside one of http',
      `import { createServer } from 'node:tls'; import http from 'node:http';
      http.createServer(app).listen(0); createServer({}).listen(0);`,
    ],
    [
      'https, and exports its app',
      `import { createServer } from 'node:https'; createServer({}, app).listen(0);
      export default app;`,
    ],
    [
      'https, later',
      `import { createServer } from 'node:https'; setTimeout(() => createServer({}, app).listen(0), 20);`,
    ],
    [
      'https, and waits until it listens',
      `import { createServer } from 'node:https';
      await new Promise((up) => createServer({}, app).listen(0, up));`,
    ],
  ])('and encrypts, by a server of %s, is told that TLS is not its work', async (_, script) => {
    const own = new OwnListen(() => ({ address: '', port: 1, family: 'IPv4' }));
    const error = await load(`const app = (a, b) => {};\n${script}`, own).catch((reason: unknown) => reason);
    expect(error).toMatchObject({ code: 'ERR_HTTP_APP', message: expect.stringContaining('(--tls)') });
    expect(own.encrypts).toBe(true);
  });

  it('and waits at its top for what cannot come any more, is told so', async () => {
    const loading = load('await new Promise(() => {});').catch((reason: unknown) => reason);
    process.emit('beforeExit', 0);
    expect(await loading).toMatchObject({ code: 'ERR_HTTP_APP', message: expect.stringContaining('never loaded') });
    expect(process.listenerCount('beforeExit')).toBe(0);
  });

  it('may let servers of other protocols listen', async () => {
    const own = new OwnListen(() => ({ address: '', port: 1, family: 'IPv4' }));
    const server = createNetServer().listen(0);
    await once(server, 'listening');
    server.close();
    expect(own.encrypts).toBe(false);
  });

  it('is waited for so long, and no longer', async () => {
    expect(await new OwnListen(() => ({ address: '', port: 1, family: 'IPv4' })).within(1)).toBeUndefined();
  });

  it.each([
    [[3000], { port: 3000, host: '::' }],
    [['3000', '127.0.0.1'], { port: 3000, host: '127.0.0.1' }],
    [[0, ''], { port: 0, host: '::' }],
    [[65_535, 511], { port: 65_535, host: '::' }],
    [[65_536], {}],
    [[-1], {}],
    [[1.5], {}],
    [[''], {}],
    [['/run/app.sock'], {}],
    [[], {}],
    [[{ port: 3000 }], { port: 3000, host: '::' }],
    [[{ port: '3000', host: '::1' }], { port: 3000, host: '::1' }],
    [[{ port: 'x', host: '::1' }], { host: '::1' }],
    [[{ path: '/run/app.sock' }], {}],
    [[null], {}],
  ])('with %j tells where', async (args, address) => {
    const asked = listenArguments();
    (new Server().listen as (...args: unknown[]) => unknown)(...args);
    expect([await asked.called, await asked.within(1)]).toEqual([address, address]);
  });
});
