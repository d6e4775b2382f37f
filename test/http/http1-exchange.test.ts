import { beforeEach, describe, expect, it } from 'vitest';
import { AnswerFrames } from '../../src/http/answer-frames.js';
import { AnswerHeads } from '../../src/http/answer-head.js';
import { byClient } from '../../src/http/cut.js';
import { Http1Exchange, type Http1Host } from '../../src/http/http1-exchange.js';
import type { RequestSpan } from '../../src/http/request-span.js';
import { AnswerFlag, BodyFlag, JoinAs, Request, RequestBit, RequestFlag } from '../../src/ipc/frame.js';
import { filePayload } from '../../src/ipc/frames/file.js';
import { firstWordOf, readTicket, secondWordOf, takenPayload } from '../../src/ipc/frames/http.js';
import type { Outbox } from '../../src/ipc/outbox.js';
import type { Reply } from '../../src/ipc/reply.js';
import { type RequestFrame, requestFrame } from '../../src/ipc/request-frame.js';
import { methods } from '../../src/protocol/http/methods.js';

const FD = 64;
const EXCHANGE = 5;
const { last: LAST, close: CLOSE, interim: INTERIM, tunnel: TUNNEL } = AnswerFlag;
const STAYS = RequestBit.keepAlive;

interface Sent {
  readonly flags: number;
  readonly bytes: string;
}

/** A worker that notes what is sent. */
class FakeHost implements Http1Host {
  isDraining = false;
  seesEnds = true;
  isLeaving = false;
  readonly heads = new AnswerHeads();
  canSend = true;
  isOpen = true;
  sent: Sent[] = [];
  calls: unknown[][] = [];
  readonly statuses: number[] = [];

  readonly outbox = {
    reply: (reply: Reply) => {
      expect([reply.type, reply.sessionId, reply.detail]).toEqual([Request.answer, FD, EXCHANGE]);
      const bytes = Buffer.alloc(reply.bytes);
      reply.writeTo(bytes, 0);
      this.sent.push({ flags: reply.flags, bytes: bytes.toString() });
      return this.canSend;
    },
    request: (frame: RequestFrame) => this.calls.push(['request', frame]),
    notify: (frame: RequestFrame) => this.calls.push(['notify', frame]),
    close: (...args: unknown[]) => this.calls.push(['close', ...args]),
    drain: async () => void this.calls.push(['drain']),
    isOpen: () => this.isOpen,
    rooms: {
      areThere: true,
      join: (...args: unknown[]) => this.calls.push(['join', ...args]) > 0,
    },
  } as unknown as Outbox;

  readonly frames = new AnswerFrames(this.outbox);

  remote = () => ({ remoteAddress: '192.0.2.1', remotePort: 4711 });
  answered = (status: number) => void this.statuses.push(status);
  ended = () => void this.calls.push(['ended']);
  detached = () => void this.calls.push(['detached']);
  openTunnel = () => {
    this.calls.push(['tunnel']);
    return { the: 'tunnel' } as never;
  };
}

let host: FakeHost;

beforeEach(() => {
  host = new FakeHost();
});

interface Asked {
  readonly method?: string;
  readonly bits?: number;
  readonly body?: string;
  readonly bodyFollows?: boolean;
}

function exchangeOf({ method = 'GET', bits = STAYS, body = '', bodyFollows = false }: Asked = {}): Http1Exchange {
  const target = '/path?q=1';
  const head = `${method} ${target} HTTP/1.1\r\nHost: a.test\r\nX-Two: b\r\n\r\n`;
  const before = 'bytes before';
  const bytes = Buffer.from(`${before}${head}${body} bytes behind`);
  const from = method.length + 1;
  const at = before.length;
  const first = firstWordOf(head.length, methods.indexOf(method as never), bits);
  const second = secondWordOf(from, from + target.length);
  const flags = bodyFollows ? RequestFlag.bodyFollows : 0;
  const end = at + head.length + body.length;
  const exchange = new Http1Exchange(host, { fd: FD, exchange: EXCHANGE, flags, first, second, bytes, at, end });
  exchange.isTracked = true;
  return exchange;
}

/** What went out, without the date. */
function wire(): string {
  const all = host.sent.map(({ bytes }) => bytes).join('');
  return all.replaceAll(/date: [^\r]*\r\n/g, '').replaceAll('\r\n', '\n');
}

const flagsSent = (): number[] => host.sent.map(({ flags }) => flags);

describe('a request', () => {
  it('is read from the bytes that came', async () => {
    const exchange = exchangeOf({ method: 'POST', body: 'the body' });
    expect([exchange.method, exchange.target, exchange.httpVersion]).toEqual(['POST', '/path?q=1', '1.1']);
    expect(exchange.rawHeaders).toEqual(['Host', 'a.test', 'X-Two', 'b']);
    expect(exchange.body.whole?.toString()).toBe('the body');
    expect([exchange.fd, exchange.number, exchange.remoteAddress, exchange.remotePort]).toEqual([
      FD,
      EXCHANGE,
      '192.0.2.1',
      4711,
    ]);
    expect([exchange.hasWholeBody, exchange.isUpload]).toEqual([true, false]);
  });

  it.each([
    [RequestBit.http2, 'isHttp2'],
    [RequestBit.tls, 'isEncrypted'],
    [RequestBit.chunked, 'isChunked'],
    [RequestBit.upgrade, 'isUpgrade'],
    [RequestBit.expectsOther, 'expectsOther'],
  ] as const)('with the bit %i alone %s', (bit, name) => {
    const all = ['isHttp2', 'isEncrypted', 'isChunked', 'isUpgrade', 'expectsOther'] as const;
    const exchange = exchangeOf({ bits: bit });
    expect(all.filter((one) => exchange[one])).toEqual([name]);
  });

  it('of HTTP/1.0 says so', () => {
    expect(exchangeOf({ bits: RequestBit.http10 }).httpVersion).toBe('1.0');
  });

  it('without a body has none that could be waited for', async () => {
    expect(await exchangeOf().body.next()).toBeNull();
  });

  it('whose body follows is an upload until it has come, or the answer is given', async () => {
    const exchange = exchangeOf({ bodyFollows: true });
    expect([exchange.hasWholeBody, exchange.isUpload, exchange.body.whole]).toEqual([false, true, null]);
    const next = exchange.body.next();
    exchange.bodyCame(Buffer.alloc(70_000), BodyFlag.last);
    expect((await next)?.length).toBe(70_000);
    expect([exchange.hasWholeBody, exchange.isUpload]).toEqual([true, false]);
    const other = exchangeOf({ bodyFollows: true });
    other.respond(200, '', [], '');
    expect(other.isUpload).toBe(false);
    await expect(other.body.next()).rejects.toMatchObject({
      code: 'ERR_HTTP_BODY_CUT',
      detail: { reason: 'answered' },
    });
  });

  it('lets the reactor send more of its body', () => {
    exchangeOf({ bodyFollows: true }).taken(123);
    expect(host.calls).toEqual([['notify', requestFrame(Request.taken, FD, 0, EXCHANGE, takenPayload(123))]]);
    host.isOpen = false;
    exchangeOf({ bodyFollows: true }).taken(123);
    expect(host.calls).toHaveLength(1);
  });

  it('whose client waits is told to continue when its body is wanted, and not when it is there', () => {
    const asks = { bodyFollows: true, bits: STAYS | RequestBit.asksContinue };
    void exchangeOf(asks).body.next();
    expect(host.sent).toEqual([{ flags: INTERIM | AnswerFlag.continue, bytes: 'HTTP/1.1 100 Continue\r\n\r\n' }]);
    host.sent = [];
    void exchangeOf({ bodyFollows: true }).body.next();
    const left = exchangeOf(asks);
    left.leaveContinue();
    void left.body.next();
    exchangeOf({ body: 'there' }).sendContinue();
    const answered = exchangeOf(asks);
    answered.respond(200, '', [], '');
    host.sent = [];
    answered.sendContinue();
    expect(host.sent).toEqual([]);
  });
});

describe('an answer at once', () => {
  it('is one piece, the last one, and the connection stays', () => {
    const exchange = exchangeOf();
    exchange.respond(200, '', ['x-a', '1'], 'Hello');
    expect(wire()).toBe('HTTP/1.1 200 OK\nx-a: 1\ncontent-length: 5\n\nHello');
    expect([flagsSent(), exchange.isEnded, host.calls]).toEqual([[LAST], true, [['ended']]]);
    exchange.respond(200, '', [], 'again');
    expect(host.sent).toHaveLength(1);
    expect(host.statuses).toEqual([200]);
  });

  it.each([
    ['the client wants it', { bits: 0 }, {}],
    ['the server is shutting down', {}, { isDraining: true }],
    ['a part of its body is not read', { bodyFollows: true }, {}],
  ] as const)('ends the connection where %s, also when its head is kept', (_, asked, given) => {
    Object.assign(host, given);
    for (let i = 0; i < 3; i++) exchangeOf(asked).respond(204, '', [], '');
    expect(flagsSent()).toEqual([LAST | CLOSE, LAST | CLOSE, LAST | CLOSE]);
    expect(wire()).toBe('HTTP/1.1 204 No Content\nconnection: close\n\n'.repeat(3));
  });

  it('ends the connection where a field of the handler says so', () => {
    for (let i = 0; i < 3; i++) exchangeOf().respond(204, '', ['connection', 'close'], '');
    expect(flagsSent()).toEqual([LAST | CLOSE, LAST | CLOSE, LAST | CLOSE]);
  });

  it('says to a client of HTTP/1.0 that the connection stays', () => {
    exchangeOf({ bits: STAYS | RequestBit.http10 }).respond(204, '', [], '');
    expect(wire()).toBe('HTTP/1.1 204 No Content\nconnection: keep-alive\n\n');
  });

  it('is the same for the third time as for the first', () => {
    for (let i = 0; i < 3; i++) exchangeOf().respond(200, '', [], i === 1 ? Buffer.from('bytes') : 'textt');
    const one = 'HTTP/1.1 200 OK\ncontent-length: 5\n\n';
    expect(wire()).toBe(`${one}textt${one}bytes${one}textt`);
    expect(flagsSent()).toEqual([LAST, LAST, LAST]);
  });

  it.each([
    ['é', 2],
    [`${'a'.repeat(63)}é`, 65],
    [`${'a'.repeat(64)}é`, 66],
    ['\u007f', 1],
    ['\u0080', 2],
  ])('of the text %s has %i bytes', (text, length) => {
    exchangeOf().respond(200, '', [], text);
    expect(wire()).toBe(`HTTP/1.1 200 OK\ncontent-length: ${length}\n\n${text}`);
  });

  it.each([
    ['HEAD', 200, 'content-length: 4\n'],
    ['GET', 204, ''],
    ['GET', 304, ''],
  ])('to %s of status %i has no body', (method, status, length) => {
    for (const body of ['body', Buffer.from('body')]) exchangeOf({ method }).respond(status, 'R', [], body);
    expect(wire()).toBe(`HTTP/1.1 ${status} R\n${length}\n`.repeat(2));
  });
});

describe('an answer in pieces', () => {
  it('without a length is chunked', () => {
    const exchange = exchangeOf();
    exchange.begin(200, '', ['x-a', '1']);
    expect([exchange.write('0123456789abcdef'), exchange.write(Buffer.from('bytes')), exchange.write('')]).toEqual([
      true,
      true,
      true,
    ]);
    exchange.write('é');
    exchange.end('end', ['x-sum', '7']);
    expect(wire()).toBe(
      'HTTP/1.1 200 OK\nx-a: 1\ntransfer-encoding: chunked\n\n10\n0123456789abcdef\n5\nbytes\n2\né\n3\nend\n0\nx-sum: 7\n\n',
    );
    expect([flagsSent(), exchange.isEnded, host.calls]).toEqual([[0, 0, 0, 0, LAST], true, [['ended']]]);
  });

  it('leaves the connection open where the body has come whole by its end, and ends it where not', () => {
    for (const flags of [BodyFlag.last, 0]) {
      const exchange = exchangeOf({ bodyFollows: true });
      exchange.body.claim();
      exchange.begin(200, '', []);
      exchange.bodyCame(Buffer.from('all of it'), flags);
      exchange.end();
    }
    expect(flagsSent()).toEqual([0, LAST, 0, LAST | CLOSE]);
    expect(wire()).toBe('HTTP/1.1 200 OK\ntransfer-encoding: chunked\n\n0\n\n'.repeat(2));
  });

  it('says that it ends the connection where nobody has asked for the body, and the client need not send it', () => {
    const exchange = exchangeOf({ bodyFollows: true });
    exchange.begin(200, '', []);
    exchange.end();
    expect(wire()).toBe('HTTP/1.1 200 OK\nconnection: close\ntransfer-encoding: chunked\n\n0\n\n');
    expect(flagsSent()).toEqual([0, LAST | CLOSE]);
    exchangeOf({ bodyFollows: true, bits: STAYS | RequestBit.asksContinue }).begin(200, '', []);
    expect(wire()).not.toContain('100 Continue');
  });

  it('says that it ends the connection to a client of HTTP/1.0', () => {
    const old = exchangeOf({ bodyFollows: true, bits: STAYS | RequestBit.http10 });
    old.body.claim();
    old.begin(200, '', ['content-length', '0']);
    expect(wire()).toBe('HTTP/1.1 200 OK\ncontent-length: 0\nconnection: close\n\n');
  });

  it('lets a client send its body that asks whether it may, before the head: it may be what the answer is made of', () => {
    const exchange = exchangeOf({ bodyFollows: true, bits: STAYS | RequestBit.asksContinue });
    exchange.body.claim();
    exchange.begin(200, '', []);
    void exchange.body.next();
    expect(wire()).toBe('HTTP/1.1 100 Continue\n\nHTTP/1.1 200 OK\ntransfer-encoding: chunked\n\n');
  });

  it('does not, where it is none that needs it, and never behind the head', () => {
    const exchange = exchangeOf({ bodyFollows: true, bits: STAYS | RequestBit.asksContinue });
    exchange.body.claim();
    exchange.begin(404, '', []);
    exchange.body.next().catch(() => {});
    expect(wire()).toBe('HTTP/1.1 404 Not Found\nconnection: close\ntransfer-encoding: chunked\n\n');
    exchange.end();
    expect(flagsSent().at(-1)).toBe(LAST | CLOSE);
  });

  it('ends without a last piece too', () => {
    const exchange = exchangeOf({ bits: 0 });
    exchange.begin(200, '', []);
    exchange.end();
    exchange.end();
    expect(wire()).toBe('HTTP/1.1 200 OK\nconnection: close\ntransfer-encoding: chunked\n\n0\n\n');
    expect(flagsSent()).toEqual([0, LAST | CLOSE]);
  });

  it.each([16_384, 16_385])('of %i bytes frames them right, the last flag behind all of it', (length) => {
    const exchange = exchangeOf();
    exchange.begin(200, '', []);
    host.sent = [];
    exchange.end(Buffer.alloc(length, 'x'));
    expect(wire()).toBe(`${length.toString(16)}\n${'x'.repeat(length)}\n0\n\n`);
    expect(flagsSent()).toEqual([LAST]);
  });

  it('with a length has as many bytes', () => {
    const exchange = exchangeOf();
    exchange.begin(200, '', ['content-length', '7']);
    exchange.write('ab');
    exchange.write(Buffer.from('cd'));
    exchange.end('é!');
    expect(wire()).toBe('HTTP/1.1 200 OK\ncontent-length: 7\n\nabcdé!');
    expect(flagsSent()).toEqual([0, 0, 0, LAST]);
  });

  it('with a length may have neither more nor less', () => {
    const code = expect.objectContaining({ code: 'ERR_HTTP_CONTENT_LENGTH' });
    const exchange = exchangeOf();
    exchange.begin(200, '', ['content-length', '3']);
    expect(() => exchange.write('four')).toThrowError(code);
    expect(() => exchange.writeFile({ path: '/f', offset: 0, length: 4 })).toThrowError(code);
    expect(() => exchange.end('ab')).toThrowError(code);
    expect([host.sent.length, exchange.isEnded]).toEqual([1, false]);
  });

  it('has parts of files', () => {
    const exchange = exchangeOf();
    exchange.begin(200, '', ['content-length', '10']);
    exchange.writeFile({ path: '/file', offset: 3, length: 10 });
    exchange.writeFile({ path: '/file', offset: 3, length: 0 });
    exchange.end();
    exchange.writeFile({ path: '/file', offset: 3, length: 1 });
    expect(host.calls).toEqual([
      ['request', requestFrame(Request.answerFile, FD, 0, EXCHANGE, filePayload('/file', 3, 10))],
      ['ended'],
    ]);
  });

  it('is ended by the end of the connection in HTTP/1.0 where it has no length', () => {
    const exchange = exchangeOf({ bits: STAYS | RequestBit.http10 });
    exchange.begin(200, '', []);
    exchange.end('body');
    expect(wire()).toBe('HTTP/1.1 200 OK\nconnection: close\n\nbody');
    expect(flagsSent()).toEqual([0, LAST | CLOSE]);
    host.sent = [];
    const other = exchangeOf({ bits: STAYS | RequestBit.http10 });
    other.begin(200, '', ['content-length', '4']);
    other.end('body');
    expect(wire()).toBe('HTTP/1.1 200 OK\ncontent-length: 4\nconnection: keep-alive\n\nbody');
  });

  it.each([
    ['HEAD', 200, ['content-length', '9'], 'content-length: 9\n'],
    ['HEAD', 200, [], 'transfer-encoding: chunked\n'],
    ['GET', 204, ['content-length', '9'], ''],
    ['GET', 304, ['content-length', '9'], 'content-length: 9\n'],
  ] as const)('to %s of status %i has no body', (method, status, fields, lines) => {
    const exchange = exchangeOf({ method });
    exchange.begin(status, 'R', fields);
    expect([exchange.write('not sent'), exchange.writeFile({ path: '/f', offset: 0, length: 3 })]).toEqual([
      true,
      undefined,
    ]);
    exchange.end('nor this');
    expect(wire()).toBe(`HTTP/1.1 ${status} R\n${lines}\n`);
    expect(flagsSent().at(-1)).toBe(LAST);
  });

  it('tells who writes that the client does not keep up', async () => {
    const exchange = exchangeOf();
    exchange.begin(200, '', []);
    host.canSend = false;
    expect(exchange.write('a')).toBe(false);
    await exchange.drain();
    expect(host.calls).toEqual([['drain']]);
    exchange.gone(byClient);
    await exchange.drain();
    expect(host.calls).toEqual([['drain'], ['ended']]);
    expect(exchange.write('b')).toBe(false);
  });
});

describe('an answer before the answer', () => {
  it('has its fields and nothing of the connection', () => {
    const exchange = exchangeOf();
    exchange.inform(103, ['link', '</a>', 'content-length', '3']);
    expect(host.sent).toEqual([{ flags: INTERIM, bytes: 'HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n' }]);
    expect(exchange.isEnded).toBe(false);
  });

  it('is not for HTTP/1.0, nor behind the answer', () => {
    exchangeOf({ bits: RequestBit.http10 }).inform(103, []);
    expect(host.sent).toEqual([]);
    const exchange = exchangeOf();
    exchange.respond(204, '', [], '');
    exchange.inform(103, []);
    expect(host.sent).toHaveLength(1);
  });
});

describe('a client that leaves', () => {
  it('ends the exchange, its body, and tells who listens, once', async () => {
    const exchange = exchangeOf({ bodyFollows: true });
    const heard: string[] = [];
    exchange.onGone(() => heard.push('one'));
    exchange.onGone(() => heard.push('two'));
    exchange.gone(byClient);
    exchange.gone(byClient);
    exchange.onGone(() => heard.push('late'));
    expect([heard, exchange.isGone, exchange.isEnded, host.calls]).toEqual([
      ['one', 'two', 'late'],
      true,
      true,
      [['ended']],
    ]);
    await expect(exchange.body.next()).rejects.toMatchObject({ code: 'ERR_HTTP_CLIENT_GONE' });
    exchange.respond(200, '', [], 'x');
    exchange.begin(200, '', []);
    exchange.end();
    expect(host.sent).toEqual([]);
  });

  it.each([false, true])('with its side only can be answered; whether the answer had begun is told: %s', (hasBegun) => {
    const exchange = exchangeOf();
    const heard: boolean[] = [];
    exchange.onHalfClosed((begun) => heard.push(begun));
    if (hasBegun) exchange.begin(200, '', []);
    exchange.ended();
    exchange.ended();
    exchange.onHalfClosed((begun) => heard.push(begun));
    expect([heard, exchange.isGone, exchange.isEnded]).toEqual([[hasBegun, hasBegun], false, false]);
  });

  it('with its side is not told where it had gone', () => {
    const exchange = exchangeOf();
    exchange.onHalfClosed(() => expect.unreachable());
    exchange.gone(byClient);
    exchange.ended();
  });

  it.each([
    [{ seesEnds: false, isOpen: false }, true],
    [{ seesEnds: false, isOpen: true }, false],
    [{ seesEnds: true, isOpen: false }, false],
  ])('shows where no event tells of it when something is sent: %j', (given, isGone) => {
    Object.assign(host, given, { canSend: false });
    const exchange = exchangeOf();
    exchange.begin(200, '', []);
    expect(exchange.isGone).toBe(isGone);
  });

  it('is what the handler may bring about', () => {
    const exchange = exchangeOf();
    exchange.abort();
    exchange.abort();
    expect([host.calls, exchange.isGone]).toEqual([[['close', FD, true], ['ended']], true]);
  });
});

describe('a process that leaves', () => {
  it('tells who listens', () => {
    let left = 0;
    const exchange = exchangeOf();
    exchange.leave();
    exchange.onLeaving(() => left++);
    expect(left).toBe(0);
    exchange.leave();
    expect(left).toBe(1);
    host.isLeaving = true;
    exchangeOf().onLeaving(() => left++);
    expect(left).toBe(2);
  });
});

describe('a request that another process answers', () => {
  it('is found there by its ticket, and is over here', () => {
    const exchange = exchangeOf({ method: 'POST', bits: STAYS | RequestBit.tls });
    const { exchange: number, first } = readTicket(exchange.detach());
    expect([number, first >>> 24, (first >>> 16) & 0xff]).toEqual([
      EXCHANGE,
      STAYS | RequestBit.tls,
      methods.indexOf('POST'),
    ]);
    expect([exchange.isEnded, host.calls]).toEqual([true, [['detached'], ['ended']]]);
  });

  it('has all of its body', () => {
    const exchange = exchangeOf({ bodyFollows: true });
    expect(() => exchange.detach()).toThrowError(expect.objectContaining({ code: 'ERR_HTTP_DETACH' }));
    expect(exchange.isEnded).toBe(false);
  });
});

describe('an event stream in a room', () => {
  it.each([
    ['in chunks', STAYS, JoinAs.chunkedEvents],
    ['without them, to a client of HTTP/1.0', RequestBit.http10, JoinAs.events],
  ])('joins %s', (_, bits, as) => {
    const exchange = exchangeOf({ bits });
    exchange.begin(200, '', []);
    expect([exchange.mayJoin, exchange.join('news'), host.calls]).toEqual([true, true, [['join', FD, 'news', as]]]);
  });

  it('has begun, has a body, and has not ended', () => {
    const exchange = exchangeOf();
    expect(exchange.join('news')).toBe(false);
    exchange.begin(200, '', []);
    exchange.end();
    expect(exchange.join('news')).toBe(false);
    const head = exchangeOf({ method: 'HEAD' });
    head.begin(200, '', []);
    expect(head.join('news')).toBe(false);
    expect(host.calls).not.toContainEqual(expect.arrayContaining(['join']));
  });

  it.each([
    ['in chunks', STAYS],
    ['without them', RequestBit.http10],
  ])('gets events of 16 KiB at most, which others may stand between, %s', (_, bits) => {
    const exchange = exchangeOf({ bits });
    exchange.begin(200, '', []);
    exchange.join('news');
    const most = 16 * 1024;
    expect(exchange.write('x'.repeat(most))).toBe(true);
    expect(() => exchange.write('x'.repeat(most + 1))).toThrowError(
      expect.objectContaining({
        code: 'ERR_HTTP_SSE',
        detail: expect.objectContaining({ field: 'data', received: `${most + 1} bytes` }),
      }),
    );
  });
});

describe('an upgrade to WebSocket', () => {
  it.each([
    [false, AnswerFlag.webSocket],
    [true, AnswerFlag.webSocket | AnswerFlag.deflate],
  ])('passes on its head and whether it deflates (%s), once', (deflate, flags) => {
    const exchange = exchangeOf();
    exchange.becomeWebSocket('HTTP/1.1 101 X\r\n\r\n', deflate);
    exchange.becomeWebSocket('again', deflate);
    expect([wire(), flagsSent(), exchange.isEnded]).toEqual(['HTTP/1.1 101 X\n\n', [LAST | flags], true]);
  });
});

describe('an answer as bytes', () => {
  it('goes out as it is', () => {
    const exchange = exchangeOf();
    expect([exchange.writeRaw('é', 'utf8'), exchange.writeRaw(Buffer.from('b')), exchange.writeRaw('')]).toEqual([
      true,
      true,
      true,
    ]);
    exchange.writeRaw('a');
    exchange.finish(false);
    expect([wire(), flagsSent(), exchange.isEnded]).toEqual(['éba', [0, 0, 0, LAST], true]);
    exchange.finish(true);
    expect([exchange.writeRaw('x'), host.sent.length]).toEqual([false, 4]);
  });

  it.each([
    [STAYS, true, LAST | CLOSE],
    [0, false, LAST | CLOSE],
    [STAYS, false, LAST],
  ])('ends the connection where it must', (bits, close, flags) => {
    exchangeOf({ bits }).finish(close);
    expect(flagsSent()).toEqual([flags]);
  });

  it('is counted once, by the status of the answer that counts', () => {
    const text = exchangeOf();
    const traced: number[] = [];
    text.span = { answers: (status: number) => traced.push(status) } as unknown as RequestSpan;
    text.writeRaw('HTTP/1.1 103 Early Hints\r\n\r\n');
    text.writeRaw('HTTP/1.1 404 Not Found\r\n\r\n');
    text.writeRaw('HTTP/1.1 500 is a part of the body');
    exchangeOf().writeRaw(Buffer.from('HTTP/1.1 503 Service Unavailable\r\n\r\n'));
    expect([host.statuses, traced]).toEqual([
      [404, 503],
      [103, 404],
    ]);
  });

  it('may become a tunnel', () => {
    const exchange = exchangeOf();
    expect(exchange.tunnel({} as never)).toEqual({ the: 'tunnel' });
    expect([flagsSent(), exchange.isEnded, host.calls]).toEqual([[LAST | TUNNEL], true, [['tunnel'], ['ended']]]);
  });
});

it('an exchange that nobody keeps tells nobody of its end', () => {
  const exchange = exchangeOf();
  exchange.isTracked = false;
  exchange.respond(204, '', [], '');
  expect(host.calls).toEqual([]);
});
