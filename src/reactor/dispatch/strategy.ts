/** Choosing the worker: what a strategy may look at. Everything is read from shared memory. Runs in the reactor. */
export interface DispatchView {
  readonly workerNum: number;
  /** Living connections of a worker, over all reactors. */
  connections(worker: number): number;
  /** True when the worker has a process that takes packets. */
  isReady(worker: number): boolean;
  /** True while the worker runs callbacks or packets wait for it. */
  isBusy(worker: number): boolean;
  /** For how long it has been running callbacks without a break, in ms; 0: it does not. */
  busyForMs(worker: number): number;
  /** True when it has a process that neither runs nor waits for anything. */
  isIdle(worker: number): boolean;
  /** Bytes that wait for this worker. */
  queuedBytes(worker: number): number;
  /** Callbacks of this worker whose promise has not settled. */
  pending(worker: number): number;
  /** What `bind` has given the connection in this slot; 0: nothing. */
  uid(slot: number): number;
  /** A counter shared by all reactors. */
  nextRound(): number;
}

/** What is to be given to a worker: a connection (sticky strategies), or a packet of one. */
export interface DispatchSubject {
  readonly sessionId: number;
  readonly slot: number;
  /** 16 bytes: IPv6, or IPv4 in the first four. Known when the connection is accepted, empty later. */
  readonly address: Buffer;
}

/** One way to choose. A dispatch mode is a name for one of these (`dispatch/index.ts`). */
export interface DispatchStrategy {
  /** True: a connection keeps the worker it was given. False: each packet is given out by itself. */
  readonly sticky: boolean;
  /** A choice for which there was no packet after all stands for the next one; false: it would be out of date. */
  readonly keepsUnused: boolean;
  /** The worker that all datagrams go to; undefined: those of one sender go to one worker. */
  readonly datagrams?: number;
  choose(subject: DispatchSubject, view: DispatchView): number;
}

/** The worker of a connection: of all its packets (sticky strategies), or of its `connect` and `close`. */
export function chooseForConnection(strategy: DispatchStrategy, subject: DispatchSubject, view: DispatchView): number {
  return strategy.sticky ? strategy.choose(subject, view) : subject.sessionId % view.workerNum;
}
