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
import type { Reply } from '../ipc/reply.js';
import { ReactorCounter } from '../memory/boards.js';
import { clearDoorbell } from '../os/doorbell.js';
import { BROKEN, HANGUP, type Poller, type PollerHandler, READABLE, WRITABLE } from '../os/poller.js';
import { monotonicMs } from '../util/clock.js';
import { Admission } from './admission/admission.js';
import type { Connection } from './connection.js';
import type { ReactorContext } from './context.js';
import { Datagrams } from './datagrams.js';
import type { Ending } from './ending.js';
import type { Snapshot } from './handoff/snapshot.js';
import type { Reading } from './reading.js';
import type { Requests } from './requests.js';
import type { Sending } from './sending.js';
import { type ReactorParts, type Wiring, wire } from './wiring.js';

const BELL_TOKEN = 0xffffffff;
/** No number of deaths: the next turn looks who is dead. */
const UNKNOWN = -1;
/** Others may go on sending while the last replies are taken. */
const MOST_TAKES = 64;

export class Reactor implements PollerHandler {
  readonly #parts: ReactorParts;
  readonly #poller: Poller;
  readonly #wiring: Wiring;
  readonly #context: ReactorContext;
  readonly #ending: Ending;
  readonly #reading: Reading;
  readonly #requests: Requests;
  readonly #sending: Sending;
  readonly #tickTimers: NodeJS.Timeout[] = [];
  /** Process deaths that this reactor has already handled. */
  #seenDeaths: number;
  #isAwake = true;
  /** Since the first report of this turn. */
  #isTurn = false;

  constructor(parts: ReactorParts) {
    this.#parts = parts;
    this.#seenDeaths = parts.region.deaths;
    this.#poller = parts.createPoller(this);
    this.#poller.addReadable(parts.bell.read, BELL_TOKEN);
    this.#wiring = wire(parts, this.#poller, () => this.#wakeUp());
    this.#context = this.#wiring.context;
    this.#ending = this.#wiring.ending;
    this.#reading = this.#wiring.reading;
    this.#requests = this.#wiring.requests;
    this.#sending = this.#wiring.sending;
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
    this.#wiring.idleClients.start(inTurn);
    for (const protocol of this.#wiring.protocols.all) {
      if (protocol.tickMs === 0) continue;
      this.#tickTimers.push(setInterval(() => inTurn(() => protocol.tick()), protocol.tickMs));
    }
    this.#poller.wakeSoon();
  }

  // ——— turns ———

  ready(token: number, descriptor: number, events: number): void {
    if (!this.#isAwake) this.#wakeUp();
    if (!this.#isTurn) this.#beginTurn();
    if (token === BELL_TOKEN) return this.#clearBell();
    if (Admission.owns(token, BELL_TOKEN)) return this.#wiring.admission.ready(token);
    if (Datagrams.owns(token, BELL_TOKEN)) return this.#wiring.datagrams?.ready(token);
    const connection = this.#context.connections.get(token);
    if (connection === undefined || connection.descriptor !== descriptor) return;
    this.#connectionReady(connection, events);
  }

  #beginTurn(): void {
    this.#isTurn = true;
    for (const ring of this.#context.rings) ring.beginTurn();
  }

  #connectionReady(connection: Connection, events: number): void {
    if (events & WRITABLE) this.#sending.hasRoom(connection);
    if ((events & READABLE) === 0 || connection.isClosed) return;
    connection.readable = true;
    if (events & HANGUP) connection.hangup = true;
    this.#reading.read(connection);
    if (connection.hangup && connection.isPaused) this.#ending.leftWhilePaused(connection);
    if (events & BROKEN) this.#ending.broken(connection);
  }

  /** Reads datagrams, and shows workers the packets just read. */
  publish(): void {
    this.#takeDatagrams();
    for (const ring of this.#context.rings) ring.flush();
    this.#sending.held.beginTurn(true);
  }

  turnEnd(): void {
    if (!this.#isAwake) this.#wakeUp();
    this.#isTurn = false;
    const { id, board } = this.#context;
    board.add(id, ReactorCounter.wakeUps, 1);
    this.#sending.held.beginTurn(false);
    const isUnfinished = this.#takeRequests();
    this.#sending.held.endTurn();
    for (const protocol of this.#wiring.protocols.withTurnEnd) protocol.turnEnd?.();
    if (this.#context.again.length > 0) this.#reading.readAgain();
    if (this.#context.writeOn.length > 0) this.#sending.writeAgain();
    const hasMoreDatagrams = this.#takeDatagrams();
    this.#reading.readHeldBack();
    this.#wakeWorkers();
    this.#ending.reclaimSlots();
    this.#wiring.dispatcher.checkDrain();
    this.#wiring.shutdown.check();
    this.#wiring.handoff.check();
    const hasMore = this.#context.again.length > 0 || this.#context.writeOn.length > 0;
    if (isUnfinished || hasMoreDatagrams || hasMore) return this.#poller.wakeSoon();
    this.#wiring.moderation.turnEnd();
    this.#fallAsleep();
  }

  /** @returns true when more may be waiting */
  #takeDatagrams(): boolean {
    return !this.#reading.isQuiet && this.#wiring.datagrams?.take() === true;
  }

  /**
   * Handles ends of processes, too: what the dead have sent is taken before the reactor turns to their connections.
   * @returns true when there is more to do at once
   */
  #takeRequests(): boolean {
    const { deaths } = this.#parts.region;
    const { protocols, speeches, lostSends } = this.#wiring;
    const hasNews = deaths !== this.#seenDeaths;
    const mustReap = hasNews || speeches.areToReap;
    if (mustReap) this.#context.processes.look();
    if (this.#requests.take()) return true;
    if (hasNews) {
      this.#seenDeaths = deaths;
      for (const protocol of protocols.all) protocol.workerDied();
    }
    if (mustReap) speeches.reapDead();
    if (hasNews) lostSends.reapDead();
    return speeches.areToReap;
  }

  #wakeWorkers(): void {
    const { rings } = this.#context;
    for (const ring of rings) this.#reading.relieve(ring);
    this.#wiring.roomAnswers.flush();
    for (const ring of rings) ring.flush();
    this.#context.ringWatchers((peer) => this.#parts.senders[peer]?.ringBell());
  }

  #wakeUp(): void {
    this.#isAwake = true;
    this.#parts.sleeper.wake();
    this.#context.now = monotonicMs();
  }

  /** Announces the sleep, then looks again: a sender that misses the announcement is seen by that look. */
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

  /** Takes what workers have sent until now: one in this process wants to pass something directly (BASE mode). */
  catchUp(): void {
    if (!this.#isAwake) this.#context.wake();
    this.#requests.take();
  }

  /** This process ends in the midst of a turn (BASE mode): what its worker has sent goes to the kernel. */
  leave(): void {
    this.#takeLastReplies();
    this.#sending.held.flush();
  }

  /** True when that client's queue is above its high watermark. */
  isFull(sessionId: number): boolean {
    return this.#context.connectionOf(sessionId)?.full === true;
  }

  /** A worker in this process, `peer`, passes (a part of) a reply directly (BASE mode). @returns false: it has to go through the ring */
  answer(answer: Reply, peer: number): boolean {
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

  /** The accepting thread has counted the connection for this reactor. @param arrival may be reused afterwards */
  accept(arrival: Arrival): void {
    this.#wiring.admission.accept(arrival);
  }

  /** See `Admission`. */
  get tlsFellBack(): string | undefined {
    return this.#wiring.admission.tlsFellBack;
  }

  /** For clients that come from now on. @throws ServerError ERR_TLS_* */
  renewTls(): void {
    this.#wiring.admission.renewTls();
  }

  // ——— another number of workers ———

  /** New packets go to the first `workerNum` workers. */
  useWorkers(workerNum: number): void {
    this.#wiring.dispatcher.useWorkers(workerNum);
  }

  /** Sends nothing to workers from this id on; calls `done`, later, when nothing is half-way to them either. */
  withhold(from: number, done: () => void): void {
    this.#context.wake();
    this.#wiring.dispatcher.drain(from, done);
  }

  /**
   * Those workers have finished: their connections go to others. `done` is called, later, when the last event is
   * in their rings.
   */
  rebind(done: () => void): void {
    this.#context.wake();
    for (const ring of this.#context.rings) this.#reading.relieve(ring);
    for (const connection of this.#context.connections.list()) {
      const isLost = connection.protocol.isBound && this.#wiring.dispatcher.isDraining(connection.worker);
      if (isLost) this.#ending.closeWhenFlushed(connection, CloseCode.WORKER_REPLACED);
    }
    for (const connection of this.#wiring.dispatcher.endDrain()) this.#reading.read(connection);
    this.publish();
    setImmediate(done);
  }

  // ——— hand-off to another process (BASE mode) ———

  /** Closes connections that cannot be handed off. `done` is called, later, when there are none. */
  dismiss(deadlineMs: number, done: () => void): void {
    this.#wiring.handoff.dismiss(deadlineMs, done);
  }

  /** Packs everything as it stands; no turn comes after this. The caller closes the descriptors. */
  handOver(): Snapshot[] {
    this.#takeLastReplies();
    this.#stopTimers();
    const snapshots = this.#wiring.handoff.handOver();
    this.#wiring.datagrams?.abandon();
    this.#poller.abandon(this.#parts.bell.read);
    return snapshots;
  }

  /**
   * What this process's worker has sent just before. In the next process the new worker may reply before the reactor
   * looks, by a ring that is looked at first: the replies of a connection would change places.
   */
  #takeLastReplies(): void {
    for (let i = 0; i < MOST_TAKES && this.#requests.take(); i++);
  }

  /** Resumes what the preceding process has handed off, before the first turn. */
  takeOver(snapshots: readonly Snapshot[]): void {
    this.#seenDeaths = UNKNOWN; // that process has handled no death since its last turn, nor its own
    this.#wiring.handoff.takeOver(snapshots);
  }

  // ——— shutdown ———

  /** Rung 1: takes nothing more in. Packets already read are with the workers when `done` is called. */
  quiesce(done: () => void): void {
    this.#wakeUp();
    this.#wiring.shutdown.sayFarewell(done);
    this.#poller.wakeSoon();
  }

  /**
   * Rung 2: closes every connection once its queued bytes have left. `done` is called at the deadline at the latest.
   */
  closeAll(deadlineMs: number, done: () => void): void {
    this.#wakeUp();
    this.#requests.take();
    this.#wiring.shutdown.closeAll(deadlineMs, done);
    this.#poller.wakeSoon();
  }

  /** Releases every descriptor. No turn comes after this. */
  stop(): void {
    this.#stopTimers();
    this.#wiring.admission.endHandshakes();
    for (const connection of this.#context.connections.list()) this.#ending.release(connection);
    this.#poller.close();
  }

  #stopTimers(): void {
    this.#ending.stopSweeping();
    this.#wiring.idleClients.stop();
    this.#wiring.budget.stop();
    this.#wiring.inflight.stop();
    for (const protocol of this.#wiring.protocols.all) protocol.stop();
    for (const timer of this.#tickTimers) clearInterval(timer);
  }
}
