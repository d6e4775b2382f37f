import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { AnswerFlag, CloseCode, Event, MAX_PAYLOAD, markOf, Request, SendFlag } from '../../src/ipc/frame.js';
import { ACCEPT_BYTES, writeAccept } from '../../src/ipc/frames/accept.js';
import { ReactorCounter, WorkerField } from '../../src/memory/boards.js';
import { peerOf, peerOfManager, peerOfMaster } from '../../src/memory/layout.js';
import { AF_INET } from '../../src/os/constants.js';
import type { Connection } from '../../src/reactor/connection.js';
import { Life } from '../../src/reactor/life.js';
import { ReactorWorld, type SentFrame, someHttp } from '../helpers/reactor-world.js';

beforeEach(() => void vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] }));
afterEach(() => void vi.useRealTimers());

const FIRST_PID = 1000;
const MOST_TURNS_OF_A_CLOSE = 4;
const REQUESTS_PER_TURN = 1024;
const send = (payload: string): SentFrame => ({ type: Request.send, payload });
/** A piece of a send that is not whole with it, by the process of worker `worker`. */
const piece = (payload: string, worker = 0): SentFrame => ({
  ...send(payload),
  flags: SendFlag.more,
  detail: markOf(FIRST_PID + worker),
});
const lastPiece = (payload: string, worker = 0): SentFrame => ({
  ...send(payload),
  detail: markOf(FIRST_PID + worker),
});
const close = (detail: number = CloseCode.SERVER_CLOSED): SentFrame => ({ type: Request.close, detail });

function open(workers = 1) {
  const world = new ReactorWorld({ workers });
  const connection = world.connect();
  const client = world.client(connection);
  const sends = vi.spyOn(world.transport, 'send');
  return { world, connection, client, sends };
}

describe('a worker that is being replaced', () => {
  const [present, former] = [peerOf(0, 0), peerOf(0, 1)];

  it('has its frames carried out before those of its successor, wherever both are found', () => {
    const { world, connection, client } = open();
    world.writes(connection.sessionId, [send('1')], former);
    world.writes(connection.sessionId, [send('2')], present);
    world.turn();
    world.workers.setField(0, WorkerField.lane, 1);
    world.writes(connection.sessionId, [send('3')], present);
    world.writes(connection.sessionId, [send('4')], former);
    world.turn();
    expect(client.got).toBe('1234');
  });

  it('too when both come while the reactor takes what the successor has sent before', () => {
    const { world, connection, client, sends } = open();
    const other = world.connect();
    sends.mockImplementationOnce(() => {
      world.writes(connection.sessionId, [send('former')], former);
      world.writes(connection.sessionId, [send(' present')], present);
      return 'hello'.length;
    });
    world.writes(other.sessionId, [send('hello')], present);
    world.turn();
    expect(client.got).toBe('former present');
  });

  it('too when it has sent more than a turn takes', () => {
    const { world, connection, client } = open();
    const count = REQUESTS_PER_TURN + 10;
    // Frames of other connections in between are not gathered with them.
    const other = world.connect();
    for (let i = 0; i < count; i++) world.writes(i % 2 ? other.sessionId : connection.sessionId, [send('a')], former);
    world.writes(connection.sessionId, [send('b')], present);
    world.turn();
    expect(client.got).toBe(`${'a'.repeat(count / 2)}b`);
  });
});

describe('frames for one client', () => {
  it('that are small and follow each other leave in one send', () => {
    const { world, connection, client, sends } = open();
    world.sends(connection, ['a', 'b', 'c'].map(send));
    expect([client.got, sends.mock.calls.length]).toEqual(['abc', 1]);
    expect(world.board.read(0, ReactorCounter.replies)).toBe(1);
  });

  it('leave by themselves where they are long', () => {
    const { world, connection, client, sends } = open();
    world.sends(connection, [send('x'.repeat(8192)), send('b'), send('c')]);
    expect([client.got.length, sends.mock.calls.length]).toEqual([8194, 2]);
  });

  it('are gathered up to what fits', () => {
    const { world, connection, client } = open();
    world.sends(connection, [send('a'), send('x'.repeat(MAX_PAYLOAD)), send('b')]);
    expect(client.got).toBe(`a${'x'.repeat(MAX_PAYLOAD)}b`);
  });

  it('are not gathered with those for another client', () => {
    const { world, connection, client } = open();
    const other = world.connect();
    world.writes(connection.sessionId, [send('a')], 0);
    world.writes(other.sessionId, [send('b')], 0);
    world.writes(connection.sessionId, [send('c')], 0);
    world.turn();
    expect([client.got, world.client(other).got]).toEqual(['ac', 'b']);
  });

  it('keep their place before and behind other frames', () => {
    const { world, connection, client } = open();
    client.room = 0;
    world.sends(connection, [send('a'), { type: Request.watchDrain }, send('b')]);
    world.clientTakes(connection);
    expect(client.got).toBe('ab');
    expect(world.take().map(({ type }) => type)).toEqual([Event.writable]);
  });

  it('end with the first that has flags: those tell what follows it', () => {
    const world = new ReactorWorld({ port: { http: someHttp } });
    const connection = world.connect();
    world.clientSends(connection, 'GET / HTTP/1.1\r\nhost: a\r\n\r\nGET / HTTP/1.1\r\nhost: a\r\n\r\n');
    const answer = (payload: string, flags = 0): SentFrame => ({ type: Request.answer, detail: 1, flags, payload });
    world.sends(connection, [answer('a'), answer('b', AnswerFlag.last), answer('late')]);
    expect(world.client(connection).got).toBe('ab');
    expect(world.board.read(0, ReactorCounter.discarded)).toBe(1);
    const next = (payload: string, flags = 0): SentFrame => ({ ...answer(payload, flags), detail: 2 });
    world.sends(connection, [next('c', AnswerFlag.last), next('late')]);
    expect(world.client(connection).got).toBe('abc');
  });

  it('are taken no more of in one turn than others can wait for', () => {
    const { world, connection, client } = open();
    const frames = Array.from({ length: REQUESTS_PER_TURN + 10 }, () => ({ type: Request.watchDrain }));
    world.writes(connection.sessionId, [...frames, send('last')], 0);
    expect(world.requests.take()).toBe(true);
    expect(client.got).toBe('');
    expect(world.requests.take()).toBe(false);
    expect(client.got).toBe('last');
  });

  it('ring the bell of a sender that waits for room', () => {
    const { world, connection } = open();
    const ring = world.writerOf(0);
    while (ring.room(8192) >= 8192) world.writes(connection.sessionId, [send('x'.repeat(4096))], 0);
    expect(ring.waitForRoom()).toBe(true);
    world.client(connection).room = 0;
    world.turn();
    expect(world.rung).toEqual([0]);
  });
});

describe('a send in several pieces', () => {
  const other = peerOf(1, 0);

  it('is not torn by what others send: that comes behind', () => {
    const { world, connection, client } = open(2);
    world.sends(connection, [piece('one ')]);
    world.sends(connection, [send('[other]')], other);
    world.sends(connection, [piece('two ')]);
    expect(client.got).toBe('one two ');
    world.sends(connection, [lastPiece('three ')]);
    expect(client.got).toBe('one two three [other]');
    expect(connection.speech).toBeNull();
  });

  it('lets several others wait, and each of them be whole', () => {
    const { world, connection, client } = open(3);
    const third = peerOf(2, 0);
    world.sends(connection, [piece('a1 ')]);
    world.sends(connection, [piece('b1 ', 1)], other);
    world.sends(connection, [piece('c1 ', 2)], third);
    world.sends(connection, [piece('b2 ', 1)], other);
    world.sends(connection, [lastPiece('a2 ')]);
    expect(client.got).toBe('a1 a2 b1 b2 ');
    world.sends(connection, [lastPiece('c2 ', 2)], third);
    expect(client.got).toBe('a1 a2 b1 b2 ');
    world.sends(connection, [lastPiece('b3 ', 1)], other);
    expect(client.got).toBe('a1 a2 b1 b2 b3 c1 c2 ');
  });

  it('holds back the files, the questions for room and the close of others', () => {
    const { world, connection, client } = open(2);
    world.sends(connection, [piece('a1 ')]);
    world.sends(connection, [{ type: Request.watchDrain }, close()], other);
    expect([world.take(1), connection.life]).toEqual([[], Life.open]);
    world.sends(connection, [lastPiece('a2 ')]);
    expect([client.got, connection.isClosed]).toEqual(['a1 a2 ', true]);
    expect(world.take(1).map(({ type }) => type)).toEqual([Event.writable]);
  });

  it('does not hold back what is urgent', () => {
    const { world, connection } = open(2);
    world.sends(connection, [piece('a1 ')]);
    world.sends(connection, [{ type: Request.pause }], other);
    expect(connection.isPaused).toBe(true);
  });

  it('is broken off when its process has died, and the client learns it by a reset', () => {
    const { world, connection, client } = open(2);
    world.sends(connection, [piece('half')]);
    world.sends(connection, [send('[other]')], other);
    world.replaceProcess(0, 77);
    expect([client.got, client.end]).toEqual(['half', 'reset']);
    expect(world.take(0).at(-1)).toMatchObject({ type: Event.close, detail: CloseCode.WORKER_DIED });
  });

  it('is broken off when its successor sends, too', () => {
    const { world, connection, client } = open();
    world.sends(connection, [piece('half')]);
    world.sends(connection, [{ ...lastPiece('of another'), detail: markOf(77) }]);
    expect(client.end).toBe('reset');
  });

  it('lives on when others die', () => {
    const { world, connection, client } = open(2);
    world.sends(connection, [piece('a1 ')]);
    world.replaceProcess(1, 77);
    world.sends(connection, [lastPiece('a2')]);
    expect(client.got).toBe('a1 a2');
  });
});

describe('a close', () => {
  it('comes behind what other processes have sent before', () => {
    const { world, connection, client } = open(2);
    world.writes(connection.sessionId, [close()], peerOf(0, 0));
    world.writes(connection.sessionId, [send('from another one')], peerOf(1, 0));
    world.turn();
    expect([client.got, connection.isClosed]).toEqual(['from another one', true]);
  });

  it('waits for a few turns at most under a load that no turn takes whole', () => {
    const { world, connection } = open(2);
    const busy = world.connect();
    const load = Array.from({ length: 2 * REQUESTS_PER_TURN + 10 }, () => ({ type: Request.watchDrain }));
    world.writes(connection.sessionId, [close()], peerOf(0, 0));
    let turns = 0;
    for (; turns < 10 && !connection.isClosed; turns++) {
      world.writes(busy.sessionId, load, peerOf(1, 0));
      world.requests.take();
    }
    expect(turns).toBeGreaterThan(1);
    expect(turns).toBeLessThanOrEqual(MOST_TURNS_OF_A_CLOSE);
  });

  it('that is announced does not end the connection, but limits how long its client may take nothing', () => {
    const { world, connection, client } = open();
    client.room = 0;
    world.sends(connection, [send('held'), { type: Request.closing }]);
    expect(connection.life).toBe(Life.open);
    world.pass(30_000);
    vi.advanceTimersByTime(250);
    expect(client.end).toBe('reset');
  });
});

describe('frames that cannot be read', () => {
  const brokenBy = (frames: readonly SentFrame[], peer = 0): number[] => {
    const { world, connection } = open();
    world.sends(connection, frames, peer);
    return world.brokenSenders;
  };

  it('are told of a type that nothing here knows', () => expect(brokenBy([{ type: 99 }])).toEqual([0]));
  it('are told of a type of a protocol that is not spoken here', () =>
    expect(brokenBy([{ type: Request.answer }])).toEqual([0]));

  it('are told when one claims more than was written, and what follows is thrown away', () => {
    const { world, connection, client } = open();
    const ring = world.writerOf(0);
    const at = ring.payloadAt;
    world.writes(connection.sessionId, [send('fine')], 0);
    ring.bytes.writeInt32LE(1_000_000, at - 16);
    world.writes(connection.sessionId, [send('behind')], 0);
    world.turn();
    expect([world.brokenSenders, client.got]).toEqual([[0], '']);
    world.sends(connection, [send('again')]);
    expect(client.got).toBe('again');
  });

  it('are those of −1 where their sender has no worker', () => {
    const { world, connection } = open();
    world.sends(connection, [{ type: 99 }], peerOfManager(world.region.shape));
    expect(world.brokenSenders).toEqual([-1]);
  });
});

describe('accepted descriptors', () => {
  const arrival = { descriptor: 1_000_999, portIndex: 0, family: AF_INET, remotePort: 7, address: Buffer.alloc(16, 1) };
  const payload = Buffer.alloc(ACCEPT_BYTES);
  writeAccept(payload, 0, arrival);
  const frame: SentFrame = { type: Request.accept, detail: 0, payload };

  it('become connections where the accepting thread hands them over', () => {
    const world = new ReactorWorld();
    world.writes(0, [frame], peerOfMaster(world.region.shape));
    world.turn();
    const [made] = world.context.connections.list();
    expect([made?.descriptor, world.take().map(({ type }) => type)]).toEqual([1_000_999, [Event.connect]]);
    expect(world.table.info(made?.sessionId ?? 0)).toMatchObject({ remoteAddress: '1.1.1.1', remotePort: 7 });
  });

  it.each([
    ['a worker', () => peerOf(0, 0), payload],
    ['the manager', (world: ReactorWorld) => peerOfManager(world.region.shape), payload],
    ['the accepting thread, cut short', (world: ReactorWorld) => peerOfMaster(world.region.shape), payload.subarray(1)],
  ])('are taken from nobody else: %s', (_who, peer, bytes) => {
    const world = new ReactorWorld();
    world.writes(0, [{ ...frame, payload: bytes }], peer(world));
    world.turn();
    expect([world.context.connections.size, world.brokenSenders.length]).toEqual([0, 1]);
  });
});

describe('a connection that is gone', () => {
  const gone = (): { world: ReactorWorld; connection: Connection } => {
    const { world, connection } = open();
    world.ending.reset(connection, CloseCode.SERVER_RESET);
    world.take();
    return { world, connection };
  };

  it('has room for everything: who asks drops what it holds', () => {
    const { world, connection } = gone();
    world.sends(connection, [{ type: Request.watchDrain }]);
    expect(world.take()).toMatchObject([{ type: Event.writable, sessionId: connection.sessionId }]);
  });

  it('rings those who take no events', () => {
    const { world, connection } = gone();
    const manager = peerOfManager(world.region.shape);
    world.sends(connection, [{ type: Request.watchDrain }], manager);
    expect(world.rung).toEqual([manager]);
  });

  it('has told those who waited for room on it', () => {
    const { world, connection, client } = open();
    client.room = 0;
    for (let i = 0; i < 5; i++) world.sends(connection, [send('x'.repeat(60_000))]);
    world.sends(connection, [{ type: Request.watchDrain }]);
    world.take();
    world.ending.reset(connection, CloseCode.SERVER_RESET);
    expect(world.take().map(({ type }) => type)).toEqual([Event.close, Event.writable]);
  });

  it('is not harmed by anything', () => {
    const { world, connection } = gone();
    const types = [Request.close, Request.closed, Request.closing, Request.pause, Request.resume, Request.readOn];
    world.sends(connection, [...types.map((type) => ({ type })), send('late')]);
    expect([world.brokenSenders, world.take()]).toEqual([[], []]);
  });

  it('is not taken for the one that has its slot by now', () => {
    const { world, connection } = gone();
    world.table.setState(connection.slot, 1);
    world.sends({ sessionId: connection.sessionId + 64, worker: 0 }, [send('for the next one')]);
    expect(world.client(connection).got).toBe('');
    expect(world.board.read(0, ReactorCounter.discarded)).toBe(1);
  });
});
