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
  /** A piece has just found no room, and the reactor was asked to ring when there is. */
  lacksRoom?: boolean;
  /** Where the reactor is in this thread (BASE mode). */
  readonly direct?: LocalLink | undefined;
}

export class ReactorLinks {
  readonly #links: readonly ReactorLink[];
  #flushScheduled = false;
  #inTurn = false;

  constructor(links: readonly ReactorLink[]) {
    this.#links = links;
  }

  get count(): number {
    return this.#links.length;
  }

  /** While true the owner calls `flush` at the end of its turn. */
  set inTurn(on: boolean) {
    this.#inTurn = on;
    if (on) for (const { ring } of this.#links) ring.rewind();
  }

  /** Changes with each frame to any of them. */
  get written(): number {
    return this.#links.reduce((sum, { ring }) => sum + ring.position, 0);
  }

  /** All that waits looks for room anew. */
  lookAnew(): void {
    for (const link of this.#links) link.lacksRoom = false;
  }

  /** @returns false: its reactor rings when half of the ring is free */
  hasRoom(link: ReactorLink, needed: number): boolean {
    if (link.ring.hasRoom(needed) || !link.ring.waitForRoom()) return true;
    link.lacksRoom = true;
    return false;
  }

  /** One look at a full ring is enough, however many wait for it; what is short may find room all the same. */
  mayTake({ lacksRoom, ring }: ReactorLink, needed: number): boolean {
    return lacksRoom !== true || ring.knownRoom >= needed;
  }

  of(reactor: number): ReactorLink {
    const link = this.#links[reactor];
    if (link === undefined) throw new RangeError(`there is no reactor ${reactor} of ${this.#links.length}`);
    return link;
  }

  /** @returns false when the ring has no room: nothing is written */
  push(link: ReactorLink, { type, sessionId, flags, detail, payload }: RequestFrame): boolean {
    const { ring } = link;
    if (!ring.hasRoom(frameBytes(payload.length))) return false;
    ring.bytes.set(payload, ring.payloadAt);
    ring.commit(type, flags, detail, sessionId, payload.length);
    this.publish(link);
    return true;
  }

  publish(link: ReactorLink): void {
    link.ring.publish();
    link.touched = true;
    if (this.#inTurn || this.#flushScheduled) return;
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
