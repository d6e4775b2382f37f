/**
 * What other nodes are told of publications that this node could not bring to the engine, and what they tell this one: in the
 * place of what is lost comes a gap, on the same subject. So a loss that only its sender knows of is told to all that miss it,
 * the subscribers of its own node among them.
 */
import type { NodeId } from '../driver.js';
import { type Channel, channelOfSubject, EVERY_SUBJECT } from './engine.js';
import { encodeGap, readGap } from './envelope.js';

/** Subjects at once, each for up to 128 bytes. Beyond, the gap is one of all. */
const MOST_SUBJECTS = 100_000;

/** Gaps of refused subjects that are tried again at one heartbeat: each is a line in the log of the engine. */
const MOST_TRIES = 100;

export interface GapsEvents {
  self(): NodeId;
  /** @returns false: later */
  send(channel: Channel, bytes: Buffer): boolean;
  /** Publications of another node, or of this one, are missing here, if that subject is subscribed to. */
  tell(subject: string, isOwn: boolean): void;
  /** The same of all there are. */
  tellAll(isOwn: boolean): void;
}

export class Gaps {
  readonly #events: GapsEvents;
  /** To be said to others. */
  readonly #lost = new Set<string>();
  /** The engine let this node say nothing there. */
  readonly #refused = new Set<string>();
  /** To be told here. After an outage of the engine each node says what it has lost: they are told together. */
  readonly #heard = new Set<string>();
  /** The same, where it was this node that has lost them. */
  readonly #own = new Set<string>();

  constructor(events: GapsEvents) {
    this.#events = events;
  }

  /** A publication of this node may not have reached the engine. */
  lost(subject: string): void {
    noteGap(subject, this.#lost);
  }

  /** The engine does not let this node send to that subject: what it has sent is lost, and a gap may be refused too. */
  refused(subject: string): void {
    noteGap(subject, this.#refused);
  }

  /** What this node has published and lost would have come to its own subscribers as well. */
  lostHere(subject: string): void {
    noteGap(subject, this.#own);
  }

  /** What others are still to be told. */
  untold(): string[] {
    return [...this.#lost, ...this.#refused];
  }

  /** @returns false: the message is no gap */
  heard(subject: string, bytes: Buffer): boolean {
    const from = readGap(bytes);
    if (from === undefined) return false;
    // What this node has lost was noted by `lostHere`, and the subscribers here know its outages.
    if (from !== this.#events.self()) noteGap(subject, this.#heard);
    return true;
  }

  /** To be called each heartbeat while the engine is up. */
  tick(): void {
    this.sayLost();
    this.#tryRefused();
    this.#tell(this.#heard, false);
    this.#tell(this.#own, true);
  }

  #tell(subjects: Set<string>, isOwn: boolean): void {
    if (subjects.has(EVERY_SUBJECT)) this.#events.tellAll(isOwn);
    else for (const subject of subjects) this.#events.tell(subject, isOwn);
    subjects.clear();
  }

  /** One after the other: what is refused again comes behind the others. */
  #tryRefused(): void {
    const gap = encodeGap(this.#events.self());
    for (const subject of [...this.#refused].slice(0, MOST_TRIES)) {
      if (!this.#events.send(channelOfSubject(subject), gap)) return;
      this.#refused.delete(subject);
    }
  }

  /** As far as the engine takes it now. */
  sayLost(send: GapsEvents['send'] = this.#events.send): void {
    if (this.#lost.size === 0) return;
    const gap = encodeGap(this.#events.self());
    for (const subject of this.#lost) {
      if (!send(channelOfSubject(subject), gap)) return;
      this.#lost.delete(subject);
    }
  }

  /** Of every subject, now: with what is to be told at the next heartbeat. */
  tellEvery(): void {
    this.#heard.clear();
    this.#events.tellAll(false);
  }
}

/** Bounded: with too many it becomes that of all. */
export function noteGap(subject: string, subjects: Set<string>): void {
  if (subjects.has(EVERY_SUBJECT)) return;
  const isAll = subject === EVERY_SUBJECT || subjects.size >= MOST_SUBJECTS;
  if (isAll) subjects.clear();
  subjects.add(isAll ? EVERY_SUBJECT : subject);
}
