/** Keeps what will be needed again and is dear to make: used ones wait here, and go where they are no longer needed. */

const TRIM_MS = 1000;

export class Spares<T> {
  readonly #least: number;
  readonly #most: number;
  readonly #items: T[] = [];
  /** Fewest that lay here since the last trim: so many were not needed. */
  #unused = 0;
  #timer: NodeJS.Timeout | undefined;

  /** @param least so many stay, also when nothing needs them @param most more are never kept */
  constructor(least: number, most: number) {
    this.#least = least;
    this.#most = most;
  }

  get size(): number {
    return this.#items.length;
  }

  take(): T | undefined {
    const item = this.#items.pop();
    this.#unused = Math.min(this.#unused, this.#items.length);
    return item;
  }

  give(item: T): void {
    if (this.#items.length >= this.#most) return;
    this.#items.push(item);
    if (this.#items.length > this.#least) this.#timer ??= setInterval(() => this.#trim(), TRIM_MS).unref();
  }

  #trim(): void {
    const { length } = this.#items;
    this.#items.length = Math.min(length, Math.max(this.#least, length - this.#unused));
    this.#unused = this.#items.length;
    if (this.#items.length > this.#least) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }
}
