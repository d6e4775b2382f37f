/** The rate per second, over the last seconds, of a counter that only grows. */
const INTERVAL_MS = 1000;
const KEPT = 10;

export class RateMeter {
  readonly #read: () => number;
  readonly #now: () => number;
  /** The oldest first. */
  readonly #samples: { readonly at: number; readonly count: number }[] = [];
  #timer: NodeJS.Timeout | undefined;

  /** @param now monotonic ms */
  constructor(read: () => number, now: () => number = () => performance.now()) {
    this.#read = read;
    this.#now = now;
  }

  start(): void {
    this.sample();
    this.#timer = setInterval(() => this.sample(), INTERVAL_MS).unref();
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  sample(): void {
    this.#samples.push({ at: this.#now(), count: this.#read() });
    if (this.#samples.length > KEPT) this.#samples.shift();
  }

  /** Since the oldest sample, which is at most ten seconds old; 0 before the first one. */
  get perSecond(): number {
    const [oldest] = this.#samples;
    if (oldest === undefined) return 0;
    const elapsedMs = this.#now() - oldest.at;
    return elapsedMs <= 0 ? 0 : ((this.#read() - oldest.count) * 1000) / elapsedMs;
  }
}
