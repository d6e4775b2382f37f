import { STATUS_CODES } from 'node:http';
import { describe, expect, it, test } from 'vitest';
import { ServerError } from '../../src/errors/index.js';
import {
  type HandlerParts,
  refuseExpectation,
  serveByCallback,
  serveByFetch,
  withFiles,
} from '../../src/http/handlers.js';
import { sendPieces } from '../../src/http/send-file.js';
import type { FileAnswer } from '../../src/protocol/http/file-answer.js';
import { FakeExchange } from '../helpers/fake-exchange.js';

const withStatus = (status: number) => new ServerError('ERR_FILE', { path: '/a', why: 'it is so', status });

function partsOf(more: object = {}) {
  const failures: unknown[][] = [];
  const parts = {
    ...{ options: { compression: null, staticFiles: [] }, server: 'the server' },
    remote: () => ({ remoteAddress: '192.0.2.1', remotePort: 4711 }),
    failed: (...told: unknown[]) => failures.push(told),
    ...more,
  };
  return { failures, parts: parts as unknown as HandlerParts };
}

async function thrownByFetch(error: unknown) {
  const { failures, parts } = partsOf();
  const exchange = new FakeExchange();
  (await serveByFetch(() => Promise.reject(error), parts))(exchange);
  await expect.poll(() => exchange.told).toHaveLength(1);
  return { failures, answer: exchange.told[0] };
}

async function thrownByCallback(error: unknown, isLate: boolean) {
  const { failures, parts } = partsOf();
  const exchange = new FakeExchange();
  const callback = () => {
    if (isLate) return Promise.reject(error);
    throw error;
  };
  serveByCallback(callback, parts)(exchange);
  await expect.poll(() => exchange.told).toHaveLength(1);
  return { failures, answer: exchange.told[0] };
}

const ways: [string, (error: unknown) => ReturnType<typeof thrownByFetch>, string][] = [
  ['fetch', thrownByFetch, 'fetch'],
  ['a callback', (error) => thrownByCallback(error, false), 'request'],
  ['a callback, later', (error) => thrownByCallback(error, true), 'request'],
];

describe.each(ways)('an error of %s', (_, thrown, event) => {
  test.each([400, 404, 415, 499])(
    'that is the fault of the client is told to it with %i, and to nobody else',
    async (status) => {
      const { failures, answer } = await thrown(withStatus(status));
      expect(failures).toEqual([]);
      expect(answer).toMatchObject({ respond: status });
      expect(JSON.stringify(answer)).toContain(STATUS_CODES[status] ?? '');
    },
  );

  test.each([399, 500, undefined])('with status %s is logged, and its text is told to nobody', async (status) => {
    const error = status === undefined ? new Error('a secret') : withStatus(status);
    const { failures, answer } = await thrown(error);
    expect(failures).toEqual([[error, event]]);
    expect(answer).toMatchObject({ respond: 500 });
    expect(JSON.stringify(answer)).toContain('Internal Server Error');
    expect(JSON.stringify(answer)).not.toContain('secret');
  });

  test('that says that the client has gone is not logged', async () => {
    const gone = new ServerError('ERR_HTTP_CLIENT_GONE', {});
    const cut = new ServerError('ERR_HTTP_BODY_CUT', { reason: 'timeout', status: 408, why: 'it is so' });
    for (const error of [gone, cut]) {
      expect(await thrown(error)).toMatchObject({ failures: [], answer: { respond: 400 } });
    }
  });

  test('that says that the handler has answered too early is logged', async () => {
    const cut = new ServerError('ERR_HTTP_BODY_CUT', { reason: 'answered', status: 0, why: 'it is so' });
    expect((await thrown(cut)).failures).toEqual([[cut, event]]);
  });
});

describe('a callback that returns what looks like an answer, and has not answered', () => {
  const parts = () => {
    const warned: unknown[][] = [];
    return { warned, ...partsOf({ log: { warn: (...told: unknown[]) => warned.push(told) } }) };
  };
  const turn = () => new Promise((resolve) => setImmediate(resolve));

  it.each([
    ['a text', () => 'hello'],
    ['an object, later', async () => ({ hello: 'world' })],
    ['a list', () => [1]],
    ['a Response, later', async () => new Response('hello')],
  ])('%s: is told of once', async (_, callback) => {
    const { warned, parts: given } = parts();
    const serve = serveByCallback(callback, given);
    for (let i = 0; i < 3; i++) serve(new FakeExchange());
    await turn();
    expect(warned).toEqual([[expect.stringContaining('has returned a value'), { returned: expect.any(String) }]]);
  });

  it.each([
    ['what has answered', (_: unknown, response: { end(text: string): unknown }) => [response.end('x')]],
    ['nothing', () => {}],
    ['nothing, later', async () => {}],
    ['a timer, as short callbacks do', () => setTimeout(() => {}, 0)],
  ])('is not: %s', async (_, callback) => {
    const { warned, parts: given } = parts();
    serveByCallback(callback as never, given)(new FakeExchange());
    await turn();
    expect(warned).toEqual([]);
  });
});

it('an expectation that nobody knows is refused, and the connection ends', () => {
  const exchange = new FakeExchange();
  refuseExpectation(exchange);
  expect(exchange.told).toEqual([
    {
      respond: 417,
      reason: '',
      fields: ['content-type', 'text/plain; charset=utf-8', 'connection', 'close'],
      body: 'The Expect field asks for more than 100-continue.\n',
    },
  ]);
});

it('where there are no files to serve, the handler is what it was', () => {
  const serve = () => {};
  expect(withFiles(serve, partsOf().parts.options)).toBe(serve);
});

describe('a file in pieces', () => {
  const parts = [{ text: '--one\r\n' }, { path: '/file', offset: 3, length: 5 }, { bytes: Buffer.from('é') }];
  const answer = { status: 206, fields: ['x-a', '1'], pieces: parts };

  it('is sent piece by piece, texts among them', () => {
    const exchange = new FakeExchange();
    sendPieces(exchange, 206, '', answer as unknown as FileAnswer);
    expect(exchange.told).toEqual([
      { begin: 206, reason: '', fields: ['x-a', '1'] },
      { write: Buffer.from('--one\r\n') },
      { writeFile: parts[1] },
      { write: Buffer.from('é') },
      { end: undefined, trailers: undefined },
    ]);
  });

  it.each(['HEAD', 'GET'])('that has no file in it, or is asked for by HEAD, is sent at once: %s', (method) => {
    const exchange = new FakeExchange({ method });
    const pieces = method === 'HEAD' ? parts : [parts[0], parts[2]];
    sendPieces(exchange, 206, 'Part', { ...answer, pieces } as unknown as FileAnswer);
    const body = Buffer.from('--one\r\né');
    expect(exchange.told).toEqual([{ respond: 206, reason: 'Part', fields: ['x-a', '1'], body }]);
  });
});
