/** `sticky`: requests with the same value go to the same worker id, whichever connection brings them. Runs in the reactor. */
import { NO_VALUE, StickyValue, workerOfHash } from '../../../protocol/http/sticky-value.js';
import type { WorkerRing } from '../../worker-ring.js';
import type { Cursor } from './cursor.js';
import type { Http1Parts } from './parts.js';

export class Sticky {
  readonly #parts: Http1Parts;
  readonly #value: StickyValue;

  constructor(parts: Http1Parts, value: StickyValue) {
    this.#parts = parts;
    this.#value = value;
  }

  /**
   * A session that a worker keeps comes first: its worker may be another one since the number of workers has changed.
   * @param length of the request @returns undefined: the request has no value, or no worker is ready
   */
  ringFor({ bytes, at, head, headBytes }: Cursor, length: number): WorkerRing | undefined {
    return (
      this.#parts.dispatcher.ringOfSession(bytes, at, length) ??
      this.#ringOfValue(this.#value.hash(bytes, at + head.linesStart, at + headBytes - 2))
    );
  }

  #ringOfValue(hash: number): WorkerRing | undefined {
    if (hash === NO_VALUE) return undefined;
    const { context, dispatcher } = this.#parts;
    const { workerNum } = dispatcher;
    const first = workerOfHash(hash, workerNum);
    // While its worker is being respawned, a session keeps to one other worker.
    for (let i = 0; i < workerNum; i++) {
      const worker = (first + i) % workerNum;
      if (dispatcher.isReady(worker)) return context.ring(worker);
    }
    return undefined;
  }
}

export function stickyOf(parts: Http1Parts): Sticky | undefined {
  const { sticky } = parts.options;
  return sticky === null ? undefined : new Sticky(parts, new StickyValue(sticky));
}
