/**
 * An epoll set watched by Node's event loop: one wake-up of the loop serves every ready descriptor, and timers, promises
 * and message ports still work.
 *
 * A descriptor that alone is ready again and again (one busy connection, or the bell of a worker) is watched by the loop
 * itself, which spares each wake-up the way through the set: a call of epoll_wait(2), and the kernel's nested wake-up.
 */

import { EPOLLIN, EPOLLOUT } from './constants.js';
import { type DescriptorWatch, guardCallback, type WatchEvents, watchDescriptor } from './descriptor-watch.js';
import { BOTH_WAYS, EpollSet } from './epoll.js';
import { type Poller, type PollerHandler, READABLE } from './poller.js';

/** How often one wake-up polls the kernel again before timers and messages of this thread get their turn. */
const ROUNDS_PER_WAKE = 8;
const MANY_EVENTS = 16;
/** Wake-ups in a row by one descriptor alone: to watch another one costs about as much as two wake-ups. */
const OFTEN_ALONE = 16;
const NONE = -1;

/** The descriptor that Node's event loop watches itself. */
interface Lone {
  readonly descriptor: number;
  readonly token: number;
  readonly watch: DescriptorWatch;
  /** It was read dry since its last report. */
  isDry: boolean;
}

export class EpollPoller implements Poller {
  readonly name = 'epoll';
  readonly #handler: PollerHandler;
  readonly #set = new EpollSet();
  readonly #watch: DescriptorWatch;
  readonly #readOnly = new Set<number>();
  #immediate: NodeJS.Immediate | undefined;
  #lone: Lone | undefined;
  #lastAlone = NONE;
  #timesAlone = 0;
  #levelTriggered = false;

  constructor(handler: PollerHandler) {
    this.#handler = handler;
    this.#watch = watchDescriptor(
      this.#set.descriptor,
      { readable: true },
      guardCallback(() => this.#wake()),
    );
  }

  /** During the report of the descriptor that the loop watches itself: libuv repeats it. */
  get levelTriggered(): boolean {
    return this.#levelTriggered;
  }

  add(descriptor: number, token: number): void {
    this.#set.add(descriptor, token, BOTH_WAYS);
  }

  addReadable(descriptor: number, token: number): void {
    this.#set.add(descriptor, token, EPOLLIN);
    this.#readOnly.add(descriptor);
  }

  retoken(descriptor: number, token: number): void {
    if (this.#lone?.descriptor === descriptor) this.#closeLone();
    this.#lastAlone = NONE;
    this.#set.change(descriptor, token, BOTH_WAYS);
  }

  remove(descriptor: number): void {
    this.#forget(descriptor);
  }

  abandon(descriptor: number): void {
    this.#forget(descriptor);
    this.#set.remove(descriptor);
  }

  rearm(descriptor: number, events: number): void {
    if (this.#lone?.descriptor === descriptor && (events & READABLE) !== 0) this.#lone.isDry = true;
  }

  wakeSoon(): void {
    this.#immediate ??= setImmediate(() => {
      this.#immediate = undefined;
      if (!this.#set.isClosed) this.#wake();
    });
  }

  close(): void {
    if (this.#set.isClosed) return;
    if (this.#immediate) clearImmediate(this.#immediate);
    this.#closeLone();
    this.#watch.close();
    this.#set.close();
  }

  /**
   * Behind many events there are probably more by now, and to ask costs less than to be woken again. Behind a few there
   * are hardly any.
   */
  #wake(): void {
    for (let round = 0; round < ROUNDS_PER_WAKE; round++) {
      const count = this.#set.wait(0);
      if (count < 1 && round > 0) return; // this turn has ended already
      if (count > 0) this.#countAlone(count);
      this.#set.report(count, this.#handler);
      if (this.#set.isClosed) return;
      this.#handler.turnEnd();
      if (this.#timesAlone >= OFTEN_ALONE) this.#watchAlone();
      if (count < MANY_EVENTS || this.#set.isClosed) return;
    }
  }

  // ——— the descriptor that is ready alone ———

  #countAlone(count: number): void {
    const { firstDescriptor } = this.#set;
    if (count === 1 && firstDescriptor === this.#lone?.descriptor) return; // it can be written
    this.#giveBack();
    const isSame = count === 1 && firstDescriptor === this.#lastAlone;
    this.#timesAlone = isSame ? this.#timesAlone + 1 : 0;
    this.#lastAlone = count === 1 ? firstDescriptor : NONE;
  }

  #watchAlone(): void {
    const { firstDescriptor: descriptor, firstToken: token } = this.#set;
    this.#timesAlone = 0;
    if (this.#set.isClosed || this.#lastAlone !== descriptor) return;
    this.#set.change(descriptor, token, this.#eventsOf(descriptor) & EPOLLOUT);
    const watch = watchDescriptor(
      descriptor,
      { readable: true, disconnect: true },
      guardCallback((status, events) => this.#loneIsReady(status, events)),
    );
    this.#lone = { descriptor, token, watch, isDry: true };
  }

  /** The set knows more of ends and errors, and reports them in its own way. */
  #loneIsReady(status: number, events: WatchEvents): void {
    const lone = this.#lone;
    if (lone === undefined) return;
    if (status < 0 || events.disconnect) return this.#giveBack();
    lone.isDry = false;
    this.#levelTriggered = true;
    try {
      this.#handler.ready(lone.token, lone.descriptor, READABLE);
    } finally {
      this.#levelTriggered = false;
    }
    if (!this.#set.isClosed) this.#handler.turnEnd();
    if (this.#lone === lone && !lone.isDry) this.#giveBack();
  }

  /** The set watches it again, and reports it if it is ready. */
  #giveBack(): void {
    const lone = this.#lone;
    if (lone === undefined) return;
    this.#closeLone();
    this.#set.change(lone.descriptor, lone.token, this.#eventsOf(lone.descriptor));
  }

  #eventsOf(descriptor: number): number {
    return this.#readOnly.has(descriptor) ? EPOLLIN : BOTH_WAYS;
  }

  #closeLone(): void {
    this.#lone?.watch.close();
    this.#lone = undefined;
    this.#timesAlone = 0;
  }

  #forget(descriptor: number): void {
    if (this.#lone?.descriptor === descriptor) this.#closeLone();
    if (this.#lastAlone === descriptor) this.#lastAlone = NONE;
    if (this.#readOnly.size > 0) this.#readOnly.delete(descriptor);
  }
}
