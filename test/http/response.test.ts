import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { describe, expect, test } from 'vitest';
import { defaultRequestLimits, HttpRequest } from '../../src/http/request.js';
import { HttpResponse } from '../../src/http/response.js';
import { FakeExchange, type FakeExchangeOptions } from '../helpers/fake-exchange.js';

function answerOf(options: FakeExchangeOptions = {}) {
  const exchange = new FakeExchange(options);
  const request = new HttpRequest(exchange, () => ({ remoteAddress: '', remotePort: 0 }), defaultRequestLimits);
  return { exchange, request, response: new HttpResponse(exchange, request, { compression: null }) };
}

const failure = (code: string, detail: object = {}) =>
  expect.objectContaining({ code, detail: expect.objectContaining(detail) });
const SENT = failure('ERR_HTTP_HEADERS_SENT');

describe('an answer in one piece', () => {
  test('goes out with head and body at once', () => {
    const { exchange, response } = answerOf();
    response.setHeader('Content-Type', 'text/plain');
    expect([response.headersSent, response.ended, response.writable]).toEqual([false, false, true]);
    expect(response.end('Hello World\n')).toBe(true);
    expect(exchange.told).toEqual([
      { respond: 200, reason: '', fields: ['content-type', 'text/plain'], body: 'Hello World\n' },
    ]);
    expect([response.headersSent, response.ended, response.writable]).toEqual([true, true, false]);
  });

  test('may have no body, bytes, a status and a message of its own', () => {
    const { exchange, response } = answerOf();
    response.statusCode = 404;
    response.statusMessage = 'Not Here';
    response.end();
    expect(exchange.told).toEqual([{ respond: 404, reason: 'Not Here', fields: [], body: '' }]);
    const other = answerOf();
    const bytes = Buffer.from('x');
    other.response.end(bytes);
    expect(other.exchange.told).toEqual([{ respond: 200, reason: '', fields: [], body: bytes }]);
  });

  test.each([
    [{ a: 1 }, '{"a":1}'],
    ['ä', '"ä"'],
    [null, 'null'],
    [[1], '[1]'],
  ])('of %j is JSON', (value, body) => {
    const { exchange, response } = answerOf();
    response.json(value);
    expect(exchange.told).toEqual([{ respond: 200, reason: '', fields: ['content-type', 'application/json'], body }]);
  });

  test('as JSON keeps a content type that is set', () => {
    const { exchange, response } = answerOf();
    response.setHeader('content-type', 'application/problem+json').json({});
    expect(exchange.fields).toEqual(['content-type', 'application/problem+json']);
  });

  test.each([undefined, () => 1, Symbol('x')])('%s has no JSON, and nothing is sent', (value) => {
    const { exchange, response } = answerOf();
    expect(() => response.json(value)).toThrow(failure('ERR_DATA_TYPE'));
    expect(exchange.told).toEqual([]);
    expect(response.end('other')).toBe(true);
  });

  test.each([1, null, {}, [], true])('%j is no body', (value) => {
    const { exchange, response } = answerOf();
    expect(() => response.end(value as never)).toThrow(failure('ERR_DATA_TYPE'));
    expect(() => response.write(value as never)).toThrow(failure('ERR_DATA_TYPE'));
    expect([exchange.told, response.headersSent]).toEqual([[], false]);
  });
});

describe('the status', () => {
  test.each([199, 100, 101, 600, 0, -1, 200.5, Number.NaN, '200', null, undefined])('cannot be %j', (status) => {
    const { response } = answerOf();
    expect(() => {
      response.statusCode = status as never;
    }).toThrow(failure('ERR_HTTP_STATUS'));
    expect(response.statusCode).toBe(200);
  });

  test.each([200, 299, 418, 599])('can be %d', (status) => {
    const { response } = answerOf();
    response.statusCode = status;
    expect(response.statusCode).toBe(status);
  });
});

describe('headers', () => {
  test('are set, added, asked for and removed whatever the case of their name', () => {
    const { exchange, response } = answerOf();
    response.setHeader('X-A', '1').setHeader('x-b', 2).setHeader('X-C', ['3', '4']);
    expect(response.getHeader('x-a')).toBe('1');
    expect(response.getHeader('X-B')).toBe('2');
    expect(response.getHeader('x-c')).toEqual(['3', '4']);
    expect(response.getHeader('x-d')).toBe(undefined);
    expect([response.hasHeader('X-a'), response.hasHeader('x-d')]).toEqual([true, false]);
    response.appendHeader('x-A', '5').appendHeader('x-d', ['6', '7']).removeHeader('X-b');
    expect({ ...response.getHeaders() }).toEqual({ 'x-a': ['1', '5'], 'x-c': ['3', '4'], 'x-d': ['6', '7'] });
    expect(Object.getPrototypeOf(response.getHeaders())).toBe(null);
    response.setHeader('X-C', 'one').setHeader('x-d', []);
    response.end();
    expect(exchange.fields).toEqual(['x-a', '1', 'x-c', 'one', 'x-a', '5']);
  });

  test('that are set again stay where they were, once', () => {
    const { exchange, response } = answerOf();
    response.setHeader('a', ['1', '2']).setHeader('b', '3').appendHeader('a', '4').setHeader('a', '5').end();
    expect(exchange.fields).toEqual(['a', '5', 'b', '3']);
  });

  test('keep their value when the new one is refused', () => {
    const { response } = answerOf();
    response.setHeader('a', '1').setHeader('content-length', 5);
    expect(() => response.setHeader('a', 'x\n')).toThrow();
    expect(() => response.setHeader('a', ['2', '\r'])).toThrow();
    expect(() => response.appendHeader('a', ['2', '\r'])).toThrow();
    expect(() => response.setHeader('content-length', 'x')).toThrow();
    expect({ ...response.getHeaders() }).toEqual({ a: '1', 'content-length': '5' });
  });

  test('names that many answers set do not fill the memory, and go on working', () => {
    const { response } = answerOf();
    for (let i = 0; i < 2000; i += 1) response.setHeader(`X-${i}`, 'v').removeHeader(`X-${i}`);
    expect(response.setHeader('X-1', 'v').getHeader('x-1')).toBe('v');
  });

  test('cannot be changed once the head is sent', () => {
    const { response } = answerOf();
    response.write('x');
    expect(response.headersSent).toBe(true);
    for (const change of [
      () => response.setHeader('a', '1'),
      () => response.setHeader('a', ['1']),
      () => response.appendHeader('a', '1'),
      () => response.removeHeader('a'),
      () => response.cookie('a', '1'),
      () => response.clearCookie('a'),
      () => response.inform(103),
      () => response.sse(),
      () => response.json(1),
      () => response.redirect('/'),
      () => {
        response.statusCode = 200;
      },
      () => {
        response.statusMessage = 'x';
      },
    ]) {
      expect(change).toThrow(SENT);
    }
  });

  test('transfer-encoding is the affair of the server', () => {
    const { response } = answerOf();
    expect(() => response.setHeader('Transfer-Encoding', 'chunked')).toThrow(failure('ERR_HTTP_HEADER_NAME'));
  });
});

describe('an answer in pieces', () => {
  test('begins with the first one', () => {
    const { exchange, response } = answerOf();
    response.setHeader('a', '1');
    expect(response.write('one')).toBe(true);
    expect(response.write('')).toBe(true);
    expect(response.write(Buffer.from('two'))).toBe(true);
    expect(response.ended).toBe(false);
    expect(response.end('three')).toBe(true);
    expect(exchange.told).toEqual([
      { begin: 200, reason: '', fields: ['a', '1'] },
      { write: 'one' },
      { write: Buffer.from('two') },
      { end: 'three', trailers: undefined },
    ]);
  });

  test('says when the client does not keep up', async () => {
    const { exchange, response } = answerOf();
    exchange.hasRoom = false;
    expect(response.write('x')).toBe(false);
    const drained = response.drain();
    exchange.flow();
    await drained;
    expect(response.write('y')).toBe(true);
  });

  test('says no when the client has gone, and drains at once', async () => {
    const { exchange, response } = answerOf();
    response.write('x');
    exchange.goAway();
    expect([response.write('y'), response.writable]).toEqual([false, false]);
    await response.drain();
    expect(exchange.told).toHaveLength(2);
  });

  test('after its end takes nothing, without an error', () => {
    const { exchange, response } = answerOf();
    response.end('x');
    expect([response.write('y'), response.end('z'), response.end(), response.json(1), response.redirect('/')]).toEqual(
      new Array(5).fill(false),
    );
    expect(response.fail(500, 'x')).toBe(false);
    response.destroy();
    expect(exchange.told).toHaveLength(1);
    expect(() => response.setHeader('a', '1')).toThrow(SENT);
    expect(() => response.trailer('a', '1')).toThrow(failure('ERR_HTTP_ANSWER_ENDED'));
  });

  test('that is given up is cut off, once', () => {
    const { exchange, response } = answerOf();
    response.write('x');
    response.destroy();
    response.destroy();
    expect([response.write('y'), response.end(), response.ended]).toEqual([false, false, true]);
    expect(exchange.told.slice(2)).toEqual([{ abort: true }]);
  });

  test.each([204, 304])('of status %d has no body whatever is written', (status) => {
    const { exchange, response } = answerOf();
    response.statusCode = status;
    response.write('x');
    response.write('y');
    expect(response.end('z')).toBe(true);
    expect(exchange.told).toEqual([{ respond: status, reason: '', fields: [], body: '' }]);
  });

  test('to HEAD has its head alone', () => {
    const { exchange, response } = answerOf({ method: 'HEAD' });
    response.setHeader('content-length', 10);
    response.write('x');
    response.end('y');
    expect(exchange.told).toEqual([
      { begin: 200, reason: '', fields: ['content-length', '10'] },
      { end: undefined, trailers: undefined },
    ]);
  });
});

describe('content-length', () => {
  test('may be said, as a number or a string, if it is right', () => {
    for (const [length, body] of [
      [3, 'abc'],
      ['2', 'ä'],
      [0, ''],
    ] as const) {
      const { exchange, response } = answerOf();
      response.setHeader('Content-Length', length).end(body);
      expect(exchange.told).toEqual([{ respond: 200, reason: '', fields: ['content-length', String(length)], body }]);
    }
  });

  test.each(['', '-1', '+1', '1.5', '0x1', '1e3', 'x', ' 1', '1, 1', -1, 1.5, Number.NaN, 2 ** 53, ['1', '2'], ['1']])(
    'cannot be %j',
    (value) => {
      const { response } = answerOf();
      expect(() => response.setHeader('content-length', value)).toThrow(/ERR|content-length/);
      expect(response.hasHeader('content-length')).toBe(false);
    },
  );

  test('of another length than the body sends nothing', () => {
    const { exchange, response } = answerOf();
    response.setHeader('content-length', 5);
    expect(() => response.end('abc')).toThrow(
      failure('ERR_HTTP_CONTENT_LENGTH', { declared: '5', received: '3 bytes' }),
    );
    expect(exchange.told).toEqual([]);
    expect(response.fail(500, 'Internal Server Error')).toBe(true);
    expect(exchange.fields).toEqual(['content-type', 'text/plain; charset=utf-8']);
  });

  test('is the most that can be written', () => {
    const { exchange, response } = answerOf();
    response.setHeader('content-length', 5);
    response.write('abc');
    expect(() => response.write('def')).toThrow(failure('ERR_HTTP_CONTENT_LENGTH', { received: '6 bytes' }));
    expect(response.end('de')).toBe(true);
    expect(String(exchange.sent)).toBe('abcde');
  });

  test('that is not reached cuts the answer off', () => {
    const { exchange, response } = answerOf();
    response.setHeader('content-length', 5).write('abc');
    expect(() => response.end()).toThrow(failure('ERR_HTTP_CONTENT_LENGTH'));
    expect(exchange.told.at(-1)).toEqual({ abort: true });
  });

  test('that was removed, or added twice, counts as the last word says', () => {
    const { response } = answerOf();
    response.setHeader('content-length', 5).removeHeader('content-length').end('abc');
    const other = answerOf();
    other.response.appendHeader('content-length', 5).appendHeader('content-length', 3).end('abc');
    expect(other.exchange.fields).toEqual(['content-length', '3']);
  });

  test('is what the user says to HEAD, and of 204 there is none', () => {
    const head = answerOf({ method: 'HEAD' });
    head.response.setHeader('content-length', 99).end();
    expect(head.exchange.fields).toEqual(['content-length', '99']);
    const { exchange, response } = answerOf();
    response.statusCode = 204;
    response.setHeader('content-length', 0).end();
    expect(exchange.told).toEqual([{ respond: 204, reason: '', fields: [], body: '' }]);
  });
});

describe('trailers', () => {
  test('come behind the body, however it was sent', () => {
    const { exchange, response } = answerOf();
    response.write('a');
    response.trailer('X-Sum', 1).trailer('x-b', '2').end('b');
    expect(exchange.told.at(-1)).toEqual({ end: 'b', trailers: ['x-sum', '1', 'x-b', '2'] });
    const whole = answerOf();
    whole.response.trailer('a', 'b').end('body');
    expect(whole.exchange.told).toEqual([
      { begin: 200, reason: '', fields: [] },
      { end: 'body', trailers: ['a', 'b'] },
    ]);
  });

  test('go nowhere in HTTP/1.0 and where there is no body', () => {
    const old = answerOf({ httpVersion: '1.0' });
    old.response.trailer('a', 'b').end('x');
    expect(old.exchange.told.at(-1)).toEqual({ end: 'x', trailers: undefined });
    const head = answerOf({ method: 'HEAD' });
    head.response.trailer('a', 'b').end('x');
    expect(head.exchange.told).toEqual([{ respond: 200, reason: '', fields: [], body: 'x' }]);
  });

  test.each(['content-length', 'Transfer-Encoding', 'Host', 'set-cookie', 'content-type', 'trailer', 'date'])(
    'cannot be %s',
    (name) => {
      expect(() => answerOf().response.trailer(name, '1')).toThrow(/ERR_HTTP|cannot be/);
    },
  );

  test('need a body without a content-length', () => {
    const { response } = answerOf();
    response.setHeader('content-length', 1);
    expect(() => response.trailer('a', 'b')).toThrow(failure('ERR_HTTP_TRAILER'));
    const other = answerOf();
    other.response.trailer('a', 'b').setHeader('content-length', 1).end('x');
    expect(other.exchange.told).toEqual([
      { begin: 200, reason: '', fields: [] },
      { end: 'x', trailers: ['a', 'b'] },
    ]);
  });
});

describe('an interim answer', () => {
  test('goes before the answer', () => {
    const { exchange, response } = answerOf();
    expect(response.inform(103, { Link: ['</a>', '</b>'], 'X-N': 1 })).toBe(true);
    response.end();
    expect(exchange.told[0]).toEqual({ inform: 103, fields: ['link', '</a>', 'link', '</b>', 'x-n', '1'] });
  });

  test('does not go to HTTP/1.0', () => {
    const { exchange, response } = answerOf({ httpVersion: '1.0' });
    expect([response.inform(103), exchange.told]).toEqual([false, []]);
  });

  test.each([100, 101, 200, 99, 103.5])('cannot have the status %d', (status) => {
    expect(() => answerOf().response.inform(status)).toThrow(failure('ERR_HTTP_STATUS'));
  });
});

describe('a redirect', () => {
  test.each([
    ['/a?b#c', '/a?b#c'],
    ['https://example.com/ä b', 'https://example.com/%C3%A4%20b'],
    ['/100%', '/100%25'],
    ['/%41%zz', '/%41%25zz'],
    ['/a\r\nset-cookie: x=1', '/a%0D%0Aset-cookie:%20x=1'],
    ['/\\evil.com', '/%5Cevil.com'],
    ['/<script>"\'', "/%3Cscript%3E%22'"],
    ['http://[::1]:80/', 'http://[::1]:80/'],
    ['/\ud800', '/%EF%BF%BD'],
    ['/😀', '/%F0%9F%98%80'],
    ['/\0', '/%00'],
    ['', ''],
  ])('to %j has the location %j', (url, location) => {
    const { exchange, response } = answerOf();
    expect(response.redirect(url)).toBe(true);
    expect(exchange.told).toEqual([{ respond: 302, reason: '', fields: ['location', location], body: '' }]);
  });

  test.each([301, 303, 307, 308])('may have the status %d', (status) => {
    const { exchange, response } = answerOf();
    response.redirect('/', status);
    expect(exchange.told[0]).toMatchObject({ respond: status });
  });

  test('cannot have another status, or go to no text', () => {
    const { exchange, response } = answerOf();
    for (const status of [200, 300, 304, 305, 306, 309, 302.5]) {
      expect(() => response.redirect('/', status)).toThrow(failure('ERR_HTTP_STATUS'));
    }
    expect(() => response.redirect(undefined as never)).toThrow(failure('ERR_HTTP_HEADER_VALUE', { name: 'location' }));
    expect(exchange.told).toEqual([]);
  });
});

describe('a handler that fails', () => {
  test('has an answer of its own where nothing was sent', () => {
    const { exchange, response } = answerOf();
    response.statusCode = 201;
    response.statusMessage = 'x';
    response.setHeader('set-cookie', 'secret').setHeader('content-length', 3);
    expect(response.fail(503, 'Busy', ['retry-after', '1'])).toBe(true);
    expect(exchange.told).toEqual([
      {
        respond: 503,
        reason: '',
        fields: ['content-type', 'text/plain; charset=utf-8', 'retry-after', '1'],
        body: 'Busy\n',
      },
    ]);
    expect(response.end()).toBe(false);
  });

  test('is told by the end of the connection where the head was sent', () => {
    const { exchange, response } = answerOf();
    response.write('x');
    expect(response.fail(500, 'x')).toBe(true);
    expect(exchange.told.at(-1)).toEqual({ abort: true });
  });
});

describe('as a stream', () => {
  test('an answer is the end of a pipeline', async () => {
    const { exchange, response } = answerOf();
    await pipeline(Readable.from(['a', 'b', 'c'].map((it) => Buffer.from(it))), response.stream);
    expect(response.stream).toBe(response.stream);
    expect([String(exchange.sent), response.ended]).toEqual(['abc', true]);
  });

  test('it waits for a client that does not keep up', async () => {
    const { exchange, response } = answerOf();
    exchange.hasRoom = false;
    const done = pipeline(Readable.from([Buffer.from('a'), Buffer.from('b')]), response.stream);
    await new Promise((resolve) => setImmediate(resolve));
    expect(String(exchange.sent)).toBe('a');
    exchange.flow();
    await done;
    expect(String(exchange.sent)).toBe('ab');
  });

  test('it ends with the client', async () => {
    const { exchange, response } = answerOf();
    const done = pipeline(new Readable({ read: () => undefined }), response.stream);
    exchange.goAway();
    await expect(done).rejects.toMatchObject({ code: 'ERR_HTTP_CLIENT_GONE' });
  });

  test('a source that fails cuts the answer off', async () => {
    const { exchange, response } = answerOf();
    response.write('x');
    const source = new Readable({ read: () => source.destroy(new Error('broken')) });
    await expect(pipeline(source, response.stream)).rejects.toThrow('broken');
    expect(exchange.told.at(-1)).toEqual({ abort: true });
  });

  test('a body longer than declared is an error of the pipeline', async () => {
    const { response } = answerOf();
    response.setHeader('content-length', 1);
    await expect(pipeline(Readable.from([Buffer.from('ab')]), response.stream)).rejects.toMatchObject({
      code: 'ERR_HTTP_CONTENT_LENGTH',
    });
  });
});

describe('server-sent events', () => {
  test('begin at once, with the headers they need', () => {
    const { exchange, response } = answerOf();
    response.setHeader('Content-Length', 5);
    const events = response.sse();
    expect(exchange.told).toEqual([
      {
        begin: 200,
        reason: '',
        fields: ['content-type', 'text/event-stream', 'cache-control', 'no-store', 'x-accel-buffering', 'no'],
      },
    ]);
    expect(events.closed.aborted).toBe(false);
  });

  test.each([
    [{ data: 'a' }, 'data: a\n\n'],
    [{ data: '' }, 'data: \n\n'],
    [{ data: 'a\nb\r\nc\rd\n' }, 'data: a\ndata: b\ndata: c\ndata: d\ndata: \n\n'],
    [{ event: 'e', id: '1', retry: 5, data: 'x' }, 'event: e\nid: 1\nretry: 5\ndata: x\n\n'],
    [{ id: '' }, 'id: \n\n'],
    [{ data: 'x\n\nevent: evil' }, 'data: x\ndata: \ndata: event: evil\n\n'],
  ])('%j is written as %j', (event, text) => {
    const { exchange, response } = answerOf();
    expect(response.sse().send(event)).toBe(true);
    expect(exchange.told[1]).toEqual({ write: text });
  });

  test.each([
    { event: 'a\nb' },
    { event: 'a\rb' },
    { id: 'a\nb' },
    { id: 'a\0' },
    { id: 1 },
    { retry: -1 },
    { retry: 1.5 },
    { retry: '1\ndata: x' },
    { data: 1 },
  ])('%j is no event', (event) => {
    const { exchange, response } = answerOf();
    const events = response.sse();
    expect(() => events.send(event as never)).toThrow(failure('ERR_HTTP_SSE', { field: Object.keys(event)[0] }));
    expect(exchange.told).toHaveLength(1);
  });

  test('comments keep within their lines', () => {
    const { exchange, response } = answerOf();
    const events = response.sse();
    events.comment('a\ndata: b');
    events.comment();
    expect(exchange.told.slice(1)).toEqual([{ write: ':a\n:data: b\n\n' }, { write: ':\n\n' }]);
  });

  test.each(['close', 'end', 'gone'])('are over with "%s"', (how) => {
    const { exchange, response } = answerOf();
    const events = response.sse();
    if (how === 'close') events.close();
    else if (how === 'end') response.end();
    else exchange.goAway();
    expect(events.closed.aborted).toBe(true);
    expect([events.send({ data: 'x' }), events.comment()]).toEqual([false, false]);
    expect(exchange.told.some((it) => 'write' in it)).toBe(false);
  });

  test('wait for a client that does not keep up', async () => {
    const { exchange, response } = answerOf();
    const events = response.sse();
    exchange.hasRoom = false;
    expect(events.send({ data: 'x' })).toBe(false);
    const drained = events.drain();
    exchange.flow();
    await drained;
    expect(events.send({ data: 'y' })).toBe(true);
  });

  test('join rooms while they last, where their protocol has rooms', () => {
    const { exchange, response } = answerOf();
    const joined: string[] = [];
    const join = (room: string): boolean => joined.push(room) > 0;
    const events = response.sse();
    expect(() => events.join('news')).toThrow(failure('ERR_HTTP_SSE', { field: 'join' }));
    Object.assign(exchange, { join });
    expect(events.join('news')).toBe(true);
    expect(() => events.join('')).toThrow(failure('ERR_ROOM_NAME'));
    events.close();
    expect([events.join('late'), joined]).toEqual([false, ['news']]);
  });

  test('say a word to a client that has ended its side, and end when their process leaves', () => {
    const { exchange, response } = answerOf();
    const listeners: Record<string, () => void> = {};
    Object.assign(exchange, {
      onHalfClosed: (listener: () => void) => Object.assign(listeners, { halfClosed: listener }),
      onLeaving: (listener: () => void) => Object.assign(listeners, { leaving: listener }),
    });
    const events = response.sse();
    listeners['halfClosed']?.();
    expect(exchange.told.at(-1)).toEqual({ write: ':\n\n' });
    listeners['leaving']?.();
    expect([events.closed.aborted, 'end' in (exchange.told.at(-1) ?? {})]).toEqual([true, true]);
  });
});
