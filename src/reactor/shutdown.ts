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
const LOOK_MS = 20;

export class Shutdown {
  readonly #parts: ShutdownParts;
  #farewell: NodeJS.Timeout | undefined;
  #closing: { readonly done: () => void; readonly deadline: number } | undefined;

  constructor(parts: ShutdownParts) {
    this.#parts = parts;
  }

  /**
   * Before rung 1: clients of HTTP that may have a request on the way are answered once more, and told that it is the last time. Then
   * `quiesce`, and `done`.
   */
  sayFarewell(done: () => void): void {
    const { context, wakeUp } = this.#parts;
    context.isEnding = true;
    const until = context.now + Math.min(LONGEST_FAREWELL_MS, context.options.maxWaitMs * FAREWELL_PART);
    const look = (): void => {
      if (context.now < until && this.#expectsRequests) return;
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

  get #expectsRequests(): boolean {
    const { connections } = this.#parts.context;
    for (const connection of connections.list()) if (connection.protocol.expectsRequest?.(connection)) return true;
    return false;
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
