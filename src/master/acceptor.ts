/**
 * Accepts connections and gives each to the reactor that has the fewest. Runs in the master's main thread.
 *
 * What cannot be accepted now (no descriptors left, `maxConnections` reached) stays in the kernel's backlog: accepting
 * pauses, with one log line, and goes on by itself.
 */
import { ACCEPT_PAYLOAD, frameBytes, Request } from '../ipc/frame.js';
import type { ReactorLink } from '../ipc/outbox.js';
import type { AddressCounters } from '../memory/address-counters.js';
import type { ReactorBoard } from '../memory/boards.js';
import { decodeAddress, SOCKADDR_BYTES } from '../os/address.js';
import { AF_INET, AF_UNIX } from '../os/constants.js';
import { EAGAIN, ECONNABORTED, EINTR, errnoName, isLinux } from '../os/libc.js';
import { type Poller, type PollerHandler, READABLE } from '../os/poller.js';
import { accept, resetConnection } from '../os/socket.js';
import type { Log } from '../util/log.js';
import { type BoundPort, isDatagram, listenOn, unbindPort } from './bind-port.js';

export interface AcceptorParts {
  /** Those for datagrams among them are not accepted from, and stay open when accepting ends. */
  readonly ports: readonly BoundPort[];
  readonly links: readonly ReactorLink[];
  readonly board: ReactorBoard;
  readonly slotsPerReactor: number;
  readonly maxConnections: number;
  /** 0: any number. */
  readonly maxConnectionsPerIp: number;
  readonly addresses: AddressCounters;
  readonly log: Log;
  createPoller(handler: PollerHandler): Poller;
}

const ACCEPTS_PER_TURN = 64;
const RETRY_MS = 50;
/** One line in the log, however many are turned away. */
const TELL_EVERY_MS = 1000;

export class Acceptor implements PollerHandler {
  readonly #parts: AcceptorParts;
  readonly #poller: Poller;
  readonly #sockaddr = Buffer.alloc(SOCKADDR_BYTES);
  /** By port: the kernel may have connections for it. */
  readonly #waiting: boolean[];
  #paused: string | undefined;
  #retryTimer: NodeJS.Timeout | undefined;
  #closed = false;
  #turnedAway = 0;
  #toldAt = Number.NEGATIVE_INFINITY;

  constructor(parts: AcceptorParts) {
    this.#parts = parts;
    this.#waiting = parts.ports.map(() => false);
    this.#poller = parts.createPoller(this);
  }

  /** @throws ServerError when a port was taken since it was bound */
  start(): void {
    for (const bound of this.#parts.ports) if (!isDatagram(bound)) listenOn(bound);
    this.#parts.ports.forEach((bound, index) => {
      if (!isDatagram(bound)) this.#poller.addReadable(bound.descriptor, index);
    });
  }

  stop(): void {
    if (this.#closed) return;
    this.#closed = true;
    clearTimeout(this.#retryTimer);
    this.#poller.close();
    for (const bound of this.#parts.ports) if (!isDatagram(bound)) unbindPort(bound);
  }

  ready(token: number): void {
    this.#waiting[token] = true;
  }

  turnEnd(): void {
    if (this.#closed || this.#retryTimer !== undefined) return;
    for (let port = 0; port < this.#waiting.length; port++) if (this.#waiting[port]) this.#acceptFrom(port);
    for (const link of this.#parts.links) {
      if (link.touched) link.waker.wake();
      link.touched = false;
    }
    if (this.#waiting.includes(true) && this.#retryTimer === undefined) this.#poller.wakeSoon();
  }

  #acceptFrom(index: number): void {
    const bound = this.#parts.ports[index];
    if (bound === undefined) return;
    for (let i = 0; i < ACCEPTS_PER_TURN; i++) {
      const reactor = this.#chooseReactor();
      if (reactor < 0) return this.#pause('maxConnections is reached');
      const link = this.#parts.links[reactor];
      const needed = frameBytes(ACCEPT_PAYLOAD);
      if (link === undefined || link.ring.room(needed) < needed) return this.#retryLater();
      const descriptor = accept(bound.descriptor, this.#sockaddr);
      if (descriptor >= 0) this.#admit(reactor, link, index, descriptor);
      else if (descriptor === -EAGAIN) {
        this.#waiting[index] = false;
        this.#poller.rearm(bound.descriptor, READABLE);
        return this.#resumed();
      } else if (descriptor !== -EINTR && descriptor !== -ECONNABORTED) {
        return this.#pause(`accept failed with ${errnoName(-descriptor)}`);
      }
    }
    this.#resumed();
  }

  /** @returns −1 when none may take another one */
  #chooseReactor(): number {
    const { board, links, slotsPerReactor, maxConnections } = this.#parts;
    let best = -1;
    let fewest = Number.POSITIVE_INFINITY;
    let total = 0;
    for (let reactor = 0; reactor < links.length; reactor++) {
      const connections = board.connections(reactor);
      total += connections;
      if (connections >= fewest || board.occupied(reactor) >= slotsPerReactor) continue;
      best = reactor;
      fewest = connections;
    }
    return total >= maxConnections ? -1 : best;
  }

  #admit(reactor: number, link: ReactorLink, port: number, descriptor: number): void {
    const { ring } = link;
    const at = ring.payloadAt;
    const family = isLinux ? this.#sockaddr.readUInt16LE(0) : (this.#sockaddr[1] ?? 0);
    ring.bytes.writeInt32LE(descriptor, at);
    ring.bytes.writeUInt16LE(family, at + 4);
    ring.bytes.writeUInt16LE(this.#sockaddr.readUInt16BE(2), at + 6);
    ring.bytes.fill(0, at + 8, at + ACCEPT_PAYLOAD);
    this.#sockaddr.copy(ring.bytes, at + 8, family === AF_INET ? 4 : 8, family === AF_INET ? 8 : 24);
    const isCounted = family !== AF_UNIX && this.#parts.ports[port]?.proxied !== true;
    if (isCounted && this.#hasTooMany(ring.bytes, at + 8)) return this.#turnAway(descriptor);
    this.#give(reactor, link, port);
  }

  /** Counts one more connection of this address, unless it has as many as it may. */
  #hasTooMany(bytes: Buffer, at: number): boolean {
    const { maxConnectionsPerIp, addresses } = this.#parts;
    if (maxConnectionsPerIp === 0 || addresses.add(bytes, at, 1) <= maxConnectionsPerIp) return false;
    addresses.add(bytes, at, -1);
    return true;
  }

  #turnAway(descriptor: number): void {
    const { log } = this.#parts;
    const { address } = decodeAddress(this.#sockaddr);
    resetConnection(descriptor);
    this.#turnedAway++;
    const now = performance.now();
    if (now - this.#toldAt < TELL_EVERY_MS) return;
    this.#toldAt = now;
    log.warn('a client was turned away: its address has maxConnectionsPerIp connections', {
      address,
      turnedAway: this.#turnedAway,
    });
  }

  #give(reactor: number, link: ReactorLink, port: number): void {
    const { ring } = link;
    ring.commit(Request.accept, 0, port, 0, ACCEPT_PAYLOAD);
    ring.publish();
    this.#parts.board.addConnections(reactor, 1);
    this.#parts.board.addOccupied(reactor, 1);
    link.touched = true;
  }

  #pause(why: string): void {
    if (this.#paused === undefined) {
      this.#parts.log.warn(`accepting pauses: ${why}; new clients wait in the backlog`);
    }
    this.#paused = why;
    this.#retryLater();
  }

  #resumed(): void {
    if (this.#paused === undefined) return;
    this.#parts.log.info('accepting goes on', { after: this.#paused });
    this.#paused = undefined;
  }

  #retryLater(): void {
    this.#retryTimer ??= setTimeout(() => {
      this.#retryTimer = undefined;
      this.turnEnd();
    }, RETRY_MS);
  }
}
