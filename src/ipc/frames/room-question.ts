/**
 * Questions about rooms, which reactors answer: `Request.ask` and `Event.told`.
 *
 * ```
 * ask:   number f64, then the name of a room (UTF-8), or nothing: the rooms of the frame's connection
 * told:  number f64, then the answer: session ids as f64 each, or names of rooms with a zero byte behind each
 * ```
 */
const NUMBER_BYTES = 8;

/** So long a worker waits for answers. */
export const ANSWER_MS = 5000;

export function packQuestion(number: number, room: string): Buffer {
  const payload = Buffer.alloc(NUMBER_BYTES + Buffer.byteLength(room));
  payload.writeDoubleLE(number, 0);
  payload.write(room, NUMBER_BYTES);
  return payload;
}

export function readQuestion(bytes: Buffer, at: number, length: number): { number: number; room: string } {
  return { number: readNumber(bytes, at, length), room: bytes.toString('utf8', at + NUMBER_BYTES, at + length) };
}

function readNumber(bytes: Buffer, at: number, length: number): number {
  return length < NUMBER_BYTES ? -1 : bytes.readDoubleLE(at);
}

export function packMembers(number: number, sessionIds: readonly number[]): Buffer {
  const payload = Buffer.allocUnsafe(NUMBER_BYTES * (1 + sessionIds.length));
  payload.writeDoubleLE(number, 0);
  for (const [i, sessionId] of sessionIds.entries()) payload.writeDoubleLE(sessionId, NUMBER_BYTES * (i + 1));
  return payload;
}

export function packRooms(number: number, names: readonly string[]): Buffer {
  return packQuestion(number, names.map((name) => `${name}\0`).join(''));
}

/** What `told` says, before it is known what was asked. */
export class RoomAnswer {
  readonly number: number;
  readonly #bytes: Buffer;

  /** @param payload the caller's own */
  constructor(payload: Buffer) {
    this.number = readNumber(payload, 0, payload.length);
    this.#bytes = payload.subarray(NUMBER_BYTES);
  }

  get members(): number[] {
    return Array.from({ length: this.#bytes.length / 8 }, (_, i) => this.#bytes.readDoubleLE(8 * i));
  }

  get rooms(): string[] {
    return this.#bytes.toString('utf8').split('\0').slice(0, -1);
  }
}
