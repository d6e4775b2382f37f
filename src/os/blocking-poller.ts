/**
 * An epoll set that its thread waits for itself while it is busy: epoll_wait(2) blocks for a few milliseconds at most, and
 * after some milliseconds Node's event loop has a turn for timers and messages. While little happens that loop watches the
 * set, as in `EpollPoller`, so an idle thread sleeps as long as Node wants, and nothing waits for it.
 *
 * Saves a wake-up two polls by libuv, a poll of the set, and the call from libuv into JavaScript. Only for a thread that
 * runs neither code of the user nor I/O of Node: both would wait meanwhile, and promises would not continue.
 */

import { EPOLLIN } from './constants.js';
import { type DescriptorWatch, watchDescriptor } from './descriptor-watch.js';
import { BOTH_WAYS, EpollSet } from './epoll.js';
import { endTurn, type Poller, type PollerHandler } from './poller.js';

/** A thread woken twice within this time is busy, and a busy one that nothing wakes for this long is not. */
const BUSY_MS = 2;
/** Timers and messages of the thread wait that much longer. */
const AWAY_MS = 5;

export class BlockingPoller implements Poller {
  readonly name = 'epoll';
  readonly levelTriggered = false;
  readonly #handler: PollerHandler;
  readonly #set = new EpollSet();
  readonly #watch: DescriptorWatch;
  #immediate: NodeJS.Immediate | undefined;
  /** This thread waits itself; nothing watches the set. */
  #isBusy = false;
  /** In the midst of `#stay`. */
  #isStaying = false;
  #mayBlock = true;
  #wantsTurn = false;
  #turnedAt = Number.NEGATIVE_INFINITY;
  #blockedMs = 0;

  constructor(handler: PollerHandler) {
    this.#handler = handler;
    this.#watch = watchDescriptor(this.#set.descriptor, { readable: true }, () => this.#woken());
  }

  add(descriptor: number, token: number): void {
    this.#set.add(descriptor, token, BOTH_WAYS);
  }

  addReadable(descriptor: number, token: number): void {
    this.#set.add(descriptor, token, EPOLLIN);
  }

  retoken(descriptor: number, token: number): void {
    this.#set.change(descriptor, token, BOTH_WAYS);
  }

  remove(): void {}

  abandon(descriptor: number): void {
    this.#set.remove(descriptor);
  }

  rearm(): void {}

  wakeSoon(): void {
    this.#wantsTurn = true;
    if (!this.#isStaying) this.#askForTurn();
  }

  leaveWaitingToNode(): void {
    this.#mayBlock = false;
  }

  get blockedMs(): number {
    return this.#blockedMs;
  }

  close(): void {
    if (this.#set.isClosed) return;
    if (this.#immediate) clearImmediate(this.#immediate);
    this.#watch.close();
    this.#set.close();
  }

  #woken(): void {
    const now = performance.now();
    const isBusy = now - this.#turnedAt < BUSY_MS;
    this.#turnedAt = now;
    this.#askForTurn();
    if (!isBusy || !this.#mayBlock) return;
    this.#isBusy = true;
    this.#watch.update({});
  }

  #askForTurn(): void {
    this.#immediate ??= setImmediate(() => this.#comeRound());
  }

  /** Node's event loop has had its turn. */
  #comeRound(): void {
    this.#immediate = undefined;
    if (!this.#isBusy) return this.#turn(this.#set.wait(0));
    this.#isStaying = true;
    try {
      this.#stay();
    } finally {
      this.#isStaying = false;
      if (!this.#set.isClosed) this.#goOn();
    }
  }

  /** Waits and serves until Node's event loop is due, or nothing happens any more. */
  #stay(): void {
    let now = performance.now();
    const until = now + AWAY_MS;
    while (now < until && this.#isBusy && !this.#set.isClosed) {
      const count = this.#set.wait(this.#wantsTurn ? 0 : BUSY_MS);
      this.#blockedMs += performance.now() - now;
      if (count === 0 && !this.#wantsTurn) this.#isBusy = false;
      else this.#turn(count);
      now = performance.now();
    }
  }

  /** Blocks again as soon as Node's event loop has had its turn, or lets it watch the set. */
  #goOn(): void {
    this.#isBusy &&= this.#mayBlock;
    if (this.#isBusy || this.#wantsTurn) this.#askForTurn();
    if (!this.#isBusy) this.#watch.update({ readable: true });
  }

  #turn(count: number): void {
    this.#wantsTurn = false;
    this.#set.report(count, this.#handler);
    if (!this.#set.isClosed) endTurn(this.#handler, this);
  }
}
