import { describe, expect, it, vi } from 'vitest';
import { AnswerFlag, Event, JoinAs, markOf, PieceFlag, Request, SendFlag } from '../../src/ipc/frame.js';
import { type Publication, packPublication } from '../../src/ipc/frames/publish.js';
import { ANSWER_MS, packQuestion, RoomAnswer } from '../../src/ipc/frames/room-question.js';
import { RingReader } from '../../src/ipc/ring.js';
import { ReactorCounter } from '../../src/memory/boards.js';
import { peerOf, peerOfMaster } from '../../src/memory/layout.js';
import type { Connection } from '../../src/reactor/connection.js';
import { ReactorWorld, type SentFrame, someHttp, type TakenFrame } from '../helpers/reactor-world.js';

const webSocket = {
  ...{ maxMessageBytes: 1 << 20, pingIntervalMs: 0, slowConsumer: 'close', roomHighWatermark: 1 << 20 },
} as const;
const FIN_TEXT = 0x81;

function open(slowConsumer: 'close' | 'drop' | 'skipToLatest' = 'close', roomHighWatermark = 1 << 20) {
  const world = new ReactorWorld({
    workers: 2,
    port: { http: someHttp, webSocket: { ...webSocket, slowConsumer, roomHighWatermark } },
  });
  const member = (deflate = false): Connection => {
    const connection = world.connect();
    world.protocols.webSocket.begin(connection, deflate);
    return connection;
  };
  return { world, member };
}

/** A text as a WebSocket frame of the server. */
function frame(text: string): Buffer {
  const body = Buffer.from(text);
  const head = body.length < 126 ? [FIN_TEXT, body.length] : [FIN_TEXT, 126, body.length >> 8, body.length & 255];
  return Buffer.concat([Buffer.from(head), body]);
}

const join = (room: string, detail: number = JoinAs.frames): SentFrame => ({
  type: Request.join,
  detail,
  payload: room,
});
const leave = (room: string): SentFrame => ({ type: Request.leave, payload: room });
const send = (payload: Buffer | string): SentFrame => ({ type: Request.send, payload });

function publish(world: ReactorWorld, room: string, text: string, more: Partial<Publication> = {}, peer = 0): void {
  const payload = packPublication({ room, plain: frame(text), deflated: null, except: [], isText: true, ...more });
  world.writes(0, [{ type: Request.publish, payload }], peer);
}

const textsOf = (got: string): string => got.replaceAll(/\x81[\0-\x7d]/g, ' ').trim();

describe('a room', () => {
  it('gives its members, and only them, what is published, in order', () => {
    const { world, member } = open();
    const [one, two, other] = [member(), member(), member()] as [Connection, Connection, Connection];
    world.sends(one, [join('a'), join('a')]);
    world.sends(two, [join('a'), join('b')]);
    world.sends(other, [join('b')]);
    publish(world, 'a', 'first');
    publish(world, 'b', 'second');
    publish(world, 'a', 'third');
    publish(world, 'nobody is there', 'lost');
    world.turn();
    expect(textsOf(world.client(one).got)).toBe('first third');
    expect(textsOf(world.client(two).got)).toBe('first second third');
    expect(textsOf(world.client(other).got)).toBe('second');
    expect(world.board.read(0, ReactorCounter.published)).toBe(4);
    expect(world.board.read(0, ReactorCounter.deliveries)).toBe(6);
  });

  it('sends what is published in a row in one piece', () => {
    const { world, member } = open();
    const one = member();
    world.sends(one, [join('a')]);
    const sends = vi.spyOn(world.transport, 'send');
    for (let i = 0; i < 10; i++) publish(world, 'a', `${i}`);
    world.turn();
    expect([sends.mock.calls.length, textsOf(world.client(one).got)]).toEqual([1, '0 1 2 3 4 5 6 7 8 9']);
  });

  it('keeps the place of publications among what a process sends to a member itself, and of joins and leaves', () => {
    const { world, member } = open();
    const one = member();
    publish(world, 'a', 'before');
    world.writes(one.sessionId, [join('a')], 0);
    publish(world, 'a', '1');
    world.writes(one.sessionId, [send(frame('2'))], 0);
    publish(world, 'a', '3');
    world.writes(one.sessionId, [leave('a')], 0);
    publish(world, 'a', 'after');
    world.turn();
    expect(textsOf(world.client(one).got)).toBe('1 2 3');
  });

  it('leaves out whom the publication names, and compresses for those who want it', () => {
    const { world, member } = open();
    const [plain, deflating, out] = [member(), member(true), member()] as [Connection, Connection, Connection];
    for (const connection of [plain, deflating, out]) world.sends(connection, [join('a')]);
    publish(world, 'a', 'plain', { deflated: Buffer.from('deflated'), except: [out.sessionId] });
    world.turn();
    expect([plain, deflating, out].map((connection) => textsOf(world.client(connection).got))).toEqual([
      'plain',
      'deflated',
      '',
    ]);
  });

  it('gets a publication longer than a frame whole, though another process publishes between its pieces', () => {
    const { world, member } = open();
    const one = member();
    world.sends(one, [join('a')]);
    const long = Buffer.alloc(100_000, 'x');
    const payload = packPublication({ room: 'a', plain: long, deflated: null, except: [], isText: false });
    const piece = (from: number, to: number, flags: number): SentFrame => ({
      type: Request.publish,
      flags,
      payload: payload.subarray(from, to),
    });
    world.writes(0, [piece(0, 60_000, PieceFlag.more)], peerOf(0, 0));
    publish(world, 'a', 'between', {}, peerOf(1, 0));
    world.turn();
    world.writes(0, [piece(60_000, payload.length, PieceFlag.continued)], peerOf(0, 0));
    world.turn();
    expect(world.client(one).got).toBe(`${frame('between').toString('latin1')}${long.toString('latin1')}`);
  });

  it('forgets members that end, in any order', () => {
    const { world, member } = open();
    const all = Array.from({ length: 5 }, () => member());
    for (const one of all) world.sends(one, [join('a')]);
    world.ending.reset(all[1] as Connection, 0);
    world.sends(all[4] as Connection, [leave('')]);
    world.ending.reset(all[0] as Connection, 0);
    publish(world, 'a', 'x');
    world.turn();
    expect(all.map((one) => textsOf(world.client(one).got))).toEqual(['', '', 'x', 'x', '']);
  });

  it('waits with a member that is in the middle of a send in pieces', () => {
    const { world, member } = open();
    const one = member();
    world.sends(one, [join('a')]);
    const detail = markOf(1000);
    const bytes = frame('long send');
    world.sends(one, [{ type: Request.send, flags: SendFlag.more, detail, payload: bytes.subarray(0, 4) }]);
    publish(world, 'a', 'published', {}, peerOf(1, 0));
    world.turn();
    world.sends(one, [{ type: Request.send, detail, payload: bytes.subarray(4) }]);
    expect(textsOf(world.client(one).got)).toBe('long send published');
  });

  it('does not take connections that are no members by their protocol', () => {
    const { world } = open();
    const plain = world.connect();
    world.sends(plain, [join('a')]);
    publish(world, 'a', 'x');
    world.turn();
    expect([world.client(plain).got, plain.rooms]).toEqual(['', null]);
  });
});

describe('a member that does not keep up', () => {
  const long = 'x'.repeat(100);

  function slow(policy: 'close' | 'drop' | 'skipToLatest') {
    const { world, member } = open(policy, 250);
    const one = member();
    world.sends(one, [join('a')]);
    world.client(one).room = 0;
    for (let i = 0; i < 6; i++) {
      publish(world, 'a', `${i}${long}`);
      world.turn();
    }
    return { world, one };
  }

  it('is closed', () => {
    const { world, one } = slow('close');
    expect(one.isClosing).toBe(true);
    world.clientTakes(one);
    expect(world.client(one).got.endsWith('\x88\x02\x03\xf5')).toBe(true); // 1013
  });

  it('misses messages', () => {
    const { world, one } = slow('drop');
    world.clientTakes(one);
    publish(world, 'a', 'later');
    world.turn();
    expect(textsOf(world.client(one).got)).toBe(`0${long} 1${long} later`);
    expect(world.board.read(0, ReactorCounter.drops)).toBe(4);
  });

  it('misses all but the latest', () => {
    const { world, one } = slow('skipToLatest');
    world.clientTakes(one);
    expect(textsOf(world.client(one).got)).toBe(`0${long} 1${long} 5${long}`);
    expect(world.board.read(0, ReactorCounter.drops)).toBe(3);
  });
});

describe('a stream of server-sent events', () => {
  const HEAD = 'GET / HTTP/1.1\r\nhost: a\r\n\r\n';

  function stream(as: number) {
    const { world } = open();
    const connection = world.connect();
    world.clientSends(connection, HEAD);
    const [request] = world.take(connection.worker);
    const answer = (payload: string, flags = 0): SentFrame => ({
      ...{ type: Request.answer, detail: request?.detail ?? 0, flags, payload },
    });
    world.sends(connection, [answer('head;'), join('a', as)]);
    return { world, connection, answer };
  }

  it('gets each text as an event, in chunks or as it is', () => {
    for (const [as, expected] of [
      [JoinAs.chunkedEvents, 'head;1f\r\ndata: one\ndata: two\n\ndata: ü\n\n\r\n'],
      [JoinAs.events, 'head;data: one\ndata: two\n\ndata: ü\n\n'],
    ] as const) {
      const { world, connection } = stream(as);
      publish(world, 'a', 'one\r\ntwo');
      publish(world, 'a', 'ü');
      publish(world, 'a', '', { plain: Buffer.from('\x82\x05bytes', 'latin1'), isText: false });
      world.turn();
      expect(Buffer.from(world.client(connection).got, 'latin1').toString()).toBe(expected);
    }
  });

  it('gets what comes in the midst of a piece behind it', () => {
    const { world, connection, answer } = stream(JoinAs.events);
    world.sends(connection, [answer('begun, ', AnswerFlag.more)]);
    for (const text of ['one', 'two']) {
      publish(world, 'a', text, {}, peerOf(1, 0));
      world.turn();
    }
    world.sends(connection, [answer('goes on, ', AnswerFlag.more)]);
    expect(world.client(connection).got).toBe('head;begun, goes on, ');
    world.sends(connection, [answer('whole;')]);
    publish(world, 'a', 'three', {}, peerOf(1, 0));
    world.turn();
    const events = ['one', 'two', 'three'].map((text) => `data: ${text}\n\n`);
    expect(world.client(connection).got).toBe(`head;begun, goes on, whole;${events.join('')}`);
    expect(world.board.read(0, ReactorCounter.deliveries)).toBe(3);
  });

  it('misses in the midst of a piece what is more than may wait, and what comes before the end', () => {
    const { world, connection, answer } = stream(JoinAs.events);
    world.sends(connection, [answer('begun;', AnswerFlag.more)]);
    for (let i = 0; i < 40; i++) {
      publish(world, 'a', 'x'.repeat(50_000), {}, peerOf(1, 0));
      world.turn();
    }
    expect(world.board.read(0, ReactorCounter.drops)).toBe(20);
    world.sends(connection, [answer('end', AnswerFlag.last)]);
    expect([world.client(connection).got, world.board.read(0, ReactorCounter.drops)]).toEqual(['head;begun;end', 40]);
  });

  it('is a member as long as its answer is under way', () => {
    const { world, connection, answer } = stream(JoinAs.events);
    world.sends(connection, [answer('end', AnswerFlag.last)]);
    publish(world, 'a', 'late');
    world.turn();
    expect([world.client(connection).got, connection.rooms]).toEqual(['head;end', null]);
    world.clientSends(connection, HEAD);
    world.sends(connection, [join('a', JoinAs.frames)]);
    expect(connection.rooms).toBe(null);
  });
});

describe('a question', () => {
  const asked = (number: number, room: string): SentFrame => ({
    type: Request.ask,
    payload: packQuestion(number, room),
  });
  const told = (world: ReactorWorld, worker = 0) =>
    world.take(worker).map(({ type, text }) => [type, new RoomAnswer(Buffer.from(text, 'latin1'))] as const);

  it('who is in a room, or where one connection is, is answered to the worker that asks', () => {
    const { world, member } = open();
    const [one, two] = [member(), member()] as [Connection, Connection];
    for (const connection of [one, two]) world.sends(connection, [join('a')]);
    world.sends(two, [join('b')]);
    world.writes(0, [asked(7, 'a'), asked(8, 'nobody')], peerOf(1, 0));
    world.writes(two.sessionId, [asked(9, '')], peerOf(1, 0));
    world.turn();
    const answers = told(world, 1);
    expect(answers.map(([type]) => type)).toEqual([Event.told, Event.told, Event.told]);
    const [members, none, rooms] = answers.map(([, answer]) => answer) as [RoomAnswer, RoomAnswer, RoomAnswer];
    expect([members.number, members.members.toSorted()]).toEqual([7, [one.sessionId, two.sessionId].toSorted()]);
    expect([none.number, none.members]).toEqual([8, []]);
    expect([rooms.number, rooms.rooms]).toEqual([9, ['a', 'b']]);
  });

  it('is answered when the worker has room', () => {
    const { world, member } = open();
    world.sends(member(), [join('a')]);
    world.take();
    world.fill(0);
    world.writes(0, [asked(1, 'a')], peerOf(0, 0));
    world.turn();
    expect(told(world)).toEqual([]);
    world.turn();
    expect(told(world)).toHaveLength(1);
  });

  describe('about a room that no ring holds', () => {
    const members = Array.from({ length: 50_000 }, (_, i) => i + 1);

    function large() {
      const { world } = open();
      vi.spyOn(world.rooms, 'membersOf').mockImplementation((room) => (room === 'large' ? members : [7]));
      return world;
    }

    /** Answers that are whole, from frames of one ring. */
    function answersIn(frames: readonly TakenFrame[]): RoomAnswer[] {
      const answers: RoomAnswer[] = [];
      let text = '';
      for (const frame of frames) {
        text = (frame.flags & PieceFlag.continued) === 0 ? frame.text : text + frame.text;
        if ((frame.flags & PieceFlag.more) === 0) answers.push(new RoomAnswer(Buffer.from(text, 'latin1')));
      }
      return answers;
    }

    /** All that a worker finds while it takes and the reactor writes on. */
    function takeAll(world: ReactorWorld, worker: number): TakenFrame[] {
      const all: TakenFrame[] = [];
      for (let some = world.take(worker); some.length > 0; some = world.take(worker)) {
        all.push(...some);
        world.turn();
      }
      return all;
    }

    it('is answered over several turns, and holds up neither the next answer nor other workers', () => {
      const world = large();
      world.writes(0, [asked(1, 'large'), asked(2, 'small')], peerOf(0, 0));
      world.writes(0, [asked(3, 'small')], peerOf(1, 0));
      world.turn();
      expect(answersIn(world.take(1)).map(({ number }) => number)).toEqual([3]);
      const [first, second] = answersIn(takeAll(world, 0));
      expect([first?.number, second?.number, second?.members]).toEqual([1, 2, [7]]);
      expect(first?.members).toEqual(members);
    });

    it('has the worker ring when it has room for the next part', () => {
      const world = large();
      world.writes(0, [asked(1, 'large')], peerOf(0, 0));
      world.turn();
      const reader = new RingReader(world.region, world.region.layout.inbound(0, 0));
      expect([reader.available(), reader.writerWantsBell()]).toEqual([true, false]);
      for (; reader.available(); reader.advance());
      expect(reader.writerWantsBell()).toBe(true);
    });

    it('is dropped when the worker has given up, also in the midst of it', () => {
      const world = large();
      world.writes(0, [asked(1, 'large'), asked(2, 'large')], peerOf(0, 0));
      world.turn();
      world.pass(ANSWER_MS);
      world.turn();
      world.writes(0, [asked(3, 'small')], peerOf(0, 0));
      world.turn();
      const answers = answersIn(takeAll(world, 0));
      expect(answers.map(({ number }) => number)).toEqual([3]);
    });

    it('is made when its turn comes: those that wait have no memory, and a bound of each worker', () => {
      const world = large();
      for (let i = 0; i < 1500; i += 100) {
        world.writes(
          0,
          Array.from({ length: 100 }, (_, at) => asked(i + at, 'large')),
          peerOf(0, 0),
        );
        world.turn();
      }
      expect(vi.mocked(world.rooms.membersOf)).toHaveBeenCalledTimes(1);
      world.writes(0, [asked(2000, 'small')], peerOf(1, 0));
      world.turn();
      expect(answersIn(world.take(1)).map(({ number }) => number)).toEqual([2000]);
      vi.mocked(world.rooms.membersOf).mockReturnValue([]);
      expect(answersIn(takeAll(world, 0)).map(({ number }) => number)).toEqual(
        Array.from({ length: 1000 }, (_, i) => i),
      );
    });
  });

  it('of a process that hears no events, or that cannot be read, is not answered', () => {
    const { world } = open();
    world.writes(0, [asked(1, 'a')], peerOfMaster(world.region.shape));
    world.writes(0, [{ type: Request.ask, payload: 'short' }], peerOf(0, 0));
    world.turn();
    expect(told(world).map(([, { number }]) => number)).toEqual([-1]);
    expect(world.brokenSenders).toEqual([]);
  });
});
