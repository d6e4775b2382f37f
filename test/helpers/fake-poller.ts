import type { Poller, PollerHandler } from '../../src/os/poller.js';

/** A poller that reports what the test says, and notes what it was asked. */
export class FakePoller implements Poller {
  readonly name = 'epoll';
  readonly levelTriggered = false;
  readonly handler: PollerHandler;
  /** Watched descriptors, by their token. */
  readonly watched = new Map<number, number>();
  /** In order: `rearm 5 2` (descriptor and events), `remove 5`, `abandon 5`, `close`. */
  readonly asked: string[] = [];
  /** Turns asked for by `wakeSoon`. */
  wanted = 0;

  constructor(handler: PollerHandler) {
    this.handler = handler;
  }

  add(descriptor: number, token: number): void {
    this.watched.set(token, descriptor);
  }

  addReadable(descriptor: number, token: number): void {
    this.add(descriptor, token);
  }

  retoken(descriptor: number, token: number): void {
    this.#forget(descriptor);
    this.add(descriptor, token);
  }

  remove(descriptor: number): void {
    this.#forget(descriptor);
    this.asked.push(`remove ${descriptor}`);
  }

  abandon(descriptor: number): void {
    this.#forget(descriptor);
    this.asked.push(`abandon ${descriptor}`);
  }

  rearm(descriptor: number, events: number): void {
    this.asked.push(`rearm ${descriptor} ${events}`);
  }

  wakeSoon(): void {
    this.wanted++;
  }

  close(): void {
    this.asked.push('close');
    this.watched.clear();
  }

  tokenOf(descriptor: number): number {
    return [...this.watched].find(([, watched]) => watched === descriptor)?.[0] ?? -1;
  }

  /** The descriptor is ready; the turn is not over. */
  report(descriptor: number, events: number): void {
    this.handler.ready(this.tokenOf(descriptor), descriptor, events);
  }

  #forget(descriptor: number): void {
    this.watched.delete(this.tokenOf(descriptor));
  }
}
