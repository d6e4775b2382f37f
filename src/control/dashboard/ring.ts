/** The newest of some things, numbered from 1. */
export class Ring<T> {
  readonly #limit: number;
  readonly #kept: T[] = [];
  #newest = 0;

  constructor(limit: number) {
    this.#limit = limit;
  }

  /** @param make makes it from its number */
  push(make: (number: number) => T): void {
    this.#kept.push(make(++this.#newest));
    if (this.#kept.length > this.#limit) this.#kept.shift();
  }

  /** Number of the last one; 0: there is none. */
  get newest(): number {
    return this.#newest;
  }

  get last(): T | undefined {
    return this.#kept.at(-1);
  }

  /** The oldest first. */
  all(): readonly T[] {
    return [...this.#kept];
  }

  /** The newest first. */
  latest(count: number): readonly T[] {
    return count === 0 ? [] : this.#kept.slice(-count).reverse();
  }
}
