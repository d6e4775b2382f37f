/** Measures how fast a body arrives, for `minBodyBytesPerSecond`: over HTTP/1 in the reactor, over HTTP/2 in a worker. */

/** The longest window: a short pause does not count as slow. */
export const WINDOW_MS = 5000;

/**
 * Counts bytes within a window of time, and windows follow each other: a fast start does not make up for a slow rest. Only
 * time in which the server waits for the client counts, so each wait begins a window.
 */
export class Pace {
  #since = 0;
  #bytes = 0;

  /** The server waits for the client from now on. */
  begin(now: number): void {
    this.#since = now;
    this.#bytes = 0;
  }

  came(bytes: number): void {
    this.#bytes += bytes;
  }

  /**
   * @param limitMs the limit for a pause of the body (`requestTimeoutMs`), also the longest window; 0: no limit
   * @returns true: fewer bytes arrived within a whole window
   */
  isTooSlow(now: number, bytesPerSecond: number, limitMs: number): boolean {
    const passed = now - this.#since;
    if (passed < (limitMs === 0 ? WINDOW_MS : Math.min(WINDOW_MS, limitMs))) return false;
    if (this.#bytes * 1000 < bytesPerSecond * passed) return true;
    this.begin(now);
    return false;
  }
}
