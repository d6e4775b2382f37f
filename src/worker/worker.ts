/**
 * Runs the user's callbacks on what reactors dispatch. Runs in a worker process.
 *
 * Its life: booted → attached (receives packets) → released (another process has taken over) or settling (no more
 * packets come) → ended. In every case it finishes its pending work: callbacks with pending promises, queued replies.
 */

import { returnStandardError } from '../ipc/boot-output.js';
import type { ControlChannel } from '../ipc/control-channel.js';
import type { ManagerToWorker, ReplaceReason, WorkerToManager } from '../ipc/message.js';
import type { Outbox } from '../ipc/outbox.js';
import type { RingReader } from '../ipc/ring.js';
import type { Sleeper, Wakes } from '../ipc/sleep.js';
import type { Spin } from '../ipc/spin.js';
import { busyStamp, WorkerBoard, WorkerField } from '../memory/boards.js';
import { ConnectionTable } from '../memory/connection-table.js';
import type { ProcessRecord } from '../memory/process-board.js';
import type { Region } from '../memory/region.js';
import type { Messaging } from '../messaging/messaging.js';
import { unpackForPredecessor } from '../messaging/passed-on.js';
import { answerProfile } from '../messaging/profile-answer.js';
import type { WorkSource } from '../messaging/work-source.js';
import { clearDoorbell, type DoorbellDescriptors } from '../os/doorbell.js';
import { type Poller, type PollerHandler, READABLE } from '../os/poller.js';
import { monotonicMs } from '../util/clock.js';
import type { Log } from '../util/log.js';
import { flushTelemetry, isTracing } from '../util/telemetry.js';
import { within } from '../util/within.js';
import type { UserConnection, WorkerCallbacks } from './callbacks.js';
import { Calls } from './calls.js';
import { Connections } from './connections.js';
import { Figures } from './figures.js';
import { Inbox } from './inbox.js';
import type { OwnSockets } from './own-sockets.js';
import type { FrameService, ServiceFactory } from './service.js';
import type { DatagramAnswers } from './services/host.js';
import { byType, createServices } from './services/index.js';

export interface WorkerParts<C extends UserConnection> {
  readonly id: number;
  readonly lane: number;
  readonly region: Region;
  /** One per reactor. */
  readonly rings: readonly RingReader[];
  readonly reactorWakers: readonly Wakes[];
  readonly outbox: Outbox;
  readonly sleeper: Sleeper;
  /** Before sleep, while a task or the result of one may come at any moment. */
  readonly spin: Pick<Spin, 'isWorthwhile' | 'wait' | 'woke'>;
  readonly bell: DoorbellDescriptors;
  readonly channel: Pick<ControlChannel<ManagerToWorker, WorkerToManager>, 'listen' | 'send' | 'flushed'>;
  readonly callbacks: WorkerCallbacks<C>;
  /** Unhandled bytes allowed per client; 0: any number. */
  readonly maxQueuedBytes: number;
  /** Reactors count the bytes handled. */
  readonly countsHandled: boolean;
  /** See `WorkerHost`. */
  readonly answersInTurn: boolean;
  /** Packets after which this process asks to be replaced; 0: never. */
  readonly maxRequest: number;
  /** Tasks this process gives, messages it sends and receives. */
  readonly messaging: Messaging;
  /** Its record of callback times. */
  readonly record: ProcessRecord;
  readonly log: Log;
  createPoller(handler: PollerHandler): Poller;
  createConnection(sessionId: number): C;
  readonly datagrams: DatagramAnswers;
  /** Protocols besides those that every worker has. */
  readonly services: readonly ServiceFactory[];
  /** BASE mode: the connections this process owns besides. */
  readonly sockets?: OwnSockets | undefined;
  /** Ends the process. */
  exit(code: number): void;
}

/** A turn gives way to timers, promises and I/O of user code after this long. */
const TURN_MS = 10;
const FRAMES_PER_CLOCK_LOOK = 32;
/**
 * A released worker receives no events any more; until it ends it looks this often whether a slow client has read on.
 */
const DRAIN_LOOK_MS = 10;
/** The manager's SIGTERM at the deadline may be a little early by this process's clock. */
const ON_ITS_WAY_MS = 50;
/** BASE mode: the part of a release's time that the hand-off needs. */
const HAND_OVER_MS = 300;
/** The manager is gone: the worker finishes what it can at once, and gives up the rest. */
const ORPHAN_MS = 300;

/** The last spans of a worker; a collector that does not answer delays no reload for longer. */
const FLUSH_MS = 1000;

type Purpose = 'serve' | 'release' | 'settle' | 'stop';

export class Worker<C extends UserConnection> implements PollerHandler {
  readonly id: number;
  readonly #parts: WorkerParts<C>;
  readonly #board: WorkerBoard;
  readonly #figures: Figures;
  readonly #calls: Calls;
  readonly #services: readonly FrameService[];
  readonly #inbox: Inbox;
  readonly #poller: Poller;
  readonly #messaging: Messaging;
  /** Tasks to run, or a user process: none in a plain worker. */
  #source: WorkSource | undefined;
  readonly #spin: WorkerParts<C>['spin'];
  readonly #looks = (): boolean => this.hasWork;
  /** The next turn begins with a wait for results. */
  #waits = false;
  #attached = false;
  #servesSince = Number.POSITIVE_INFINITY;
  #awake = true;
  #purpose: Purpose = 'serve';
  #settledSent = false;
  #releasedSent = false;
  #termSeen = false;
  #leaveBy = Number.POSITIVE_INFINITY;
  #ending = false;
  #releaseWaits = false;
  #isHandingOver = false;
  #turnStarted = 0;
  #framesThisTurn = 0;
  #drainTimer: NodeJS.Timeout | undefined;

  constructor(parts: WorkerParts<C>) {
    const { id, lane, region, outbox, callbacks, log, rings, reactorWakers } = parts;
    this.id = id;
    this.#parts = parts;
    this.#board = new WorkerBoard(region);
    this.#poller = parts.createPoller(this);
    this.#poller.addReadable(parts.bell.read, 0);
    this.#messaging = parts.messaging;
    this.#spin = parts.spin;
    this.#messaging.messenger.wantsTurn = () => this.#poller.wakeSoon();
    const table = new ConnectionTable(region);
    const figures = new Figures({ region, id, lane, maxRequest: parts.maxRequest, reached: () => this.#retire() });
    const calls = new Calls({ ...parts, figures, pendingChanged: (count) => this.#pendingChanged(count) });
    const connections = new Connections<C>({
      ...{ table, outbox, calls, figures, callbacks: callbacks.ports, create: (fd) => parts.createConnection(fd) },
      connectionEnded: (fd, isHalf) => {
        for (const service of this.#services) service.connectionEnded(fd, isHalf);
      },
    });
    this.#figures = figures;
    this.#calls = calls;
    this.#services = createServices({ ...parts, table, connections, figures, calls }, parts.services);
    this.#inbox = new Inbox({ rings, reactorWakers, services: byType(this.#services, log), connections });
  }

  /** Before `boot`: the work of this process besides packets. */
  setSource(source: WorkSource): void {
    this.#source = source;
  }

  /** Asks for a turn of the event loop. */
  wakeSoon(): void {
    this.#poller.wakeSoon();
  }

  /** Fires `workerStart`, then reports to the manager that this worker can receive packets. */
  async boot(): Promise<void> {
    this.#parts.channel.listen({ message: (message) => this.#onMessage(message), end: () => this.#orphaned() });
    await this.#parts.callbacks.workerStart?.(this.id);
    await returnStandardError();
    this.#board.setField(this.id, WorkerField.ready, process.pid);
    this.#parts.channel.send({ type: 'ready' });
  }

  #onMessage(message: ManagerToWorker): void {
    switch (message.type) {
      case 'attach':
        return this.#attach();
      case 'release':
        return this.#release(message.deadlineMs);
      case 'accept':
        if (this.#attached) this.#parts.sockets?.accept();
        return;
      case 'goOn':
        this.#termSeen = false;
        return;
      case 'closeAll':
        return this.#closeAll(message.deadlineMs);
      case 'settle':
        this.#parts.sockets?.quiesce();
        for (const service of this.#services) service.drain();
        this.#purpose = 'settle';
        this.#source?.settle();
        return this.#poller.wakeSoon();
      case 'stop':
        this.#purpose = 'stop';
        this.#leaveBy = performance.now() + message.deadlineMs - ON_ITS_WAY_MS;
        this.#source?.stop();
        return this.#poller.wakeSoon();
      case 'passedOn':
        return this.#messaging.messenger.service?.(unpackForPredecessor(message.packed), this.id);
      case 'profile':
        return void answerProfile(message.profile, this.#parts.messaging.overflow).then((answer) =>
          this.#parts.channel.send(answer),
        );
    }
  }

  #closeAll(deadlineMs: number): void {
    const closed = (): void => void this.#parts.channel.send({ type: 'closed' });
    if (this.#attached && this.#parts.sockets !== undefined) this.#parts.sockets.closeAll(deadlineMs, closed);
    else closed();
  }

  #attach(): void {
    this.#inbox.resync();
    this.#board.setField(this.id, WorkerField.lane, this.#parts.lane);
    this.#board.setField(this.id, WorkerField.dismissing, 0);
    this.#attached = true;
    this.#servesSince = performance.now();
    // Its first turn may have begun: a hang in the first callback is seen too.
    if (this.#awake) this.#board.setField(this.id, WorkerField.busy, busyStamp());
    this.#parts.sockets?.attach();
    this.#messaging.messenger.receive(this.id, (data, from) => this.#message(data, from));
    this.#source?.attach();
    this.#poller.wakeSoon();
  }

  // ——— turns ———

  ready(): void {
    if (!this.#awake) this.#wakeUp();
    if (!this.#poller.levelTriggered) return;
    clearDoorbell(this.#parts.bell);
    this.#poller.rearm(this.#parts.bell.read, READABLE);
  }

  turnEnd(): void {
    if (!this.#awake) this.#wakeUp();
    const inVain = this.#waits && !this.#waitForResult();
    const mayExpect = this.#messaging.expectsResult;
    let more = this.#takeTurn();
    const end = this.#turnStarted + TURN_MS;
    while (!more && this.#waitForTask()) more = this.#takeTurn() || this.#turnStarted > end;
    this.#waits = !more && !inVain && this.#spin.isWorthwhile && (mayExpect || this.#messaging.expectsResult);
    if (more || this.#waits) this.#poller.wakeSoon();
    else this.#fallAsleep();
    if (this.#purpose !== 'serve') this.#checkPurpose();
  }

  /** @returns true when there is more to take at once */
  #takeTurn(): boolean {
    const { outbox, datagrams } = this.#parts;
    outbox.inTurn = true;
    this.#turnStarted = performance.now();
    this.#calls.beginTurn(this.#turnStarted);
    this.#framesThisTurn = 0;
    if (outbox.waitsForRoom) outbox.roomAgain();
    const goOn = (): boolean => this.#mayGoOn();
    let isInTime = true; // between two looks at the clock `goOn` would say yes again
    const takeOn = (): boolean => {
      isInTime &&= goOn();
      return isInTime;
    };
    while (this.#attached && takeOn() && this.#inbox.take(takeOn));
    this.#releaseAtBorder();
    const more = this.#messaging.take(goOn);
    const moreTasks = this.#source?.take(goOn) === true;
    outbox.inTurn = false;
    outbox.flush();
    datagrams.endTurn();
    this.#figures.held = outbox.heldBytes;
    return more || moreTasks || this.#hasFrames;
  }

  // ——— waiting awake ———

  /** In a turn of its own: the next tasks are submitted when the promises of the last results go on. */
  #waitForResult(): boolean {
    this.#waits = false;
    return this.#messaging.expectsResult && this.#spin.wait(this.#looks);
  }

  /** At the end of a turn: meanwhile callers need not wake another task worker. */
  #waitForTask(): boolean {
    if (!this.#spin.isWorthwhile || this.#source?.isFree !== true) return false;
    this.#source.look(true);
    const found = this.#spin.wait(this.#looks);
    this.#source.look(false);
    return found;
  }

  #learnFromSleep(): void {
    if (!this.#messaging.expectsResult && this.#source?.isFree !== true) return;
    const byTask = this.#messaging.hasResult || this.#source?.hasWork === true;
    this.#spin.woke(byTask, performance.now() - this.#turnStarted);
  }

  #wakeUp(): void {
    this.#awake = true;
    this.#parts.sleeper.wake();
    this.#learnFromSleep();
    // Bytes sent between two turns: if this one never ends, the figures are right all the same.
    this.#figures.countSent(this.#parts.outbox, this.#parts.datagrams);
    if (this.#attached) this.#board.setField(this.id, WorkerField.busy, busyStamp());
  }

  #fallAsleep(): void {
    this.#awake = false;
    if (this.#attached) this.#board.setField(this.id, WorkerField.busy, 0);
    this.#figures.countSent(this.#parts.outbox, this.#parts.datagrams);
    this.#parts.sleeper.sleep();
    if (this.hasWork) this.#poller.wakeSoon();
  }

  /** Another process takes its place, or the server ends. */
  get isLeaving(): boolean {
    return this.#purpose !== 'serve' || this.#leaveBy < Number.POSITIVE_INFINITY;
  }

  /** For how long it is the process of its id; 0 while it boots. */
  get servedMs(): number {
    return Math.max(0, performance.now() - this.#servesSince);
  }

  /** There are frames that no turn has taken. */
  get hasWork(): boolean {
    if (this.#messaging.hasWork || this.#source?.hasWork) return true;
    return this.#hasFrames;
  }

  get #hasFrames(): boolean {
    return this.#attached && this.#inbox.hasFrames;
  }

  #mayGoOn(): boolean {
    return ++this.#framesThisTurn % FRAMES_PER_CLOCK_LOOK !== 0 || performance.now() - this.#turnStarted < TURN_MS;
  }

  #message(data: unknown, fromWorkerId: number): void {
    this.#calls.call('pipeMessage', () => this.#parts.callbacks.pipeMessage?.(data, fromWorkerId));
  }

  #pendingChanged(count: number): void {
    this.#board.setField(this.id, WorkerField.pending, count);
    if (count === 0 && this.#purpose !== 'serve') this.#poller.wakeSoon();
  }

  #retire(): void {
    this.#parts.log.info('this worker has handled maxRequest packets and asks to be replaced');
    this.askToBeReplaced('maxRequest');
  }

  askToBeReplaced(why: ReplaceReason): void {
    const ask = () => void this.#parts.channel.send({ type: 'request', action: 'stopWorker', workerId: this.id, why });
    why === 'asked' || this.#source === undefined ? ask() : this.#source.whenFree(ask);
  }

  // ——— leaving ———

  /**
   * SIGTERM: asks to be replaced, so that no client waits. A signal that comes while the worker leaves anyway
   * changes nothing (a process group receives it in all its processes at once), unless its time is over; a second
   * one ends it at once.
   */
  terminate(): void {
    if (this.#termSeen || performance.now() >= this.#leaveBy) {
      this.#parts.outbox.giveUp();
      return this.#parts.exit(0);
    }
    this.#termSeen = true;
    if (this.#purpose !== 'serve') return;
    this.askToBeReplaced('asked');
  }

  #release(deadlineMs: number): void {
    this.#leaveBy = performance.now() + deadlineMs - ON_ITS_WAY_MS;
    const release = (): void => {
      this.#releaseWaits = true;
      this.#releaseAtBorder();
    };
    const { sockets } = this.#parts;
    const dismissMs = Math.max(0, deadlineMs - HAND_OVER_MS);
    this.#board.setField(this.id, WorkerField.dismissing, 1);
    this.#dismiss(dismissMs, () => (sockets === undefined ? release() : sockets.dismiss(dismissMs, release)));
  }

  /** Calls `done` when no protocol has work left that cannot be handed off to another process. */
  #dismiss(deadlineMs: number, done: () => void): void {
    let waiting = this.#services.length;
    const oneDone = (): void => {
      if (--waiting === 0) done();
    };
    for (const service of this.#services) service.dismiss(deadlineMs, oneDone);
  }

  /** A packet that was partly taken must be taken whole: the next process has not seen its beginning. */
  #releaseAtBorder(): void {
    if (!this.#releaseWaits || this.#services.some(({ isIncomplete }) => isIncomplete)) return;
    this.#releaseWaits = false;
    this.#letGo();
    this.#isHandingOver = true;
    // What an `async` callback sends without having waited for anything comes before what the next process sends.
    setImmediate(() => this.#handOver());
    this.#drainTimer ??= setInterval(() => this.#drainOn(), DRAIN_LOOK_MS);
  }

  #handOver(): void {
    const { outbox, sockets } = this.#parts;
    outbox.keepPlaces();
    const handedOver = (): void => {
      this.#isHandingOver = false;
      if (sockets !== undefined || !this.#source?.holdsUntilFinished) this.#sendReleased();
      this.#poller.wakeSoon();
    };
    // The next process takes the messages behind those that this one still reads.
    this.#messaging.messenger.whenDelivered(() => (sockets ? sockets.release(handedOver) : handedOver()));
  }

  #letGo(): void {
    this.#attached = false;
    this.#purpose = 'release';
    this.#inbox.letGo();
    this.#messaging.messenger.stopReceiving();
    this.#source?.release();
  }

  #sendReleased(): void {
    if (!this.#releasedSent) this.#parts.channel.send({ type: 'released' });
    this.#releasedSent = true;
  }

  #drainOn(): void {
    this.lookForGone();
    this.#checkPurpose();
  }

  /** For clients that are gone, and for room: nobody tells a worker that leaves, or whose connection's owner (BASE mode) has died. */
  lookForGone(): void {
    this.#parts.outbox.poll();
    if (!this.#hasFrames) for (const service of this.#services) service.poll();
  }

  #checkPurpose(): void {
    if (this.#owes || this.#ending) return;
    // Since the turn: who gives back the place of a message rings for nobody.
    if (this.hasWork) return this.#poller.wakeSoon();
    if (this.#purpose === 'settle') {
      if (!this.#settledSent) this.#parts.channel.send({ type: 'settled' });
      this.#settledSent = true;
      return;
    }
    if (this.#purpose === 'release') this.#sendReleased();
    void this.#leave();
  }

  /** True while work has begun and is not finished. */
  get #owes(): boolean {
    // The manager hurries task workers when all workers have settled: no caller waits for the rest then.
    const tasks = this.#purpose === 'settle' ? this.#messaging.awaited : this.#messaging.pending;
    const pending = this.#calls.pending + tasks + (this.#source?.pending ?? 0);
    const { outbox, sockets } = this.#parts;
    return pending > 0 || this.#isHandingOver || !outbox.isEmpty || sockets?.isQuiet === false;
  }

  async #leave(): Promise<void> {
    if (this.#ending) return;
    this.#ending = true;
    clearInterval(this.#drainTimer);
    const { callbacks, log, outbox, channel } = this.#parts;
    try {
      await callbacks.workerExit?.(this.id);
      await callbacks.workerStop?.(this.id);
    } catch (error) {
      log.error('a callback failed while the worker stopped', { error });
    }
    if (isTracing()) await within(flushTelemetry(), FLUSH_MS);
    outbox.flush();
    this.#figures.countSent(outbox, this.#parts.datagrams);
    await channel.flushed();
    this.#poller.close();
    this.#parts.exit(0);
  }

  /** The manager is gone, and with it the process that would end this one. */
  #orphaned(): void {
    this.#letGo();
    this.#source?.stop();
    const { region, exit } = this.#parts;
    const look = (): void => {
      // Where the master has killed the manager, to end the start, it waits.
      if (process.ppid !== region.masterPid || monotonicMs() >= region.stopBy) exit(1);
    };
    setInterval(look, ORPHAN_MS).unref();
    this.#drainTimer ??= setInterval(() => this.#drainOn(), DRAIN_LOOK_MS);
    this.#poller.wakeSoon();
  }
}
