/**
 * The rooms of a server: their names, and how many members each has on each reactor. Written by reactors, readable from every
 * process without a message.
 *
 * ```
 * ┌────────┬───────────┬──────────────────────────────────────┐  ┌─────────────────────────┐
 * │ header │ heads     │ records, 144 B each                  │  │ members, mapped apart   │
 * │ 64 B   │ rooms × 4 │ hash, stamp, next, length, name 128 B│  │ rooms × reactors × 4 B  │
 * └────────┴───────────┴──────────────────────────────────────┘  └─────────────────────────┘
 * ```
 * Address space: 64 B + rooms × (148 B + 4 B × reactors): 2.9 MB for 16,384 rooms and 8 reactors. Memory: the pages of the
 * records that were in use at once.
 *
 * A room exists while some reactor counts members in it; each of its counters has one writer, its reactor, so a crash leaves
 * none wrong: the successor of a killed reactor begins with `resetReactor`. The record of a room without members stays in
 * its chain until another name needs it, so there are no tombstones. Records are linked and unlinked under one lock, each by a
 * single store; readers take no lock.
 */
import { randomInt } from 'node:crypto';
import { ROOM_HEADER_BYTES, ROOM_NAME_BYTES, ROOM_RECORD_BYTES } from './layout.js';
import { int32, layoutRecord } from './record.js';
import type { Region } from './region.js';
import { type LockParts, SharedLock } from './shared-lock.js';

export const MAX_ROOM_NAME_BYTES = ROOM_NAME_BYTES;

const header = layoutRecord(
  {
    /** See `SharedLock`. */
    lock: int32(),
    /** Of the hash: clients may choose names, and must not know which ones collide. 0: not chosen yet. */
    seed: int32(),
    /** Grows after each record taken out of its chain. */
    changes: int32(),
    /** Records from here on were never used. */
    used: int32(),
    /** Where the next search for a free record begins. */
    hand: int32(),
    /** Grows when a counter falls to 0. */
    frees: int32(),
    /** 1 + the record of which that was. */
    lastFree: int32(),
    /** 1 + `frees` at the time when no record was free. */
    fullAt: int32(),
  },
  ROOM_HEADER_BYTES,
).at;

const record = layoutRecord(
  {
    hash: int32(),
    /** Odd while the name is written. */
    stamp: int32(),
    /** 1 + the next record of the chain; 0: the last one. */
    next: int32(),
    length: int32(),
    name: int32(ROOM_NAME_BYTES / 4),
  },
  ROOM_RECORD_BYTES,
).at;
const INTS = ROOM_RECORD_BYTES / 4;

/** How long a reactor waits for another process that holds the lock and is stopped. */
const PATIENCE_MS = 1000;
/** Records that are looked at before a new one is used. */
const SHORT_SEARCH = 32;
/** Each further try of a reader needs a change of the board during the one before. */
const MAX_TRIES = 64;

export interface RoomSize {
  readonly name: string;
  readonly members: number;
}

/** Of all rooms together. */
export interface RoomTotals {
  /** Rooms with members. */
  readonly rooms: number;
  /** Memberships: a connection in two rooms counts twice. */
  readonly members: number;
}

/** For tests. */
export interface BoardParts extends Partial<LockParts> {
  /** Called before each step of a join. */
  readonly atStep?: () => void;
}

/** Runs in reactors, which write, and in every process, which reads. */
export class RoomBoard {
  readonly #rooms: number;
  readonly #reactorNum: number;
  readonly #int32: Int32Array;
  readonly #bytes: Buffer;
  readonly #members: Int32Array;
  /** The name asked for, in UTF-8. */
  readonly #asked = Buffer.alloc(ROOM_NAME_BYTES * 3);
  readonly #headsAt = ROOM_HEADER_BYTES / 4;
  readonly #recordsAt: number;
  readonly #seed: number;
  readonly #lock: SharedLock;
  readonly #atStep: () => void;

  constructor(region: Region, { atStep, ...lock }: BoardParts = {}) {
    const { shape, rooms, roomCounters } = region.layout;
    const map = ({ at, bytes }: { at: number; bytes: number }): ArrayBuffer =>
      bytes === 0 ? new ArrayBuffer(0) : region.part(at, bytes);
    this.#rooms = shape.rooms;
    this.#reactorNum = shape.reactorNum;
    this.#int32 = new Int32Array(map(rooms));
    this.#bytes = Buffer.from(this.#int32.buffer);
    this.#members = new Int32Array(map(roomCounters));
    this.#recordsAt = this.#headsAt + shape.rooms;
    this.#lock = new SharedLock(this.#int32, { patienceMs: PATIENCE_MS, ...lock });
    this.#atStep = atStep ?? (() => {});
    this.#seed = shape.rooms === 0 ? 0 : this.#chooseSeed();
  }

  /**
   * Finds or adds the room and counts `amount` members of that reactor in it: as one step, because a room without members
   * may become another one at any time. A reactor calls it for the first of its members, then `add` until it has none left.
   * @param amount at least 1
   * @returns the room's place; −1 when there are `rooms` rooms with members, `name` does not have 1 to 128 bytes, or another
   * process has held the lock for a second (it was stopped in the midst of a join)
   */
  join(name: string, reactor: number, amount = 1): number {
    const length = this.#ask(name);
    if (length === 0 || !this.#lock.acquire(header.lock)) return -1;
    const hash = this.#hash(this.#asked, 0, length);
    const known = this.#find(hash, length);
    const place = known === -1 ? this.#insert(hash, length) : known;
    if (place !== -1) Atomics.add(this.#members, place * this.#reactorNum + reactor, amount);
    this.#atStep();
    this.#lock.release(header.lock);
    return place;
  }

  /** Counts further members, or fewer. After the last one of that reactor has left, `place` is no longer valid for it. */
  add(place: number, reactor: number, amount: number): void {
    const at = place * this.#reactorNum + reactor;
    if (Atomics.add(this.#members, at, amount) + amount === 0) this.#freed(place);
  }

  /** The members of all reactors; 0 where there is no such room. */
  size(name: string): number {
    const length = this.#ask(name);
    if (length === 0) return 0;
    const hash = this.#hash(this.#asked, 0, length);
    let members = 0;
    for (let tries = 0; tries < MAX_TRIES; tries++) {
      const changes = this.#read(header.changes);
      const place = this.#find(hash, length);
      members = place === -1 ? 0 : this.#sum(place);
      if (this.#read(header.changes) === changes) break;
    }
    return members;
  }

  /** All rooms with members, in no order. A room that comes or goes meanwhile may be missing. */
  list(): RoomSize[] {
    const list: RoomSize[] = [];
    const used = this.#usedPlaces;
    for (let place = 0; place < used; place++) {
      const room = this.#sum(place) === 0 ? undefined : this.#look(place);
      if (room !== undefined && room.members > 0) list.push(room);
    }
    return list;
  }

  /** Without a look at names: a millisecond for 100,000 rooms on 8 reactors. */
  totals(): RoomTotals {
    let [rooms, members] = [0, 0];
    this.#eachSize((_place, here) => {
      rooms++;
      members += here;
    });
    return { rooms, members };
  }

  /** The rooms with the most members, these first; at most `count`. Names are read of these only. */
  largest(count: number): RoomSize[] {
    let best: { readonly place: number; readonly members: number }[] = [];
    let least = 0;
    const cut = (): void => {
      best = best.sort((a, b) => b.members - a.members).slice(0, count);
      if (best.length === count) least = best.at(-1)?.members ?? 0;
    };
    this.#eachSize((place, members) => {
      if (members > least) best.push({ place, members });
      if (best.length > 2 * count) cut();
    });
    cut();
    const rooms = best.map(({ place }) => this.#look(place)).filter((room) => room !== undefined && room.members > 0);
    return (rooms as RoomSize[]).sort((a, b) => b.members - a.members || (a.name < b.name ? -1 : 1));
  }

  /** Of rooms with members; read without `Atomics`, which are calls on Node 20, so they may be slightly old. */
  #eachSize(take: (place: number, members: number) => void): void {
    const counters = this.#members;
    const reactorNum = this.#reactorNum;
    const used = this.#usedPlaces;
    for (let place = 0, at = 0; place < used; place++) {
      let members = 0;
      for (const end = at + reactorNum; at < end; at++) members += counters[at] as number;
      if (members !== 0) take(place, members);
    }
  }

  /** That reactor has no members left: its process was killed. Called before its successor joins. */
  resetReactor(reactor: number): void {
    const used = this.#rooms === 0 ? 0 : this.#read(header.used);
    for (let place = 0; place < used; place++) {
      if (Atomics.exchange(this.#members, place * this.#reactorNum + reactor, 0) !== 0) this.#freed(place);
    }
  }

  /** Records from there on were never used. */
  get #usedPlaces(): number {
    return this.#rooms === 0 ? 0 : this.#read(header.used);
  }

  #chooseSeed(): number {
    const own = randomInt(1, 2 ** 31);
    return Atomics.compareExchange(this.#int32, header.seed, 0, own) || own;
  }

  /** @returns its length in `asked`; 0 where it cannot be the name of a room */
  #ask(name: string): number {
    if (this.#rooms === 0 || name.length > ROOM_NAME_BYTES) return 0;
    const length = this.#asked.write(name);
    return length > ROOM_NAME_BYTES ? 0 : length;
  }

  #hash(bytes: Buffer, from: number, to: number): number {
    let value = this.#seed;
    for (let i = from; i < to; i++) {
      value = Math.imul(value ^ (bytes[i] ?? 0), 0x5bd1e995);
      value ^= value >>> 15;
    }
    return value | 0;
  }

  #read(index: number): number {
    return Atomics.load(this.#int32, index);
  }

  #field(place: number, field: number): number {
    return this.#recordsAt + place * INTS + field;
  }

  #headOf(hash: number): number {
    return this.#headsAt + (hash & (this.#rooms - 1));
  }

  #sum(place: number): number {
    let members = 0;
    const from = place * this.#reactorNum;
    for (let at = from; at < from + this.#reactorNum; at++) members += Atomics.load(this.#members, at);
    return members;
  }

  #isFree(place: number): boolean {
    const from = place * this.#reactorNum;
    for (let at = from; at < from + this.#reactorNum; at++) if (Atomics.load(this.#members, at) !== 0) return false;
    return true;
  }

  /** As many rooms have members as there may be: known without a look at all records, until one becomes free. */
  get isFull(): boolean {
    return this.#rooms > 0 && this.#read(header.fullAt) === ((this.#read(header.frees) + 1) | 0);
  }

  #freed(place: number): void {
    Atomics.store(this.#int32, header.lastFree, place + 1);
    Atomics.add(this.#int32, header.frees, 1);
  }

  /** The place of the name in `asked`. A reader without the lock may be led astray: at most once through all records. */
  #find(hash: number, length: number): number {
    let next = this.#read(this.#headOf(hash));
    for (let steps = 0; next !== 0 && steps < this.#rooms; steps++) {
      const place = next - 1;
      if (this.#read(this.#field(place, record.hash)) === hash && this.#isNamed(place, length)) return place;
      next = this.#read(this.#field(place, record.next));
    }
    return -1;
  }

  #isNamed(place: number, length: number): boolean {
    if (this.#read(this.#field(place, record.length)) !== length) return false;
    const at = this.#field(place, record.name) * 4;
    return this.#bytes.compare(this.#asked, 0, length, at, at + length) === 0;
  }

  // ——— with the lock held; a process may be killed before and after each store ———

  #insert(hash: number, length: number): number {
    const place = this.isFull ? -1 : this.#takeFree();
    if (place === -1) return -1;
    this.#unlink(place);
    this.#name(place, hash, length);
    const head = this.#headOf(hash);
    Atomics.store(this.#int32, this.#field(place, record.next), this.#read(head));
    this.#atStep();
    Atomics.store(this.#int32, head, place + 1);
    this.#atStep();
    return place;
  }

  /** The one that became free last, one nearby, one never used, any: in this order, so that few pages are used. */
  #takeFree(): number {
    const last = this.#read(header.lastFree) - 1;
    if (last >= 0 && this.#isFree(last)) return last;
    const used = this.#read(header.used);
    const nearby = this.#search(Math.min(SHORT_SEARCH, used), used);
    if (nearby !== -1) return nearby;
    if (used < this.#rooms) return Atomics.add(this.#int32, header.used, 1);
    const frees = this.#read(header.frees);
    const any = this.#search(used, used);
    if (any === -1) Atomics.store(this.#int32, header.fullAt, (frees + 1) | 0);
    return any;
  }

  #search(count: number, used: number): number {
    const from = this.#read(header.hand);
    for (let i = 0; i < count; i++) {
      const place = (from + i) % used;
      if (!this.#isFree(place)) continue;
      Atomics.store(this.#int32, header.hand, place + 1);
      return place;
    }
    Atomics.store(this.#int32, header.hand, (from + count) % Math.max(used, 1));
    return -1;
  }

  /** Out of its chain, where it is in one. */
  #unlink(place: number): void {
    let link = this.#headOf(this.#read(this.#field(place, record.hash)));
    for (let next = this.#read(link); next !== 0; next = this.#read(link)) {
      if (next === place + 1) {
        Atomics.store(this.#int32, link, this.#read(this.#field(place, record.next)));
        break;
      }
      link = this.#field(next - 1, record.next);
    }
    this.#atStep();
    // After that no reader that begins comes upon it.
    Atomics.add(this.#int32, header.changes, 1);
    this.#atStep();
  }

  #name(place: number, hash: number, length: number): void {
    const stamp = this.#field(place, record.stamp);
    const odd = this.#read(stamp) | 1;
    Atomics.store(this.#int32, stamp, odd);
    this.#atStep();
    Atomics.store(this.#int32, this.#field(place, record.hash), hash);
    this.#atStep();
    Atomics.store(this.#int32, this.#field(place, record.length), length);
    this.#bytes.set(this.#asked.subarray(0, length), this.#field(place, record.name) * 4);
    this.#atStep();
    Atomics.store(this.#int32, stamp, (odd + 1) | 0);
    this.#atStep();
  }

  // ——— without it ———

  /** A room by its place. @returns undefined while it is being written */
  #look(place: number): RoomSize | undefined {
    const stamp = this.#read(this.#field(place, record.stamp));
    const length = this.#read(this.#field(place, record.length));
    const at = this.#field(place, record.name) * 4;
    const name = Buffer.from(this.#bytes.subarray(at, at + Math.min(length, ROOM_NAME_BYTES)));
    const hash = this.#read(this.#field(place, record.hash));
    const members = this.#sum(place);
    const isWhole = (stamp & 1) === 0 && this.#read(this.#field(place, record.stamp)) === stamp;
    return isWhole && this.#hash(name, 0, name.length) === hash ? { name: name.toString('utf8'), members } : undefined;
  }
}
