/**
 * Which processes hold something for a connection: what was sent and found no room, in the memory of its sender. When one
 * of them dies, that is lost, and whatever followed would be taken for what comes next. Each writes its pid into the
 * connection's record; the reactor that owns the connection looks after a death.
 */
import { INTS, MOST_HOLDERS, record } from './connection-record.js';
import type { Region } from './region.js';

/** More processes than there is place for: it stays until the connection ends, and each death counts as one of theirs. */
const MANY = -1;

export class Holders {
  readonly #int32: Int32Array;
  readonly #at: number;

  constructor(region: Region) {
    this.#int32 = region.int32;
    this.#at = region.layout.connectionsAt / 4 + record.holders;
  }

  /** Called by the process itself. */
  add(slot: number, pid = process.pid): void {
    const first = this.#at + slot * INTS;
    for (let i = first; i < first + MOST_HOLDERS; i++) {
      const before = Atomics.compareExchange(this.#int32, i, 0, pid);
      if (before === 0 || before === pid) return;
    }
    Atomics.store(this.#int32, first, MANY);
  }

  /** Called by the process itself: nothing is held any more. */
  remove(slot: number, pid = process.pid): void {
    const first = this.#at + slot * INTS;
    for (let i = first; i < first + MOST_HOLDERS; i++) if (this.#int32[i] === pid) Atomics.store(this.#int32, i, 0);
  }

  /** A process has died. @returns true when it, or another that lives no more, held something; each counts once */
  takeDead(slot: number, isAlive: (pid: number) => boolean): boolean {
    const first = this.#at + slot * INTS;
    let found = false;
    for (let i = first; i < first + MOST_HOLDERS; i++) {
      const pid = this.#int32[i] ?? 0;
      if (pid === 0 || (pid !== MANY && isAlive(pid))) continue;
      if (pid !== MANY) Atomics.compareExchange(this.#int32, i, pid, 0);
      found = true;
    }
    return found;
  }

  /** The slot has a new connection. Called by its reactor. */
  clear(slot: number): void {
    const first = this.#at + slot * INTS;
    this.#int32.fill(0, first, first + MOST_HOLDERS);
  }
}
