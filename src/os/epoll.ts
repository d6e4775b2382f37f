/**
 * A set of descriptors that the kernel watches, edge-triggered: a descriptor is registered once in its life, and no
 * epoll_ctl follows when a connection is paused, resumed, or waits to become writable. Who waits for its events is the
 * poller's matter.
 */
import * as C from './constants.js';
import { addressOf, allocateStable, check, libc } from './libc.js';
import { BROKEN, HANGUP, type PollerHandler, READABLE, report, WRITABLE } from './poller.js';

const EVENT_BYTES = process.arch === 'x64' ? 12 : 16; // struct epoll_event is packed on x86-64 only
const DATA_AT = EVENT_BYTES - 8;
const MAX_EVENTS = 512;

export const BOTH_WAYS = C.EPOLLIN | C.EPOLLOUT | C.EPOLLRDHUP;

export class EpollSet {
  readonly descriptor = check(libc.epoll_create1(C.EPOLL_CLOEXEC), 'epoll_create1');
  readonly #events = allocateStable(EVENT_BYTES * MAX_EVENTS);
  readonly #view = new DataView(this.#events.buffer, this.#events.byteOffset, this.#events.byteLength);
  readonly #eventsAddress = addressOf(this.#events);
  readonly #registration = Buffer.alloc(EVENT_BYTES);
  #isClosed = false;

  /** @param events of `EPOLLIN`, `EPOLLOUT` and `EPOLLRDHUP`: see `BOTH_WAYS` */
  add(descriptor: number, token: number, events: number): void {
    this.#register(C.EPOLL_CTL_ADD, descriptor, token, events);
  }

  /** Another token, other events; what is ready already is reported again. */
  change(descriptor: number, token: number, events: number): void {
    this.#register(C.EPOLL_CTL_MOD, descriptor, token, events);
  }

  /** Only for a descriptor that stays open somewhere: close(2) removes the others by itself. */
  remove(descriptor: number): void {
    libc.epoll_ctl(this.descriptor, C.EPOLL_CTL_DEL, descriptor, this.#registration);
  }

  /** Blocks for up to `ms`. @returns how many events there are to report; negative when a signal came */
  wait(ms: number): number {
    return libc.epoll_wait(this.descriptor, this.#eventsAddress, MAX_EVENTS, ms);
  }

  /** Reports the first `count` events of the last wait, unless a report closes this set. */
  report(count: number, handler: PollerHandler): void {
    for (let i = 0; i < count && !this.#isClosed; i++) this.#reportOne(i * EVENT_BYTES, handler);
  }

  /** Of the first event of the last wait. */
  get firstDescriptor(): number {
    return this.#view.getUint32(DATA_AT + 4, true);
  }

  get firstToken(): number {
    return this.#view.getUint32(DATA_AT, true);
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  close(): void {
    this.#isClosed = true;
    libc.close(this.descriptor);
  }

  #register(how: number, descriptor: number, token: number, events: number): void {
    const event = this.#registration;
    event.writeUInt32LE((events | C.EPOLLET) >>> 0, 0);
    event.writeUInt32LE(token, DATA_AT);
    event.writeUInt32LE(descriptor, DATA_AT + 4);
    check(libc.epoll_ctl(this.descriptor, how, descriptor, event), 'epoll_ctl');
  }

  #reportOne(at: number, handler: PollerHandler): void {
    const view = this.#view;
    const flags = view.getUint32(at, true);
    let events = 0;
    if (flags & C.EPOLLIN) events |= READABLE;
    if (flags & C.EPOLLOUT) events |= WRITABLE;
    if (flags & (C.EPOLLRDHUP | C.EPOLLHUP | C.EPOLLERR)) events |= READABLE | HANGUP;
    if (flags & (C.EPOLLHUP | C.EPOLLERR)) events |= BROKEN;
    report(handler, view.getUint32(at + DATA_AT, true), view.getUint32(at + DATA_AT + 4, true), events);
  }
}
