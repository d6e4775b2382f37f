/**
 * What other nodes are told of publications that this node could not bring to the engine, and what they tell this one: in the
 * place of what is lost comes a gap, on the same subject. So a loss that only its sender knows of is told to all that miss it.
 */
import type { NodeId } from '../driver.js';
import type { Channel } from './engine.js';
import { encodeGap, readGap } from './envelope.js';

/** Subjects at once, each for up to 128 bytes. Beyond, the gap is one of all. */
const MOST_SUBJECTS = 100_000;

/** No publication has this subject; a gap of it is one of all subjects. */
export const EVERY_SUBJECT = '';

export interface GapsEvents {
  self(): NodeId;
  /** @returns false: later */
  send(channel: Channel, bytes: Buffer): boolean;
  /** Publications of another node are missing here, if that subject is subscribed to. */
  tell(subject: string): void;
  /** The same of all there are. */
  tellAll(): void;
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
    noteGap(subject, this.#lost);
  }

  /** What others are still to be told. */
  untold(): string[] {
    return [...this.#lost];
  }

  /** @returns false: the message is no gap */
  heard(subject: string, bytes: Buffer): boolean {
    const from = readGap(bytes);
    if (from === undefined) return false;
    // The subscribers here know their own outages.
    if (from !== this.#events.self()) noteGap(subject, this.#heard);
    return true;
  }

  /** To be called each heartbeat while the engine is up. */
  tick(): void {
    this.sayLost();
    if (this.#heard.has(EVERY_SUBJECT)) this.#events.tellAll();
    else for (const subject of this.#heard) this.#events.tell(subject);
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

/** Bounded: with too many it becomes that of all. */
export function noteGap(subject: string, subjects: Set<string>): void {
  if (subjects.has(EVERY_SUBJECT)) return;
  const isAll = subject === EVERY_SUBJECT || subjects.size >= MOST_SUBJECTS;
  if (isAll) subjects.clear();
  subjects.add(isAll ? EVERY_SUBJECT : subject);
}
