import { AsyncLocalStorage } from 'node:async_hooks';
import { describe, expect, it } from 'vitest';
import { HttpRequests, type PortHandler } from '../../src/http/http-requests.js';
import type { Http1Exchange } from '../../src/http/http1-exchange.js';
import {
  AnswerFlag,
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
import type { FrameService } from '../../src/worker/service.js';
import { StreamService } from '../../src/worker/services/stream.js';
import {
  describeClosedByServer,
  describeFrameService,
  type ServiceUnderTest,
} from '../worker/frame-service.conformance.js';
import { type Frame, ServiceWorld, settle } from '../worker/world.js';

const GET = 0;

function request(fd: number, target: string, bits: number = RequestBit.keepAlive, flags = 0): Frame {
  const path = `/${target}`;
  const head = `GET ${path} HTTP/1.1\r\nHost: test\r\n\r\n`;
  const words = Buffer.alloc(8);
  words.writeInt32LE(firstWordOf(head.length, GET, bits), 0);
  words.writeInt32LE(secondWordOf(4, 4 + path.length), 4);
  return { type: Event.request, fd, flags, detail: 1, payload: Buffer.concat([words, Buffer.from(head)]) };
}

interface HttpUnderTest extends ServiceUnderTest {
  readonly service: HttpRequests;
  readonly exchanges: Http1Exchange[];
  /** Frames of any type. */
  give(...frames: Frame[]): void;
}

/** @param serve in place of an answer at once */
function open(serve?: (exchange: Http1Exchange) => void): HttpUnderTest {
  const seen: string[] = [];
  const exchanges: Http1Exchange[] = [];
  let fails = false;
  const world = new ServiceWorld({ ports: [{}] });
  const handler: PortHandler = {
    serve: (exchange) => {
      exchanges.push(exchange);
      if (fails) return service.failed(new Error('as the test wants'), 'request');
      seen.push(exchange.target.slice(1));
      if (serve === undefined) exchange.respond(200, '', [], 'ok');
      else serve(exchange);
    },
    ...{ http2: () => {}, dismiss: () => {}, drain: () => {} },
  };
  const remote = () => ({ remoteAddress: '', remotePort: 0 });
  const service = new HttpRequests(world.host, { portOf: () => 0, remote, handlers: [handler], gate: undefined });
  const streams = new StreamService(world.host);
  const ring = world.inbound();
  const give = (...frames: Frame[]): void => {
    world.write(...frames);
    for (; ring.available(); ring.advance()) {
      const taker: FrameService = (ring.word & 0xff) === Event.receive ? streams : service;
      taker.deliver(taker.take(ring));
    }
    ring.release();
  };
  return {
    ...{ world, seen, service, exchanges, give },
    whole: (fd, text) => request(fd, text),
    fail: () => {
      fails = true;
    },
    holdUp: (fd) => {
      service.openTunnel(fd, { received: () => {}, ended: () => {}, gone: () => {} });
      return () => service.connectionEnded(fd, false);
    },
  };
}

describeFrameService('the service of HTTP', () => open());
describeClosedByServer('HTTP', () => open());

describe('a request', () => {
  it('is answered by one frame that is the last, and leaves nothing behind', () => {
    const { world, give } = open();
    const fd = world.connect();
    give(request(fd, 'a'));
    const [answer, ...rest] = world.sent();
    expect(answer).toMatchObject({ type: Request.answer, fd, detail: 1, flags: AnswerFlag.last });
    expect(answer?.text).toMatch(/^HTTP\/1\.1 200 OK\r\n[\s\S]*\r\n\r\nok$/);
    expect(rest).toEqual([]);
    expect(world.host.calls.pending).toBe(0);
    expect(world.table.taker(world.table.slotOf(fd))).toBe(process.pid);
  });

  it('is pending until its answer has ended', () => {
    const { world, give, exchanges } = open(() => {});
    give(request(world.connect(), 'a'));
    expect(world.host.calls.pending).toBe(1);
    exchanges[0]?.respond(200, '', [], 'late');
    expect(world.host.calls.pending).toBe(0);
  });

  it('has pieces of its body confirmed to the reactor as they are read', async () => {
    const { world, give, exchanges } = open(() => {});
    const fd = world.connect();
    give(request(fd, 'a', RequestBit.keepAlive, RequestFlag.bodyFollows));
    const piece = Buffer.alloc(50_000, 'x');
    give({ type: Event.body, fd, detail: 1, payload: piece });
    give({ type: Event.body, fd, detail: 1, payload: piece }, { type: Event.body, fd, detail: 2, payload: 'other' });
    const body = exchanges[0]?.body;
    expect(await body?.next()).toEqual(piece);
    expect(await body?.next()).toEqual(piece);
    const [taken] = world.sent();
    expect(taken).toMatchObject({ type: Request.taken, fd, detail: 1 });
    give({ type: Event.body, fd, detail: 1, flags: BodyFlag.last });
    expect(await body?.next()).toBeNull();
  });

  it('whose client has gone is over; one of another number is not touched', () => {
    const { world, give, exchanges } = open(() => {});
    const fd = world.connect();
    give(request(fd, 'a'), { type: Event.gone, fd, detail: 2, flags: goneFlags(CloseCode.CLIENT_CLOSED) });
    expect(exchanges[0]?.isGone).toBe(false);
    give({ type: Event.gone, fd, detail: 1, flags: goneFlags(CloseCode.CLIENT_CLOSED, true) });
    expect(exchanges[0]?.isGone).toBe(false);
    give({ type: Event.gone, fd, detail: 1, flags: goneFlags(CloseCode.CLIENT_RESET) });
    expect(exchanges[0]?.isGone).toBe(true);
    expect(world.host.calls.pending).toBe(0);
  });

  it('is over when a process that gets no frames sees that its connection has gone', () => {
    const { world, service, give, exchanges } = open(() => {});
    const fd = world.connect();
    give(request(fd, 'a'));
    service.poll();
    expect(exchanges[0]?.isGone).toBe(false);
    world.table.markEnded(fd);
    service.poll(); // the frame that tells why may be on its way
    expect(exchanges[0]?.isGone).toBe(false);
    service.poll();
    expect(exchanges[0]?.isGone).toBe(true);
  });

  it('that is over hears of it in a context of its own', () => {
    const { world, service, give, exchanges } = open(() => {});
    const storage = new AsyncLocalStorage<string>();
    const found: (string | undefined)[] = [];
    const fds = [world.connect(), world.connect()];
    for (const fd of fds) give(request(fd, 'a'));
    for (const exchange of exchanges) {
      exchange.onGone(() => {
        found.push(storage.getStore());
        storage.enterWith('left by another');
      });
    }
    for (const fd of fds) world.table.markEnded(fd);
    for (let i = 0; i < 2; i++) service.poll();
    expect(found).toEqual([undefined, undefined]);
  });

  it('that is detached has no taker and is not pending', () => {
    const { world, give } = open((exchange) => void exchange.detach());
    const fd = world.connect();
    give(request(fd, 'a'));
    expect(world.table.taker(world.table.slotOf(fd))).toBe(0);
    expect(world.host.calls.pending).toBe(0);
  });
});

describe('a dismissal', () => {
  it('waits for uploads, and for nothing else', () => {
    const { world, service, give } = open(() => {});
    const fd = world.connect();
    give(request(world.connect(), 'no body'), request(fd, 'upload', RequestBit.keepAlive, RequestFlag.bodyFollows));
    let done = 0;
    service.dismiss(60_000, () => done++);
    expect(done).toBe(0);
    give({ type: Event.body, fd, detail: 1, flags: BodyFlag.last });
    expect(done).toBe(1);
  });
});

describe('a tunnel', () => {
  const tunnelled = (fd: number, it_: HttpUnderTest): string[] => {
    const told: string[] = [];
    it_.give(request(fd, 'up', RequestBit.upgrade | RequestBit.keepAlive));
    it_.exchanges[0]?.tunnel({
      received: (data) => void told.push(data.toString()),
      ended: () => void told.push('ended'),
      gone: () => void told.push('gone'),
    });
    return told;
  };

  it('gets the bytes of its connection, its half end and its end, in order', () => {
    const it_ = open(() => {});
    const { world } = it_;
    world.services.push(it_.service);
    const fd = world.connect();
    const told = tunnelled(fd, it_);
    expect(world.sent()).toMatchObject([{ type: Request.answer, flags: AnswerFlag.last | AnswerFlag.tunnel }]);
    it_.give({ type: Event.receive, fd, payload: 'bytes' });
    world.host.connections.closed(fd, CloseFlag.awaitsAnswers, CloseCode.CLIENT_CLOSED, '');
    expect(world.counter('closes')).toBe(0); // this process still has it
    world.host.connections.closed(fd, CloseFlag.gone, CloseCode.CLIENT_CLOSED, '');
    expect(told).toEqual(['bytes', 'ended', 'gone']);
    expect(world.counter('closes')).toBe(1);
  });

  it('of a process that has died is reset', async () => {
    const { world, give } = open();
    const fd = world.connect();
    give({ type: Event.receive, fd, payload: 'bytes of nobody' });
    await settle();
    expect(world.sent()).toMatchObject([{ type: Request.close, fd, flags: CloseFlag.reset }]);
  });
});
