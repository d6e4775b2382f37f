/**
 * Datagrams: read from their sockets and dispatched to workers one by one. A worker without room loses them, as a
 * kernel with a full buffer does; the reactor counts the losses. Runs in reactor 0.
 */

import { Event } from '../ipc/frame.js';
import { DATAGRAM_HEADER_BYTES, sockaddrOf, writeDatagramHeader } from '../ipc/frames/datagram.js';
import { ReactorCounter } from '../memory/boards.js';
import { addressOf, allocateStable, EAGAIN, EINTR } from '../os/libc.js';
import { type Poller, READABLE } from '../os/poller.js';
import { lengthOfSender, receiveFrom } from '../os/socket.js';
import type { ReactorContext } from './context.js';
import type { DispatchStrategy, DispatchView } from './dispatch/index.js';

/** Above every slot, below the token of the bell. */
const FIRST_TOKEN = 0x80000000;
const LONGEST_DATAGRAM = 65536;
const DATAGRAMS_PER_TURN = 64;
/** A datagram has no connection. */
const NO_SLOT = -1;

export class Datagrams {
  readonly #context: ReactorContext;
  readonly #strategy: DispatchStrategy;
  readonly #view: DispatchView;
  readonly #poller: Poller;
  readonly #packet = allocateStable(DATAGRAM_HEADER_BYTES + LONGEST_DATAGRAM);
  readonly #dataAddress = addressOf(this.#packet) + DATAGRAM_HEADER_BYTES;
  readonly #sockaddr = sockaddrOf(this.#packet);
  readonly #sockaddrAddress = addressOf(this.#sockaddr);
  /** Ports that may have more than one turn's share. */
  readonly #waiting = new Set<number>();

  constructor(context: ReactorContext, strategy: DispatchStrategy, view: DispatchView, poller: Poller) {
    this.#context = context;
    this.#strategy = strategy;
    this.#view = view;
    this.#poller = poller;
    context.options.ports.forEach(({ datagrams }, index) => {
      if (datagrams >= 0) poller.addReadable(datagrams, FIRST_TOKEN + index);
    });
  }

  /** Another process reads them from now on. */
  abandon(): void {
    for (const { datagrams } of this.#context.options.ports) if (datagrams >= 0) this.#poller.abandon(datagrams);
  }

  static owns(token: number, bellToken: number): boolean {
    return token >= FIRST_TOKEN && token !== bellToken;
  }

  ready(token: number): void {
    this.#waiting.add(token - FIRST_TOKEN);
  }

  /** @returns true when more may be waiting */
  take(): boolean {
    for (const port of this.#waiting) if (this.#takeFrom(port)) this.#waiting.delete(port);
    return this.#waiting.size > 0;
  }

  /** @returns true when the socket is drained */
  #takeFrom(port: number): boolean {
    const descriptor = this.#context.options.ports[port]?.datagrams ?? -1;
    for (let i = 0; i < DATAGRAMS_PER_TURN; i++) {
      const bytes = receiveFrom(descriptor, this.#dataAddress, LONGEST_DATAGRAM, this.#sockaddrAddress);
      if (bytes === -EINTR) continue;
      // Any other error belongs to one datagram (an ICMP answer to one the server sent): the next may be well.
      if (bytes === -EAGAIN) {
        this.#poller.rearm(descriptor, READABLE);
        return true;
      }
      if (bytes >= 0) this.#give(port, bytes, lengthOfSender());
    }
    return false;
  }

  #give(port: number, bytes: number, addressBytes: number): void {
    const { id, board } = this.#context;
    writeDatagramHeader(this.#packet, port, addressBytes);
    board.add(id, ReactorCounter.receivedBytes, bytes);
    const ring = this.#context.ring(this.#choose(addressBytes));
    const length = DATAGRAM_HEADER_BYTES + bytes;
    const given = ring.writeWhole(Event.packet, this.#packet, length);
    board.add(id, given ? ReactorCounter.dispatched : ReactorCounter.discarded, 1);
  }

  /** Sticky strategies keep the datagrams of one sender together. */
  #choose(addressBytes: number): number {
    if (this.#strategy.datagrams !== undefined) return this.#strategy.datagrams;
    const sender = hash(this.#sockaddr, addressBytes);
    if (this.#strategy.sticky) return sender % this.#view.workerNum;
    return this.#strategy.choose({ sessionId: sender, slot: NO_SLOT, address: this.#sockaddr }, this.#view);
  }
}

/** FNV-1a. */
function hash(bytes: Buffer, length: number): number {
  let value = 0x811c9dc5;
  for (let i = 0; i < length; i++) value = Math.imul(value ^ (bytes[i] ?? 0), 0x01000193);
  return (value ^ (value >>> 15)) >>> 0;
}
