import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { HttpRequests, type PortHandler } from '../../src/http/http-requests.js';
import type { Http1Exchange } from '../../src/http/http1-exchange.js';
import { RequestGate } from '../../src/http/request-gate.js';
import { BodyFlag, CloseCode, goneFlags, RequestBit, RequestFlag } from '../../src/ipc/frame.js';
import { firstWordOf, secondWordOf } from '../../src/ipc/frames/http.js';
import type { Outbox } from '../../src/ipc/outbox.js';
import type { HttpWorker } from '../../src/worker/http-service.js';

const HEAD = 'GET / HTTP/1.1\r\nHost: a\r\n\r\n';
const PORT_WITHOUT_HTTP = 2;

let calls: unknown[][];
let pending: number;
let served: Http1Exchange[];
let openFds: Set<number>;
let requests: HttpRequests;

/** Called since the last look, but for answers. */
const called = (): unknown[][] => calls.splice(0);
const noting =
  (name: string) =>
  (...all: unknown[]) =>
    calls.push([name, ...all]);

function setUp(handler: Partial<PortHandler> = {}, gate?: RequestGate): HttpRequests {
  const port = {
    serve: (exchange: Http1Exchange) => served.push(exchange),
    http2: noting('http2'),
    dismiss: noting('dismiss port'),
    drain: noting('drain port'),
    ...handler,
  } as PortHandler;
  const remote = () => ({ remoteAddress: '192.0.2.1', remotePort: 4711 });
  const made = new HttpRequests({ portOf: (fd) => fd >> 8, remote, handlers: [port, port, undefined], gate });
  const outbox = {
    answer: () => true,
    close: noting('close'),
    send: noting('send'),
    drain: noting('drain'),
    setPaused: noting('paused'),
    taken: noting('taken'),
    isOpen: (fd: number) => openFds.has(fd),
  };
  made.begin({
    outbox: outbox as unknown as Outbox,
    http2: {} as never,
    addPending: (count) => {
      pending += count;
    },
    callbackFailed: noting('failed') as never,
    holdConnection: noting('hold') as never,
    releaseConnection: noting('release') as never,
    requestDetached: noting('detached') as never,
  } satisfies HttpWorker);
  return made;
}

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  calls = [];
  pending = 0;
  served = [];
  openFds = new Set();
  requests = setUp();
});

afterEach(() => {
  vi.useRealTimers();
});

function take(
  fd: number,
  exchange: number,
  { bits = RequestBit.keepAlive as number, bodyFollows = false } = {},
): Http1Exchange {
  const bytes = Buffer.from(HEAD);
  const [first, second] = [firstWordOf(HEAD.length, 0, bits), secondWordOf(4, 5)];
  const flags = bodyFollows ? RequestFlag.bodyFollows : 0;
  return requests.take({ fd, exchange, flags, first, second, bytes, at: 0, end: HEAD.length });
}

/** @returns the exchange, which its handler has and does not answer yet */
function serve(fd: number, exchange: number, more = {}): Http1Exchange {
  const taken = take(fd, exchange, more);
  requests.serve(taken);
  return taken;
}

describe('a request', () => {
  it('that is answered at once is not kept', () => {
    requests = setUp({ serve: (exchange) => exchange.respond(204, '', [], '') });
    const exchange = serve(1, 1);
    expect([exchange.isEnded, exchange.isTracked, pending]).toEqual([true, false, 0]);
  });

  it('that takes longer is under way until it is answered', () => {
    const exchange = serve(1, 1);
    expect([served, exchange.isTracked, pending]).toEqual([[exchange], true, 1]);
    exchange.respond(204, '', [], '');
    expect(pending).toBe(0);
    expect(exchange.remoteAddress).toBe('192.0.2.1');
  });

  it('of a port that speaks no HTTP any more ends its connection', () => {
    serve(PORT_WITHOUT_HTTP << 8, 1);
    expect([called(), pending]).toEqual([[['close', PORT_WITHOUT_HTTP << 8, true]], 0]);
  });

  it('gets its body, and none of another', async () => {
    const exchange = serve(1, 7, { bodyFollows: true });
    requests.body(1, 6, BodyFlag.last, Buffer.from('of another'));
    requests.body(2, 7, BodyFlag.last, Buffer.from('of another'));
    requests.body(1, 7, BodyFlag.last, Buffer.from('its own'));
    expect(String(await exchange.body.next())).toBe('its own');
  });

  it('hears that its client has gone, and that of no other', async () => {
    const exchange = serve(1, 7, { bodyFollows: true });
    requests.gone(1, 6, goneFlags(CloseCode.CLIENT_CLOSED), '');
    requests.gone(2, 7, goneFlags(CloseCode.CLIENT_CLOSED), '');
    expect(exchange.isGone).toBe(false);
    requests.gone(1, 7, goneFlags(CloseCode.HTTP_TIMEOUT), '408 Too late.');
    expect([exchange.isGone, pending]).toEqual([true, 0]);
    await expect(exchange.body.next()).rejects.toMatchObject({ detail: { reason: 'timeout', status: 408 } });
  });

  it('hears that its client has ended its side only', () => {
    const exchange = serve(1, 7);
    let halfClosed = 0;
    exchange.onHalfClosed(() => halfClosed++);
    requests.gone(1, 7, goneFlags(CloseCode.CLIENT_CLOSED, true), '');
    expect([halfClosed, exchange.isGone]).toEqual([1, false]);
  });

  it('is over where the next one of its connection comes', () => {
    const first = serve(1, 1);
    const second = serve(1, 2);
    expect([first.isGone, second.isGone, pending]).toEqual([true, false, 1]);
    requests.gone(1, 2, goneFlags(CloseCode.CLIENT_CLOSED), '');
    expect([second.isGone, pending]).toEqual([true, 0]);
  });

  it('whose connection is not there any more is gone, when somebody looks', () => {
    const [there, gone] = [serve(1, 1), serve(2, 1)];
    openFds.add(1);
    requests.poll();
    expect([there.isGone, gone.isGone, pending]).toEqual([false, true, 1]);
  });

  it('that another process answers is told of', () => {
    serve(1, 1).detach();
    expect([called(), pending]).toEqual([[['detached', 1]], 0]);
  });

  it('waits while as many as there may be are under way', () => {
    requests = setUp({}, new RequestGate(1));
    const [first, second, third] = [serve(1, 1), serve(2, 1), serve(3, 1)];
    expect([served, pending]).toEqual([[first], 3]);
    requests.gone(2, 1, goneFlags(CloseCode.CLIENT_CLOSED), '');
    first.respond(204, '', [], '');
    expect([served, second.isGone, pending]).toEqual([[first, third], true, 1]);
  });

  it('that is answered at once makes room', () => {
    requests = setUp({ serve: (exchange) => exchange.respond(204, '', [], '') }, new RequestGate(1));
    expect([serve(1, 1), serve(2, 1)].map(({ isEnded }) => isEnded)).toEqual([true, true]);
  });
});

describe('a process that leaves', () => {
  it('tells requests under way, those that come and their ports', () => {
    let left = 0;
    serve(1, 1).onLeaving(() => left++);
    requests.drain();
    expect([left, requests.isDraining, requests.isLeaving]).toEqual([1, true, true]);
    expect(called()).toEqual([['drain port'], ['drain port']]);
    serve(2, 1).onLeaving(() => left++);
    expect(left).toBe(2);
  });

  it('is ready at once where it holds no uploads and no tunnels', () => {
    serve(1, 1);
    let done = 0;
    requests.dismiss(1000, () => done++);
    expect([done, requests.isLeaving, requests.isDraining]).toEqual([1, true, false]);
    expect(called()).toEqual([['dismiss port'], ['dismiss port']]);
  });

  it('waits for uploads to come', () => {
    serve(1, 1, { bodyFollows: true });
    let done = 0;
    requests.dismiss(1000, () => done++);
    requests.body(1, 1, 0, Buffer.from('a'));
    expect(done).toBe(0);
    requests.body(1, 1, BodyFlag.last, Buffer.from('b'));
    expect(done).toBe(1);
    vi.advanceTimersByTime(2000);
    expect(done).toBe(1);
  });

  it('waits for uploads until they are answered', () => {
    const exchange = serve(1, 1, { bodyFollows: true });
    let done = 0;
    requests.dismiss(1000, () => done++);
    exchange.respond(413, '', [], '');
    expect(done).toBe(1);
  });

  it('ends tunnels when its time is over', () => {
    let ends = 0;
    const events = { received: () => {}, ended: () => ends++, gone: () => {} };
    requests.openTunnel(1, events);
    let done = 0;
    requests.dismiss(1000, () => done++);
    called();
    expect([ends, done]).toEqual([1, 0]);
    vi.advanceTimersByTime(999);
    expect(done).toBe(0);
    vi.advanceTimersByTime(1);
    expect([done, called()]).toEqual([1, [['close', 1, true]]]);
  });

  it('is ready when the last tunnel has ended', () => {
    requests.openTunnel(1, { received: () => {}, ended: () => {}, gone: () => {} });
    let done = 0;
    requests.dismiss(1000, () => done++);
    requests.ended(1);
    expect(done).toBe(1);
  });
});

describe('a tunnel', () => {
  const noteEvents = () => ({
    received: (data: Buffer) => calls.push(['received', String(data)]),
    ended: noting('ended'),
    gone: noting('gone'),
  });

  it('holds its connection until that has gone, and hears what comes', () => {
    requests.openTunnel(1, noteEvents() as never);
    expect(requests.received(1, Buffer.from('bytes'))).toBe(true);
    requests.ended(1, true);
    requests.ended(1);
    requests.ended(1);
    expect(called()).toEqual([['hold', 1], ['received', 'bytes'], ['ended'], ['release', 1], ['gone']]);
  });

  it('writes, waits, pauses and ends as a connection', () => {
    const tunnel = requests.openTunnel(1, noteEvents() as never);
    called();
    tunnel.write(Buffer.from('a'));
    void tunnel.drain();
    tunnel.pause();
    tunnel.resume();
    tunnel.end();
    tunnel.destroy();
    expect(called()).toEqual([
      ['send', 1, Buffer.from('a')],
      ['drain', 1],
      ['paused', 1, true],
      ['paused', 1, false],
      ['close', 1, false],
    ]);
  });

  it('that is not ended in order is cut', () => {
    requests.openTunnel(1, noteEvents() as never).destroy();
    expect(called()).toEqual([
      ['hold', 1],
      ['close', 1, true],
    ]);
  });

  it('of a process that has died is closed; bytes of another protocol are not ours', () => {
    expect(requests.received(1, Buffer.from('x'))).toBe(true);
    expect(called()).toEqual([['close', 1, true]]);
    expect([requests.received(PORT_WITHOUT_HTTP << 8, Buffer.from('x')), called()]).toEqual([false, []]);
  });

  it('of HTTP/2 is told by its port, not ended, when the process leaves', () => {
    let source: { tunnel(events: unknown): unknown } | undefined;
    requests = setUp({ http2: (given) => (source = given as never) });
    serve(1, 1, { bits: RequestBit.http2 | RequestBit.tls });
    expect(source).toMatchObject({ fd: 1, isEncrypted: true, remoteAddress: '192.0.2.1', remotePort: 4711 });
    source?.tunnel(noteEvents());
    called();
    let done = 0;
    requests.dismiss(1000, () => done++);
    expect([done, called(), pending]).toEqual([0, [['dismiss port'], ['dismiss port']], 0]);
    requests.ended(1);
    expect([done, called()]).toEqual([1, [['release', 1], ['gone']]]);
  });
});

it('failures are told to the worker, and there must be one', () => {
  const error = new Error('failed');
  requests.failed(error, 'request');
  expect(called()).toEqual([['failed', error, 'request']]);
  requests.countUnderWay(1);
  expect(pending).toBe(1);
  const none = new HttpRequests({ portOf: () => 0, remote: () => ({}) as never, handlers: [], gate: undefined });
  expect(() => none.outbox).toThrow('the HTTP of this process has no worker yet');
});
