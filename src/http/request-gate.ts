import { inOwnContext } from '../util/own-context.js';

/** Serves as many requests at once as one worker may have, the others one after the other. Runs in a worker. */
export class RequestGate {
  readonly #limit: number;
  /** By request, in the order in which they came. */
  readonly #waiting = new Map<object, () => void>();
  #running = 0;
  #isAdmitting = false;

  /** @param limit at least 1 */
  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Calls `begin` now, or when earlier requests have left. Each request that enters must leave. */
  enter(request: object, begin: () => void): void {
    if (this.#running >= this.#limit || this.#waiting.size > 0) {
      this.#waiting.set(request, begin);
      return;
    }
    this.#running++;
    begin();
  }

  /** The request has been answered, or will never be; also one that still waits. */
  leave(request: object): void {
    if (this.#waiting.delete(request)) return;
    this.#running--;
    this.#admit();
  }

  /**
   * A request that is answered at once leaves while it is admitted: the loop goes on, instead of a call within a call.
   */
  #admit(): void {
    if (this.#isAdmitting) return;
    this.#isAdmitting = true;
    for (const [request, begin] of this.#waiting) {
      if (this.#running >= this.#limit) break;
      this.#waiting.delete(request);
      this.#running++;
      inOwnContext(begin, undefined); // another request has ended here
    }
    this.#isAdmitting = false;
  }
}
