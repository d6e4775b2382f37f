/**
 * An epoll set watched by Node's event loop: one wake-up of the loop serves every ready descriptor, and timers, promises
 * and message ports still work.
 */
import { type DescriptorWatch, guardCallback, watchDescriptor } from './descriptor-watch.js';
import { EpollSet } from './epoll.js';
import type { Poller, PollerHandler } from './poller.js';

/** How often one wake-up polls the kernel again before timers and messages of this thread get their turn. */
const ROUNDS_PER_WAKE = 8;
const MANY_EVENTS = 16;

export class EpollPoller implements Poller {
  readonly name = 'epoll';
  readonly levelTriggered = false;
  readonly #handler: PollerHandler;
  readonly #set = new EpollSet();
  readonly #watch: DescriptorWatch;
  #immediate: NodeJS.Immediate | undefined;

  constructor(handler: PollerHandler) {
    this.#handler = handler;
    this.#watch = watchDescriptor(
      this.#set.descriptor,
      { readable: true },
      guardCallback(() => this.#wake()),
    );
  }

  add(descriptor: number, token: number): void {
    this.#set.add(descriptor, token);
  }

  addReadable(descriptor: number, token: number): void {
    this.#set.addReadable(descriptor, token);
  }

  retoken(descriptor: number, token: number): void {
    this.#set.retoken(descriptor, token);
  }

  remove(): void {}

  abandon(descriptor: number): void {
    this.#set.remove(descriptor);
  }

  rearm(): void {}

  wakeSoon(): void {
    this.#immediate ??= setImmediate(() => {
      this.#immediate = undefined;
      if (!this.#set.isClosed) this.#wake();
    });
  }

  close(): void {
    if (this.#set.isClosed) return;
    if (this.#immediate) clearImmediate(this.#immediate);
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
      this.#set.report(count, this.#handler);
      if (this.#set.isClosed) return;
      this.#handler.turnEnd();
      if (count < MANY_EVENTS || this.#set.isClosed) return;
    }
  }
}
