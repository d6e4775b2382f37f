import { type Deferred, deferred } from '../../util/deferred.js';
import type { NodeId, Subscription } from '../driver.js';
import type { Channel, Link } from './engine.js';
import { decodePublication } from './envelope.js';

export type Subscriber = (data: Uint8Array, from: NodeId) => void;

interface Subject {
  readonly channel: Channel;
  readonly subscribers: Set<{ readonly fn: Subscriber }>;
  confirmed: Deferred<void>;
  isConfirmed: boolean;
  /** The engine was lost, or away, since it is subscribed to. */
  hasGap: boolean;
}

/** The local subscribers: one subscription at the engine per subject, whatever their number. */
export class Subjects {
  readonly #subjects = new Map<string, Subject>();
  #link: Link | undefined;
  /** There was a link. */
  #wasAttached = false;
  #delivered = 0;

  /** Calls of subscribers. */
  get delivered(): number {
    return this.#delivered;
  }

  subscribe(name: string, fn: Subscriber): Subscription {
    const subject = this.#subjects.get(name) ?? this.#add(name);
    const subscriber = { fn };
    subject.subscribers.add(subscriber);
    return { subject: name, ready: subject.confirmed.promise, close: () => this.#close(name, subject, subscriber) };
  }

  deliver(name: string, bytes: Buffer): void {
    const subject = this.#subjects.get(name);
    const publication = decodePublication(bytes);
    if (subject === undefined || publication === undefined) return;
    for (const { fn } of subject.subscribers) {
      this.#delivered++;
      callSafely(() => fn(publication.payload, publication.from));
    }
  }

  /** Subscribes to all there are, over a new link; later ones use it at once. */
  async attach(link: Link): Promise<void> {
    this.#link = link;
    this.#wasAttached = true;
    const subjects = [...this.#subjects.values()];
    if (subjects.length > 0) await link.subscribe(subjects.map(({ channel }) => channel));
    for (const subject of subjects) confirm(subject);
  }

  detach(): void {
    this.#link = undefined;
    for (const subject of this.#subjects.values()) {
      subject.hasGap = true;
      if (subject.isConfirmed) Object.assign(subject, { confirmed: deferred(), isConfirmed: false });
    }
  }

  has(name: string): boolean {
    return this.#subjects.has(name);
  }

  /** With a local subscriber. */
  names(): string[] {
    return [...this.#subjects.keys()];
  }

  /** The subjects whose publications may have been missed, each told once. */
  takeGaps(): string[] {
    const gaps = [...this.#subjects].filter(([, subject]) => subject.hasGap);
    for (const [, subject] of gaps) subject.hasGap = false;
    return gaps.map(([name]) => name);
  }

  #add(name: string): Subject {
    const subject: Subject = {
      channel: `subject/${name}`,
      subscribers: new Set(),
      confirmed: deferred(),
      isConfirmed: false,
      // Whoever joins while the engine is away misses what others say until it is back.
      hasGap: this.#wasAttached && this.#link === undefined,
    };
    this.#subjects.set(name, subject);
    // A link that ends before it confirms, or because it is refused, is replaced, and `attach` asks again.
    this.#link?.subscribe([subject.channel]).then(
      () => confirm(subject),
      () => {},
    );
    return subject;
  }

  #close(name: string, subject: Subject, subscriber: { readonly fn: Subscriber }): void {
    if (!subject.subscribers.delete(subscriber) || subject.subscribers.size > 0) return;
    this.#subjects.delete(name);
    this.#link?.unsubscribe(subject.channel);
  }
}

function confirm(subject: Subject): void {
  subject.isConfirmed = true;
  subject.confirmed.resolve();
}

/** What a user's function throws ends the process as an uncaught exception, not the reader of a connection. */
export function callSafely(call: () => void): void {
  try {
    call();
  } catch (error) {
    process.nextTick(() => {
      throw error;
    });
  }
}
