/**
 * Rooms: which connections of this reactor are members, and what is published to them. What one process publishes
 * reaches each member in order, and in its place among what that process sends to the member itself. Runs in the
 * reactor.
 */

import { PieceFlag } from '../ipc/frame.js';
import type { Frame } from '../ipc/frames/frame.js';
import { PublicationView } from '../ipc/frames/publish.js';
import { ReactorCounter } from '../memory/boards.js';
import type { RoomBoard } from '../memory/room-board.js';
import { addressOf, allocateStable } from '../os/libc.js';
import { readUtf8 } from '../util/utf8.js';
import type { Connection } from './connection.js';
import type { ReactorContext } from './context.js';
import type { FanOut } from './fan-out.js';
import type { Batch, JoinedRoom } from './publication.js';

/** Short publications in a row to one room leave in one send(2) per member. */
const GATHER_BYTES = 65_536;
const SHORT_BYTES = 8192;

class Room implements JoinedRoom {
  readonly name: string;
  readonly members: Connection[] = [];
  /** Its place in the board of shared memory; −1: the board has none for it. */
  place = -1;

  constructor(name: string) {
    this.name = name;
  }
}

export class Rooms {
  readonly #context: ReactorContext;
  readonly #board: RoomBoard;
  readonly #fanOut: FanOut;
  readonly #rooms = new Map<string, Room>();
  readonly #view = new PublicationView();
  /** Of publications longer than a frame, by the peer that sends them. */
  readonly #pieces = new Map<number, Buffer[]>();
  readonly #gathered = allocateStable(GATHER_BYTES);
  readonly #gatheredAddress = addressOf(this.#gathered);
  #gatheredBytes = 0;
  #gatheredMessages = 0;
  #gatheredRoom: Room | undefined;
  #gatheredPeer = -1;

  constructor(context: ReactorContext, board: RoomBoard, fanOut: FanOut) {
    this.#fanOut = fanOut;
    this.#context = context;
    this.#board = board;
    board.resetReactor(context.id); // what a preceding process has counted; the connections it hands off join again
  }

  /** Short publications wait to leave together: to be flushed before anything else goes to a member. */
  get isPending(): boolean {
    return this.#gatheredRoom !== undefined;
  }

  // ——— members ———

  join(connection: Connection, name: string): void {
    if (connection.isClosing) return;
    this.flush();
    const room = this.#rooms.get(name) ?? this.#open(name);
    if (room === undefined) return;
    connection.rooms ??= new Map();
    if (connection.rooms.has(room)) return;
    connection.rooms.set(room, room.members.push(connection) - 1);
    if (room.place >= 0 && room.members.length > 1) this.#count(room, 1);
    else if (room.place < 0) room.place = this.#board.join(name, this.#context.id, room.members.length);
  }

  /** @param name empty: of all rooms */
  leave(connection: Connection, name: string): void {
    if (connection.rooms === null) return;
    this.flush();
    if (name === '') return this.leaveAll(connection);
    const room = this.#rooms.get(name);
    if (room !== undefined) this.#remove(room, connection);
  }

  /** The connection ends. */
  leaveAll(connection: Connection): void {
    if (connection.rooms === null) return;
    for (const room of [...connection.rooms.keys()]) this.#remove(room as Room, connection);
    connection.rooms = null;
  }

  namesOf({ rooms }: Connection): string[] {
    return rooms === null ? [] : Array.from(rooms.keys(), ({ name }) => name);
  }

  membersOf(name: string): number[] {
    return (this.#rooms.get(name)?.members ?? []).map(({ sessionId }) => sessionId);
  }

  /** @returns undefined: there are as many rooms as may be; processes that ask now are refused before they send */
  #open(name: string): Room | undefined {
    const room = new Room(name);
    room.place = this.#board.join(name, this.#context.id);
    if (room.place < 0 && this.#board.isFull) return undefined;
    this.#rooms.set(name, room);
    return room;
  }

  #remove(room: Room, connection: Connection): void {
    const place = connection.rooms?.get(room);
    if (place === undefined) return;
    connection.rooms?.delete(room);
    const last = room.members.pop();
    if (last !== undefined && last !== connection) {
      room.members[place] = last;
      last.rooms?.set(room, place);
    }
    this.#count(room, -1);
    if (room.members.length === 0) this.#rooms.delete(room.name);
  }

  #count({ place }: Room, change: 1 | -1): void {
    if (place >= 0) this.#board.add(place, this.#context.id, change);
  }

  // ——— publications ———

  /** @param flags PieceFlag */
  take(frame: Frame, flags: number, peer: number): void {
    if (flags === 0 && !this.#pieces.has(peer)) return this.#publish(frame, peer);
    const pieces = (flags & PieceFlag.continued) === 0 ? [] : this.#pieces.get(peer);
    if (pieces === undefined) return; // the rest of one whose beginning went to another process
    pieces.push(Buffer.from(frame.bytes.subarray(frame.payloadAt, frame.payloadAt + frame.length)));
    if (flags & PieceFlag.more) return void this.#pieces.set(peer, pieces);
    this.#pieces.delete(peer);
    const bytes = allocateStable(pieces.reduce((sum, { length }) => sum + length, 0));
    let at = 0;
    for (const piece of pieces) at += piece.copy(bytes, at);
    this.#publish({ ...whole, bytes, address: addressOf(bytes), length: at }, peer);
  }

  /** Publications of which the beginning has come, by peer: for the next process. */
  takeBegun(): [peer: number, pieces: Buffer[]][] {
    const begun = [...this.#pieces];
    this.#pieces.clear();
    return begun;
  }

  /** The preceding process has had these pieces of a publication. */
  resume(peer: number, pieces: Buffer[]): void {
    this.#pieces.set(peer, pieces);
  }

  #publish({ bytes, address, payloadAt, length }: Frame, peer: number): void {
    const view = this.#view;
    if (!view.read(bytes, payloadAt, length)) return;
    this.#context.board.add(this.#context.id, ReactorCounter.published, 1);
    const room = this.#rooms.get(view.room);
    if (room === undefined) return this.flush();
    const isShort = view.plainBytes <= SHORT_BYTES && view.deflatedBytes === 0 && view.except.length === 0;
    if (isShort) return this.#gather(room, view, peer);
    this.flush();
    const { plainAt: at, plainBytes, deflatedAt, deflatedBytes, isText } = view;
    const texts = lazily(() => (isText ? [textOf(bytes, at, plainBytes)] : []));
    const batch = {
      source: bytes,
      address,
      at,
      length: plainBytes,
      deflatedAt,
      deflatedBytes,
      messages: 1,
      texts,
      peer,
    };
    this.#deliver(room, batch, view.except);
  }

  #gather(room: Room, { bytes, plainAt, plainBytes }: PublicationView, peer: number): void {
    const isSame = this.#gatheredRoom === room && this.#gatheredPeer === peer;
    if (!isSame || this.#gatheredBytes + plainBytes > GATHER_BYTES) this.flush();
    bytes.copy(this.#gathered, this.#gatheredBytes, plainAt, plainAt + plainBytes);
    this.#gatheredBytes += plainBytes;
    this.#gatheredMessages++;
    this.#gatheredRoom = room;
    this.#gatheredPeer = peer;
  }

  /** Called before anything else goes to a member, and at the end of the turn. */
  flush(): void {
    const room = this.#gatheredRoom;
    if (room === undefined) return;
    const length = this.#gatheredBytes;
    const messages = this.#gatheredMessages;
    const source = this.#gathered;
    this.#gatheredRoom = undefined;
    this.#gatheredBytes = 0;
    this.#gatheredMessages = 0;
    const texts = lazily(() => textsOf(source, length));
    const place = { source, address: this.#gatheredAddress, at: 0, length, deflatedAt: 0, deflatedBytes: 0 };
    this.#deliver(room, { ...place, messages, texts, peer: this.#gatheredPeer }, []);
  }

  #deliver({ members }: Room, batch: Batch, except: readonly number[]): void {
    this.#fanOut.begin(members.length);
    // From the end: a member that is closed over it is replaced by one that was served already.
    for (let i = members.length - 1; i >= 0; i--) {
      const connection = members[i] as Connection;
      if (except.length > 0 && except.includes(connection.sessionId)) continue;
      connection.protocol.publish?.(connection, batch);
    }
    this.#fanOut.end();
  }
}

const whole = { word: 0, sessionId: 0, payloadAt: 0 };

function lazily<T>(make: () => T): () => T {
  let made: T | undefined;
  return () => {
    made ??= make();
    return made;
  };
}

/** @param at of a server's frame, which is not masked */
function textOf(bytes: Buffer, at: number, length: number): string {
  return readUtf8(bytes, at + headerBytes(bytes[at + 1] as number), at + length);
}

function textsOf(bytes: Buffer, length: number): string[] {
  const texts: string[] = [];
  for (let at = 0; at < length; ) {
    const isText = ((bytes[at] as number) & OPCODE_BITS) === TEXT;
    const header = headerBytes(bytes[at + 1] as number);
    const size = header === 2 ? (bytes[at + 1] as number) : bytes.readUInt16BE(at + 2);
    if (isText) texts.push(readUtf8(bytes, at + header, at + header + size));
    at += header + size;
  }
  return texts;
}

/** RFC 6455 5.2. */
const OPCODE_BITS = 0x0f;
const TEXT = 1;

function headerBytes(second: number): 2 | 4 | 10 {
  if (second < 126) return 2;
  return second === 126 ? 4 : 10;
}
