/** Clients that were disconnected because of what they sent: reported to the master once a second at most. */
import type { RefusedClient } from '../ipc/refused-client.js';

const PAUSE_MS = 1000;

export class Refusals {
  readonly #notify: (client: RefusedClient) => void;
  #sentAt = Number.NEGATIVE_INFINITY;
  #others = 0;

  constructor(notify: (client: RefusedClient) => void) {
    this.#notify = notify;
  }

  /** @param client its address and port, where it was no connection yet */
  add(sessionId: number, code: number, message: string, client?: string): void {
    const now = performance.now();
    if (now - this.#sentAt < PAUSE_MS) {
      this.#others++;
      return;
    }
    const known = client === undefined ? {} : { client };
    this.#notify({ sessionId, code, message, ...known, others: this.#others });
    this.#sentAt = now;
    this.#others = 0;
  }
}
