/**
 * Closes that senders have asked for, until everything was taken that was sent before: each process has a ring of its own,
 * and one that was told "now close it" may be heard before the one that has sent. Runs in the reactor.
 */
export interface AskedClose {
  readonly word: number;
  readonly sessionId: number;
  readonly peer: number;
}

/** Under a load that no turn takes whole, a close waits for so many turns at most. */
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
   * @param takeAll takes what is in the rings @returns true when it has not come to the end of one
   * @param carryOut one of those that were asked for before the last look at every ring
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
