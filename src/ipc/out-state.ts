/** What a process has under way to one connection, as its outbox keeps it. Runs in every process that sends. */
import { type Holders, NOWHERE } from '../memory/holders.js';
import { Request } from './frame.js';
import type { RequestFrame } from './request-frame.js';

export interface OutboxLimits {
  /** From so many bytes that wait here for one connection `send` says that the client does not keep up. */
  readonly highWatermark: number;
  /** A connection for which more than this waits here is closed: its client does not read, its sender does not wait. */
  readonly limitBytes: number;
}

export interface OutboxOptions extends OutboxLimits {
  /** By listen port, where they differ. */
  readonly ports?: readonly OutboxLimits[];
  /** True where `writable` is called by events; else this process looks whether there is room: see `roomAgain`. */
  readonly hearsOfRoom: boolean;
  /** The server has a port that speaks WebSocket. */
  readonly hasRooms?: boolean;
  /** The process that this reactor is part of has died. */
  isDead?(reactor: number): boolean;
}

/** What the frames of held bytes say. */
export interface HeldFrame {
  /** Request.send, or the type of a protocol's own frames. */
  readonly type: number;
  readonly flags: number;
  /** Those of them that only the last frame bears. */
  readonly lastFlags: number;
  /** Those that all but the last frame bear. */
  readonly moreFlags: number;
  readonly detail: number;
}

/** Of plain sends. */
export const rawFrame: HeldFrame = { type: Request.send, flags: 0, lastFlags: 0, moreFlags: 0, detail: 0 };

export interface HeldData {
  /** A text has characters up to U+00FF, each a byte: it is encoded when it leaves. */
  data: Uint8Array | string;
  /** Of `data` when it was given: less of it are there once the user has transferred or shrunk its memory. */
  readonly length: number;
  at: number;
  readonly frame: HeldFrame;
  /** Memory of this process in which `data` lies, to be used again. */
  spare?: Buffer;
}

/** Fresh memory for each long piece costs more than the copy into it: pages, and collections of garbage. */
const SPARE_BYTES = 65_536;
const MOST_SPARES = 64;
const spares: Buffer[] = [];

/** It cannot be sent any more. */
export const isDetached = ({ data, length }: HeldData): boolean => data.length < length;

export type HeldItem = HeldData | RequestFrame;

/** The next frame of what is held for a connection: the first item or a part of it, or several items that fit whole. */
export interface NextFrame {
  readonly items: number;
  readonly bytes: number;
}

interface Barrier {
  readonly ordinal: number;
  readonly mark: number;
}

const MIN_WINDOW = 65536;

export class OutState {
  readonly sessionId: number;
  readonly limits: OutboxLimits;
  /** Bytes that may be on their way without the reactor having said that there is room. */
  readonly window: number;
  /** Bytes sent since the reactor last said that there is room. */
  unconfirmed = 0;
  /** The reactor was asked to say when there is room. */
  asked = false;
  held: HeldItem[] | null = null;
  /** Where the connection's record says that something is held. */
  #place = NOWHERE;
  /** Items that were held so far, and those of them that have left. */
  entered = 0;
  left = 0;
  /** Items that came after something for rooms, which still waits. */
  #barriers: Barrier[] = [];
  /** The successor of this process may send too, and waits until what is held here has left: see `Outbox.keepPlaces`. */
  keepsPlace = false;
  heldBytes = 0;
  waiters: (() => void)[] | null = null;

  constructor(sessionId: number, limits: OutboxLimits) {
    this.sessionId = sessionId;
    this.limits = limits;
    this.window = Math.max(MIN_WINDOW, Math.floor(limits.highWatermark / 2));
  }

  /** @param mark of what waits for rooms and came before it; 0: nothing does */
  enter(mark: number): void {
    this.entered++;
    if (mark > 0 && this.#barriers.at(-1)?.mark !== mark) this.#barriers.push({ ordinal: this.entered, mark });
  }

  /** Of the first item: what is left of it; 0: it is a request. */
  get nextBytes(): number {
    const first = this.held?.[0];
    return first !== undefined && 'data' in first ? first.data.length - first.at : 0;
  }

  /** The first item has left. */
  shift(): void {
    this.held?.shift();
    this.left++;
  }

  itemOf(data: Uint8Array | string, frame: HeldFrame): HeldData {
    this.heldBytes += data.length;
    return { data, length: data.length, at: 0, frame };
  }

  /**
   * Where the sender is told to go on, it may fill its memory again: what waits of it is copied. Not the end of an answer,
   * whose bytes are not to be changed.
   * @param item the newest @returns whether the client does
   */
  keepsUp(item: HeldData): boolean {
    if (this.heldBytes >= this.limits.highWatermark) return false;
    const { data, frame } = item;
    const isLast = (frame.flags & frame.lastFlags) !== 0;
    if (typeof data !== 'string' && !isLast && this.held?.at(-1) === item) copy(item, data);
    return true;
  }

  /** What should leave next cannot. */
  get isDetached(): boolean {
    const first = this.held?.[0];
    return first !== undefined && 'data' in first && isDetached(first);
  }

  /** @param areInRing by copy: nobody needs their memory any more */
  haveLeft({ items, bytes }: NextFrame, areInRing = false): void {
    this.heldBytes -= bytes;
    const held = this.held as HeldData[];
    const [first] = held as [HeldData];
    first.at += bytes;
    if (items === 1 && first.at < first.data.length) return;
    if (areInRing) held.slice(0, items).forEach(reuse);
    for (let i = 0; i < items; i++) this.shift();
  }

  /** What is held becomes one send. @param begin null: it has left already */
  keepPlace(begin: RequestFrame | null, end: RequestFrame): void {
    this.keepsPlace = true;
    if (begin !== null) {
      this.held?.unshift(begin);
      this.left--;
    }
    this.held?.push(end);
    this.entered++;
  }

  /** The next item came after something for rooms that has not left. @param sent mark of what has */
  mustWait(sent: number): boolean {
    for (;;) {
      const [barrier] = this.#barriers;
      if (barrier === undefined || this.left + 1 < barrier.ordinal) return false;
      if (sent < barrier.mark) return true;
      this.#barriers.shift();
    }
  }

  /** The connection's record says from now on that something is held. */
  tell(holders: Holders): void {
    if (this.#place === NOWHERE) this.#place = holders.add(this.sessionId);
  }

  drop(holders: Holders): void {
    holders.remove(this.sessionId, this.#place);
    this.#place = NOWHERE;
    this.held = null;
    this.heldBytes = 0;
    this.left = this.entered;
    this.#barriers = [];
  }

  resolveWaiters(): void {
    const waiters = this.waiters ?? [];
    this.waiters = null;
    for (const resolve of waiters) resolve();
  }
}

function reuse({ spare }: HeldData): void {
  if (spare !== undefined && spares.length < MOST_SPARES) spares.push(spare);
}

function copy(item: HeldData, data: Uint8Array): void {
  if (data.length > SPARE_BYTES || data.length < SPARE_BYTES / 2) {
    item.data = Buffer.from(data);
    return;
  }
  item.spare = spares.pop() ?? Buffer.allocUnsafeSlow(SPARE_BYTES);
  item.spare.set(data);
  item.data = item.spare.subarray(0, data.length);
}
