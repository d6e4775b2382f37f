import { gzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { ServerError } from '../../src/errors/index.js';
import type { FetchFunction } from '../../src/http/apps.js';
import { noteFetched } from '../../src/http/fetch/fetched.js';
import { type FetchEnv, type FetchInfo, fetchHandler } from '../../src/http/fetch/index.js';
import { NativeRequest, NativeResponse } from '../../src/http/fetch/natives.js';
import { FakeExchange, type FakeRequest } from './fake-exchange.js';

const server = { name: 'the server' };
const clientOf = () => ({ remoteAddress: '127.0.0.9', remotePort: 4000 });

async function ask(app: FetchFunction, request?: FakeRequest, info: Partial<FetchInfo> = {}) {
  const exchange = new FakeExchange(request);
  const failures: unknown[] = [];
  const failed = (error: unknown) => failures.push(error);
  await fetchHandler(app, { server, clientOf, failed, ...info })(exchange);
  return { exchange, failures };
}

/** What a handler sees of a request. */
async function see<T>(request: FakeRequest, look: (request: Request, env: FetchEnv) => T | Promise<T>): Promise<T> {
  let seen: { value: T } | undefined;
  const { failures } = await ask(async (req, env: FetchEnv) => {
    seen = { value: await look(req, env) };
    return new Response();
  }, request);
  if (failures.length > 0) throw failures[0];
  return seen!.value;
}

describe('the request', () => {
  test('is a Request, of the global class and of Node', async () => {
    const is = await see({}, (request) => [request instanceof Request, request instanceof NativeRequest]);
    expect(is).toEqual([true, true]);
  });

  test.each([
    ['/a/b?x=1', 'example.com', 'http://example.com/a/b?x=1'],
    ['/a/b.html?x=1.5', 'example.com:8080', 'http://example.com:8080/a/b.html?x=1.5'],
    ['/', 'EXAMPLE.com:80', 'http://example.com/'],
    ['/a/../b/./c', 'h', 'http://h/b/c'],
    ['/%2e%2e/b', 'h', 'http://h/b'],
    ["/?q='x'", 'h', 'http://h/?q=%27x%27'],
    ['//evil/x', 'h', 'http://h//evil/x'],
    ['/a\\b', 'h', 'http://h/a/b'],
    ['/x#y', 'h', 'http://h/x#y'],
    ['http://other:81/p?q', 'h', 'http://other:81/p?q'],
    ['*', 'h', 'http://h/*'],
    ['/x', '', 'http://localhost/x'],
    ['/x', '[::1]:9', 'http://[::1]:9/x'],
  ])('of target %s and host "%s" has the URL %s', async (target, host, url) => {
    const rawHeaders = host === '' ? [] : ['HOST', host];
    expect(await see({ target, rawHeaders }, (request) => request.url)).toBe(url);
  });

  test('of an encrypted connection has a URL with https', async () => {
    expect(await see({ isEncrypted: true }, (request) => request.url)).toBe('https://example.com/');
  });

  test('has its headers, repeated ones joined and cookies in one', async () => {
    const rawHeaders = ['Host', 'h', 'X-A', '1', 'x-a', '2', 'Cookie', 'a=1', 'cookie', 'b=2'];
    const seen = await see({ rawHeaders }, ({ headers }) => [headers.get('x-a'), headers.get('cookie')]);
    expect(seen).toEqual(['1, 2', 'a=1; b=2']);
  });

  test.each<[string, FakeRequest['body'] & {}]>([
    ['in one piece', '{"a":"ü"}'],
    ['in several pieces', ['{"a":', '"ü"}']],
  ])('gives a body that came %s as text, JSON, bytes, buffer and blob', async (_, body) => {
    const post = { method: 'POST', body };
    expect(await see(post, (request) => request.text())).toBe('{"a":"ü"}');
    expect(await see(post, (request) => request.json())).toEqual({ a: 'ü' });
    expect(Buffer.from(await see(post, (r) => r.arrayBuffer())).toString()).toBe('{"a":"ü"}');
    expect(Buffer.from(await see(post, (r) => (r as unknown as Body2).bytes())).toString()).toBe('{"a":"ü"}');
    expect(await see(post, async (request) => (await request.blob()).text())).toBe('{"a":"ü"}');
    expect(await see(post, async (request) => new Response(request.body).text())).toBe('{"a":"ü"}');
    expect(await see(post, async (r) => [await r.clone().text(), await r.text()])).toEqual(['{"a":"ü"}', '{"a":"ü"}']);
  });

  test('gives a multipart form', async () => {
    const rawHeaders = ['Host', 'h', 'Content-Type', 'multipart/form-data; boundary=b'];
    const body = '--b\r\nContent-Disposition: form-data; name="n"\r\n\r\nv\r\n--b--\r\n';
    expect(await see({ method: 'POST', rawHeaders, body }, async (r) => (await r.formData()).get('n'))).toBe('v');
  });

  test('gives its body once', async () => {
    const twice = see({ method: 'POST', body: 'x' }, async (request) => {
      await request.text();
      expect(request.bodyUsed).toBe(true);
      await request.text();
    });
    await expect(twice).rejects.toThrow(TypeError);
  });

  test('without a body has none, as often as it is asked', async () => {
    const seen = await see({}, async (r) => [r.body, await r.text(), await r.text(), r.bodyUsed]);
    expect(seen).toEqual([null, '', '', false]);
  });

  test('can be the source of another Request and is told apart by what few ask for', async () => {
    const seen = await see({ method: 'POST', body: 'x', target: '/p' }, async (request) => {
      const other = new Request(request, { headers: { 'x-b': '2' } });
      return [other.url, other.method, other.headers.get('x-b'), await other.text(), request.redirect];
    });
    expect(seen).toEqual(['http://example.com/p', 'POST', '2', 'x', 'follow']);
  });

  test('has a signal that aborts when the client goes away', async () => {
    const exchange = new FakeExchange();
    let signal: AbortSignal | undefined;
    const handler = fetchHandler(
      (request) => {
        signal = request.signal;
        return new Promise(() => {});
      },
      { server, clientOf, failed: () => {} },
    );
    void handler(exchange);
    expect(signal!.aborted).toBe(false);
    exchange.goAway();
    expect(signal!.aborted).toBe(true);
  });

  test('is one of Node, and so is Response, where the light ones are not wanted', async () => {
    let proto: unknown;
    const app: FetchFunction = async (request) => {
      proto = Object.getPrototypeOf(request);
      return new NativeResponse(`got ${await request.text()}`, { status: 201 });
    };
    const { exchange } = await ask(app, { method: 'POST', body: 'x' }, { lightResponse: false });
    expect(proto).toBe(NativeRequest.prototype);
    expect([exchange.status, exchange.text]).toEqual([201, 'got x']);
  });

  test('comes with the server, the client, and its address as of a socket', async () => {
    const env = await see({}, (_, given) => given);
    expect(env.server).toBe(server);
    expect([env.fd, env.remoteAddress, env.remotePort]).toEqual([7, '127.0.0.9', 4000]);
    expect(env.incoming.socket.remoteFamily).toBe('IPv4');
  });
});

describe('the response', () => {
  test('with a string goes at once, with its type', async () => {
    const { exchange } = await ask(() => new Response('hi'));
    expect(exchange.calls).toEqual(['respond']);
    expect([exchange.status, exchange.text, exchange.values('content-type')]).toEqual([
      200,
      'hi',
      ['text/plain;charset=UTF-8'],
    ]);
  });

  test('with bytes goes at once, as they were when it was made', async () => {
    const bytes = new Uint8Array([65, 66]);
    const { exchange } = await ask(() => {
      const response = new Response(bytes, { status: 201, statusText: 'Made', headers: { 'X-A': '1' } });
      bytes.fill(0);
      return response;
    });
    expect(exchange.calls).toEqual(['respond']);
    expect([exchange.status, exchange.reason, exchange.text, exchange.fields]).toEqual([
      201,
      'Made',
      'AB',
      ['X-A', '1'],
    ]);
  });

  test.each([
    ['an ArrayBuffer', () => new Response(new Uint8Array([65]).buffer), 'A', undefined],
    ['nothing', () => new Response(null, { status: 204 }), '', undefined],
    ['a Blob', () => new Response(new Blob(['b'], { type: 'text/x' })), 'b', 'text/x'],
    [
      'a query',
      () => new Response(new URLSearchParams({ a: '1' })),
      'a=1',
      'application/x-www-form-urlencoded;charset=UTF-8',
    ],
    ['JSON', () => Response.json({ a: 1 }), '{"a":1}', 'application/json'],
    ['a number', () => new Response(5 as never), '5', 'text/plain;charset=UTF-8'],
    ['a clone', () => new Response('c').clone(), 'c', 'text/plain;charset=UTF-8'],
    ['an answer of Node itself', () => new NativeResponse('n'), 'n', 'text/plain;charset=UTF-8'],
    [
      'another answer around it',
      () => new Response(new Response('in').body, new Response('x')),
      'in',
      'text/plain;charset=UTF-8',
    ],
  ])('with %s is sent', async (_, make, text, type) => {
    const { exchange, failures } = await ask(() => make() as Response);
    expect(failures).toEqual([]);
    expect([exchange.text, exchange.values('content-type')[0]]).toEqual([text, type]);
  });

  test('keeps each Set-Cookie on its own, and changes made through headers', async () => {
    const { exchange } = await ask(() => {
      const response = new Response('x', { headers: { 'content-type': 'text/html' } });
      response.headers.append('set-cookie', 'a=1');
      response.headers.append('set-cookie', 'b=2');
      response.headers.set('x-late', 'yes');
      return response;
    });
    expect(exchange.values('set-cookie')).toEqual(['a=1', 'b=2']);
    expect([exchange.values('content-type'), exchange.values('x-late')]).toEqual([['text/html'], ['yes']]);
  });

  test.each([
    ['a line break in a value', () => new Response('', { headers: { 'x-a': 'a\r\nb: c' } }), TypeError],
    ['a blank in a name', () => new Response('', { headers: { 'x a': 'b' } }), TypeError],
    ['a status beyond 599', () => new Response('', { status: 700 }), RangeError],
    ['a body where the status has none', () => new Response('x', { status: 204 }), TypeError],
    ['a line break in the reason', () => new Response('', { statusText: 'a\nb' }), TypeError],
    ['JSON of nothing', () => Response.json(undefined), TypeError],
  ])('refuses %s, as that of Node does', (_, make, type) => {
    expect(make).toThrow(type);
  });

  test('is a Response, of the global class and of Node; so are those of Node and its subclasses', () => {
    class Own extends Response {}
    const light = new Response('x');
    expect([light instanceof Response, light instanceof NativeResponse]).toEqual([true, true]);
    expect([new NativeResponse() instanceof Response, new Own() instanceof Own]).toEqual([true, true]);
    expect([light instanceof Own, {} instanceof Response]).toEqual([false, false]);
  });

  test('gives what it holds to who reads it, once', async () => {
    const response = new Response('{"a":1}', { status: 202 });
    expect([response.ok, response.status, response.type, response.url, response.redirected]).toEqual([
      true,
      202,
      'default',
      '',
      false,
    ]);
    expect(await response.json()).toEqual({ a: 1 });
    expect(response.bodyUsed).toBe(true);
    await expect(response.text()).rejects.toThrow(TypeError);
    expect(() => response.clone()).toThrow(TypeError);
    expect(await new Response('b').arrayBuffer()).toEqual(new Uint8Array([98]).buffer);
  });

  test('redirects', async () => {
    const { exchange } = await ask(() => Response.redirect('http://h/there', 303));
    expect([exchange.status, exchange.values('location')]).toEqual([303, ['http://h/there']]);
  });

  test.each([
    ['nothing', () => new Response(null, { headers: { 'content-length': '5' } })],
    ['a stream', () => new Response(new Blob(['long']).stream())],
  ])('to HEAD with %s claims no length of its own', async (_, make) => {
    const { exchange } = await ask(make, { method: 'HEAD' });
    expect([exchange.calls, exchange.text]).toEqual([['begin', 'end'], '']);
  });

  test('by a stream waits for the client, and cancels the stream when the client goes away', async () => {
    const exchange = new FakeExchange();
    let pulled = 0;
    let cancelled: unknown;
    const stream = new ReadableStream(
      {
        pull: (controller) => controller.enqueue(new Uint8Array([pulled++])),
        cancel: (reason) => {
          cancelled = reason;
        },
      },
      { highWaterMark: 0 },
    );
    exchange.canTake = false;
    const done = fetchHandler(() => new Response(stream), { server, clientOf, failed: () => {} })(exchange);
    await new Promise(setImmediate);
    expect(pulled).toBe(1);
    exchange.letDrain();
    exchange.canTake = false;
    await new Promise(setImmediate);
    expect(pulled).toBe(2);
    exchange.goAway();
    await done;
    expect(cancelled).toBeInstanceOf(Error);
    expect(exchange.calls).not.toContain('end');
  });
});

describe('what a Response can do', () => {
  const json = () => new Response('{"a":1}', { headers: { 'content-type': 'text/x' } });

  test('is read as bytes, blob, form and stream, once', async () => {
    const bytes = await (json() as unknown as Body2).bytes();
    expect(Buffer.from(bytes).toString()).toBe('{"a":1}');
    const blob = await json().blob();
    expect([await blob.text(), blob.type]).toEqual(['{"a":1}', 'text/x']);
    expect((await new Response(new URLSearchParams({ a: '1' })).formData()).get('a')).toBe('1');
    const form = { 'content-type': 'application/x-www-form-urlencoded' };
    expect((await new Response('b=2', { headers: form }).formData()).get('b')).toBe('2');
    const read = json();
    expect([read.bodyUsed, await new Response(read.body).text(), read.bodyUsed]).toEqual([false, '{"a":1}', true]);
    for (const again of ['text', 'json', 'blob', 'arrayBuffer', 'formData'] as const) {
      const used = json();
      await used.text();
      await expect(used[again]()).rejects.toThrow(TypeError);
    }
  });

  test('of bytes, of nothing, and of text with half a letter', async () => {
    expect(await new Response(new Uint8Array([123, 125])).json()).toEqual({});
    expect(await new Response(new Uint8Array([97])).text()).toBe('a');
    expect([new Response(null).body, await new Response(null).text()]).toEqual([null, '']);
    expect(await new Response('\ud800').text()).toBe('\ufffd');
  });

  test('is named and shown as one', () => {
    expect([String(json()), Response.name, Request.name]).toEqual(['[object Response]', 'Response', 'Request']);
    expect(Response.error().type).toBe('error');
  });

  test.each([
    [199, RangeError],
    [200, undefined],
    [599, undefined],
    [600, RangeError],
    [200.5, undefined],
  ])('has the status %d', (status, type) => {
    const make = (Class: typeof Response) => () => new Class('', { status }).status;
    if (type !== undefined) expect(make(Response)).toThrow(type);
    else expect(make(Response)()).toBe(make(NativeResponse)());
  });

  test.each([
    [199, false],
    [200, true],
    [299, true],
    [300, false],
  ])('of status %d is ok: %s', (status, ok) => {
    if (status >= 200) expect(new Response(null, { status }).ok).toBe(ok);
  });

  test.each([204, 205, 304])('has no body with the status %d', (status) => {
    expect(() => new Response('', { status })).toThrow(TypeError);
    expect(new Response(null, { status }).status).toBe(status);
  });

  test('of JSON keeps its status, reason and type', async () => {
    const headers = { 'content-type': 'application/problem+json', 'x-a': '1' };
    const response = Response.json({ a: 1 }, { status: 418, statusText: 'Tea', headers });
    expect([response.status, response.statusText, response.headers.get('content-type')]).toEqual([
      418,
      'Tea',
      'application/problem+json',
    ]);
    expect([response.headers.get('x-a'), await response.json()]).toEqual(['1', { a: 1 }]);
  });

  test('clones with status, reason and the fields as they are now', async () => {
    const response = new Response('x', { status: 201, statusText: 'Made' });
    await response.clone().text();
    response.headers.set('x-late', '1');
    const copy = response.clone();
    expect([copy.status, copy.statusText, copy.headers.get('x-late'), await copy.text()]).toEqual([
      201,
      'Made',
      '1',
      'x',
    ]);
    expect(await response.text()).toBe('x');
  });

  test.each<[string, RequestInit['headers'] & {}]>([
    ['pairs', [['X-A', '1']]],
    ['Headers', new Headers({ 'X-A': '1' })],
    ['a value with blanks around it', { 'X-A': ' 1 ' }],
    ['a number', { 'X-A': 1 } as never],
  ])('takes its fields from %s', async (_, headers) => {
    expect(new Response('x', { headers }).headers.get('x-a')).toBe('1');
    const { exchange } = await ask(() => new Response('x', { headers }));
    expect(exchange.values('x-a')).toEqual(['1']);
  });

  test('may have an empty value, and one with letters beyond ASCII', () => {
    const { headers } = new Response('', { headers: { 'x-a': '', 'x-b': 'é' } });
    expect([headers.get('x-a'), headers.get('x-b')]).toEqual(['', 'é']);
  });
});

describe('an answer of another server that is passed on', () => {
  const fields = {
    ...{ 'content-encoding': 'gzip', 'content-length': '999', connection: 'x-hop', 'x-hop': '1', upgrade: 'h2c' },
    ...{ trailer: 'x-sum', 'x-a': '1' },
  };
  /** As `fetch` gives it: decoded, its fields as they were sent. */
  const fetched = (body: Body | null = 'decoded', headers: Record<string, string> = fields) =>
    noteFetched(new NativeResponse(body, { headers }) as Response);

  test('has no fields in a copy that are not true of its body', async () => {
    const origin = fetched();
    const { exchange } = await ask(() => new Response(origin.body, origin));
    expect(exchange.text).toBe('decoded');
    expect(exchange.fields.filter((_, at) => at % 2 === 0).sort()).toEqual(['content-type', 'x-a']);
  });

  test('keeps its coding where fetch did not decode it', async () => {
    const origin = fetched(gzipSync('x'), { ...fields, 'content-encoding': 'gzip, zstd' });
    const copy = new Response(origin.body, origin);
    expect([copy.headers.get('content-encoding'), copy.headers.get('content-length')]).toEqual(['gzip, zstd', '999']);
    expect([copy.headers.get('connection'), copy.headers.get('x-hop')]).toEqual([null, null]);
  });

  test.each([
    ['another body', 'other', null],
    ['no body', null, '999'],
  ])('has a length with %s where it is true', (_, body, length) => {
    const origin = fetched('plain', { 'content-length': '999', 'x-a': '1' });
    const copy = new Response(body, { headers: origin.headers });
    expect([copy.headers.get('content-length'), copy.headers.get('x-a')]).toEqual([length, '1']);
  });

  test('is not taken for coded where only its decoded body is used', async () => {
    const origin = fetched();
    const { exchange } = await ask(
      () => new NativeResponse(origin.body, { headers: { 'content-encoding': 'gzip', 'x-a': '1' } }) as Response,
    );
    expect([exchange.values('content-encoding'), exchange.values('x-a'), exchange.text]).toEqual([
      [],
      ['1'],
      'decoded',
    ]);
  });
});

describe('a content-encoding', () => {
  const gzip = gzipSync('a text that is coded');
  const coded = { 'Content-Encoding': 'gzip', 'content-length': '9' };
  const plainStream = (...pieces: (string | Uint8Array)[]) =>
    new ReadableStream({
      start(controller) {
        for (const piece of pieces) controller.enqueue(typeof piece === 'string' ? Buffer.from(piece) : piece);
        controller.close();
      },
    });

  test.each<[string, () => Body, boolean]>([
    ['bytes in it', () => new Uint8Array(gzip), true],
    ['bytes that are not', () => new Uint8Array([1, 2, 3]), false],
    ['text', () => 'a text', false],
    ['nothing', () => '', true],
    ['a stream in it', () => plainStream(gzip), true],
    ['a stream in it, in small pieces', () => plainStream(gzip.subarray(0, 5), gzip.subarray(5)), true],
    ['a stream that is not', () => plainStream('a text'), false],
    ['a long stream that is not', () => plainStream('x'.repeat(300), 'y'), false],
    ['a stream of nothing', () => plainStream(), true],
  ])('of %s leaves here only if it is true', async (_, body, isTrue) => {
    const { exchange, failures } = await ask(() => new Response(body(), { headers: coded }));
    expect(failures).toEqual([]);
    expect(exchange.values('content-encoding')).toEqual(isTrue ? ['gzip'] : []);
    if (!isTrue) expect(exchange.values('content-length')).toEqual([]);
    expect(Buffer.concat(exchange.pieces)).toEqual(Buffer.from(await new NativeResponse(body()).arrayBuffer()));
  });
});

describe('an answer that nobody gets', () => {
  const cancelled = () => {
    const reasons: unknown[] = [];
    const stream = new ReadableStream({ cancel: (reason) => void reasons.push(reason ?? 'cancelled') });
    return { stream, reasons };
  };

  test.each<[string, FakeRequest, boolean]>([
    ['has gone', {}, true],
    ['asks for the head', { method: 'HEAD' }, false],
  ])('since its client %s cancels its stream', async (_, request, isGone) => {
    const { stream, reasons } = cancelled();
    const exchange = new FakeExchange(request);
    if (isGone) exchange.goAway();
    await fetchHandler(() => new Response(stream), { server, clientOf, failed: () => {} })(exchange);
    expect([reasons.length, exchange.calls]).toEqual([1, isGone ? [] : ['begin', 'end']]);
  });

  test('since its client has gone and it is plain is not sent', async () => {
    const exchange = new FakeExchange();
    exchange.goAway();
    await fetchHandler(() => new Response('x'), { server, clientOf, failed: () => {} })(exchange);
    expect(exchange.calls).toEqual([]);
  });

  test('since its stream is being read by another is a failure', async () => {
    const { failures } = await ask(() => {
      const response = new Response(new ReadableStream());
      response.body?.getReader();
      return response;
    });
    expect(failures).toEqual([expect.any(TypeError)]);
  });

  test('since its stream has text in it is a failure', async () => {
    const stream = new ReadableStream({ start: (controller) => controller.enqueue('text') });
    const { failures } = await ask(() => new Response(stream));
    expect(failures).toEqual([expect.any(TypeError)]);
  });

  test('to HEAD with text tells its length', async () => {
    const { exchange } = await ask(() => new Response('hello'), { method: 'HEAD' });
    expect(exchange.calls).toEqual(['respond']);
  });
});

describe('a failure', () => {
  const boom = new Error('boom');
  test.each<[string, FetchFunction]>([
    [
      'thrown',
      () => {
        throw boom;
      },
    ],
    [
      'rejected',
      async () => {
        throw boom;
      },
    ],
  ])('that is %s is handed on', async (_, app) => {
    const { exchange, failures } = await ask(app);
    expect([failures, exchange.calls]).toEqual([[boom], []]);
  });

  test('of a stream under way costs the answer', async () => {
    const begun: boolean[] = [];
    const failed = (error: unknown, _: unknown, hasBegun: boolean) => begun.push(error === boom && hasBegun);
    const stream = new ReadableStream({ pull: () => Promise.reject(boom) });
    const { exchange } = await ask(() => new Response(stream), {}, { failed });
    expect([exchange.calls, begun]).toEqual([['begin', 'abort'], [true]]);
  });

  test('of a handler that returns no Response says so', async () => {
    const { failures } = await ask(() => 'text' as never);
    expect((failures[0] as ServerError).code).toBe('ERR_HTTP_FETCH_RESULT');
    expect((await ask((async () => undefined) as never)).failures[0]).toBeInstanceOf(ServerError);
  });

  test('of a response whose body was read already is handed on, and nothing is sent', async () => {
    const { failures, exchange } = await ask(async () => {
      const response = new Response('x');
      await response.text();
      return response;
    });
    expect([failures[0], exchange.calls]).toEqual([expect.any(TypeError), []]);
  });

  test('is Response.error() too', async () => {
    expect((await ask(() => Response.error())).failures[0]).toBeInstanceOf(RangeError);
  });
});

type Body = ConstructorParameters<typeof Response>[0];

interface Body2 {
  bytes(): Promise<Uint8Array>;
}
