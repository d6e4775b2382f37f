/** Clients that were disconnected because of what they sent: reported to the master once a second at most. */
import type { RefusedClient } from '../ipc/refused-client.js';

const PAUSE_MS = 1000;

export class Refusals {
  readonly #tell: (client: RefusedClient) => void;
  #toldAt = Number.NEGATIVE_INFINITY;
  #others = 0;

  constructor(tell: (client: RefusedClient) => void) {
    this.#tell = tell;
  }

  add(sessionId: number, code: number, message: string): void {
    const now = performance.now();
    if (now - this.#toldAt < PAUSE_MS) {
      this.#others++;
      return;
    }
    this.#tell({ sessionId, code, message, others: this.#others });
    this.#toldAt = now;
    this.#others = 0;
  }
}
