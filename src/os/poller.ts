/**
 * What wakes a reactor, a worker or the accepting thread: one interface, two implementations with one conformance
 * suite (`test/os/poller.test.ts`). Reports are edges: after a descriptor was reported readable (or writable), the
 * poller may stay silent about it until it has been read (written) dry and `rearm` was called.
 */
export const READABLE = 1;
export const WRITABLE = 2;
/** The peer has ended its side, or the connection is broken: reading tells which. Comes together with READABLE. */
export const HANGUP = 4;
/** Nothing can be written any more: a reset, or the close of a unix socket. Comes together with HANGUP, and only from epoll. */
export const BROKEN = 8;

export interface PollerHandler {
  /** @param token what was given to `add` */
  ready(token: number, descriptor: number, events: number): void;
  /** After a group of `ready` calls: the place to do what is done once for all of them. */
  turnEnd(): void;
}

export interface Poller {
  readonly name: 'epoll' | 'poll';
  /** Watches for both directions. `token` is an unsigned 32-bit number. */
  add(descriptor: number, token: number): void;
  /** Watches only for reading (listeners, doorbells). */
  addReadable(descriptor: number, token: number): void;
  /** From now on it is reported under another token; what is ready is reported again. */
  retoken(descriptor: number, token: number): void;
  /** Must be called before the descriptor is closed. */
  remove(descriptor: number): void;
  /** The same for one that stays open, here or in another process: closing our copy would not end the reports. */
  abandon(descriptor: number): void;
  /** Asks to be told again; needed after EAGAIN or a short read or write. Costs nothing on epoll. */
  rearm(descriptor: number, events: number): void;
  /** Calls `handler.turnEnd` soon, from the event loop, although no descriptor is ready. */
  wakeSoon(): void;
  /** True where a report repeats until the descriptor was read: a doorbell must be cleared there. */
  readonly levelTriggered: boolean;
  /** No report comes after this. */
  close(): void;
}

const PROMISES_WAIT = Number(process.versions.node.split('.')[0]) >= 25;

/**
 * To be called in a turn that may have settled promises: from Node 25 on those that settle inside a poll callback go on
 * only with the next phase of the event loop, and nothing else may be due.
 */
export function letPromisesGoOn(): void {
  if (PROMISES_WAIT) setImmediate(() => {});
}
