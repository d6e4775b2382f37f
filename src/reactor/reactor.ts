/**
 * Owns connections: reads, dispatches, writes replies, closes. Runs in a reactor thread of the master (PROCESS mode) or in
 * a worker (BASE mode); it runs no user code.
 *
 * A turn: the poller reports ready sockets, each is read straight into the ring of its worker; then the reactor carries
 * out what workers have sent; then it wakes every worker that was given something, once. The reactor announces its sleep
 * in shared memory, so that workers ring only when it sleeps.
 *
 * What the bytes of a connection mean is its protocol's (`protocols/`), how they travel its transport's (`transport/`).
 */
import type { Arrival } from '../ipc/arrival.js';
import { CloseCode } from '../ipc/frame.js';
import type { WholeAnswer } from '../ipc/outbox.js';
import type { Sleeper } from '../ipc/sleep.js';
import { AddressCounters } from '../memory/address-counters.js';
import { ReactorBoard, ReactorCounter, WorkerBoard } from '../memory/boards.js';
import { ConnectionTable } from '../memory/connection-table.js';
import { DeadConnections } from '../memory/dead-connections.js';
import type { Region } from '../memory/region.js';
import { clearDoorbell, type DoorbellDescriptors } from '../os/doorbell.js';
import { BROKEN, HANGUP, type Poller, type PollerHandler, READABLE, WRITABLE } from '../os/poller.js';
import type { LoadedTls } from '../protocol/tls.js';
import { monotonicMs } from '../util/clock.js';
import { Admission } from './admission/admission.js';
import type { Connection } from './connection.js';
import { ConnectionSlots } from './connection-slots.js';
import { ReactorContext, type ReactorOptions } from './context.js';
import { Datagrams } from './datagrams.js';
import type { DispatchFunction, DispatchStrategy } from './dispatch/index.js';
import { SharedDispatchView } from './dispatch-view.js';
import { Dispatcher } from './dispatcher.js';
import { Ending } from './ending.js';
import { Handoff } from './handoff/handoff.js';
import type { Snapshot } from './handoff/snapshot.js';
import { IdleClients } from './idle-clients.js';
import { InflightLimit } from './inflight-limit.js';
import { MemoryBudget } from './memory-budget.js';
import { processOfPeer } from './peer-process.js';
import type { PortFraming } from './protocols/framed.js';
import { Protocols } from './protocols/index.js';
import { Reading } from './reading.js';
import { type ReactorSender, Requests } from './requests.js';
import { Sending } from './sending.js';
import { Shutdown } from './shutdown.js';
import { PlainTransport } from './transport/plain.js';
import { TlsTransport } from './transport/tls.js';
import type { WorkerRing } from './worker-ring.js';

export interface ReactorParts {
  readonly id: number;
  readonly region: Region;
  readonly options: ReactorOptions;
  readonly strategy: DispatchStrategy;
  /** One reactor takes all datagrams of a socket: their order is kept that way. */
  readonly takesDatagrams: boolean;
  /** The user's own function, if there is one; then every port is framed. */
  readonly dispatch: DispatchFunction | undefined;
  /** By listen port; undefined where what one read gives is a packet. */
  readonly framings: readonly (PortFraming | undefined)[];
  /** By listen port; undefined where it speaks plain. */
  readonly certificates: readonly (LoadedTls | undefined)[];
  /** By worker. */
  readonly rings: readonly WorkerRing[];
  readonly senders: readonly ReactorSender[];
  readonly sleeper: Sleeper;
  readonly bell: DoorbellDescriptors;
  createPoller(handler: PollerHandler): Poller;
  /** A client was disconnected because of what it sent. */
  onRefused(sessionId: number, code: number, message: string): void;
  /** A sender wrote what cannot be read. */
  onBrokenSender(worker: number): void;
}

const BELL_TOKEN = 0xffffffff;

export class Reactor implements PollerHandler {
  readonly #parts: ReactorParts;
  readonly #context: ReactorContext;
  readonly #poller: Poller;
  readonly #ending: Ending;
  readonly #sending: Sending;
  readonly #reading: Reading;
  readonly #dispatcher: Dispatcher;
  readonly #protocols: Protocols;
  readonly #requests: Requests;
  readonly #admission: Admission;
  readonly #datagrams: Datagrams | undefined;
  readonly #handoff: Handoff;
  readonly #shutdown: Shutdown;
  readonly #idleClients: IdleClients;
  readonly #budget: MemoryBudget;
  readonly #inflight: InflightLimit;
  readonly #tickTimers: NodeJS.Timeout[] = [];
  /** Deaths of processes that were seen to. */
  #seenDeaths: number;
  #isAwake = true;

  constructor(parts: ReactorParts) {
    const { id, region, options, strategy, onRefused } = parts;
    this.#parts = parts;
    this.#context = contextOf(parts);
    const context = this.#context;
    const { reactorNum, workerNum, slots: slotNum } = region.shape;
    const view = new SharedDispatchView(region, context.workers, context.table, parts.rings);
    const slots = new ConnectionSlots(id, reactorNum, slotNum, workerNum);
    const ending = new Ending(context, slots, () => this.#wakeUp());
    const sending = new Sending(context, ending);
    this.#ending = ending;
    this.#sending = sending;
    this.#budget = new MemoryBudget(context, ending);
    this.#inflight = new InflightLimit(context, view);
    const reading = new Reading({ context, ending, budget: this.#budget, inflight: this.#inflight });
    this.#reading = reading;
    this.#dispatcher = new Dispatcher({ ...parts, context, view });
    this.#idleClients = new IdleClients(context, ending);
    const protocols = new Protocols(
      {
        ...{ context, ending, sending, reading, dispatcher: this.#dispatcher },
        refused: ({ sessionId }, code, message) => onRefused(sessionId, code, message),
        processOf: (peer) => processOfPeer(region, context.workers, peer),
      },
      options.ports.map((port, index) => ({ index, options: port, framing: parts.framings[index] })),
    );
    this.#protocols = protocols;
    this.#seenDeaths = region.deaths;
    this.#poller = parts.createPoller(this);
    context.poller = this.#poller;
    this.#poller.addReadable(parts.bell.read, BELL_TOKEN);
    const plain = new PlainTransport(context);
    this.#admission = new Admission({
      ...{ context, ending, sending, reading, slots, strategy, view, protocols, plain, onRefused },
      ...{ encrypted: new TlsTransport(), poller: this.#poller, certificates: parts.certificates },
    });
    const shared = { context, ending, sending, reading, protocols, admission: this.#admission };
    this.#requests = new Requests({ ...parts, ...shared, inflight: this.#inflight });
    const { speeches } = this.#requests;
    this.#handoff = new Handoff({ ...shared, inflight: this.#inflight, slots, speeches, plain });
    this.#shutdown = new Shutdown(shared);
    ending.onReleased = (connection) => {
      if (connection.speech !== null) speeches.forget(connection);
    };
    if (parts.takesDatagrams) this.#datagrams = new Datagrams(context, strategy, view, this.#poller);
    this.#start();
  }

  #start(): void {
    const inTurn = (look: () => void): void => {
      this.#wakeUp();
      look();
      this.#poller.wakeSoon();
    };
    this.#context.wake = () => {
      if (!this.#isAwake) this.#wakeUp();
      this.#poller.wakeSoon();
    };
    this.#idleClients.start(inTurn);
    for (const protocol of this.#protocols.all) {
      if (protocol.tickMs === 0) continue;
      this.#tickTimers.push(setInterval(() => inTurn(() => protocol.tick()), protocol.tickMs));
    }
    this.#poller.wakeSoon();
  }

  // ——— turns ———

  ready(token: number, descriptor: number, events: number): void {
    if (!this.#isAwake) this.#wakeUp();
    if (token === BELL_TOKEN) return this.#clearBell();
    if (Admission.owns(token, BELL_TOKEN)) return this.#admission.ready(token);
    if (Datagrams.owns(token, BELL_TOKEN)) return this.#datagrams?.ready(token);
    const connection = this.#context.connections.get(token);
    if (connection === undefined || connection.descriptor !== descriptor) return;
    this.#connectionReady(connection, events);
  }

  #connectionReady(connection: Connection, events: number): void {
    if (events & WRITABLE && connection.out !== null) this.#sending.writeQueued(connection);
    if ((events & READABLE) === 0 || connection.isClosed) return;
    connection.readable = true;
    if (events & HANGUP) connection.hangup = true;
    this.#reading.read(connection);
    if (connection.hangup && connection.isPaused) this.#ending.leftWhilePaused(connection);
    if (events & BROKEN) this.#ending.broken(connection);
  }

  /** Shows workers what was read. */
  publish(): void {
    for (const ring of this.#context.rings) ring.flush();
  }

  turnEnd(): void {
    if (!this.#isAwake) this.#wakeUp();
    const { id, board } = this.#context;
    board.add(id, ReactorCounter.wakeUps, 1);
    const isUnfinished = this.#takeRequests();
    for (const protocol of this.#protocols.withTurnEnd) protocol.turnEnd?.();
    if (this.#context.again.length > 0) this.#reading.readAgain();
    if (this.#context.writeOn.length > 0) this.#sending.writeAgain();
    const hasMoreDatagrams = !this.#reading.isQuiet && this.#datagrams?.take() === true;
    this.#reading.readHeldBack();
    this.#wakeWorkers();
    this.#ending.reclaimSlots();
    this.#dispatcher.checkDrain();
    this.#shutdown.check();
    this.#handoff.check();
    const hasMore = this.#context.again.length > 0 || this.#context.writeOn.length > 0;
    if (isUnfinished || hasMoreDatagrams || hasMore) this.#poller.wakeSoon();
    else this.#fallAsleep();
  }

  /** Ends of processes are looked at first: what the dead have sent is taken before their connections are seen to. */
  #takeRequests(): boolean {
    const { deaths } = this.#parts.region;
    const isUnfinished = this.#requests.take();
    if (deaths !== this.#seenDeaths && !isUnfinished) {
      this.#seenDeaths = deaths;
      for (const protocol of this.#protocols.all) protocol.workerDied();
      this.#requests.speeches.reapDead();
    }
    return isUnfinished;
  }

  #wakeWorkers(): void {
    for (const ring of this.#context.rings) {
      this.#reading.relieve(ring);
      ring.flush();
    }
    this.#context.ringWatchers((peer) => this.#parts.senders[peer]?.ringBell());
  }

  #wakeUp(): void {
    this.#isAwake = true;
    this.#parts.sleeper.wake();
    this.#context.now = monotonicMs();
  }

  /** Announced first, looked once more afterwards: a sender that has not seen the one is seen by the other. */
  #fallAsleep(): void {
    this.#isAwake = false;
    this.#parts.sleeper.sleep();
    if (this.#requests.areWaiting) this.#poller.wakeSoon();
  }

  #clearBell(): void {
    if (!this.#poller.levelTriggered) return;
    clearDoorbell(this.#parts.bell);
    this.#poller.rearm(this.#parts.bell.read, READABLE);
  }

  /** A worker in this process, `peer`, gives a whole reply by hand (BASE mode). @returns false: it has to go through the ring */
  answer(answer: WholeAnswer, peer: number): boolean {
    const { id, board } = this.#context;
    const connection = this.#context.connectionOf(answer.sessionId);
    if (connection === undefined || connection.isClosing) {
      board.add(id, ReactorCounter.discarded, 1);
      return true;
    }
    if (connection.speech !== null) return false;
    if (!this.#isAwake) this.#context.wake();
    return connection.protocol.reply?.(connection, answer, peer) ?? false;
  }

  // ——— accepting ———

  /** The accepting thread has counted it as one of ours. @param arrival may be used again afterwards */
  accept(arrival: Arrival): void {
    this.#admission.accept(arrival);
  }

  /** For clients that come from now on. @throws ServerError ERR_TLS_* */
  renewTls(): void {
    this.#admission.renewTls();
  }

  // ——— another number of workers ———

  /** New packets go to the first `workerNum` workers. */
  useWorkers(workerNum: number): void {
    this.#dispatcher.useWorkers(workerNum);
  }

  /** Nothing goes to workers from this id on; `done`, later, when nothing is half-way to them either. */
  withhold(from: number, done: () => void): void {
    this.#context.wake();
    this.#dispatcher.drain(from, done);
  }

  /** Those workers have finished: their connections go to others. `done`, later, when the last event is in their rings. */
  rebind(done: () => void): void {
    this.#context.wake();
    for (const ring of this.#context.rings) this.#reading.relieve(ring);
    for (const connection of this.#context.connections.list()) {
      const isLost = connection.protocol.isBound && this.#dispatcher.isDraining(connection.worker);
      if (isLost) this.#ending.closeWhenFlushed(connection, CloseCode.WORKER_REPLACED);
    }
    for (const connection of this.#dispatcher.endDrain()) this.#reading.read(connection);
    this.publish();
    setImmediate(done);
  }

  // ——— hand-off to another process (BASE mode) ———

  /** Closes connections that cannot be handed over. `done` is called, later, when there are none. */
  dismiss(deadlineMs: number, done: () => void): void {
    this.#handoff.dismiss(deadlineMs, done);
  }

  /** Lets everything go as it stands; no turn comes after this. The caller closes the descriptors. */
  handOver(): Snapshot[] {
    this.#stopTimers();
    const snapshots = this.#handoff.handOver();
    this.#datagrams?.abandon();
    this.#poller.abandon(this.#parts.bell.read);
    return snapshots;
  }

  /** Goes on with what the process before this one has handed over, before the first turn. */
  takeOver(snapshots: readonly Snapshot[]): void {
    this.#handoff.takeOver(snapshots);
  }

  // ——— shutdown ———

  /** Rung 1: takes nothing more in. What was read is with the workers when this returns. */
  quiesce(): void {
    this.#shutdown.quiesce();
  }

  /** Rung 2: closes every connection once what is queued for it has left. `done` is called at the deadline at the latest. */
  closeAll(deadlineMs: number, done: () => void): void {
    this.#wakeUp();
    this.#requests.take();
    this.#shutdown.closeAll(deadlineMs, done);
    this.#poller.wakeSoon();
  }

  /** Lets every descriptor go. No turn comes after this. */
  stop(): void {
    this.#stopTimers();
    this.#admission.endHandshakes();
    for (const connection of this.#context.connections.list()) this.#ending.release(connection);
    this.#poller.close();
  }

  #stopTimers(): void {
    this.#ending.stopSweeping();
    this.#idleClients.stop();
    this.#budget.stop();
    this.#inflight.stop();
    for (const protocol of this.#protocols.all) protocol.stop();
    for (const timer of this.#tickTimers) clearInterval(timer);
  }
}

function contextOf({ id, region, options, rings }: ReactorParts): ReactorContext {
  return new ReactorContext({
    ...{ id, options, rings, reactorNum: region.shape.reactorNum },
    table: new ConnectionTable(region),
    board: new ReactorBoard(region),
    workers: new WorkerBoard(region),
    addresses: new AddressCounters(region),
    dead: new DeadConnections(region, options),
  });
}
