/**
 * An epoll set watched by Node's event loop: one wake-up of the loop serves every ready descriptor, and timers, promises
 * and message ports still work.
 *
 * A descriptor that alone is ready again and again (one busy connection, or the bell of a worker) is watched by the loop
 * itself, which spares each wake-up the way through the set: a call of epoll_wait(2), and the kernel's nested wake-up.
 *
 * Turns run as immediates: in the same round of the loop as the wake-up, and as callbacks that Node knows. What Node puts
 * off to the end of a callback (ticks, promises) then goes on when the turn has ended, never in its midst.
 */

import { EPOLLIN, EPOLLOUT } from './constants.js';
import { type DescriptorWatch, type WatchEvents, watchDescriptor } from './descriptor-watch.js';
import { BOTH_WAYS, EpollSet } from './epoll.js';
import { endTurn, type Poller, type PollerHandler, READABLE, report } from './poller.js';

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
  /** The loop has seen it ready, and its turn has not come yet. */
  isReady: boolean;
}

export class EpollPoller implements Poller {
  readonly name = 'epoll';
  readonly #handler: PollerHandler;
  readonly #set = new EpollSet();
  readonly #watch: DescriptorWatch;
  readonly #readOnly = new Set<number>();
  #immediate: NodeJS.Immediate | undefined;
  /** The next turn asks the set. */
  #asksSet = false;
  #lone: Lone | undefined;
  #lastAlone = NONE;
  #timesAlone = 0;
  #levelTriggered = false;

  constructor(handler: PollerHandler) {
    this.#handler = handler;
    this.#watch = watchDescriptor(this.#set.descriptor, { readable: true }, () => this.wakeSoon());
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
    this.#asksSet = true;
    this.#askForTurn();
  }

  close(): void {
    if (this.#set.isClosed) return;
    if (this.#immediate) clearImmediate(this.#immediate);
    this.#closeLone();
    this.#watch.close();
    this.#set.close();
  }

  #askForTurn(): void {
    this.#immediate ??= setImmediate(this.#turn);
  }

  readonly #turn = (): void => {
    this.#immediate = undefined;
    const lone = this.#lone?.isReady === true ? this.#lone : undefined;
    if (lone !== undefined) this.#reportLone(lone);
    if (!this.#asksSet) this.#endTurn();
    else this.#askSet();
    if (lone !== undefined && this.#lone === lone && !lone.isDry) this.#giveBack();
  };

  /**
   * Behind many events there are probably more by now, and to ask costs less than to be woken again. Behind a few there
   * are hardly any.
   */
  #askSet(): void {
    this.#asksSet = false;
    for (let round = 0; round < ROUNDS_PER_WAKE && !this.#set.isClosed; round++) {
      const count = this.#set.wait(0);
      if (count < 1 && round > 0) return; // this turn has ended already
      if (count > 0) this.#countAlone(count);
      this.#set.report(count, this.#handler);
      this.#endTurn();
      if (this.#timesAlone >= OFTEN_ALONE) this.#watchAlone();
      if (count < MANY_EVENTS) return;
    }
  }

  #endTurn(): void {
    if (!this.#set.isClosed) endTurn(this.#handler, this);
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
    const watch = watchDescriptor(descriptor, { readable: true, disconnect: true }, (status, events) =>
      this.#loneIsReady(status, events),
    );
    this.#lone = { descriptor, token, watch, isDry: true, isReady: false };
  }

  /** The set knows more of ends and errors, and reports them in its own way. */
  #loneIsReady(status: number, events: WatchEvents): void {
    const lone = this.#lone;
    if (lone === undefined) return;
    if (status < 0 || events.disconnect) return this.#giveBack();
    lone.isReady = true;
    this.#askForTurn();
  }

  #reportLone(lone: Lone): void {
    lone.isReady = false;
    lone.isDry = false;
    this.#levelTriggered = true;
    report(this.#handler, lone.token, lone.descriptor, READABLE);
    this.#levelTriggered = false;
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
