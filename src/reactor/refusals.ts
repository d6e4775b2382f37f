/** Clients that were disconnected because of what they sent: told to the master once a second at most. */
export interface Refusal {
  readonly sessionId: number;
  readonly code: number;
  readonly message: string;
  /** How many others there were since the last one that was told. */
  readonly others: number;
}

const PAUSE_MS = 1000;

export class Refusals {
  readonly #tell: (refusal: Refusal) => void;
  #toldAt = Number.NEGATIVE_INFINITY;
  #others = 0;

  constructor(tell: (refusal: Refusal) => void) {
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
