/**
 * The connections of a worker in BASE mode: the same reactor that elsewhere runs in a thread of the master, in
 * turns with the worker, and accepting besides. Runs in a worker.
 */

import type { AccessLog } from '../access-log/access-log.js';
import { reactorBell, workerBell } from '../ipc/bells.js';
import { killBrokenSender } from '../ipc/broken-sender.js';
import { logOverload } from '../ipc/overload.js';
import { logRefused } from '../ipc/refused-client.js';
import type { LocalLink } from '../ipc/reply.js';
import { Waker, type Wakes } from '../ipc/sleep.js';
import { logTlsFellBack } from '../ipc/tls-fell-back.js';
import { Acceptor } from '../listen/acceptor.js';
import { isDatagram, type ListeningPort } from '../listen/bind-port.js';
import { AddressCounters } from '../memory/address-counters.js';
import { ReactorBoard, WorkerBoard, WorkerField } from '../memory/boards.js';
import { LANES_PER_WORKER, peerOf } from '../memory/layout.js';
import type { Region } from '../memory/region.js';
import { slotsOfReactor } from '../memory/slot-count.js';
import type { DoorbellDescriptors } from '../os/doorbell.js';
import { closeDescriptor } from '../os/socket.js';
import { assembleReactor, type ReactorModules } from '../reactor/assemble.js';
import type { ReactorOptions } from '../reactor/context.js';
import { type DispatchMode, ownWorker, strategyOf } from '../reactor/dispatch/index.js';
import type { Reactor } from '../reactor/reactor.js';
import { Refusals } from '../reactor/refusals.js';
import type { Log } from '../util/log.js';
import type { OwnSockets } from '../worker/own-sockets.js';
import { AcceptTurn } from './accept-turn.js';
import { Giver, type HandOverEnds, Taker } from './hand-over.js';
import type { Turns } from './turns.js';

export interface BaseSocketsParts {
  readonly id: number;
  readonly lane: number;
  readonly region: Region;
  readonly bells: readonly DoorbellDescriptors[];
  readonly reactorOptions: ReactorOptions;
  readonly dispatchMode: DispatchMode;
  readonly modules: ReactorModules;
  readonly ports: readonly ListeningPort[];
  /** Its copies of the ports are its own to close. */
  readonly closesPorts: boolean;
  readonly maxConnections: number;
  readonly reusePort: boolean;
  /** Missing where the process has neither predecessor nor successor: the server is one process. */
  readonly handOver: HandOverEnds | undefined;
  readonly turns: Turns;
  readonly log: Log;
  /** Missing: none is written. */
  readonly accessLog?: AccessLog | undefined;
}

export class BaseSockets implements OwnSockets {
  /** False while `quiesce` has not come to its end. */
  isQuiet = true;
  /** How other parts of this process wake the reactor. */
  readonly reactorWaker: Wakes;
  readonly #parts: BaseSocketsParts;
  readonly #taker: Taker | undefined;
  #reactor: Reactor | undefined;
  #acceptor: Acceptor | undefined;

  constructor(parts: BaseSocketsParts) {
    const { id, region, bells, turns, handOver } = parts;
    this.#parts = parts;
    const sleepIndex = new ReactorBoard(region).sleepIndex(id);
    this.reactorWaker = turns.waker(new Waker(region.int32, sleepIndex, reactorBell(bells, id)));
    if (handOver !== undefined) this.#taker = new Taker(handOver.take, (handler) => turns.forOther(handler));
  }

  attach(): void {
    const { id, lane, region, bells, reactorOptions, dispatchMode, modules, turns, reusePort, log } = this.#parts;
    const ownWaker = turns.waker(this.#workerWaker(id, lane));
    const refusals = new Refusals((client) => logRefused(client, log));
    const reactor = assembleReactor({
      id,
      region,
      bells,
      options: reactorOptions,
      strategy: dispatchMode === 'least-connections' ? ownWorker(id, reusePort) : strategyOf(dispatchMode),
      modules,
      takesDatagrams: reusePort || id === 0,
      wakerOf: (worker, ofLane) => (worker === id && ofLane === lane ? ownWaker : undefined),
      createPoller: (handler) => turns.forReactor(handler as Reactor),
      onRefused: (sessionId, code, message, client) => refusals.add(sessionId, code, message, client),
      onOverload: (overload) => logOverload(overload, log),
      onBrokenSender: (worker) => killBrokenSender(worker, new WorkerBoard(region), log),
      accessLog: this.#parts.accessLog,
    });
    this.#reactor = reactor;
    if (reactor.tlsFellBack !== undefined) logTlsFellBack(reactor.tlsFellBack, log);
    process.once('exit', () => this.#reactor?.leave());
    reactor.takeOver(this.#taker?.finish() ?? []);
    if (region.accepting) this.accept();
  }

  accept(): void {
    if (this.#acceptor !== undefined || this.#reactor === undefined) return;
    const { id, region, ports, maxConnections, reactorOptions, reusePort, turns, log } = this.#parts;
    const board = new ReactorBoard(region);
    const turn = new AcceptTurn({
      id,
      region,
      maxConnections,
      slotsPerReactor: slotsOfReactor(region.shape),
      isDecided: reusePort,
      wakerOf: this.#wakersOfOthers(),
    });
    const reactor = this.#reactor;
    this.#acceptor = new Acceptor({
      ports,
      maxConnectionsPerIp: reactorOptions.maxConnectionsPerIp,
      addresses: new AddressCounters(region),
      log,
      mayTake: () => turn.mayTake(),
      give: (arrival) => {
        board.addConnections(id, 1);
        board.addOccupied(id, 1);
        reactor.accept(arrival);
      },
      gave: () => {},
      drained: () => turn.drained(),
      createPoller: (handler) => turns.forAcceptor(handler),
    });
    this.#acceptor.start();
  }

  /** To this process's own reactor, while it has one. */
  get direct(): LocalLink {
    const { id, lane } = this.#parts;
    const peer = peerOf(id, lane);
    return {
      reply: (reply) => this.#reactor?.answer(reply, peer) ?? false,
      catchUp: () => this.#reactor?.catchUp(),
      isFull: (sessionId) => this.#reactor?.isFull(sessionId) ?? false,
    };
  }

  dismiss(deadlineMs: number, done: () => void): void {
    if (this.#reactor === undefined) return done();
    const { ports } = this.#parts.reactorOptions;
    this.#acceptor?.leave((index) => ports[index]?.tls !== null);
    this.#reactor.dismiss(deadlineMs, done);
  }

  release(done: () => void): void {
    const { handOver, turns } = this.#parts;
    this.#acceptor?.stop();
    const snapshots = this.#reactor?.handOver() ?? [];
    this.#reactor = undefined;
    turns.withoutReactor();
    if (handOver === undefined) return done();
    new Giver(handOver.give, snapshots, (handler) => turns.forOther(handler), done);
  }

  quiesce(): void {
    const { id, lane, ports, closesPorts } = this.#parts;
    this.#acceptor?.stop();
    if (closesPorts) for (const port of ports) if (!isDatagram(port)) closeDescriptor(port.descriptor);
    if (this.#reactor === undefined) return;
    this.isQuiet = false;
    this.#reactor.quiesce(() => {
      this.isQuiet = true;
      this.#workerWaker(id, lane).wake();
    });
  }

  closeAll(deadlineMs: number, done: () => void): void {
    if (this.#reactor === undefined) return done();
    this.#reactor.closeAll(deadlineMs, done);
  }

  /** Of the process that a worker has now: after a respawn it may be in another lane than this one. */
  #wakersOfOthers(): (worker: number) => Wakes {
    const { region } = this.#parts;
    const workers = new WorkerBoard(region);
    const wakers = Array.from({ length: region.shape.workerNum }, (_, worker) =>
      Array.from({ length: LANES_PER_WORKER }, (_, lane) => this.#workerWaker(worker, lane)),
    );
    return (worker) => wakers[worker]?.[workers.field(worker, WorkerField.lane)] as Wakes;
  }

  #workerWaker(worker: number, lane: number): Waker {
    const { region, bells } = this.#parts;
    const index = new WorkerBoard(region).sleepIndex(worker, lane);
    return new Waker(region.int32, index, workerBell(bells, region.shape, worker, lane));
  }
}
