/**
 * Equal questions at the same time share one answer. One that comes while another is under way does not take that one's answer,
 * part of which may be older than the question: all that come meanwhile share the next, which begins when the one under way has
 * ended, or has taken long. Where that one fails, so do they.
 */
import { ServerError } from '../errors/index.js';
import { within } from '../util/within.js';

interface UnderWay<T> {
  readonly answer: Promise<T>;
  /** For those that have come since. */
  next: Promise<T> | undefined;
}

export class EqualQuestions<T> {
  readonly #mostAskers: number;
  readonly #longestWaitMs: number;
  readonly #byKey = new Map<string, UnderWay<T>>();
  #askers = 0;

  /** @param mostAskers that wait at once, whatever they ask @param longestWaitMs how long a next question waits for its turn */
  constructor(mostAskers: number, longestWaitMs: number) {
    this.#mostAskers = mostAskers;
    this.#longestWaitMs = longestWaitMs;
  }

  /** Rejects with ERR_CLUSTER_FULL, or as `find`. The answer belongs to all that have asked. */
  async ask(key: string, find: () => Promise<T>): Promise<T> {
    if (this.#askers >= this.#mostAskers) {
      throw new ServerError('ERR_CLUSTER_FULL', { what: 'questions under way', most: this.#mostAskers });
    }
    this.#askers++;
    try {
      return await this.#share(key, find);
    } finally {
      this.#askers--;
    }
  }

  #share(key: string, find: () => Promise<T>): Promise<T> {
    const underWay = this.#byKey.get(key);
    if (underWay === undefined) return this.#begin(key, find);
    underWay.next ??= this.#beginAfter(underWay.answer, key, find);
    return underWay.next;
  }

  async #beginAfter(before: Promise<T>, key: string, find: () => Promise<T>): Promise<T> {
    await within(before, this.#longestWaitMs);
    return await this.#begin(key, find);
  }

  #begin(key: string, find: () => Promise<T>): Promise<T> {
    const underWay: UnderWay<T> = { answer: find(), next: undefined };
    this.#byKey.set(key, underWay);
    const forget = (): void => {
      if (this.#byKey.get(key) === underWay) this.#byKey.delete(key);
    };
    // Where another one follows, it takes the place.
    underWay.answer.then(() => underWay.next === undefined && forget(), forget);
    return underWay.answer;
  }
}
