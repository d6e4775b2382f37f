import { beforeEach, describe, expect, it } from 'vitest';
import { ServerError } from '../../src/errors/index.js';
import { Request } from '../../src/ipc/frame.js';
import { PublicationView } from '../../src/ipc/frames/publish.js';
import type { Outbox } from '../../src/ipc/outbox.js';
import type { Reply } from '../../src/ipc/reply.js';
import type { RequestFrame } from '../../src/ipc/request-frame.js';
import { ConnectionTable, SlotFlag, SlotState } from '../../src/memory/connection-table.js';
import { Region } from '../../src/memory/region.js';
import { RoomBoard } from '../../src/memory/room-board.js';
import { AF_INET } from '../../src/os/constants.js';
import { Clients } from '../../src/server/clients.js';
import type { Runtime } from '../../src/server/context.js';
import { MessageFrames } from '../../src/websocket/message-frames.js';
import { ReceivedText } from '../../src/websocket/received-text.js';
import { WebSocketConnection } from '../../src/websocket/web-socket-connection.js';
import { WebSocketServer, type WebSocketServerOptions } from '../../src/websocket/web-socket-server.js';
import { testShape } from '../helpers/test-shape.js';
import { wasmModule } from '../helpers/unreadable.js';

/** An outbox that notes what it is given. */
class FakeOutbox {
  lastError: ServerError | undefined;
  takes = true;
  readonly sent: [fd: number, bytes: Buffer][] = [];
  readonly requests: RequestFrame[] = [];
  readonly asked: unknown[] = [];
  readonly publications: Buffer[] = [];
  readonly rooms = {
    join: (fd: number, room: string) => this.#note(['join', fd, room]),
    leave: (fd: number, room: string) => this.#note(['leave', fd, room]),
    publish: (payload: Buffer) => this.publications.push(payload) > 0 && this.#answer(),
  };

  reply(reply: Reply): boolean {
    const bytes = Buffer.alloc(reply.bytes);
    reply.writeTo(bytes, 0);
    expect(reply.type).toBe(Request.send);
    return this.send(reply.sessionId, bytes);
  }

  send(fd: number, data: string | Uint8Array): boolean {
    this.sent.push([fd, Buffer.from(data as Uint8Array)]);
    return this.#answer();
  }

  request(frame: RequestFrame): boolean {
    this.requests.push(frame);
    return this.#answer();
  }

  heldBytesOf(): number {
    return 5;
  }

  #note(what: unknown): boolean {
    this.asked.push(what);
    return this.#answer();
  }

  #answer(): boolean {
    this.lastError = this.takes ? undefined : FULL;
    return this.takes;
  }
}

const FULL = new ServerError('ERR_ROOM_BUFFER_FULL', { room: 'x' } as never);

/** As a process of a server that has started. */
class Started extends WebSocketServer {
  protected override readonly clients: Clients;
  readonly #runtime: Runtime;

  constructor(region: Region, outbox: FakeOutbox, options: WebSocketServerOptions) {
    super(options);
    this.#runtime = { region, outbox: outbox as unknown as Outbox } as Runtime;
    this.clients = new Clients(() => this.#runtime);
    this.clients.running(region);
  }

  override get lastError(): ServerError | undefined {
    return this.clients.lastError;
  }

  connection(fd: number): WebSocketConnection {
    return this.createConnection(fd) as WebSocketConnection;
  }

  protected override runtimeFor(): Runtime {
    return this.#runtime;
  }
}

let region: Region;
let table: ConnectionTable;
let outbox: FakeOutbox;
let server: Started;
const start = (options: WebSocketServerOptions = {}): void => {
  server = new Started(region, outbox, { websocketCompression: { threshold: 20 }, ...options });
};

beforeEach(() => {
  region = Region.create(testShape({ rooms: 2, dataSlots: 64 }));
  table = new ConnectionTable(region);
  outbox = new FakeOutbox();
  start();
});

function open(slot: number, ...flags: number[]): number {
  const sessionId = table.nextSessionId(slot);
  const place = { worker: 0, portIndex: 0, descriptor: 9, now: 1, family: AF_INET, address: Buffer.alloc(16) };
  table.open(slot, { ...place, sessionId, remotePort: 1 });
  for (const flag of flags) table.setFlag(slot, flag, true);
  return sessionId;
}
const socket = (slot: number): number => open(slot, SlotFlag.webSocket);
const code = (name: string, detail: object = {}) =>
  expect.objectContaining({ code: name, detail: expect.objectContaining(detail) });

describe('a message to a WebSocket', () => {
  it('is sent with options that there are, or not at all', () => {
    const fd = socket(3);
    for (const options of [null, 5, new Error('x'), { compress: 'no' }])
      expect(() => server.push(fd, 'x', options as never)).toThrow(code('ERR_OPTION_TYPE'));
    expect(() => server.push(fd, 'x', { compres: false } as never)).toThrow(code('ERR_OPTION_UNKNOWN'));
    expect(outbox.sent).toEqual([]);
  });

  it('goes to no room of what is no session id', async () => {
    for (const fd of [undefined, 1n, Symbol('x'), Object.create(null)])
      expect(await server.roomsOf(fd as never)).toEqual([]);
  });

  it.each<[string, string | Uint8Array, number, Buffer]>([
    ['a text', 'hello', 0x81, Buffer.from('hello')],
    ['a text beyond ASCII', 'tschüß', 0x81, Buffer.from('tschüß')],
    ['nothing', '', 0x81, Buffer.alloc(0)],
    ['bytes', new Uint8Array([1, 2]), 0x82, Buffer.from([1, 2])],
    ['a part of bytes', new Uint8Array([1, 2, 3, 4]).subarray(1, 3), 0x82, Buffer.from([2, 3])],
  ])('%s is one frame', (_, data, first, payload) => {
    const fd = socket(3);
    for (let i = 0; i < 2; i++) expect(server.push(fd, data)).toBe(true);
    const frame = Buffer.concat([Buffer.from([first, payload.length]), payload]);
    expect(outbox.sent).toEqual([
      [fd, frame],
      [fd, frame],
    ]);
  });

  it.each([64, 65, 125, 126, 65_535, 65_536])('of %d characters has their length in its head', (length) => {
    const fd = socket(3);
    for (const text of ['x'.repeat(length), `é${'x'.repeat(length - 2)}`]) {
      server.push(fd, text);
      const [, bytes] = outbox.sent.pop() ?? [0, Buffer.alloc(0)];
      const head = length < 126 ? 2 : length < 65_536 ? 4 : 10;
      expect([bytes[0], bytes.length, bytes.subarray(head).toString()]).toEqual([0x81, head + length, text]);
      expect(bytes[1]).toBe(length < 126 ? length : length < 65_536 ? 126 : 127);
    }
  });

  it('is compressed where the client takes that, it is long enough, and its sender has nothing against it', () => {
    const [plain, deflating] = [socket(1), open(2, SlotFlag.webSocket, SlotFlag.deflate)];
    const first = (fd: number, text: string, options?: { compress?: boolean }): number | undefined => {
      server.push(fd, text, options);
      return outbox.sent.pop()?.[1][0];
    };
    expect(first(deflating, 'x'.repeat(20))).toBe(0xc1);
    expect(first(deflating, 'x'.repeat(19))).toBe(0x81);
    expect(first(deflating, 'x'.repeat(20), { compress: false })).toBe(0x81);
    expect(first(deflating, 'x'.repeat(20), { compress: true })).toBe(0xc1);
    expect(first(plain, 'x'.repeat(20))).toBe(0x81);
    start({ websocketCompression: false } as never);
    expect(first(deflating, 'x'.repeat(20))).toBe(0x81);
  });

  it('that cannot be taken is false, and says why', () => {
    const [fd, http] = [socket(3), open(4)];
    outbox.takes = false;
    expect([server.push(fd, 'x'), server.lastError]).toEqual([false, FULL]);
    expect([server.push(http, 'x'), server.lastError]).toEqual([false, code('ERR_NOT_WEBSOCKET', { fd: http })]);
    expect([server.push(-1, 'x'), server.lastError]).toEqual([false, code('ERR_SESSION_ID')]);
    expect([server.push(0.5, 'x'), server.lastError]).toEqual([false, code('ERR_SESSION_ID')]);
    expect([server.push(fd + 4096, 'x'), server.lastError?.code]).toEqual([false, expect.stringMatching(/^ERR_/)]);
    for (const data of [5, null, {}]) expect(() => server.push(fd, data as never)).toThrow(code('ERR_DATA_TYPE'));
    for (const data of [5, null]) expect(() => server.publish('a', data as never)).toThrow(code('ERR_DATA_TYPE'));
    for (const data of [5, null]) expect(() => server.ping(fd, data as never)).toThrow(code('ERR_DATA_TYPE'));
  });

  it('is what send() sends to one, and only to one', () => {
    const [fd, http] = [socket(3), open(4)];
    server.send(fd, 'a');
    server.send(http, 'a');
    expect(outbox.sent.map(([to, bytes]) => [to, bytes.toString('latin1')])).toEqual([
      [fd, '\x81\x01a'],
      [http, 'a'],
    ]);
  });
});

describe('whether a connection is a WebSocket', () => {
  it('is known while it is open', () => {
    const [fd, http] = [socket(3), open(4)];
    expect([fd, http, 0, -1, 1.5, Number.NaN].map((one) => server.isEstablished(one))).toEqual([
      ...[true, false, false, false, false, false],
    ]);
    table.setState(3, SlotState.closed);
    expect(server.isEstablished(fd)).toBe(false);
    expect(new WebSocketServer().isEstablished(fd)).toBe(false);
  });
});

describe('a Ping and the end', () => {
  it('go to the reactor, within their limits', () => {
    const fd = socket(3);
    expect([server.ping(fd), server.ping(fd, 'x'.repeat(125)), server.ping(fd, new Uint8Array([1]))]).toEqual([
      ...[true, true, true],
    ]);
    for (const long of ['x'.repeat(126), 'é'.repeat(63), new Uint8Array(126)]) {
      expect(() => server.ping(fd, long)).toThrow(code('ERR_PING_LENGTH', { bytes: 126 }));
    }
    const payloads = outbox.requests.map(({ payload }) => payload.length);
    expect([payloads, outbox.requests[0]]).toEqual([
      [0, 125, 1],
      { type: Request.ping, sessionId: fd, flags: 0, detail: 0, payload: Buffer.alloc(0) },
    ]);
  });

  it.each([
    [undefined, undefined, 1000, ''],
    [1001, 'bye', 1001, 'bye'],
    [4999, 'x'.repeat(124), 4999, 'x'.repeat(123)],
    [1000, `${'x'.repeat(122)}é`, 1000, 'x'.repeat(122)],
    [1000, `${'x'.repeat(121)}é`, 1000, `${'x'.repeat(121)}é`],
    [1000, `${'x'.repeat(120)}😀`, 1000, 'x'.repeat(120)],
  ])('by %j and %j is a Close frame with %d', (given, reason, sent, text) => {
    const fd = socket(3);
    expect(server.disconnect(fd, given, reason)).toBe(true);
    const [frame] = outbox.requests;
    expect({ ...frame, payload: String(frame?.payload) }).toEqual({
      ...{ type: Request.disconnect, sessionId: fd, flags: 0, detail: sent, payload: text },
    });
    expect(server.isEstablished(fd)).toBe(false);
  });

  it('that the reactor does not hear of has not been', () => {
    const fd = socket(3);
    outbox.takes = false;
    expect([server.disconnect(fd), server.lastError, server.isEstablished(fd)]).toEqual([false, FULL, true]);
  });

  it.each([
    [999, ''],
    [1005, ''],
    [1006, ''],
    [5000, ''],
    ['1000', ''],
    [1000, 5],
  ])('cannot be by %j and %j', (given, reason) => {
    const fd = socket(3);
    expect(() => server.disconnect(fd, given as number, reason as string)).toThrow(code('ERR_CLOSE_CODE'));
  });

  it('are nothing for who is no WebSocket', () => {
    const http = open(4);
    expect([server.ping(http), server.disconnect(http), server.join(http, 'a'), server.leave(http)]).toEqual([
      ...[false, false, false, false],
    ]);
    expect(server.lastError).toEqual(code('ERR_NOT_WEBSOCKET', { fd: http }));
    expect([outbox.requests, outbox.asked]).toEqual([[], []]);
  });
});

describe('rooms', () => {
  it('are joined and left by their names', () => {
    const fd = socket(3);
    expect([server.join(fd, 'a'), server.leave(fd, 'a'), server.leave(fd)]).toEqual([true, true, true]);
    expect(outbox.asked).toEqual([
      ['join', fd, 'a'],
      ['leave', fd, 'a'],
      ['leave', fd, ''],
    ]);
  });

  it.each(['', 'x'.repeat(129), 5, null, 'half \ud800'])('cannot be called %j', async (room) => {
    const fd = socket(3);
    const name = room as string;
    const refused = code('ERR_ROOM_NAME');
    for (const call of [() => server.join(fd, name), () => server.leave(fd, name), () => server.publish(name, 'x')]) {
      expect(call).toThrow(refused);
    }
    expect(() => server.roomSize(name)).toThrow(refused);
    await expect(server.members(name)).rejects.toEqual(refused);
  });

  it('are as many as the server may have; those that are there can be joined', () => {
    const fd = socket(3);
    const board = new RoomBoard(region);
    for (const name of ['a', 'b']) board.join(name, 0, 3);
    board.join('one too many', 0);
    expect(() => server.join(fd, 'c')).toThrow(
      code('ERR_ROOM_LIMIT', { room: 'c', maxRooms: server.options.maxRooms }),
    );
    expect(server.join(fd, 'a')).toBe(true);
    expect([server.roomSize('a'), server.roomSize('c')]).toEqual([3, 0]);
    expect(server.rooms).toEqual(
      expect.arrayContaining([
        { name: 'a', members: 3 },
        { name: 'b', members: 3 },
      ]),
    );
    expect(new WebSocketServer().rooms).toEqual([]);
  });

  it('can be asked about in workers only', async () => {
    await expect(server.members('a')).rejects.toEqual(code('ERR_ROOM_QUESTION'));
    await expect(server.roomsOf(1)).rejects.toEqual(code('ERR_ROOM_QUESTION'));
  });

  const published = () => {
    const bytes = outbox.publications.pop() as Buffer;
    const view = new PublicationView();
    expect(view.read(bytes, 0, bytes.length)).toBe(true);
    const { room, isText, except, plainAt, plainBytes, deflatedAt, deflatedBytes } = view;
    return {
      ...{ room, isText, except, plain: bytes.subarray(plainAt, plainAt + plainBytes).toString('latin1') },
      deflated: bytes.subarray(deflatedAt, deflatedAt + deflatedBytes),
    };
  };

  it('get what is published, as a frame, and as a compressed one where it is long', () => {
    expect(server.publish('a', 'hi')).toBe(true);
    expect(published()).toEqual({
      ...{ room: 'a', isText: true, except: [], plain: '\x81\x02hi', deflated: Buffer.alloc(0) },
    });
    server.publish('b', new Uint8Array([7]), { except: 5 });
    expect(published()).toMatchObject({ room: 'b', isText: false, except: [5], plain: '\x82\x01\x07' });
    server.publish('b', 'x'.repeat(20), { except: [5, 6] });
    const long = published();
    expect([long.except, long.deflated[0], long.plain.length]).toEqual([[5, 6], 0xc1, 22]);
    server.publish('b', 'x'.repeat(20), { compress: false });
    expect(published().deflated).toHaveLength(0);
  });

  it('say when they take no more', () => {
    outbox.takes = false;
    expect([server.publish('a', 'x'), server.lastError]).toEqual([false, FULL]);
  });
});

describe('the data of a connection', () => {
  it('are any value, until they are taken away', () => {
    const fd = socket(3);
    expect(server.readData(fd)).toBeUndefined();
    const value = { name: 'x', list: [1, new Map([['a', 1]])] };
    server.writeData(fd, value);
    expect(server.readData(fd)).toEqual(value);
    server.writeData(fd, undefined);
    expect(server.readData(fd)).toBeUndefined();
  });

  it('that are too long, or no value, are refused, and those before stay', () => {
    const fd = socket(3);
    server.writeData(fd, 'before');
    expect(() => server.writeData(fd, 'x'.repeat(5000))).toThrow(/it takes 50\d\d bytes/);
    expect(() => server.writeData(fd, () => {})).toThrow(code('ERR_CONNECTION_DATA'));
    expect(() => server.writeData(fd, wasmModule())).toThrow(
      /WebAssembly\.Module cannot be read by another process\. Keep/,
    );
    expect(server.readData(fd)).toBe('before');
  });

  it('of a connection that nobody knows are nothing', () => {
    const fd = socket(3);
    table.setState(3, SlotState.free);
    const later = socket(3);
    server.writeData(fd, 'x');
    expect([server.readData(fd), server.readData(later)]).toEqual([undefined, undefined]);
    expect(new WebSocketServer().readData(fd)).toBeUndefined();
  });
});

it('what waits for a client is what its reactor and this process hold; nothing where it has gone', () => {
  const fd = socket(3);
  table.setSendQueued(3, 100);
  expect(server.bufferedAmount(fd)).toBe(105);
  table.setState(3, SlotState.closed);
  expect(server.bufferedAmount(fd)).toBe(0);
});

describe('a server of WebSockets', () => {
  it('speaks WebSocket unless it is told otherwise, and says when it has not started', () => {
    const fresh = new WebSocketServer();
    expect([fresh.options.protocol, new WebSocketServer({ protocol: 'raw' }).options.protocol]).toEqual([
      ...['websocket', 'raw'],
    ]);
    expect(() => fresh.push(1, 'x')).toThrow(code('ERR_NOT_STARTED', { method: 'push' }));
    expect(() => fresh.publish('a', 'x')).toThrow(code('ERR_NOT_STARTED', { method: 'publish' }));
    expect(() => fresh.roomSize('a')).toThrow(code('ERR_NOT_STARTED', { method: 'roomSize' }));
    expect(() => fresh.ping(1)).toThrow(code('ERR_NOT_STARTED', { method: 'ping' }));
  });
});

describe('a WebSocket', () => {
  const conn = (): WebSocketConnection => server.connection(socket(3));

  it('does by its methods what the server does by its id', () => {
    const one = conn();
    expect([one.push('a'), one.send('b'), one.ping('c'), one.join('d'), one.leave('d'), one.leave()]).toEqual([
      ...[true, true, true, true, true, true],
    ]);
    expect([one.subscribe('e'), one.unsubscribe('e'), one.bufferedAmount]).toEqual([true, true, 5]);
    expect(outbox.sent.map(([, bytes]) => bytes.toString('latin1'))).toEqual(['\x81\x01a', '\x81\x01b']);
    expect(outbox.asked).toEqual([
      ['join', one.fd, 'd'],
      ['leave', one.fd, 'd'],
      ['leave', one.fd, ''],
      ['join', one.fd, 'e'],
      ['leave', one.fd, 'e'],
    ]);
    expect(one.close(4001, 'bye')).toBe(true);
    expect(outbox.requests.at(-1)).toMatchObject({ type: Request.disconnect, detail: 4001 });
  });

  it.each([
    [undefined, []],
    [{ except: 9 }, [9]],
    [{ except: [8, 9] }, [8, 9]],
  ])('publishes to all but itself and %j', (options, others) => {
    const one = conn();
    one.publish('a', 'x', options);
    const view = new PublicationView();
    const bytes = outbox.publications[0] as Buffer;
    view.read(bytes, 0, bytes.length);
    expect(view.except).toEqual([one.fd, ...others]);
  });

  it('closes with 1000 where nothing is said', () => {
    const one = conn();
    one.close();
    expect(outbox.requests.at(-1)).toMatchObject({ type: Request.disconnect, detail: 1000 });
  });

  it('keeps what it was assigned, and reads it once', () => {
    const one = conn();
    expect(one.data).toBeUndefined();
    one.data = { a: 1 };
    expect([one.data, server.readData(one.fd)]).toEqual([{ a: 1 }, { a: 1 }]);
    server.writeData(one.fd, 'from elsewhere');
    expect(one.data).toEqual({ a: 1 });
    expect(new WebSocketConnection(one.fd, server).data).toBe('from elsewhere');
    expect(() => {
      one.data = 'x'.repeat(5000);
    }).toThrow(code('ERR_CONNECTION_DATA'));
    expect(one.data).toEqual({ a: 1 });
  });

  it('that has ended does nothing', async () => {
    const one = conn();
    one.isOpen = false;
    expect([
      one.push('a'),
      one.send('b'),
      one.ping(),
      one.disconnect(),
      one.close(),
      one.join('a'),
      one.leave(),
    ]).toEqual(Array(7).fill(false));
    expect(await one.rooms()).toEqual([]);
    expect([outbox.sent, outbox.requests, outbox.asked]).toEqual([[], [], []]);
  });
});

it('frames of a room are those of one client', () => {
  const frames = new MessageFrames(outbox as unknown as Outbox, new ReceivedText());
  expect(frames.plain('ü')).toEqual(Buffer.from([0x81, 2, 0xc3, 0xbc]));
  expect(frames.plain(Buffer.alloc(126))).toEqual(Buffer.concat([Buffer.from([0x82, 126, 0, 126]), Buffer.alloc(126)]));
});
