// What the table of cases cannot say: rooms in rings, clients that take nothing, workers that hang, time.
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { CloseCode, Event, Request, SendFlag } from '../../src/ipc/frame.js';
import { Life } from '../../src/reactor/life.js';
import { binary, close, more, ping, pong, text } from '../helpers/websocket-cases.js';
import { clientFrame, closePayload, Op, serverFrame } from '../helpers/websocket-frames.js';
import { Socket, webSocketWorld } from '../helpers/websocket-world.js';

beforeEach(() => void vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] }));
afterEach(() => void vi.useRealTimers());

const first = { fin: false };

/** Time passes, and the reactor looks. */
function passes({ world }: Socket, ms: number): void {
  world.pass(ms);
  world.protocols.webSocket.tick();
  vi.advanceTimersByTime(ms);
  world.turn();
}

describe('while the ring of the worker has no room', () => {
  const stalled = (): Socket => {
    const socket = new Socket(webSocketWorld());
    socket.world.fill(0);
    return socket;
  };

  it('a message that was read before waits, with all behind it', () => {
    const socket = stalled();
    const all = Buffer.concat([text('a', first), more('b'), text('c'), ping('p'), close(closePayload(1000))]);
    socket.world.comesEarly(socket.connection, all.toString('latin1'));
    socket.world.reading.readSoon(socket.connection);
    socket.world.turn();
    socket.serve();
    expect([socket.messages, socket.closings, socket.close?.code]).toEqual([['tab', 'tc'], [[1000, '', true]], 1000]);
  });

  it('long messages come whole and in order, whatever room there is', () => {
    const socket = new Socket(webSocketWorld({}, { port: { sendBufferSize: 1 << 24 } }));
    const sizes = [60_000, 70_000, 10, 40_000, 200_000, 3, 50_000];
    const frames = sizes.map((size, index) => binary(Buffer.alloc(size, index)));
    const cut = frames.flatMap((frame) => [
      frame.subarray(0, 1000),
      frame.subarray(1000, 30_000),
      frame.subarray(30_000),
    ]);
    socket.sends(...cut.filter(({ length }) => length > 0)).serve();
    expect(socket.messages.map((message) => [message.length - 1, message.charCodeAt(1)])).toEqual(
      sizes.map((size, index) => [size, index]),
    );
  });

  it('a long text that is broken in its middle is refused behind its beginning', () => {
    const socket = new Socket(webSocketWorld());
    const broken = Buffer.concat([Buffer.alloc(150_000, 'x'), Buffer.from([0xc3, 0x28]), Buffer.alloc(50_000, 'x')]);
    socket.sends(
      ...(
        text(broken)
          .toString('latin1')
          .match(/[\s\S]{1,50000}/g) ?? []
      ).map((t) => Buffer.from(t, 'latin1')),
    );
    socket.serve();
    expect([socket.messages, socket.close?.code]).toEqual([[], 1007]);
  });
});

describe('fragments', () => {
  it('of one byte do not take more memory than their message', () => {
    const socket = new Socket(webSocketWorld());
    const before = process.memoryUsage();
    socket.sends(text('', first));
    const many = Buffer.concat(Array.from({ length: 5000 }, () => more('', first)));
    const bytes = Buffer.concat(Array.from({ length: 5000 }, () => more('x', first)));
    for (let i = 0; i < 20; i++) socket.sends(many);
    for (let i = 0; i < 40; i++) socket.sends(bytes);
    const after = process.memoryUsage();
    expect(socket.connection.buffered).toBe(200_000);
    expect(after.arrayBuffers - before.arrayBuffers).toBeLessThan(8 << 20);
    socket.sends(more('end')).serve();
    expect(socket.messages.map(({ length }) => length)).toEqual([200_004]);
  });

  it('go over to another process, with a character cut between them', () => {
    const socket = new Socket(webSocketWorld());
    socket.sends(text(Buffer.from([0xe2]), first));
    socket.goesOver();
    socket.sends(more(Buffer.from([0x82]), first));
    socket.goesOver();
    socket.sends(more(Buffer.from([0xac]))).serve();
    expect(socket.messages).toEqual(['t\xe2\x82\xac']);
  });

  it('stay broken where the next process gets the rest of a character', () => {
    const socket = new Socket(webSocketWorld());
    socket.sends(text(Buffer.from([0xe2]), first));
    socket.goesOver();
    socket.sends(more(Buffer.from([0x28]))).serve();
    expect([socket.messages, socket.close?.code]).toEqual([[], 1007]);
  });
});

describe('a client that takes nothing', () => {
  const full = (): Socket => {
    const socket = new Socket(webSocketWorld());
    socket.world.client(socket.connection).room = 1;
    return socket.sends(text('a')).serve();
  };

  it('gets one pong, to the last of its pings, behind what waits', () => {
    const socket = full();
    for (const payload of ['1', '2', '3']) socket.sends(ping(payload));
    socket.world.clientTakes(socket.connection);
    expect([socket.echoes, socket.pongs]).toEqual([['ta'], ['3']]);
  });

  it('gets it from the process that takes over, too', () => {
    const socket = full();
    socket.sends(ping('1'));
    socket.goesOver();
    socket.world.clientTakes(socket.connection);
    expect([socket.echoes, socket.pongs]).toEqual([['ta'], ['1']]);
  });

  it('gets the pong before the Close frame, for its ping came before its own', () => {
    const socket = full();
    socket.sends(ping('1'), close(closePayload(1000))).serve();
    socket.world.clientTakes(socket.connection);
    expect(socket.got.map(({ opcode }) => opcode)).toEqual([Op.text, Op.pong, Op.close]);
  });
});

describe('a pong', () => {
  it('does not go into the middle of a long send', () => {
    const socket = new Socket(webSocketWorld());
    const [head, tail] = [serverFrame(Op.binary, Buffer.alloc(100)).subarray(0, 50), Buffer.alloc(52)];
    const send = { type: Request.send, detail: 1000 }; // the pid of the world's worker
    socket.world.sends(socket.connection, [{ ...send, flags: SendFlag.more, payload: head }]);
    socket.sends(ping('p'));
    expect(socket.world.client(socket.connection).got.length).toBe(50);
    socket.world.sends(socket.connection, [{ ...send, payload: tail }]);
    expect(socket.got.map(({ opcode }) => opcode)).toEqual([Op.binary, Op.pong]);
  });

  it('behind a long send comes before the Close frame', () => {
    const socket = new Socket(webSocketWorld());
    const [head, tail] = [serverFrame(Op.binary, Buffer.alloc(100)).subarray(0, 50), Buffer.alloc(52)];
    const send = { type: Request.send, detail: 1000 };
    socket.world.sends(socket.connection, [{ ...send, flags: SendFlag.more, payload: head }]);
    socket.sends(ping('p'), close(closePayload(1000)));
    socket.world.sends(socket.connection, [{ ...send, payload: tail }]);
    socket.serve();
    expect(socket.got.map(({ opcode }) => opcode)).toEqual([Op.binary, Op.pong, Op.close]);
  });
});

describe('a close', () => {
  const codes = (socket: Socket): number[] =>
    socket.others.filter(({ type }) => type === Event.close).map(({ detail }) => detail);

  it('of the client is answered after two seconds where its worker hangs', () => {
    const socket = new Socket(webSocketWorld()).sends(text('a'), close(closePayload(1000)));
    passes(socket, 1900);
    expect(socket.close).toBeUndefined();
    passes(socket, 200);
    expect(socket.close).toEqual({ code: 1000, reason: '' });
    socket.sends('end').takes();
    expect([socket.connection.isClosed, codes(socket)]).toEqual([true, [CloseCode.CLIENT_CLOSED]]);
  });

  it('goes on in the process that takes over', () => {
    const socket = new Socket(webSocketWorld()).sends(text('a'), close(closePayload(4000, 'x')));
    socket.goesOver();
    socket.serve();
    expect([socket.echoes, socket.close]).toEqual([['ta'], { code: 4000, reason: 'x' }]);
    const hung = new Socket(webSocketWorld()).sends(close(closePayload(4000)));
    hung.goesOver();
    passes(hung, 2100);
    expect(hung.close?.code).toBe(4000);
  });

  it('of a process has its code and reason, and ends with the Close frame of the client', () => {
    const socket = new Socket(webSocketWorld());
    socket.world.sends(socket.connection, [{ type: Request.disconnect, detail: 4001, payload: 'go away' }]);
    expect(socket.close).toEqual({ code: 4001, reason: 'go away' });
    socket.sends(text('late'), ping('late'), close(closePayload(4001)), 'end').serve();
    expect([socket.messages, socket.closings]).toEqual([[], [[4001, 'go away', false]]]);
    expect([socket.connection.isClosed, codes(socket)]).toEqual([true, [CloseCode.SERVER_CLOSED]]);
  });

  it('of a process counts where the one of the client comes later, and the first counts', () => {
    const socket = new Socket(webSocketWorld()).sends(close(closePayload(3000)));
    socket.world.sends(socket.connection, [{ type: Request.disconnect, detail: 4001, payload: 'late' }]);
    expect([socket.close, socket.closings.length]).toEqual([{ code: 3000, reason: '' }, 0]);
    socket.takes();
    expect(socket.closings).toEqual([[3000, '', true]]);
  });

  it('without a Close frame, by a reset, is told as such', () => {
    const socket = new Socket(webSocketWorld()).sends(-104);
    socket.takes();
    expect([socket.closings, codes(socket)]).toEqual([[], [CloseCode.CLIENT_RESET]]);
  });

  it('and the end of the client in one go is answered', () => {
    const socket = new Socket(webSocketWorld()).sends(text('a'), close(closePayload(1001)), 'end');
    socket.serve();
    socket.sends('end').takes();
    expect([socket.echoes, socket.close?.code, socket.connection.isClosed]).toEqual([['ta'], 1001, true]);
  });

  it.each<[string, (socket: Socket) => void]>([
    ['of a process', ({ world, connection }) => world.sends(connection, [{ type: Request.disconnect, detail: 1000 }])],
    ['for a broken rule', (socket) => void socket.sends(clientFrame(3)).serve()],
    [
      'at the shutdown',
      ({ world, connection }) => world.ending.closeWhenFlushed(connection, CloseCode.SERVER_SHUTDOWN),
    ],
  ])('%s is not answered with RST by the kernel where the client has sent more meanwhile', (_whose, act) => {
    const socket = new Socket(webSocketWorld());
    act(socket);
    expect([socket.connection.life, socket.world.client(socket.connection).end]).toEqual([Life.lingering, 'half']);
    socket.sends(text('on its way'), close(closePayload(1000)), 'end').takes();
    expect([socket.messages, socket.connection.isClosed]).toEqual([[], true]);
  });

  it('of the client ends the connection at once', () => {
    const socket = new Socket(webSocketWorld()).sends(close(closePayload(1000))).serve();
    expect([socket.close?.code, socket.connection.isClosed]).toEqual([1000, true]);
  });

  it('is waited for a second at most after ours', () => {
    const socket = new Socket(webSocketWorld());
    socket.world.sends(socket.connection, [{ type: Request.disconnect, detail: 1000 }]);
    expect(socket.connection.life).toBe(Life.lingering);
    passes(socket, 1500);
    expect(socket.connection.isClosed).toBe(true);
  });

  it.each([
    ['the server shuts down', CloseCode.SERVER_SHUTDOWN, 1012],
    ['a callback has failed', CloseCode.CALLBACK_FAILED, 1011],
    ['memory is short', CloseCode.MEMORY_LIMIT, 1013],
    ['a client is silent', CloseCode.IDLE_TIMEOUT, 1001],
    ['nobody says why', CloseCode.SERVER_CLOSED, 1000],
  ])('by the server says why: %s', (_why, cause, code) => {
    const socket = new Socket(webSocketWorld());
    socket.world.sends(socket.connection, [{ type: Request.close, detail: cause }]);
    expect([socket.close?.code, socket.world.refused]).toEqual([code, []]);
  });

  it('for a broken rule is told to the server, with the code', () => {
    const socket = new Socket(webSocketWorld({ maxMessageBytes: 10 })).sends(text('12345678901')).serve();
    expect(socket.world.refused).toEqual([[CloseCode.PACKET_TOO_LONG, expect.stringContaining('1009')]]);
    expect(socket.close?.reason).toContain('10 bytes');
    const other = new Socket(webSocketWorld()).sends(clientFrame(3)).serve();
    expect(other.world.refused).toEqual([[CloseCode.PACKET_MALFORMED, expect.stringContaining('1002')]]);
  });
});

describe('pings of the server', () => {
  const open = (): Socket => new Socket(webSocketWorld({ pingIntervalMs: 10_000 }));

  it('go to a client that is silent, and end one that does not answer two of them', () => {
    const socket = open();
    passes(socket, 9000);
    expect(socket.pings).toBe(0);
    passes(socket, 1000);
    expect(socket.pings).toBe(1);
    passes(socket, 10_000);
    expect([socket.pings, socket.connection.isClosed]).toEqual([2, false]);
    passes(socket, 10_000);
    expect([socket.pings, socket.connection.isClosed]).toEqual([2, true]);
  });

  it.each([
    ['a pong', pong(), false],
    ['a message', text('a'), false],
    ['a ping', ping(), false],
    ['a part of a frame', text('abc').subarray(0, 3), true],
  ])('are answered by %s', (_what, bytes, isPart) => {
    const socket = open();
    for (const sent of isPart ? [bytes] : Array(5).fill(bytes)) {
      passes(socket, 10_000);
      socket.world.pass(1);
      socket.sends(sent).serve();
    }
    passes(socket, 10_000);
    passes(socket, 10_000);
    expect([socket.connection.isClosed, socket.pings > 1]).toEqual([false, true]);
  });

  it('do not go to one that is closing', () => {
    const socket = open().sends(close());
    passes(socket, 1000);
    passes(socket, 20_000);
    expect(socket.pings).toBe(0);
  });
});

it('a client that had ended its side before it became a WebSocket is closed', () => {
  const world = webSocketWorld();
  const connection = world.connect();
  world.clientSends(
    connection,
    'GET / HTTP/1.1\r\nhost: a\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n',
    'end',
  );
  world.take();
  world.protocols.webSocket.begin(connection, false);
  world.protocols.webSocket.peerEnded(connection);
  world.turn();
  expect(connection.isClosed).toBe(true);
});
