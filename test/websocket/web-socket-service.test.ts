import { deflateRawSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { CloseCode, CloseFlag, ClosingFlag, Event, MessageFlag, PieceFlag, Request } from '../../src/ipc/frame.js';
import type { RingReader } from '../../src/ipc/ring.js';
import { ReceivedText } from '../../src/websocket/received-text.js';
import { type Closings, WebSocketService } from '../../src/websocket/web-socket-service.js';
import {
  describeClosedByServer,
  describeFrameService,
  type ServiceUnderTest,
} from '../worker/frame-service.conformance.js';
import { type Frame, ServiceWorld, settle } from '../worker/world.js';

const LIMIT = 1000;

/** A message as the reactor gives it. */
function message(fd: number, payload: Buffer | string, flags = 0, lead = 0): Frame {
  const bytes = Buffer.concat([Buffer.alloc(lead, 0xff), Buffer.from(payload as string)]);
  return { type: Event.message, fd, flags, detail: lead, payload: bytes };
}

function piecesOf(fd: number, payloads: readonly (string | Buffer)[], flags = 0): Frame[] {
  return payloads.map((payload, index) => {
    const more = index < payloads.length - 1 ? PieceFlag.more : 0;
    return message(fd, payload, flags | more | (index > 0 ? PieceFlag.continued : 0));
  });
}

const closing = (fd: number, code: number, flags = 0, reason = ''): Frame => {
  return { type: Event.closing, fd, flags, detail: code, payload: reason };
};

const deflated = (data: string | Buffer): Buffer =>
  deflateRawSync(Buffer.from(data as string), { finishFlush: 2 }).subarray(0, -4);

type Receive = (data: string | Buffer, fd: number) => unknown;

class Served {
  readonly closings: Closings = new Map();
  readonly seen: (string | Buffer)[] = [];
  readonly received = new ReceivedText();
  readonly world: ServiceWorld;
  readonly service: WebSocketService;
  readonly ring: RingReader;
  receive: Receive = (data) => void this.seen.push(data);

  constructor() {
    this.world = new ServiceWorld({ ports: [{ close: (conn) => void this.seen.push(`close ${conn.fd}`) }] });
    this.service = new WebSocketService(this.world.host, {
      closings: this.closings,
      received: this.received,
      maxMessageBytes: LIMIT,
      callbacksOf: () => ({ message: (conn, data) => this.receive(data, conn.fd) }),
    });
    this.world.services.push(this.service);
    this.ring = this.world.inbound();
  }

  /** Frames come, and are delivered as the inbox does it. */
  gets(...frames: readonly Frame[]): this {
    this.world.write(...frames);
    for (; this.ring.available(); this.ring.advance()) this.service.deliver(this.service.take(this.ring));
    this.ring.release();
    return this;
  }

  get sent() {
    return this.world.sent();
  }
}

function open(): ServiceUnderTest {
  const served = new Served();
  const seen: string[] = [];
  served.receive = (data) => void seen.push(String(data));
  return {
    ...{ world: served.world, service: served.service, seen, whole: message, pieces: piecesOf },
    fail: () => {
      served.receive = () => {
        throw new Error('as the test wants');
      };
    },
  };
}

describeFrameService('the service of WebSockets', open);
describeClosedByServer('WebSockets', open);

describe('a message', () => {
  it.each<[string, string | Buffer, number, string | Buffer]>([
    ['a text of ASCII', 'hello', MessageFlag.ascii, 'hello'],
    ['an empty text', '', MessageFlag.ascii, ''],
    ['a text', 'tschüß €😀', 0, 'tschüß €😀'],
    ['a text with a byte order mark', '\ufeffa', 0, '\ufeffa'],
    ['a text of NULs', '\0\0', MessageFlag.ascii, '\0\0'],
    ['bytes', Buffer.from([0, 255]), MessageFlag.binary, Buffer.from([0, 255])],
    ['no bytes', Buffer.alloc(0), MessageFlag.binary, Buffer.alloc(0)],
    ['a compressed text', deflated('tschüß'), MessageFlag.deflated, 'tschüß'],
    ['an empty compressed text', Buffer.from([0]), MessageFlag.deflated, ''],
    ['compressed bytes', deflated(Buffer.from([255])), MessageFlag.deflated | MessageFlag.binary, Buffer.from([255])],
    ['as much as may be', deflated('x'.repeat(LIMIT)), MessageFlag.deflated, 'x'.repeat(LIMIT)],
  ])('is given as it was sent: %s', (_what, payload, flags, expected) => {
    for (const lead of [0, 8]) {
      const served = new Served();
      served.gets(message(served.world.connect(), payload, flags, lead));
      expect(served.seen).toEqual([expected]);
    }
  });

  it.each<[string, string | Buffer, number, string | Buffer]>([
    ['a text that is cut in its characters', 'é€😀é€😀', 0, 'é€😀é€😀'],
    ['bytes', Buffer.from('bytes'), MessageFlag.binary, Buffer.from('bytes')],
    ['a compressed text', deflated('é€😀é€😀'), MessageFlag.deflated, 'é€😀é€😀'],
    ['compressed bytes', deflated('bytes'), MessageFlag.deflated | MessageFlag.binary, Buffer.from('bytes')],
  ])('in pieces is given whole, wherever it was cut: %s', (_what, payload, flags, expected) => {
    const bytes = Buffer.from(payload as string);
    for (let at = 1; at < bytes.length; at++) {
      const served = new Served();
      served.gets(...piecesOf(served.world.connect(), [bytes.subarray(0, at), bytes.subarray(at)], flags));
      expect({ at, seen: served.seen }).toEqual({ at, seen: [expected] });
    }
  });

  it('in pieces goes to nobody where its beginning went to a process that has died, or its end never comes', () => {
    const served = new Served();
    const fd = served.world.connect();
    const [first, second] = piecesOf(fd, ['lost, ', 'found']) as [Frame, Frame];
    served.gets(second, first);
    expect([served.seen, served.service.isIncomplete]).toEqual([[], true]);
    served.gets(closing(fd, 1006));
    expect(served.service.isIncomplete).toBe(false);
    served.gets(first);
    served.world.host.connections.closed(fd, 0, CloseCode.CLIENT_RESET, '');
    expect([served.seen, served.service.isIncomplete]).toEqual([[`close ${fd}`], false]);
  });

  it('begins anew where a beginning comes twice', () => {
    const served = new Served();
    const fd = served.world.connect();
    const [first, second] = piecesOf(fd, ['a', 'b']) as [Frame, Frame];
    served.gets(first, first, second);
    expect(served.seen).toEqual(['ab']);
  });

  it.each<[string, string | Buffer, number, number]>([
    ['does not inflate', Buffer.from('ffffffff', 'hex'), 0, 1007],
    ['is cut', deflated('hello, hello').subarray(0, 5), MessageFlag.binary, 1007],
    ['is no UTF-8', deflated(Buffer.from([0xc3])), 0, 1007],
    ['has too many bytes', deflated(Buffer.alloc(LIMIT + 1)), MessageFlag.binary, 1009],
  ])('that %s ends its connection, and nothing behind it is given', (_what, payload, flags, code) => {
    const served = new Served();
    const fd = served.world.connect();
    const other = served.world.connect();
    const broken = message(fd, payload, flags | MessageFlag.deflated);
    served.gets(message(fd, 'before'), broken, message(fd, 'behind'), message(other, 'other'));
    expect(served.seen).toEqual(['before', 'other']);
    expect(served.sent).toEqual([{ type: Request.disconnect, fd, flags: 0, detail: code, text: expect.any(String) }]);
  });

  it('counts as the bytes that the client has sent, without what lies before them', () => {
    const served = new Served();
    const fd = served.world.connect();
    served.gets(message(fd, '€', 0, 8), message(fd, deflated('x'.repeat(500)), MessageFlag.deflated));
    served.gets(...piecesOf(fd, ['ab', 'cd']));
    expect(served.world.counter('received')).toBe(3);
    expect(served.world.counter('receivedBytes')).toBe(3 + deflated('x'.repeat(500)).length + 4);
  });

  it('is not given once the connection has ended', () => {
    const served = new Served();
    const fd = served.world.connect();
    served.gets(message(fd, 'a'));
    const connection = served.world.host.connections.of(fd);
    served.world.host.connections.closed(fd, 0, CloseCode.CLIENT_RESET, '');
    expect([served.seen, connection.ended]).toEqual([['a', `close ${fd}`], true]);
  });
});

describe('a compressed text', () => {
  const text = 'a text that comes again, '.repeat(10);

  it('is kept as it came, for when it is sent on', () => {
    const served = new Served();
    served.gets(message(served.world.connect(), deflated(text), MessageFlag.deflated));
    expect(served.received.compressedFormOf(text)).toEqual(deflated(text));
    expect(served.received.compressedFormOf(`${text}!`)).toBeUndefined();
    expect(served.received.compressedFormOf(Buffer.from(text))).toBeUndefined();
  });

  it.each([
    ['bytes, which the callback may change', deflated(text), MessageFlag.deflated | MessageFlag.binary],
    ['what is not smaller', deflateRawSync(text, { level: 0, finishFlush: 2 }).subarray(0, -4), MessageFlag.deflated],
    ['a final block, which is unusual', deflateRawSync(text), MessageFlag.deflated],
    ['a final block first', Buffer.concat([deflateRawSync(text), deflated('')]), MessageFlag.deflated],
  ])('is not kept: %s', (_, payload, flags) => {
    const served = new Served();
    served.gets(message(served.world.connect(), payload, flags));
    expect(String(served.seen)).toBe(text);
    expect(served.received.compressedFormOf(text)).toBeUndefined();
  });

  it('is forgotten with the next one', () => {
    const served = new Served();
    served.gets(message(served.world.connect(), deflated(text), MessageFlag.deflated));
    served.gets(message(served.world.connect(), deflated(text.toUpperCase()), MessageFlag.deflated));
    expect(served.received.compressedFormOf(text)).toBeUndefined();
    expect(served.received.compressedFormOf(text.toUpperCase())).toEqual(deflated(text.toUpperCase()));
  });
});

describe('a callback', () => {
  it.each<[string, Receive]>([
    [
      'that throws',
      () => {
        throw new Error('as the test wants');
      },
    ],
    ['whose promise is rejected', () => Promise.reject(new Error('as the test wants'))],
  ])('%s ends its connection, and others go on', async (_what, receive) => {
    const served = new Served();
    const [fd, other] = [served.world.connect(), served.world.connect()];
    const { receive: usual } = served;
    served.receive = (data, of) => (of === fd ? receive(data, of) : usual(data, of));
    served.gets(message(fd, 'a'), message(other, 'b'));
    await settle();
    expect(served.sent).toMatchObject([{ type: Request.close, fd, detail: CloseCode.CALLBACK_FAILED }]);
    expect(served.world.lines.join('\n')).toContain("the 'message' callback failed, its connection is closed");
    expect([served.seen, served.world.counter('callbackErrors'), served.world.host.calls.pending]).toEqual([
      ['b'],
      1,
      0,
    ]);
  });

  it('that is awaited is pending until it settles, and `close` waits for it where the client has ended its side', async () => {
    const served = new Served();
    const fd = served.world.connect();
    const finish: (() => void)[] = [];
    served.receive = () => new Promise<void>((resolve) => finish.push(resolve));
    served.gets(message(fd, 'a'), message(fd, 'b'));
    served.world.host.connections.closed(fd, CloseFlag.awaitsAnswers, CloseCode.CLIENT_CLOSED, '');
    expect([served.world.host.calls.pending, served.seen]).toEqual([2, []]);
    for (const resolve of finish) resolve();
    await settle();
    expect([served.world.host.calls.pending, served.seen]).toEqual([0, [`close ${fd}`]]);
    expect(served.sent.map(({ type }) => type)).toEqual([Request.closed]);
  });

  it('gets each message in order, though one before is awaited', async () => {
    const served = new Served();
    const fd = served.world.connect();
    const { receive } = served;
    served.receive = async (data, of) => {
      receive(data, of);
      await settle();
    };
    served.gets(message(fd, 'a'), message(fd, 'b'), message(fd, 'c'));
    expect(served.seen).toEqual(['a', 'b', 'c']);
    await settle();
    await settle();
    expect(served.world.host.calls.pending).toBe(0);
  });
});

describe('a closing', () => {
  it('is answered behind what was sent before, and kept for `close`', () => {
    const served = new Served();
    const fd = served.world.connect();
    served.receive = (data, of) => void served.world.host.outbox.send(of, `${data}`);
    served.gets(message(fd, 'a'), closing(fd, 4001, ClosingFlag.byClient | ClosingFlag.awaitsAnswer, 'tschüß'));
    expect(served.sent.map(({ type, detail }) => [type, detail])).toEqual([
      [Request.send, 0],
      [Request.disconnect, 4001],
    ]);
    expect(served.closings.get(fd)).toEqual({ code: 4001, reason: 'tschüß', initiator: 'client' });
  });

  it('that nobody waits for is not answered', () => {
    const served = new Served();
    const fd = served.world.connect();
    served.gets(closing(fd, 1012));
    expect(served.sent).toEqual([]);
    expect(served.closings.get(fd)).toEqual({ code: 1012, reason: '', initiator: 'server' });
  });

  it('of a connection that this process has never seen is answered all the same', () => {
    const served = new Served();
    const fd = served.world.connect();
    served.gets(closing(fd, 1000, ClosingFlag.awaitsAnswer));
    expect(served.sent).toMatchObject([{ type: Request.disconnect, fd, detail: 1000 }]);
  });
});

it('the code of an end and the end itself are for one process: between them none takes over', () => {
  const served = new Served();
  served.gets(closing(7, 1001, ClosingFlag.byClient | ClosingFlag.awaitsAnswer));
  expect(served.service.isIncomplete).toBe(false);
  served.gets(closing(7, 1001, ClosingFlag.byClient | ClosingFlag.closeFollows));
  served.service.connectionEnded(8);
  expect(served.service.isIncomplete).toBe(true);
  served.service.connectionEnded(7);
  expect(served.service.isIncomplete).toBe(false);
});
