import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { CloseCode, CloseFlag, JoinAs, Request, SendFlag } from '../../src/ipc/frame.js';
import { readFileRequest } from '../../src/ipc/frames/file.js';
import type { Frame } from '../../src/ipc/frames/frame.js';
import type { OutboxOptions } from '../../src/ipc/out-state.js';
import { Outbox } from '../../src/ipc/outbox.js';
import { ReactorLinks } from '../../src/ipc/reactor-links.js';
import { Reply } from '../../src/ipc/reply.js';
import { requestFrame } from '../../src/ipc/request-frame.js';
import { RingReader, RingWriter } from '../../src/ipc/ring.js';
import { RoomRequests } from '../../src/ipc/room-requests.js';
import type { Wakes } from '../../src/ipc/sleep.js';
import { ConnectionTable, SlotFlag, SlotState } from '../../src/memory/connection-table.js';
import { Region } from '../../src/memory/region.js';
import { testShape } from '../helpers/test-shape.js';

const HIGH = 1 << 18;
const LIMIT = 1 << 20;
const WINDOW = HIGH / 2;
/** Slot 3 of 64, first use. */
const FD = 64 + 3;

let region: Region;
let table: ConnectionTable;
let readers: RingReader[];
let links: { ring: RingWriter; waker: Wakes }[];
/** Reactors that were woken, in order. */
let woken: number[];
let dead: Set<number>;
let outbox: Outbox;

beforeEach(() => {
  region = Region.create(testShape({ reactorNum: 2, ringBytes: 1 << 17 }));
  table = new ConnectionTable(region);
  [woken, dead] = [[], new Set()];
  const places = [0, 1].map((reactor) => region.layout.outbound(reactor, 0));
  readers = places.map((place) => new RingReader(region, place));
  links = places.map((place, reactor) => ({
    ring: new RingWriter(region, place),
    waker: { wake: () => woken.push(reactor) > 0, ring: () => {} },
  }));
  open(FD);
  outbox = make();
});
afterEach(() => vi.useRealTimers());

const make = (options: Partial<OutboxOptions> = {}): Outbox =>
  new Outbox(table, links, {
    ...{ highWatermark: HIGH, limitBytes: LIMIT, hearsOfRoom: true, hasRooms: true },
    isDead: (reactor) => dead.has(reactor),
    ...options,
  });

function open(sessionId: number, portIndex = 0): void {
  const place = { worker: 0, descriptor: 9, family: 2, address: Buffer.from([127, 0, 0, 1]), remotePort: 5, now: 0 };
  table.open(table.slotOf(sessionId), { sessionId, portIndex, ...place });
}

interface Taken {
  readonly type: number;
  readonly flags: number;
  readonly detail: number;
  readonly sessionId: number;
  readonly payload: Buffer;
}

/** What that reactor would read now. */
function take(reactor = table.reactorOf(FD)): Taken[] {
  const reader = readers[reactor] as RingReader;
  const frames: Taken[] = [];
  for (; reader.available(); reader.advance()) {
    const { word, sessionId, length, payloadAt, bytes } = reader;
    const payload = Buffer.from(bytes.subarray(payloadAt, payloadAt + length));
    frames.push({ type: word & 0xff, flags: (word >> 8) & 0xff, detail: word >>> 16, sessionId, payload });
  }
  reader.release();
  return frames;
}

/** The reactor takes, and says that there is room, until nothing comes any more. */
function takeAll(of = outbox): Taken[] {
  const all: Taken[] = [];
  for (let frames = take(); frames.length > 0; frames = take()) {
    all.push(...frames);
    if (frames.some(({ type }) => type === Request.watchDrain)) of.writable(FD);
    of.roomAgain();
  }
  return all;
}

/** So much is under way that the next bytes have to wait. */
function fillWindow(): void {
  for (let i = 0; i < 4; i++) {
    outbox.send(FD, Buffer.alloc(WINDOW / 4));
    take();
  }
}

const ofType = (frames: readonly Taken[], type: number): Taken[] => frames.filter((frame) => frame.type === type);
const bytesOf = (frames: readonly Taken[]): number =>
  ofType(frames, Request.send).reduce((sum, { payload }) => sum + payload.length, 0);
const error = (code: string, detail: object = {}) =>
  expect.objectContaining({ code, detail: expect.objectContaining(detail) });

describe('a reply that has to wait', () => {
  const TYPE = 200;
  const reply = (bytes: number, type = TYPE): Reply =>
    Object.assign(new Reply(type, 1), { sessionId: FD, body: Buffer.alloc(bytes), text: 'text' });

  it('is taken, and says when its client does not keep up', () => {
    outbox.send(FD, Buffer.alloc(WINDOW + 100_000));
    expect(outbox.reply(reply(10))).toBe(true);
    expect(outbox.reply(reply(HIGH))).toBe(false);
    expect(outbox.lastError).toEqual(error('ERR_SEND_BUFFER_FULL', { fd: FD, limitBytes: LIMIT }));
    expect(outbox.lastError?.detail).toEqual(expect.objectContaining({ queuedBytes: outbox.heldBytesOf(FD) }));
  });

  it('of a protocol that sends plain bytes is one send', () => {
    outbox.send(FD, Buffer.alloc(WINDOW + 1));
    outbox.reply(reply(3, Request.send));
    const frames = ofType(takeAll(), Request.send);
    expect(frames.at(-1)).toMatchObject({ flags: 0, payload: Buffer.from('text\0\0\0') });
  });

  it('ends the connection where too much waits, and is not taken', () => {
    outbox.send(FD, Buffer.alloc(LIMIT));
    expect(outbox.reply(reply(LIMIT))).toBe(false);
    expect(outbox.lastError).toEqual(error('ERR_SESSION_CLOSED', { fd: FD }));
    expect([outbox.isOpen(FD), outbox.heldBytes, outbox.isEmpty]).toEqual([false, 0, true]);
    expect(take().at(-1)).toMatchObject({
      ...{ type: Request.close, flags: CloseFlag.reset, detail: CloseCode.SEND_QUEUE_LIMIT, sessionId: FD },
    });
  });
});

describe('what waits', () => {
  it('is bounded to the byte, by the limits of its port', () => {
    outbox = make({ ports: [{ highWatermark: HIGH, limitBytes: 1000 }] });
    fillWindow();
    expect([outbox.send(FD, Buffer.alloc(600)), outbox.send(FD, Buffer.alloc(400))]).toEqual([true, true]);
    expect([outbox.heldBytes, outbox.heldBytesOf(FD), outbox.heldBytesOf(FD + 64)]).toEqual([1000, 1000, 0]);
    expect(outbox.send(FD, Buffer.alloc(1))).toBe(false);
    expect(outbox.isOpen(FD)).toBe(false);
  });

  it.each([
    [WINDOW / 2 - 1, 0],
    [WINDOW / 2, 1],
  ])('is asked about before it has to wait: behind %d bytes %d times', (bytes, questions) => {
    for (let left = bytes; left > 0; left -= 50_000) outbox.send(FD, Buffer.alloc(Math.min(left, 50_000)));
    const frames = take();
    expect([bytesOf(frames), ofType(frames, Request.watchDrain).length, outbox.isEmpty]).toEqual([
      bytes,
      questions,
      true,
    ]);
  });

  it('goes on as soon as the reactor has room, and leaves nothing behind', () => {
    outbox.send(FD, Buffer.alloc(700_000));
    expect([outbox.isEmpty, outbox.waitsForRoom]).toEqual([false, true]);
    expect(bytesOf(takeAll())).toBe(700_000);
    expect([outbox.heldBytes, outbox.isEmpty, outbox.waitsForRoom, outbox.sentBytes]).toEqual([
      0,
      true,
      false,
      700_000,
    ]);
  });

  it('is not a part of a send of the process before any more when that has ended', () => {
    fillWindow();
    outbox.send(FD, 'held');
    outbox.keepPlaces();
    take();
    outbox.writable(FD);
    expect(take().at(-1)).toMatchObject({ type: Request.send, flags: 0 });
    outbox.send(FD, Buffer.alloc(200_000));
    const frames = ofType(takeAll(), Request.send);
    expect(bytesOf(frames)).toBe(200_000);
    expect(frames.at(-1)).toMatchObject({ flags: 0 });
    expect(new Set(frames.slice(0, -1).map(({ flags }) => flags))).toEqual(new Set([SendFlag.more]));
  });

  it('is looked at by the clock, until nothing waits', () => {
    vi.useFakeTimers();
    fillWindow();
    expect(vi.getTimerCount()).toBe(0);
    outbox.send(FD, Buffer.alloc(10));
    expect(vi.getTimerCount()).toBe(1);
    table.setState(3, SlotState.closed);
    vi.advanceTimersByTime(100);
    expect([outbox.isEmpty, outbox.heldBytes, vi.getTimerCount()]).toEqual([true, 0, 0]);
  });
});

describe('a process that no event tells of room', () => {
  beforeEach(() => {
    outbox = make({ hearsOfRoom: false });
  });

  it('sends no more than the window before the reactor has taken its question', () => {
    outbox.send(FD, Buffer.alloc(3 * WINDOW));
    for (let i = 0; i < 10; i++) outbox.roomAgain();
    const sent = bytesOf(take());
    expect(sent).toBeLessThanOrEqual(2 * WINDOW);
    outbox.roomAgain();
    expect(bytesOf(take())).toBeGreaterThan(0);
  });

  it('asks again by the clock while the queue of the client is full', () => {
    vi.useFakeTimers();
    outbox.send(FD, Buffer.alloc(3 * WINDOW));
    table.setFlag(3, SlotFlag.full, true);
    for (let frames = take(); frames.length > 0; frames = take()) outbox.roomAgain();
    vi.advanceTimersByTime(50);
    expect(ofType(take(), Request.watchDrain)).toHaveLength(1);
    table.setFlag(3, SlotFlag.full, false);
    vi.advanceTimersByTime(50);
    expect(bytesOf(take())).toBeGreaterThan(0);
  });

  it('learns of the drain without anything to send', async () => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
    const drained = outbox.drain(FD);
    expect(ofType(take(), Request.watchDrain)).toHaveLength(1);
    vi.advanceTimersByTime(50);
    await drained;
    expect(vi.getTimerCount()).toBe(0);
  });
});

describe('a connection that is ending', () => {
  it('is told at once to a reactor that holds back what was sent before', () => {
    outbox.send(FD, Buffer.alloc(WINDOW + 100_000));
    expect(outbox.close(FD, false)).toBe(true);
    const frames = takeAll();
    expect(ofType(frames, Request.closing)).toHaveLength(1);
    expect(frames.at(-1)).toMatchObject({ type: Request.close, flags: 0, detail: CloseCode.SERVER_CLOSED });
    expect(frames.findIndex(({ type }) => type === Request.closing)).toBeLessThan(frames.length - 2);
  });

  it('is not told of its end twice where nothing waits', () => {
    outbox.close(FD, false);
    expect(take().map(({ type }) => type)).toEqual([Request.close]);
  });

  it('may still be reset, and not closed again', () => {
    outbox.close(FD, false);
    expect([outbox.close(FD, false), outbox.lastError]).toEqual([false, error('ERR_SESSION_CLOSED', { fd: FD })]);
    expect(outbox.close(FD, true)).toBe(true);
    expect(take().at(-1)).toMatchObject({ flags: CloseFlag.reset, detail: CloseCode.SERVER_RESET });
    table.setState(3, SlotState.closed);
    expect(outbox.close(FD, true)).toBe(false);
  });

  it('takes nothing more, whatever it is', async () => {
    outbox.close(FD, false);
    take();
    outbox.readOn(FD);
    expect([outbox.send(FD, 'x'), outbox.setPaused(FD, true), outbox.sendFile(FD, '/x', 0, 1)]).toEqual([
      ...[false, false, false],
    ]);
    expect(outbox.reply(Object.assign(new Reply(9, 1), { sessionId: FD }))).toBe(false);
    expect([outbox.request(requestFrame(9, FD)), outbox.notify(requestFrame(9, FD)), take()]).toEqual([
      false,
      false,
      [],
    ]);
    table.setState(3, SlotState.closed);
    await outbox.drain(FD);
  });

  it('lets nobody who sends and waits in a loop keep the process to himself', async () => {
    table.setState(3, SlotState.closed);
    let turns = 0;
    let isOver = false;
    const looped = (async () => {
      for (; !isOver; turns++) if (!outbox.send(FD, 'x')) await outbox.drain(FD);
    })();
    await new Promise((resolve) => setTimeout(resolve, 50));
    isOver = true;
    await looped;
    expect(turns).toBeLessThan(20);
  });

  it('says that nobody has known it, that it has ended, or that its worker has died', () => {
    expect([outbox.send(FD + 640, 'x'), outbox.lastError]).toEqual([false, error('ERR_SESSION_NOT_FOUND')]);
    table.setState(3, SlotState.closed);
    expect([outbox.send(FD, 'x'), outbox.lastError]).toEqual([false, error('ERR_SESSION_CLOSED', { fd: FD })]);
    dead.add(table.reactorOf(FD));
    expect([outbox.send(FD, 'x'), outbox.lastError]).toEqual([
      ...[false, error('ERR_CHANNEL_BROKEN', { why: `the worker that owned connection ${FD} has ended` })],
    ]);
  });
});

describe('a request for a connection', () => {
  it('goes to its reactor, by its type', () => {
    outbox.setPaused(FD, true);
    outbox.setPaused(FD, false);
    outbox.readOn(FD);
    outbox.finish(FD);
    outbox.sendFile(FD, '/a/b', 5, 7);
    const frames = take();
    expect(frames.map(({ type }) => type)).toEqual([
      ...[Request.pause, Request.resume, Request.readOn, Request.closed, Request.sendFile],
    ]);
    expect(new Set(frames.map(({ sessionId }) => sessionId))).toEqual(new Set([FD]));
    const { payload } = frames[4] as Taken;
    const frame: Frame = { word: 0, sessionId: FD, bytes: payload, address: 0, payloadAt: 0, length: payload.length };
    expect(readFileRequest(frame)).toEqual({ path: '/a/b', offset: 5, bytes: 7 });
  });
});

describe('reactors', () => {
  it('are woken once in a turn, and in a turn of the owner when that ends', async () => {
    outbox.send(FD, 'a');
    outbox.send(FD, 'b');
    expect(woken).toEqual([]);
    await Promise.resolve();
    expect(woken).toEqual([table.reactorOf(FD)]);
    outbox.inTurn = true;
    outbox.send(FD, 'c');
    await Promise.resolve();
    expect(woken).toHaveLength(1);
    outbox.flush();
    outbox.flush();
    expect(woken).toHaveLength(2);
  });

  it('are those there are', () => {
    expect(() => new ReactorLinks(links).of(2)).toThrow('there is no reactor 2 of 2');
  });
});

describe('requests for rooms', () => {
  let requests: RoomRequests;
  let waits: number;
  let refusals: unknown[];
  const start = (hasRooms = true): void => {
    [waits, refusals] = [0, []];
    requests = new RoomRequests(table, new ReactorLinks(links), {
      ...{ hasRooms, limitBytes: 10_000 },
      isDead: (reactor) => dead.has(reactor),
      takeHeld: () => [],
      waits: () => void waits++,
      refused: (refusal) => void refusals.push(refusal),
    });
  };
  beforeEach(() => start());
  const payload = Buffer.from('payload');

  it('are refused where no port has any', () => {
    start(false);
    expect([requests.join(FD, 'a'), requests.leave(FD, 'a'), requests.publish(payload)]).toEqual([false, false, false]);
    expect([requests.ask(payload), requests.askFor(FD, payload), requests.areThere]).toEqual([
      undefined,
      undefined,
      false,
    ]);
    expect(refusals).toEqual(Array(5).fill(error('ERR_NO_ROOMS')));
    expect([take(0), take(1)]).toEqual([[], []]);
  });

  it('go to the reactor of their connection, or to all that live', () => {
    const own = table.reactorOf(FD);
    requests.join(FD, 'ä', JoinAs.events);
    expect(take(own)).toMatchObject([
      { type: Request.join, sessionId: FD, detail: JoinAs.events, flags: 0, payload: Buffer.from('ä') },
    ]);
    expect([requests.ask(payload), requests.askFor(FD, payload)]).toEqual([2, 1]);
    expect([take(own).map(({ sessionId }) => sessionId), take(1 - own).map(({ sessionId }) => sessionId)]).toEqual([
      [0, FD],
      [0],
    ]);
    dead.add(own);
    expect([requests.ask(payload), requests.askFor(FD, payload), requests.publish(payload)]).toEqual([1, 0, true]);
    expect([take(own), take(1 - own).map(({ type }) => type)]).toEqual([[], [Request.ask, Request.publish]]);
    expect([requests.areThere, waits, refusals]).toEqual([true, 0, []]);
  });

  it('wait where the ring is full, say so, and ask nobody anything beyond their bound', () => {
    while (requests.isEmpty) requests.publish(Buffer.alloc(1000));
    expect(waits).toBe(2); // one for each reactor
    while (requests.publish(Buffer.alloc(1000))) take(1 - table.reactorOf(FD));
    expect(refusals).toEqual([error('ERR_ROOM_BUFFER_FULL', { limitBytes: 10_000 })]);
    const { queuedBytes } = (refusals[0] as { detail: { queuedBytes: number } }).detail;
    expect(queuedBytes).toBeGreaterThan(7000);
    expect(queuedBytes).toBeLessThanOrEqual(10_000);
    expect([requests.ask(Buffer.alloc(3000)), requests.askFor(FD, Buffer.alloc(3000))]).toEqual([undefined, undefined]);
  });

  it('may be longer than their bound where nothing waits', () => {
    expect(requests.publish(Buffer.alloc(50_000))).toBe(true);
    expect(refusals).toEqual([]);
  });
});
