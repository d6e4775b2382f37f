/** The subscriptions of one process to a topic: they read the ring together, through one slot. */
import { deserialize } from 'node:v8';
import { inOwnContext } from '../../util/own-context.js';
import { report } from '../report.js';
import { ourWaiting, type Waiter, type Waiting } from '../waiting/waiting.js';
import type { Message, MessageRing, Place } from './message-ring.js';

/** After a process stopped in the midst of its work, the loop of this one is not held up by looking again in each turn. */
const RETRY_MS = 20;

export interface Subscription<T> {
  readonly call: (value: T) => unknown;
  readonly onGap: ((gap: { readonly missed: number }) => unknown) | undefined;
  /** The first message that it gets. */
  readonly from: number;
}

/** What tests replace. */
export interface SubscriptionsParts {
  readonly waiting?: Waiting;
  /** A callback has thrown. Default: throws it as an uncaught exception. */
  readonly failed?: (error: unknown) => void;
}

export class Subscriptions<T> {
  readonly #ring: MessageRing;
  readonly #waiting: Waiting;
  readonly #failed: (error: unknown) => void;
  readonly #subscriptions = new Set<Subscription<T>>();
  readonly #waiter: Waiter = { isAwaited: false, look: () => this.#look(), lookForDead: () => {} };
  #slot = -1;
  #place: Place = { position: 0, sequence: 0 };
  /** Nothing is new as long as the ring has this one. */
  #seenVersion: number | undefined;
  #retryAtMs = 0;
  #hasReported = false;

  constructor(ring: MessageRing, { waiting = ourWaiting, failed = throwLater }: SubscriptionsParts = {}) {
    this.#ring = ring;
    this.#waiting = waiting;
    this.#failed = failed;
  }

  /** @returns ends it. @throws ServerError ERR_SHARED_STUCK, ERR_SHARED_WAITERS */
  add({ call, onGap }: Omit<Subscription<T>, 'from'>): () => void {
    const from = this.#subscriptions.size === 0 ? this.#begin() : this.#ring.now().sequence;
    const subscription = { call, onGap, from };
    this.#subscriptions.add(subscription);
    return () => this.#remove(subscription);
  }

  #begin(): number {
    const { slot, place } = this.#ring.enter();
    this.#slot = slot;
    this.#place = place;
    this.#seenVersion = undefined;
    this.#waiting.add(this.#waiter, this.#ring.object.owners);
    return place.sequence;
  }

  #remove(subscription: Subscription<T>): void {
    if (!this.#subscriptions.delete(subscription) || this.#subscriptions.size > 0) return;
    this.#waiting.remove(this.#waiter);
    this.#ring.leave(this.#slot);
  }

  #look(): void {
    const { version } = this.#ring;
    if (version === this.#seenVersion || this.#waiting.clock.now() < this.#retryAtMs) return;
    const expected = this.#place.sequence;
    const batch = this.#ring.read(this.#slot, this.#place);
    if (batch === undefined) {
      this.#retryAtMs = this.#waiting.clock.now() + RETRY_MS;
    } else {
      this.#place = batch.next;
      // Read before the batch: a message that came in between costs one look more.
      this.#seenVersion = batch.isLast ? version : undefined;
      this.#tellGap(expected, batch.oldest);
      if (batch.messages.length === 0) return;
      for (const message of batch.messages) this.#deliver(message);
      if (!batch.isLast) this.#waiting.lookSoon();
    }
    // The timer begins anew with its shortest delay.
    if (this.#subscriptions.size > 0) this.#waiting.add(this.#waiter, this.#ring.object.owners);
  }

  #tellGap(expected: number, oldest: number): void {
    for (const subscription of [...this.#subscriptions]) {
      const missed = oldest - Math.max(expected, subscription.from);
      if (missed > 0) this.#call(subscription, () => subscription.onGap?.({ missed }));
    }
  }

  #deliver({ sequence, value }: Message): void {
    const meant = [...this.#subscriptions].filter(({ from }) => from <= sequence);
    if (meant.length === 0) return;
    const read = this.#read(value);
    for (const subscription of meant)
      if (read !== undefined) this.#call(subscription, () => subscription.call(read.value));
  }

  /** Publishers are told of what cannot be read: such a message ends no process. @returns undefined: it is passed over */
  #read(bytes: Buffer): { readonly value: T } | undefined {
    try {
      return { value: deserialize(bytes) as T };
    } catch (error) {
      this.#ring.countUnreadable();
      if (!this.#hasReported)
        report('a message of a topic cannot be read, and is passed over', { topic: this.#ring.object.name, error });
      this.#hasReported = true;
      return undefined;
    }
  }

  /** Not one that a callback before has ended. */
  #call(subscription: Subscription<T>, callback: () => unknown): void {
    if (this.#subscriptions.has(subscription)) this.#try(() => inOwnContext(callback, undefined));
  }

  #try(callback: () => unknown): void {
    try {
      callback();
    } catch (error) {
      this.#failed(error);
    }
  }
}

/** As from a callback of Node: an uncaught exception, once the others have been called. */
function throwLater(error: unknown): void {
  setImmediate(() => {
    throw error;
  });
}
