import { beforeEach, describe, expect, it } from 'vitest';
import {
  AnswerFlag,
  CloseCode,
  ClosingFlag,
  closeReason,
  Event,
  MessageFlag,
  Request,
  RequestBit,
} from '../../src/ipc/frame.js';
import { firstWordOf, secondWordOf } from '../../src/ipc/frames/http.js';
import { SlotFlag } from '../../src/memory/connection-table.js';
import { resolveOptions, type ServerOptions } from '../../src/options/index.js';
import type { StartContext } from '../../src/server/context.js';
import { ListenPort } from '../../src/server/listen-port.js';
import { accept, reject } from '../../src/websocket/handshake-answer.js';
import { ReceivedText } from '../../src/websocket/received-text.js';
import { RoomQuestions } from '../../src/websocket/room-questions.js';
import { webSocketHalf } from '../../src/websocket/web-socket-half.js';
import type { FrameService } from '../../src/worker/service.js';
import { type Frame, ServiceWorld } from '../worker/world.js';

type Events = Partial<StartContext['events']>;

/** What callbacks were given, in order. */
let seen: unknown[];
beforeEach(() => {
  seen = [];
});

const usual: Events = {
  handshake: (req) => {
    seen.push(['handshake', req.path, req.remoteAddress, req.remotePort]);
    return accept({ data: 'its data' });
  },
  open: (conn, req) => void seen.push(['open', conn.fd, (conn as { data: unknown }).data, req.path]),
  message: (conn, data) => void seen.push(['message', conn.fd, data]),
};

const PORT = { settings: { protocol: 'websocket' }, table: { callbacks: {} } } as never;

/** Port 0 speaks WebSocket, port 1 does so with callbacks of its own, port 2 speaks HTTP. */
async function start(events: Events = usual, ofPort: Events = {}, options: ServerOptions = {}) {
  const half = webSocketHalf({}, { questions: new RoomQuestions(), received: new ReceivedText(), publish: () => {} });
  const callbacks = { close: (conn: { fd: number }, close: unknown) => void seen.push(['close', conn.fd, close]) };
  const port = half.callbacks?.(callbacks as never, PORT) as never;
  const world = new ServiceWorld({ ports: [port, port, port] });
  world.region.ports = [9501, 9502, 9503];
  const resolved = resolveOptions({ protocol: 'websocket', host: '127.0.0.1', ...options });
  const given = [undefined, { protocol: 'websocket' as const, port: 0 }, { protocol: 'http' as const, port: 0 }];
  const ports = given.map(
    (one) =>
      new ListenPort(
        one,
        () => undefined,
        () => {},
      ),
  );
  for (const one of ports) one.resolve(resolved);
  for (const [name, callback] of Object.entries(ofPort)) ports[1]?.on(name as 'message', callback as never);
  const context = { options: resolved, ports, events, server: { workerId: 0 }, log: world.log };
  const factories = await half.load(context as unknown as StartContext, world.region);
  const services = factories.map((create) => create(world.host));
  world.services.push(...services);
  const ring = world.inbound();

  /** Frames come, and the services take them. */
  async function gets(...frames: Frame[]): Promise<void> {
    world.write(...frames);
    for (; ring.available(); ring.advance()) {
      const service = services.find(({ types }) => types.includes(ring.word & 0xff)) as FrameService;
      service.deliver(service.take(ring));
    }
    ring.release();
    await new Promise(setImmediate);
  }
  async function upgrade(portIndex = 0): Promise<number> {
    const fd = world.connect(portIndex);
    await gets({ type: Event.request, fd, detail: 1, payload: opening() });
    return fd;
  }
  return { world, services, gets, upgrade, half };
}

/** As a reactor writes it. */
function opening(): Buffer {
  const fields = ['Host: a.test', 'Upgrade: websocket', 'Connection: Upgrade', 'Sec-WebSocket-Version: 13'];
  const head = `GET /chat HTTP/1.1\r\n${fields.join('\r\n')}\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n`;
  const words = Buffer.alloc(8);
  words.writeInt32LE(firstWordOf(head.length, 0, RequestBit.keepAlive | RequestBit.upgrade), 0);
  words.writeInt32LE(secondWordOf(4, 9), 4);
  return Buffer.concat([words, Buffer.from(head)]);
}

const message = (fd: number, payload: string): Frame => ({
  type: Event.message,
  fd,
  flags: MessageFlag.ascii,
  payload,
});

describe('a client of a WebSocket server', () => {
  it('is asked for, opened with its data, and gives messages', async () => {
    const { world, gets, upgrade } = await start();
    const fd = await upgrade();
    expect(seen).toEqual([
      ['handshake', '/chat', '127.0.0.1', 5],
      ['open', fd, 'its data', '/chat'],
    ]);
    const [answer] = world.sent();
    expect(answer).toMatchObject({ type: Request.answer, fd, text: expect.stringMatching(/^HTTP\/1.1 101 /) });
    expect((answer?.flags ?? 0) & AnswerFlag.webSocket).not.toBe(0);
    expect(world.table.hasFlag(world.table.slotOf(fd), SlotFlag.webSocket)).toBe(true);
    await gets(message(fd, 'hello'));
    expect(seen.at(-1)).toEqual(['message', fd, 'hello']);
  });

  it('that is turned away is nothing but answered', async () => {
    const { world, upgrade } = await start({ ...usual, handshake: () => reject(401, 'No.') });
    const fd = await upgrade();
    expect(world.sent()[0]?.text).toMatch(/^HTTP\/1.1 401 [\s\S]*No\.\n$/);
    expect([seen, world.table.hasFlag(world.table.slotOf(fd), SlotFlag.webSocket)]).toEqual([[], false]);
  });

  it('is told of where the handshake fails', async () => {
    const handshake = (): never => {
      throw new Error('as the test wants');
    };
    const { world, upgrade } = await start({ ...usual, handshake });
    await upgrade();
    expect(world.sent()[0]?.text).toMatch(/^HTTP\/1.1 500 /);
    expect([world.counter('callbackErrors'), world.lines.join()]).toEqual([1, expect.stringMatching(/'handshake'/)]);
  });

  it('gives its messages to the callbacks of its port, and to those of the server for the rest', async () => {
    const own: Events = { message: (_, data) => void seen.push(['of the port', data]) };
    const { gets, upgrade } = await start(usual, own);
    const [first, second] = [await upgrade(0), await upgrade(1)];
    seen = [];
    await gets(message(first, 'a'), message(second, 'b'));
    expect(seen).toEqual([
      ['message', first, 'a'],
      ['of the port', 'b'],
    ]);
  });

  it('of a port that speaks HTTP alone becomes none', async () => {
    const { world, upgrade } = await start();
    await upgrade(2);
    expect([seen, world.sent()[0]?.text]).toEqual([[], expect.stringMatching(/^HTTP\/1.1 404 /)]);
  });

  it('of another path becomes none', async () => {
    const { upgrade } = await start(usual, {}, { websocketPath: '/elsewhere' });
    await upgrade();
    expect(seen).toEqual([]);
  });

  it('needs no callbacks at all', async () => {
    const { world, gets, upgrade } = await start({});
    const fd = await upgrade();
    await gets(message(fd, 'to nobody'));
    expect(world.sent()[0]?.text).toMatch(/^HTTP\/1.1 101 /);
    expect(world.counter('callbackErrors')).toBe(0);
  });
});

describe('the end of a WebSocket', () => {
  const close = async (frame: Partial<Frame> | undefined, code: number, isSocket = true) => {
    const { gets, upgrade, world, half } = await start();
    const fd = isSocket ? await upgrade() : world.connect();
    if (frame !== undefined) await gets({ type: Event.closing, fd, ...frame });
    seen = [];
    const callbacks = half.callbacks?.({ close: (_: unknown, told: unknown) => void seen.push(told) } as never, PORT);
    const user = { fd, isOpen: true };
    callbacks?.close?.(user as never, closeReason(code, ''));
    return user.isOpen;
  };

  it('has the code and the reason of its Close frame', async () => {
    const isOpen = await close({ detail: 4001, flags: ClosingFlag.byClient, payload: 'bye' }, CloseCode.CLIENT_CLOSED);
    expect([seen, isOpen]).toEqual([[{ code: 4001, reason: 'bye', initiator: 'client' }], false]);
  });

  it('is by whom its reason says where the server has sent it', async () => {
    await close({ detail: 1001, payload: '' }, CloseCode.SERVER_CLOSED);
    expect(seen).toEqual([{ code: 1001, reason: '', initiator: 'server' }]);
  });

  it('without a Close frame is 1006', async () => {
    await close(undefined, CloseCode.SOCKET_ERROR);
    expect(seen).toEqual([{ code: 1006, reason: '', initiator: 'error' }]);
  });

  it('of a connection that was none is not told', async () => {
    expect([await close(undefined, CloseCode.CLIENT_CLOSED, false), seen]).toEqual([true, []]);
  });
});
