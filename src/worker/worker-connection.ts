import type { CloseReason } from '../ipc/frame.js';
import type { PortCallbacks, UserConnection } from './callbacks.js';

/** A connection as its worker keeps it: the object the user holds and what is still owed on it. */
export class WorkerConnection<C extends UserConnection> {
  readonly user: C;
  readonly callbacks: PortCallbacks<C>;
  /** Callbacks whose promise has not settled. */
  pending = 0;
  /** HTTP: it is a tunnel; `close` fires when that is closed, or the client is gone. */
  held = false;
  /** The client has ended its side while callbacks were pending: `close` fires when they have settled. */
  ending: { reason: CloseReason; awaitsAnswers: boolean } | undefined;
  /** Pieces of a packet that is not whole yet. */
  pieces: Buffer[] | null = null;
  /** `close` has been called, or is about to be. */
  ended = false;

  constructor(user: C, callbacks: PortCallbacks<C>) {
    this.user = user;
    this.callbacks = callbacks;
  }
}
