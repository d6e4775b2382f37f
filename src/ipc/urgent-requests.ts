/**
 * Requests that found no room in their ring and must not wait behind data (pause, resume, read on). As each is a few bytes
 * and the rings keep room for them, only a reactor that takes nothing lets them wait. Runs in the process that sends.
 */
export interface UrgentRequest {
  readonly type: number;
  readonly code: number;
  readonly sessionId: number;
  readonly payload: Uint8Array;
}

const MOST = 10_000;

export class UrgentRequests {
  #waiting: UrgentRequest[] = [];

  get isEmpty(): boolean {
    return this.#waiting.length === 0;
  }

  /** @returns false when more wait than a reactor that is well would let */
  add(request: UrgentRequest): boolean {
    if (this.#waiting.length >= MOST) return false;
    this.#waiting.push(request);
    return true;
  }

  /** @param push @returns true when it is done with */
  flush(push: (request: UrgentRequest) => boolean): void {
    if (this.#waiting.length > 0) this.#waiting = this.#waiting.filter((request) => !push(request));
  }
}
