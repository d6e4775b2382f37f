/**
 * Which processes hold something for a connection: what was sent and found no room, in the memory of its sender. When one
 * of them dies, that is lost, and whatever followed would be taken for what comes next. Each writes its pid into the
 * connection's record; the reactor that owns the connection looks after a death.
 *
 * Those that find no place there are counted, in the connection's record and in their own. The count does not say who they
 * are: when a process has ended that was counted anywhere, whoever has reaped it marks all connections with such a count.
 *
 * ```
 *  31            16 15     14         0
 * ┌────────────────┬──────┬────────────┐   The generation is the session's: who is late counts for no later one.
 * │ generation     │ lost │ count      │
 * └────────────────┴──────┴────────────┘
 * ```
 */
import { INTS, MOST_HOLDERS, record } from './connection-record.js';
import { ProcessRecord } from './process-board.js';
import type { Region } from './region.js';

/** What a process that holds something has to remember: its place in the record, or one of these. */
export const NOWHERE = -1;
const COUNTED = MOST_HOLDERS;

const COUNT_MASK = 0x7fff;
const LOST = 0x8000;
const GENERATION_SHIFT = 16;

export class Holders {
  readonly #region: Region;
  readonly #int32: Int32Array;
  readonly #at: number;
  readonly #countsAt: number;
  readonly #slots: number;
  readonly #own: ProcessRecord | undefined;

  /** @param peer of this process, where it sends to connections */
  constructor(region: Region, peer?: number) {
    this.#region = region;
    this.#int32 = region.int32;
    this.#at = region.layout.connectionsAt / 4 + record.holders;
    this.#countsAt = region.layout.connectionsAt / 4 + record.moreHolders;
    this.#slots = region.shape.slots;
    this.#own = peer === undefined ? undefined : ProcessRecord.ofPeer(region, peer);
  }

  /** Called by the process itself. @returns its place, for `remove` */
  add(sessionId: number, pid = process.pid): number {
    const slot = this.#slotOf(sessionId);
    if (!isOf(Atomics.load(this.#int32, this.#countsAt + slot * INTS), this.#generationOf(sessionId))) return NOWHERE;
    const first = this.#at + slot * INTS;
    for (let place = 0; place < MOST_HOLDERS; place++) {
      const before = Atomics.compareExchange(this.#int32, first + place, 0, pid);
      if (before === 0 || before === pid) return place;
    }
    this.#own?.countHolds(1);
    if (this.#count(sessionId, 1)) return COUNTED;
    this.#own?.countHolds(-1);
    return NOWHERE;
  }

  /** Called by the process itself: nothing is held any more. @param place what `add` has answered */
  remove(sessionId: number, place: number, pid = process.pid): void {
    if (place === NOWHERE) return;
    if (place === COUNTED) {
      this.#count(sessionId, -1);
      this.#own?.countHolds(-1);
      return;
    }
    // Its reactor may be taking out the dead, and another process may be given the place.
    Atomics.compareExchange(this.#int32, this.#at + this.#slotOf(sessionId) * INTS + place, pid, 0);
  }

  /** A process has died. @returns true when it, or another that lives no more, held something; each counts once */
  takeDead(slot: number, isAlive: (pid: number) => boolean): boolean {
    const first = this.#at + slot * INTS;
    let found = false;
    for (let i = first; i < first + MOST_HOLDERS; i++) {
      const pid = this.#int32[i] ?? 0;
      if (pid === 0 || isAlive(pid)) continue;
      Atomics.compareExchange(this.#int32, i, pid, 0);
      found = true;
    }
    const at = this.#countsAt + slot * INTS;
    if ((Atomics.load(this.#int32, at) & LOST) === 0) return found;
    Atomics.and(this.#int32, at, ~LOST);
    return true;
  }

  /** The process of this peer has been reaped. Called before its death is counted, and before another one has its record. */
  reaped(peer: number): void {
    if (!ProcessRecord.ofPeer(this.#region, peer).takeHolds()) return;
    for (let slot = 0; slot < this.#slots; slot++) this.#markLost(this.#countsAt + slot * INTS);
  }

  /** The slot has a new connection. Called by its reactor. */
  clear(sessionId: number): void {
    const slot = this.#slotOf(sessionId);
    const first = this.#at + slot * INTS;
    Atomics.store(this.#int32, this.#countsAt + slot * INTS, this.#generationOf(sessionId) << GENERATION_SHIFT);
    this.#int32.fill(0, first, first + MOST_HOLDERS);
  }

  /** @returns false: the slot has another connection */
  #count(sessionId: number, change: 1 | -1): boolean {
    const at = this.#countsAt + this.#slotOf(sessionId) * INTS;
    const generation = this.#generationOf(sessionId);
    for (;;) {
      const before = Atomics.load(this.#int32, at);
      if (!isOf(before, generation)) return false;
      if (Atomics.compareExchange(this.#int32, at, before, before + change) === before) return true;
    }
  }

  #markLost(at: number): void {
    for (;;) {
      const before = Atomics.load(this.#int32, at);
      if ((before & COUNT_MASK) === 0) return;
      if (Atomics.compareExchange(this.#int32, at, before, before | LOST) === before) return;
    }
  }

  #slotOf(sessionId: number): number {
    return (sessionId >>> 0) & (this.#slots - 1);
  }

  #generationOf(sessionId: number): number {
    return Math.floor(sessionId / this.#slots) & 0xffff;
  }
}

function isOf(word: number, generation: number): boolean {
  return word >>> GENERATION_SHIFT === generation;
}
