/**
 * `maxQueuedBytes`: a client whose worker has not handled so much of what it has sent is not read on. The worker says when
 * it has. Runs in the reactor.
 */
import { SlotFlag } from '../memory/connection-table.js';
import type { ReactorConnection } from './connection.js';
import type { ReactorContext } from './context.js';
import type { DispatchView } from './dispatch/index.js';

/** A worker that has died takes with it what it was handling: nobody says that it is done. */
const LOOK_MS = 250;

export class Throttle {
  readonly #context: ReactorContext;
  readonly #view: DispatchView;
  readonly #throttled = new Set<ReactorConnection>();
  #timer: NodeJS.Timeout | undefined;

  constructor(context: ReactorContext, view: DispatchView) {
    this.#context = context;
    this.#view = view;
  }

  /** @returns true when nothing more may be read from it now */
  mustWait(connection: ReactorConnection): boolean {
    const { options, table } = this.#context;
    const { maxQueuedBytes } = options;
    if (maxQueuedBytes === 0 || table.queuedBytes(connection.slot) < maxQueuedBytes) return false;
    table.setFlag(connection.slot, SlotFlag.throttled, true);
    // The worker may have handled all of it before it could see the flag.
    if (table.queuedBytes(connection.slot) <= maxQueuedBytes / 2) {
      table.setFlag(connection.slot, SlotFlag.throttled, false);
      return false;
    }
    this.add(connection);
    return true;
  }

  add(connection: ReactorConnection): void {
    connection.throttled = true;
    this.#throttled.add(connection);
    this.#timer ??= setInterval(() => this.#context.wake(), LOOK_MS);
  }

  /** It may be read on. */
  release(connection: ReactorConnection): void {
    connection.throttled = false;
    this.#throttled.delete(connection);
    if (this.#throttled.size === 0) this.stop();
  }

  /** @returns connections that nobody will speak of any more: their worker has nothing to do */
  takeForgotten(): ReactorConnection[] {
    if (this.#throttled.size === 0) return [];
    const { table } = this.#context;
    const forgotten = [...this.#throttled].filter(({ ended, worker }) => ended || this.#view.isIdle(worker));
    for (const connection of forgotten) {
      if (!connection.ended) table.forgetQueued(connection.slot);
      table.setFlag(connection.slot, SlotFlag.throttled, false);
      this.release(connection);
    }
    return forgotten.filter(({ ended }) => !ended);
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }
}
