import { randomBytes } from 'node:crypto';
import * as zlib from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { availableEncodings, Compression, type CompressionOptions, type Encoding } from '../../src/http/compression.js';
import { defaultRequestLimits, HttpRequest } from '../../src/http/request.js';
import { HttpResponse } from '../../src/http/response.js';
import { chooseEncoding } from '../../src/protocol/http/accept-encoding.js';
import { FakeExchange, type FakeExchangeOptions } from '../helpers/fake-exchange.js';

const decoders: Record<Encoding, (bytes: Buffer) => Buffer> = {
  br: (bytes) => zlib.brotliDecompressSync(bytes),
  zstd: (bytes) => (zlib as unknown as { zstdDecompressSync: (bytes: Buffer) => Buffer }).zstdDecompressSync(bytes),
  gzip: (bytes) => zlib.gunzipSync(bytes),
  deflate: (bytes) => zlib.inflateSync(bytes),
};
const TEXT = 'All work and no play makes Jack a dull boy. '.repeat(100);

function answerOf(accept: string | undefined, options: FakeExchangeOptions = {}, settings: CompressionOptions = {}) {
  const headers = accept === undefined ? [] : ['Accept-Encoding', accept];
  const exchange = new FakeExchange({ headers, ...options });
  const request = new HttpRequest(exchange, () => ({ remoteAddress: '', remotePort: 0 }), defaultRequestLimits);
  const response = new HttpResponse(exchange, request, { compression: new Compression(settings) });
  return { exchange, response: response.setHeader('content-type', 'text/plain') };
}

describe('the choice of an encoding', () => {
  const all = ['br', 'zstd', 'gzip', 'deflate'] as const;
  test.each([
    ['', ''],
    ['gzip', 'gzip'],
    ['GZip', 'gzip'],
    ['x-gzip', 'gzip'],
    ['gzip, deflate, br, zstd', 'br'],
    ['gzip, deflate', 'gzip'],
    ['deflate, gzip', 'gzip'],
    ['gzip;q=0.5, deflate;q=0.9', 'deflate'],
    ['gzip;q=0.5,br;q=0.501', 'br'],
    ['gzip;q=0', ''],
    ['gzip;q=0.000, br;q=0', ''],
    ['*', 'br'],
    ['*;q=0', ''],
    ['*;q=0, gzip', 'gzip'],
    ['br;q=0, *', 'zstd'],
    ['gzip;q=0.3, *;q=0.1', 'gzip'],
    ['identity', ''],
    ['identity;q=0', ''],
    ['identity;q=0, gzip;q=0.1', 'gzip'],
    ['identity;q=0.9, gzip;q=0.5', ''],
    ['identity;q=0.5, gzip;q=0.5', 'gzip'],
    ['gzip ; q=1', 'gzip'],
    ['gzip;\tQ=1.000', 'gzip'],
    ['gzip;q=1.1', ''],
    ['gzip;q=0.1234', ''],
    ['gzip;q=-1', ''],
    ['gzip;q=', ''],
    ['gzip;x=1', ''],
    [' , ,gzip, ', 'gzip'],
    ['compress, unknown', ''],
    ['__proto__, constructor', ''],
    ['gzip;q=0, gzip;q=1', ''],
  ])('of "%s" is "%s"', (accept, encoding) => {
    expect(chooseEncoding(accept, all)).toBe(encoding === '' ? 'identity' : encoding);
  });

  test('is among those there are', () => {
    expect(chooseEncoding('br, gzip', ['deflate', 'gzip'])).toBe('gzip');
    expect(chooseEncoding('br', ['gzip'])).toBe('identity');
  });
});

describe.each(availableEncodings)('%s', (encoding) => {
  test.each([2000, 4400, 200_000])('of a body of %d bytes can be decoded again', async (length) => {
    const body = TEXT.repeat(50).slice(0, length);
    for (const data of [body, Buffer.from(body)]) {
      const { exchange, response } = answerOf(encoding);
      response.setHeader('content-length', length);
      expect(response.end(data)).toBe(true);
      expect(response.ended).toBe(true);
      await exchange.ended;
      expect(exchange.fields).toEqual([
        ...['content-type', 'text/plain', 'vary', 'Accept-Encoding', 'content-encoding', encoding],
      ]);
      expect(exchange.sent.length).toBeLessThan(length / 4);
      expect(String(decoders[encoding](exchange.sent))).toBe(body);
    }
  });

  test('of a body in pieces can be decoded again, with its trailers', async () => {
    const { exchange, response } = answerOf(encoding);
    for (let i = 0; i < 20; i += 1) if (!response.write(`${i} ${TEXT}`)) await response.drain();
    response.trailer('a', 'b').end('last');
    await exchange.ended;
    expect(exchange.told[0]).toEqual({
      begin: 200,
      reason: '',
      fields: ['content-type', 'text/plain', 'vary', 'Accept-Encoding', 'content-encoding', encoding],
    });
    const expected = `${Array.from({ length: 20 }, (_, i) => `${i} ${TEXT}`).join('')}last`;
    expect(String(decoders[encoding](exchange.sent))).toBe(expected);
    expect(exchange.told.at(-1)).toEqual({ end: undefined, trailers: ['a', 'b'] });
  });

  test('of events reaches the client one by one', async () => {
    const { exchange, response } = answerOf(encoding);
    const events = response.sse();
    expect(exchange.fields).toContain(encoding);
    for (let i = 0; i < 3; i += 1) {
      const before = exchange.told.length;
      events.send({ data: `${i}` });
      await expect.poll(() => exchange.told.length, { interval: 2 }).toBeGreaterThan(before);
    }
    events.close();
    await exchange.ended;
    expect(String(decoders[encoding](exchange.sent))).toBe('data: 0\n\ndata: 1\n\ndata: 2\n\n');
  });
});

describe('an answer is sent as it is', () => {
  const large = TEXT;
  const VARY = ['vary', 'Accept-Encoding'];
  test.each<[string, string | undefined, (response: HttpResponse) => unknown, readonly string[]]>([
    ['where the client wants no encoding', undefined, (r) => r.end(large), VARY],
    ['where the client knows none of ours', 'compress', (r) => r.end(large), VARY],
    ['where it is short', 'gzip', (r) => r.end('x'.repeat(1023)), []],
    ['where it is declared to be short', 'gzip', (r) => r.setHeader('content-length', 3) && r.write('abc'), []],
    ['where it is no text', 'gzip', (r) => r.setHeader('content-type', 'image/png').end(large), []],
    ['where it has no type', 'gzip', (r) => r.removeHeader('content-type').end(large), []],
    ['where it is encoded', 'gzip', (r) => r.setHeader('content-encoding', 'br').end(large), []],
    ['where it is a range', 'gzip', (r) => r.setHeader('content-range', 'bytes 0-1/2').end(large), []],
    ['where nobody may change it', 'gzip', (r) => r.setHeader('cache-control', 'public, No-Transform').end(large), []],
  ])('%s', (_title, accept, answer, vary) => {
    const { exchange, response } = answerOf(accept);
    answer(response);
    expect(exchange.fields.filter((_, at) => exchange.fields[at - (at % 2)] === 'vary')).toEqual(vary);
    expect(exchange.fields).not.toContain('gzip');
    const sent = String(exchange.sent);
    expect(large.startsWith(sent) || /^x+$|^abc$/.test(sent)).toBe(true);
  });

  test.each([204, 206, 304])('where its status is %d', (status) => {
    const { exchange, response } = answerOf('gzip');
    response.statusCode = status;
    response.end(TEXT);
    expect(exchange.fields).toEqual(['content-type', 'text/plain']);
  });
});

describe('to HEAD', () => {
  test('the head is that of the GET, without a length nobody knows', () => {
    const { exchange, response } = answerOf('gzip', { method: 'HEAD' });
    response.setHeader('content-length', TEXT.length).end(TEXT);
    expect(exchange.told).toEqual([
      {
        begin: 200,
        reason: '',
        fields: ['content-type', 'text/plain', 'vary', 'Accept-Encoding', 'content-encoding', 'gzip'],
      },
      { end: undefined, trailers: undefined },
    ]);
  });

  test('in pieces too', () => {
    const { exchange, response } = answerOf('gzip', { method: 'HEAD' });
    response.write('x');
    response.end('y');
    expect(exchange.fields).toContain('gzip');
    expect(exchange.told.at(-1)).toEqual({ end: undefined, trailers: undefined });
    expect(String(exchange.sent)).toBe('');
  });
});

describe('the fields', () => {
  test.each([
    ['Origin', 'Origin, Accept-Encoding'],
    ['accept-encoding', 'accept-encoding'],
    ['Origin, Accept-Encoding', 'Origin, Accept-Encoding'],
    ['*', '*'],
    ['', 'Accept-Encoding'],
  ])('vary: %s becomes %s', (before, after) => {
    const { exchange, response } = answerOf('gzip');
    response.setHeader('vary', before).end(TEXT);
    expect(exchange.fields.filter((_, at) => exchange.fields[at - 1] === 'vary')).toEqual([after]);
  });

  test.each([
    ['"a"', 'W/"a"'],
    ['W/"a"', 'W/"a"'],
  ])('etag %s becomes %s', (before, after) => {
    const { exchange, response } = answerOf('gzip');
    response.setHeader('etag', before).end(TEXT);
    expect(exchange.fields[exchange.fields.indexOf('etag') + 1]).toBe(after);
  });

  test('keep a strong etag where nothing was encoded', () => {
    const { exchange, response } = answerOf('identity');
    response.setHeader('etag', '"a"').end(TEXT);
    expect(exchange.fields).toContain('"a"');
  });
});

describe('while the thread pool works', () => {
  test('the answer has ended for its user, and later ones cannot be given', async () => {
    const { exchange, response } = answerOf('gzip');
    response.end(TEXT.repeat(50));
    expect([exchange.told, response.ended, response.headersSent]).toEqual([[], true, true]);
    expect([response.end('x'), response.fail(500, 'x')]).toEqual([false, false]);
    await exchange.ended;
    expect(exchange.told).toHaveLength(1);
  });
});

describe('an encoded stream', () => {
  test('waits for a client that does not keep up', async () => {
    const { exchange, response } = answerOf('gzip');
    const noise = randomBytes(64 * 1024);
    exchange.hasRoom = false;
    let waits = 0;
    let isDone = false;
    const done = (async () => {
      for (let i = 0; i < 20; i += 1) {
        if (response.write(noise)) continue;
        waits += 1;
        await response.drain();
      }
      response.end();
      isDone = true;
    })();
    await expect.poll(() => exchange.told.length).toBe(2);
    await new Promise((resolve) => setImmediate(resolve));
    expect([isDone, exchange.told.length]).toEqual([false, 2]);
    exchange.flow();
    await done;
    await exchange.ended;
    expect(waits).toBeGreaterThan(0);
    expect(zlib.gunzipSync(exchange.sent).equals(Buffer.concat(new Array<Buffer>(20).fill(noise)))).toBe(true);
  });

  test('of a client that goes ends its waiting', async () => {
    const { exchange, response } = answerOf('gzip');
    exchange.hasRoom = false;
    while (response.write(randomBytes(64 * 1024)));
    const drained = response.drain();
    exchange.goAway();
    await drained;
    expect(response.write('x')).toBe(false);
  });

  test('holds the user to a declared length', () => {
    const { response } = answerOf('gzip');
    response.setHeader('content-length', 2000).write('x'.repeat(1999));
    expect(() => response.write('yz')).toThrow(expect.objectContaining({ code: 'ERR_HTTP_CONTENT_LENGTH' }));
  });
});

describe('the settings', () => {
  test('say what is compressed, and how', () => {
    const body = 'x'.repeat(20);
    const compress = (settings: CompressionOptions, type: string) => {
      const { exchange, response } = answerOf('br, gzip', {}, { threshold: 20, ...settings });
      response.setHeader('content-type', type).end(body);
      return exchange.fields.filter((_, at) => exchange.fields[at - 1] === 'content-encoding').join();
    };
    expect(compress({ encodings: ['gzip'] }, 'text/plain')).toBe('gzip');
    expect(compress({ encodings: ['gzip', 'br'] }, 'text/plain')).toBe('br');
    expect(compress({ encodings: [] }, 'text/plain')).toBe('');
    expect(compress({ threshold: 21 }, 'text/plain')).toBe('');
    expect(compress({ types: ['image/*', 'A/B'] }, 'image/png')).toBe('br');
    expect(compress({ types: ['image/*', 'A/B'] }, 'a/b; c=d')).toBe('br');
    expect(compress({ types: ['image/*'] }, 'text/plain')).toBe('');
    expect(compress({ types: (type) => type === 'x/y' }, 'X/Y ;z')).toBe('br');
    expect(compress({}, 'application/problem+json')).toBe('br');
    expect(compress({}, 'image/svg+xml')).toBe('br');
    expect(compress({}, 'video/mp4')).toBe('');
  });

  test.each<[unknown, string]>([
    [{ threshold: -1 }, 'compression.threshold'],
    [{ threshold: '1k' }, 'compression.threshold'],
    [{ encodings: ['lzw'] }, 'compression.encodings'],
    [{ encodings: 'gzip' }, 'compression.encodings'],
    [{ types: 'text/plain' }, 'compression.types'],
    [{ types: [1] }, 'compression.types'],
    [{ levels: { gzip: 10 } }, 'compression.levels.gzip'],
    [{ levels: { br: 1.5 } }, 'compression.levels.br'],
    [{ levels: { lzw: 1 } }, 'compression.levels.lzw'],
  ])('%j are refused', (settings, name) => {
    expect(() => new Compression(settings as CompressionOptions)).toThrow(
      expect.objectContaining({ code: 'ERR_OPTION_VALUE', detail: expect.objectContaining({ name }) }),
    );
  });

  test('many clients with headers of their own do not fill the memory', () => {
    const compression = new Compression();
    for (let i = 0; i < 1000; i += 1) {
      const fields = ['content-type', `text/x-${i}`];
      expect(compression.apply(fields, 5000, `x-${i}, gzip`)).toBe('gzip');
    }
  });
});
