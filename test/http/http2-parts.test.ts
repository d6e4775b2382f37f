import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import type { OutgoingHttpHeaders, ServerHttp2Stream } from 'node:http2';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Duplex } from 'node:stream';
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import { byAnswer, byClient } from '../../src/http/cut.js';
import { watchEnd } from '../../src/http/http2/end-seen.js';
import { answerHeaders, type HeadLimits, readHead, toHeaders, withoutRepeats } from '../../src/http/http2/fields.js';
import type { HeldStream } from '../../src/http/http2/held-connection.js';
import { Http2Exchange, type Http2Host } from '../../src/http/http2/http2-exchange.js';
import { Outgoing } from '../../src/http/http2/outgoing.js';
import { StreamBody } from '../../src/http/http2/stream-body.js';
import { breakOff, closeBehindAnswer, refuse } from '../../src/http/http2/stream-end.js';

afterEach(() => vi.useRealTimers());

/** A stream of HTTP/2 without a connection: what it is told is noted, and its client does what the test says. */
class FakeStream extends Duplex {
  readonly id = 1;
  headersSent = false;
  endAfterHeaders = false;
  rstCode = 0;
  state = { remoteClose: 0 };
  readonly told: unknown[] = [];
  readonly taken: Buffer[] = [];
  /** The client takes nothing. */
  isHeld = false;
  refuses: Error | undefined;
  #isClosed = false;
  #pending: (() => void)[] = [];

  constructor(options: { highWaterMark?: number } = {}) {
    super({ ...options, emitClose: true });
    this.on('error', () => {});
    this.on('close', () => {
      this.#isClosed = true;
    });
    Object.defineProperty(this, 'closed', { get: () => this.#isClosed });
  }

  static of(): FakeStream & ServerHttp2Stream {
    return new FakeStream() as unknown as FakeStream & ServerHttp2Stream;
  }

  override _read(): void {}

  override _write(data: Buffer, _encoding: BufferEncoding, done: () => void): void {
    this.taken.push(Buffer.from(data));
    if (this.isHeld) this.#pending.push(done);
    else done();
  }

  letGo(): void {
    this.isHeld = false;
    for (const done of this.#pending.splice(0)) done();
  }

  respond(headers: OutgoingHttpHeaders, options: { endStream?: boolean; waitForTrailers?: boolean } = {}): void {
    if (this.refuses !== undefined) {
      const error = this.refuses;
      this.refuses = undefined;
      throw error;
    }
    this.headersSent = true;
    this.told.push({ headers: { ...headers }, ...options });
    if (options.endStream === true) this.end();
  }

  additionalHeaders(headers: OutgoingHttpHeaders): void {
    this.told.push({ interim: { ...headers } });
  }

  sendTrailers(headers: OutgoingHttpHeaders): void {
    this.told.push({ trailers: { ...headers } });
  }

  close(code: number): void {
    this.told.push({ close: code });
    this.#isClosed = true;
  }

  get text(): string {
    return Buffer.concat(this.taken).toString();
  }
}

interface World {
  readonly stream: FakeStream & ServerHttp2Stream;
  readonly exchange: Http2Exchange;
  readonly held: { queued: number; added(): void; isCrowded: boolean };
  readonly failures: unknown[];
  added(): number;
  ended(): number;
}

interface Wanted extends Partial<Http2Host> {
  readonly method?: string;
  readonly rawHeaders?: readonly string[];
  readonly hasBody?: boolean;
}

function world({ method = 'GET', rawHeaders = [], hasBody = false, ...given }: Wanted = {}): World {
  const stream = FakeStream.of();
  Object.assign(stream, { endAfterHeaders: !hasBody });
  let [added, ended] = [0, 0];
  const failures: unknown[] = [];
  const held = { queued: 0, added: () => void added++, isCrowded: false };
  const host: Http2Host = {
    ...{ fd: 7, isEncrypted: true, bodyLimit: 10, requestTimeoutMs: 0 },
    answered: () => {},
    ended: () => void ended++,
    failed: (error) => void failures.push(error),
    ...given,
  };
  const exchange = new Http2Exchange(host, held as unknown as HeldStream, stream, { method, target: '/x', rawHeaders });
  return { stream, exchange, held, failures, added: () => added, ended: () => ended };
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
const date = expect.stringMatching(/ GMT$/);
const wrongLength = (declared: string, received: string) =>
  expect.objectContaining({ code: 'ERR_HTTP_CONTENT_LENGTH', detail: { declared, received } });

describe('an exchange of HTTP/2', () => {
  test('tells what its stream brought', () => {
    const { exchange } = world({ method: 'PUT', rawHeaders: ['a', 'b'] });
    const { method, target, rawHeaders, fd, isEncrypted, httpVersion } = exchange;
    expect({ method, target, rawHeaders, fd, isEncrypted, httpVersion }).toEqual({
      ...{ method: 'PUT', target: '/x', rawHeaders: ['a', 'b'], fd: 7, isEncrypted: true, httpVersion: '2.0' },
    });
    expect(exchange.body.whole).toEqual(Buffer.alloc(0));
    expect(() => exchange.detach()).toThrow(expect.objectContaining({ code: 'ERR_HTTP_DETACH' }));
  });

  test.each([
    ['GET', 200, 'ü', { 'content-length': '2' }, false, 'ü', 1],
    ['GET', 200, '', { 'content-length': '0' }, true, '', 0],
    ['HEAD', 200, 'body', { 'content-length': '4' }, true, '', 0],
    ['GET', 204, 'body', {}, true, '', 0],
    ['GET', 304, '', {}, true, '', 0],
  ])('answers %s with %d and "%s" at once', async (method, status, body, fields, endStream, text, added) => {
    const { exchange, stream, ...rest } = world({ method });
    exchange.track();
    exchange.respond(status, 'reason', ['x-a', '1'], body);
    expect(stream.told).toEqual([{ headers: { ':status': status, 'x-a': '1', date, ...fields }, endStream }]);
    expect([stream.text, stream.writableEnded, rest.added(), rest.ended()]).toEqual([text, true, added, 1]);
    exchange.respond(500, '', [], 'again');
    exchange.begin(500, '', []);
    exchange.end('again');
    exchange.abort();
    expect([stream.told.length, exchange.isGone, rest.ended()]).toEqual([1, false, 1]);
  });

  test('in pieces without a length has trailers behind it', async () => {
    const { exchange, stream } = world();
    exchange.begin(200, '', ['x-a', '1']);
    expect([exchange.write('a'), exchange.write(''), exchange.write(Buffer.from('b'))]).toEqual([true, true, true]);
    exchange.end('c', ['x-sum', '3']);
    expect(exchange.write('late')).toBe(false);
    stream.emit('wantTrailers');
    expect(stream.told).toEqual([
      { headers: { ':status': 200, 'x-a': '1', date }, endStream: false, waitForTrailers: true },
      { trailers: { 'x-sum': '3' } },
    ]);
    expect([stream.text, stream.writableEnded]).toEqual(['abc', true]);
  });

  test('in pieces with a length has neither more nor less', () => {
    const begin = (): World => {
      const made = world();
      made.exchange.begin(200, '', ['content-length', '3']);
      return made;
    };
    const exact = begin();
    expect(exact.stream.told).toEqual([
      { headers: { ':status': 200, 'content-length': '3', date }, endStream: false, waitForTrailers: false },
    ]);
    exact.exchange.write('ü');
    exact.exchange.end('b');
    expect(exact.stream.text).toBe('üb');
    expect(() => begin().exchange.write('four')).toThrow(wrongLength('3', '4 bytes'));
    expect(() => begin().exchange.end('ab')).toThrow(wrongLength('3', '2 bytes'));
    expect(() => begin().exchange.end('four')).toThrow(wrongLength('3', '4 bytes'));
    const files = begin();
    expect(() => files.exchange.writeFile({ path: '/x', offset: 0, length: 4 })).toThrow(wrongLength('3', '4 bytes'));
  });

  test.each([
    ['HEAD', 200],
    ['GET', 204],
    ['GET', 304],
  ])('in pieces to %s with %d has its head alone', (method, status) => {
    const { exchange, stream, added, ended } = world({ method });
    exchange.track();
    exchange.begin(status, '', ['content-length', '9']);
    expect(exchange.write('abc')).toBe(true);
    exchange.writeFile({ path: '/nowhere', offset: 0, length: 9 });
    exchange.end('abc');
    const length = status === 204 ? {} : { 'content-length': '9' };
    expect(stream.told).toEqual([
      { headers: { ':status': status, date, ...length }, endStream: true, waitForTrailers: false },
    ]);
    expect([stream.text, added(), ended()]).toEqual(['', 0, 1]);
  });

  test('sends interim answers before its head, and not those that HTTP/2 has not', () => {
    const { exchange, stream } = world();
    exchange.inform(103, ['link', 'a', 'connection', 'close']);
    exchange.inform(101, ['upgrade', 'x']);
    exchange.begin(200, '', []);
    exchange.inform(103, []);
    expect(stream.told.slice(0, 1)).toEqual([{ interim: { ':status': 103, link: 'a' } }]);
    expect(stream.told).toHaveLength(2);
    for (const end of [(one: World) => one.stream.close(0), (one: World) => one.stream.destroy()]) {
      const gone = world();
      end(gone);
      const before = gone.stream.told.length;
      gone.exchange.inform(103, []);
      expect(gone.stream.told).toHaveLength(before);
    }
  });

  test('repeats a field where Node takes one alone', () => {
    const { exchange, stream, failures } = world();
    stream.refuses = Object.assign(new Error('no'), { code: 'ERR_HTTP2_HEADER_SINGLE_VALUE' });
    exchange.respond(200, '', ['etag', '1', 'etag', '2', 'set-cookie', 'a', 'set-cookie', 'b'], 'x');
    expect(stream.told).toEqual([
      expect.objectContaining({ headers: expect.objectContaining({ etag: '2', 'set-cookie': ['a', 'b'] }) }),
    ]);
    expect([failures, stream.text]).toEqual([[], 'x']);
  });

  test('whose head Node refuses is broken off, and said so', () => {
    const { exchange, stream, failures, ended } = world();
    exchange.track();
    let gone = 0;
    exchange.onGone(() => gone++);
    const error = new Error('no');
    stream.refuses = error;
    exchange.respond(200, '', [], 'x');
    expect([failures, stream.destroyed, gone, exchange.isGone, ended(), stream.text]).toEqual([
      ...[[error], true, 1, true, 1, ''],
    ]);
  });

  test.each(['closed', 'destroyed'])('whose stream is %s already is gone', (how) => {
    for (const answer of ['respond', 'begin'] as const) {
      const { exchange, stream } = world();
      let gone = 0;
      exchange.onGone(() => gone++);
      if (how === 'closed') stream.close(8);
      else stream.destroy();
      if (answer === 'respond') exchange.respond(200, '', [], 'x');
      else exchange.begin(200, '', []);
      expect([gone, exchange.isGone, exchange.isEnded, stream.headersSent]).toEqual([1, true, true, false]);
    }
  });

  test.each(['aborted', 'close'])('is gone with its client, by "%s", once', async (event) => {
    const { exchange, stream, ended } = world();
    exchange.track();
    const called: string[] = [];
    exchange.onGone(() => called.push('first'));
    exchange.onGone(() => called.push('second'));
    stream.emit(event);
    stream.emit(event);
    exchange.onGone(() => called.push('later'));
    expect([called, ended(), exchange.isEnded]).toEqual([['first', 'second', 'later'], 1, true]);
    await exchange.drain();
    expect(exchange.write('x')).toBe(false);
  });

  test('that was answered is gone for nobody', () => {
    const { exchange, stream } = world();
    let gone = 0;
    exchange.onGone(() => gone++);
    exchange.respond(200, '', [], '');
    exchange.onGone(() => gone++);
    stream.emit('close');
    expect([gone, exchange.isGone]).toEqual([0, false]);
  });

  test('that nobody tracks tells nobody of its end', () => {
    const { exchange, ended } = world();
    exchange.respond(200, '', [], '');
    expect(ended()).toBe(0);
  });

  test('is told when its process leaves', () => {
    const { exchange } = world();
    exchange.leave();
    let told = 0;
    exchange.onLeaving(() => told++);
    exchange.leave();
    expect(told).toBe(1);
  });

  test('waits for its client with its pieces', async () => {
    const { exchange, stream } = world();
    stream.isHeld = true;
    exchange.begin(200, '', []);
    expect(exchange.write(Buffer.alloc(70_000))).toBe(false);
    const drained: string[] = [];
    void exchange.drain().then(() => drained.push('first'));
    void exchange.drain().then(() => drained.push('second'));
    await turn();
    expect([drained, stream.listenerCount('drain')]).toEqual([[], 1]);
    stream.letGo();
    await turn();
    expect(drained).toEqual(['first', 'second']);
    await exchange.drain();
  });

  test('that answers before its body has come stops the client, which has been given a second to send on', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    const { exchange, stream } = world({ hasBody: true, method: 'POST' });
    exchange.respond(200, '', [], 'early');
    await turn();
    expect([stream.text, stream.writableFinished, stream.told]).toEqual(['early', true, [expect.anything()]]);
    vi.advanceTimersByTime(999);
    expect(stream.told).toHaveLength(1);
    vi.advanceTimersByTime(1);
    expect(stream.told.at(-1)).toEqual({ close: 0 });
    await expect(exchange.body.next()).rejects.toMatchObject({ code: expect.any(String) });
  });
});

describe('an answer over HTTP/2 before the body, of which the client has said the length', () => {
  const early = (status: number, fields: readonly string[] = []): World => {
    const made = world({ hasBody: true, method: 'PUT', rawHeaders: ['content-length', '9', ...fields] });
    made.exchange.respond(status, '', [], `${'x'.repeat(1024)}!`);
    return made;
  };

  test('keeps its last bytes back until the client has sent the body', async () => {
    const { stream, ended } = early(200);
    await turn();
    expect([stream.text, stream.writableEnded, ended()]).toEqual(['x', false, 0]);
    stream.push('123456789');
    stream.push(null);
    await turn();
    expect(stream.text).toBe(`${'x'.repeat(1024)}!`);
    expect([stream.writableFinished, stream.told.length]).toEqual([true, 1]);
  });

  test('in pieces too, with its trailers', async () => {
    const { exchange, stream } = world({ hasBody: true, method: 'PUT', rawHeaders: ['content-length', '9'] });
    exchange.begin(200, '', []);
    exchange.write('a');
    exchange.end('b', ['x-sum', '2']);
    await turn();
    expect([stream.text, stream.writableEnded, exchange.isEnded]).toEqual(['a', false, true]);
    stream.push(null);
    await turn();
    stream.emit('wantTrailers');
    expect([stream.text, stream.writableFinished]).toEqual(['ab', true]);
    expect(stream.told.at(-1)).toEqual({ trailers: { 'x-sum': '2' } });
  });

  test('is ended, and the client stopped, where it pauses for a second', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    const { stream } = early(200);
    vi.advanceTimersByTime(999);
    stream.push('1');
    await turn();
    vi.advanceTimersByTime(999);
    expect([stream.writableEnded, stream.told.length]).toEqual([false, 1]);
    vi.advanceTimersByTime(1);
    await turn();
    expect([stream.writableFinished, stream.told.at(-1)]).toEqual([true, { close: 0 }]);
  });

  test('is ended, and the client stopped, where it goes on for five seconds, or sends more than bodyLimit', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] });
    const [slow, large] = [early(200).stream, early(200).stream];
    large.push('12345678901');
    for (let i = 0; i < 10; i++) {
      slow.push('1');
      await turn();
      expect(slow.writableEnded).toBe(false);
      vi.advanceTimersByTime(500);
    }
    expect([large.writableFinished, large.told.at(-1)]).toEqual([true, { close: 0 }]);
    slow.push('');
    slow.push('1');
    await turn();
    await turn();
    expect([slow.writableFinished, slow.told.at(-1)]).toEqual([true, { close: 0 }]);
  });

  test('is dropped with a stream that goes', async () => {
    const { stream } = early(200);
    stream.destroy();
    await turn();
    expect([stream.text, stream.told.length]).toEqual(['x', 1]);
  });

  test.each([
    ['that refuses', 413, []],
    ['that redirects', 303, []],
    ['to a client that was not told to send', 200, ['expect', '100-continue']],
  ])('%s is whole at once', async (_what, status, fields) => {
    const { stream } = early(status, fields);
    await turn();
    expect([stream.text.length, stream.writableFinished]).toEqual([1025, true]);
  });
});

describe('the time of a request of HTTP/2', () => {
  const late = (options: Wanted): World => {
    vi.useFakeTimers();
    const made = world({ requestTimeoutMs: 100, ...options });
    made.exchange.track();
    return made;
  };
  const statusOf = ({ stream }: World): unknown =>
    (stream.told[0] as { headers?: OutgoingHttpHeaders } | undefined)?.headers?.[':status'];

  test('is over when the handler does not answer', () => {
    const made = late({});
    let gone = 0;
    made.exchange.onGone(() => gone++);
    vi.advanceTimersByTime(99);
    expect(statusOf(made)).toBeUndefined();
    vi.advanceTimersByTime(1);
    expect([statusOf(made), made.exchange.isEnded, gone, made.ended()]).toEqual([503, true, 1, 1]);
    expect(made.stream.text).toBe('The server could not answer in time.\n');
  });

  test('is over when the client does not send what is waited for', async () => {
    const made = late({ hasBody: true, method: 'POST' });
    const reading = made.exchange.body.next();
    vi.advanceTimersByTime(100);
    expect(statusOf(made)).toBe(408);
    await expect(reading).rejects.toMatchObject({ detail: expect.objectContaining({ status: 408 }) });
  });

  test('begins again with each piece', async () => {
    const made = late({ hasBody: true, method: 'POST' });
    const reading = made.exchange.body.next();
    vi.advanceTimersByTime(60);
    made.stream.push('ab');
    await vi.advanceTimersByTimeAsync(0);
    expect(String(await reading)).toBe('ab');
    vi.advanceTimersByTime(99);
    expect(statusOf(made)).toBeUndefined();
    vi.advanceTimersByTime(1);
    expect(statusOf(made)).toBe(503);
  });

  test.each([
    ['respond', false],
    ['begin', false],
    ['begin', true],
  ] as const)('has ended with an answer: %s, with a body on its way: %s', (how, hasBody) => {
    const made = late({ hasBody, method: 'POST' });
    if (how === 'respond') made.exchange.respond(200, '', [], '');
    else made.exchange.begin(200, '', []);
    if (!hasBody) expect(vi.getTimerCount()).toBe(0);
    vi.advanceTimersByTime(1000);
    expect([statusOf(made), made.stream.destroyed && how === 'begin', made.failures]).toEqual([200, false, []]);
  });

  test('is over when the answer has begun, and the body that is waited for does not come', async () => {
    const made = late({ hasBody: true, method: 'POST' });
    made.exchange.begin(200, '', []);
    vi.advanceTimersByTime(100);
    expect(made.stream.destroyed).toBe(false);
    const reading = made.exchange.body.next();
    reading.catch(() => {});
    vi.advanceTimersByTime(100);
    expect([made.stream.destroyed, made.exchange.isGone]).toEqual([true, true]);
  });

  test('has no end where none is set', () => {
    const made = late({ requestTimeoutMs: 0 });
    expect(vi.getTimerCount()).toBe(0);
    made.exchange.respond(200, '', [], '');
  });

  test('is bounded by the pace of the body, which counts while it is waited for', async () => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval', 'performance'] });
    const made = world({ hasBody: true, method: 'POST', minBodyBytesPerSecond: 1000, bodyLimit: 1e6 });
    made.exchange.track();
    vi.advanceTimersByTime(60_000);
    expect(statusOf(made)).toBeUndefined();
    const reading = made.exchange.body.next();
    vi.advanceTimersByTime(60_000);
    expect([statusOf(made), made.stream.text]).toEqual([408, 'The body came too slowly.\n']);
    await expect(reading).rejects.toMatchObject({ detail: { status: 408, why: 'The body came too slowly' } });
    expect(vi.getTimerCount()).toBe(0);
  });

  test('is not bounded by the pace of the body while the server reads no client', () => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval', 'performance'] });
    let readsNobody = true;
    const given = { hasBody: true, method: 'POST', minBodyBytesPerSecond: 1000, bodyLimit: 1e6 };
    const made = world({ ...given, readsNobody: () => readsNobody });
    made.exchange.track();
    made.exchange.body.next().catch(() => {});
    vi.advanceTimersByTime(60_000);
    expect(statusOf(made)).toBeUndefined();
    readsNobody = false;
    vi.advanceTimersByTime(60_000);
    expect(statusOf(made)).toBe(408);
  });
});

describe('the body of a stream of HTTP/2', () => {
  test('is asked for when it is wanted, where the client waits for that', () => {
    for (const [expects, asked] of [
      ['100-Continue', [{ interim: { ':status': 100 } }]],
      ['other', []],
    ] as const) {
      const { exchange, stream } = world({ hasBody: true, rawHeaders: ['expect', expects] });
      expect(stream.told).toEqual([]);
      exchange.body.next().catch(() => {});
      expect(stream.told).toEqual(asked);
    }
  });

  test.each([10, 11])('of %d bytes where 10 are the limit', async (bytes) => {
    const { exchange, stream } = world({ hasBody: true });
    const reading = exchange.body.next();
    stream.push(Buffer.alloc(bytes));
    if (bytes === 10) return expect((await reading)?.length).toBe(10);
    const why = 'The body has more than 10 bytes, which is the bodyLimit';
    await expect(reading).rejects.toMatchObject({ detail: expect.objectContaining({ status: 413 }) });
    await expect(exchange.body.next()).rejects.toMatchObject({ detail: expect.objectContaining({ why }) });
    expect(stream.told[0]).toMatchObject({ headers: { ':status': 413 } });
    return expect([exchange.isEnded, exchange.isGone]).toEqual([true, true]);
  });

  test('that is too long when the answer has begun breaks it off', async () => {
    const { exchange, stream } = world({ hasBody: true });
    exchange.begin(200, '', []);
    const reading = exchange.body.next();
    stream.push(Buffer.alloc(11));
    await expect(reading).rejects.toMatchObject({ detail: expect.objectContaining({ status: 413 }) });
    expect([stream.destroyed, stream.told.length]).toEqual([true, 1]);
  });

  const bodyOf = (bodyLimit = 10) => {
    const stream = FakeStream.of();
    const told: (string | number)[] = [];
    const body = new StreamBody(stream, bodyLimit, {
      wanted: () => told.push('wanted'),
      came: (bytes) => told.push(bytes),
      overflowed: () => told.push('overflowed'),
    });
    return { stream, body, told };
  };

  test('comes in pieces, and ends with its trailers', async () => {
    const { stream, body, told } = bodyOf();
    expect([body.isAwaited, body.isComplete, body.whole, body.trailers]).toEqual([false, false, null, []]);
    const first = body.next();
    expect(body.isAwaited).toBe(true);
    stream.push('ab');
    expect(String(await first)).toBe('ab');
    expect(body.isAwaited).toBe(false);
    const second = body.next();
    stream.emit('trailers', {}, 0, ['x-sum', '2']);
    stream.push(null);
    expect(await second).toBeNull();
    expect([body.isComplete, body.trailers, await body.next()]).toEqual([true, ['x-sum', '2'], null]);
    expect(told).toEqual(['wanted', 2]);
  });

  test('that nobody has asked for yet is there for who asks later, also when the stream has gone', async () => {
    const { stream, body } = bodyOf();
    stream.push('ab');
    stream.push(null);
    body.fail(byClient);
    body.fail(byAnswer);
    expect([String(await body.next()), await body.next()]).toEqual(['ab', null]);
  });

  test('that was cut gives what has come, and then the first cut, again and again', async () => {
    const { stream, body } = bodyOf();
    stream.push('ab');
    body.fail(byClient);
    body.fail(byAnswer);
    expect(String(await body.next())).toBe('ab');
    const errors = await Promise.allSettled([body.next(), body.next()]);
    for (const error of errors) expect(error).toMatchObject({ reason: { code: 'ERR_HTTP_CLIENT_GONE' } });
  });

  test('that was cut while it is waited for is an error there', async () => {
    const { body } = bodyOf();
    const reading = body.next();
    body.fail(byClient);
    await expect(reading).rejects.toMatchObject({ code: 'ERR_HTTP_CLIENT_GONE' });
    expect(body.isAwaited).toBe(false);
  });

  test('of which too much had come when it was cut says that', async () => {
    const { stream, body } = bodyOf(3);
    stream.push('four');
    body.fail(byClient);
    await body.next();
    await expect(body.next()).rejects.toMatchObject({ detail: expect.objectContaining({ status: 413 }) });
  });

  test('of a stream that is reset has not ended', async () => {
    const { stream, body } = bodyOf();
    const reading = body.next();
    stream.close(8);
    stream.push(null);
    await turn();
    expect([body.isComplete, body.isAwaited]).toEqual([false, true]);
    body.fail(byClient);
    await expect(reading).rejects.toMatchObject({ code: 'ERR_HTTP_CLIENT_GONE' });
  });

  test.each([
    ['whose head is all', { endAfterHeaders: true }, true],
    ['that came in the same read', { state: { remoteClose: 1 } }, true],
    ['that is on its way', {}, false],
  ])('of a stream %s has ended: %s', (_, given, hasEnded) => {
    const stream = FakeStream.of();
    Object.assign(stream, given);
    const seen = watchEnd(stream);
    expect(seen()).toBe(hasEnded);
    stream.push('x');
    expect(seen()).toBe(hasEnded);
    stream.push(null);
    expect(seen()).toBe(true);
  });
});

describe('what leaves into a stream of HTTP/2', () => {
  let folder: string;
  let path: string;
  const long = Buffer.from(Array.from({ length: 200_000 }, (_, at) => (at * 31) % 251));
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'outgoing-'));
    path = join(folder, 'file');
    writeFileSync(path, long);
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  const outgoing = () => {
    const stream = FakeStream.of();
    const failures: unknown[] = [];
    const counts: number[] = [];
    const held = { queued: 0, isCrowded: false, added: () => void counts.push(held.queued) };
    const out = new Outgoing(held as unknown as HeldStream, stream, (error) => failures.push(error));
    return { stream, out, held, failures, counts };
  };
  const finished = (stream: FakeStream): Promise<void> =>
    new Promise((resolve) => (stream.writableFinished ? resolve() : stream.once('finish', () => resolve())));

  test('keeps its order: pieces, parts of files, and the end', async () => {
    const { stream, out, held, failures } = outgoing();
    expect(out.write('a')).toBe(true);
    out.writeFile({ path, offset: 10, length: 100_000 });
    expect(out.write('bc')).toBe(false);
    expect(held.queued).toBeGreaterThanOrEqual(2);
    out.writeFile({ path, offset: 0, length: 5 });
    out.end();
    expect(stream.writableEnded).toBe(false);
    await finished(stream);
    const expected = Buffer.concat([
      Buffer.from('a'),
      long.subarray(10, 100_010),
      Buffer.from('bc'),
      long.subarray(0, 5),
    ]);
    expect(Buffer.concat(stream.taken).equals(expected)).toBe(true);
    expect([held.queued, failures]).toEqual([0, []]);
    await out.drain();
  });

  test.each([
    [false, 65_536],
    [true, 8192],
  ])('is read in pieces: where the process is crowded, %s, of %d bytes', async (isCrowded, most) => {
    const { stream, out, held } = outgoing();
    held.isCrowded = isCrowded;
    out.writeFile({ path, offset: 0, length: 100_000 });
    out.end();
    await finished(stream);
    expect(stream.taken[0]?.length).toBe(most);
    expect(Math.max(...stream.taken.map(({ length }) => length))).toBe(most);
    expect(Buffer.concat(stream.taken).equals(long.subarray(0, 100_000))).toBe(true);
  });

  test('is read no further than the client has taken', async () => {
    const { stream, out } = outgoing();
    stream.isHeld = true;
    out.writeFile({ path, offset: 0, length: 200_000 });
    let isDrained = false;
    void out.drain().then(() => (isDrained = true));
    while (stream.taken.length === 0) await turn();
    for (let i = 0; i < 50; i++) await turn();
    expect([stream.taken.length, isDrained]).toEqual([1, false]);
    stream.letGo();
    out.end();
    await finished(stream);
    await turn();
    expect([Buffer.concat(stream.taken).length, isDrained]).toEqual([200_000, true]);
  });

  test('of a file that has become shorter, or is not there, is a failure', async () => {
    for (const [file, message] of [
      [{ path, offset: 199_990, length: 20 }, /is shorter by 10 bytes than it was/],
      [{ path: join(folder, 'none'), offset: 0, length: 1 }, /ENOENT/],
    ] as const) {
      const { out, failures } = outgoing();
      out.writeFile(file);
      while (failures.length === 0) await turn();
      expect(String(failures[0])).toMatch(message);
    }
  });

  test('is dropped when the stream has gone, without a failure', async () => {
    const { stream, out, held, failures } = outgoing();
    stream.isHeld = true;
    out.writeFile({ path, offset: 0, length: 200_000 });
    out.write('behind');
    const drained = out.drain();
    while (stream.taken.length === 0) await turn();
    stream.destroy();
    out.close();
    await drained;
    for (let i = 0; i < 20; i++) await turn();
    expect([held.queued, failures, stream.taken.length]).toEqual([0, [], 1]);
    await out.drain();
  });
});

describe('the end of a stream of HTTP/2', () => {
  test.each([
    ['endAfterHeaders', true],
    ['readableEnded', true],
    ['destroyed', true],
    ['none', false],
  ])('behind its answer, %s: the client need not be stopped: %s', async (how, isDone) => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    const stream = FakeStream.of();
    if (how === 'endAfterHeaders') Object.assign(stream, { endAfterHeaders: true });
    if (how === 'readableEnded') {
      stream.push(null);
      stream.resume();
      await turn();
    }
    if (how === 'destroyed') stream.destroy();
    else stream.end('x');
    closeBehindAnswer(stream, { bodyLimit: 10 });
    await turn();
    vi.advanceTimersByTime(1000);
    expect(stream.told).toEqual(isDone ? [] : [{ close: 0 }]);
  });

  test('waits for the last byte of its answer, and is closed once', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    const stream = FakeStream.of();
    stream.isHeld = true;
    stream.end('x');
    closeBehindAnswer(stream, { bodyLimit: 10 });
    await turn();
    vi.advanceTimersByTime(1000);
    expect(stream.told).toEqual([]);
    stream.letGo();
    await turn();
    expect(stream.told).toEqual([{ close: 0 }]);
    closeBehindAnswer(stream, { bodyLimit: 10 });
    vi.advanceTimersByTime(1000);
    expect(stream.told).toHaveLength(1);
    expect(stream.readableFlowing).toBe(true);
  });

  test('by force destroys it, once', () => {
    const stream = FakeStream.of();
    const errors: unknown[] = [];
    const destroy = stream.destroy.bind(stream);
    stream.destroy = (error?: Error) => {
      errors.push(error?.message);
      return destroy(error);
    };
    breakOff(stream);
    breakOff(stream);
    expect(errors).toEqual(['the answer was broken off']);
  });

  test.each<[number, object]>([
    [503, { 'retry-after': '1' }],
    [405, { 'retry-after': '1', allow: 'GET, HEAD, POST, PUT, DELETE, OPTIONS, PATCH' }],
  ])('with %d in place of a handler has a sentence', (status, fields) => {
    const stream = FakeStream.of();
    refuse(stream, { status, why: 'No.', retryAfterSeconds: 1 }, 10);
    const type = 'text/plain; charset=utf-8';
    const headers = { ':status': status, 'content-type': type, 'content-length': '4', date, ...fields };
    expect([stream.told, stream.text]).toEqual([[{ headers, endStream: false }], 'No.\n']);
    refuse(stream, { status, why: 'Again.' }, 10);
    expect(stream.told.filter((told) => 'headers' in (told as object))).toHaveLength(1);
  });

  test('to a stream that has gone sends nothing, and to HEAD no body', () => {
    for (const end of [(one: FakeStream) => one.close(8), (one: FakeStream) => one.destroy()]) {
      const stream = FakeStream.of();
      end(stream);
      refuse(stream, { status: 400, why: 'No.' }, 10);
      expect(stream.headersSent).toBe(false);
    }
    const head = FakeStream.of();
    head.end();
    refuse(head, { status: 400, why: 'No.' }, 10);
    expect([head.told[0], head.text]).toEqual([expect.objectContaining({ endStream: true }), '']);
    expect((head.told[0] as { headers: object }).headers).not.toHaveProperty('retry-after');
  });
});

describe('the head of a request over HTTP/2', () => {
  const limits: HeadLimits = { headerLimit: 1000, bodyLimit: 10 };
  const pseudo = (given: Record<string, string> = {}): string[] =>
    Object.entries({ ':method': 'GET', ':path': '/', ':authority': 'h', ...given }).flat();
  const statusOf = (raw: readonly string[], wanted: Partial<HeadLimits> = {}): number | undefined => {
    const head = readHead(raw, { ...limits, ...wanted });
    return 'status' in head ? head.status : undefined;
  };

  test('has its host first, cookies in one, and no pseudo fields', () => {
    const raw = [...pseudo({ ':path': '/a?b' }), 'x', '1', 'cookie', 'a=1', 'y', '2', 'cookie', 'b=2', 'cookie', 'c=3'];
    const rawHeaders = ['host', 'h', 'x', '1', 'cookie', 'a=1; b=2; c=3', 'y', '2'];
    expect(readHead(raw, limits)).toEqual({ method: 'GET', target: '/a?b', rawHeaders });
    const own = ['host', 'h', 'x', '1'];
    expect(readHead([...pseudo(), ...own], limits)).toMatchObject({ rawHeaders: own });
    const { ':authority': _, ...rest } = { ':authority': '', ':method': 'GET', ':path': '/' };
    expect(readHead([...Object.entries(rest).flat(), ...own], limits)).toMatchObject({ rawHeaders: own });
  });

  test.each([
    [{ ':method': 'CONNECT' }, 405],
    [{ ':method': 'BREW' }, 501],
    [{ ':method': '' }, 501],
    [{ ':path': '' }, 400],
    [{ ':path': 'x' }, 400],
    [{ ':path': '*' }, 400],
    [{ ':path': '/a b' }, 400],
    [{ ':path': '/#x' }, 400],
    [{ ':path': '/\x7f' }, 400],
    [{ ':path': '/é' }, 400],
    [{ ':path': '/!"$~' }, undefined],
    [{ ':path': '*', ':method': 'OPTIONS' }, undefined],
    [{ ':authority': 'a b' }, 400],
    [{ ':authority': '' }, 400],
    [{ ':authority': 'h:80' }, undefined],
    [{ ':method': 'PATCH' }, undefined],
  ])('with %j is refused with %s', (given, status) => {
    expect(statusOf(pseudo(given))).toBe(status);
  });

  test('has one host', () => {
    expect(statusOf([...pseudo(), 'host', 'other'])).toBe(400);
    expect(statusOf([':method', 'GET', ':path', '/'])).toBe(400);
    expect(statusOf([':method', 'GET', ':path', '/', 'host', 'a', 'host', 'b'])).toBe(400);
  });

  test('is bounded: 32 bytes for each field, beside its letters', () => {
    const raw = pseudo();
    const bytes = raw.join('').length + 3 * 32;
    expect([statusOf(raw, { headerLimit: bytes }), statusOf(raw, { headerLimit: bytes - 1 })]).toEqual([
      undefined,
      431,
    ]);
    expect(statusOf([...raw, 'cookie', 'a', 'cookie', 'b'], { headerLimit: bytes + 14 + 63 })).toBe(431);
  });

  test('announces no more than the body may have', () => {
    expect(statusOf([...pseudo(), 'content-length', '10'])).toBeUndefined();
    expect(statusOf([...pseudo(), 'content-length', '11'])).toBe(413);
  });
});

describe('the fields of an answer over HTTP/2', () => {
  test('are in lower case, several lines in a list, without those of HTTP/1 and pseudo fields', () => {
    const given = ['X-A', '1', 'x-a', '2', 'X-a', '3', 'Keep-Alive', '5', 'TE', 'x', 'Upgrade', 'y', ':status', '500'];
    expect({ ...toHeaders([...given, 'transfer-encoding', 'chunked', 'content-length', '5', 'b', '4']) }).toEqual({
      ...{ 'x-a': ['1', '2', '3'], b: '4' },
    });
  });

  test('that Connection names go with it, whichever line names them', () => {
    const given = ['a', '1', 'b', '2', 'c', '3'];
    expect({ ...toHeaders(['Connection', 'a, close', 'connection', 'B', ...given]) }).toEqual({ c: '3' });
    expect({ ...toHeaders(['Connection', 'close', ...given]) }).toEqual({ a: '1', b: '2', c: '3' });
  });

  test('have status, date and length', () => {
    expect({ ...answerHeaders(201, ['a', '1'], 0) }).toEqual({ ':status': 201, a: '1', date, 'content-length': '0' });
    const own = answerHeaders(200, ['Date', 'mine'], -1);
    expect({ ...own }).toEqual({ ':status': 200, date: 'mine' });
  });

  test('that may not be repeated have their last value', () => {
    expect(withoutRepeats({ a: ['1', '2'], 'set-cookie': ['1', '2'], b: 'x' })).toEqual({
      ...{ a: '2', 'set-cookie': ['1', '2'], b: 'x' },
    });
  });
});
