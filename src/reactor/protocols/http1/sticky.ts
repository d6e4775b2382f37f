/** `sticky`: requests with the same value go to the same worker id, whichever connection brings them. Runs in the reactor. */
import { NO_WORKER, StickyValue } from '../../../protocol/http/sticky-value.js';
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
   * A session of Engine.IO comes first: it stays with its worker when the number of workers changes.
   * @param length of the request @returns undefined: the request has no value, or no worker is ready
   */
  ringFor({ bytes, at, head, headBytes }: Cursor, length: number): WorkerRing | undefined {
    const { dispatcher } = this.#parts;
    const ofSession = dispatcher.keepsSessions ? dispatcher.ringOfSession(bytes, at, length) : undefined;
    if (ofSession !== undefined) return ofSession;
    const worker = this.#value.workerOf(bytes, at + head.linesStart, at + headBytes - 2, dispatcher.workerNum);
    return worker === NO_WORKER ? undefined : this.#readyFrom(worker);
  }

  /** While a worker is being respawned, its sessions keep to the next one that is there. */
  #readyFrom(first: number): WorkerRing | undefined {
    const { context, dispatcher } = this.#parts;
    const { workerNum } = dispatcher;
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
