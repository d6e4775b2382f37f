import { beforeEach, describe, expect, it } from 'vitest';
import type { ServerError } from '../../src/errors/index.js';
import type { Http1Exchange } from '../../src/http/http1-exchange.js';
import type { HttpRequest } from '../../src/http/request.js';
import { accept, reject } from '../../src/websocket/handshake-answer.js';
import { type UpgradesParts, upgrades } from '../../src/websocket/upgrades.js';
import { FakeExchange, type FakeExchangeOptions } from '../helpers/fake-exchange.js';

/** RFC 6455 1.3. */
const KEY = 'dGhlIHNhbXBsZSBub25jZQ==';
const ACCEPT = 's3pPLMBiTxaQ9kYGzzhZRbK+xOo=';

class Upgrading extends FakeExchange {
  isEnded = false;
  readonly became: [head: string, deflate: boolean][] = [];

  becomeWebSocket(head: string, deflate: boolean): void {
    this.became.push([head, deflate]);
  }
}

let opened: [fd: number, data: unknown, path: string][];
let failures: [error: unknown, what: string][];
let prepared: Map<number, unknown>;

beforeEach(() => {
  [opened, failures, prepared] = [[], [], new Map()];
});

function ask(given: Partial<UpgradesParts> = {}, options: FakeExchangeOptions & { more?: readonly string[] } = {}) {
  const headers = options.headers ?? [
    ...['Host', 'example.com', 'Upgrade', 'WebSocket', 'Connection', 'keep-alive, Upgrade'],
    ...['Sec-WebSocket-Key', KEY, 'Sec-WebSocket-Version', '13', ...(options.more ?? [])],
  ];
  const exchange = new Upgrading({ ...options, headers });
  const take = upgrades({
    ...{ path: '', allowedOrigins: '*', deflate: true, handshake: undefined },
    peerOf: (fd) => ({ remoteAddress: `address of ${fd}`, remotePort: 9 }),
    prepare: (fd, { options }) => void prepared.set(fd, options.data),
    opened: (fd, req) => void opened.push([fd, prepared.get(fd), req.path]),
    failed: (error, what) => void failures.push([error, what]),
    ...given,
  });
  const isTaken = take(exchange as unknown as Http1Exchange);
  return { exchange, isTaken };
}

const answer = (status: number, text: string, fields: string[] = []) => [
  {
    ...{ respond: status, reason: '', body: text === '' ? '' : `${text}\n` },
    fields: ['content-type', 'text/plain; charset=utf-8', ...fields],
  },
];
const lines = (...fields: string[]): string =>
  [
    ...['HTTP/1.1 101 Switching Protocols', 'Upgrade: websocket', 'Connection: Upgrade'],
    ...[`Sec-WebSocket-Accept: ${ACCEPT}`, ...fields, '', ''],
  ].join('\r\n');

describe('a request to become a WebSocket', () => {
  it('is accepted where nobody says otherwise', () => {
    const { exchange, isTaken } = ask({}, { target: '/chat?x' });
    expect(isTaken).toBe(true);
    expect(exchange.became).toEqual([[lines(), false]]);
    expect([exchange.told, opened, failures]).toEqual([[], [[7, undefined, '/chat']], []]);
  });

  it.each([
    ['', '/any', true],
    ['/chat', '/chat', true],
    ['/chat', '/chat?token=1', true],
    ['/chat', '/chat/', false],
    ['/chat', '/', false],
  ])('of a server with the path "%s" that asks for %s is taken: %s', (path, target, taken) => {
    const { exchange, isTaken } = ask({ path }, { target });
    expect([isTaken, exchange.became.length, exchange.told]).toEqual([taken, taken ? 1 : 0, []]);
  });

  it.each([
    ['websocket', true],
    ['h2c, WEBSOCKET', true],
    ['h2c', false],
    [undefined, false],
  ])('that wants to become %s is taken: %s', (wanted, taken) => {
    const upgrade = wanted === undefined ? [] : ['Upgrade', wanted];
    const rest = ['Host', 'h', 'Connection', 'Upgrade', 'Sec-WebSocket-Key', KEY, 'Sec-WebSocket-Version', '13'];
    expect(ask({}, { headers: [...upgrade, ...rest] }).isTaken).toBe(taken);
  });

  it('that is none of RFC 6455 is answered, and says what is there', () => {
    const base = ['Host', 'h', 'Upgrade', 'websocket', 'Connection', 'Upgrade', 'Sec-WebSocket-Key', KEY];
    const { exchange } = ask({}, { headers: [...base, 'Sec-WebSocket-Version', '8'] });
    const fields = ['Sec-WebSocket-Version', '13', 'Upgrade', 'websocket', 'Connection', 'Upgrade'];
    expect(exchange.told).toEqual(answer(426, 'The Sec-WebSocket-Version is not 13.', fields));
    expect([exchange.became, opened]).toEqual([[], []]);
    expect(ask({}, { method: 'POST' }).exchange.told).toEqual(
      answer(405, 'A WebSocket is opened by GET.', ['Allow', 'GET']),
    );
  });

  it.each([
    ['same', 'http://example.com', true],
    ['same', 'http://evil.com', false],
    [['https://a.com'], 'https://a.com', true],
    [['https://a.com'], 'https://b.com', false],
    ['*', 'https://b.com', true],
  ] as const)('where %s may connect, from %s is accepted: %s', (allowedOrigins, origin, isAllowed) => {
    const { exchange } = ask({ allowedOrigins }, { more: ['Origin', origin] });
    expect(exchange.became).toHaveLength(isAllowed ? 1 : 0);
    expect(exchange.told).toEqual(isAllowed ? [] : answer(403, 'This origin may not connect.'));
  });

  it.each([
    [
      'permessage-deflate',
      true,
      ['Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; client_no_context_takeover'],
      true,
    ],
    ['permessage-deflate; server_max_window_bits=10', true, [], false],
    ['permessage-deflate', false, [], false],
    ['x-other', true, [], false],
  ])('that offers %s to a server that compresses, %s, gets %j', (offer, deflate, fields, isDeflated) => {
    const { exchange } = ask({ deflate }, { more: ['Sec-WebSocket-Extensions', offer] });
    expect(exchange.became).toEqual([[lines(...fields), isDeflated]]);
  });
});

it.each([
  [['Content-Length', '5'], 400],
  [['Transfer-Encoding', 'chunked'], 400],
  [['Content-Length', '0'], 0],
])('an upgrade with %j behind it: %d', (more, status) => {
  const { exchange } = ask({}, { more });
  expect(exchange.told).toEqual(status === 0 ? [] : answer(400, 'An upgrade has no body.'));
  expect(exchange.became.length).toBe(status === 0 ? 1 : 0);
});

describe('the callback of a handshake', () => {
  const more = ['Sec-WebSocket-Protocol', 'one, two'];

  it('sees the request and its client', () => {
    let seen: HttpRequest | undefined;
    const handshake = (req: HttpRequest): void => {
      seen = req;
    };
    ask({ handshake }, { more: ['X-A', '1'] });
    expect([seen?.header('x-a'), seen?.remoteAddress, seen?.remotePort]).toEqual(['1', 'address of 7', 9]);
  });

  it.each<[string, () => unknown]>([
    ['at once', () => accept({ protocol: 'two', data: { name: 'x' }, headers: { 'X-A': '1', 'X-B': '2' } })],
    ['later', async () => accept({ protocol: 'two', data: { name: 'x' }, headers: { 'X-A': '1', 'X-B': '2' } })],
  ])('accepts %s, with a subprotocol, data, and fields', async (_, handshake) => {
    const { exchange } = ask({ handshake }, { more });
    await Promise.resolve();
    expect(exchange.became).toEqual([[lines('Sec-WebSocket-Protocol: two', 'X-A: 1', 'X-B: 2'), false]]);
    expect(opened).toEqual([[7, { name: 'x' }, '/']]);
  });

  it.each<[string, () => unknown]>([['accept()', () => accept()]])('that returns %s accepts', (_, handshake) => {
    expect(ask({ handshake }).exchange.became).toEqual([[lines(), false]]);
  });

  it.each<[string, () => unknown, number, string]>([
    ['403', () => reject(), 403, ''],
    ['401 and a text', () => reject(401, 'Who are you?'), 401, 'Who are you?'],
    ['599 later', async () => reject(599, 'No.'), 599, 'No.'],
  ])('rejects with %s', async (_, handshake, status, text) => {
    const { exchange } = ask({ handshake });
    await Promise.resolve();
    expect([exchange.told, exchange.became, opened]).toEqual([answer(status, text), [], []]);
  });

  const boom = new Error('boom');
  it.each<[string, (req: HttpRequest) => unknown]>([
    [
      'throws',
      () => {
        throw boom;
      },
    ],
    ['rejects', () => Promise.reject(boom)],
  ])('that %s is answered 500, and told of', async (_, handshake) => {
    const { exchange } = ask({ handshake });
    await new Promise(setImmediate);
    expect(exchange.told).toEqual(answer(500, 'Internal Server Error'));
    expect([failures, opened, exchange.became]).toEqual([[[boom, 'handshake']], [], []]);
  });

  it('whose data cannot be kept has failed, before the client hears anything', () => {
    const prepare = (): void => {
      throw boom;
    };
    const { exchange } = ask({ handshake: () => accept({ data: 1 }), prepare });
    expect(exchange.told).toEqual(answer(500, 'Internal Server Error'));
    expect([failures, opened, exchange.became]).toEqual([[[boom, 'handshake']], [], []]);
  });

  it('may set several cookies', () => {
    const { exchange } = ask({ handshake: () => accept({ headers: { 'set-cookie': ['a=1', 'b=2'] } }) });
    expect(exchange.became).toEqual([[lines('set-cookie: a=1', 'set-cookie: b=2'), false]]);
  });

  it.each([
    [null, /takes an object, not null/],
    [{ headers: null }, /headers must be an object/],
    [{ headers: { Upgrade: 'h2c' } }, /is that of the handshake itself/],
    [{ headers: { 'Sec-WebSocket-Accept': 'x' } }, /is that of the handshake itself/],
    [{ headers: { 'content-length': '5' } }, /is that of the handshake itself/],
    [{ headers: { 'set-cookie': ['a', 5] } }, /a name or value that HTTP forbids/],
  ])('cannot accept with %j', (options, why) => {
    expect(() => accept(options as never)).toThrow(why);
  });

  it.each<[unknown, RegExp]>([
    [true, /returned/],
    [undefined, /returned undefined/],
    [accept({ protocol: 'three' }), /\["one","two"\], and "three" is none of them/],
  ])('that returns %o has failed', (value, why) => {
    const { exchange } = ask({ handshake: () => value }, { more });
    expect(exchange.told).toEqual(answer(500, 'Internal Server Error'));
    const [[error, what] = []] = failures;
    expect([(error as ServerError).code, what]).toEqual(['ERR_HANDSHAKE', 'handshake']);
    expect((error as ServerError).message).toMatch(why);
  });

  it.each(['isEnded', 'isGone'] as const)('comes too late where the exchange %s', async (state) => {
    let end: ((value: unknown) => void) | undefined;
    const { exchange } = ask({
      handshake: () =>
        new Promise((resolve) => {
          end = resolve;
        }),
    });
    exchange[state] = true;
    end?.(accept());
    await new Promise(setImmediate);
    expect([exchange.became, opened, failures]).toEqual([[], [], []]);
  });
});

describe('the answer to a handshake', () => {
  it.each([
    { protocol: 5 as never },
    { headers: { 'a b': '1' } },
    { headers: { a: 'b\r\nc: d' } },
    { headers: { a: '\0' } },
    { headers: { a: '\x7f' } },
    { headers: { a: '\u0100' } },
    { headers: { a: 5 as never } },
    { headers: { '': 'x' } },
  ])('may not be %j', (options) => {
    expect(() => accept(options)).toThrow(expect.objectContaining({ code: 'ERR_HANDSHAKE' }));
  });

  it('may have tabs and latin letters in its fields', () => {
    const headers = { 'a!#$%&': '\té ÿ~', b: '' };
    expect(accept({ headers }).options).toEqual({ headers });
  });

  it.each([
    [399, ''],
    [600, ''],
    [404.5, ''],
    ['404', ''],
    [404, 5],
  ])('cannot be reject(%j, %j)', (status, body) => {
    expect(() => reject(status as number, body as string)).toThrow(expect.objectContaining({ code: 'ERR_HANDSHAKE' }));
  });

  it.each([400, 599])('can be reject(%d)', (status) => {
    expect(reject(status, 'x')).toMatchObject({ status, body: 'x' });
  });
});
