/**
 * Datagrams: read from their sockets and dispatched to workers one by one. A worker without room loses them, as a
 * kernel with a full buffer does; the reactor counts the losses. Runs in reactor 0.
 */

import { Event } from '../ipc/frame.js';
import { DATAGRAM_HEADER_BYTES, SOCKADDR_AT, sockaddrOf, writeDatagramHeader } from '../ipc/frames/datagram.js';
import { ReactorCounter } from '../memory/boards.js';
import { DATAGRAMS_PER_BATCH, DatagramBatch } from '../os/datagram-batch.js';
import { type Poller, READABLE } from '../os/poller.js';
import type { ReactorContext } from './context.js';
import type { DispatchStrategy, DispatchView } from './dispatch/index.js';

/** Above every slot, below the token of the bell. */
const FIRST_TOKEN = 0x80000000;
const BATCHES_PER_TURN = 2;
/** A datagram has no connection. */
const NO_SLOT = -1;

export class Datagrams {
  readonly #context: ReactorContext;
  readonly #strategy: DispatchStrategy;
  readonly #view: DispatchView;
  readonly #poller: Poller;
  /** Where a port takes datagrams. */
  readonly #batch: DatagramBatch | undefined;
  readonly #sockaddrs: readonly Buffer[];
  /** Ports that may have more than one turn's share. A set that becomes empty shrinks: 1 % of the CPU of a datagram. */
  readonly #waiting: number[] = [];

  constructor(context: ReactorContext, strategy: DispatchStrategy, view: DispatchView, poller: Poller) {
    this.#context = context;
    this.#strategy = strategy;
    this.#view = view;
    this.#poller = poller;
    const { ports } = context.options;
    ports.forEach(({ datagrams }, index) => {
      if (datagrams >= 0) poller.addReadable(datagrams, FIRST_TOKEN + index);
    });
    if (ports.some(({ datagrams }) => datagrams >= 0)) {
      this.#batch = new DatagramBatch({ headerBytes: DATAGRAM_HEADER_BYTES, sockaddrAt: SOCKADDR_AT });
    }
    this.#sockaddrs = this.#batch?.packets.map(sockaddrOf) ?? [];
  }

  /** Another process reads them from now on. */
  abandon(): void {
    for (const { datagrams } of this.#context.options.ports) if (datagrams >= 0) this.#poller.abandon(datagrams);
  }

  static owns(token: number, bellToken: number): boolean {
    return token >= FIRST_TOKEN && token !== bellToken;
  }

  ready(token: number): void {
    const port = token - FIRST_TOKEN;
    if (!this.#waiting.includes(port)) this.#waiting.push(port);
  }

  /** @returns true when more may be waiting */
  take(): boolean {
    for (let left = this.#waiting.length; left > 0; left--) {
      const port = this.#waiting.shift() as number;
      if (!this.#takeFrom(port)) this.#waiting.push(port);
    }
    return this.#waiting.length > 0;
  }

  /** @returns true when the socket is drained */
  #takeFrom(port: number): boolean {
    const descriptor = this.#context.options.ports[port]?.datagrams ?? -1;
    for (let i = 0; i < BATCHES_PER_TURN; i++) {
      // An error belongs to one datagram (an ICMP answer to one the server sent): the next may be well.
      const count = this.#batch?.receive(descriptor) ?? 0;
      for (let place = 0; place < count; place++) this.#give(port, place);
      if (count < 0 || count === DATAGRAMS_PER_BATCH) continue;
      this.#poller.rearm(descriptor, READABLE);
      return true;
    }
    return false;
  }

  #give(port: number, place: number): void {
    const batch = this.#batch as DatagramBatch;
    const packet = batch.packets[place] as Buffer;
    const bytes = batch.bytesAt(place);
    const addressBytes = batch.takeAddressBytes(place);
    const { id, board } = this.#context;
    writeDatagramHeader(packet, port, addressBytes);
    board.add(id, ReactorCounter.receivedBytes, bytes);
    const ring = this.#context.ring(this.#choose(place, addressBytes));
    const given = ring.writeWhole(Event.packet, packet, DATAGRAM_HEADER_BYTES + bytes);
    board.add(id, given ? ReactorCounter.dispatched : ReactorCounter.discarded, 1);
  }

  /** Sticky strategies keep the datagrams of one sender together. */
  #choose(place: number, addressBytes: number): number {
    if (this.#strategy.datagrams !== undefined) return this.#strategy.datagrams;
    const sockaddr = this.#sockaddrs[place] as Buffer;
    const sender = hash(sockaddr, addressBytes);
    if (this.#strategy.sticky) return sender % this.#view.workerNum;
    return this.#strategy.choose({ sessionId: sender, slot: NO_SLOT, address: sockaddr }, this.#view);
  }
}

/** FNV-1a. */
function hash(bytes: Buffer, length: number): number {
  let value = 0x811c9dc5;
  for (let i = 0; i < length; i++) value = Math.imul(value ^ (bytes[i] ?? 0), 0x01000193);
  return (value ^ (value >>> 15)) >>> 0;
}
