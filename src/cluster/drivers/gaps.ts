/**
 * What other nodes are told of publications that this node could not bring to the engine, and what they tell this one: in the
 * place of what is lost comes a gap, on the same subject. So a loss that only its sender knows of is told to all that miss it.
 */
import type { NodeId } from '../driver.js';
import type { Channel } from './engine.js';
import { encodeGap, readGap } from './envelope.js';

/** Subjects at once, each for up to 128 bytes. Of what is lost beyond, nobody is told. */
const MOST_SUBJECTS = 100_000;

export interface GapsEvents {
  self(): NodeId;
  /** @returns false: later */
  send(channel: Channel, bytes: Buffer): boolean;
  /** Publications of another node are missing here, if that subject is subscribed to. */
  tell(subject: string): void;
}

export class Gaps {
  readonly #events: GapsEvents;
  /** To be said to others. */
  readonly #lost = new Set<string>();
  /** To be told here. After an outage of the engine each node says what it has lost: they are told together. */
  readonly #heard = new Set<string>();

  constructor(events: GapsEvents) {
    this.#events = events;
  }

  /** A publication of this node may not have reached the engine. */
  lost(subject: string): void {
    if (this.#lost.size < MOST_SUBJECTS) this.#lost.add(subject);
  }

  /** @returns false: the message is no gap */
  heard(subject: string, bytes: Buffer): boolean {
    const from = readGap(bytes);
    if (from === undefined) return false;
    // The subscribers here know their own outages.
    if (from !== this.#events.self() && this.#heard.size < MOST_SUBJECTS) this.#heard.add(subject);
    return true;
  }

  /** To be called each heartbeat while the engine is up. */
  tick(): void {
    this.sayLost();
    for (const subject of this.#heard) this.#events.tell(subject);
    this.#heard.clear();
  }

  /** As far as the engine takes it now. */
  sayLost(): void {
    if (this.#lost.size === 0) return;
    const gap = encodeGap(this.#events.self());
    for (const subject of this.#lost) {
      if (!this.#events.send(`subject/${subject}`, gap)) return;
      this.#lost.delete(subject);
    }
  }
}
