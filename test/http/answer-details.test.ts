import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as zlib from 'node:zlib';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { availableEncodings, Compression, type CompressionOptions } from '../../src/http/compression.js';
import { encodeEvent } from '../../src/http/event-stream.js';
import { indexOfField, removeFields, setField } from '../../src/http/field-list.js';
import { attachment, encodeLocation, fieldList, headerValue } from '../../src/http/header-fields.js';
import { defaultRequestLimits, HttpRequest } from '../../src/http/request.js';
import { findHeader, headerObject } from '../../src/http/request-headers.js';
import { HttpResponse } from '../../src/http/response.js';
import { FakeExchange, type FakeExchangeOptions } from '../helpers/fake-exchange.js';

function answerOf(options: FakeExchangeOptions = {}, compression: CompressionOptions | null = null) {
  const exchange = new FakeExchange(options);
  const request = new HttpRequest(exchange, () => ({ remoteAddress: '', remotePort: 0 }), defaultRequestLimits);
  let ended = 0;
  request.onAnswered(() => ended++);
  const settings = { compression: compression && new Compression(compression) };
  const response = new HttpResponse(exchange, request, settings);
  return { exchange, request, response, ended: () => ended };
}

const failure = (code: string, detail: object = {}) =>
  expect.objectContaining({ code, detail: expect.objectContaining(detail) });

describe('a call that comes too late', () => {
  test.each<[string, (response: HttpResponse) => unknown]>([
    ['statusCode', (response) => (response.statusCode = 404)],
    ['statusMessage', (response) => (response.statusMessage = 'x')],
    ['setHeader()', (response) => response.setHeader('a', 'b')],
    ['appendHeader()', (response) => response.appendHeader('a', 'b')],
    ['removeHeader()', (response) => response.removeHeader('a')],
    ['cookie()', (response) => response.cookie('a', 'b')],
    ['rawCookie()', (response) => response.rawCookie('a', 'b')],
    ['cookie()', (response) => response.clearCookie('a')],
    ['inform()', (response) => response.inform(103)],
    ['sse()', (response) => response.sse()],
    ['detach()', (response) => response.detach()],
    ['json()', (response) => response.json({})],
    ['redirect()', (response) => response.redirect('/')],
  ])('says which one it is: %s', (method, call) => {
    const { response, exchange } = answerOf();
    response.write('begun');
    const told = exchange.told.length;
    expect(() => call(response)).toThrow(failure('ERR_HTTP_HEADERS_SENT', { method }));
    expect(exchange.told).toHaveLength(told);
  });

  test.each<[string, (response: HttpResponse) => unknown]>([
    ['end', (response) => response.end('x')],
    ['write', (response) => response.write('x')],
    ['json', (response) => response.json({})],
    ['redirect', (response) => response.redirect('/')],
    ['sendFile', (response) => response.sendFile('/nowhere')],
    ['fail', (response) => response.fail(500, 'x')],
  ])('behind the end, %s, is false and sends nothing', async (_, call) => {
    const { response, exchange, ended } = answerOf();
    response.end('first');
    expect(await call(response)).toBe(false);
    response.destroy();
    expect([exchange.told.length, ended()]).toEqual([1, 1]);
  });

  test('of a trailer behind the end says so', () => {
    const { response } = answerOf();
    response.end();
    expect(() => response.trailer('a', 'b')).toThrow(failure('ERR_HTTP_ANSWER_ENDED', { method: 'trailer()' }));
  });
});

describe('cookies', () => {
  test('are lines of their own, percent-encoded or as they are', () => {
    const { response } = answerOf();
    response.cookie('a', 'b c').rawCookie('d', 'e%20f').clearCookie('g', { path: '/x' });
    expect(response.getHeader('set-cookie')).toEqual(['a=b%20c', 'd=e%20f', expect.stringMatching(/^g=;.* Path=\/x/i)]);
    const cleared = String((response.getHeader('set-cookie') as string[])[2]);
    expect(cleared).toMatch(/Max-Age=0(;|$)/);
    expect(cleared).toContain('Expires=Thu, 01 Jan 1970 00:00:00 GMT');
  });

  test('may be the first field of all', () => {
    const { response, exchange } = answerOf();
    response.rawCookie('a', 'b').end();
    expect(exchange.fields).toEqual(['set-cookie', 'a=b']);
  });
});

describe('the state of an answer', () => {
  test('is open, under way, and over', () => {
    const { response, ended } = answerOf();
    response.statusMessage = 'Fine';
    expect([response.statusCode, response.statusMessage, response.headersSent, response.ended]).toEqual([
      ...[200, 'Fine', false, false],
    ]);
    response.write('x');
    expect([response.headersSent, response.ended, response.writable, ended()]).toEqual([true, false, true, 0]);
    response.end();
    expect([response.headersSent, response.ended, response.writable, ended()]).toEqual([true, true, false, 1]);
  });

  test('is not writable when the client has gone', () => {
    const { response, exchange } = answerOf();
    exchange.goAway();
    expect([response.writable, response.ended]).toEqual([false, false]);
  });

  test('ends with an answer of its own where its handler fails, with the fields that go with it', () => {
    const { response, exchange, ended } = answerOf();
    response.setHeader('x-a', '1');
    expect(response.fail(503, 'Busy', ['retry-after', '5'])).toBe(true);
    const fields = ['content-type', 'text/plain; charset=utf-8', 'retry-after', '5'];
    expect(exchange.told).toEqual([{ respond: 503, reason: '', fields, body: 'Busy\n' }]);
    expect([ended(), response.fail(500, 'again')]).toEqual([1, false]);
  });

  test('is cut off where it is given up, once, whether it has begun or not', () => {
    for (const begins of [false, true]) {
      const { response, exchange, ended } = answerOf();
      if (begins) response.write('x');
      response.destroy();
      response.destroy();
      expect([exchange.told.at(-1), ended(), response.ended]).toEqual([{ abort: true }, 1, true]);
      expect(exchange.told).toHaveLength(begins ? 3 : 1);
    }
  });
});

describe('headers of several lines', () => {
  test('are replaced by one, and one by several', () => {
    const { response } = answerOf();
    response.setHeader('a', ['1', '2']).setHeader('b', 'x').appendHeader('A', ['3', '4']);
    expect(response.getHeader('a')).toEqual(['1', '2', '3', '4']);
    response.setHeader('A', 'one');
    expect([response.getHeader('a'), response.hasHeader('A'), response.hasHeader('c')]).toEqual(['one', true, false]);
    response.setHeader('a', []);
    expect([response.getHeader('a'), response.getHeaders()]).toEqual([undefined, expect.objectContaining({ b: 'x' })]);
  });

  test('stand where the first stood', () => {
    const fields = ['a', '1', 'b', '2', 'a', '3', 'c', '4', 'a', '5'];
    setField(fields, 'a', '9');
    expect(fields).toEqual(['a', '9', 'b', '2', 'c', '4']);
    expect([indexOfField(fields, 'a'), indexOfField(fields, 'c'), indexOfField(fields, '9')]).toEqual([0, 4, -1]);
    removeFields(fields, 'b');
    expect(fields).toEqual(['a', '9', 'c', '4']);
    removeFields(fields, 'z');
    expect(fields).toEqual(['a', '9', 'c', '4']);
  });

  test('of a number are text', () => {
    expect([headerValue('a', 5), headerValue('a', 0.5), headerValue('a', '')]).toEqual(['5', '0.5', '']);
    for (const value of [Number.NaN, Number.POSITIVE_INFINITY, null, true, 'a\nb', '\u0100', '\x7f', '\0']) {
      expect(() => headerValue('a', value)).toThrow(failure('ERR_HTTP_HEADER_VALUE', { name: 'a' }));
    }
    expect(headerValue('a', '\t ~\x80ÿ')).toBe('\t ~\x80ÿ');
    expect(fieldList({ A: ['1', '2'], b: 3 })).toEqual(['a', '1', 'a', '2', 'b', '3']);
  });

  test('keep within their line, also where the same name had a long or a good value before', () => {
    for (const value of ['good', 'x'.repeat(64), 'x'.repeat(65)]) {
      const { response } = answerOf();
      for (let i = 0; i < 3; i++) expect(response.setHeader('x-kept', value).getHeader('x-kept')).toBe(value);
      expect(() => response.setHeader('x-kept', `${value}\r\n`)).toThrow(failure('ERR_HTTP_HEADER_VALUE'));
    }
  });
});

describe('trailers', () => {
  test.each([
    ...['age', 'authorization', 'cache-control', 'connection', 'content-encoding', 'content-length', 'content-range'],
    ...['content-type', 'date', 'expires', 'host', 'keep-alive', 'location', 'proxy-authenticate', 'retry-after'],
    ...['set-cookie', 'te', 'trailer', 'upgrade', 'vary', 'www-authenticate', 'Content-Type'],
  ])('%s is none', (name) => {
    const { response } = answerOf();
    expect(() => response.trailer(name, 'x')).toThrow(failure('ERR_HTTP_TRAILER', { name: name.toLowerCase() }));
  });

  test('transfer-encoding is none either, for it is of the server', () => {
    expect(() => answerOf().response.trailer('Transfer-Encoding', 'x')).toThrow(failure('ERR_HTTP_HEADER_NAME'));
  });
});

describe('a URL to go to', () => {
  test.each([
    ['/a b', '/a%20b'],
    ['/%zz%41%', '/%25zz%41%25'],
    ['/ü?q=<>&x={}', '/%C3%BC?q=%3C%3E&x=%7B%7D'],
    ['\\\\evil', '%5C%5Cevil'],
    ["https://h:1/p;a=b,c!$&'()*+@[::1]#f_~", "https://h:1/p;a=b,c!$&'()*+@[::1]#f_~"],
    ['/\ud800', '/%EF%BF%BD'],
    ['/\r\nx: y', '/%0D%0Ax:%20y'],
  ])('%j is sent as %s', (url, sent) => {
    expect(encodeLocation(url)).toBe(sent);
  });

  test.each([301, 302, 303, 307, 308])('may be with the status %d', (status) => {
    const { response, exchange } = answerOf();
    response.redirect('/x', status);
    expect(exchange.told).toEqual([{ respond: status, reason: '', fields: ['location', '/x'], body: '' }]);
  });

  test.each([300, 304, 305, 306, 309, 200])('may not be with the status %d', (status) => {
    expect(() => answerOf().response.redirect('/x', status)).toThrow(failure('ERR_HTTP_STATUS'));
  });
});

describe('a file to save', () => {
  test.each([
    ['a.txt', 'attachment; filename="a.txt"'],
    ['a"b\\c%.txt', `attachment; filename="a_b_c_.txt"; filename*=UTF-8''a%22b%5Cc%25.txt`],
    ["ü('*).txt", `attachment; filename="_('*).txt"; filename*=UTF-8''%C3%BC%28%27%2A%29.txt`],
    ['~ \t', `attachment; filename="~ _"; filename*=UTF-8''~%20%09`],
  ])('%j has the field %s', (name, field) => {
    expect(attachment(name)).toBe(field);
  });
});

describe('the file that an answer sends', () => {
  let folder: string;
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'details-'));
    writeFileSync(join(folder, 'a.txt'), 'content');
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  test('has the fields of its user where the server has its own, once each', async () => {
    const { response, exchange, ended } = answerOf();
    response.setHeader('content-type', 'a/b').setHeader('cache-control', 'no-cache').setHeader('etag', '"mine"');
    response.setHeader('last-modified', 'x').setHeader('accept-ranges', 'none').setHeader('x-a', '1');
    response.setHeader('content-length', 7);
    await response.sendFile(join(folder, 'a.txt'));
    const names = exchange.fields.filter((_, at) => at % 2 === 0);
    expect(new Set(names).size).toBe(names.length);
    const value = (name: string): string | undefined => exchange.fields[exchange.fields.indexOf(name) + 1];
    expect(['content-type', 'cache-control', 'etag', 'x-a', 'accept-ranges'].map(value)).toEqual([
      ...['a/b', 'no-cache', '"mine"', '1', 'bytes'],
    ]);
    expect(ended()).toBe(1);
  });

  test('cannot be given twice, and nothing else beside it', async () => {
    const { response, exchange } = answerOf();
    const sending = response.sendFile(join(folder, 'a.txt'));
    expect(() => response.end('x')).toThrow(failure('ERR_HTTP_HEADERS_SENT', { method: 'end() during sendFile()' }));
    await expect(response.sendFile(join(folder, 'a.txt'))).rejects.toMatchObject({
      ...{ code: 'ERR_HTTP_HEADERS_SENT', detail: { method: 'sendFile()' } },
    });
    expect(response.headersSent).toBe(false);
    expect(await sending).toBe(true);
    expect(exchange.told.filter((told) => 'writeFile' in told)).toHaveLength(1);
  });

  test('that is not there leaves the answer open, and one given up meanwhile stays so', async () => {
    const { response, exchange } = answerOf();
    await expect(response.sendFile(join(folder, 'none'))).rejects.toMatchObject({ code: 'ERR_FILE' });
    expect(response.end('other')).toBe(true);
    expect(exchange.told).toEqual([{ respond: 200, reason: '', fields: [], body: 'other' }]);
    const given = answerOf();
    const sending = given.response.sendFile(join(folder, 'a.txt'));
    given.response.destroy();
    expect(await sending).toBe(false);
    expect(given.exchange.told).toEqual([{ abort: true }]);
  });
});

describe('compression', () => {
  const long = 'x'.repeat(4000);
  const send = (type: string, options: CompressionOptions = {}, accept = 'gzip'): readonly string[] => {
    const { response, exchange } = answerOf({ headers: ['accept-encoding', accept] }, options);
    response.setHeader('content-type', type).end(long);
    return exchange.fields;
  };

  test.each([
    ...['application/json', 'application/javascript', 'application/xml', 'application/wasm', 'application/rtf'],
    ...['application/x-javascript', 'application/x-www-form-urlencoded', 'application/graphql', 'application/yaml'],
    ...['application/manifest+json', 'application/vnd.ms-fontobject', 'font/ttf', 'font/otf', 'image/bmp'],
    ...['image/x-icon', 'application/x-ndjson', 'application/toml', 'application/sql', 'image/svg+xml', 'text/css'],
    ...['application/problem+json', 'a/b+text', 'Text/HTML; charset=utf-8', ' text/plain ;x'],
  ])('is for %s', (type) => {
    expect(send(type)).toContain('content-encoding');
  });

  test.each(['image/png', 'video/mp4', 'font/woff2', 'application/zip', 'application/octet-stream', 'textile/x', ''])(
    'is not for "%s"',
    (type) => {
      expect(send(type)).toEqual(['content-type', type]);
    },
  );

  test.each([
    ['br', 0, 11, 4, zlib.brotliDecompressSync],
    ['gzip', 1, 9, 6, zlib.gunzipSync],
    ['deflate', 1, 9, 6, zlib.inflateSync],
  ] as const)(
    '%s has the levels %d to %d, and %d where nothing is said',
    async (encoding, least, most, usual, decode) => {
      const body = Buffer.from(Array.from({ length: 3000 }, (_, i) => `${(i * 7919) % 1013},`).join(''));
      const coded = (levels: Record<string, number> = {}): Promise<Buffer> =>
        new Promise((resolve, reject) =>
          new Compression({ levels }).compress(encoding, body, (error, result) =>
            error ? reject(error) : resolve(result),
          ),
        );
      for (const level of [least, most]) expect(decode(await coded({ [encoding]: level }))).toEqual(body);
      for (const level of [least - 1, most + 1, 1.5, '1' as never]) {
        expect(() => new Compression({ levels: { [encoding]: level } })).toThrow(
          failure('ERR_OPTION_VALUE', { name: `compression.levels.${encoding}`, expected: `${least} to ${most}` }),
        );
      }
      expect(await coded()).toEqual(await coded({ [encoding]: usual }));
      expect(await coded()).not.toEqual(await coded({ [encoding]: most }));
    },
  );

  test('has no level of a coding that there is not', () => {
    expect(() => new Compression({ levels: { lzma: 1 } as never })).toThrow(
      failure('ERR_OPTION_VALUE', { name: 'compression.levels.lzma', expected: 'left out' }),
    );
  });

  test.each([
    ['threshold', [-1, 0.5, '1', null], 'a number of bytes'],
    ['types', ['text/*', [1], 5], 'a list of media types, or a function'],
    ['encodings', ['gzip', ['lzma'], ['toString'], 5], 'a list of br, zstd, gzip, deflate'],
  ])('says what is wrong with its %s', (name, values, expected) => {
    for (const value of values.filter((one) => one !== null || name !== 'threshold')) {
      expect(() => new Compression({ [name]: value })).toThrow(
        failure('ERR_OPTION_VALUE', { name: `compression.${name}`, expected }),
      );
    }
  });

  test('begins at 1024 bytes, or where the settings say', () => {
    const fieldsOf = (bytes: number, threshold?: number): string[] => {
      const fields = ['content-type', 'text/plain'];
      new Compression({ threshold }).apply(fields, bytes, 'gzip');
      return fields;
    };
    expect([fieldsOf(1023).length, fieldsOf(1024).length]).toEqual([2, 6]);
    expect([fieldsOf(9, 10).length, fieldsOf(10, 10).length, fieldsOf(0, 0).length]).toEqual([2, 6, 6]);
    expect(new Compression().threshold).toBe(1024);
  });

  test('does not change what is sent to clients that want none, but says that it could', () => {
    expect(send('text/plain', {}, 'identity')).toEqual(['content-type', 'text/plain', 'vary', 'Accept-Encoding']);
    expect(send('text/plain', {}, 'lzma')).toEqual(['content-type', 'text/plain', 'vary', 'Accept-Encoding']);
  });

  test.each([
    [
      ['vary', 'Origin'],
      ['vary', 'Origin, Accept-Encoding'],
    ],
    [
      ['vary', ' '],
      ['vary', 'Accept-Encoding'],
    ],
    [
      ['vary', 'accept-ENCODING , x'],
      ['vary', 'accept-ENCODING , x'],
    ],
    [
      ['vary', '*'],
      ['vary', '*'],
    ],
    [
      ['vary', 'a', 'vary', 'b'],
      ['vary', 'a', 'vary', 'b, Accept-Encoding'],
    ],
    [
      ['etag', '"a"'],
      ['etag', 'W/"a"', 'vary', 'Accept-Encoding'],
    ],
    [
      ['etag', 'W/"a"'],
      ['etag', 'W/"a"', 'vary', 'Accept-Encoding'],
    ],
    [
      ['content-length', '4000', 'x-a', '1'],
      ['x-a', '1', 'vary', 'Accept-Encoding'],
    ],
  ])('of an answer with %j leaves %j', (given, left) => {
    const fields = ['content-type', 'text/plain', ...given];
    expect(new Compression().apply(fields, -1, 'gzip')).toBe('gzip');
    expect(fields).toEqual(['content-type', 'text/plain', ...left, 'content-encoding', 'gzip']);
  });

  test.each([
    ['content-encoding', 'br'],
    ['content-range', 'bytes 0-1/2'],
    ['cache-control', 'public, No-Transform'],
    ['content-length', '10'],
  ])('is not for an answer with %s: %s', (name, value) => {
    const fields = ['content-type', 'text/plain', name, value];
    expect(new Compression().apply(fields, -1, 'gzip')).toBe('');
    expect(fields).toEqual(['content-type', 'text/plain', name, value]);
  });

  test('answers the same clients the same, again and again, whatever others sent meanwhile', () => {
    const compression = new Compression();
    for (let round = 0; round < 3; round++) {
      for (let i = 0; i < 100; i++) {
        expect(compression.apply(['content-type', `text/x; n=${i}`], -1, `gzip;q=0.${i + 1}, br;q=0`)).toBe('gzip');
        expect(compression.apply(['content-type', `image/x; n=${i}`], -1, 'gzip')).toBe('');
      }
    }
  });

  test('prefers br to zstd, gzip and deflate where the client takes all', () => {
    expect(availableEncodings.filter((name) => name !== 'zstd')).toEqual(['br', 'gzip', 'deflate']);
    expect(new Compression().apply(['content-type', 'text/x'], -1, 'deflate, gzip, br, zstd')).toBe('br');
    const own = new Compression({ encodings: ['deflate', 'gzip'] });
    expect(own.apply(['content-type', 'text/x'], -1, 'gzip, br')).toBe('gzip');
  });
});

describe('the headers of a request', () => {
  const once = [
    ...['age', 'authorization', 'content-length', 'content-type', 'etag', 'expires', 'from', 'host'],
    ...['if-modified-since', 'if-unmodified-since', 'last-modified', 'location', 'max-forwards', 'retry-after'],
    ...['proxy-authorization', 'referer', 'server', 'user-agent'],
  ];
  test.each(once)('%s counts once: the first', (name) => {
    const raw = [name, '1', 'x', 'y', name.toUpperCase(), '2'];
    expect([headerObject(raw)[name], findHeader(raw, name)]).toEqual(['1', '1']);
  });

  test('others are joined, cookies by a semicolon, and those of Set-Cookie stand in a list', () => {
    const raw = ['accept', 'a', 'Cookie', 'a=1', 'Accept', 'b', 'cookie', 'b=2', 'Set-Cookie', 'c', 'set-cookie', 'd'];
    expect({ ...headerObject(raw) }).toEqual({ accept: 'a, b', cookie: 'a=1; b=2', 'set-cookie': ['c', 'd'] });
    expect([findHeader(raw, 'accept'), findHeader(raw, 'cookie'), findHeader(raw, 'b')]).toEqual([
      ...['a, b', 'a=1; b=2', undefined],
    ]);
    expect(findHeader(['x-one', '1', 'x-two', '2'], 'x-two')).toBe('2');
  });
});

describe('an event', () => {
  test.each([
    [{}, '\n'],
    [
      { event: 'e', id: '7', retry: 0, data: 'a\r\nb\rc\nd' },
      'event: e\nid: 7\nretry: 0\ndata: a\ndata: b\ndata: c\ndata: d\n\n',
    ],
    [{ data: '' }, 'data: \n\n'],
    [{ id: '' }, 'id: \n\n'],
  ])('%j is sent as %j', (event, text) => {
    expect(encodeEvent(event)).toBe(text);
  });

  test.each([
    [{ event: 'a\nb' }, 'event', 'a string without line breaks'],
    [{ id: 'a\0' }, 'id', 'a string without line breaks'],
    [{ id: 5 as never }, 'id', 'a string without line breaks'],
    [{ retry: -1 }, 'retry', 'whole milliseconds'],
    [{ retry: 0.5 }, 'retry', 'whole milliseconds'],
    [{ retry: '1' as never }, 'retry', 'whole milliseconds'],
    [{ data: 5 as never }, 'data', 'a string'],
  ])('%j is refused, and says what was expected', (event, field, expected) => {
    expect(() => encodeEvent(event)).toThrow(
      failure('ERR_HTTP_SSE', { field, expected, received: expect.any(String) }),
    );
  });
});

describe('an absolute URL', () => {
  test.each([
    ['http://h', '/'],
    ['http://h?x', '/'],
    ['http://h/p?x', '/p'],
    ['http://h?a/b', '/'],
    ['/p?http://x/y', '/p'],
    ['*', '*'],
    ['x', 'x'],
    ['?x', '/'],
  ])('%s has the path %s', (target, path) => {
    const request = new HttpRequest(
      new FakeExchange({ target }),
      () => ({ remoteAddress: '', remotePort: 0 }),
      defaultRequestLimits,
    );
    expect(request.path).toBe(path);
  });
});
