import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createFramer } from '../../src/listen/create-framer.js';
import { type Framing as FramingOption, lengthFields, resolveOptions } from '../../src/options/index.js';
import { type Framer, MORE } from '../../src/protocol/framing/framer.js';
import { Connection } from '../../src/reactor/connection.js';
import { Life } from '../../src/reactor/life.js';
import type { PortFraming, ProtocolParts } from '../../src/reactor/protocols/definition.js';
import { Framed } from '../../src/reactor/protocols/framed.js';
import { ReactorWorld } from '../helpers/reactor-world.js';

async function framerFor(framing: FramingOption): Promise<Framer> {
  const framer = await createFramer(resolveOptions({ framing }).framing);
  if (framer === undefined) throw new Error('this framing has no framer');
  return framer;
}

const evenFrame = new URL('../fixtures/frame.js', import.meta.url).href;

interface Case {
  readonly name: string;
  readonly framing: FramingOption;
  /** Makes a packet of this content. */
  packet(content: Buffer): Buffer;
}

/** A header with `field` at `offset`, whose value counts what follows it. */
function headed(field: (typeof lengthFields)[number], offset = 0): Case {
  const bytes = Number(field.slice(1, -2) || field.slice(1)) / 8;
  const header = offset + bytes;
  return {
    name: `length: ${field} at ${offset}`,
    framing: { type: 'length', field, offset, bodyOffset: header },
    packet(content) {
      const most = field.startsWith('i') ? 2 ** Math.min(bytes * 8 - 1, 40) - 1 : 2 ** Math.min(bytes * 8, 40) - 1;
      const body = content.subarray(0, most);
      const head = Buffer.alloc(header, 0xee);
      const little = field.endsWith('le');
      for (let i = 0; i < bytes; i++) {
        const byte = Math.floor(body.length / 2 ** (8 * i)) % 256;
        head[offset + (little ? i : bytes - 1 - i)] = byte;
      }
      return Buffer.concat([head, body]);
    },
  };
}

const withoutDelimiter = (content: Buffer): Buffer => Buffer.from(content.map((byte) => (byte === 10 ? 11 : byte)));
const cases: Case[] = [
  {
    name: 'eof: one byte',
    framing: { type: 'eof', delimiter: '\n' },
    packet: (content) => Buffer.concat([withoutDelimiter(content), Buffer.from('\n')]),
  },
  {
    name: 'eof: a long delimiter whose beginning may stand in the content',
    framing: { type: 'eof', delimiter: Uint8Array.from([1, 1, 10]) },
    packet: (content) => Buffer.concat([withoutDelimiter(content), Buffer.from([1, 1, 10])]),
  },
  ...lengthFields.map((field) => headed(field)),
  headed('u16be', 3),
  {
    name: 'custom',
    framing: { type: 'custom', length: evenFrame },
    packet: (content) => Buffer.concat([Buffer.from([content.length >> 8, content.length & 255]), content]),
  },
];

/** A ring with as much room as the test says, in pieces of 40 bytes: a packet may find room for its beginning only. */
class FakeRing {
  readonly worker = 0;
  readonly got: Buffer[] = [];
  room = Number.POSITIVE_INFINITY;
  #pieces: Buffer[] = [];

  writePacket(_session: number, bytes: Buffer, at: number, length: number, sent: number): number {
    let done = sent;
    for (; done < length && this.room > 0; this.room--) {
      const piece = Buffer.from(bytes.subarray(at + done, at + Math.min(length, done + 40)));
      this.#pieces.push(piece);
      done += piece.length;
    }
    if (done < length) return done;
    this.got.push(Buffer.concat(this.#pieces));
    this.#pieces = [];
    return length;
  }
}

const world = new ReactorWorld();

function read(port: PortFraming, pieces: readonly Buffer[], rooms: readonly number[] = []) {
  const ring = new FakeRing();
  const refused: [number, string][] = [];
  const framed = new Framed(
    {
      context: { ...world.context, ring: () => ring, again: [] },
      dispatcher: { settle: () => true, goalFor: () => ring, dispatched: () => {}, isDraining: () => false },
      reading: { ...{ stall() {}, countReceived() {}, readSoon() {} }, isDry: () => true, endOfBytes: () => false },
      ending: { notifyClose() {}, closeWhenFlushed: () => connection.moveTo(Life.closing) },
      refused: (_connection: Connection, code: number, message: string) => refused.push([code, message]),
    } as unknown as ProtocolParts,
    port,
  );
  const place = { sessionId: 1, slot: 1, descriptor: nextDescriptor++, worker: 0, port: 0 };
  const connection = new Connection(place, framed, world.transport, null);
  for (const [i, piece] of pieces.entries()) {
    if (refused.length > 0) break;
    ring.room = rooms[i % rooms.length] ?? ring.room;
    if (piece.length > 0) world.client(connection).sent.push(piece);
    framed.readable(connection);
  }
  ring.room = Number.POSITIVE_INFINITY;
  while (refused.length === 0 && world.client(connection).sent.length > 0) framed.readable(connection);
  if (refused.length === 0) framed.readable(connection);
  return { got: ring.got, refused, left: connection.input?.length ?? 0 };
}

let nextDescriptor = 1000;

function cut(stream: Buffer, at: readonly number[]): Buffer[] {
  const places = [...new Set(at.map((place) => place % (stream.length + 1)))].sort((a, b) => a - b);
  return [0, ...places].map((place, i) => stream.subarray(place, places[i] ?? stream.length));
}

describe.each(cases)('$name', ({ framing, packet }) => {
  it('any packets, cut at any places, with room or without, come out as they were', async () => {
    const port = { framer: await framerFor(framing), packageMaxLength: 1 << 20 };
    const content = fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes));
    fc.assert(
      fc.property(
        fc.array(content, { maxLength: 12 }),
        fc.array(fc.nat(), { maxLength: 12 }),
        fc.array(fc.nat({ max: 3 }), { maxLength: 3 }),
        (contents, cuts, rooms) => {
          const packets = contents.map(packet);
          const { got, refused, left } = read(port, cut(Buffer.concat(packets), cuts), rooms);
          expect({ refused, left }).toEqual({ refused: [], left: 0 });
          expect(got.map((each) => each.toString('hex'))).toEqual(packets.map((each) => each.toString('hex')));
        },
      ),
      { numRuns: 150 },
    );
  });
});

describe('a wrong stream', () => {
  const port = async (framing: FramingOption, packageMaxLength = 100): Promise<PortFraming> => ({
    framer: await framerFor(framing),
    packageMaxLength,
  });
  const code = (result: ReturnType<typeof read>): string | undefined =>
    result.refused.map(([number]) => (number === 9 ? 'PACKET_TOO_LONG' : 'PACKET_MALFORMED'))[0];

  it('whose packet claims to be too long is refused when its header has come, and nothing is kept for it', async () => {
    const length = await port({ type: 'length', field: 'u32be', bodyOffset: 4 });
    const result = read(length, [Buffer.from([0xff, 0xff, 0xff, 0xff, 1, 2])]);
    expect([code(result), result.left, result.got]).toEqual(['PACKET_TOO_LONG', 0, []]);
    expect(read(length, [Buffer.alloc(4)]).got).toHaveLength(1);
  });

  it('that never ends a packet is refused when more than the maximum has come', async () => {
    const eof = await port({ type: 'eof', delimiter: '\r\n' });
    const pieces = Array.from({ length: 11 }, () => Buffer.alloc(10, 'x'));
    expect(code(read(eof, pieces.slice(0, 10)))).toBeUndefined();
    expect(code(read(eof, pieces))).toBe('PACKET_TOO_LONG');
  });

  it.each([
    ['a negative length', { type: 'length', field: 'i32be', bodyOffset: 4 }, [0xff, 0xff, 0xff, 0xff]],
    ['a length below that of the header', { type: 'length', field: 'u16be' }, [0, 1]],
    ['a length above 2^53', { type: 'length', field: 'u64be' }, [255, 255, 255, 255, 255, 255, 255, 255]],
    ['what the function calls malformed', { type: 'custom', length: evenFrame }, [0xff, 0xff]],
    ['what makes the function throw', { type: 'custom', length: evenFrame }, [0xff, 0xfe]],
    ['what makes the function answer nonsense', { type: 'custom', length: evenFrame }, [0xff, 0xfd]],
  ] as [string, FramingOption, number[]][])('with %s is malformed', async (_what, framing, bytes) => {
    expect(code(read(await port(framing), [Buffer.from(bytes)]))).toBe('PACKET_MALFORMED');
  });

  it('gives the packets before the wrong one', async () => {
    const length = await port({ type: 'length', field: 'u8', bodyOffset: 1 });
    const result = read(length, [Buffer.from([1, 65, 0, 2, 66, 67, 255])]);
    expect(result.got.map(String)).toEqual(['\x01A', '\0', '\x02BC']);
    expect(code(result)).toBe('PACKET_TOO_LONG');
  });
});

describe('eof without split', () => {
  it('gives all that has come when it ends with the delimiter', async () => {
    const framer = await framerFor({ type: 'eof', delimiter: '\r\n', split: false });
    const length = (text: string): number => framer.packetLength(Buffer.from(text), 0, text.length, 0);
    expect([length('a\r\nb\r\n'), length('a\r\nb'), length('\n'), length('\r\n')]).toEqual([6, MORE, MORE, 2]);
  });
});

describe("Swoole's pack letters", () => {
  it.each([...'cCsSnviIlLNVqQJP'])('%s is known', async (field) => {
    const framer = await framerFor({ type: 'length', field, bodyOffset: 0 });
    expect(framer.packetLength(Buffer.alloc(8, 0xff), 0, 8, 0)).not.toBe(MORE);
  });

  it.each([
    ['n', [0, 5]],
    ['v', [5, 0]],
    ['N', [0, 0, 0, 5]],
    ['V', [5, 0, 0, 0]],
    ['J', [0, 0, 0, 0, 0, 0, 0, 9]],
    ['P', [9, 0, 0, 0, 0, 0, 0, 0]],
  ])('%s reads in its order', async (field, bytes) => {
    const framer = await framerFor({ type: 'length', field });
    expect(framer.packetLength(Buffer.from(bytes), 0, bytes.length, 0)).toBe(Math.max(...bytes));
  });
});

describe('the option', () => {
  const refusal = (framing: unknown): unknown => {
    try {
      return resolveOptions({ framing: framing as FramingOption });
    } catch (error) {
      return (
        (error as { code: string; detail: { name: string } }).code + (error as { detail: { name: string } }).detail.name
      );
    }
  };

  it.each([
    ['eof', 'ERR_OPTION_TYPEframing'],
    [{ type: 'line' }, 'ERR_OPTION_VALUEframing.type'],
    [{ type: 'eof' }, 'ERR_OPTION_TYPEframing.delimiter'],
    [{ type: 'eof', delimiter: '' }, 'ERR_OPTION_RANGEframing.delimiter'],
    [{ type: 'eof', delimiter: '\n', splitt: true }, 'ERR_OPTION_UNKNOWNframing.splitt'],
    [{ type: 'eof', delimiter: '\n', split: 1 }, 'ERR_OPTION_TYPEframing.split'],
    [{ type: 'length' }, 'ERR_OPTION_VALUEframing.field'],
    [{ type: 'length', field: 'u128' }, 'ERR_OPTION_VALUEframing.field'],
    [{ type: 'length', field: 'N', offset: -1 }, 'ERR_OPTION_RANGEframing.offset'],
    [{ type: 'length', field: 'N', bodyOffset: '4' }, 'ERR_OPTION_TYPEframing.bodyOffset'],
    [{ type: 'custom' }, 'ERR_OPTION_TYPEframing.length'],
  ])('%j is refused', (framing, expected) => {
    expect(refusal(framing)).toBe(expected);
  });

  it.each([['./nothing.js'], [new URL('../fixtures/say.js', import.meta.url).href]])(
    'a module that cannot be used is refused: %s',
    async (length) => {
      await expect(framerFor({ type: 'custom', length })).rejects.toMatchObject({ code: 'ERR_FRAMING_MODULE' });
    },
  );

  it('a module that is a device is refused without being read', async () => {
    await expect(framerFor({ type: 'custom', length: 'file:///dev/null' })).rejects.toMatchObject({
      ...{ code: 'ERR_FRAMING_MODULE', cause: expect.objectContaining({ message: 'it is no regular file' }) },
    });
  });

  it('a module with a mistake is refused with the line, and the error as the cause', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'framing-'));
    const file = join(folder, 'rule.mjs');
    try {
      writeFileSync(file, '\nexport const packetLength = ;');
      await expect(framerFor({ type: 'custom', length: pathToFileURL(file).href })).rejects.toMatchObject({
        ...{ code: 'ERR_FRAMING_MODULE', detail: { why: 'it cannot be loaded (line 2)' }, cause: expect.any(Error) },
      });
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
