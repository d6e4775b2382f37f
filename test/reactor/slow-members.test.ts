import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { markOf, PieceFlag, Request, SendFlag } from '../../src/ipc/frame.js';
import { packPublication } from '../../src/ipc/frames/publish.js';
import { ReactorCounter } from '../../src/memory/boards.js';
import { peerOf } from '../../src/memory/layout.js';
import type { Connection } from '../../src/reactor/connection.js';
import type { WebSocketLimits } from '../../src/reactor/context.js';
import { ReactorWorld } from '../helpers/reactor-world.js';

beforeEach(() => void vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval', 'setTimeout', 'clearTimeout'] }));
afterEach(() => void vi.useRealTimers());

const HIGH = 1000;
const FIRST_PID = 1000;
const limits: WebSocketLimits = {
  ...{ maxMessageBytes: 1 << 20, pingIntervalMs: 0, slowConsumer: 'drop', roomHighWatermark: HIGH },
};
const PUBLISHER = peerOf(0, 0);
const OTHER = peerOf(1, 0);

const newWorld = (given: Partial<WebSocketLimits> = {}): ReactorWorld =>
  new ReactorWorld({ workers: 2, port: { webSocket: { ...limits, ...given } } });

function member(world: ReactorWorld, ...rooms: string[]): Connection {
  const connection = world.connect();
  const { webSocket } = world.protocols as unknown as {
    webSocket: { begin(connection: Connection, deflate: boolean): void };
  };
  webSocket.begin(connection, false);
  for (const room of rooms) world.rooms.join(connection, room);
  return connection;
}

/** Frames need not be frames for what is tested here. */
function publication(text: string, room = 'a', except: number[] = []): Buffer {
  const plain = Buffer.concat([Buffer.from([0x81, 126, text.length >> 8, text.length & 255]), Buffer.from(text)]);
  return packPublication({ room, plain, deflated: null, except, isText: true });
}

const publish = (world: ReactorWorld, text: string, room = 'a', peer = PUBLISHER): void =>
  world.sends({ sessionId: 0, worker: 0 }, [{ type: Request.publish, payload: publication(text, room) }], peer);
const texts = (world: ReactorWorld, connection: Connection): string[] =>
  world
    .client(connection)
    .got.split('\x81~')
    .slice(1)
    .map((text) => text.slice(2));
const drops = (world: ReactorWorld): number => world.board.read(0, ReactorCounter.drops);

describe('a publication', () => {
  it('reaches all members of its room, and nobody else, in order', () => {
    const world = newWorld();
    const [first, second, other] = [member(world, 'a', 'b'), member(world, 'a'), member(world, 'b')];
    for (const [text, room] of [
      ['1', 'a'],
      ['2', 'a'],
      ['3', 'b'],
      ['4', 'a'],
      ['5', 'nobody'],
    ] as const) {
      publish(world, text, room);
    }
    expect([first, second, other].map((each) => texts(world, each))).toEqual([
      ['1', '2', '3', '4'],
      ['1', '2', '4'],
      ['3'],
    ]);
  });

  it('keeps its place among what its process sends to the member, and behind a join', () => {
    const world = newWorld();
    const one = member(world);
    const frames = [
      { type: Request.publish, payload: publication('before') },
      { type: Request.join, payload: 'a' },
      { type: Request.publish, payload: publication('1') },
      { type: Request.publish, payload: publication('2') },
      { type: Request.send, payload: '\x81~\0\x01x' },
      { type: Request.publish, payload: publication('3') },
      { type: Request.leave, payload: 'a' },
      { type: Request.publish, payload: publication('behind') },
    ];
    world.sends(one, frames);
    expect(texts(world, one)).toEqual(['1', '2', 'x', '3']);
  });

  it('that is longer than a frame goes on in the next process, with its end', () => {
    const world = newWorld();
    const one = member(world, 'a');
    const payload = publication('x'.repeat(5000));
    const half = payload.length >> 1;
    const place = { sessionId: 0, worker: 0 };
    const type = Request.publish;
    world.sends(place, [{ type, flags: PieceFlag.more, payload: payload.subarray(0, half) }]);
    const next = world.successor();
    next.sends(place, [{ type, flags: PieceFlag.continued, payload: payload.subarray(half) }]);
    publish(next, 'after');
    const { sessionId } = one;
    expect(texts(next, next.context.connectionOf(sessionId) as Connection)).toEqual(['x'.repeat(5000), 'after']);
  });

  it('of which a process has died in the middle is forgotten when its successor publishes', () => {
    const world = newWorld();
    const one = member(world, 'a');
    const payload = publication('x'.repeat(5000));
    world.sends({ sessionId: 0, worker: 0 }, [
      { type: Request.publish, flags: PieceFlag.more, payload: payload.subarray(0, 100) },
    ]);
    publish(world, '1');
    publish(world, '2');
    expect(texts(world, one)).toEqual(['1', '2']);
  });
});

describe('a member that does not keep up', () => {
  /** It has taken `taken` bytes, and `HIGH` more wait. */
  function slow(world: ReactorWorld): Connection {
    const one = member(world, 'a');
    world.client(one).room = 0;
    publish(world, 'q'.repeat(HIGH - 10));
    publish(world, 'one');
    publish(world, 'two');
    return one;
  }
  const queued = 'q'.repeat(HIGH - 10);

  it('misses messages under `drop`, and they are counted', () => {
    const world = newWorld();
    const one = slow(world);
    expect(drops(world)).toBe(2);
    world.clientTakes(one);
    publish(world, 'three');
    expect(texts(world, one)).toEqual([queued, 'three']);
  });

  it('gets the latest under `skipToLatest`, once its queue is empty, and what follows behind it', () => {
    const world = newWorld({ slowConsumer: 'skipToLatest' });
    const one = slow(world);
    expect(drops(world)).toBe(1);
    world.clientTakes(one);
    publish(world, 'three');
    expect(texts(world, one)).toEqual([queued, 'two', 'three']);
    expect(drops(world)).toBe(1);
  });

  it('gets no message before an earlier one under `skipToLatest`, though its queue has room again', () => {
    const world = newWorld({ slowConsumer: 'skipToLatest' });
    const one = slow(world);
    world.clientTakes(one, HIGH - 100);
    publish(world, 'three');
    world.clientTakes(one);
    publish(world, 'four');
    expect(texts(world, one)).toEqual([queued, 'three', 'four']);
    expect(drops(world)).toBe(2);
  });

  it('gets the latest under `skipToLatest` from the next process too', () => {
    const world = newWorld({ slowConsumer: 'skipToLatest' });
    const { sessionId } = slow(world);
    const next = world.successor();
    const one = next.context.connectionOf(sessionId) as Connection;
    next.clientTakes(one);
    expect(texts(next, one)).toEqual([queued, 'two']);
  });

  it('is closed with 1013 under `close`', () => {
    const world = newWorld({ slowConsumer: 'close' });
    const one = slow(world);
    world.clientTakes(one);
    expect(texts(world, one)[0]).toContain(queued);
    expect(world.client(one).got.endsWith('\x88\x02\x03\xf5')).toBe(true);
    expect(one.isClosing).toBe(true);
  });

  it.each(['drop', 'skipToLatest', 'close'] as const)(
    'is one that waits behind a send in pieces, too: under `%s` what waits is bounded',
    (slowConsumer) => {
      const world = newWorld({ slowConsumer });
      const one = member(world, 'a');
      world.sends(one, [{ type: Request.send, flags: SendFlag.more, detail: markOf(FIRST_PID), payload: 'begun' }]);
      for (let i = 0; i < 100; i++) publish(world, 'x'.repeat(96), 'a', OTHER);
      expect(one.speech?.waitingBytes ?? 0).toBeLessThanOrEqual(HIGH);
      expect(drops(world)).toBeGreaterThan(0);
      if (slowConsumer === 'close') return expect(one.isClosing).toBe(true);
      publish(world, 'last', 'a', OTHER);
      world.sends(one, [{ type: Request.send, detail: markOf(FIRST_PID), payload: ' ended' }]);
      world.turn();
      const got = texts(world, one);
      expect(world.client(one).got.startsWith('begun ended')).toBe(true);
      expect(got).toHaveLength(slowConsumer === 'drop' ? 10 : 11);
      expect(got.at(-1)).toBe(slowConsumer === 'drop' ? 'x'.repeat(96) : 'last');
    },
  );
});
