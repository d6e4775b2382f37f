import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { brotliCompressSync, deflateSync, gzipSync } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { RequestBody } from '../../src/http/exchange.js';
import { noteFetched } from '../../src/http/fetch/fetched.js';
import { FetchEnv, fetchHandler } from '../../src/http/fetch/index.js';
import { LightRequest } from '../../src/http/fetch/light-request.js';
import { LightResponse } from '../../src/http/fetch/light-response.js';
import { NativeRequest, NativeResponse } from '../../src/http/fetch/natives.js';
import { urlOf } from '../../src/http/fetch/url.js';
import { FakeExchange, type FakeRequest } from './fake-exchange.js';

type Args = ConstructorParameters<typeof Response>;
const info = { server: undefined, clientOf: () => ({ remoteAddress: '::1', remotePort: 9 }), failed: () => {} };
fetchHandler(() => new Response(), info); // installs the light classes

const light = (request: FakeRequest = {}, exchange = new FakeExchange(request)): Request =>
  new LightRequest(exchange) as unknown as Request;

/** All that can be asked of a response, and its text. */
async function askAll(make: () => Response): Promise<unknown> {
  const response = make();
  const { status, statusText, ok, type, url, redirected, bodyUsed } = response;
  const hasBody = make().body !== null;
  const bytes = new Uint8Array(await make().arrayBuffer());
  const cloned = make().clone();
  const ofClone = [cloned.status, cloned.statusText, [...cloned.headers], await cloned.text()];
  const shown = [String(response), [...response.headers], await response.text(), response.bodyUsed];
  return { status, statusText, ok, type, url, redirected, bodyUsed, hasBody, bytes, ofClone, shown };
}

describe('a light response', () => {
  const stream = () => new Blob(['of a stream']).stream();
  const withIterator = Object.assign(new Map([['x-a', '1']]), { 'x-b': '2' });
  test.each<[string, () => Args]>([
    ['nothing', () => []],
    ['null', () => [null]],
    ['a string', () => ['text']],
    ['the empty string', () => ['']],
    ['half a letter', () => ['a\udc00b']],
    ['bytes', () => [new Uint8Array([1, 2, 250])]],
    ['a part of bytes', () => [new Uint8Array([1, 2, 3, 4]).subarray(1, 3)]],
    ['a buffer', () => [new Uint8Array([1, 2]).buffer]],
    ['other views', () => [new Uint16Array([0x4142])]],
    ['a Blob', () => [new Blob(['b'], { type: 'text/x' })]],
    ['a stream', () => [stream()]],
    ['a query', () => [new URLSearchParams('a=1')]],
    ['init that is null', () => ['x', null as never]],
    ['init that is empty', () => ['x', {}]],
    ['a status', () => ['x', { status: 404 }]],
    ['a status without a body', () => [null, { status: 204 }]],
    ['a status and bytes', () => [new Uint8Array([65]), { status: 500, statusText: 'Broken' }]],
    ['a reason', () => ['x', { statusText: 'All right' }]],
    ['an empty reason', () => ['x', { statusText: '' }]],
    ['a reason beyond ASCII', () => ['x', { statusText: 'é' }]],
    ['a number as its reason', () => ['x', { statusText: 5 as never }]],
    ['a text as its status', () => ['x', { status: '201' as never }]],
    ['fields', () => ['x', { headers: { 'X-A': '1', b: 'two words' } }]],
    ['fields and no body', () => [null, { headers: { 'X-A': '1' } }]],
    ['a type', () => ['x', { headers: { 'Content-Type': 'text/html' } }]],
    ['a type behind a name as long', () => ['x', { headers: { 'x-content-ty': '1', 'content-type': 'a/b' } }]],
    ['a name as long as a type', () => ['x', { headers: { 'x-content-ty': '1' } }]],
    ['a field given twice', () => ['x', { headers: { a: '1', A: '2' } }]],
    ['a tab inside', () => ['x', { headers: { a: 'b\tc' } }]],
    ['blanks around', () => ['x', { headers: { a: ' b ' } }]],
    ['pairs', () => ['x', { headers: [['a', '1']] }]],
    ['a map', () => ['x', { headers: withIterator as never }]],
    ['Headers', () => ['x', { headers: new Headers({ a: '1', 'content-type': 'a/b' }) }]],
    ['cookies', () => ['x', { headers: [['set-cookie', 'a=1'] as const, ['set-cookie', 'b=2'] as const] as never }]],
    ['fields that are undefined', () => ['x', { headers: undefined as never }]],
    ['a stream, a status and fields', () => [stream(), { status: 206, statusText: 'Part', headers: { a: '1' } }]],
  ])('of %s is as that of Node', async (_, args) => {
    const ofNode = await askAll(() => new NativeResponse(...(args() as [])) as Response);
    expect(await askAll(() => new Response(...args()))).toEqual(ofNode);
  });

  test.each<[string, () => Args]>([
    ['fields that are null', () => ['x', { headers: null as never }]],
    ['fields that are text', () => ['x', { headers: 'a' as never }]],
    ['a value with a line end', () => ['x', { headers: { a: 'b\n\nc' } }]],
    ['a name that is none', () => ['x', { headers: { 'a:': 'b' } }]],
    ['a status of 199', () => ['x', { status: 199 }]],
    ['a status of 600', () => ['x', { status: 600 }]],
    ['text with 204', () => ['', { status: 204 }]],
    ['text with 205', () => ['', { status: 205 }]],
    ['text with 304', () => ['', { status: 304 }]],
    ['a reason with a line end', () => ['', { statusText: 'a\r\nb' }]],
  ])('with %s is refused as by Node, with its words', (_, args) => {
    const thrownBy = (make: () => unknown): unknown => {
      try {
        return make();
      } catch (error) {
        return [(error as Error).name, (error as Error).message];
      }
    };
    const ofNode = thrownBy(() => new NativeResponse(...(args() as [])));
    expect(ofNode).toEqual([expect.stringMatching(/^(Type|Range)Error$/), expect.any(String)]);
    expect(thrownBy(() => new Response(...args()))).toEqual(ofNode);
  });

  test('holds its bytes as they were when it was made, of a buffer too', async () => {
    const bytes = new Uint8Array([65, 66]);
    const made = [new Response(bytes), new Response(bytes.buffer)];
    bytes.fill(0);
    expect(await Promise.all(made.map((one) => one.text()))).toEqual(['AB', 'AB']);
  });

  test.each(['text', 'json', 'arrayBuffer', 'bytes', 'blob'] as const)(
    'is used by %s, and not before',
    async (read) => {
      for (const body of ['1', new Uint8Array([49]), new Blob(['1'])]) {
        const response = new Response(body) as Response & { bytes(): Promise<Uint8Array> };
        expect(response.bodyUsed).toBe(false);
        await response[read]();
        expect(response.bodyUsed).toBe(true);
        expect(() => response.clone()).toThrow(TypeError);
        await expect(response.text()).rejects.toThrow(TypeError);
        expect(() => LightResponse.plainBodyOf(response) ?? response.clone()).toThrow(TypeError);
      }
    },
  );

  test('of which a clone was made is read as text and as JSON all the same', async () => {
    const response = new Response('{"a":1}');
    const copies = [response.clone(), response.clone()];
    expect(await response.json()).toEqual({ a: 1 });
    for (const copy of copies) expect(await copy.json()).toEqual({ a: 1 });
  });

  test('that was read as text has a stream at its end', async () => {
    const response = new Response('x');
    await response.text();
    expect([response.body === null, response.bodyUsed]).toEqual([false, true]);
  });

  test('of JSON has a type and what else is asked for', async () => {
    const cases: ResponseInit[] = [{}, { status: 201 }, { statusText: 'Made' }, { headers: { 'x-a': '1' } }];
    for (const init of [undefined, ...cases]) {
      const ofNode = await askAll(() => NativeResponse.json([1], init as never) as Response);
      expect(await askAll(() => Response.json([1], init))).toEqual(ofNode);
    }
    expect(() => Response.json(() => {})).toThrow('Value is not JSON serializable');
  });

  test('is no plain one where it is of Node itself, or has a stream', () => {
    expect(LightResponse.plainBodyOf(new NativeResponse('x'))).toBeUndefined();
    expect(LightResponse.plainFieldsOf(new NativeResponse('x'))).toBeNull();
    expect(LightResponse.plainBodyOf(new Response(new Blob(['x'])))).toBeUndefined();
    expect(LightResponse.plainBodyOf(new Response('x'))).toBe('x');
    expect(LightResponse.plainBodyOf(new Response())).toBeNull();
  });
});

describe('a light request', () => {
  const post = (body: string | string[]): FakeRequest => ({ method: 'POST', body });

  test.each([
    ...(['cache', 'credentials', 'destination', 'integrity', 'isHistoryNavigation', 'isReloadNavigation'] as const),
    ...(['keepalive', 'mode', 'redirect', 'referrer', 'referrerPolicy', 'duplex'] as const),
  ])('has %s as one of Node has', (name) => {
    const ofNode = new NativeRequest('http://example.com/', { method: 'POST' });
    expect(Reflect.get(light(post('x')), name)).toEqual(Reflect.get(ofNode, name));
    expect(name in LightRequest.prototype).toBe(name in ofNode || name.startsWith('is'));
  });

  test('is shown as one', () => {
    expect([String(light()), LightRequest.is(light()), LightRequest.is(null), LightRequest.is('x')]).toEqual([
      ...['[object Request]', true, false, false],
    ]);
    expect(LightRequest.is(new NativeRequest('http://h/'))).toBe(false);
  });

  test.each([
    ['GET', 'text', false],
    ['HEAD', 'text', false],
    ['POST', '', false],
    ['POST', 'text', true],
    ['DELETE', 'text', true],
  ])('%s with the body "%s" has one: %s', async (method, body, has) => {
    expect(light({ method, body }).body !== null).toBe(has);
    expect(await light({ method, body }).text()).toBe(has ? body : '');
    expect((await light({ method, body }).arrayBuffer()).byteLength).toBe(has ? body.length : 0);
  });

  test('takes no byte from its client before somebody reads', async () => {
    let taken = 0;
    const pieces = ['a', 'b'];
    const next = async (): Promise<Buffer | null> => {
      taken++;
      const piece = pieces.shift();
      return piece === undefined ? null : Buffer.from(piece);
    };
    const exchange = new FakeExchange({ method: 'POST' });
    Object.defineProperty(exchange, 'body', {
      value: { whole: null, next, claim() {}, trailers: [] } satisfies RequestBody,
    });
    const request = light({}, exchange);
    const reader = request.body?.getReader();
    await new Promise(setImmediate);
    expect(taken).toBe(0);
    expect(Buffer.from((await reader?.read())?.value ?? []).toString()).toBe('a');
    await new Promise(setImmediate);
    expect(taken).toBe(1);
    await reader?.read();
    expect(await reader?.read()).toMatchObject({ done: true });
  });

  test.each(['text', 'json', 'arrayBuffer', 'bytes', 'blob', 'formData'] as const)(
    'is read once, by %s',
    async (read) => {
      const rawHeaders = ['host', 'h', 'content-type', 'application/x-www-form-urlencoded'];
      for (const body of ['1', ['1']]) {
        const request = light({ method: 'POST', body, rawHeaders }) as Request & { bytes(): Promise<Uint8Array> };
        expect(request.bodyUsed).toBe(false);
        await request[read]();
        expect(request.bodyUsed).toBe(true);
        for (const again of ['text', 'arrayBuffer', 'bytes'] as const)
          await expect(request[again]()).rejects.toThrow(TypeError);
      }
    },
  );

  test('that has become one of Node is read by every method still', async () => {
    const become = (): Request & { bytes(): Promise<Uint8Array> } => {
      const request = light(post('[1]'));
      expect(request.redirect).toBe('follow');
      return request as Request & { bytes(): Promise<Uint8Array> };
    };
    expect([await become().text(), await become().json()]).toEqual(['[1]', [1]]);
    expect(Buffer.from(await become().arrayBuffer()).toString()).toBe('[1]');
    expect(Buffer.from(await become().bytes()).toString()).toBe('[1]');
  });

  test('hands out copies: what it read lies in memory that is used again', async () => {
    const whole = Buffer.from('ab');
    const read = async (how: (request: Request) => Promise<Uint8Array>): Promise<string> => {
      whole.write('ab');
      const exchange = new FakeExchange(post(''));
      Object.defineProperty(exchange, 'body', { value: { whole, next: async () => null, trailers: [] } });
      const bytes = await how(light({}, exchange));
      whole.fill(0);
      return Buffer.from(bytes).toString();
    };
    expect(await read((request) => (request as Request & { bytes(): Promise<Uint8Array> }).bytes())).toBe('ab');
    expect(await read(async (request) => new Uint8Array(await request.arrayBuffer()))).toBe('ab');
  });

  class HalfClosing extends FakeExchange {
    listener: ((hasBegun: boolean) => void) | undefined;
    override onHalfClosed(listener?: (hasBegun: boolean) => void): void {
      this.listener = listener;
    }
  }

  test.each([
    [false, true],
    [true, false],
  ])('whose client ends its side when the answer has begun, %s, is aborted: %s', (hasBegun, aborted) => {
    const exchange = new HalfClosing();
    const { signal } = light({}, exchange);
    exchange.listener?.(hasBegun);
    expect(signal.aborted).toBe(aborted);
  });

  test('has one signal, headers and URL, however often it is asked', () => {
    const request = light();
    const { signal, headers } = request;
    expect(request.signal).toBe(signal);
    expect(request.headers).toBe(headers);
    const native = LightRequest.native(request as unknown as LightRequest);
    expect(LightRequest.native(request as unknown as LightRequest)).toBe(native);
  });

  test.each([
    [['Host', 'a', 'host', 'b'], 'http://a/'],
    [['x', 'y', 'HOST', 'b'], 'http://b/'],
    [['Hose', 'a', 'X-Host', 'c'], 'http://localhost/'],
    [['x', 'Host', 'y', 'host'], 'http://localhost/'],
  ])('of the fields %j has the URL %s', (rawHeaders, url) => {
    expect(light({ rawHeaders }).url).toBe(url);
  });
});

describe('a URL', () => {
  test.each([
    ['http://[', 'http://h/'],
    ['nonsense', 'http://h/'],
    ['*', 'http://h/*'],
    ['/a b', 'http://h/a%20b'],
    ['/a/./b', 'http://h/a/b'],
    ['/a.b', 'http://h/a.b'],
    ['http://other/x', 'http://other/x'],
  ])('of the target %s is %s', (target, url) => {
    expect(urlOf(target, 'h', false)).toBe(url);
  });

  test('has the name of this machine where the host is none', () => {
    expect([urlOf('/x', 'a b', false), urlOf('/x', '', true), urlOf('*', ' ', true)]).toEqual([
      ...['http://localhost/x', 'https://localhost/x', 'https://localhost/*'],
    ]);
  });

  test('is right also when clients have named very many hosts', () => {
    for (let round = 0; round < 2; round++) {
      for (let i = 0; i < 200; i++) expect(urlOf('/', `h${i}:80`, i % 2 === 0)).toMatch(i % 2 ? /^http:/ : /:80\/$/);
    }
  });
});

describe('the client of a request', () => {
  test.each([
    ['::1', 'IPv6'],
    ['127.0.0.1', 'IPv4'],
  ])('at %s has the family %s', (remoteAddress, remoteFamily) => {
    const env = new FetchEnv(new FakeExchange(), { ...info, clientOf: () => ({ remoteAddress, remotePort: 5 }) });
    expect(env.incoming.socket).toEqual({ remoteAddress, remotePort: 5, remoteFamily });
  });
});

describe('a handler that returns', () => {
  class Other {}
  test.each<[unknown, string]>([
    [null, 'null'],
    [undefined, 'undefined'],
    ['x', 'string'],
    [5, 'number'],
    [new Other(), 'Other'],
    [{}, 'Object'],
    [Object.create(null), 'object'],
  ])('%s fails, and the error says %s', async (value, got) => {
    const failures: unknown[] = [];
    const failed = (error: unknown, _: unknown, hasBegun: boolean) => void failures.push([error, hasBegun]);
    for (const app of [() => value, async () => value]) {
      await fetchHandler(app as never, { ...info, failed })(new FakeExchange());
    }
    const told = [expect.objectContaining({ code: 'ERR_HTTP_FETCH_RESULT', detail: { got } }), false];
    expect(failures).toEqual([told, told]);
  });
});

describe('an answer of another server', () => {
  const codings = { gzip: gzipSync, 'x-gzip': gzipSync, deflate: deflateSync, br: brotliCompressSync };
  const inner = gzipSync('a file that is compressed itself');
  let origin: Server;
  let url: string;

  beforeEach(async () => {
    origin = createServer((request, response) => {
      const coding = request.url?.slice(1) ?? '';
      const coded = codings[coding as keyof typeof codings]?.(inner) ?? inner;
      const fields = coding === '' ? {} : { 'content-encoding': coding };
      response.writeHead(200, { 'x-a': '1', 'content-length': coded.length, ...fields }).end(coded);
    });
    await new Promise<void>((resolve) => origin.listen(0, '127.0.0.1', resolve));
    url = `http://127.0.0.1:${(origin.address() as AddressInfo).port}`;
  });
  afterEach(async () => {
    origin.closeAllConnections();
    await new Promise((resolve) => origin.close(resolve));
  });

  const pass = async (app: () => Promise<Response>): Promise<FakeExchange> => {
    const exchange = new FakeExchange();
    await fetchHandler(app, info)(exchange);
    return exchange;
  };

  test.each(Object.keys(codings))('in %s leaves decoded, without the fields of the coded body', async (coding) => {
    const ways: ((answer: Response) => Response)[] = [
      (answer) => answer,
      (answer) => new Response(answer.body, answer),
      (answer) => new Response(answer.body, { headers: { 'content-encoding': coding, 'x-a': '1' } }),
      (answer) => new NativeResponse(answer.body, { headers: { 'content-encoding': coding, 'x-a': '1' } }) as Response,
    ];
    for (const way of ways) {
      const exchange = await pass(async () => way(await fetch(`${url}/${coding}`)));
      expect(exchange.values('content-encoding')).toEqual([]);
      expect([exchange.values('content-length'), exchange.values('x-a')]).toEqual([[], ['1']]);
      expect(Buffer.concat(exchange.pieces)).toEqual(inner);
    }
  });

  test('in no coding keeps its length', async () => {
    const exchange = await pass(() => fetch(url));
    expect(exchange.values('content-length')).toEqual([String(inner.length)]);
    expect(Buffer.concat(exchange.pieces)).toEqual(inner);
  });

  test('is asked for by a request that came in, too', async () => {
    const request = light({ target: '/gzip', rawHeaders: ['Host', url.slice('http://'.length)] });
    const answer = await fetch(request);
    expect(Buffer.from(await answer.arrayBuffer())).toEqual(inner);
  });

  test('without a body is one', () => {
    const answer = noteFetched(new NativeResponse(null, { headers: { 'content-encoding': 'gzip' } }) as Response);
    expect(new Response('x', { headers: answer.headers }).headers.has('content-encoding')).toBe(false);
  });

  test.each(['GZIP', 'gzip , Br', 'x-gzip'])('in "%s" is known as decoded', (coding) => {
    const answer = noteFetched(new NativeResponse('x', { headers: { 'content-encoding': coding } }) as Response);
    expect(new Response(answer.body, answer).headers.has('content-encoding')).toBe(false);
  });

  test.each(['zstd', 'gzip, zstd', 'identity'])('in "%s" is known as not decoded', (coding) => {
    const answer = noteFetched(new NativeResponse('x', { headers: { 'content-encoding': coding } }) as Response);
    expect(new Response(answer.body, answer).headers.get('content-encoding')).toBe(coding);
  });
});

describe('a stream with a content-encoding', () => {
  const gzip = gzipSync('x'.repeat(5000));

  test('leaves at once where its beginning tells enough, and waits a moment for more where it does not', async () => {
    for (const [first, isTrue] of [
      [Buffer.from('y'.repeat(256)), false],
      [Buffer.from('y'), false],
      [gzip.subarray(0, 4), true],
    ] as const) {
      const stream = new ReadableStream({ start: (controller) => controller.enqueue(new Uint8Array(first)) });
      const exchange = new FakeExchange();
      const began = performance.now();
      void fetchHandler(() => new Response(stream, { headers: { 'content-encoding': 'gzip' } }), info)(exchange);
      while (!exchange.calls.includes('write')) await new Promise((resolve) => setTimeout(resolve, 1));
      expect(performance.now() - began).toBeLessThan(2000);
      expect(exchange.values('content-encoding')).toEqual(isTrue ? ['gzip'] : []);
      exchange.goAway();
    }
  });

  test('that is another field as long is left as it is', async () => {
    const exchange = new FakeExchange();
    const headers = { 'x-content-codin': 'gzip', 'content-encodinG': 'br' };
    await fetchHandler(() => new Response('text', { headers }), info)(exchange);
    expect([exchange.values('x-content-codin'), exchange.values('content-encoding')]).toEqual([['gzip'], []]);
  });
});

describe('an answer that cannot be sent', () => {
  test.each([101, 199])('is one with the status %d', async (status) => {
    const response = new NativeResponse(null);
    Object.defineProperty(response, 'status', { value: status });
    const failures: unknown[] = [];
    const failed = (error: unknown) => void failures.push(error);
    await fetchHandler(() => response as Response, { ...info, failed })(new FakeExchange());
    expect(failures).toEqual([expect.any(RangeError)]);
  });
});
