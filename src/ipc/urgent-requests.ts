/**
 * Requests that found no room in their ring and must not wait behind data (pause, resume, read on). As each is a few bytes
 * and the rings keep room for them, only a reactor that takes nothing lets them wait. Runs in the process that sends.
 */
import type { RequestFrame } from './request-frame.js';

const MOST = 10_000;

export class UrgentRequests {
  #waiting: RequestFrame[] = [];

  get isEmpty(): boolean {
    return this.#waiting.length === 0;
  }

  /** @returns false when more wait than a healthy reactor would let */
  add(request: RequestFrame): boolean {
    if (this.#waiting.length >= MOST) return false;
    this.#waiting.push(request);
    return true;
  }

  /** @param push @returns true when it is done with */
  flush(push: (request: RequestFrame) => boolean): void {
    if (this.#waiting.length > 0) this.#waiting = this.#waiting.filter((request) => !push(request));
  }
}
