/** Choosing the worker: what a strategy may look at. Everything is read from shared memory. Runs in the reactor. */
export interface DispatchView {
  readonly workerNum: number;
  /** Open connections of a worker, over all reactors. */
  connections(worker: number): number;
  /** True when the worker has a process that receives packets. */
  isReady(worker: number): boolean;
  /** True while the worker runs callbacks or has queued packets. */
  isBusy(worker: number): boolean;
  /** For how long the worker has run callbacks without a break, in ms; 0: it runs none. */
  busyForMs(worker: number): number;
  /** True when the worker has a process that neither runs callbacks nor has packets queued or pending, and no other one that leaves or comes. */
  isIdle(worker: number): boolean;
  /** Bytes queued for this worker. */
  queuedBytes(worker: number): number;
  /** Callbacks of this worker whose promise has not settled. */
  pending(worker: number): number;
  /** The uid that `bind` gave the connection in this slot; 0: none. */
  uid(slot: number): number;
  /** A counter shared by all reactors. */
  nextRound(): number;
}

/** What is to be dispatched: a connection (sticky strategies), or a packet of one. */
export interface DispatchSubject {
  readonly sessionId: number;
  readonly slot: number;
  /** 16 bytes: IPv6, or IPv4 in the first four. Known when the connection is accepted, empty later. */
  readonly address: Buffer;
}

/** One way to choose. A dispatch mode is a name for one of these (`dispatch/index.ts`). */
export interface DispatchStrategy {
  /** True: a connection keeps its worker. False: each packet is dispatched by itself. */
  readonly sticky: boolean;
  /** A choice that no packet followed stands for the next packet; false: it would be out of date. */
  readonly keepsUnused: boolean;
  /** Where the chosen worker has no room, the packet goes to another one. Missing: that would break what the strategy promises. */
  readonly anyWillDo?: true;
  /** The worker of all datagrams; undefined: datagrams of one sender go to one worker. */
  readonly datagrams?: number;
  choose(subject: DispatchSubject, view: DispatchView): number;
}

/** The worker of a connection: for all its packets (sticky strategies), or for its `connect` and `close`. */
export function chooseForConnection(strategy: DispatchStrategy, subject: DispatchSubject, view: DispatchView): number {
  return strategy.sticky ? strategy.choose(subject, view) : subject.sessionId % view.workerNum;
}
