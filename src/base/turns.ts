/**
 * The turns of a worker in BASE mode: one poller watches the descriptors of all its parts, and each turn runs them in the
 * order in which data goes: accept → read → call back → write. Runs in a worker.
 *
 * Sockets are read while they are reported; at the end of the turn the callbacks run on what was read, and what they
 * answered is written, so a request and its answer need one wake-up and no other process.
 */
import type { Wakes } from '../ipc/sleep.js';
import type { Poller, PollerHandler } from '../os/poller.js';

/** The reactor's tokens end below; see `Admission`. */
const FIRST_TOKEN = 0xfff00000;
const TOKENS_PER_PART = 0x10000;
const BELL_TOKEN = 0xffffffff;

export interface TurnWorker extends PollerHandler {
  /** Packets or events have come for it since its last turn. */
  readonly hasWork: boolean;
}

export interface TurnReactor extends PollerHandler {
  /** Shows the worker the packets just read. */
  publish(): void;
}

export class Turns implements PollerHandler {
  readonly #poller: Poller;
  readonly #parts: PollerHandler[] = [];
  #worker: TurnWorker | undefined;
  /** Missing before this process owns connections, and after it has handed them off. */
  #reactor: TurnReactor | undefined;
  #acceptor: PollerHandler | undefined;
  #inTurn = false;

  constructor(createPoller: (handler: PollerHandler) => Poller) {
    this.#poller = createPoller(this);
  }

  ready(token: number, descriptor: number, events: number): void {
    if (token < FIRST_TOKEN || token === BELL_TOKEN) return this.#reactor?.ready(token, descriptor, events);
    const part = this.#parts[Math.floor((token - FIRST_TOKEN) / TOKENS_PER_PART)];
    part?.ready((token - FIRST_TOKEN) % TOKENS_PER_PART, descriptor, events);
  }

  turnEnd(): void {
    this.#inTurn = true;
    try {
      this.#acceptor?.turnEnd();
      this.#reactor?.publish();
      this.#worker?.turnEnd();
      this.#reactor?.turnEnd();
    } finally {
      this.#inTurn = false;
    }
    if (this.#worker?.hasWork) this.#poller.wakeSoon();
  }

  /** The worker's view of the poller. */
  forWorker(worker: TurnWorker): Poller {
    this.#worker = worker;
    return this.#part(worker, () => this.#poller.close());
  }

  forReactor(reactor: TurnReactor): Poller {
    this.#reactor = reactor;
    return new PollerPart(this.#poller, 0, () => this.withoutReactor());
  }

  withoutReactor(): void {
    this.#reactor = undefined;
  }

  forAcceptor(acceptor: PollerHandler): Poller {
    this.#acceptor = acceptor;
    return this.#part(acceptor, () => {
      this.#acceptor = undefined;
    });
  }

  /** A part without turns of its own. */
  forOther(handler: PollerHandler): Poller {
    return this.#part(handler, () => {});
  }

  /**
   * Wakes the worker from its own reactor, and the other way round: in a turn not at all, because both have their
   * share of it.
   * @param far the waker to use while the reactor is not in this process
   */
  waker(far: Wakes): Wakes {
    return {
      wake: () => {
        if (this.#reactor === undefined) return far.wake();
        if (!this.#inTurn) this.#poller.wakeSoon();
        return false;
      },
      ring: () => (this.#reactor === undefined ? far.ring() : this.#poller.wakeSoon()),
    };
  }

  #part(handler: PollerHandler, closed: () => void): Poller {
    const first = FIRST_TOKEN + this.#parts.push(handler) * TOKENS_PER_PART - TOKENS_PER_PART;
    return new PollerPart(this.#poller, first, closed);
  }
}

class PollerPart implements Poller {
  readonly #poller: Poller;
  readonly #firstToken: number;
  readonly #closed: () => void;

  constructor(poller: Poller, firstToken: number, closed: () => void) {
    this.#poller = poller;
    this.#firstToken = firstToken;
    this.#closed = closed;
  }

  get name(): Poller['name'] {
    return this.#poller.name;
  }

  get levelTriggered(): boolean {
    return this.#poller.levelTriggered;
  }

  add(descriptor: number, token: number): void {
    this.#poller.add(descriptor, this.#firstToken + token);
  }

  addReadable(descriptor: number, token: number): void {
    this.#poller.addReadable(descriptor, this.#firstToken + token);
  }

  retoken(descriptor: number, token: number): void {
    this.#poller.retoken(descriptor, this.#firstToken + token);
  }

  remove(descriptor: number): void {
    this.#poller.remove(descriptor);
  }

  abandon(descriptor: number): void {
    this.#poller.abandon(descriptor);
  }

  rearm(descriptor: number, events: number): void {
    this.#poller.rearm(descriptor, events);
  }

  wakeSoon(): void {
    this.#poller.wakeSoon();
  }

  close(): void {
    this.#closed();
  }
}
