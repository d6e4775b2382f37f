import { describe, expect, it } from 'vitest';
import {
  FIN,
  FrameHeader,
  headerBytesFor,
  MORE,
  Opcode,
  RSV1,
  writeHeader,
} from '../../../src/protocol/websocket/frame-header.js';

const KEY = [0xde, 0xad, 0xbe, 0xef];
const opcodes: readonly number[] = Object.values(Opcode);

/** A client's header, by the text of 5.2 and not by the code under test. */
function clientHeader(first: number, length: number): Buffer {
  if (length < 126) return Buffer.from([first, 0x80 | length, ...KEY]);
  if (length < 65_536) return Buffer.from([first, 0xfe, length >> 8, length & 0xff, ...KEY]);
  const wide = Buffer.alloc(8);
  wide.writeBigUInt64BE(BigInt(length));
  return Buffer.from([first, 0xff, ...wide, ...KEY]);
}

/** The verdict on each prefix, from 0 bytes to all of them; the bytes around it must not count. */
function verdicts(header: Buffer, allowsCompression = false): number[] {
  const parser = new FrameHeader();
  parser.allowsCompression = allowsCompression;
  const around = Buffer.concat([Buffer.from([0xff, 0xff, 0xff]), header, Buffer.alloc(16, 0xff)]);
  return Array.from({ length: header.length + 1 }, (_, n) => parser.parse(around, 3, 3 + n));
}

function whyOf(bytes: readonly number[], allowsCompression = false): string {
  const parser = new FrameHeader();
  parser.allowsCompression = allowsCompression;
  parser.parse(Buffer.from(bytes), 0, bytes.length);
  return parser.why;
}

/** How many bytes it took until the header was refused. */
function refusedAfter(bytes: readonly number[], allowsCompression = false): number {
  const all = verdicts(Buffer.from(bytes), allowsCompression);
  const first = all.findIndex((verdict) => verdict < 0);
  expect(all.slice(0, first).every((verdict) => verdict === MORE)).toBe(true);
  expect(all.slice(first).every((verdict) => verdict === -1002)).toBe(true);
  return first;
}

describe('a valid header of a client', () => {
  it.each([
    [0, 6],
    [1, 6],
    [124, 6],
    [125, 6],
    [126, 8],
    [127, 8],
    [255, 8],
    [256, 8],
    [65_535, 8],
    [65_536, 14],
    [2 ** 31, 14],
    [2 ** 32 - 1, 14],
    [2 ** 32, 14],
    [2 ** 40, 14],
    [Number.MAX_SAFE_INTEGER, 14],
  ])('with a payload of %d bytes is whole after %d bytes, cut anywhere (5.2)', (length, headerBytes) => {
    const header = clientHeader(0x82, length);
    expect(header.length).toBe(headerBytes);
    expect(verdicts(header)).toEqual([...new Array<number>(headerBytes).fill(MORE), 1]);
    const parser = new FrameHeader();
    parser.parse(header, 0, header.length);
    expect(parser).toMatchObject({ opcode: Opcode.binary, isFinal: true, isCompressed: false, length, headerBytes });
  });

  it('sets each field again, since the object is reused', () => {
    const parser = new FrameHeader();
    parser.allowsCompression = true;
    parser.parse(clientHeader(FIN | RSV1 | Opcode.text, 70_000), 0, 14);
    expect(parser).toMatchObject({ opcode: 1, isFinal: true, isCompressed: true, length: 70_000, headerBytes: 14 });
    parser.parse(clientHeader(Opcode.continuation, 3), 0, 6);
    expect(parser).toMatchObject({ opcode: 0, isFinal: false, isCompressed: false, length: 3, headerBytes: 6 });
    parser.parse(clientHeader(FIN | Opcode.ping, 125), 0, 6);
    expect(parser).toMatchObject({ opcode: 9, isFinal: true, isCompressed: false, length: 125, headerBytes: 6 });
  });
});

describe('the first byte', () => {
  const isValid = (first: number, allowsCompression: boolean): boolean => {
    const opcode = first & 15;
    const isControl = opcode >= 8;
    if (!opcodes.includes(opcode) || (first & 0x30) !== 0) return false; // 5.2
    if (isControl && first < 0x80) return false; // 5.5
    return (first & 0x40) === 0 || (allowsCompression && (opcode === 1 || opcode === 2)); // RFC 7692 6.1
  };

  it.each([false, true])('is refused alone when it is wrong: all 256, compression %s', (allowsCompression) => {
    for (let first = 0; first < 256; first++) {
      const all = verdicts(clientHeader(first, 5), allowsCompression);
      const expected = isValid(first, allowsCompression) ? [0, 0, 0, 0, 0, 0, 1] : [0, ...new Array(6).fill(-1002)];
      expect([first, ...all]).toEqual([first, ...expected]);
    }
  });

  it.each([
    [0x91, false, 'RSV2 or RSV3 is set.'],
    [0xa1, false, 'RSV2 or RSV3 is set.'],
    [0xf1, true, 'RSV2 or RSV3 is set.'],
    [0xc1, false, 'RSV1 is set, and no extension was negotiated.'],
    [0xc9, true, 'RSV1 is set on a control frame.'],
    [0xc0, true, 'RSV1 is set on a continuation frame.'],
    [0x40, true, 'RSV1 is set on a continuation frame.'],
    [0x83, false, 'The opcode is not known.'],
    [0x8b, false, 'The opcode is not known.'],
    [0x0f, false, 'The opcode is not known.'],
    [0x08, false, 'A control frame is fragmented.'],
    [0x09, false, 'A control frame is fragmented.'],
    [0x0a, false, 'A control frame is fragmented.'],
  ])('%#x with compression %s: %s', (first, allowsCompression, why) => {
    expect(whyOf([first], allowsCompression)).toBe(why);
  });
});

describe('the second byte', () => {
  it('is refused without the mask bit, for each length (5.1)', () => {
    for (let second = 0; second < 0x80; second++) expect(refusedAfter([0x81, second, 0, 0, 0, 0])).toBe(2);
    expect(whyOf([0x81, 0x05])).toBe('The frame is not masked.');
  });

  it.each([Opcode.close, Opcode.ping, Opcode.pong])('opcode %d may have 125 bytes, not 126 (5.5)', (opcode) => {
    for (let length = 0; length < 126; length++) expect(verdicts(clientHeader(FIN | opcode, length)).at(-1)).toBe(1);
    expect(refusedAfter([FIN | opcode, 0xfe, 0, 126, ...KEY])).toBe(2);
    expect(refusedAfter([FIN | opcode, 0xff, 0, 0, 0, 0, 0, 1, 0, 0, ...KEY])).toBe(2);
    expect(whyOf([FIN | opcode, 0xfe])).toBe('A control frame has more than 125 bytes.');
  });
});

describe('the length (5.2)', () => {
  it('in 16 bits is refused when 7 would do', () => {
    for (let length = 0; length < 126; length++) expect(refusedAfter([0x81, 0xfe, 0, length, ...KEY])).toBe(4);
    expect(whyOf([0x81, 0xfe, 0, 125])).toBe('The length is not in its shortest form.');
  });

  it.each([0, 125, 126, 65_535])('in 64 bits is refused when 16 would do: %d', (length) => {
    expect(refusedAfter([0x81, 0xff, 0, 0, 0, 0, 0, 0, length >> 8, length & 255, ...KEY])).toBe(8);
    expect(whyOf([0x81, 0xff, 0, 0, 0, 0, 0, 0])).toBe('The length is not in its shortest form.');
  });

  it('with its top bit set is refused at its first byte', () => {
    expect(refusedAfter([0x82, 0xff, 0x80, 0, 0, 0, 0, 1, 0, 0, ...KEY])).toBe(3);
    expect(whyOf([0x82, 0xff, 0x80])).toBe('The top bit of the length is set.');
  });

  it('above 2^53 - 1 is refused at the byte that shows it', () => {
    expect(refusedAfter([0x82, 0xff, 0x01, 0, 0, 0, 0, 0, 0, 0, ...KEY])).toBe(3);
    expect(refusedAfter([0x82, 0xff, 0x7f, 0, 0, 0, 0, 0, 0, 0, ...KEY])).toBe(3);
    expect(refusedAfter([0x82, 0xff, 0x00, 0x20, 0, 0, 0, 0, 0, 0, ...KEY])).toBe(4);
    expect(whyOf([0x82, 0xff, 0x00, 0x20])).toBe('The length is above 2^53 - 1.');
  });
});

describe("a server's header", () => {
  it.each([
    [0, '8100'],
    [5, '8105'],
    [125, '817d'],
    [126, '817e007e'],
    [127, '817e007f'],
    [256, '817e0100'],
    [65_535, '817effff'],
    [65_536, '817f0000000000010000'],
    [2 ** 32 - 1, '817f00000000ffffffff'],
    [2 ** 32, '817f0000000100000000'],
    [Number.MAX_SAFE_INTEGER, '817f001fffffffffffff'],
  ])('before %d bytes is %s (5.2, and the examples of 5.7)', (length, hex) => {
    const target = Buffer.alloc(16, 0xaa);
    const bytes = writeHeader(target, 3, 0x81, length);
    expect(bytes).toBe(hex.length / 2);
    expect(bytes).toBe(headerBytesFor(length));
    expect(target.toString('hex')).toBe(`aaaaaa${hex}${'aa'.repeat(13 - bytes)}`);
  });

  it('has the first byte it is given', () => {
    const target = Buffer.alloc(2);
    writeHeader(target, 0, FIN | RSV1 | Opcode.binary, 7);
    expect([...target]).toEqual([0xc2, 7]);
  });
});
