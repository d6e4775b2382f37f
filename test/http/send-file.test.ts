import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm, symlink, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type HandlerParts, type RequestCallback, serveByCallback } from '../../src/http/handlers.js';
import { attachment } from '../../src/http/header-fields.js';
import { ObservedPromise } from '../../src/http/observed.js';
import { defaultRequestLimits, HttpRequest } from '../../src/http/request.js';
import { HttpResponse } from '../../src/http/response.js';
import { FakeExchange, type FakeExchangeOptions } from '../helpers/fake-exchange.js';

let folder = '';
let file = '';
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tswoole-test-'));
  file = join(folder, 'root', 'a.txt');
  await mkdir(join(folder, 'root', 'sub'), { recursive: true });
  await writeFile(file, 'content');
  await utimes(file, 1, 1);
  await writeFile(join(folder, 'secret'), 'secret');
  await writeFile(join(folder, 'root', 'empty'), '');
  await symlink(join(folder, 'secret'), join(folder, 'root', 'link-out'));
  await symlink(file, join(folder, 'root', 'link-in'));
});
afterAll(() => rm(folder, { recursive: true }));

function answerOf(options: FakeExchangeOptions = {}) {
  const exchange = new FakeExchange(options);
  const request = new HttpRequest(exchange, () => ({ remoteAddress: '', remotePort: 0 }), defaultRequestLimits);
  return { exchange, request, response: new HttpResponse(exchange, request, { compression: null }) };
}

/** What a handler's client is told, and what is logged. */
async function handled(callback: RequestCallback) {
  const logged: unknown[] = [];
  const parts = { options: { compression: null }, failed: (error: unknown) => logged.push(error) };
  const exchange = new FakeExchange();
  serveByCallback(callback, parts as unknown as HandlerParts)(exchange);
  await expect.poll(() => exchange.told).toHaveLength(1);
  return { logged, answer: exchange.told[0] };
}

test('a mistyped root lets no path through', async () => {
  const { exchange, response } = answerOf();
  for (const options of [{ rot: folder }, { Root: folder }, { folder }])
    await expect(response.sendFile(file, options as never)).rejects.toMatchObject({ code: 'ERR_OPTION_UNKNOWN' });
  for (const options of [null, 5, 'x', new Map([['root', folder]])])
    await expect(response.sendFile(file, options as never)).rejects.toMatchObject({ code: 'ERR_OPTION_TYPE' });
  expect(exchange.told).toEqual([]);
});

describe('a failure of sendFile that the handler does not take', () => {
  const ways: [string, (path: string) => RequestCallback][] = [
    ['that nobody waits for', (path) => (_, res) => void res.sendFile(path)],
    ['that is returned', (path) => (_, res) => res.sendFile(path)],
    ['that is awaited', (path) => async (_, res) => void (await res.sendFile(path))],
    ['that finally lets through', (path) => (_, res) => res.sendFile(path).finally(() => {})],
  ];
  test.each(ways)('%s is answered 404 where the file is not there, and nothing is logged', async (_, handler) => {
    expect(await handled(handler(join(folder, 'missing')))).toMatchObject({ logged: [], answer: { respond: 404 } });
    expect(await handled(handler(folder))).toMatchObject({ logged: [], answer: { respond: 404 } });
  });

  test.each(ways)('%s is answered 500 and logged where it cannot be sent', async (_, handler) => {
    const { logged, answer } = await handled(handler('a\0'));
    expect([logged, answer]).toMatchObject([[{ code: 'ERR_FILE' }], { respond: 500 }]);
  });

  test('is not answered for one who takes it', async () => {
    const { logged, answer } = await handled(
      (_, res) => void res.sendFile('a\0').catch(() => Object.assign(res, { statusCode: 410 }).end('x')),
    );
    expect([logged, answer]).toMatchObject([[], { respond: 410 }]);
  });
});

test('a promise knows whether somebody waits for it', async () => {
  const make = () => new ObservedPromise<number>((_, reject) => reject(new Error('x')));
  const told: unknown[] = [];
  const tell = (error: unknown): void => void told.push(error);
  process.on('unhandledRejection', tell);
  const alone = make();
  await new Promise(setImmediate);
  expect([alone.isObserved, told]).toEqual([false, []]);
  const waited = make();
  await expect(waited).rejects.toThrow('x');
  expect(waited.isObserved).toBe(true);
  const left = make();
  void left.then(() => {});
  await new Promise(setImmediate);
  process.off('unhandledRejection', tell);
  expect(told).toHaveLength(1); // what `then` gives is told of as any promise
});

describe('sendFile', () => {
  test('sends a head with the length, and the file', async () => {
    const { exchange, response } = answerOf();
    response.setHeader('x-a', '1').setHeader('content-length', 99);
    expect(await response.sendFile(file, { type: 'text/plain', cacheControl: 'no-cache' })).toBe(true);
    expect(exchange.told).toEqual([
      {
        begin: 200,
        reason: '',
        fields: [
          ...['content-type', 'text/plain', 'content-length', '7', 'accept-ranges', 'bytes'],
          ...['last-modified', 'Thu, 01 Jan 1970 00:00:01 GMT', 'etag', '"7-f4240"', 'cache-control', 'no-cache'],
          ...['x-a', '1'],
        ],
      },
      { writeFile: { path: file, offset: 0, length: 7 } },
      { end: undefined, trailers: undefined },
    ]);
    expect(response.ended).toBe(true);
  });

  test.skipIf(process.platform !== 'linux')('sends what a file has that stat calls empty', async () => {
    const content = await readFile('/proc/version');
    const { exchange, response } = answerOf();
    expect(await response.sendFile('/proc/version')).toBe(true);
    expect(exchange.sent.equals(content)).toBe(true);
    expect(exchange.fields[exchange.fields.indexOf('content-length') + 1]).toBe(String(content.length));
    const part = answerOf({ headers: ['range', 'bytes=6-12'] });
    await part.response.sendFile('/proc/version');
    expect(String(part.exchange.sent)).toBe('version');
    if (!existsSync('/proc/kallsyms')) return;
    const long = answerOf().response.sendFile('/proc/kallsyms');
    await expect(long).rejects.toMatchObject({ code: 'ERR_FILE', message: expect.stringContaining('1048576 bytes') });
  });

  test('refuses a pipe and a device, at once', async () => {
    const pipe = join(folder, 'pipe');
    execFileSync('mkfifo', [pipe]);
    for (const path of [pipe, '/dev/null', '/dev/zero']) {
      await expect(answerOf().response.sendFile(path)).rejects.toMatchObject({ code: 'ERR_FILE' });
    }
  });

  test('keeps a status and message that are set', async () => {
    const { exchange, response } = answerOf();
    response.statusCode = 404;
    response.statusMessage = 'Gone Fishing';
    await response.sendFile(file);
    expect(exchange.told[0]).toMatchObject({ begin: 404, reason: 'Gone Fishing' });
  });

  test('sends a head alone to HEAD, and of an empty file', async () => {
    const head = answerOf({ method: 'HEAD' });
    await head.response.sendFile(file);
    expect(head.exchange.told).toMatchObject([{ respond: 200, body: Buffer.alloc(0) }]);
    const at = head.exchange.fields.indexOf('content-length');
    expect(head.exchange.fields[at + 1]).toBe('7');
    const empty = answerOf();
    await empty.response.sendFile(join(folder, 'root', 'empty'));
    expect(empty.exchange.told).toMatchObject([{ respond: 200, body: Buffer.alloc(0) }]);
  });

  test.each([
    ['is not there', 'missing'],
    ['is a folder', '.'],
    ['is no text', 1],
    ['is empty', ''],
    ['has a zero', 'a\0'],
  ])('refuses a path that %s, and another answer can be given', async (_title, path) => {
    const { exchange, response } = answerOf();
    response.setHeader('x-a', '1');
    const given = typeof path === 'string' && path !== '' ? join(folder, path) : path;
    await expect(response.sendFile(given as string)).rejects.toMatchObject({ code: 'ERR_FILE' });
    expect([response.headersSent, exchange.told]).toEqual([false, []]);
    response.statusCode = 404;
    response.end();
    expect(exchange.told).toEqual([{ respond: 404, reason: '', fields: ['x-a', '1'], body: '' }]);
  });

  test.each(['a.txt', '/a.txt', 'sub/../a.txt', 'link-in', './a.txt'])('finds %s within its root', async (path) => {
    const { exchange, response } = answerOf();
    await response.sendFile(path, { root: join(folder, 'root') });
    expect(exchange.told[1]).toEqual({ writeFile: { path: file, offset: 0, length: 7 } });
  });

  test.each(['../secret', '/../secret', 'sub/../../secret', 'link-out', '/etc/passwd', '..', '.', ''])(
    'finds nothing at %s outside of its root',
    async (path) => {
      const { exchange, response } = answerOf();
      await expect(response.sendFile(path, { root: join(folder, 'root') })).rejects.toMatchObject({ code: 'ERR_FILE' });
      expect(exchange.told).toEqual([]);
    },
  );

  test('is an answer: none can be given before it is done, or after', async () => {
    const { exchange, response } = answerOf();
    const sent = response.sendFile(file);
    const failure = expect.objectContaining({ code: 'ERR_HTTP_HEADERS_SENT' });
    expect(() => response.end('x')).toThrow(failure);
    expect(() => response.setHeader('a', 'b')).toThrow(failure);
    await expect(response.sendFile(file)).rejects.toThrow(failure);
    await sent;
    expect(await response.sendFile(file)).toBe(false);
    expect(exchange.told).toHaveLength(3);
  });

  test.each(['fail', 'destroy'] as const)('sends nothing after "%s"', async (how) => {
    const { exchange, response } = answerOf();
    const sent = response.sendFile(file);
    if (how === 'fail') response.fail(503, 'late');
    else response.destroy();
    expect(await sent).toBe(false);
    expect(exchange.told).toHaveLength(1);
  });
});

describe('the name of a download', () => {
  test.each([
    ['a.txt', 'attachment; filename="a.txt"'],
    ['a b.txt', 'attachment; filename="a b.txt"'],
    ['ä.txt', `attachment; filename="_.txt"; filename*=UTF-8''%C3%A4.txt`],
    ['a"b\\c%.txt', `attachment; filename="a_b_c_.txt"; filename*=UTF-8''a%22b%5Cc%25.txt`],
    ["('*)", `attachment; filename="('*)"`],
    ["ä('*)", `attachment; filename="_('*)"; filename*=UTF-8''%C3%A4%28%27%2A%29`],
    ['\ud800', `attachment; filename="_"; filename*=UTF-8''%EF%BF%BD`],
  ])('%s is written as %s', (name, value) => {
    expect(attachment(name)).toBe(value);
  });

  test('is by default that of the file', async () => {
    const { exchange, response } = answerOf();
    await response.sendFile(file, { download: true });
    expect(exchange.fields.slice(-2)).toEqual(['content-disposition', 'attachment; filename="a.txt"']);
  });
});
