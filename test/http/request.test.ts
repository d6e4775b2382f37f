import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parseQuery } from '../../src/http/query.js';
import { defaultRequestLimits, HttpRequest } from '../../src/http/request.js';
import { FakeExchange, type FakeExchangeOptions } from '../helpers/fake-exchange.js';

function requestOf(options: FakeExchangeOptions = {}): {
  request: HttpRequest;
  exchange: FakeExchange;
  asked: () => number;
} {
  const exchange = new FakeExchange(options);
  let count = 0;
  const peerOf = () => {
    count += 1;
    return { remoteAddress: '10.0.0.1', remotePort: 4711 };
  };
  return { exchange, request: new HttpRequest(exchange, peerOf, defaultRequestLimits), asked: () => count };
}

const plain = (value: object) => ({ ...value });

describe('a request', () => {
  test('tells what its exchange knows', () => {
    const { request } = requestOf({ method: 'POST', target: '/a?b=c', httpVersion: '2.0', isEncrypted: true });
    expect([request.method, request.url, request.httpVersion, request.fd, request.isEncrypted]).toEqual([
      'POST',
      '/a?b=c',
      '2.0',
      7,
      true,
    ]);
  });

  test('asks once where the client is, and only when somebody wants to know', () => {
    const { request, asked } = requestOf();
    expect(asked()).toBe(0);
    expect([request.remoteAddress, request.remotePort, request.remoteAddress]).toEqual(['10.0.0.1', 4711, '10.0.0.1']);
    expect(asked()).toBe(1);
  });

  test.each([
    ['/', '/'],
    ['/a/b', '/a/b'],
    ['/a%20b/%2e?x=/y', '/a%20b/%2e'],
    ['/?', '/'],
    ['/a?b?c', '/a'],
    ['//a/b?c', '//a/b'],
    ['*', '*'],
    ['http://example.com', '/'],
    ['http://example.com/', '/'],
    ['http://example.com/a/b?c', '/a/b'],
    ['http://example.com?c=/d', '/'],
    ['https://[::1]:80/x', '/x'],
  ])('of the target %s has the path %s', (target, path) => {
    expect(requestOf({ target }).request.path).toBe(path);
  });
});

describe('the query', () => {
  test('is an object without a prototype, with an array where a name comes again', () => {
    const { request } = requestOf({ target: '/?a=1&b=2&a=3&a=&__proto__=x&toString=y' });
    expect(Object.getPrototypeOf(request.query)).toBe(null);
    expect(plain(request.query)).toEqual(plain({ a: ['1', '3', ''], b: '2', ['__proto__']: 'x', toString: 'y' }));
    expect(Reflect.get(request.query, '__proto__')).toBe('x');
    expect(request.query).toBe(request.query);
  });

  test.each([
    ['/', {}],
    ['/?', {}],
    ['/?&&', {}],
    ['/?=', { '': '' }],
    ['/?=b', { '': 'b' }],
    ['/?a', { a: '' }],
    ['/?a=b=c', { a: 'b=c' }],
    ['/?a+b=c+d%20e%2B', { 'a b': 'c d e+' }],
    ['/?a=%', { a: '%' }],
    ['/?a=%zz%41%c3%a4', { a: '%zzAä' }],
    ['/?a=%ff', { a: '\ufffd' }],
    ['/?a=b?c=d', { a: 'b?c=d' }],
    ['http://h/?a=b', { a: 'b' }],
  ])('of %s is %j', (target, query) => {
    expect(plain(requestOf({ target }).request.query)).toEqual(query);
  });

  test('is what URLSearchParams makes of any query', () => {
    const piece = fc.constantFrom('a', 'b', '=', '&', '+', '%', '%4', '%41', '%C3', '%A4', '%ff', '%00', ';', '?', '#');
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 30 }), (pieces) => {
        const text = pieces.join('');
        const expected = Object.create(null) as Record<string, string | string[]>;
        const params = new URLSearchParams(text.startsWith('?') ? `?${text}` : text);
        for (const name of new Set(params.keys())) {
          const values = params.getAll(name);
          expected[name] = values.length === 1 ? values[0]! : values;
        }
        expect(parseQuery(text)).toEqual(expected);
      }),
      { numRuns: 2000 },
    );
  });
});

describe('headers', () => {
  const headers = [
    ...['Host', 'a', 'HOST', 'b', 'Accept', 'x', 'accept', 'y', 'Cookie', 'a=1', 'cookie', 'b=2'],
    ...[
      'Set-Cookie',
      's',
      'set-cookie',
      't',
      'Content-Type',
      'text/plain',
      'content-type',
      'text/html',
      '__proto__',
      'p',
    ],
  ];

  test('are joined by the rules of Node, with names in lower case and no prototype', () => {
    const { request } = requestOf({ headers });
    expect(Object.getPrototypeOf(request.headers)).toBe(null);
    expect(plain(request.headers)).toEqual({
      host: 'a',
      accept: 'x, y',
      cookie: 'a=1; b=2',
      'set-cookie': ['s', 't'],
      'content-type': 'text/plain',
      ['__proto__']: 'p',
    });
    expect(request.headers).toBe(request.headers);
  });

  test('can be asked for one by one, with the same answer', () => {
    const { request } = requestOf({ headers });
    for (const name of ['host', 'accept', 'cookie', 'content-type', '__proto__', 'missing']) {
      expect(request.header(name)).toBe(request.headers[name]);
    }
  });

  test('are there as they were sent', () => {
    expect(requestOf({ headers }).request.rawHeaders).toBe(headers);
  });

  test('behind the body are trailers', () => {
    const { request } = requestOf({ trailers: ['X-Sum', '1', 'x-sum', '2'] });
    expect(plain(request.trailers)).toEqual({ 'x-sum': '1, 2' });
  });
});

describe('cookies', () => {
  test.each([
    ['a=1; b=2', { a: '1', b: '2' }],
    ['a=1;b=2;', { a: '1', b: '2' }],
    ['a=first; a=second', { a: 'first' }],
    ['a=; a=second', { a: '' }],
    ['a="quoted"; b="', { a: 'quoted', b: '"' }],
    ['a=%C3%A4%20b', { a: 'ä b' }],
    ['a=%zz; b=100%', { a: '%zz', b: '100%' }],
    ['a=b=c', { a: 'b=c' }],
    ['alone; =x; a=1', { a: '1' }],
    ['  a  =  1  ', { a: '1' }],
    ['a=1,b=2', { a: '1,b=2' }],
    ['', {}],
  ])('of "%s" are %j', (cookie, cookies) => {
    expect(plain(requestOf({ headers: ['Cookie', cookie] }).request.cookies)).toEqual(cookies);
  });

  test('are none where the header is missing, and never those of a prototype', () => {
    expect(plain(requestOf().request.cookies)).toEqual({});
    const { cookies } = requestOf({ headers: ['cookie', '__proto__=x; constructor=y'] }).request;
    expect(Object.getPrototypeOf(cookies)).toBe(null);
    expect([Reflect.get(cookies, '__proto__'), cookies['constructor']]).toEqual(['x', 'y']);
  });
});

describe('a body', () => {
  test('that came whole is given as it is, as often as one likes', async () => {
    const { request, exchange } = requestOf({ body: 'abc' });
    expect(await request.body()).toBe(exchange.body.whole);
    expect(await request.body()).toBe(await request.body());
    expect(await request.text()).toBe('abc');
  });

  test('that came in pieces is put together once', async () => {
    const { request, exchange } = requestOf({ body: ['ab', '', 'c'] });
    const [one, two] = await Promise.all([request.body(), request.body()]);
    expect(one).toBe(two);
    expect(String(one)).toBe('abc');
    expect(exchange.body.asked).toBe(4);
  });

  test.each([
    [undefined, 'ä€', 'ä€'],
    ['text/plain; charset=utf-8', '\ufeffä', 'ä'],
    ['text/plain; charset=latin1', Buffer.from([0xe4]), 'ä'],
    ['text/plain;charset="ISO-8859-1"', Buffer.from([0xe4]), 'ä'],
    ['text/plain; CharSet=UTF-16LE', Buffer.from('hé', 'utf16le'), 'hé'],
    ['text/plain', Buffer.from([0xff, 0x41]), '\ufffdA'],
  ])('of type %s is text', async (type, body, text) => {
    const headers = type === undefined ? [] : ['content-type', type];
    expect(await requestOf({ headers, body }).request.text()).toBe(text);
  });

  test('in a charset nobody knows is refused', async () => {
    const { request } = requestOf({ headers: ['content-type', 'text/plain; charset=klingon'], body: 'x' });
    await expect(request.text()).rejects.toMatchObject({
      code: 'ERR_HTTP_BODY_CHARSET',
      detail: { status: 415, charset: 'klingon' },
    });
  });

  test('is JSON, with and without a byte order mark', async () => {
    expect(await requestOf({ body: '{"a":[1]}' }).request.json()).toEqual({ a: [1] });
    expect(await requestOf({ body: ['\ufeff{"a"', ':"ä"}'] }).request.json()).toEqual({ a: 'ä' });
  });

  test.each(['', '{', 'undefined', '{a:1}'])('%j is no JSON', async (body) => {
    await expect(requestOf({ body }).request.json()).rejects.toMatchObject({
      code: 'ERR_HTTP_BODY_JSON',
      detail: { status: 400 },
      cause: expect.any(SyntaxError),
    });
  });

  test('as a stream is read piece by piece, as pieces are taken', async () => {
    const { request, exchange } = requestOf({ body: ['a', 'b', 'c'] });
    const taken: string[] = [];
    for await (const piece of request.stream) {
      taken.push(String(piece));
      expect(exchange.body.asked).toBe(taken.length);
    }
    expect(taken).toEqual(['a', 'b', 'c']);
  });

  test('that came whole is one piece of a stream, an empty one none', async () => {
    const piecesOf = async (body: string) => {
      const pieces: string[] = [];
      for await (const piece of requestOf({ body }).request.stream) pieces.push(String(piece));
      return pieces;
    };
    expect(await piecesOf('abc')).toEqual(['abc']);
    expect(await piecesOf('')).toEqual([]);
  });

  test('that was read as a stream cannot be read again in any way', async () => {
    const { request } = requestOf({ method: 'POST', body: 'abc' });
    for await (const _piece of request.stream) break;
    const used = expect.objectContaining({ code: 'ERR_HTTP_BODY_USED' });
    expect(() => request.stream).toThrow(used);
    expect(() => request.toRequest()).toThrow(used);
    await expect(request.body()).rejects.toThrow(used);
    await expect(request.text()).rejects.toThrow(used);
    await expect(request.json()).rejects.toThrow(used);
  });

  test('that was collected can be read in every way', async () => {
    const { request } = requestOf({ method: 'POST', body: ['{}'] });
    expect(await request.json()).toEqual({});
    const pieces: string[] = [];
    for await (const piece of request.stream) pieces.push(String(piece));
    expect(pieces).toEqual(['{}']);
    expect(await request.toRequest().text()).toBe('{}');
  });

  test('of a client that has gone is an error, for whoever reads it', async () => {
    const gone = Object.assign(new Error('gone'), { code: 'ERR_HTTP_CLIENT_GONE' });
    const first = new FakeExchange({ body: [] });
    const exchange = Object.assign(first, {
      body: new (first.body.constructor as typeof import('../helpers/fake-exchange.js').FakeBody)(null),
    });
    const request = new HttpRequest(exchange, () => ({ remoteAddress: '', remotePort: 0 }), defaultRequestLimits);
    const body = request.body();
    exchange.body.push('a');
    exchange.goAway(gone);
    await expect(body).rejects.toBe(gone);
  });
});

describe('the signal', () => {
  test('is made when it is asked for, and aborts when the client goes', () => {
    const { request, exchange } = requestOf();
    expect(exchange.listened).toBe(0);
    const { signal } = request;
    expect(request.signal).toBe(signal);
    expect([exchange.listened, signal.aborted]).toEqual([1, false]);
    exchange.goAway();
    expect(signal.aborted).toBe(true);
    expect(signal.reason).toMatchObject({ code: 'ERR_HTTP_CLIENT_GONE' });
  });

  test('of a client that has gone before is aborted', () => {
    const { request, exchange } = requestOf();
    exchange.goAway();
    expect(request.signal.aborted).toBe(true);
    let called = 0;
    request.onGone(() => {
      called += 1;
    });
    expect(called).toBe(1);
  });
});

describe('as a web Request', () => {
  test.each([
    [{ target: '/a?b' }, 'http://example.com/a?b'],
    [{ target: '/a', isEncrypted: true, headers: ['Host', 'x:8443'] }, 'https://x:8443/a'],
    [{ target: 'http://other/z' }, 'http://other/z'],
    [{ target: '*', method: 'OPTIONS' }, 'http://example.com/*'],
    [{ target: '//evil/a' }, 'http://example.com//evil/a'],
    [{ target: '/', headers: [] }, 'http://localhost/'],
  ])('of %j it has the url %s', (options, url) => {
    expect(requestOf(options).request.toRequest().url).toBe(url);
  });

  test('it has method, headers, body and signal', async () => {
    const { request, exchange } = requestOf({
      method: 'POST',
      headers: ['Host', 'h', 'X-A', '1', 'x-a', '2'],
      body: ['ab', 'cd'],
    });
    const web = request.toRequest();
    expect([web.method, web.headers.get('x-a')]).toEqual(['POST', '1, 2']);
    expect(await web.text()).toBe('abcd');
    exchange.goAway();
    expect(web.signal.aborted).toBe(true);
  });

  test('the body is read on only as it is taken', async () => {
    const { request, exchange } = requestOf({ method: 'POST', body: ['a', 'b', 'c'] });
    const reader = request.toRequest().body!.getReader();
    expect(exchange.body.asked).toBe(0);
    expect(String(Buffer.from((await reader.read()).value!))).toBe('a');
    expect(exchange.body.asked).toBe(1);
    await reader.cancel();
    expect(exchange.body.asked).toBe(1);
  });

  test('a GET has no body', () => {
    expect(requestOf({ body: 'x' }).request.toRequest().body).toBe(null);
  });

  test('a host that makes no URL is an error', () => {
    const { request } = requestOf({ headers: ['host', 'a b'] });
    expect(() => request.toRequest()).toThrow(
      expect.objectContaining({ code: 'ERR_HTTP_REQUEST_URL', detail: expect.objectContaining({ status: 400 }) }),
    );
  });
});
