import { beforeEach, describe, expect, it } from 'vitest';
import type { ServerError } from '../../src/errors/index.js';
import { flagsOf, PieceFlag, Request, typeOf } from '../../src/ipc/frame.js';
import { ReactorLinks } from '../../src/ipc/reactor-links.js';
import { RingReader, RingWriter } from '../../src/ipc/ring.js';
import { RoomRequests } from '../../src/ipc/room-requests.js';
import { Waker } from '../../src/ipc/sleep.js';
import { ConnectionTable } from '../../src/memory/connection-table.js';
import { Region } from '../../src/memory/region.js';
import { testShape } from '../helpers/test-shape.js';

const LIMIT = 1 << 20;
const FD = 64;

let readers: RingReader[];
let requests: RoomRequests;
let refusals: ServerError[];
let dead: Set<number>;

beforeEach(() => {
  const region = Region.create(testShape({ reactorNum: 2, ringBytes: 1 << 17 }));
  const places = [0, 1].map((reactor) => region.layout.outbound(reactor, 0));
  readers = places.map((place) => new RingReader(region, place));
  const links = places.map((place) => ({
    ring: new RingWriter(region, place),
    waker: new Waker(region.int32, 1000, { read: -1, write: -1 }),
    direct: undefined,
  }));
  refusals = [];
  dead = new Set();
  requests = new RoomRequests(new ConnectionTable(region), new ReactorLinks(links), {
    hasRooms: true,
    limitBytes: LIMIT,
    isDead: (reactor) => dead.has(reactor),
    takeHeld: () => [],
    waits: () => {},
    refused: (error) => refusals.push(error),
  });
});

/** What that reactor takes now: type, flags, payload. */
function take(reactor: number): (readonly [type: number, flags: number, payload: Buffer])[] {
  const ring = readers[reactor] as RingReader;
  const frames: ReturnType<typeof take> = [];
  while (ring.available()) {
    const { word, payloadAt, length } = ring;
    frames.push([typeOf(word), flagsOf(word), Buffer.from(ring.bytes.subarray(payloadAt, payloadAt + length))]);
    ring.advance();
  }
  ring.release();
  return frames;
}

/** All that comes while the reactor takes and the process sends on. */
function takeAll(reactor: number): ReturnType<typeof take> {
  const all: ReturnType<typeof take> = [];
  for (let frames = take(reactor); frames.length > 0; frames = take(reactor)) {
    all.push(...frames);
    requests.pump();
  }
  return all;
}

describe('a publication', () => {
  it('goes to every reactor, in pieces where it is longer than a frame', () => {
    const payload = Buffer.alloc(300_000, 'abcdefg');
    expect(requests.publish(payload)).toBe(true);
    for (const reactor of [0, 1]) {
      const pieces = takeAll(reactor);
      expect(Buffer.concat(pieces.map(([, , bytes]) => bytes)).equals(payload)).toBe(true);
      expect(pieces.map(([type]) => type)).toEqual(pieces.map(() => Request.publish));
      const [first, ...rest] = pieces.map(([, flags]) => flags);
      expect([first, rest.at(-1)]).toEqual([PieceFlag.more, PieceFlag.continued]);
    }
    expect(requests.isEmpty).toBe(true);
  });

  it('keeps its place among joins while a reactor takes nothing', () => {
    const expected: string[] = [];
    for (let i = 0; i < 2000; i++) {
      requests.publish(Buffer.from(`${i} ${'x'.repeat(100)}`));
      requests.join(FD, `room ${i}`);
      expected.push(`${i}`, `room ${i}`);
    }
    const got = [...takeAll(0), ...takeAll(1)].map(([, , bytes]) => bytes.toString().replace(/ x+$/, ''));
    expect(got.filter((text) => text.startsWith('room'))).toEqual(expected.filter((text) => text.startsWith('room')));
    expect(got.filter((text) => !text.startsWith('room'))).toHaveLength(4000);
  });

  it('is refused to all when one reactor takes nothing and the bound is reached, and told', () => {
    const payload = Buffer.alloc(10_000);
    let taken = 0;
    while (requests.publish(payload)) taken++;
    expect(taken * payload.length).toBeGreaterThan(LIMIT * 0.9);
    expect(taken * payload.length).toBeLessThan(LIMIT * 1.2);
    expect(refusals.map(({ code }) => code)).toEqual(['ERR_ROOM_BUFFER_FULL']);
    expect(takeAll(0)).toHaveLength(taken);
    expect(requests.publish(payload)).toBe(false);
    expect(takeAll(1)).toHaveLength(taken);
    expect(requests.publish(payload)).toBe(true);
  });

  it('does not wait for a reactor that is dead', () => {
    while (requests.publish(Buffer.alloc(10_000)));
    dead.add(0).add(1);
    requests.pump();
    expect(requests.isEmpty).toBe(true);
  });
});

describe('a question', () => {
  const question = Buffer.from('who is there?');

  it('is answered by every reactor that lives, or by that of the connection', () => {
    expect([requests.ask(question), requests.askFor(FD, question)]).toEqual([2, 1]);
    dead.add(0);
    expect(requests.ask(question)).toBe(1);
    dead.add(1);
    expect([requests.ask(question), requests.askFor(FD, question)]).toEqual([0, 0]);
    expect(refusals).toEqual([]);
  });

  it('is refused when the bound is reached, and told', () => {
    while (requests.publish(Buffer.alloc(10_000)));
    refusals.length = 0;
    const long = Buffer.alloc(10_000);
    expect([requests.ask(long), requests.askFor(FD, long)]).toEqual([undefined, undefined]);
    expect(refusals.map(({ code }) => code)).toEqual(['ERR_ROOM_BUFFER_FULL', 'ERR_ROOM_BUFFER_FULL']);
  });
});

describe('joins and leaves', () => {
  it('are bounded too while the reactor takes nothing, though a leave has no payload', () => {
    let taken = 0;
    while (requests.leave(FD, '') && taken < 100_000) taken++;
    expect(taken).toBeLessThan(LIMIT / 64);
    expect(refusals.map(({ code }) => code)).toEqual(['ERR_ROOM_BUFFER_FULL']);
  });
});
