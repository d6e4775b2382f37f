/** The client's half of RFC 6455 5.2, for tests: frames are built bit by bit, so that broken ones can be built too. */

export const Op = { continuation: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 } as const;

export interface FrameFields {
  readonly fin?: boolean;
  /** RSV1 is 4, RSV2 is 2, RSV3 is 1. */
  readonly rsv?: number;
  /** null: the frame is not masked. */
  readonly mask?: number | null;
  /** What the header says, where that is not the payload's length. */
  readonly length?: number | bigint;
  /** Of the header's length field; missing: the shortest form. */
  readonly lengthBits?: 7 | 16 | 64;
}

const SOME_MASK = 0x37fa213d; // of RFC 6455 5.7

/** A frame as a client sends it. */
export function clientFrame(opcode: number, payload: string | Buffer = '', fields: FrameFields = {}): Buffer {
  const { fin = true, rsv = 0, mask = SOME_MASK } = fields;
  const bytes = Buffer.from(payload as string);
  const length = fields.length ?? bytes.length;
  const first = (fin ? 0x80 : 0) | (rsv << 4) | opcode;
  const size = lengthField(length, fields.lengthBits ?? shortest(length));
  size[0]! |= mask === null ? 0 : 0x80;
  if (mask === null) return Buffer.concat([Buffer.from([first]), size, bytes]);
  const key = Buffer.alloc(4);
  key.writeUInt32BE(mask >>> 0);
  const masked = bytes.map((byte, at) => byte ^ key[at & 3]!);
  return Buffer.concat([Buffer.from([first]), size, key, masked]);
}

/** A frame as a server sends it: not masked, the length in its shortest form. */
export function serverFrame(opcode: number, payload: string | Buffer = '', fields: FrameFields = {}): Buffer {
  return clientFrame(opcode, payload, { ...fields, mask: null });
}

/** The payload of a Close frame. */
export function closePayload(code: number, reason: string | Buffer = ''): Buffer {
  const head = Buffer.alloc(2);
  head.writeUInt16BE(code);
  return Buffer.concat([head, Buffer.from(reason as string)]);
}

/** A frame as it was read. */
export interface ReadFrame {
  readonly fin: boolean;
  readonly rsv: number;
  readonly opcode: number;
  readonly payload: Buffer;
}

/** Reads whole frames of a server. @throws Error where a server may not send that @returns them, and how many bytes they take */
export function readServerFrames(bytes: Buffer): { frames: ReadFrame[]; taken: number } {
  const frames: ReadFrame[] = [];
  let at = 0;
  for (let next = readOne(bytes, at); next !== undefined; next = readOne(bytes, at)) {
    frames.push(next.frame);
    at = next.end;
  }
  return { frames, taken: at };
}

function readOne(bytes: Buffer, at: number): { frame: ReadFrame; end: number } | undefined {
  if (bytes.length < at + 2) return undefined;
  const [first, second] = [bytes[at]!, bytes[at + 1]!];
  if ((second & 0x80) !== 0) throw new Error('a frame of the server is masked');
  const headerBytes = second < 126 ? 2 : second === 126 ? 4 : 10;
  if (bytes.length < at + headerBytes) return undefined;
  const length =
    headerBytes === 2 ? second : headerBytes === 4 ? bytes.readUInt16BE(at + 2) : Number(bytes.readBigUInt64BE(at + 2));
  if (headerBytes !== bytesBefore(length)) throw new Error(`a length of ${length} is not in its shortest form`);
  const from = at + headerBytes;
  if (bytes.length < from + length) return undefined;
  const payload = bytes.subarray(from, from + length);
  const frame = { fin: (first & 0x80) !== 0, rsv: (first >> 4) & 7, opcode: first & 15, payload };
  if (frame.opcode >= Op.close && (length > 125 || !frame.fin))
    throw new Error('a control frame is long, or a fragment');
  return { frame, end: from + length };
}

const bytesBefore = (length: number): number => (length < 126 ? 2 : length < 65_536 ? 4 : 10);

const shortest = (length: number | bigint): 7 | 16 | 64 => (length < 126 ? 7 : length < 65_536 ? 16 : 64);

function lengthField(length: number | bigint, bits: 7 | 16 | 64): Buffer {
  if (bits === 7) return Buffer.from([Number(length)]);
  const field = Buffer.alloc(bits === 16 ? 3 : 9);
  field[0] = bits === 16 ? 126 : 127;
  if (bits === 16) field.writeUInt16BE(Number(length), 1);
  else field.writeBigUInt64BE(BigInt(length), 1);
  return field;
}
