/** A process's ways to the reactors: frames are shown at once, a reactor is woken once per turn. Runs where sending does. */
import { frameBytes } from './frame.js';
import type { LocalLink } from './reply.js';
import type { RequestFrame } from './request-frame.js';
import type { RingWriter } from './ring.js';
import type { Wakes } from './sleep.js';

export interface ReactorLink {
  readonly ring: RingWriter;
  readonly waker: Wakes;
  /** Was given something since the last flush. */
  touched?: boolean;
  /** Where the reactor is in this thread (BASE mode). */
  readonly direct?: LocalLink | undefined;
}

export class ReactorLinks {
  readonly #links: readonly ReactorLink[];
  #flushScheduled = false;
  /** While true the owner calls `flush` at the end of its turn. */
  inTurn = false;

  constructor(links: readonly ReactorLink[]) {
    this.#links = links;
  }

  get count(): number {
    return this.#links.length;
  }

  /** Changes with each frame to any of them. */
  get written(): number {
    return this.#links.reduce((sum, { ring }) => sum + ring.position, 0);
  }

  of(reactor: number): ReactorLink {
    const link = this.#links[reactor];
    if (link === undefined) throw new RangeError(`there is no reactor ${reactor} of ${this.#links.length}`);
    return link;
  }

  /** @returns false when the ring has no room: nothing is written */
  push(link: ReactorLink, { type, sessionId, flags, detail, payload }: RequestFrame): boolean {
    const { ring } = link;
    const needed = frameBytes(payload.length);
    if (ring.room(needed) < needed) return false;
    ring.bytes.set(payload, ring.payloadAt);
    ring.commit(type, flags, detail, sessionId, payload.length);
    this.publish(link);
    return true;
  }

  publish(link: ReactorLink): void {
    link.ring.publish();
    link.touched = true;
    if (this.inTurn || this.#flushScheduled) return;
    this.#flushScheduled = true;
    queueMicrotask(() => this.flush());
  }

  /** Wakes the reactors that were given something, if they sleep. */
  flush(): void {
    this.#flushScheduled = false;
    for (const link of this.#links) {
      if (link.touched) link.waker.wake();
      link.touched = false;
    }
  }
}
