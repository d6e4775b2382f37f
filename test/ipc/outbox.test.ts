import { beforeEach, describe, expect, it, vi } from 'vitest';
import { CloseCode, MAX_PAYLOAD, markOf, Request, SendFlag } from '../../src/ipc/frame.js';
import { Outbox } from '../../src/ipc/outbox.js';
import { type LocalLink, Reply } from '../../src/ipc/reply.js';
import { requestFrame } from '../../src/ipc/request-frame.js';
import { RingReader, RingWriter } from '../../src/ipc/ring.js';
import { Waker } from '../../src/ipc/sleep.js';
import { ConnectionTable, SlotFlag, SlotState } from '../../src/memory/connection-table.js';
import { Region } from '../../src/memory/region.js';
import { testShape } from '../helpers/test-shape.js';

const FD = 64 + 3; // slot 3 of 64, first use
const HIGH = 1 << 18;
const LIMIT = 1 << 20;
const WINDOW = HIGH / 2;

let table: ConnectionTable;
let reader: RingReader;
let outbox: Outbox;

beforeEach(() => {
  outbox = make(true);
});

/** With a region of its own, in which FD is open. */
function make(hearsOfRoom: boolean, direct?: LocalLink, { highWatermark = HIGH, ringBytes = 1 << 17 } = {}): Outbox {
  const region = Region.create(testShape({ workerNum: 1, ringBytes }));
  const place = region.layout.outbound(0, 0);
  table = new ConnectionTable(region);
  reader = new RingReader(region, place);
  const link = {
    ring: new RingWriter(region, place),
    waker: new Waker(region.int32, 1000, { read: -1, write: -1 }),
    direct,
  };
  open(FD);
  return new Outbox(table, [link], { highWatermark, limitBytes: LIMIT, hearsOfRoom });
}

function open(sessionId: number): void {
  const address = Buffer.from([127, 0, 0, 1]);
  const place = { worker: 0, reactor: 0, portIndex: 0, descriptor: 9, family: 2, address, remotePort: 5, now: 0 };
  table.open(table.slotOf(sessionId), { sessionId, ...place });
}

/** What the reactor would read now. */
function takeAll(): { type: number; flags: number; detail: number; payload: Buffer }[] {
  const frames: ReturnType<typeof takeAll> = [];
  while (reader.available()) {
    const { word, length, payloadAt } = reader;
    const payload = Buffer.from(reader.bytes.subarray(payloadAt, payloadAt + length));
    frames.push({ type: word & 0xff, flags: (word >> 8) & 0xff, detail: word >>> 16, payload });
    reader.advance();
  }
  reader.release();
  return frames;
}

/** Plays the reactor until nothing comes any more: takes what is there and says that there is room. */
function drainAll(): Buffer {
  const pieces: Buffer[] = [];
  for (let frames = takeAll(); frames.length > 0; frames = takeAll()) {
    pieces.push(...frames.filter(({ type }) => type === Request.send).map(({ payload }) => payload));
    if (frames.some(({ type }) => type === Request.watchDrain)) outbox.writable(FD);
    outbox.roomAgain();
  }
  return Buffer.concat(pieces);
}

describe('memory that the user goes on with', () => {
  /** Sends pieces of 64 KiB until one has to wait. */
  function fill(): number {
    let pieces = 0;
    for (; outbox.heldBytes === 0; pieces++) outbox.send(FD, Buffer.alloc(65_536, 1));
    return pieces;
  }

  it('may be filled again as soon as send has answered true, and after drain where it has not', async () => {
    const before = fill();
    const buffer = Buffer.alloc(65_536, 2);
    expect(outbox.send(FD, buffer)).toBe(true);
    buffer.fill(3);
    while (outbox.send(FD, buffer));
    const drained = outbox.drain(FD);
    const all = drainAll();
    await drained;
    buffer.fill(9);
    expect([1, 2, 3].map((value) => all.filter((byte) => byte === value).length > 0)).toEqual([true, true, true]);
    expect(all.subarray(0, before * 65_536).every((byte) => byte === 1)).toBe(true);
    expect(all.subarray(before * 65_536, (before + 1) * 65_536).every((byte) => byte === 2)).toBe(true);
    expect(all.subarray((before + 1) * 65_536).every((byte) => byte === 3)).toBe(true);
  });

  it('whose copies lie in memory that is used again, never before they have left', () => {
    const buffer = Buffer.alloc(65_536);
    let value = 0;
    for (let round = 0; round < 5; round++) {
      const first = value + 1;
      do buffer.fill(++value);
      while (outbox.send(FD, buffer));
      buffer.fill(value);
      const all = drainAll();
      expect(all.length).toBe((value - first + 1) * 65_536);
      for (let at = 0; at < all.length; at += 4096) expect(all[at]).toBe(first + Math.floor(at / 65_536));
    }
  });

  it.each([
    ['transferred', (bytes: ArrayBuffer) => void structuredClone(bytes, { transfer: [bytes] })],
    ['shrunk', (bytes: ArrayBuffer) => Reflect.get(bytes, 'resize').call(bytes, 10)],
  ])('and is %s though it is still needed costs the connection, and nothing else', (_, take) => {
    fill();
    const bytes = Reflect.construct(ArrayBuffer, [2 * HIGH, { maxByteLength: 2 * HIGH }]) as ArrayBuffer;
    expect(outbox.send(FD, new Uint8Array(bytes))).toBe(false);
    expect(outbox.lastError).toMatchObject({ code: 'ERR_SEND_BUFFER_FULL' });
    outbox.send(FD, 'behind it');
    take(bytes);
    const frames: ReturnType<typeof takeAll> = [];
    for (let found = takeAll(); found.length > 0; found = takeAll()) {
      frames.push(...found);
      outbox.writable(FD);
      outbox.roomAgain();
    }
    expect(frames.at(-1)).toMatchObject({ type: Request.close, detail: CloseCode.DATA_DETACHED });
    expect([outbox.heldBytes, outbox.isEmpty]).toEqual([0, true]);
  });
});

describe('while something is held for a connection, its record says so', () => {
  const wouldBeLost = (): boolean => {
    const found = table.holders.takeDead(table.slotOf(FD), (pid) => pid !== process.pid);
    if (found) table.holders.add(FD);
    return found;
  };

  it('until the last of it has left', () => {
    outbox.send(FD, 'a line');
    expect(wouldBeLost()).toBe(false);
    outbox.send(FD, Buffer.alloc(700_000));
    outbox.send(FD, 'behind');
    expect(wouldBeLost()).toBe(true);
    expect(drainAll()).toHaveLength(700_012);
    expect(wouldBeLost()).toBe(false);
  });

  it('be it only a close', () => {
    outbox.send(FD, Buffer.alloc(WINDOW));
    outbox.send(FD, 'behind');
    outbox.close(FD, false);
    expect(wouldBeLost()).toBe(true);
  });

  it('until it is dropped', () => {
    outbox.send(FD, Buffer.alloc(700_000));
    expect(wouldBeLost()).toBe(true);
    outbox.forget(FD);
    expect(wouldBeLost()).toBe(false);
  });

  it('and not where somebody only waits for room', async () => {
    outbox.send(FD, Buffer.alloc(WINDOW / 2));
    const drained = outbox.drain(FD);
    expect(wouldBeLost()).toBe(false);
    drainAll();
    await drained;
  });
});

describe('send', () => {
  it('puts strings and bytes into the ring at once', () => {
    expect(outbox.send(FD, 'grüß')).toBe(true);
    expect(outbox.send(FD, new Uint8Array([1, 2, 3]))).toBe(true);
    expect(outbox.send(FD, '')).toBe(true);
    expect(takeAll().map(({ payload }) => payload)).toEqual([Buffer.from('grüß'), Buffer.from([1, 2, 3])]);
    expect(outbox.isEmpty).toBe(true);
  });

  it('of more than fits goes out in order, in pieces, as room comes, whatever is sent behind it', () => {
    const big = Buffer.from(Array.from({ length: 700_001 }, (_, index) => index % 251));
    outbox.send(FD, big);
    outbox.send(FD, 'behind');
    expect(outbox.isEmpty).toBe(false);
    expect(drainAll().equals(Buffer.concat([big, Buffer.from('behind')]))).toBe(true);
    expect(outbox.isEmpty).toBe(true);
  });

  it('of several that are held makes one frame, but for the rest of one that has begun', () => {
    const big = Buffer.alloc(WINDOW + 70_000, 'x');
    outbox.send(FD, big);
    for (const text of ['one ', 'two ', 'three']) outbox.send(FD, text);
    const sends: { text: string; detail: number }[] = [];
    for (let frames = takeAll(); frames.length > 0; frames = takeAll()) {
      for (const { type, payload, detail } of frames) {
        if (type === Request.send) sends.push({ text: payload.toString().replaceAll('x', ''), detail });
      }
      if (frames.some(({ type }) => type === Request.watchDrain)) outbox.writable(FD);
      outbox.roomAgain();
    }
    expect(sends.pop()).toEqual({ text: 'one two three', detail: 0 });
    expect(new Set(sends.map(({ text, detail }) => `${text} ${detail}`))).toEqual(new Set([` ${markOf(process.pid)}`]));
  });

  it('to many, for which there is no room, looks at the full ring once for all, and reaches all', () => {
    const all = Array.from({ length: 20 }, (_, i) => 64 + 4 + i);
    for (const fd of all) {
      open(fd);
      outbox.send(fd, Buffer.alloc(50_000, fd));
    }
    const looks = vi.spyOn(RingWriter.prototype, 'waitForRoom');
    outbox.roomAgain();
    expect(looks).toHaveBeenCalledOnce();
    looks.mockRestore();
    const came: number[] = [];
    for (let frames = takeAll(); frames.length > 0; frames = takeAll()) {
      for (const { type, payload } of frames)
        if (type === Request.send) came.push(payload.length, payload[0] as number);
      outbox.roomAgain();
    }
    expect(came).toEqual(all.flatMap((fd) => [50_000, fd]));
    expect(outbox.isEmpty).toBe(true);
  });

  it('loses no byte where half of the high watermark is no whole number', () => {
    outbox = make(true, undefined, { highWatermark: 262_143, ringBytes: 1 << 20 });
    const big = Buffer.from(Array.from({ length: 700_001 }, (_, index) => index % 251));
    outbox.send(FD, big);
    expect(drainAll().equals(big)).toBe(true);
  });

  it('has no more under way than a window that the reactor has not confirmed', () => {
    outbox.send(FD, Buffer.alloc(1 << 19));
    let underWay = 0;
    let asked = false;
    for (let frames = takeAll(); frames.length > 0; frames = takeAll()) {
      for (const { type, payload } of frames) {
        if (type === Request.send) underWay += payload.length;
        else asked = true;
      }
      outbox.roomAgain();
    }
    expect(asked).toBe(true);
    expect(underWay).toBeGreaterThanOrEqual(WINDOW);
    expect(underWay).toBeLessThan(WINDOW + MAX_PAYLOAD);
  });

  it('says false but takes the data when the client does not keep up, and closes beyond the limit', () => {
    const piece = Buffer.alloc(100_000);
    const answers: boolean[] = [];
    for (let i = 0; i < 9; i++) answers.push(outbox.send(FD, piece));
    expect(answers[0]).toBe(true);
    expect(answers.at(-1)).toBe(false);
    expect(outbox.lastError?.code).toBe('ERR_SEND_BUFFER_FULL');
    for (let i = 0; i < 20; i++) outbox.send(FD, piece);
    expect(outbox.lastError?.code).toBe('ERR_SESSION_CLOSED');
    const close = takeAll().find(({ type }) => type === Request.close);
    expect(close).toMatchObject({ flags: 1, detail: CloseCode.SEND_QUEUE_LIMIT });
    expect(outbox.isEmpty).toBe(true);
  });

  it('takes one message of any size when nothing waits', () => {
    const big = Buffer.alloc(LIMIT * 3, 7);
    outbox.send(FD, big);
    expect(drainAll().equals(big)).toBe(true);
  });

  it('refuses what is no data, and connections that are not there', () => {
    expect(() => outbox.send(FD, 5 as unknown as string)).toThrowError(
      expect.objectContaining({ code: 'ERR_DATA_TYPE' }),
    );
    expect(outbox.send(FD + 64, 'x')).toBe(false);
    expect(outbox.lastError?.code).toBe('ERR_SESSION_NOT_FOUND');
    table.setState(3, SlotState.closing);
    expect(outbox.send(FD, 'x')).toBe(false);
    expect(outbox.lastError?.code).toBe('ERR_SESSION_CLOSED');
  });
});

/** A protocol of the test's own. */
const TYPE = 77;
const Flag = { last: 2, ends: 4, other: 8 } as const;

function replyOf(parts: Partial<Pick<Reply, 'flags' | 'head' | 'text' | 'body' | 'tail'>>): Reply {
  return Object.assign(new Reply(TYPE, Flag.last | Flag.ends), { sessionId: FD, detail: 9, ...parts });
}

describe('reply', () => {
  const head = Buffer.from('head ');
  const body = Buffer.from('body');

  it('puts head, text and body into one frame of its type', () => {
    expect(outbox.reply(replyOf({ flags: Flag.last, head, text: 't\xe9xt ', body }))).toBe(true);
    const payload = Buffer.from('head t\xe9xt body', 'latin1');
    expect(takeAll()).toEqual([{ type: TYPE, flags: Flag.last, detail: 9, payload }]);
    expect([outbox.sentCount, outbox.sentBytes]).toEqual([1, payload.length]);
  });

  it('of more than a frame bears the flags of its end on the last frame only', () => {
    const long = Buffer.alloc(200_000, 'x');
    outbox.reply(replyOf({ flags: Flag.last | Flag.ends | Flag.other, head, text: 'text', body: long }));
    const frames: ReturnType<typeof takeAll> = [];
    for (let some = takeAll(); some.length > 0; some = takeAll()) {
      frames.push(...some.filter(({ type }) => type === TYPE));
      if (some.some(({ type }) => type === Request.watchDrain)) outbox.writable(FD);
      outbox.roomAgain();
    }
    expect(Buffer.concat(frames.map(({ payload }) => payload)).length).toBe(9 + long.length);
    expect(new Set(frames.slice(0, -1).map(({ flags }) => flags))).toEqual(new Set([Flag.other]));
    expect(frames.at(-1)?.flags).toBe(Flag.last | Flag.ends | Flag.other);
    expect(new Set(frames.map(({ detail }) => detail))).toEqual(new Set([9]));
  });

  it('goes behind what is held, whole, and its object may be filled again at once', () => {
    outbox.send(FD, Buffer.alloc(300_000));
    const reply = replyOf({ text: 'first' });
    outbox.reply(reply);
    reply.text = 'second';
    reply.flags = Flag.last;
    reply.detail = 10;
    outbox.reply(reply);
    const texts: string[] = [];
    for (let frames = takeAll(); frames.length > 0; frames = takeAll()) {
      texts.push(...frames.filter(({ type }) => type === TYPE).map(({ payload }) => payload.toString()));
      if (frames.some(({ type }) => type === Request.watchDrain)) outbox.writable(FD);
      outbox.roomAgain();
    }
    expect(texts).toEqual(['first', 'second']);
  });

  describe('behind what is held', () => {
    /** Frames of the type that leave once there is room, as [text, flags]; long texts as their lengths. */
    function released(): [string | number, number][] {
      const all: ReturnType<typeof takeAll> = [];
      for (let frames = takeAll(); frames.length > 0; frames = takeAll()) {
        all.push(...frames.filter(({ type }) => type === TYPE));
        if (frames.some(({ type }) => type === Request.watchDrain)) outbox.writable(FD);
        outbox.roomAgain();
      }
      return all.map(({ payload, flags }) => [payload.length > 100 ? payload.length : payload.toString(), flags]);
    }

    beforeEach(() => {
      outbox.send(FD, Buffer.alloc(300_000));
    });

    it('parts of one answer leave in one frame, which bears the flags of the last', () => {
      outbox.reply(replyOf({ flags: Flag.other, text: 'one ', body: Buffer.from('two '), tail: 'three ' }));
      outbox.reply(replyOf({ flags: Flag.other | Flag.last, text: 'four' }));
      expect(released()).toEqual([['one two three four', Flag.other | Flag.last]]);
      expect([outbox.heldBytes, outbox.isEmpty]).toEqual([0, true]);
    });

    it('a long text, of which each character is a byte, leaves in pieces as they have room', () => {
      const text = Array.from({ length: 150_000 }, (_, i) => String.fromCharCode(i % 256)).join('');
      outbox.reply(replyOf({ flags: Flag.last, head: Buffer.from('head '), text, tail: 'tail' }));
      const pieces: Buffer[] = [];
      for (let frames = takeAll(); frames.length > 0; frames = takeAll()) {
        pieces.push(...frames.filter(({ type }) => type === TYPE).map(({ payload }) => payload));
        if (frames.some(({ type }) => type === Request.watchDrain)) outbox.writable(FD);
        outbox.roomAgain();
      }
      expect(pieces.length).toBeGreaterThan(1);
      expect(Buffer.concat(pieces).toString('latin1')).toBe(`head ${text}tail`);
      expect(outbox.heldBytes).toBe(0);
    });

    it('an empty end leaves with what stands before it', () => {
      outbox.reply(replyOf({ text: 'all' }));
      outbox.reply(replyOf({ flags: Flag.last }));
      expect(released()).toEqual([['all', Flag.last]]);
      expect(outbox.isEmpty).toBe(true);
    });

    it('two answers stay two frames, and parts with other flags too', () => {
      outbox.reply(replyOf({ flags: Flag.last, text: 'first' }));
      outbox.reply(replyOf({ flags: Flag.other, text: 'interim' }));
      outbox.reply(replyOf({ text: 'next' }));
      outbox.reply(Object.assign(replyOf({ text: 'of another' }), { detail: 10 }));
      outbox.request(requestFrame(TYPE, FD, 1, 2, Buffer.from('request')));
      outbox.reply(replyOf({ text: 'behind it' }));
      expect(released()).toEqual([
        ['first', Flag.last],
        ['interim', Flag.other],
        ['next', 0],
        ['of another', 0],
        ['request', 1],
        ['behind it', 0],
      ]);
    });

    it('a frame holds no more than before', () => {
      for (let i = 0; i < 8; i++) outbox.reply(replyOf({ body: Buffer.alloc(20_000) }));
      const lengths = released().map(([length]) => length as number);
      expect(lengths.reduce((sum, length) => sum + length, 0)).toBe(160_000);
      expect(lengths.length).toBeLessThan(8);
      expect(Math.max(...lengths)).toBeLessThanOrEqual(MAX_PAYLOAD);
    });
  });

  it('to a connection that is not there is refused', () => {
    expect(outbox.reply(Object.assign(replyOf({ text: 'x' }), { sessionId: FD + 64 }))).toBe(false);
    expect(outbox.lastError?.code).toBe('ERR_SESSION_NOT_FOUND');
  });
});

describe('a reactor in this thread', () => {
  let given: string[];
  let takes: boolean;
  let isFull: boolean;
  /** What the reactor has found in the ring when it was asked to catch up. */
  let caughtUp: string[];
  let hasAsked: boolean;
  let local: Outbox;

  beforeEach(() => {
    given = [];
    hasAsked = false;
    caughtUp = [];
    takes = true;
    isFull = false;
    local = make(true, {
      reply: (reply) => {
        if (takes) given.push(Buffer.concat(reply.parts).toString('latin1'));
        return takes;
      },
      catchUp: () => {
        const frames = takeAll();
        hasAsked ||= frames.some(({ type }) => type === Request.watchDrain);
        caughtUp.push(...frames.map(({ payload }) => payload.toString()));
      },
      isFull: () => isFull,
    });
  });

  it('is given whole replies by hand', () => {
    local.reply(replyOf({ flags: Flag.last, text: 'whole' }));
    expect([given, takeAll(), local.sentBytes]).toEqual([['whole'], [], 5]);
  });

  it('is not given a part, nor what would overtake frames that it has not taken', () => {
    local.reply(replyOf({ text: 'part' }));
    local.reply(replyOf({ flags: Flag.last, text: 'end' }));
    expect(given).toEqual([]);
    expect(takeAll().map(({ payload }) => payload.toString())).toEqual(['part', 'end']);
    local.reply(replyOf({ flags: Flag.last, text: 'next' }));
    expect(given).toEqual(['next']);
  });

  it('is given long parts by hand too, behind what lies in the ring', () => {
    local.reply(replyOf({ text: 'head' }));
    expect(
      local.reply(
        replyOf({ text: '3e80\r\n', body: Buffer.alloc(16_000, 'x'), tail: '\r\n-more than 16 KiB'.padEnd(500) }),
      ),
    ).toBe(true);
    expect([caughtUp, given.length, given[0]?.slice(0, 8)]).toEqual([['head'], 1, '3e80\r\nxx']);
    expect(takeAll()).toEqual([]);
  });

  it('says when the client does not keep up: the bytes are taken, and the sender has to wait', () => {
    isFull = true;
    expect(local.reply(replyOf({ flags: Flag.last, text: 'full' }))).toBe(false);
    expect([given, local.lastError?.code, local.heldBytes]).toEqual([['full'], 'ERR_SEND_BUFFER_FULL', 0]);
  });

  it('gets what is longer than its room in pieces, each when there is room, and the end on the last one', () => {
    const whole = Buffer.alloc(700_000, 'x');
    takes = false;
    local.reply(replyOf({ flags: Flag.last, body: whole }));
    takes = true;
    for (let i = 0; i < 100 && local.heldBytes > 0; i++) {
      if (takeAll().some(({ type }) => type === Request.watchDrain) || hasAsked) local.writable(FD);
      hasAsked = false;
      local.roomAgain();
    }
    expect(local.heldBytes).toBe(0);
    expect(given.length).toBeGreaterThan(1);
    expect(Math.max(...given.map(({ length }) => length))).toBeLessThanOrEqual(Math.max(65_536, HIGH / 2));
  });

  it('gets no piece while the queue of its client is full: it is asked to tell of room', () => {
    takes = false;
    isFull = true;
    local.reply(replyOf({ flags: Flag.last, body: Buffer.alloc(300_000) }));
    expect(takeAll().map(({ type }) => type)).toEqual([Request.watchDrain]);
    [takes, isFull] = [true, false];
    local.writable(FD);
    expect([given.join('').length, local.heldBytes]).toEqual([300_000, 0]);
  });

  it('gets the end of an answer once, though the last piece has no bytes', () => {
    takes = false;
    isFull = true;
    local.reply(replyOf({ body: Buffer.alloc(HIGH / 2) }));
    local.reply(replyOf({ flags: Flag.last, text: '' }));
    expect(takeAll().map(({ type }) => type)).toEqual([Request.watchDrain]);
    [takes, isFull] = [true, false];
    local.writable(FD);
    expect([given.map(({ length }) => length), takeAll(), local.isEmpty]).toEqual([[HIGH / 2, 0], [], true]);
  });

  it('gets a long text in pieces too', () => {
    const text = Array.from({ length: 300_000 }, (_, i) => String.fromCharCode(i % 256)).join('');
    takes = false;
    isFull = true;
    local.reply(replyOf({ flags: Flag.last, text }));
    takeAll();
    [takes, isFull] = [true, false];
    local.writable(FD);
    expect([given.join('') === text, given.length > 1, local.heldBytes]).toEqual([true, true, 0]);
  });

  it('finds what it does not take in the ring', () => {
    takes = false;
    local.reply(replyOf({ flags: Flag.last, text: 'refused' }));
    expect(takeAll().map(({ payload }) => payload.toString())).toEqual(['refused']);
  });
});

describe('requests of a protocol', () => {
  const request = requestFrame(TYPE, FD, 1, 2, Buffer.from('why'));

  it('are frames', () => {
    expect([outbox.request(request), outbox.notify(request)]).toEqual([true, true]);
    const frame = { type: TYPE, flags: 1, detail: 2, payload: Buffer.from('why') };
    expect(takeAll()).toEqual([frame, frame]);
  });

  it('wait behind what is held, or do not', () => {
    outbox.send(FD, Buffer.alloc(300_000));
    outbox.request(request);
    outbox.notify(requestFrame(TYPE + 1, FD));
    const types: number[] = [];
    for (let frames = takeAll(); frames.length > 0; frames = takeAll()) {
      types.push(...frames.map(({ type }) => type));
      if (types.includes(Request.watchDrain)) outbox.writable(FD);
      outbox.roomAgain();
    }
    expect(types.at(-1)).toBe(TYPE);
    expect(types.indexOf(TYPE + 1)).toBeLessThan(types.lastIndexOf(Request.send));
  });

  it('find room although data fills the ring', () => {
    outbox.send(FD, Buffer.alloc(300_000));
    outbox.notify(request);
    expect(takeAll().at(-1)).toMatchObject({ type: TYPE });
  });

  it('wait where the reactor takes nothing at all, all in order, and are refused where too many do', () => {
    let count = 0;
    while (count < 50_000 && outbox.setPaused(FD, count % 2 === 0)) count++;
    expect([count > 10_000, count < 50_000]).toEqual([true, true]);
    expect(outbox.lastError).toMatchObject({
      ...{ code: 'ERR_CHANNEL_BROKEN', detail: { why: 'its reactor takes no requests' } },
    });
    const types: number[] = [];
    for (let frames = takeAll(); frames.length > 0; frames = takeAll()) {
      types.push(...frames.map(({ type }) => type));
      outbox.roomAgain();
    }
    expect(types).toEqual(Array.from({ length: count }, (_, i) => (i % 2 === 0 ? Request.pause : Request.resume)));
    expect(outbox.isEmpty).toBe(true);
  });

  it('are refused where the connection has gone', () => {
    table.setState(3, SlotState.closed);
    expect([outbox.request(request), outbox.notify(request)]).toEqual([false, false]);
    expect(takeAll()).toEqual([]);
  });
});

describe('a process that no event tells of room', () => {
  let looking: Outbox;

  beforeEach(() => {
    looking = make(false);
  });

  it('looks into the table when the reactor has taken its question, and goes on', () => {
    const big = Buffer.alloc(700_001, 5);
    looking.send(FD, big);
    let bytes = 0;
    for (let frames = takeAll(); frames.length > 0; frames = takeAll()) {
      for (const { type, payload } of frames) if (type === Request.send) bytes += payload.length;
      looking.roomAgain();
    }
    expect(bytes).toBe(big.length);
    expect(looking.isEmpty).toBe(true);
  });

  it('waits while the queue of the connection is full, and lets what it held go when the connection is gone', async () => {
    table.setFlag(3, SlotFlag.full, true);
    looking.send(FD, Buffer.alloc(700_001, 5));
    for (let i = 0; i < 20; i++) {
      takeAll();
      looking.roomAgain();
    }
    expect(looking.isEmpty).toBe(false);
    const drained = looking.drain(FD);
    table.setState(3, SlotState.closed);
    looking.roomAgain();
    await drained;
    expect(looking.isEmpty).toBe(true);
    expect(looking.heldBytes).toBe(0);
  });
});

describe('before a successor replies', () => {
  const raw = (frames: ReturnType<typeof takeAll>) => frames.filter(({ type }) => type === Request.send);
  /** Text and whether more of the same send follows. */
  const seen = (frames: ReturnType<typeof takeAll>) =>
    raw(frames).map(({ payload, flags, detail }) => {
      expect(detail).toBe(markOf(process.pid));
      return [payload.length, flags === SendFlag.more];
    });

  it('all that is held becomes one send, begun at once and ended behind the last of it', () => {
    for (let i = 0; i < 4; i++) {
      outbox.send(FD, Buffer.alloc(WINDOW / 4));
      takeAll();
    }
    outbox.send(FD, Buffer.alloc(10));
    outbox.send(FD, Buffer.alloc(20));
    outbox.keepPlaces();
    expect(seen(takeAll())).toEqual([[0, true]]);
    outbox.writable(FD);
    expect(seen(takeAll())).toEqual([
      [10, true],
      [20, true],
      [0, false],
    ]);
    outbox.send(FD, 'later');
    expect(takeAll()).toMatchObject([{ flags: 0, detail: 0 }]);
  });

  it('a send that has begun goes on as part of it', () => {
    outbox.send(FD, Buffer.alloc(WINDOW + 70_000));
    outbox.send(FD, 'next');
    takeAll();
    outbox.roomAgain();
    takeAll();
    outbox.keepPlaces();
    let frames = takeAll();
    for (let i = 0; i < 20 && !outbox.isEmpty; i++) {
      outbox.writable(FD);
      frames = [...frames, ...takeAll()];
    }
    const ends = seen(frames);
    expect(ends.filter(([, more]) => !more)).toEqual([[0, false]]);
    expect(ends.at(-1)).toEqual([0, false]);
    expect(raw(frames).at(-2)?.payload.toString()).toBe('next');
  });

  it('is begun as soon as the ring has room', () => {
    const other = FD + 1;
    open(other);
    for (let i = 0; i < 4; i++) {
      outbox.send(FD, Buffer.alloc(WINDOW / 4));
      takeAll();
    }
    outbox.send(FD, 'held');
    for (let i = 0; i < 9000; i++) outbox.readOn(other);
    outbox.keepPlaces();
    const frames = takeAll();
    outbox.writable(FD);
    for (let i = 0; i < 3; i++) {
      frames.push(...takeAll());
      outbox.roomAgain();
    }
    expect(seen(frames)).toEqual([
      [0, true],
      [4, true],
      [0, false],
    ]);
  });

  it('connections for which nothing is held are left alone, and those with requests only', () => {
    outbox.send(FD, 'a');
    takeAll();
    outbox.keepPlaces();
    expect(takeAll()).toEqual([]);
  });
});

describe('news of another session in the same slot', () => {
  it('changes nothing', () => {
    outbox.send(FD, Buffer.alloc(1 << 19));
    for (let frames = takeAll(); frames.length > 0; frames = takeAll()) outbox.roomAgain();
    outbox.writable(FD + 64);
    outbox.forget(FD + 64);
    expect([takeAll(), outbox.isEmpty]).toEqual([[], false]);
    outbox.writable(FD);
    expect(takeAll().length).toBeGreaterThan(0);
  });
});

describe('a process that gives up', () => {
  it('resets a stream of which a byte would be missing', () => {
    for (let i = 0; i < 3; i++) {
      outbox.send(FD, Buffer.alloc(50_000));
      takeAll();
    }
    outbox.send(FD, 'x');
    expect(outbox.heldBytes).toBe(1);
    outbox.giveUp();
    expect(takeAll().at(-1)).toMatchObject({ type: Request.close, flags: 1, detail: CloseCode.WORKER_REPLACED });
    expect([outbox.heldBytes, outbox.isEmpty]).toEqual([0, true]);
  });

  it('leaves alone what another process has closed: what came before still leaves, and what is held here would not', () => {
    outbox.send(FD, Buffer.alloc(700_000));
    takeAll();
    expect(outbox.heldBytes).toBeGreaterThan(0);
    table.setState(table.slotOf(FD), SlotState.closing);
    outbox.giveUp();
    expect(takeAll()).toEqual([]);
  });

  it('leaves all others as they are', () => {
    outbox.send(FD, 'x');
    takeAll();
    outbox.giveUp();
    expect(takeAll()).toEqual([]);
  });
});

describe('close', () => {
  it('keeps its place behind what is held', () => {
    outbox.send(FD, Buffer.alloc(300_000));
    outbox.close(FD, false);
    const types: number[] = [];
    for (let frames = takeAll(); frames.length > 0; frames = takeAll()) {
      types.push(...frames.map(({ type }) => type));
      if (types.includes(Request.watchDrain)) outbox.writable(FD);
      outbox.roomAgain();
    }
    expect(types.at(-1)).toBe(Request.close);
    expect(types.indexOf(Request.close)).toBe(types.length - 1);
  });

  it('with reset drops what is held', () => {
    outbox.send(FD, Buffer.alloc(300_000));
    outbox.close(FD, true);
    expect(outbox.isEmpty).toBe(true);
    expect(takeAll().at(-1)).toMatchObject({ type: Request.close, flags: 1 });
  });
});

describe('drain', () => {
  const settled = async (promise: Promise<void>): Promise<boolean> => {
    let done = false;
    void promise.then(() => {
      done = true;
    });
    await new Promise((resolve) => setImmediate(resolve));
    return done;
  };

  it('resolves when the reactor has room and nothing is held', async () => {
    outbox.send(FD, Buffer.alloc(300_000));
    const drained = outbox.drain(FD);
    expect(await settled(drained)).toBe(false);
    drainAll();
    expect(await settled(drained)).toBe(true);
  });

  it('resolves for a process that hears no news any more', async () => {
    outbox.send(FD, Buffer.alloc(2 * HIGH));
    let isDrained = false;
    const drained = outbox.drain(FD).then(() => {
      isDrained = true;
    });
    drainAllButLast();
    expect(outbox.isEmpty).toBe(true);
    await Promise.resolve();
    expect(isDrained).toBe(false);
    outbox.poll();
    await drained;
  });

  /** The answer to the last question goes to the successor. */
  function drainAllButLast(): void {
    for (let frames = takeAll(); frames.length > 0; frames = takeAll()) {
      const isAsked = frames.some(({ type }) => type === Request.watchDrain);
      if (isAsked && !outbox.isEmpty) outbox.writable(FD);
      outbox.roomAgain();
    }
  }

  it('resolves when the connection goes', async () => {
    outbox.send(FD, Buffer.alloc(300_000));
    const drained = outbox.drain(FD);
    outbox.forget(FD);
    expect(await settled(drained)).toBe(true);
    expect(outbox.isEmpty).toBe(true);
  });

  it('resolves for another session in the same slot never having been asked', async () => {
    outbox.send(FD, Buffer.alloc(300_000));
    const drained = outbox.drain(FD);
    open(FD + 64);
    expect(outbox.send(FD + 64, 'new')).toBe(true);
    expect(await settled(drained)).toBe(true);
  });
});
