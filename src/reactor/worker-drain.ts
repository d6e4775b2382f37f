/**
 * Drains workers whose number is lowered: packets for them are held back until they have finished their pending
 * ones, then their connections go to others. So no packet of a connection overtakes another. Runs in the reactor.
 */
import type { Connection } from './connection.js';
import type { ReactorContext } from './context.js';
import { chooseForConnection, type DispatchStrategy } from './dispatch/index.js';
import type { SharedDispatchView } from './dispatch-view.js';
import { CloseSent, Hold } from './life.js';

export class WorkerDrain {
  readonly #context: ReactorContext;
  readonly #view: SharedDispatchView;
  readonly #strategy: DispatchStrategy;
  /** Workers from this id on drain. */
  #from = Number.POSITIVE_INFINITY;
  #done: (() => void) | undefined;

  constructor(context: ReactorContext, view: SharedDispatchView, strategy: DispatchStrategy) {
    this.#context = context;
    this.#view = view;
    this.#strategy = strategy;
  }

  /** @param done called when nothing more is written for workers from that id on */
  begin(from: number, done: () => void): void {
    this.#view.workerNum = from;
    this.#from = from;
    this.#done = done;
  }

  /** True when the connection's worker drains: nothing may be read from it, or given to a worker, now. */
  holds({ worker, lastWorker, slot }: Connection): boolean {
    if (this.#strategy.sticky) return worker >= this.#from;
    return lastWorker >= this.#from && this.#context.table.isBeingHandled(slot);
  }

  /** True when that worker drains, or has gone. */
  includes(worker: number): boolean {
    return worker >= this.#from;
  }

  /** Called at the end of each turn. A packet that is partly in the ring goes there as a whole. */
  check(): void {
    if (this.#done === undefined) return;
    const isHalf = ({ input }: Connection): boolean => input !== null && input.sent > 0 && input.worker >= this.#from;
    if (this.#context.connections.list().some(isHalf)) return;
    const done = this.#done;
    this.#done = undefined;
    done();
  }

  /**
   * The workers have finished. @param rebind gives a connection to a worker @returns the connections that may be
   * read again
   */
  end(rebind: (connection: Connection, worker: number) => void): Connection[] {
    const from = this.#from;
    this.#from = Number.POSITIVE_INFINITY;
    if (from === Number.POSITIVE_INFINITY) return [];
    const rebound: Connection[] = [];
    for (const connection of this.#context.connections.list()) {
      const { input, worker, lastWorker } = connection;
      connection.holds &= ~Hold.draining;
      if (worker < from && lastWorker < from) continue;
      if (lastWorker >= from) connection.lastWorker = -1;
      if (input !== null && input.worker >= from && input.sent === 0) input.worker = -1;
      if (worker >= from && connection.closeSent === CloseSent.none) rebind(connection, this.#chosenFor(connection));
      rebound.push(connection);
    }
    return rebound;
  }

  #chosenFor({ slot, sessionId }: Connection): number {
    const subject = { sessionId, slot, address: this.#context.table.address(slot) };
    return chooseForConnection(this.#strategy, subject, this.#view);
  }
}
