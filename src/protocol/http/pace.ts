/** How fast a body comes, for `minBodyBytesPerSecond`: over HTTP/1 in the reactor, over HTTP/2 in a worker. */

/** The longest time that is looked at as one: a short pause is no slowness. */
export const WINDOW_MS = 5000;

/**
 * Bytes within a window of time, and windows follow each other: what came quickly at first does not pay for what drips
 * later. Only time in which the client is waited for counts, so each wait begins a window.
 */
export class Pace {
  #since = 0;
  #bytes = 0;

  /** The client is waited for from now on. */
  begin(now: number): void {
    this.#since = now;
    this.#bytes = 0;
  }

  came(bytes: number): void {
    this.#bytes += bytes;
  }

  /**
   * @param limitMs of a body that does not come at all (`requestTimeoutMs`): no window is longer; 0: there is none
   * @returns true: fewer bytes than that came within a whole window
   */
  isTooSlow(now: number, bytesPerSecond: number, limitMs: number): boolean {
    const passed = now - this.#since;
    if (passed < (limitMs === 0 ? WINDOW_MS : Math.min(WINDOW_MS, limitMs))) return false;
    if (this.#bytes * 1000 < bytesPerSecond * passed) return true;
    this.begin(now);
    return false;
  }
}
