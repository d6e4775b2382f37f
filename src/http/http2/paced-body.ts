/** Holds the body of a stream of HTTP/2 to `minBodyBytesPerSecond`. Runs in a worker. */
import { Pace, WINDOW_MS } from '../../protocol/http/pace.js';

export interface PaceLimits {
  /** Default and 0: none. */
  readonly minBodyBytesPerSecond?: number;
  readonly requestTimeoutMs: number;
}

export const TOO_SLOW = { status: 408, why: 'The body came too slowly.' } as const;

/** Looks per window. */
const LOOKS = 4;
const SHORTEST_LOOK_MS = 20;

export class PacedBody {
  readonly #limits: PaceLimits;
  /** True while the body waits for the client: only that time counts. */
  readonly #isAwaited: () => boolean;
  readonly #tooSlow: () => void;
  readonly #pace = new Pace();
  #timer: NodeJS.Timeout | undefined;

  constructor(limits: PaceLimits, isAwaited: () => boolean, tooSlow: () => void) {
    this.#limits = limits;
    this.#isAwaited = isAwaited;
    this.#tooSlow = tooSlow;
  }

  start(): void {
    const { minBodyBytesPerSecond = 0, requestTimeoutMs } = this.#limits;
    if (minBodyBytesPerSecond === 0) return;
    const windowMs = requestTimeoutMs === 0 ? WINDOW_MS : Math.min(WINDOW_MS, requestTimeoutMs);
    this.#pace.begin(performance.now());
    this.#timer = setInterval(
      () => this.#look(minBodyBytesPerSecond),
      Math.max(SHORTEST_LOOK_MS, windowMs / LOOKS),
    ).unref();
  }

  came(bytes: number): void {
    this.#pace.came(bytes);
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  #look(bytesPerSecond: number): void {
    const now = performance.now();
    if (!this.#isAwaited()) return this.#pace.begin(now);
    if (!this.#pace.isTooSlow(now, bytesPerSecond, this.#limits.requestTimeoutMs)) return;
    this.stop();
    this.#tooSlow();
  }
}
