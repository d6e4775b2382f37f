/**
 * Accepts connections from the listen ports and hands each to its owner. Runs in the master's main thread, in BASE mode in
 * each worker.
 *
 * Connections that cannot be accepted now (no descriptors left, `maxConnections` reached) stay in the kernel's backlog:
 * accepting pauses, with one log line, and resumes by itself.
 */
import type { Arrival } from '../ipc/arrival.js';
import { ADDRESS_BYTES, type AddressCounters } from '../memory/address-counters.js';
import { decodeAddress, SOCKADDR_BYTES } from '../os/address.js';
import { AF_INET, AF_UNIX } from '../os/constants.js';
import { EAGAIN, ECONNABORTED, EINTR, errnoName, isLinux } from '../os/libc.js';
import { type Poller, type PollerHandler, READABLE } from '../os/poller.js';
import { accept, resetConnection } from '../os/socket.js';
import type { Log } from '../util/log.js';
import { isDatagram, type ListeningPort } from './bind-port.js';

export interface AcceptorParts {
  /** May include datagram ports, which are skipped. */
  readonly ports: readonly ListeningPort[];
  /** 0: any number. */
  readonly maxConnectionsPerIp: number;
  readonly addresses: AddressCounters;
  readonly log: Log;
  /** May one more be accepted? `full`: maxConnections is reached; `later`: another worker's turn, or no room. */
  mayTake(): 'yes' | 'full' | 'later';
  /** @param arrival reused for the next connection */
  give(arrival: Arrival): void;
  /** The end of a turn in which connections may have been handed over. */
  gave(): void;
  /** No client waits at this port any more. */
  drained?(): void;
  createPoller(handler: PollerHandler): Poller;
}

const ACCEPTS_PER_TURN = 64;
const RETRY_MS = 50;
const SOON_MS = 1;
/** At most one log line in this time, however many clients are refused. */
const TELL_EVERY_MS = 1000;

export class Acceptor implements PollerHandler {
  readonly #parts: AcceptorParts;
  readonly #poller: Poller;
  readonly #sockaddr = Buffer.alloc(SOCKADDR_BYTES);
  readonly #address = Buffer.alloc(ADDRESS_BYTES);
  /** By port: the kernel may have connections for it. */
  readonly #waiting: boolean[];
  /** Ports that no longer accept. */
  readonly #left = new Set<number>();
  #paused: string | undefined;
  #retryTimer: NodeJS.Timeout | undefined;
  #laterTimer: NodeJS.Timeout | undefined;
  /** A client waits to be accepted, and it is not our turn. */
  #isLater = false;
  #closed = false;
  #turnedAway = 0;
  #toldAt = Number.NEGATIVE_INFINITY;

  constructor(parts: AcceptorParts) {
    this.#parts = parts;
    this.#waiting = parts.ports.map(() => false);
    this.#poller = parts.createPoller(this);
  }

  /** The ports listen already. */
  start(): void {
    this.#parts.ports.forEach((bound, index) => {
      if (isDatagram(bound)) return;
      this.#poller.addReadable(bound.descriptor, index);
      this.#waiting[index] = true; // earlier connections were not reported
    });
    this.#poller.wakeSoon();
  }

  /** The listen ports stay open: other processes may accept from them. */
  stop(): void {
    if (this.#closed) return;
    this.#closed = true;
    clearTimeout(this.#retryTimer);
    clearTimeout(this.#laterTimer);
    this.leave(() => true);
    this.#poller.close();
  }

  /** Stops accepting from these ports; other processes may continue. */
  leave(isMeant: (portIndex: number) => boolean): void {
    this.#parts.ports.forEach((bound, index) => {
      if (isDatagram(bound) || this.#left.has(index) || !isMeant(index)) return;
      this.#left.add(index);
      this.#waiting[index] = false;
      this.#poller.abandon(bound.descriptor);
    });
  }

  ready(token: number): void {
    if (!this.#left.has(token)) this.#waiting[token] = true;
  }

  turnEnd(): void {
    if (this.#closed || this.#retryTimer !== undefined || !this.#waiting.includes(true)) return;
    this.#isLater = false;
    for (let port = 0; port < this.#waiting.length; port++) if (this.#waiting[port]) this.#acceptFrom(port);
    this.#parts.gave();
    const mayGoOn = this.#retryTimer === undefined && !this.#isLater;
    if (mayGoOn && this.#waiting.includes(true)) this.#poller.wakeSoon();
  }

  #acceptFrom(index: number): void {
    const bound = this.#parts.ports[index];
    if (bound === undefined) return;
    for (let i = 0; i < ACCEPTS_PER_TURN; i++) {
      const may = this.#parts.mayTake();
      if (may === 'full') return this.#pause('maxConnections is reached');
      if (may === 'later') return this.#lookLater();
      const descriptor = accept(bound.descriptor, this.#sockaddr);
      if (descriptor >= 0) this.#admit(bound, index, descriptor);
      else if (descriptor === -EAGAIN) {
        this.#waiting[index] = false;
        this.#parts.drained?.();
        this.#poller.rearm(bound.descriptor, READABLE);
        return this.#resumed();
      } else if (descriptor !== -EINTR && descriptor !== -ECONNABORTED) {
        return this.#pause(`accept failed with ${errnoName(-descriptor)}`);
      }
    }
    this.#resumed();
  }

  #admit({ proxied }: ListeningPort, portIndex: number, descriptor: number): void {
    const sockaddr = this.#sockaddr;
    const address = this.#address;
    const family = isLinux ? sockaddr.readUInt16LE(0) : (sockaddr[1] ?? 0);
    address.fill(0);
    sockaddr.copy(address, 0, family === AF_INET ? 4 : 8, family === AF_INET ? 8 : 24);
    const isCounted = family !== AF_UNIX && !proxied;
    if (isCounted && this.#hasTooMany(address)) return this.#turnAway(descriptor);
    this.#parts.give({ descriptor, portIndex, family, address, remotePort: sockaddr.readUInt16BE(2) });
  }

  /** Counts one more connection of this address, unless it has reached its limit. */
  #hasTooMany(address: Buffer): boolean {
    const { maxConnectionsPerIp, addresses } = this.#parts;
    if (maxConnectionsPerIp === 0 || addresses.add(address, 0, 1) <= maxConnectionsPerIp) return false;
    addresses.add(address, 0, -1);
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

  #pause(why: string): void {
    if (this.#paused === undefined) {
      this.#parts.log.warn(`accepting pauses: ${why}; new clients wait in the backlog`);
    }
    this.#paused = why;
    this.#retryIn(RETRY_MS);
  }

  #resumed(): void {
    if (this.#paused === undefined) return;
    this.#parts.log.info('accepting goes on', { after: this.#paused });
    this.#paused = undefined;
  }

  /** The worker whose turn it is wakes us when it is ours again; the timer covers the case that it cannot. */
  #lookLater(): void {
    this.#isLater = true;
    this.#laterTimer ??= setTimeout(() => {
      this.#laterTimer = undefined;
      this.turnEnd();
    }, SOON_MS);
  }

  #retryIn(ms: number): void {
    this.#retryTimer ??= setTimeout(() => {
      this.#retryTimer = undefined;
      this.turnEnd();
    }, ms);
  }
}
