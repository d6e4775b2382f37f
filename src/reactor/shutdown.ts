/** The reactor's rungs of a shutdown: takes nothing more in, then closes every connection. Runs in the reactor. */
import { CloseCode } from '../ipc/frame.js';
import type { Admission } from './admission/admission.js';
import type { ReactorContext } from './context.js';
import type { Ending } from './ending.js';
import type { Reading } from './reading.js';

export interface ShutdownParts {
  readonly context: ReactorContext;
  readonly admission: Admission;
  readonly ending: Ending;
  readonly reading: Reading;
  /** A timer has fired: a turn begins. */
  wakeUp(): void;
}

const LONGEST_FAREWELL_MS = 500;
/** Of `maxWaitMs`. */
const FAREWELL_PART = 0.25;
/** Of `maxWaitMs`: bodies under way have as long as leaves that part for their handlers and answers. */
const BODIES_PART = 1 - FAREWELL_PART;
const LOOK_MS = 20;

export class Shutdown {
  readonly #parts: ShutdownParts;
  #farewell: NodeJS.Timeout | undefined;
  #closing: { readonly done: () => void; readonly deadline: number } | undefined;

  constructor(parts: ShutdownParts) {
    this.#parts = parts;
  }

  /**
   * Before rung 1: clients of HTTP that may have a request on the way are answered once more, and told that it is the last time;
   * requests of which the head has come are taken whole. Then `quiesce`, and `done`.
   */
  sayFarewell(done: () => void): void {
    const { context, wakeUp } = this.#parts;
    context.isEnding = true;
    const { now: began, options } = context;
    const until = began + Math.min(LONGEST_FAREWELL_MS, options.maxWaitMs * FAREWELL_PART);
    const bodiesUntil = began + options.maxWaitMs * BODIES_PART;
    const look = (): void => {
      if (context.now < until && this.#isSome('expectsRequest')) return;
      if (context.now < bodiesUntil && this.#isSome('collectsBody')) return;
      this.#endFarewell();
      this.quiesce();
      done();
    };
    this.#farewell = setInterval(() => {
      wakeUp();
      look();
      context.poller.wakeSoon();
    }, LOOK_MS);
    look();
  }

  #isSome(what: 'expectsRequest' | 'collectsBody'): boolean {
    return this.#parts.context.connections.list().some((connection) => connection.protocol[what]?.(connection));
  }

  #endFarewell(): void {
    clearInterval(this.#farewell);
    this.#farewell = undefined;
  }

  /** Rung 1: takes nothing more in. Packets already read are with the workers when this returns. */
  quiesce(): void {
    const { context, admission, reading } = this.#parts;
    reading.isQuiet = true;
    admission.clear();
    for (const ring of context.rings) ring.flush();
  }

  /**
   * Rung 2: closes every connection once its queued bytes have left. `done` is called at the deadline at the latest.
   */
  closeAll(deadlineMs: number, done: () => void): void {
    const { context, admission, ending, reading } = this.#parts;
    this.#endFarewell();
    reading.isQuiet = false;
    for (const connection of context.connections.list()) {
      ending.closeWhenFlushed(connection, CloseCode.SERVER_SHUTDOWN);
    }
    admission.isClosed = true;
    this.#closing = { done, deadline: context.now + deadlineMs };
    ending.startSweeping();
  }

  /** Called at the end of each turn. */
  check(): void {
    if (this.#closing === undefined) return;
    const { context, ending } = this.#parts;
    if (context.now >= this.#closing.deadline) this.#releaseAll();
    // Waits also for connections whose peer still sends: an RST could take the last replies away from it.
    if (context.connections.size > 0) return ending.startSweeping();
    for (const ring of context.rings) ring.flush();
    const { done } = this.#closing;
    this.#closing = undefined;
    done();
  }

  #releaseAll(): void {
    const { context, ending } = this.#parts;
    for (const connection of context.connections.list()) {
      ending.notifyClose(connection, CloseCode.SERVER_SHUTDOWN, 0);
      ending.release(connection);
    }
  }
}
