/**
 * Refused clients that were just told why, by an alert: a close while bytes of theirs are unread would be answered with
 * RST, and the alert could be lost. What they still send is discarded until they end. Runs in the reactor.
 */
import { addressOf, allocateStable, EAGAIN, EINTR } from '../../os/libc.js';
import { type Poller, READABLE } from '../../os/poller.js';
import { closeDescriptor, receive, shutdownWrite } from '../../os/socket.js';

export interface LingeringParts {
  readonly poller: Poller;
  /** Not in use by another gate, and out of the range of slots and datagrams. */
  newToken(): number;
}

interface Refused {
  readonly token: number;
  readonly descriptor: number;
  readonly deadline: number;
}

/** As for connections: see `ending.ts`. */
const LINGER_MS = 1000;
const LOOK_MS = 250;
/** Of one port. They count no longer as clients, so descriptors are limited here: the oldest one goes. */
export const MOST_LINGERING = 256;
const PIECE_BYTES = 65_536;
/** A client that sends faster than it is read does not keep the reactor from others. */
const PIECES_PER_TURN = 4;

/** What is discarded; of the whole thread. */
let piece: Buffer | undefined;

export class Lingering {
  readonly #parts: LingeringParts;
  /** By token, the oldest first. */
  readonly #refused = new Map<number, Refused>();
  #timer: NodeJS.Timeout | undefined;

  constructor(parts: LingeringParts) {
    this.#parts = parts;
  }

  get size(): number {
    return this.#refused.size;
  }

  /** @param isWatched by the poller already, under a token that is given up */
  add(descriptor: number, isWatched: boolean): void {
    const { poller, newToken } = this.#parts;
    shutdownWrite(descriptor);
    const token = newToken();
    const client = { token, descriptor, deadline: performance.now() + LINGER_MS };
    this.#refused.set(token, client);
    if (isWatched) poller.retoken(descriptor, token);
    else poller.add(descriptor, token);
    const [oldest] = this.#refused.values();
    if (this.#refused.size > MOST_LINGERING && oldest !== undefined) this.#close(oldest);
    this.#timer ??= setInterval(() => this.#closeLate(), LOOK_MS).unref();
    this.#discard(client);
  }

  /** @returns false: the token is not one of these */
  ready(token: number): boolean {
    const client = this.#refused.get(token);
    if (client !== undefined) this.#discard(client);
    return client !== undefined;
  }

  owns(token: number): boolean {
    return this.#refused.has(token);
  }

  clear(): void {
    for (const client of [...this.#refused.values()]) this.#close(client);
  }

  #discard(client: Refused): void {
    const { poller } = this.#parts;
    const { descriptor, token } = client;
    piece ??= allocateStable(PIECE_BYTES);
    const address = addressOf(piece);
    for (let i = 0; i < PIECES_PER_TURN; i++) {
      const n = receive(descriptor, address, PIECE_BYTES);
      if (n > 0 || n === -EINTR) continue;
      return n === -EAGAIN ? poller.rearm(descriptor, READABLE) : this.#close(client);
    }
    poller.retoken(descriptor, token); // what is left is reported again
  }

  #closeLate(): void {
    const now = performance.now();
    for (const client of [...this.#refused.values()]) if (now >= client.deadline) this.#close(client);
  }

  #close({ token, descriptor }: Refused): void {
    this.#refused.delete(token);
    this.#parts.poller.remove(descriptor);
    closeDescriptor(descriptor);
    if (this.#refused.size > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }
}
