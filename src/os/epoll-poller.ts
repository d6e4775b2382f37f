/**
 * Our own epoll, watched by Node's event loop: one wake-up of the loop serves every ready descriptor, and timers, promises
 * and message ports still work. It is edge-triggered, so a descriptor is registered once in its life: no epoll_ctl when a
 * connection is paused, resumed, or waits to become writable.
 */
import * as C from './constants.js';
import { type DescriptorWatch, guardCallback, watchDescriptor } from './descriptor-watch.js';
import { addressOf, allocateStable, check, libc } from './libc.js';
import { BROKEN, HANGUP, type Poller, type PollerHandler, READABLE, WRITABLE } from './poller.js';

const EVENT_BYTES = process.arch === 'x64' ? 12 : 16; // struct epoll_event is packed on x86-64 only
const DATA_AT = EVENT_BYTES - 8;
const MAX_EVENTS = 512;
/** How often one wake-up polls the kernel again before timers and messages of this thread get their turn. */
const ROUNDS_PER_WAKE = 8;
const MANY_EVENTS = 16;

const BOTH = C.EPOLLIN | C.EPOLLOUT | C.EPOLLRDHUP | C.EPOLLET;

export class EpollPoller implements Poller {
  readonly name = 'epoll';
  readonly levelTriggered = false;
  readonly #handler: PollerHandler;
  readonly #epoll: number;
  readonly #events = allocateStable(EVENT_BYTES * MAX_EVENTS);
  readonly #view = new DataView(this.#events.buffer, this.#events.byteOffset, this.#events.byteLength);
  readonly #eventsAddress = addressOf(this.#events);
  readonly #registration = Buffer.alloc(EVENT_BYTES);
  readonly #watch: DescriptorWatch;
  #immediate: NodeJS.Immediate | undefined;
  #closed = false;

  constructor(handler: PollerHandler) {
    this.#handler = handler;
    this.#epoll = check(libc.epoll_create1(C.EPOLL_CLOEXEC), 'epoll_create1');
    this.#watch = watchDescriptor(
      this.#epoll,
      { readable: true },
      guardCallback(() => this.#wake()),
    );
  }

  add(descriptor: number, token: number): void {
    this.#register(descriptor, token, BOTH);
  }

  addReadable(descriptor: number, token: number): void {
    this.#register(descriptor, token, C.EPOLLIN | C.EPOLLET);
  }

  retoken(descriptor: number, token: number): void {
    this.#register(descriptor, token, BOTH, C.EPOLL_CTL_MOD);
  }

  /** close(2) removes a descriptor from its epoll by itself. */
  remove(): void {}

  abandon(descriptor: number): void {
    libc.epoll_ctl(this.#epoll, C.EPOLL_CTL_DEL, descriptor, this.#registration);
  }

  rearm(): void {}

  wakeSoon(): void {
    this.#immediate ??= setImmediate(() => {
      this.#immediate = undefined;
      if (!this.#closed) this.#wake();
    });
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    if (this.#immediate) clearImmediate(this.#immediate);
    this.#watch.close();
    libc.close(this.#epoll);
  }

  #register(descriptor: number, token: number, events: number, how = C.EPOLL_CTL_ADD): void {
    const event = this.#registration;
    event.writeUInt32LE(events >>> 0, 0);
    event.writeUInt32LE(token, DATA_AT);
    event.writeUInt32LE(descriptor, DATA_AT + 4);
    check(libc.epoll_ctl(this.#epoll, how, descriptor, event), 'epoll_ctl');
  }

  /**
   * Behind many events there are probably more by now, and to ask costs less than to be woken again. Behind a few there
   * are hardly any.
   */
  #wake(): void {
    for (let round = 0; round < ROUNDS_PER_WAKE; round++) {
      const count = libc.epoll_wait(this.#epoll, this.#eventsAddress, MAX_EVENTS, 0);
      if (count < 1 && round > 0) return; // this turn has ended already
      for (let i = 0; i < count && !this.#closed; i++) this.#report(i * EVENT_BYTES);
      if (this.#closed) return;
      this.#handler.turnEnd();
      if (count < MANY_EVENTS || this.#closed) return;
    }
  }

  #report(at: number): void {
    const view = this.#view;
    const flags = view.getUint32(at, true);
    let events = 0;
    if (flags & C.EPOLLIN) events |= READABLE;
    if (flags & C.EPOLLOUT) events |= WRITABLE;
    if (flags & (C.EPOLLRDHUP | C.EPOLLHUP | C.EPOLLERR)) events |= READABLE | HANGUP;
    if (flags & (C.EPOLLHUP | C.EPOLLERR)) events |= BROKEN;
    this.#handler.ready(view.getUint32(at + DATA_AT, true), view.getUint32(at + DATA_AT + 4, true), events);
  }
}
