/**
 * The portable poller: Node's event loop watches each descriptor itself. Several times slower than epoll, with the same
 * behaviour. libuv is level-triggered, so a reported direction is not watched again before `rearm`, and the peer's end is
 * reported once. Turns run as immediates, as in `EpollPoller`.
 */
import { type DescriptorWatch, type WatchEvents, watchDescriptor } from './descriptor-watch.js';
import { BROKEN, endTurn, HANGUP, type Poller, type PollerHandler, READABLE, report, WRITABLE } from './poller.js';
import { isBroken } from './socket.js';

interface Watched {
  readonly token: number;
  readonly watch: DescriptorWatch;
  /** Of `READABLE`, `WRITABLE` and `HANGUP`. */
  interest: number;
  /** Seen, and not reported yet. */
  events: number;
}

/** How late it may be told that a peer which had ended its side is gone: libuv has no word for that. */
const BROKEN_AFTER_END_MS = 250;

const toInterest = (events: number) => ({
  readable: (events & READABLE) !== 0,
  writable: (events & WRITABLE) !== 0,
  disconnect: (events & HANGUP) !== 0,
});

export class DescriptorPoller implements Poller {
  readonly name = 'poll';
  readonly levelTriggered = true;
  readonly #handler: PollerHandler;
  readonly #watched = new Map<number, Watched>();
  /** By descriptor: what is reported in the next turn. */
  #due = new Map<number, Watched>();
  /** Descriptors whose peer has ended its side, and may still read. */
  readonly #ended = new Set<number>();
  #immediate: NodeJS.Immediate | undefined;
  #endedTimer: NodeJS.Timeout | undefined;
  #closed = false;
  readonly #anchor = setInterval(() => {}, 2 ** 30); // keeps the loop alive as the epoll watch does

  constructor(handler: PollerHandler) {
    this.#handler = handler;
  }

  add(descriptor: number, token: number): void {
    this.#watch(descriptor, token, READABLE | HANGUP);
  }

  addReadable(descriptor: number, token: number): void {
    this.#watch(descriptor, token, READABLE);
  }

  retoken(descriptor: number, token: number): void {
    this.remove(descriptor);
    this.add(descriptor, token);
  }

  remove(descriptor: number): void {
    this.#watched.get(descriptor)?.watch.close();
    this.#watched.delete(descriptor);
    this.#ended.delete(descriptor);
  }

  abandon(descriptor: number): void {
    this.remove(descriptor);
  }

  rearm(descriptor: number, events: number): void {
    const watched = this.#watched.get(descriptor);
    if (watched === undefined || (watched.interest & events) === events) return;
    watched.interest |= events;
    watched.watch.update(toInterest(watched.interest));
  }

  wakeSoon(): void {
    this.#immediate ??= setImmediate(this.#turn);
  }

  close(): void {
    this.#closed = true;
    clearInterval(this.#anchor);
    clearInterval(this.#endedTimer);
    if (this.#immediate) clearImmediate(this.#immediate);
    for (const { watch } of this.#watched.values()) watch.close();
    this.#watched.clear();
  }

  #watch(descriptor: number, token: number, interest: number): void {
    const note = (status: number, seen: WatchEvents): void => this.#note(descriptor, status, seen);
    const watch = watchDescriptor(descriptor, toInterest(interest), note);
    this.#watched.set(descriptor, { token, watch, interest, events: 0 });
  }

  #note(descriptor: number, status: number, seen: WatchEvents): void {
    const watched = this.#watched.get(descriptor);
    if (watched === undefined || this.#closed) return;
    let events = 0;
    if (seen.readable) events |= READABLE;
    if (seen.writable) events |= WRITABLE;
    if (status < 0 || seen.disconnect) events |= this.#endOf(descriptor);
    watched.interest &= ~events;
    watched.watch.update(toInterest(watched.interest));
    this.#report(descriptor, watched, events);
  }

  #endOf(descriptor: number): number {
    if (isBroken(descriptor)) return READABLE | WRITABLE | HANGUP | BROKEN;
    this.#ended.add(descriptor);
    this.#endedTimer ??= setInterval(this.#lookAtEnded, BROKEN_AFTER_END_MS).unref();
    return READABLE | HANGUP;
  }

  readonly #lookAtEnded = (): void => {
    for (const descriptor of this.#ended) {
      const watched = this.#watched.get(descriptor);
      if (watched === undefined || !isBroken(descriptor)) continue;
      this.#ended.delete(descriptor);
      this.#report(descriptor, watched, READABLE | HANGUP | BROKEN);
    }
    if (this.#ended.size > 0) return;
    clearInterval(this.#endedTimer);
    this.#endedTimer = undefined;
  };

  /** In the next turn. */
  #report(descriptor: number, watched: Watched, events: number): void {
    watched.events |= events;
    this.#due.set(descriptor, watched);
    this.wakeSoon();
  }

  readonly #turn = (): void => {
    this.#immediate = undefined;
    const due = this.#due;
    this.#due = new Map();
    for (const [descriptor, watched] of due) {
      if (this.#closed) return;
      if (this.#watched.get(descriptor) !== watched) continue; // removed meanwhile
      const { events } = watched;
      watched.events = 0;
      report(this.#handler, watched.token, descriptor, events);
    }
    if (!this.#closed) endTurn(this.#handler, this);
  };
}
