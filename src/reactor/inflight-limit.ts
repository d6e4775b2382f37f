/**
 * `maxQueuedBytes`: the reactor stops reading a client whose worker has this many of its bytes in flight. The
 * worker reports when it has handled them. Runs in the reactor.
 */
import { SlotFlag } from '../memory/connection-table.js';
import type { Connection } from './connection.js';
import type { ReactorContext } from './context.js';
import type { DispatchView } from './dispatch/index.js';
import { Hold } from './life.js';

/** A worker that dies never reports that it has handled its bytes, so the reactor looks itself. */
const LOOK_MS = 250;

export class InflightLimit {
  readonly #context: ReactorContext;
  readonly #view: DispatchView;
  readonly #over = new Set<Connection>();
  #timer: NodeJS.Timeout | undefined;

  constructor(context: ReactorContext, view: DispatchView) {
    this.#context = context;
    this.#view = view;
  }

  /** @returns true when the connection must not be read on now */
  mustWait(connection: Connection): boolean {
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

  /**
   * Holds a connection whose client has ended its side until its packets are handled, wherever they are.
   * @returns false: they are
   */
  untilHandled(connection: Connection): boolean {
    const { table } = this.#context;
    table.setFlag(connection.slot, SlotFlag.throttled, true);
    if (table.isBeingHandled(connection.slot)) this.add(connection);
    else table.setFlag(connection.slot, SlotFlag.throttled, false);
    return (connection.holds & Hold.inflight) !== 0;
  }

  add(connection: Connection): void {
    connection.holds |= Hold.inflight;
    this.#over.add(connection);
    this.#timer ??= setInterval(() => this.#context.wake(), LOOK_MS);
  }

  /** Lets the connection be read on. */
  release(connection: Connection): void {
    connection.holds &= ~Hold.inflight;
    this.#over.delete(connection);
    if (this.#over.size === 0) this.stop();
  }

  /** @returns connections whose worker has nothing to do, so that it will not report them */
  takeForgotten(): Connection[] {
    if (this.#over.size === 0) return [];
    const { table } = this.#context;
    const forgotten = [...this.#over].filter(({ isClosed, worker, lastWorker }) => {
      return isClosed || this.#view.isIdle(lastWorker < 0 ? worker : lastWorker);
    });
    for (const connection of forgotten) {
      if (!connection.isClosed) table.forgetQueued(connection.slot);
      table.setFlag(connection.slot, SlotFlag.throttled, false);
      this.release(connection);
    }
    return forgotten;
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }
}
