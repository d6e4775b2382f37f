/** The counters of a worker, in its record of the shared region: written by this process alone. Runs in a worker. */
import { WorkerBoard, WorkerCounter } from '../memory/boards.js';
import type { Region } from '../memory/region.js';

export interface FiguresParts {
  readonly region: Region;
  readonly id: number;
  readonly lane: number;
  /** Packets of streams, and requests, after each of which `reached` is called; 0: never. */
  readonly maxRequest: number;
  reached(): void;
}

/** What a sender has sent; set to 0 when it was counted. */
export interface Sent {
  sentCount: number;
  sentBytes: number;
}

export class Figures {
  readonly #float64: Float64Array;
  readonly #at: number;
  readonly #maxRequest: number;
  readonly #reached: () => void;
  #requests = 0;

  constructor({ region, id, lane, maxRequest, reached }: FiguresParts) {
    this.#float64 = region.float64;
    this.#at = new WorkerBoard(region).counterIndex(id, lane);
    this.#maxRequest = maxRequest;
    this.#reached = reached;
  }

  /** A datagram: maxRequest does not count it. */
  countPacket(bytes: number): void {
    this.#add(WorkerCounter.received, 1);
    this.#add(WorkerCounter.receivedBytes, bytes);
  }

  /**
   * A packet of a stream, or a request. At maxRequest the process asks to be replaced, and asks again if it could
   * not be.
   */
  countRequest(bytes: number): void {
    this.countPacket(bytes);
    if (this.#maxRequest > 0 && ++this.#requests % this.#maxRequest === 0) this.#reached();
  }

  countConnect(): void {
    this.#add(WorkerCounter.connects, 1);
  }

  countClose(): void {
    this.#add(WorkerCounter.closes, 1);
  }

  countFailure(): void {
    this.#add(WorkerCounter.callbackErrors, 1);
  }

  /** @param status of an answer to an HTTP request */
  countAnswer(status: number): void {
    if (status < 300) this.#add(WorkerCounter.answers2xx, 1);
    else if (status < 400) this.#add(WorkerCounter.answers3xx, 1);
    else this.#add(status < 500 ? WorkerCounter.answers4xx : WorkerCounter.answers5xx, 1);
  }

  /** Counts what each of them has sent since the last call. */
  countSent(...senders: readonly Sent[]): void {
    for (const sender of senders) {
      if (sender.sentCount === 0) continue;
      this.#add(WorkerCounter.sent, sender.sentCount);
      this.#add(WorkerCounter.sentBytes, sender.sentBytes);
      sender.sentCount = 0;
      sender.sentBytes = 0;
    }
  }

  /** Bytes queued in this process, now. */
  set held(bytes: number) {
    this.#float64[this.#at + WorkerCounter.held] = bytes;
  }

  #add(counter: number, amount: number): void {
    const at = this.#at + counter;
    this.#float64[at] = (this.#float64[at] ?? 0) + amount;
  }
}
