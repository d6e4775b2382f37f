import type { CloseReason } from '../ipc/frame.js';
import type { PortCallbacks, UserConnection } from './callbacks.js';

/** Takes the bytes of a connection in place of the user's `receive`. */
export interface ByteTaker {
  received(fd: number, data: Buffer): void;
}

/** Ends connections. */
export interface ConnectionEnds<C extends UserConnection> {
  /** No call is pending on it any more: ends it where its client has ended. */
  endIfOver(connection: WorkerConnection<C>): void;
}

/** A connection as its worker keeps it: the object the user holds, and the pending work of this process. */
export class WorkerConnection<C extends UserConnection> {
  readonly user: C;
  readonly callbacks: PortCallbacks<C>;
  readonly #ends: ConnectionEnds<C>;
  /** Callbacks whose promise has not settled, and 1 while it is held. */
  pending = 0;
  /** Takes its bytes in place of `receive`. */
  taker: ByteTaker | null;
  /** A protocol holds it (a tunnel): `close` fires when the protocol releases it. */
  held = false;
  /** The client has ended its side while callbacks were pending: `close` fires when they have settled. */
  ending: { reason: CloseReason; awaitsAnswers: boolean } | undefined;
  /** Pieces of an incomplete packet. */
  pieces: Buffer[] | null = null;
  /** This process has let go of it with calls under way: see `LeftCalls`. */
  isLeft = false;
  /** `close` has been called, or is about to be. */
  ended = false;

  constructor(user: C, callbacks: PortCallbacks<C>, taker: ByteTaker | null, ends: ConnectionEnds<C>) {
    this.user = user;
    this.callbacks = callbacks;
    this.taker = taker;
    this.#ends = ends;
  }

  /** One pending call has finished. */
  settled(): void {
    this.pending--;
    if (this.pending === 0) this.#ends.endIfOver(this);
  }
}
