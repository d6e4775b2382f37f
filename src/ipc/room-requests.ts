/**
 * What a process sends to reactors for rooms: joins, leaves, publications, in order to each reactor, and in order with what it
 * sends to connections. What a ring has no room for waits here, up to a bound; what came before it goes first, and what comes
 * after it waits (`Outbox`). Runs in every process that sends.
 */
import { ServerError } from '../errors/index.js';
import type { ConnectionTable } from '../memory/connection-table.js';
import { frameBytes, JoinAs, MAX_PAYLOAD, PieceFlag, Request } from './frame.js';
import { type HeldItems, haveLeft } from './held-before.js';
import type { ReactorLink, ReactorLinks } from './reactor-links.js';

interface RoomRequest {
  readonly type: number;
  readonly detail: number;
  /** 0: for no connection in particular. */
  readonly sessionId: number;
  readonly payload: Uint8Array;
}

interface Waiting extends RoomRequest {
  /** Of connections of that reactor: it came after these. */
  readonly behind: HeldItems;
  /** Bytes of the payload. */
  sent: number;
}

export interface RoomRequestsOptions {
  /** The server has a port that speaks WebSocket. */
  readonly hasRooms: boolean;
  /** What may wait for one reactor, in bytes. */
  readonly limitBytes: number;
  /** The process that this reactor is part of has ended: it has no members. */
  isDead(reactor: number): boolean;
  /** What waits for connections of that reactor, and has not been taken into account yet. */
  takeHeld(reactor: number): HeldItems;
  /** Something waits for room: `pump` is to be called now and then. */
  waits(): void;
  /** Why the last call returned false. */
  refused(error: ServerError): void;
}

/** What one that waits costs beside its payload, about. */
const ENTRY_BYTES = 128;
/** Room that is left to requests which may not wait. */
const RESERVED_BYTES = 4096;
/**
 * So much of a ring they may fill, whatever its size: what a reactor finds it gives to all members at once, and those whose
 * queue grows beyond `roomHighWatermark` are slow members.
 */
const MOST_BYTES = 1 << 20;

export class RoomRequests {
  readonly #table: ConnectionTable;
  readonly #links: ReactorLinks;
  readonly #options: RoomRequestsOptions;
  /** A connection joins a room: other nodes' messages to it are to come here. */
  joined: ((room: string) => void) | undefined;
  /** By reactor. */
  readonly #waiting: Waiting[][];
  readonly #waitingBytes: number[];
  /** How many have entered, and have left. */
  readonly #entered: number[];
  readonly #left: number[];
  #count = 0;

  constructor(table: ConnectionTable, links: ReactorLinks, options: RoomRequestsOptions) {
    this.#table = table;
    this.#links = links;
    this.#options = options;
    this.#waiting = Array.from({ length: links.count }, () => []);
    this.#waitingBytes = this.#waiting.map(() => 0);
    this.#entered = this.#waiting.map(() => 0);
    this.#left = this.#waiting.map(() => 0);
  }

  /** The server has rooms. */
  get areThere(): boolean {
    return this.#options.hasRooms;
  }

  get isEmpty(): boolean {
    return this.#count === 0;
  }

  /** For what is sent now to a connection of that reactor: it waits until this has left; 0: nothing waits. */
  mark(reactor: number): number {
    return this.#count > 0 && this.#waiting[reactor]?.length !== 0 ? (this.#entered[reactor] ?? 0) : 0;
  }

  /** The last that has left. */
  left(reactor: number): number {
    return this.#left[reactor] ?? 0;
  }

  /** @returns false: it was refused */
  join(sessionId: number, room: string, as: JoinAs = JoinAs.frames): boolean {
    const isTaken = this.#change(Request.join, sessionId, room, as);
    if (isTaken) this.joined?.(room);
    return isTaken;
  }

  /** @param room '' for all of them @returns false: it was refused */
  leave(sessionId: number, room: string): boolean {
    return this.#change(Request.leave, sessionId, room, 0);
  }

  /** To every reactor. @param payload `frames/publish.ts` @returns false: it was refused, and goes to no reactor */
  publish(payload: Uint8Array): boolean {
    if (!this.#hasRoom(payload.length)) return false;
    for (let reactor = 0; reactor < this.#links.count; reactor++) {
      this.#push(reactor, { type: Request.publish, detail: 0, sessionId: 0, payload });
    }
    return true;
  }

  /** Asks every reactor. @returns how many will answer; undefined: it was refused */
  ask(payload: Uint8Array): number | undefined {
    if (!this.#hasRoom(payload.length)) return undefined;
    let asked = 0;
    for (let reactor = 0; reactor < this.#links.count; reactor++) {
      if (this.#options.isDead(reactor)) continue;
      this.#push(reactor, { type: Request.ask, detail: 0, sessionId: 0, payload });
      asked++;
    }
    return asked;
  }

  /** Asks the reactor of a connection. @returns how many will answer; undefined: it was refused */
  askFor(sessionId: number, payload: Uint8Array): number | undefined {
    const reactor = this.#table.reactorOf(sessionId);
    if (this.#options.isDead(reactor)) return 0;
    if (!this.#hasRoom(payload.length)) return undefined;
    this.#push(reactor, { type: Request.ask, detail: 0, sessionId, payload });
    return 1;
  }

  #change(type: number, sessionId: number, room: string, detail: number): boolean {
    const payload = Buffer.from(room);
    if (!this.#hasRoom(payload.length)) return false;
    this.#push(this.#table.reactorOf(sessionId), { type, detail, sessionId, payload });
    return true;
  }

  #hasRoom(bytes: number): boolean {
    const { limitBytes, refused } = this.#options;
    if (!this.#options.hasRooms) {
      refused(new ServerError('ERR_NO_ROOMS', {}));
      return false;
    }
    const most = Math.max(...this.#waitingBytes);
    if (most === 0 || most + bytes + ENTRY_BYTES <= limitBytes) return true;
    refused(new ServerError('ERR_ROOM_BUFFER_FULL', { queuedBytes: most, limitBytes }));
    return false;
  }

  #push(reactor: number, request: RoomRequest): void {
    if (this.#options.isDead(reactor)) return;
    const waiting = this.#waiting[reactor] as Waiting[];
    const frame = { ...request, behind: this.#options.takeHeld(reactor), sent: 0 };
    waiting.push(frame);
    this.#count++;
    this.#entered[reactor] = (this.#entered[reactor] ?? 0) + 1;
    this.#waitingBytes[reactor] = (this.#waitingBytes[reactor] ?? 0) + costOf(frame);
    if (waiting.length === 1) this.#pump(reactor, waiting);
    if (waiting.length > 0) this.#options.waits();
  }

  /** The rings may have room again, or what came before may have left. */
  pump(): void {
    if (this.#count === 0) return;
    for (const [reactor, waiting] of this.#waiting.entries()) if (waiting.length > 0) this.#pump(reactor, waiting);
  }

  #pump(reactor: number, waiting: Waiting[]): void {
    if (this.#options.isDead(reactor)) {
      this.#leave(reactor, waiting.length);
      waiting.length = 0;
      this.#waitingBytes[reactor] = 0;
    }
    const link = this.#links.of(reactor);
    let done = 0;
    for (; done < waiting.length; done++) {
      const frame = waiting[done] as Waiting;
      if (!haveLeft(frame.behind) || !this.#send(link, frame)) break;
      this.#waitingBytes[reactor] = (this.#waitingBytes[reactor] ?? 0) - costOf(frame);
    }
    waiting.splice(0, done);
    this.#leave(reactor, done);
  }

  #leave(reactor: number, count: number): void {
    this.#count -= count;
    this.#left[reactor] = (this.#left[reactor] ?? 0) + count;
  }

  /** @returns false: the rest of it waits for room */
  #send(link: ReactorLink, frame: Waiting): boolean {
    const { ring } = link;
    const { type, detail, sessionId, payload } = frame;
    const within = Math.min(ring.size, MOST_BYTES);
    const most = Math.min(MAX_PAYLOAD, within / 2 - RESERVED_BYTES - frameBytes(0));
    do {
      const length = Math.min(payload.length - frame.sent, most);
      const needed = frameBytes(length) + RESERVED_BYTES;
      if (!ring.hasRoom(needed, within) && ring.waitForRoom(within)) return false;
      ring.bytes.set(payload.subarray(frame.sent, frame.sent + length), ring.payloadAt);
      const continued = frame.sent > 0 ? PieceFlag.continued : 0;
      frame.sent += length;
      ring.commit(type, continued | (frame.sent < payload.length ? PieceFlag.more : 0), detail, sessionId, length);
      this.#links.publish(link);
    } while (frame.sent < payload.length);
    return true;
  }
}

const costOf = ({ payload }: Waiting): number => payload.length + ENTRY_BYTES;
