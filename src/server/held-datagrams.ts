/**
 * Answers to datagrams wait for each other until the end of the worker's turn, and enter the kernel in one call: then their
 * receivers are woken together, ask again together, and are served by one turn, where each alone would cost several
 * wake-ups. Runs in a worker.
 */
import { DatagramSends, LONGEST_SENT_TOGETHER } from '../os/datagram-sends.js';

/** A turn with fewer has nothing to put together… */
const FEWEST = 2;
/** …but the next one may: so many turns in a row with fewer end the waiting. */
const TURNS_UNTIL_QUIET = 16;
/** A callback that takes so long keeps no answer of another one waiting. */
const SLOW_MS = 0.05;
/** After the kernel has refused one, `send` shall tell at once: so long each is sent by itself. */
const BY_THEMSELVES_MS = 1000;

export interface Refused {
  readonly bytes: number;
  readonly errno: number;
}

export interface HeldDatagramsParts {
  /** @param descriptor of a listen port, by its index */
  descriptorOf(portIndex: number): number;
  /** The kernel has refused these of those that waited: one or more. */
  refused(datagrams: readonly Refused[]): void;
  /** In ms. */
  now(): number;
  /** Called once, when the first one waits: what waits is to be sent when the process ends. */
  atExit(flush: () => void): void;
}

export class HeldDatagrams {
  readonly #parts: HeldDatagramsParts;
  /** Made when the first one waits. */
  #sends: DatagramSends | undefined;
  #portIndex = 0;
  #isCallback = false;
  /** Answers of this turn so far. */
  #answers = 0;
  /** A turn of late had several: so many turns may have fewer from now on. */
  #busyTurns = 0;
  #lastMs = 0;
  #byThemselvesUntil = Number.NEGATIVE_INFINITY;

  constructor(parts: HeldDatagramsParts) {
    this.#parts = parts;
  }

  /** From here to `endCallback` answers may wait. */
  beginCallback(): void {
    this.#isCallback = true;
    if (this.#busyTurns === 0) return;
    const now = this.#parts.now();
    if (now - this.#lastMs > SLOW_MS) this.flush();
    this.#lastMs = now;
  }

  endCallback(): void {
    this.#isCallback = false;
  }

  /** Asked for every answer by UDP. @returns true: it waits; false: it is to be sent now */
  takes(portIndex: number, data: Uint8Array, sockaddr: Uint8Array): boolean {
    if (!this.#isCallback) return false;
    this.#answers++;
    if (this.#busyTurns === 0 || data.length > LONGEST_SENT_TOGETHER) return false;
    if (this.#sends?.isFull === true || portIndex !== this.#portIndex) this.flush();
    this.#portIndex = portIndex;
    this.#sends ??= this.#makeSends();
    this.#sends.add(data, sockaddr);
    return true;
  }

  endTurn(): void {
    this.flush();
    if (this.#answers === 0) return;
    if (this.#answers >= FEWEST) this.#busyTurns = this.#mayWait() ? TURNS_UNTIL_QUIET : 0;
    else if (this.#busyTurns > 0) this.#busyTurns--;
    this.#answers = 0;
  }

  /** Sends what waits: nothing overtakes it. */
  flush(): void {
    const sends = this.#sends;
    if (sends === undefined || sends.count === 0) return;
    const refused: Refused[] = [];
    sends.send(this.#parts.descriptorOf(this.#portIndex), (bytes, errno) => refused.push({ bytes, errno }));
    if (refused.length === 0) return;
    this.#byThemselvesUntil = this.#parts.now() + BY_THEMSELVES_MS;
    this.#busyTurns = 0;
    this.#parts.refused(refused);
  }

  #mayWait(): boolean {
    if (!DatagramSends.isAvailable) return false;
    return this.#busyTurns > 0 || this.#parts.now() >= this.#byThemselvesUntil;
  }

  #makeSends(): DatagramSends {
    this.#parts.atExit(() => this.flush());
    return new DatagramSends();
  }
}
