/** What the reactor knows of one WebSocket, and how it goes to another process. Runs in the reactor. */
import { Utf8Check } from '../../../protocol/websocket/utf8.js';
import type { Connection } from '../../connection.js';

/** Of a message that comes in fragments, or waits for room. */
export class Assembly {
  readonly opcode: number;
  readonly isDeflated: boolean;
  /** Not masked any more. */
  pieces: Buffer[] = [];
  bytes = 0;
  /** The last fragment has come: it waits for room. */
  isWhole = false;
  /** Of a text that is not compressed. */
  readonly utf8: Utf8Check | null;

  constructor(opcode: number, isDeflated: boolean, isText: boolean) {
    this.opcode = opcode;
    this.isDeflated = isDeflated;
    this.utf8 = isText && !isDeflated ? new Utf8Check() : null;
  }

  add(piece: Buffer): void {
    this.pieces.push(piece);
    this.bytes += piece.length;
  }

  /** All fragments as one. */
  join(): Buffer {
    const [first] = this.pieces;
    if (first !== undefined && this.pieces.length === 1) return first;
    const joined = Buffer.concat(this.pieces);
    this.pieces = [joined];
    return joined;
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
  /** The process of its worker that was told of the end; 0: none that is there. */
  toldPid = 0;
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
  const { deflate, assembly, given, endCode, endReason, endBy, endCause } = state;
  return { deflate, assembly: assembly && packAssembly(assembly), given, endCode, endReason, endBy, endCause, rooms };
}

export function unpackSocket({ assembly, rooms: _, deflate, ...record }: SocketRecord): SocketState {
  const state = Object.assign(new SocketState(deflate), record);
  if (assembly !== null) state.assembly = unpackAssembly(assembly);
  return state;
}

function packAssembly(assembly: Assembly): AssemblyRecord {
  const { opcode, isDeflated, isWhole } = assembly;
  return { opcode, isDeflated, isWhole, bytes: assembly.join().toString('base64') };
}

function unpackAssembly({ opcode, isDeflated, isWhole, bytes }: AssemblyRecord): Assembly {
  const assembly = new Assembly(opcode, isDeflated, opcode === 1);
  const data = Buffer.from(bytes, 'base64');
  assembly.add(data);
  assembly.utf8?.push(data, 0, data.length);
  assembly.isWhole = isWhole;
  return assembly;
}
