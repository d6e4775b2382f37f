/** What one process publishes, pushes, joins and leaves goes to a reactor in that order, whatever has to wait. */
import { beforeEach, describe, expect, it } from 'vitest';
import { AnswerFlag, flagsOf, PieceFlag, Request, SendFlag, typeOf } from '../../src/ipc/frame.js';
import { Outbox } from '../../src/ipc/outbox.js';
import { Reply } from '../../src/ipc/reply.js';
import { requestFrame } from '../../src/ipc/request-frame.js';
import { RingReader, RingWriter } from '../../src/ipc/ring.js';
import { ConnectionTable } from '../../src/memory/connection-table.js';
import { Region } from '../../src/memory/region.js';
import { testShape } from '../helpers/test-shape.js';

const HIGH = 1 << 24;
const FDS = [64 + 3, 64 + 5, 64 + 9];

let table: ConnectionTable;
let reader: RingReader;
let outbox: Outbox;
/** Ids of what has come whole, as the reactor sees them: an id is in the first four bytes. */
let seen: number[];
let begun: Map<number, number>;

function start(highWatermark = HIGH, ringBytes = 1 << 17): void {
  const region = Region.create(testShape({ reactorNum: 1, ringBytes }));
  table = new ConnectionTable(region);
  const place = region.layout.outbound(0, 0);
  reader = new RingReader(region, place);
  const link = { ring: new RingWriter(region, place), waker: { wake: () => true, ring: () => {} } };
  for (const sessionId of FDS) {
    const at = { worker: 0, descriptor: 9, family: 2, address: Buffer.from([127, 0, 0, 1]), remotePort: 5, now: 0 };
    table.open(table.slotOf(sessionId), { sessionId, portIndex: 0, ...at });
  }
  const limits = { highWatermark, limitBytes: 1 << 26 };
  outbox = new Outbox(table, [link], { ...limits, hearsOfRoom: true, hasRooms: true });
  [seen, begun] = [[], new Map()];
}
beforeEach(() => start());

/** @returns how many frames the reactor took */
function take(most: number): number {
  let taken = 0;
  for (; taken < most && reader.available(); reader.advance(), taken++) {
    const { word, sessionId, payloadAt, length, bytes } = reader;
    const [type, flags] = [word & 0xff, (word >> 8) & 0xff];
    if (type === Request.watchDrain) continue;
    const whose = type === Request.publish ? 0 : sessionId;
    const id = begun.get(whose) ?? (length >= 4 ? bytes.readUInt32LE(payloadAt) : -1);
    const isMore = (flags & (type === Request.publish ? PieceFlag.more : SendFlag.more)) !== 0;
    if (isMore) begun.set(whose, id);
    else {
      begun.delete(whose);
      seen.push(id);
    }
  }
  reader.release();
  return taken;
}

function takeAll(): void {
  for (let idle = 0; idle < 3; ) {
    idle = take(Number.POSITIVE_INFINITY) > 0 ? 0 : idle + 1;
    outbox.roomAgain();
  }
}

/** Numbers below a limit, the same for each seed. */
function random(seed: number): (limit: number) => number {
  let state = seed;
  return (limit) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * limit);
  };
}

const withId = (id: number, bytes: number): Buffer => {
  const payload = Buffer.alloc(Math.max(4, bytes));
  payload.writeUInt32LE(id);
  return payload;
};

describe('the order', () => {
  it.each([1, 2, 3, 4, 5, 6, 7, 8])(
    'is at each member that of the calls, whatever waits for the ring (seed %i)',
    (seed) => {
      const next = random(seed);
      const calls = 600;
      /** Of the connection of each call; 0: of a room. */
      const whose: number[] = [];
      for (let id = 0; id < calls; id++) {
        const fd = FDS[next(FDS.length)] as number;
        const bytes = next(10) === 0 ? next(300_000) : next(6000);
        const kind = next(4);
        whose.push(kind < 2 ? 0 : fd);
        if (kind < 2) expect(outbox.rooms.publish(withId(id, bytes))).toBe(true);
        else if (kind === 2) outbox.send(fd, withId(id, bytes));
        else outbox.request(requestFrame(Request.ping, fd, 0, 0, withId(id, 10)));
        if (next(5) === 0) take(next(20));
        if (next(3) === 0) outbox.roomAgain();
      }
      takeAll();
      expect(seen.length).toBe(calls);
      for (const fd of FDS) {
        const own = (id: number): boolean => whose[id] === 0 || whose[id] === fd;
        expect(seen.filter(own)).toEqual(Array.from({ length: calls }, (_, id) => id).filter(own));
      }
      expect(outbox.isEmpty).toBe(true);
    },
  );

  it('holds a Close behind a publication that waits', () => {
    outbox.rooms.publish(withId(1, 500_000));
    outbox.request(requestFrame(Request.disconnect, FDS[0] as number, 0, 4000, withId(2, 4)));
    takeAll();
    expect(seen).toEqual([1, 2]);
  });

  it('does not make a publication wait for a client that does not keep up', () => {
    start(1 << 17);
    const [slow = 0] = FDS;
    for (let id = 0; id < 20; id++) outbox.send(slow, withId(id, 60_000));
    while (take(Number.POSITIVE_INFINITY) > 0) outbox.roomAgain();
    outbox.rooms.publish(withId(100, 10));
    take(Number.POSITIVE_INFINITY);
    expect(seen.at(-1)).toBe(100);
    expect(seen.length).toBeLessThan(20);
  });
});

describe('a chunk of an event stream', () => {
  const { last, more } = AnswerFlag;
  const [fd = 0] = FDS;

  /** The frames of answers that come while the reactor takes all, and confirms it. */
  function takeAnswers(): (readonly [text: string, flags: number])[] {
    const frames: ReturnType<typeof takeAnswers> = [];
    for (let idle = 0; idle < 3; idle++, outbox.writable(fd)) {
      for (; reader.available(); reader.advance(), idle = 0) {
        const { word, payloadAt, length, bytes } = reader;
        if (typeOf(word) === Request.answer)
          frames.push([bytes.toString('latin1', payloadAt, payloadAt + length), flagsOf(word)]);
      }
      reader.release();
    }
    return frames;
  }

  function chunk(body: Buffer, flags = 0): boolean {
    const reply = new Reply(Request.answer, last, more);
    const text = `${body.length.toString(16)}\r\n`;
    return outbox.reply(Object.assign(reply, { sessionId: fd, flags, text, body, tail: '\r\n' }));
  }

  it('that is longer than a frame says in each but the last one that more follow: a join may have overtaken it', () => {
    start(1 << 17);
    for (const flags of [0, last]) chunk(Buffer.alloc(200_000, 'x'), flags);
    const frames = takeAnswers();
    const ends = [...frames.entries()].filter(([, [, flags]]) => (flags & more) === 0);
    expect(ends.map(([, [text, flags]]) => [text.endsWith('x\r\n') || text === '\r\n', flags])).toEqual([
      [true, 0],
      [true, last],
    ]);
    expect(ends.at(-1)?.[0]).toBe(frames.length - 1);
    expect(frames.map(([text]) => text).join('')).toBe(`30d40\r\n${'x'.repeat(200_000)}\r\n`.repeat(2));
  });

  it.each([
    [1 << 16, 16_384],
    [1 << 17, 16_384],
    [1 << 20, 60_000],
  ])('is one frame, though the client does not keep up (ring of %i, chunk of %i bytes)', (ringBytes, chunkBytes) => {
    start(1 << 17, ringBytes);
    const bodies = Array.from({ length: 20 }, (_, at) => Buffer.alloc(at % 2 ? chunkBytes : 5, `${at % 10}`));
    for (const [at, body] of bodies.entries()) chunk(body, at === bodies.length - 1 ? last : 0);
    expect(outbox.isEmpty).toBe(false);
    const frames = takeAnswers();
    expect(frames.map(([text]) => text)).toEqual(
      bodies.map((body) => `${body.length.toString(16)}\r\n${body.toString()}\r\n`),
    );
    expect(frames.map(([, flags]) => flags)).toEqual(bodies.map((_, at) => (at === bodies.length - 1 ? last : 0)));
  });
});
