/**
 * The payload of `Request.publish`: what a process sends to the members of a room, once to each reactor.
 *
 * ```
 *  0          2            4            8              12           16        16 + 8 × E
 * ┌──────────┬────────────┬────────────┬──────────────┬────────────┬─────────┬─────────────┬───────────────┬──────────┐
 * │ name u16 │ except u16 │ plain u32  │ deflated u32 │ kind u32   │ E × f64 │ name, to 8  │ plain, to 8   │ deflated │
 * │ bytes    │ count E    │ bytes      │ bytes        │            │         │ (UTF-8)     │ (a WebSocket  │ (the     │
 * └──────────┴────────────┴────────────┴──────────────┴────────────┴─────────┴─────────────┴─frame)────────┴─same)────┘
 * ```
 */
import { readUtf8 } from '../../util/utf8.js';
export interface Publication {
  readonly room: string;
  /** A WebSocket frame, as it goes to members. */
  readonly plain: Uint8Array;
  /** The same, compressed; null: it is not. */
  readonly deflated: Uint8Array | null;
  /** Session ids of members that do not get it. */
  readonly except: readonly number[];
  readonly isText: boolean;
}

const HEAD_BYTES = 16;
const KIND_TEXT = 1;
const to8 = (bytes: number): number => (bytes + 7) & ~7;

export function packPublication({ room, plain, deflated, except, isText }: Publication): Buffer {
  const nameBytes = Buffer.byteLength(room);
  const nameAt = HEAD_BYTES + 8 * except.length;
  const plainAt = nameAt + to8(nameBytes);
  const deflatedAt = plainAt + to8(plain.length);
  const payload = Buffer.allocUnsafe(deflatedAt + (deflated?.length ?? 0));
  payload.writeUInt16LE(nameBytes, 0);
  payload.writeUInt16LE(except.length, 2);
  payload.writeUInt32LE(plain.length, 4);
  payload.writeUInt32LE(deflated?.length ?? 0, 8);
  payload.writeUInt32LE(isText ? KIND_TEXT : 0, 12);
  for (const [i, fd] of except.entries()) payload.writeDoubleLE(fd, HEAD_BYTES + 8 * i);
  payload.write(room, nameAt);
  payload.set(plain, plainAt);
  if (deflated !== null) payload.set(deflated, deflatedAt);
  return payload;
}

/** Where the parts lie; one object, filled again for each frame. */
export class PublicationView {
  bytes: Buffer = Buffer.alloc(0);
  room = '';
  isText = false;
  plainAt = 0;
  plainBytes = 0;
  deflatedAt = 0;
  /** 0: it is not compressed. */
  deflatedBytes = 0;
  except: readonly number[] = [];

  /** @returns false: that is no publication */
  read(bytes: Buffer, at: number, length: number): boolean {
    if (length < HEAD_BYTES) return false;
    const nameBytes = bytes.readUInt16LE(at);
    const excepted = bytes.readUInt16LE(at + 2);
    this.bytes = bytes;
    this.plainBytes = bytes.readUInt32LE(at + 4);
    this.deflatedBytes = bytes.readUInt32LE(at + 8);
    this.isText = bytes.readUInt32LE(at + 12) === KIND_TEXT;
    const nameAt = at + HEAD_BYTES + 8 * excepted;
    this.plainAt = nameAt + to8(nameBytes);
    this.deflatedAt = this.plainAt + to8(this.plainBytes);
    if (this.deflatedAt + this.deflatedBytes > at + to8(length)) return false;
    this.room = readUtf8(bytes, nameAt, nameAt + nameBytes);
    this.except =
      excepted === 0 ? [] : Array.from({ length: excepted }, (_, i) => bytes.readDoubleLE(at + HEAD_BYTES + 8 * i));
    return true;
  }
}
