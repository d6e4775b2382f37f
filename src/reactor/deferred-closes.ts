/**
 * Defers a requested close until everything sent before it was taken. Each process has a ring of its own, so the
 * reactor may read the ring of the process that closes before the ring of the process that has sent. Runs in the
 * reactor.
 */
export interface AskedClose {
  readonly word: number;
  readonly sessionId: number;
  readonly peer: number;
}

/** Under a load that no turn takes whole, a close waits for N turns at most. */
const MOST_TURNS = 4;

export class DeferredCloses {
  #asked: AskedClose[] = [];
  #turns = 0;

  get isEmpty(): boolean {
    return this.#asked.length === 0;
  }

  add(close: AskedClose): void {
    this.#asked.push(close);
  }

  /**
   * @param takeAll empties the rings @returns true when one of them still holds requests
   * @param carryOut called for each close that was requested before the last look at every ring
   */
  settle(takeAll: () => boolean, carryOut: (close: AskedClose) => void): boolean {
    const asked = this.#asked;
    this.#asked = [];
    const unfinished = takeAll();
    if (unfinished && ++this.#turns < MOST_TURNS) {
      this.#asked = [...asked, ...this.#asked];
      return true;
    }
    this.#turns = 0;
    for (const close of asked) carryOut(close);
    return unfinished || !this.isEmpty;
  }
}
