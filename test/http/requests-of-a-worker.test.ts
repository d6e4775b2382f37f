import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { type Http2Source, HttpRequests, type PortHandler } from '../../src/http/http-requests.js';
import type { Http1Exchange } from '../../src/http/http1-exchange.js';
import type { TunnelEvents } from '../../src/http/node/raw-exchange.js';
import { RequestGate } from '../../src/http/request-gate.js';
import {
  BodyFlag,
  CloseCode,
  CloseFlag,
  Event,
  goneFlags,
  Request,
  RequestBit,
  RequestFlag,
} from '../../src/ipc/frame.js';
import { firstWordOf, secondWordOf } from '../../src/ipc/frames/http.js';
import { SlotState } from '../../src/memory/connection-table.js';
import { StreamService } from '../../src/worker/services/stream.js';
import { type Frame, ServiceWorld, settle } from '../worker/world.js';

const HEAD = 'GET / HTTP/1.1\r\nHost: a\r\n\r\n';
const GET = 0;
const PORT_WITHOUT_HTTP = 2;

let world: ServiceWorld;
let requests: HttpRequests;
/** Called by the service since the last look. */
let calls: unknown[][];
/** By the handler, in order. */
let served: Http1Exchange[];

const called = (): unknown[][] => calls.splice(0);
const noting =
  (name: string) =>
  (...args: unknown[]): void =>
    void calls.push([name, ...args]);
const pending = (): number => world.host.calls.pending;

function setUp(handler: Partial<PortHandler> = {}, gate?: RequestGate): void {
  world = new ServiceWorld({
    ports: [{}, {}, { receive: (_connection, data) => calls.push(['receive', String(data)]) }],
  });
  const port: PortHandler = {
    serve: (exchange) => served.push(exchange),
    http2: noting('http2'),
    dismiss: noting('dismiss port'),
    drain: noting('drain port'),
    ...handler,
  };
  const remote = () => ({ remoteAddress: '192.0.2.1', remotePort: 4711 });
  const { table } = world;
  const portOf = (fd: number): number => table.portIndex(table.slotOf(fd));
  requests = new HttpRequests(world.host, { portOf, remote, handlers: [port, port, undefined], gate });
  world.services.push(requests);
}

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  calls = [];
  served = [];
  setUp();
});

afterEach(() => {
  vi.useRealTimers();
});

/** A frame goes through the ring to its service. @returns what was taken */
function give(frame: Frame): unknown {
  const service = frame.type === Event.receive ? new StreamService(world.host) : requests;
  const ring = world.inbound();
  world.write(frame);
  expect(ring.available()).toBe(true);
  const taken = service.take(ring);
  ring.advance();
  ring.release();
  service.deliver(taken as never);
  return taken;
}

/** @returns the exchange, which its handler has and does not answer yet */
function serve(
  fd: number,
  number = 1,
  { bits = RequestBit.keepAlive as number, bodyFollows = false } = {},
): Http1Exchange {
  const words = Buffer.alloc(8);
  words.writeInt32LE(firstWordOf(HEAD.length, GET, bits), 0);
  words.writeInt32LE(secondWordOf(4, 5), 4);
  const payload = Buffer.concat([words, Buffer.from(HEAD)]);
  const flags = bodyFollows ? RequestFlag.bodyFollows : 0;
  return give({ type: Event.request, fd, flags, detail: number, payload }) as Http1Exchange;
}

const body = (fd: number, number: number, flags: number, text: string): void =>
  void give({ type: Event.body, fd, detail: number, flags, payload: text });

const gone = (fd: number, number: number, flags: number, payload = ''): void =>
  void give({ type: Event.gone, fd, detail: number, flags, payload });

const clientClosed = goneFlags(CloseCode.CLIENT_CLOSED);

/** Types of the frames to the reactor since the last look, with their flags. */
async function framesSent(): Promise<number[][]> {
  await settle();
  return world.sent().map(({ type, fd, flags }) => [type, fd, flags]);
}

describe('a request', () => {
  it('of a port that speaks no HTTP any more ends its connection', async () => {
    const fd = world.connect(PORT_WITHOUT_HTTP);
    serve(fd);
    expect([await framesSent(), served, pending()]).toEqual([[[Request.close, fd, CloseFlag.reset]], [], 0]);
  });

  it('gets its body, and not that of another', async () => {
    const [fd, other] = [world.connect(), world.connect()];
    const exchange = serve(fd, 7, { bodyFollows: true });
    body(fd, 6, BodyFlag.last, 'of another');
    body(other, 7, BodyFlag.last, 'of another');
    body(fd, 7, BodyFlag.last, 'its own');
    expect(String(await exchange.body.next())).toBe('its own');
  });

  it('hears that its client has gone, and why, and that of no other', async () => {
    const [fd, other] = [world.connect(), world.connect()];
    const exchange = serve(fd, 7, { bodyFollows: true });
    gone(fd, 6, clientClosed);
    gone(other, 7, clientClosed);
    expect(exchange.isGone).toBe(false);
    gone(fd, 7, goneFlags(CloseCode.HTTP_TIMEOUT), '408 Too late.');
    expect([exchange.isGone, pending()]).toEqual([true, 0]);
    await expect(exchange.body.next()).rejects.toMatchObject({ detail: { reason: 'timeout', status: 408 } });
  });

  it('hears that its client has ended its side only', () => {
    const fd = world.connect();
    const exchange = serve(fd, 7);
    let halfClosed = 0;
    exchange.onHalfClosed(() => halfClosed++);
    gone(fd, 7, goneFlags(CloseCode.CLIENT_CLOSED, true));
    expect([halfClosed, exchange.isGone]).toEqual([1, false]);
  });

  it('is over where the next one of its connection comes', () => {
    const fd = world.connect();
    const [first, second] = [serve(fd, 1), serve(fd, 2)];
    expect([first.isGone, second.isGone, pending()]).toEqual([true, false, 1]);
    gone(fd, 2, clientClosed);
    expect([second.isGone, pending()]).toEqual([true, 0]);
  });

  it('that is answered at once is not kept', () => {
    setUp({ serve: (exchange) => exchange.respond(204, '', [], '') });
    const exchange = serve(world.connect());
    expect([exchange.isEnded, exchange.isTracked, pending()]).toEqual([true, false, 0]);
  });

  it('waits while as many as there may be are under way', () => {
    setUp({}, new RequestGate(1));
    const waits = world.connect();
    const [first, second, third] = [serve(world.connect()), serve(waits), serve(world.connect())];
    expect([served, pending()]).toEqual([[first], 3]);
    gone(waits, 1, clientClosed);
    first.respond(204, '', [], '');
    expect([served, second.isGone, pending()]).toEqual([[first, third], true, 1]);
  });

  it('whose client has left while it waited is not served, though the event that tells it is still to come', () => {
    setUp({}, new RequestGate(1));
    const leaves = world.connect();
    const [first, second] = [serve(world.connect()), serve(leaves)];
    world.table.setState(world.table.slotOf(leaves), SlotState.closed);
    first.respond(204, '', [], '');
    expect([served, pending()]).toEqual([[first], 1]);
    gone(leaves, 1, clientClosed);
    const third = serve(world.connect());
    expect([served, second.isGone, pending()]).toEqual([[first, third], true, 1]);
  });

  it('that is answered at once makes room', () => {
    setUp({ serve: (exchange) => exchange.respond(204, '', [], '') }, new RequestGate(1));
    expect([serve(world.connect()), serve(world.connect())].map(({ isEnded }) => isEnded)).toEqual([true, true]);
  });

  it('that did not come through the ring is counted by its protocol', () => {
    requests.countUnderWay(1);
    requests.countUnderWay(1);
    requests.countUnderWay(-1);
    expect(pending()).toBe(1);
  });
});

describe('a process that leaves', () => {
  it('tells requests under way, those that come and their ports', () => {
    let left = 0;
    serve(world.connect()).onLeaving(() => left++);
    requests.drain();
    expect([left, requests.isDraining, requests.isLeaving]).toEqual([1, true, true]);
    expect(called()).toEqual([['drain port'], ['drain port']]);
    serve(world.connect()).onLeaving(() => left++);
    expect(left).toBe(2);
  });

  it('is ready at once where it holds no uploads and no tunnels', () => {
    serve(world.connect());
    let done = 0;
    requests.dismiss(1000, () => done++);
    expect([done, requests.isLeaving, requests.isDraining]).toEqual([1, true, false]);
    expect(called()).toEqual([['dismiss port'], ['dismiss port']]);
  });

  it('waits for uploads to come, and is ready once', () => {
    const fd = world.connect();
    serve(fd, 1, { bodyFollows: true });
    let done = 0;
    requests.dismiss(1000, () => done++);
    body(fd, 1, 0, 'a');
    expect(done).toBe(0);
    body(fd, 1, BodyFlag.last, 'b');
    expect([done, vi.getTimerCount()]).toEqual([1, 0]);
  });

  it('waits for uploads until they are answered', () => {
    const exchange = serve(world.connect(), 1, { bodyFollows: true });
    let done = 0;
    requests.dismiss(1000, () => done++);
    expect(done).toBe(0);
    exchange.respond(413, '', [], '');
    expect(done).toBe(1);
  });

  it('asks tunnels to end, and ends them when its time is over', async () => {
    const fd = world.connect();
    requests.openTunnel(fd, noteEvents());
    let done = 0;
    requests.dismiss(1000, () => done++);
    expect([called(), done]).toEqual([[['ended'], ['dismiss port'], ['dismiss port']], 0]);
    vi.advanceTimersByTime(999);
    expect([await framesSent(), done]).toEqual([[], 0]);
    vi.advanceTimersByTime(1);
    expect([await framesSent(), done]).toEqual([[[Request.close, fd, CloseFlag.reset]], 1]);
  });
});

function noteEvents(): TunnelEvents {
  return {
    received: (data) => calls.push(['received', String(data)]),
    ended: noting('ended'),
    gone: noting('gone'),
  };
}

describe('a tunnel', () => {
  it('holds its connection until that has gone, which it hears once', () => {
    const fd = world.connect();
    requests.openTunnel(fd, noteEvents());
    const connection = world.host.connections.of(fd);
    give({ type: Event.receive, fd, payload: 'bytes' });
    requests.connectionEnded(fd, true);
    expect([connection.held, connection.pending]).toEqual([true, 1]);
    requests.connectionEnded(fd, false);
    requests.connectionEnded(fd, false);
    expect([connection.held, connection.pending]).toEqual([false, 0]);
    expect(called()).toEqual([['received', 'bytes'], ['ended'], ['gone']]);
  });

  it('writes, waits, pauses and ends as a connection', async () => {
    const fd = world.connect();
    const tunnel = requests.openTunnel(fd, noteEvents());
    const drain = vi.spyOn(world.host.outbox, 'drain').mockResolvedValue();
    tunnel.write(Buffer.from('a'));
    await tunnel.drain();
    expect(drain).toHaveBeenCalledWith(fd);
    tunnel.pause();
    tunnel.resume();
    tunnel.end();
    tunnel.destroy();
    await settle();
    expect(world.sent()).toMatchObject([
      { type: Request.send, fd, text: 'a' },
      { type: Request.pause, fd },
      { type: Request.resume, fd },
      { type: Request.close, fd, flags: 0 },
    ]);
  });

  it('that is not ended in order is cut', async () => {
    const fd = world.connect();
    requests.openTunnel(fd, noteEvents()).destroy();
    expect(await framesSent()).toEqual([[Request.close, fd, CloseFlag.reset]]);
  });

  it('of a process that has died is closed; bytes of another protocol are not ours', async () => {
    const fds = [0, 1, PORT_WITHOUT_HTTP].map((port) => world.connect(port));
    for (const fd of fds) give({ type: Event.receive, fd, payload: 'x' });
    expect(await framesSent()).toEqual(fds.slice(0, 2).map((fd) => [Request.close, fd, CloseFlag.reset]));
    expect(called()).toEqual([['receive', 'x']]);
  });

  it('of HTTP/2 is told by its port, not ended, when the process leaves', () => {
    const sources: Http2Source[] = [];
    setUp({ http2: (source) => sources.push(source) });
    const fd = world.connect();
    serve(fd, 1, { bits: RequestBit.http2 | RequestBit.tls });
    expect(sources).toMatchObject([{ fd, isEncrypted: true, remoteAddress: '192.0.2.1', remotePort: 4711 }]);
    sources[0]?.tunnel(noteEvents());
    let done = 0;
    requests.dismiss(1000, () => done++);
    expect([done, called(), pending()]).toEqual([0, [['dismiss port'], ['dismiss port']], 0]);
    requests.connectionEnded(fd, false);
    expect([done, called()]).toEqual([1, [['gone']]]);
    expect(world.host.connections.of(fd).held).toBe(false);
  });
});
