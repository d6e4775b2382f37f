import { describe, expect, it } from 'vitest';
import { CloseCode, Request } from '../../src/ipc/frame.js';
import { packPublication } from '../../src/ipc/frames/publish.js';
import { ReactorCounter } from '../../src/memory/boards.js';
import { SlotFlag } from '../../src/memory/connection-table.js';
import { binary, close, more, ping, text } from '../helpers/websocket-cases.js';
import { clientFrame, closePayload, Op, serverFrame } from '../helpers/websocket-frames.js';
import { Socket, webSocketWorld } from '../helpers/websocket-world.js';

const first = { fin: false };
const open = (limits = {}, deflate = false): Socket => new Socket(webSocketWorld(limits), deflate);
const counter = ({ world }: Socket, name: keyof typeof ReactorCounter): number =>
  world.board.read(0, ReactorCounter[name]);
/** How often WebSockets have ended by a code. */
const ends = ({ world }: Socket): Record<string, number> =>
  Object.fromEntries(
    world.board
      .closes(0)
      .filter(({ count }) => count > 0)
      .map(({ code, count }) => [code, count]),
  );
/** The client sends it in so many bytes at a time. */
const cut = (bytes: Buffer, size: number): Buffer[] =>
  Array.from({ length: Math.ceil(bytes.length / size) }, (_, at) => bytes.subarray(at * size, (at + 1) * size));

describe('a message', () => {
  const lengths = [0, 1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 124, 125, 126, 127, 255, 256, 257, 4095, 4096, 4097, 32_767];
  it.each([...lengths, 32_768, 32_769, 65_535, 65_536, 70_000])('of %d bytes comes as it was sent', (length) => {
    const bytes = Buffer.from(Array.from({ length }, (_, at) => (at * 31 + 7) % 256));
    const ascii = Buffer.from(Array.from({ length }, (_, at) => 32 + ((at * 31) % 90)));
    for (const mask of [0x37fa213d, 0, 0x000000ff]) {
      const socket = new Socket(webSocketWorld({}, { port: { sendBufferSize: 1 << 24 } }));
      socket.sends(...cut(Buffer.concat([binary(bytes, { mask }), text(ascii, { mask })]), 50_000)).serve();
      expect(socket.messages).toEqual([`b${bytes.toString('latin1')}`, `t${ascii.toString('latin1')}`]);
      expect(socket.echoes).toEqual(socket.messages);
    }
  });

  it('is counted, one by one, whatever came together', () => {
    const socket = open();
    socket.sends(Buffer.concat([text('a'), text('b'), binary('c'), ping(), text('d', first), more('e')])).serve();
    expect([socket.messages, counter(socket, 'messages')]).toEqual([['ta', 'tb', 'bc', 'tde'], 4]);
  });

  it.each([
    [['ä'.repeat(40_000)], true],
    [['x'.repeat(32_767), 'ä', 'y'.repeat(40_000)], true],
    [['x'.repeat(70_000), Buffer.from([0xc3])], false],
    [['x'.repeat(32_768), Buffer.from([0xa4]), 'y'.repeat(10)], false],
    [['x'.repeat(300), Buffer.from([0xff])], false],
    [['x'.repeat(5000), Buffer.from([0xc3])], false],
  ])('of text that is long must be UTF-8 in every piece', (parts, isSound) => {
    const bytes = Buffer.concat(parts.map((part) => Buffer.from(part as string)));
    const socket = new Socket(webSocketWorld({}, { port: { sendBufferSize: 1 << 24 } }));
    socket.sends(...cut(text(bytes), 40_000)).serve();
    expect(socket.messages).toEqual(isSound ? [`t${bytes.toString('latin1')}`] : []);
    expect(socket.close?.code).toBe(isSound ? undefined : 1007);
    if (!isSound) expect(socket.close?.reason).toBe('a text is not UTF-8');
  });

  it.each([
    [[text('0123456789')], true],
    [[text('0123456789a')], false],
    [[text('01234', first), more('56789')], true],
    [[text('01234', first), more('56789a')], false],
    [[text('0123456789', first), more('', first), more('')], true],
    [[binary('0123456789a', { length: 11 }).subarray(0, 8)], false],
  ])('may have maxMessageBytes, in fragments too', (frames, isAllowed) => {
    const socket = open({ maxMessageBytes: 10 })
      .sends(...frames)
      .serve();
    expect([socket.messages.length, socket.close]).toEqual(
      isAllowed ? [1, undefined] : [0, { code: 1009, reason: 'a message has more than 10 bytes' }],
    );
  });

  it.each([
    [[more('x')], 'a continuation without a beginning'],
    [[text('x', first), text('y')], 'a new message inside of another'],
    [[text('x', first), binary('y', first)], 'a new message inside of another'],
  ])('in fragments that have no order is refused with a reason', (frames, reason) => {
    const socket = open()
      .sends(...frames)
      .serve();
    expect([socket.close, socket.messages]).toEqual([{ code: 1002, reason }, []]);
  });
});

describe('what a WebSocket holds', () => {
  it('is counted while a message is not whole, and counted off when it is, or the client has gone', () => {
    const socket = open().sends(text('x'.repeat(100), first));
    expect([socket.connection.buffered, counter(socket, 'buffered')]).toEqual([100, 100]);
    socket.sends(more('y'.repeat(50), first));
    expect(counter(socket, 'buffered')).toBe(150);
    socket.sends(more('z')).serve();
    expect([socket.messages.length, counter(socket, 'buffered')]).toEqual([1, 0]);
    socket.sends(text('x'.repeat(100), first), close(closePayload(1000))).serve();
    expect(counter(socket, 'buffered')).toBe(0);
    const gone = open().sends(text('x'.repeat(100), first), -104);
    gone.takes();
    expect(counter(gone, 'buffered')).toBe(0);
  });

  it('is the same in the process that takes over', () => {
    const socket = open().sends(text('x'.repeat(100), first));
    socket.goesOver();
    expect([socket.connection.kept, socket.connection.buffered]).toEqual([100, 100]);
    socket.sends(more('y')).serve();
    expect([socket.connection.kept, socket.connection.buffered, socket.messages.length]).toEqual([0, 0, 1]);
    const idle = open();
    idle.goesOver();
    expect([idle.connection.kept, idle.connection.buffered]).toEqual([0, 0]);
  });
});

describe('control frames', () => {
  it.each([0, 1, 2, 3, 4, 7, 8, 63, 124, 125])('a ping of %d bytes is answered with the same', (length) => {
    const payload = Buffer.from(Array.from({ length }, (_, at) => (at * 37 + 200) % 256));
    for (const mask of [0x37fa213d, 0]) {
      const socket = open().sends(ping(payload, { mask })).serve();
      expect(socket.got).toEqual([{ fin: true, rsv: 0, opcode: Op.pong, payload }]);
    }
  });

  it('a ping of a process goes out with its payload, cut at 125 bytes', () => {
    const socket = open();
    const send = (payload: string | Buffer): void =>
      socket.world.sends(socket.connection, [{ type: Request.ping, payload }]);
    send('');
    send('abc');
    send('x'.repeat(200));
    expect(socket.got.map(({ opcode, payload }) => [opcode, payload.toString()])).toEqual([
      [Op.ping, ''],
      [Op.ping, 'abc'],
      [Op.ping, 'x'.repeat(125)],
    ]);
  });

  it('a ping of a process that is closing goes nowhere', () => {
    const socket = open();
    socket.world.sends(socket.connection, [
      { type: Request.disconnect, detail: 1000 },
      { type: Request.ping, payload: 'late' },
    ]);
    expect(socket.pings).toBe(0);
  });
});

describe('the end of a WebSocket', () => {
  it.each([
    ['SERVER_CLOSED', 1000],
    ['SERVER_SHUTDOWN', 1012],
    ['WORKER_REPLACED', 1012],
    ['CALLBACK_FAILED', 1011],
    ['WORKER_DIED', 1011],
    ['FILE_FAILED', 1011],
    ['MEMORY_LIMIT', 1013],
    ['SLOW_CONSUMER', 1013],
    ['HEARTBEAT_TIMEOUT', 1001],
    ['IDLE_TIMEOUT', 1001],
    ['PACKET_MALFORMED', 1002],
    ['PACKET_TOO_LONG', 1009],
  ] as const)('by %s is the code %d, to its client, its worker, and in the figures', (cause, code) => {
    const socket = open();
    socket.world.ending.closeWhenFlushed(socket.connection, CloseCode[cause]);
    socket.takes();
    expect([socket.close, socket.closings]).toEqual([{ code, reason: '' }, [[code, '', false]]]);
    socket.isDone();
    expect(ends(socket)).toEqual({ [code]: 1 });
  });

  it('is counted by its code, one of your own as another, and one without a Close frame as 1006', () => {
    const world = webSocketWorld();
    const sockets = [1000, 1001, 4444].map((code) => new Socket(world).sends(close(closePayload(code))).serve());
    sockets.push(new Socket(world).sends(close()).serve());
    const gone = new Socket(world).sends(-104);
    gone.takes();
    for (const socket of sockets) socket.isDone();
    expect(ends(gone)).toEqual({ 0: 1, 1000: 1, 1001: 1, 1005: 1, 1006: 1 });
  });

  it('counts open ones up and down, once each', () => {
    const world = webSocketWorld();
    const [one, other] = [new Socket(world), new Socket(world, true)];
    const { table } = world;
    const flags = ({ connection: { slot } }: Socket): boolean[] =>
      [SlotFlag.webSocket, SlotFlag.deflate].map((flag) => table.hasFlag(slot, flag));
    expect([counter(one, 'webSockets'), flags(one), flags(other)]).toEqual([2, [true, false], [true, true]]);
    one.sends(close(closePayload(1000))).serve();
    one.isDone();
    expect(counter(one, 'webSockets')).toBe(1);
    other.world.ending.reset(other.connection, 0);
    other.world.ending.reset(other.connection, 0);
    expect(counter(one, 'webSockets')).toBe(0);
  });

  it('by the client is answered with its reason, by a process with its own', () => {
    const socket = open()
      .sends(close(closePayload(4000, 'why')))
      .serve();
    expect([socket.close, socket.closings]).toEqual([{ code: 4000, reason: 'why' }, [[4000, 'why', true]]]);
    const other = open();
    other.world.sends(other.connection, [{ type: Request.disconnect, detail: 4000, payload: Buffer.from('ü') }]);
    other.takes();
    expect([other.close, other.closings]).toEqual([{ code: 4000, reason: 'ü' }, [[4000, 'ü', false]]]);
  });

  it('of the client without a code is answered without one', () => {
    const socket = open().sends(close()).serve();
    expect([socket.close, socket.closings]).toEqual([{ code: 1005, reason: '' }, [[1005, '', true]]]);
  });

  it.each([
    [Buffer.from([3]), 1002],
    [closePayload(999), 1002],
    [closePayload(1005), 1002],
    [closePayload(1000, Buffer.from([0xff])), 1007],
  ])('by a Close frame that cannot be is refused: %j', (payload, code) => {
    const socket = open().sends(close(payload)).serve();
    expect(socket.close?.code).toBe(code);
    expect(socket.world.refused).toEqual([[CloseCode.PACKET_MALFORMED, expect.stringMatching(`^WebSocket ${code}: `)]]);
  });

  it('waits two seconds for its worker, to the millisecond', () => {
    const socket = open().sends(close(closePayload(1000)));
    const passes = (ms: number): void => {
      socket.world.pass(ms);
      socket.world.protocols.webSocket.tick();
      socket.world.turn();
    };
    passes(1999);
    expect(socket.close).toBeUndefined();
    passes(1);
    expect(socket.close?.code).toBe(1000);
  });

  it('is 1012 where its process goes, behind what its worker still sends', () => {
    const socket = open().sends(text('a'));
    socket.world.protocols.webSocket.dismiss(socket.connection);
    expect(socket.close).toBeUndefined();
    socket.serve();
    expect([socket.echoes, socket.close]).toEqual([['ta'], { code: 1012, reason: '' }]);
  });
});

describe('a member of rooms', () => {
  const publish = (socket: Socket, message: string, deflated: Buffer | null = null, except: number[] = []): void =>
    socket.world.sends({ sessionId: 0, worker: 0 }, [
      {
        type: Request.publish,
        payload: packPublication({ room: 'a', plain: serverFrame(Op.text, message), deflated, except, isText: true }),
      },
    ]);
  const member = (limits = {}, deflate = false): Socket => {
    const socket = open(limits, deflate);
    socket.world.rooms.join(socket.connection, 'a');
    return socket;
  };

  it('gets the compressed form where it takes that', () => {
    const deflated = serverFrame(Op.text, Buffer.from([1]), { rsv: 4 });
    const [plain, deflating] = [member(), member({}, true)];
    for (const socket of [plain, deflating]) {
      publish(socket, 'm'.repeat(10), deflated);
      publish(socket, 'plain for all');
    }
    expect(plain.got.map(({ rsv }) => rsv)).toEqual([0, 0]);
    expect(deflating.got.map(({ rsv }) => rsv)).toEqual([4, 0]);
    expect([counter(plain, 'deliveries'), counter(plain, 'published')]).toEqual([2, 2]);
  });

  it('is one after it has gone over, and gets the latest that waited', () => {
    const socket = member({ slowConsumer: 'skipToLatest', roomHighWatermark: 100 });
    socket.world.client(socket.connection).room = 0;
    for (const message of ['x'.repeat(90), 'second', 'third', 'latest']) publish(socket, message.padEnd(60, '.'));
    socket.goesOver();
    expect(socket.world.rooms.membersOf('a')).toEqual([socket.connection.sessionId]);
    socket.world.clientTakes(socket.connection);
    publish(socket, 'after');
    const texts = socket.echoes.map((echo) => echo.slice(1, 7));
    expect([texts[0], texts.at(-2), texts.at(-1)]).toEqual(['xxxxxx', 'latest', 'after']);
    expect(texts).not.toContain('third.');
  });

  it('gets nothing when it has sent its Close frame', () => {
    const socket = member().sends(close(closePayload(1000)));
    publish(socket, 'late');
    expect(socket.got).toEqual([]);
  });

  it.each(['drop', 'close'] as const)('is slow, under `%s`, where more waits than the mark', (slowConsumer) => {
    const socket = member({ slowConsumer, roomHighWatermark: 200 });
    publish(socket, 'x'.repeat(150));
    socket.world.client(socket.connection).room = 0;
    publish(socket, 'y'.repeat(150));
    expect([counter(socket, 'drops'), socket.connection.isClosing]).toEqual([0, false]);
    publish(socket, 'z'.repeat(150));
    if (slowConsumer === 'drop') expect(counter(socket, 'drops')).toBe(1);
    expect(socket.connection.isClosing).toBe(slowConsumer === 'close');
  });
});

it('frames of a kind that nobody knows are refused, whatever comes behind', () => {
  for (const opcode of [3, 7, 11, 15]) {
    const socket = open()
      .sends(Buffer.concat([clientFrame(opcode), text('late')]))
      .serve();
    expect([socket.messages, socket.close?.code]).toEqual([[], 1002]);
  }
});
