/** The last processes of the server that have ended, and why. Runs in the master. */
import type { ProcessEnd } from '../../ipc/message.js';
import { Ring } from './ring.js';

const KEPT = 100;

/** A process that has ended, other than in the shutdown. */
export interface EndedProcess extends ProcessEnd {
  /** From 1; grows by one with each end. */
  readonly number: number;
  /** When the master was told, Unix time in ms. */
  readonly at: number;
}

export interface EndReport {
  /** The newest first. */
  readonly ends: readonly EndedProcess[];
  /** Number of the newest one; 0: there is none. */
  readonly newest: number;
}

export class Ends {
  readonly #ring = new Ring<EndedProcess>(KEPT);
  readonly #now: () => number;

  /** @param now Unix time in ms */
  constructor(now: () => number) {
    this.#now = now;
  }

  add(end: ProcessEnd): void {
    this.#ring.push((number) => ({ number, at: this.#now(), ...end }));
  }

  get newest(): number {
    return this.#ring.newest;
  }

  report(count: number): EndReport {
    return { ends: this.#ring.latest(count), newest: this.#ring.newest };
  }
}
