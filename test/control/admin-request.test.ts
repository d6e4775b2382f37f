import type { IncomingMessage } from 'node:http';
import { Readable } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { allow, fromQuery, Refusal, readBody, readTarget, shorten } from '../../src/control/admin-request.js';
import { HostCheck, hostName } from '../../src/control/host-check.js';
import { publicError } from '../../src/control/public-error.js';
import { ServerError } from '../../src/errors/index.js';
import type { ResolvedAdmin } from '../../src/options/index.js';

const admin = (host: string, ...hosts: string[]): HostCheck =>
  new HostCheck({ host, hosts } as unknown as ResolvedAdmin);
const local = admin('127.0.0.1');
const LIMIT = 1024 * 1024;

/** A request as Node gives it: with its fields in raw form, in order. */
const request = (url: string, ...hosts: string[]): IncomingMessage =>
  ({
    url,
    method: 'GET',
    rawHeaders: hosts.flatMap((host) => ['hOSt', host]),
    headers: hosts.length === 0 ? {} : { host: hosts[0] },
    socket: { localAddress: '127.0.0.1' },
  }) as unknown as IncomingMessage;
const refusal = (what: () => unknown): unknown => {
  try {
    return what();
  } catch (error) {
    return error instanceof Refusal ? error.status : error;
  }
};

describe('the target of a request', () => {
  it.each([
    ['/', '/', {}],
    ['/api/stats', '/api/stats', {}],
    ['/api/stats/', '/api/stats', {}],
    ['/metrics?a=1&b=x%20y', '/metrics', { a: '1', b: 'x y' }],
    ['/metrics?a=1?2', '/metrics', { a: '1?2' }],
    ['http://127.0.0.1:9/api', '/api', {}],
    ['HTTP://localhost', '/', {}],
    ['http://localhost?a=1', '/', { a: '1' }],
  ])('%s means %s', (url, path, query) => {
    const target = readTarget(request(url, 'localhost'), local);
    expect({ path: target.path, query: Object.fromEntries(target.query) }).toEqual({ path, query });
  });

  it.each(['', '*', 'api', '//evil', '/a b', '/ä', '/%', '/%ff', '/a?b=%zz', 'ftp://localhost/', 'http:///x'])(
    '%j is none: 400',
    (url) => {
      expect(refusal(() => readTarget(request(url, 'localhost'), local))).toBe(400);
    },
  );
});

describe('the host of a request', () => {
  it.each(['localhost', 'LocalHost:80', 'a.localhost', '127.0.0.1', '127.9.9.9:1', '[::1]:80', 'localhost.'])(
    '%s is this machine',
    (host) => {
      expect(readTarget(request('/', host), local).path).toBe('/');
    },
  );

  it.each(['evil.example', 'localhost.evil.example', '10.0.0.1', '[2001:db8::1]', '127.0.0.1.evil.example'])(
    '%s is another one: 403',
    (host) => {
      expect(refusal(() => readTarget(request('/', host), local))).toBe(403);
      expect(refusal(() => readTarget(request(`http://${host}/`, 'localhost'), local))).toBe(403);
    },
  );

  it.each(['', 'a b', 'localhost:x', 'localhost:65536', 'localhost:123456', 'user@localhost', 'a/b', '[::1', '::1'])(
    '%j is no host: 400',
    (host) => {
      expect(refusal(() => readTarget(request('/', host), local))).toBe(400);
    },
  );

  it('may be missing, as in HTTP/1.0, and must not be there twice', () => {
    expect(readTarget(request('/'), local).path).toBe('/');
    expect(refusal(() => readTarget(request('/', 'localhost', 'localhost'), local))).toBe(400);
  });

  it('may be one that the option names, in any case', () => {
    const named = admin('10.0.0.1', 'Admin.Example');
    for (const host of ['admin.example', 'ADMIN.example:80', '10.0.0.1', 'admin.example.']) {
      expect(readTarget(request('/', host), named).path).toBe('/');
    }
    expect(refusal(() => readTarget(request('/', 'x.admin.example'), named))).toBe(403);
  });

  it('may be the address by which the client has come in, IPv4 in the form of IPv6 as well', () => {
    expect(admin('0.0.0.0').allows('10.1.2.3', '10.1.2.3')).toBe(true);
    expect(admin('::').allows('10.1.2.3', '::ffff:10.1.2.3')).toBe(true);
    expect(admin('::').allows('10.1.2.3', undefined)).toBe(false);
  });

  it('is told without brackets, last dot and zone, and IPv6 in its one form', () => {
    expect(hostName('[2001:DB8:0:0:0:0:0:1]:80')).toBe('2001:db8::1');
    expect(hostName('[::ffff:1.2.3.4]')).toBe('1.2.3.4');
    expect(hostName('A.B.')).toBe('a.b');
    expect(hostName('a:65535')).toBe('a');
    expect(hostName('a:')).toBe('a');
  });

  it('is told back short, so that a log stays readable', () => {
    expect(shorten('x'.repeat(60))).toBe('x'.repeat(60));
    expect(shorten('x'.repeat(61))).toBe(`${'x'.repeat(60)}…`);
  });
});

describe('the method', () => {
  it('that is not allowed is refused with those that are', () => {
    allow(request('/'), 'GET', 'HEAD');
    expect(() => allow(request('/'), 'POST', 'PUT')).toThrow(
      expect.objectContaining({ status: 405, headers: { allow: 'POST, PUT' } }),
    );
  });
});

describe('arguments in a query', () => {
  it('are numbers and booleans where they look so, and text otherwise', () => {
    const text = 'a=3&b=-4&c=true&d=false&e=&f=1.5&g=null&h=0x10&i=123456789012345&j=1234567890123456&k=TRUE&l=x';
    expect(fromQuery(new URLSearchParams(text))).toEqual({
      ...{ a: 3, b: -4, c: true, d: false, e: '', f: '1.5', g: 'null', h: '0x10' },
      ...{ i: 123_456_789_012_345, j: '1234567890123456', k: 'TRUE', l: 'x' },
    });
  });

  it('may be called as what every object has', () => {
    expect(Object.keys(fromQuery(new URLSearchParams('__proto__=1&constructor=2')))).toEqual([
      '__proto__',
      'constructor',
    ]);
  });

  it('are text where they begin with a 0 that is not all of them', () => {
    const text = 'a=007&b=00&c=-01&d=0&e=10';
    expect(fromQuery(new URLSearchParams(text))).toEqual({ a: '007', b: '00', c: '-01', d: 0, e: 10 });
  });
});

describe('the body', () => {
  const body = (pieces: (string | Buffer)[], length?: number): IncomingMessage =>
    Object.assign(Readable.from(pieces.map((piece) => Buffer.from(piece))), {
      headers: length === undefined ? {} : { 'content-length': String(length) },
    }) as unknown as IncomingMessage;
  const status = (given: IncomingMessage): Promise<unknown> => readBody(given).catch((error: Refusal) => error.status);

  it('is a JSON object, in any pieces; nothing means no arguments', async () => {
    expect(await readBody(body(['{"a":', '1}']))).toEqual({ a: 1 });
    expect(await readBody(body([]))).toEqual({});
    expect(await readBody(body([' \n']))).toEqual({});
    const split = Buffer.from('{"a":"ä"}');
    expect(await readBody(body([split.subarray(0, 7), split.subarray(7)]))).toEqual({ a: 'ä' });
  });

  it.each(['[]', 'null', '1', '"a"', '{', 'a=1', '{}x'])('is not %s: 400', async (text) => {
    expect(await status(body([text]))).toBe(400);
  });

  it('may be of 1 MiB, and no byte more: 413', async () => {
    const filled = `{"a":"${'x'.repeat(LIMIT - 8)}"}`;
    expect(filled).toHaveLength(LIMIT);
    expect(await readBody(body([filled], LIMIT))).toHaveProperty('a');
    expect(await status(body([filled, ' ']))).toBe(413);
    expect(await status(body([], LIMIT + 1))).toBe(413);
  });
});

describe('an error as it may leave', () => {
  it('has code, message and detail, and of each path only its last name', () => {
    const error = new ServerError(
      'ERR_FILE',
      { path: '/srv/secret/it.txt', why: 'ENOENT' },
      { cause: new TypeError("Cannot find module '/home/me/app/x.js' imported from file:///home/me/app/y.js") },
    );
    const told = publicError(error);
    expect(told).toMatchObject({ name: 'ServerError', code: 'ERR_FILE', detail: { path: '…/it.txt', why: 'ENOENT' } });
    expect(JSON.stringify(told)).not.toMatch(/srv|home|secret/);
    expect(told.cause?.message).toContain('…/x.js');
  });

  it('has no stack, also where the message has one', () => {
    const error = new Error('it failed\n    at job (/srv/app.js:1:1)\nand more');
    expect(publicError(error)).toEqual({ name: 'Error', message: 'it failed' });
  });

  it('keeps addresses, which are no paths', () => {
    expect(publicError(new Error('GET http://example.com/a/b failed at 10.0.0.1:80')).message).toBe(
      'GET http://example.com/a/b failed at 10.0.0.1:80',
    );
  });

  it('has causes down to the third', () => {
    let error = new Error('0');
    for (let depth = 1; depth < 10; depth++) error = new Error(String(depth), { cause: error });
    let count = 0;
    for (let told: ReturnType<typeof publicError> | undefined = publicError(error); told; told = told.cause) count++;
    expect(count).toBe(4);
  });

  it.each(['text', undefined, null, { message: 'secret' }])('that is none (%j) is told as that', (error) => {
    expect(publicError(error)).toEqual({
      name: 'Error',
      message: 'the command failed with something that is not an error',
    });
  });
});
