import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { frameBytes, HEADER_BYTES, MAX_PAYLOAD } from '../../src/ipc/frame.js';
import { RingReader, RingWriter } from '../../src/ipc/ring.js';
import { Region } from '../../src/memory/region.js';
import { testShape } from '../helpers/test-shape.js';

const RING_BYTES = 1 << 17;

function rings(startPosition = 0) {
  const region = Region.create(testShape({ workerNum: 1, ringBytes: RING_BYTES }));
  const place = region.layout.inbound(0, 0);
  region.int32[place.headerAt / 4] = startPosition;
  region.int32[place.headerAt / 4 + 16] = startPosition;
  return { writer: () => new RingWriter(region, place), reader: () => new RingReader(region, place) };
}

function put(writer: RingWriter, sessionId: number, payload: Buffer): boolean {
  if (writer.room(frameBytes(payload.length)) < frameBytes(payload.length)) return false;
  payload.copy(writer.bytes, writer.payloadAt);
  writer.commit(2, 3, 500, sessionId, payload.length);
  return true;
}

function take(reader: RingReader): { sessionId: number; word: number; payload: Buffer } | undefined {
  if (!reader.available()) return undefined;
  const { sessionId, word, length, payloadAt } = reader;
  const payload = Buffer.from(reader.bytes.subarray(payloadAt, payloadAt + length));
  reader.advance();
  reader.release();
  return { sessionId, word, payload };
}

/** A ring, its two ends, and what must come out. */
class Pair {
  readonly published: { sessionId: number; payload: Buffer }[] = [];
  readonly #unpublished: { sessionId: number; payload: Buffer }[] = [];
  readonly #rings: ReturnType<typeof rings>;
  #writer: RingWriter;
  #reader: RingReader;
  #lastId = 2 ** 40;

  constructor(startPosition: number) {
    this.#rings = rings(startPosition);
    this.#writer = this.#rings.writer();
    this.#reader = this.#rings.reader();
  }

  put(bytes: number): void {
    const sessionId = ++this.#lastId;
    const payload = Buffer.alloc(bytes, sessionId & 255);
    if (put(this.#writer, sessionId, payload)) this.#unpublished.push({ sessionId, payload });
  }

  publish(): void {
    this.#writer.publish();
    this.published.push(...this.#unpublished.splice(0));
  }

  take(): boolean {
    const got = take(this.#reader);
    if (got === undefined) return false;
    const expected = this.published.shift();
    expect(got.sessionId).toBe(expected?.sessionId);
    expect(got.payload.equals(expected?.payload ?? Buffer.alloc(0))).toBe(true);
    expect(got.word).toBe(2 | (3 << 8) | (500 << 16));
    return true;
  }

  rewind(): void {
    this.#writer.rewind();
  }

  newReader(): void {
    this.#reader = this.#rings.reader();
  }

  /** The old one was killed: what it had not published was never there. */
  newWriter(): void {
    this.#writer = this.#rings.writer();
    this.#unpublished.length = 0;
  }
}

const kinds = ['take', 'publish', 'rewind', 'newReader', 'newWriter'] as const;
const step = fc.oneof(
  fc.record({ kind: fc.constant('put' as const), bytes: fc.oneof(fc.nat(300), fc.nat(MAX_PAYLOAD)) }),
  fc.record({ kind: fc.constantFrom(...kinds) }),
);

describe('a ring', () => {
  it('delivers any frames in any interleaving, over the wrap of its memory and of its positions', () => {
    const starts = fc.constantFrom(0, 2 ** 31 - 4096, -4096, 4096 * 5);
    fc.assert(
      fc.property(starts, fc.array(step, { maxLength: 120 }), (start, steps) => {
        const pair = new Pair(start);
        for (const next of steps) {
          if (next.kind === 'put') pair.put(next.bytes);
          else pair[next.kind]();
        }
        while (pair.take());
        expect(pair.published).toEqual([]);
      }),
      { numRuns: 60 },
    );
  });

  it('that is empty begins again at its first place, which its ends and their successors follow', () => {
    const { writer: newWriter, reader: newReader } = rings(-8192);
    let [writer, reader] = [newWriter(), newReader()];
    const pass = (bytes: number): void => {
      const payload = Buffer.alloc(bytes, bytes & 255);
      put(writer, bytes, payload);
      writer.publish();
      expect(take(reader)).toMatchObject({ sessionId: bytes, payload });
    };
    const places: number[] = [];
    for (let i = 0; i < 40; i++) {
      pass(10_000 + i);
      writer.rewind();
      places.push(writer.payloadAt);
      if (i % 3 === 0) reader = newReader();
      if (i % 5 === 0) writer = newWriter();
    }
    expect(Math.max(...places)).toBeLessThan(65_536 + HEADER_BYTES);
    expect(places.filter((place) => place === HEADER_BYTES).length).toBeGreaterThan(3);
  });

  it('may be used in part by a writer, who is told when half of that part is free', () => {
    const { writer: newWriter, reader: newReader } = rings();
    const [writer, reader] = [newWriter(), newReader()];
    const within = RING_BYTES / 4;
    const payload = Buffer.alloc(8192 - HEADER_BYTES);
    for (let i = 0; i < 4; i++) expect([writer.hasRoom(8192, within), put(writer, i, payload)]).toEqual([true, true]);
    expect([writer.hasRoom(8192, within), writer.hasRoom(8192)]).toEqual([false, true]);
    writer.publish();
    expect(writer.waitForRoom(within)).toBe(true);
    take(reader);
    expect(reader.writerWantsBell()).toBe(false);
    take(reader);
    expect([reader.writerWantsBell(), reader.writerWantsBell()]).toEqual([true, false]);
    expect([writer.waitForRoom(within), writer.hasRoom(8192, within)]).toEqual([false, true]);
  });

  it('rings for who waits for a part of it although another one has asked and found room', () => {
    const { writer: newWriter, reader: newReader } = rings();
    const [writer, reader] = [newWriter(), newReader()];
    const within = RING_BYTES / 4;
    for (let i = 0; i < 4; i++) put(writer, i, Buffer.alloc(8192 - HEADER_BYTES));
    writer.publish();
    expect([writer.waitForRoom(within), writer.waitForRoom()]).toEqual([true, false]);
    take(reader);
    expect(reader.writerWantsBell()).toBe(false);
    take(reader);
    expect(reader.writerWantsBell()).toBe(true);
  });

  it('does not begin again while anything in it is not published, not taken or not given back', () => {
    const { writer: newWriter, reader: newReader } = rings();
    const [writer, reader] = [newWriter(), newReader()];
    put(writer, 1, Buffer.alloc(MAX_PAYLOAD));
    put(writer, 2, Buffer.alloc(1000));
    const stays = (): void => {
      const { payloadAt } = writer;
      writer.rewind();
      expect(writer.payloadAt).toBe(payloadAt);
      expect(payloadAt).toBeGreaterThan(65_536);
    };
    stays();
    writer.publish();
    stays();
    reader.available();
    reader.advance();
    reader.advance();
    stays();
    reader.release();
    writer.rewind();
    expect([writer.payloadAt, reader.available()]).toEqual([HEADER_BYTES, false]);
  });

  it('tells its writer of room when half of it is free, once, and only if it waits', () => {
    const { writer: newWriter, reader: newReader } = rings();
    const writer = newWriter();
    const reader = newReader();
    const payload = Buffer.alloc(8192 - HEADER_BYTES);
    while (put(writer, 1, payload));
    writer.publish();
    expect(reader.writerWantsBell()).toBe(false);
    expect(writer.waitForRoom()).toBe(true);
    for (let i = 0; i < 7; i++) {
      take(reader);
      expect(reader.writerWantsBell()).toBe(false);
    }
    take(reader);
    expect(reader.writerWantsBell()).toBe(true);
    expect(reader.writerWantsBell()).toBe(false);
    expect(writer.waitForRoom()).toBe(false);
  });

  it('does not believe a frame that claims more than was published', () => {
    const { writer: newWriter, reader: newReader } = rings();
    const writer = newWriter();
    const reader = newReader();
    put(writer, 1, Buffer.alloc(100));
    writer.publish();
    writer.bytes.writeUInt32LE(1_000_000, 0);
    expect(reader.available()).toBe(true);
    expect(reader.isSound).toBe(false);
    reader.discard();
    put(writer, 2, Buffer.from('sound again'));
    writer.publish();
    expect(reader.available() && reader.isSound).toBe(true);
    expect(take(reader)?.payload.toString()).toBe('sound again');
  });

  it('knows when its reader has gone past a position', () => {
    const { writer: newWriter, reader: newReader } = rings(2 ** 31 - 64);
    const writer = newWriter();
    const reader = newReader();
    put(writer, 1, Buffer.alloc(200));
    const { position } = writer;
    writer.publish();
    expect(writer.isConsumed(position)).toBe(false);
    take(reader);
    expect(writer.isConsumed(position)).toBe(true);
  });
});
