// The examples of HTTP, those of frameworks with the frameworks' own packages.
import { execFile, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { io } from 'socket.io-client';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { WebSocket } from 'ws';
import { DEADLINE_MS } from '../helpers/deadline.js';
import { endExample, reloadExample, startExample } from '../helpers/example.js';

afterEach(endExample);

const at = (port: number, path = '/'): string => `http://127.0.0.1:${port}${path}`;
const text = async (port: number, path = '/', init?: RequestInit): Promise<string> =>
  (await fetch(at(port, path), init)).text();
const json = (body: unknown): RequestInit => ({
  method: 'POST',
  headers: { 'content-type': 'application/json' },
  body: JSON.stringify(body),
});

describe('an app as its framework has it', () => {
  it.each([
    ['express', 'Express'],
    ['fastify', 'Fastify'],
    ['hono', 'Hono'],
    ['h3', 'H3'],
    ['itty-router', 'itty-router'],
    ['nest', 'Nest'],
  ])('examples/%s answers', async (name, says) => {
    const port = await startExample(name);
    expect(await text(port)).toBe(`Hello from ${says}\n`);
    expect(JSON.parse(await text(port, '/hello/you'))).toEqual({ hello: 'you' });
    const echo = await fetch(at(port, '/echo'), json({ a: [1, 2] }));
    expect(echo.status).toBe(201);
    expect(await echo.json()).toEqual({ a: [1, 2] });
    expect((await fetch(at(port, '/nothing'))).status).toBe(404);
  });

  it('examples/koa answers', async () => {
    const port = await startExample('koa');
    const answer = await fetch(at(port));
    expect(answer.headers.get('x-answered-by')).toBe('koa');
    expect(await answer.text()).toBe('Hello from Koa\n');
    expect(JSON.parse(await text(port, '/you'))).toEqual({ hello: 'you' });
  });

  it('examples/node-http answers', async () => {
    const port = await startExample('node-http');
    expect(await text(port)).toBe('Hello from node:http\n');
    const large = 'x'.repeat(1_000_000);
    expect(await text(port, '/', { method: 'POST', body: large })).toBe(large);
  });

  it('examples/ws speaks WebSocket in a worker', async () => {
    const port = await startExample('ws');
    expect(await text(port)).toBe('connect with a WebSocket\n');
    const socket = new WebSocket(`ws://127.0.0.1:${port}`);
    const said = await new Promise((resolve, reject) => {
      socket.on('open', () => socket.send('hello'));
      socket.on('message', (data) => resolve(String(data)));
      socket.on('error', reject);
    });
    expect(said).toBe('you said: hello');
    socket.close();
  });

  it.each([[['websocket']], [['polling', 'websocket']]])('examples/socket.io answers by %j', async (transports) => {
    const port = await startExample('socket.io');
    const socket = io(at(port), { transports });
    expect(await socket.timeout(5000).emitWithAck('ask', 'hello')).toBe('heard: hello');
    socket.close();
  });
});

describe('an app that knows nothing of tswoole', () => {
  const cli = fileURLToPath(new URL('../../dist/cli/main.cjs', import.meta.url));
  let folder = '';
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  /** It is waited for an app that may still listen: the other tests do not stand still meanwhile. */
  let refused: Promise<{ readonly status: unknown; readonly stderr: string }>;
  const folderOfNone = mkdtempSync(join(tmpdir(), 'app-'));
  beforeAll(() => {
    const file = join(folderOfNone, 'none.mjs');
    writeFileSync(file, 'export const answer = 42;');
    const command = [cli, 'start', file, '--http', '--port', '0'];
    refused = new Promise((resolve) => {
      const given = { encoding: 'utf8', timeout: Math.ceil(DEADLINE_MS) } as const;
      execFile(process.execPath, command, given, (error, _stdout, stderr) => {
        resolve({ status: error === null ? 0 : error.code, stderr });
      });
    });
  });
  afterAll(async () => {
    await refused;
    rmSync(folderOfNone, { recursive: true });
  });

  it.each([
    [
      'express.mjs',
      `import express from 'express'; const app = express(); app.get('/', (q, r) => r.send('it')); export default app;`,
    ],
    [
      'express.cjs',
      `const app = require('express')(); app.get('/', (q, r) => r.send('it')); module.exports = app; if (require.main === module) app.listen(1);`,
    ],
    ['hono.mjs', `import { Hono } from 'hono'; export const app = new Hono().get('/', (c) => c.text('it'));`],
    ['fastify.mjs', `import Fastify from 'fastify'; export const app = Fastify(); app.get('/', async () => 'it');`],
    ['koa.mjs', `import Koa from 'koa'; export default new Koa().use((c) => { c.body = 'it'; });`],
    ['worker.mjs', `export default { fetch: () => new Response('it') };`],
    ['plain.mjs', `export default (req, res) => res.end('it');`],
    [
      'express-listens.cjs',
      `const app = require('express')(); app.get('/', (q, r) => r.send('it')); const server = app.listen(1, () => server.address().port);`,
    ],
    [
      'fastify-listens.mjs',
      `import Fastify from 'fastify'; const app = Fastify(); app.get('/', async () => 'it'); await app.listen({ port: 1 });`,
    ],
    [
      'plain-listens-later.mjs',
      `import http from 'node:http'; setTimeout(() => http.createServer((q, r) => r.end('it')).listen(1), 100);`,
    ],
  ])('tswoole start %s --http runs it', async (name, source) => {
    // Below this project, so that the frameworks' packages are found.
    folder = mkdtempSync(fileURLToPath(new URL('../../.cache/app-', import.meta.url)));
    const file = join(folder, name);
    writeFileSync(file, source);
    const port = await startExample('', cli, 'start', file, '--http', '--port', '0', '--worker-num', '1');
    expect(await text(port)).toBe('it');
  });

  it('and does not answer requests is refused with the reason, and no stack of ours', async () => {
    const { status, stderr } = await refused;
    expect(status).toBe(1);
    expect(stderr).toMatch(/^ERR_HTTP_APP: .*none\.mjs cannot answer requests: .*it exports answer/m);
    expect(stderr).not.toMatch(/^ +at /m);
  });

  it('and has a syntax error is refused with the file and the line, also of a file that it imports', async () => {
    folder = mkdtempSync(join(tmpdir(), 'app-'));
    const broken = '\nconst a = = 1;\n';
    const write = (name: string, text: string): string => {
      writeFileSync(join(folder, name), text);
      return join(folder, name);
    };
    write('broken.mjs', broken);
    write('broken.cjs', broken);
    const module = write('app.mjs', `import './broken.mjs';`);
    const listens = write('app.cjs', `process.on('unhandledRejection', () => {}); require('./broken.cjs');`);
    for (const words of [[module], [module, '--host', '127.0.0.1'], [listens, '--host', '127.0.0.1']]) {
      const command = [cli, 'start', ...words, '--http', '--port', '0'];
      const { status, stderr } = spawnSync(process.execPath, command, {
        encoding: 'utf8',
        timeout: Math.ceil(DEADLINE_MS),
      });
      expect([words, status]).toEqual([words, 1]);
      expect(stderr).toMatch(/^ERR_HTTP_APP: .*app\.[cm]js cannot answer requests/m);
      expect(stderr).toMatch(/broken\.[cm]js:2\nconst a = = 1;/);
    }
  });
});

it('examples/http says which worker', async () => {
  expect(await text(await startExample('http'))).toMatch(/^Hello from worker \d\n$/);
});

it('examples/visits counts over all workers, over a reload, and limits each client', async () => {
  const port = await startExample('visits');
  const get = async (path: string): Promise<string> => {
    for (;;) {
      const answer = await fetch(at(port, path));
      const body = await answer.text();
      if (answer.status === 200) return body;
      expect([answer.status, Number(answer.headers.get('retry-after'))]).toEqual([429, 1]);
    }
  };
  for (let i = 1; i <= 3; i++)
    expect(await get('/a')).toMatch(new RegExp(`^/a: visit ${i}, answered by worker [01]\n$`));
  reloadExample();
  for (let i = 4; i <= 30; i++) expect(await get('/a')).toContain(`visit ${i},`);
  expect(await get('/')).toMatch(/^30 visits\n30 \/a \d{4}-/);
});

it('examples/sessions knows a session in every worker, over a reload and a restart', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'sessions-'));
  process.env['SESSIONS'] = join(folder, 'sessions.table');
  let port = await startExample('sessions');
  const answer = async (path: string, cookie = '', init: RequestInit = {}): Promise<[number, string]> => {
    const response = await fetch(at(port, path), { ...init, headers: { cookie } });
    return [response.status, await response.text()];
  };
  expect(await answer('/')).toEqual([401, 'POST /login first\n']);
  expect((await answer('/login', '', { method: 'POST', body: new URLSearchParams({ name: '' }) }))[0]).toBe(400);
  const login = await fetch(at(port, '/login'), { method: 'POST', body: new URLSearchParams({ name: 'Ada' }) });
  expect(await login.text()).toBe('Welcome, Ada\n');
  const [cookie = ''] = (login.headers.get('set-cookie') ?? '').split(';');
  for (let visit = 1; visit <= 20; visit++) {
    if (visit === 10) reloadExample();
    if (visit === 15) {
      await endExample();
      port = await startExample('sessions');
    }
    expect(await answer('/', cookie)).toEqual([200, expect.stringMatching(`^Hello, Ada: visit ${visit}, answered by`)]);
  }
  expect(await answer('/logout', cookie, { method: 'POST' })).toEqual([200, 'Goodbye\n']);
  expect((await answer('/', cookie))[0]).toBe(401);
  await endExample();
  delete process.env['SESSIONS'];
  rmSync(folder, { recursive: true });
});

it('examples/cache computes once for a thousand requests', async () => {
  const port = await startExample('cache');
  const one = async (): Promise<unknown> => JSON.parse(await text(port, '/report?city=Graz'));
  const reports = await Promise.all(Array.from({ length: 1000 }, one));
  expect(new Set(reports.map((report) => JSON.stringify(report))).size).toBe(1);
  expect(reports[0]).toMatchObject({ city: 'Graz', inhabitants: 4000 });
  expect(JSON.parse(await text(port, '/stats'))).toMatchObject({ computed: 1, keys: 1 });
  expect((await fetch(at(port, '/nothing'))).status).toBe(404);
});

it('examples/json-api routes, computes elsewhere, and says what is wrong', async () => {
  const port = await startExample('json-api');
  expect(JSON.parse(await text(port, '/greet?name=you'))).toEqual({ greeting: 'Hello, you' });
  expect(JSON.parse(await text(port, '/sum', json({ numbers: [1, 2, 3] })))).toEqual({ sum: 6 });
  expect(JSON.parse(await text(port, '/digest', json('a'))).digest).toMatch(/^[0-9a-f]{64}$/);
  expect((await fetch(at(port, '/sum'), { method: 'POST', body: '{' })).status).toBe(400);
  expect((await fetch(at(port, '/nothing'))).status).toBe(404);
});

it('examples/upload keeps files and hashes streams', async () => {
  process.env['UPLOADS'] = mkdtempSync(join(tmpdir(), 'uploads-'));
  const port = await startExample('upload');
  const form = new FormData();
  form.set('note', 'two');
  form.set('file', new File(['content'], 'a.txt', { type: 'text/plain' }));
  const told = JSON.parse(await text(port, '/', { method: 'POST', body: form })) as Record<string, unknown>;
  expect(told).toMatchObject({ fields: { note: 'two' }, files: [{ filename: 'a.txt', size: 7 }] });
  const put = await text(port, '/', { method: 'PUT', body: 'x'.repeat(3_000_000) });
  expect(JSON.parse(put)).toMatchObject({ bytes: 3_000_000 });
  rmSync(process.env['UPLOADS'], { recursive: true });
});

it('examples/events brings what one says to every stream', async () => {
  const port = await startExample('events');
  const streams = await Promise.all(Array.from({ length: 4 }, () => fetch(at(port, '/events'))));
  await text(port, '/say', { method: 'POST', body: 'hello' });
  for (const { body } of streams) {
    let seen = '';
    for await (const piece of body ?? []) {
      seen += Buffer.from(piece).toString();
      if (seen.includes('data: hello')) break;
    }
    expect(seen).toContain('data: hello\n\n');
  }
});

it('examples/static-site serves its files', async () => {
  const port = await startExample('static-site');
  const file = fileURLToPath(new URL('../../examples/static-site/public/index.html', import.meta.url));
  expect(await text(port)).toBe(readFileSync(file, 'utf8'));
  expect((await fetch(at(port, '/style.css'))).headers.get('content-type')).toContain('text/css');
  expect((await fetch(at(port, '/../server.js'))).status).toBe(404);
});
