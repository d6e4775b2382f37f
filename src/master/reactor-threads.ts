/** The reactor threads of the master, and the listener that feeds them. Runs in the master's main thread. */

import type { Arrival } from '../ipc/arrival.js';
import { reactorBell } from '../ipc/bells.js';
import { frameBytes, Request } from '../ipc/frame.js';
import { ACCEPT_BYTES, writeAccept } from '../ipc/frames/accept.js';
import { logOverload, type Overload } from '../ipc/overload.js';
import { logTlsFellBack } from '../ipc/tls-fell-back.js';
import { Acceptor } from '../listen/acceptor.js';
import { isDatagram, type ListeningPort } from '../listen/bind-port.js';
import { AddressCounters } from '../memory/address-counters.js';
import { ReactorBoard } from '../memory/boards.js';
import { slotsOfReactor } from '../memory/slot-count.js';
import { reactorOptions } from '../options/for-reactor.js';
import { createPoller } from '../os/create-poller.js';
import { coreFor } from '../os/isolation.js';
import { ourArena } from '../shared/objects.js';
import type { ConnectionOwners } from './connection-owners.js';
import type { OwnerParts } from './mode.js';
import { ReactorHandle } from './reactor-handle.js';

export class ReactorThreads implements ConnectionOwners {
  readonly #parts: OwnerParts;
  readonly #board: ReactorBoard;
  #threads: ReactorHandle[] = [];
  #ports: readonly ListeningPort[] = [];
  #acceptor: Acceptor | undefined;
  /** The reactor that gets the next connection. */
  #chosen = -1;

  constructor(parts: OwnerParts) {
    this.#parts = parts;
    this.#board = new ReactorBoard(parts.region);
  }

  async start(ports: readonly ListeningPort[]): Promise<void> {
    const { region, bells, links, options, listens } = this.#parts;
    this.#ports = ports;
    const descriptors = ports.map((bound) => (isDatagram(bound) ? bound.descriptor : -1));
    const data = {
      region: region.descriptor,
      bells,
      options: reactorOptions(options, listens, descriptors, () => ourArena().descriptor),
      dispatchMode: options.dispatchMode,
      backend: options.reactorBackend,
    };
    const { brokenSender, refused, failed, log } = this.#parts;
    const notRenewed = (why: string): void =>
      log.error('the certificates could not be read again, the old ones stay', { why });
    const overload = (told: Overload): void => logOverload(told, log);
    const tlsFellBack = (why: string): void => logTlsFellBack(why, log);
    const events = { brokenSender, refused, failed, overload, notRenewed, tlsFellBack };
    this.#threads = links.map(
      (_, id) =>
        new ReactorHandle(
          id,
          reactorBell(bells, id),
          { ...data, core: coreFor(options, id) },
          options.processTitle,
          events,
        ),
    );
  }

  async ready(): Promise<void> {
    await Promise.all(this.#threads.map((thread) => thread.ready));
  }

  accept(): void {
    const { options, region, log } = this.#parts;
    this.#acceptor = new Acceptor({
      ports: this.#ports,
      maxConnectionsPerIp: options.maxConnectionsPerIp,
      addresses: new AddressCounters(region),
      log,
      mayTake: () => this.#mayTake(),
      give: (arrival) => this.#give(arrival),
      gave: () => this.#flush(),
      createPoller: (handler) => createPoller(options.reactorBackend, handler),
    });
    this.#acceptor.start();
  }

  stopAccepting(): void {
    this.#acceptor?.stop();
  }

  async quiesce(): Promise<void> {
    await Promise.all(this.#threads.map((thread) => thread.quiesce()));
  }

  async closeAll(deadlineMs: number): Promise<void> {
    await Promise.all(this.#threads.map((thread) => thread.closeAll(deadlineMs)));
  }

  async renew(): Promise<string | undefined> {
    const failures = await Promise.all(this.#threads.map((thread) => thread.renew()));
    return failures.find((why) => why !== undefined);
  }

  useWorkers(workerNum: number): void {
    for (const thread of this.#threads) thread.useWorkers(workerNum);
  }

  async withhold(from: number): Promise<void> {
    await Promise.all(this.#threads.map((thread) => thread.withhold(from)));
  }

  async rebind(): Promise<void> {
    await Promise.all(this.#threads.map((thread) => thread.rebind()));
  }

  async stop(): Promise<void> {
    await Promise.allSettled(this.#threads.map((thread) => thread.stop()));
  }

  stopAtOnce(): void {
    for (const thread of this.#threads) thread.stopAtOnce();
  }

  /** The reactor with the fewest connections takes the next one. */
  #mayTake(): 'yes' | 'full' | 'later' {
    const { links, region, options } = this.#parts;
    const slotsPerReactor = slotsOfReactor(region.shape);
    let best = -1;
    let fewest = Number.POSITIVE_INFINITY;
    let total = 0;
    for (let reactor = 0; reactor < links.length; reactor++) {
      const connections = this.#board.connections(reactor);
      total += connections;
      if (connections >= fewest || this.#board.occupied(reactor) >= slotsPerReactor) continue;
      best = reactor;
      fewest = connections;
    }
    this.#chosen = best;
    if (best < 0 || total >= options.maxConnections) return 'full';
    const needed = frameBytes(ACCEPT_BYTES);
    return (links[best]?.ring.room(needed) ?? 0) < needed ? 'later' : 'yes';
  }

  #give(arrival: Arrival): void {
    const link = this.#parts.links[this.#chosen];
    if (link === undefined) throw new RangeError(`there is no reactor ${this.#chosen}`);
    const { ring } = link;
    writeAccept(ring.bytes, ring.payloadAt, arrival);
    ring.commit(Request.accept, 0, arrival.portIndex, 0, ACCEPT_BYTES);
    ring.publish();
    this.#board.addConnections(this.#chosen, 1);
    this.#board.addOccupied(this.#chosen, 1);
    link.touched = true;
  }

  #flush(): void {
    for (const link of this.#parts.links) {
      if (link.touched) link.waker.wake();
      link.touched = false;
    }
  }
}
