/**
 * Wakes a reactor, a worker or the accepting thread: one interface, two implementations with one conformance suite
 * (`test/os/poller.test.ts`). Reports are edges: once a descriptor was reported readable (or writable), the poller may
 * not report it again until it has been read (written) dry and `rearm` was called.
 */
export const READABLE = 1;
export const WRITABLE = 2;
/** The peer has ended its side, or the connection is broken: a read shows which. Comes together with READABLE. */
export const HANGUP = 4;
/** The socket cannot be written any more: a reset, or a unix socket's close. Comes with HANGUP, and on Linux only. */
export const BROKEN = 8;

export interface PollerHandler {
  /** @param token the one passed to `add` */
  ready(token: number, descriptor: number, events: number): void;
  /** After a group of `ready` calls: the place for work done once for all of them. */
  turnEnd(): void;
}

export interface Poller {
  readonly name: 'epoll' | 'poll';
  /** Watches for both directions. `token` is an unsigned 32-bit number. */
  add(descriptor: number, token: number): void;
  /** Watches only for reading (listeners, doorbells). */
  addReadable(descriptor: number, token: number): void;
  /** From now on the descriptor is reported under another token; if it is ready, it is reported again. */
  retoken(descriptor: number, token: number): void;
  /** Must be called before the descriptor is closed. */
  remove(descriptor: number): void;
  /** The same for a descriptor that stays open, here or in another process: closing our copy would not end the reports. */
  abandon(descriptor: number): void;
  /** Requests another report; needed after EAGAIN or a short read or write. Costs nothing on epoll. */
  rearm(descriptor: number, events: number): void;
  /** Calls `handler.turnEnd` soon, from the event loop, although no descriptor is ready. */
  wakeSoon(): void;
  /** True where a report repeats until the descriptor is read, so that a doorbell must be cleared. */
  readonly levelTriggered: boolean;
  /**
   * Node's own I/O takes place in this thread from now on, with its streams and promises: a poller that blocks must leave
   * the waiting to Node's event loop.
   */
  leaveWaitingToNode?(): void;
  /** Milliseconds for which the poller has blocked: Node's event loop takes that for work. */
  readonly blockedMs?: number;
  /** No report comes after this. */
  close(): void;
}

/** What it throws is raised on its own: the reports behind it are edges, and nobody repeats them. */
export function report(handler: PollerHandler, token: number, descriptor: number, events: number): void {
  try {
    handler.ready(token, descriptor, events);
  } catch (error) {
    raiseAlone(error);
  }
}

/** A turn that throws has left something to do: it is followed by another one. */
export function endTurn(handler: PollerHandler, poller: Pick<Poller, 'wakeSoon'>): void {
  try {
    handler.turnEnd();
  } catch (error) {
    poller.wakeSoon();
    raiseAlone(error);
  }
}

function raiseAlone(error: unknown): void {
  setImmediate(() => {
    throw error;
  });
}
