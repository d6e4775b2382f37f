/** What the reactor knows of one WebSocket, and how it goes to another process. Runs in the reactor. */
import { unmask } from '../../../protocol/websocket/unmask.js';
import { Utf8Check } from '../../../protocol/websocket/utf8.js';
import type { Connection } from '../../connection.js';

const FIRST_BYTES = 256;

/** Of a message that comes in fragments, or waits for room. */
export class Assembly {
  readonly opcode: number;
  readonly isDeflated: boolean;
  /** How much of `#bytes` is filled. */
  length = 0;
  /** The last fragment has come: it waits for room. */
  isWhole = false;
  /** Of a text that is not compressed. */
  readonly utf8: Utf8Check | null;
  /** One memory for all: a buffer for each would cost a hundred bytes where a fragment has one, or none. */
  #bytes = Buffer.allocUnsafeSlow(0);
  #words = new Int32Array(0);

  constructor(opcode: number, isDeflated: boolean, isText: boolean) {
    this.opcode = opcode;
    this.isDeflated = isDeflated;
    this.utf8 = isText && !isDeflated ? new Utf8Check() : null;
  }

  /**
   * Adds a fragment, and unmasks it there.
   * @param mask as `maskAt` gives it; 0: it is not masked any more
   * @returns false: it is a text that is not UTF-8
   */
  add(source: Buffer, at: number, length: number, mask: number): boolean {
    const from = this.length;
    if (from + length > this.#bytes.length) this.#grow(from + length);
    source.copy(this.#bytes, from, at, at + length);
    unmask(this.#bytes, this.#words, from, length, mask);
    this.length += length;
    return this.utf8?.push(this.#bytes, from, this.length) !== false;
  }

  /** All fragments as one; valid until the next is added. */
  get bytes(): Buffer {
    return this.#bytes.subarray(0, this.length);
  }

  #grow(wanted: number): void {
    const bytes = Buffer.allocUnsafeSlow(Math.max(FIRST_BYTES, wanted, this.length * 2));
    this.#bytes.copy(bytes, 0, 0, this.length);
    this.#bytes = bytes;
    this.#words = new Int32Array(bytes.buffer, 0, bytes.length >> 2);
  }
}

export class SocketState {
  /** permessage-deflate was agreed upon. */
  readonly deflate: boolean;
  assembly: Assembly | null = null;
  /** Bytes of the message at the front that its worker has; the rest found no room. */
  given = 0;
  /** Checks the message at the front where it goes in pieces. */
  utf8: Utf8Check | null = null;
  /** The code that it ends with; −1: it goes on. */
  endCode = -1;
  endReason = '';
  /** In ms of `monotonicMs()`: when the reactor ends it itself; 0: it waits for no worker. */
  endBy = 0;
  /** CloseCode: why it ends. */
  endCause = 0;
  /** Pings that the client has not answered. */
  pings = 0;
  /** In ms of `monotonicMs()`. */
  pingedAt = 0;
  /** A pong that waits until a send in pieces is whole. */
  owedPong: Buffer | null = null;

  constructor(deflate: boolean) {
    this.deflate = deflate;
  }
}

export const stateOf = (connection: Connection): SocketState => connection.state as SocketState;

/** As JSON. */
export interface SocketRecord {
  readonly deflate: boolean;
  readonly assembly: AssemblyRecord | null;
  readonly given: number;
  readonly endCode: number;
  readonly endReason: string;
  readonly endBy: number;
  readonly endCause: number;
  /** base64; null: none is owed. */
  readonly owedPong: string | null;
  readonly rooms: readonly string[];
}

interface AssemblyRecord {
  readonly opcode: number;
  readonly isDeflated: boolean;
  readonly isWhole: boolean;
  /** base64 */
  readonly bytes: string;
}

export function packSocket(state: SocketState, rooms: readonly string[]): SocketRecord {
  const { deflate, given, endCode, endReason, endBy, endCause } = state;
  const assembly = state.assembly && packAssembly(state.assembly);
  const owedPong = state.owedPong?.toString('base64') ?? null;
  return { deflate, assembly, given, endCode, endReason, endBy, endCause, owedPong, rooms };
}

export function unpackSocket({ assembly, owedPong, rooms: _, deflate, ...record }: SocketRecord): SocketState {
  const state = Object.assign(new SocketState(deflate), record);
  if (assembly !== null) state.assembly = unpackAssembly(assembly);
  if (owedPong !== null) state.owedPong = Buffer.from(owedPong, 'base64');
  return state;
}

function packAssembly(assembly: Assembly): AssemblyRecord {
  const { opcode, isDeflated, isWhole } = assembly;
  return { opcode, isDeflated, isWhole, bytes: assembly.bytes.toString('base64') };
}

function unpackAssembly({ opcode, isDeflated, isWhole, bytes }: AssemblyRecord): Assembly {
  const assembly = new Assembly(opcode, isDeflated, opcode === 1);
  const data = Buffer.from(bytes, 'base64');
  assembly.add(data, 0, data.length, 0);
  assembly.isWhole = isWhole;
  return assembly;
}
