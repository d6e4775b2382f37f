/**
 * Runs the user's callbacks on what reactors dispatch. Runs in a worker process.
 *
 * Its life: booted → attached (takes packets) → released (another process has taken over) or settling (no more packets
 * come) → ended. What has begun is finished in every case: callbacks whose promises are pending, replies that wait.
 */

import { returnStandardError } from '../ipc/boot-output.js';
import type { ControlChannel } from '../ipc/control-channel.js';
import { CloseCode, CloseFlag, closeReason, detailOf, Event, flagsOf, PieceFlag } from '../ipc/frame.js';
import { DATAGRAM_HEADER_BYTES, readDatagram } from '../ipc/frames/datagram.js';
import { REQUEST_PREFIX_BYTES } from '../ipc/frames/http.js';
import type { ManagerToWorker, ReplaceReason, WorkerToManager } from '../ipc/message.js';
import type { Outbox } from '../ipc/outbox.js';
import type { RingReader } from '../ipc/ring.js';
import type { Sleeper, Wakes } from '../ipc/sleep.js';
import { busyStamp, Http2Record, WorkerBoard, WorkerCounter, WorkerField } from '../memory/boards.js';
import { ConnectionTable, SlotFlag } from '../memory/connection-table.js';
import type { ProcessRecord } from '../memory/process-board.js';
import type { Region } from '../memory/region.js';
import type { Messaging } from '../messaging/messaging.js';
import { answerProfile } from '../messaging/profile-answer.js';
import type { WorkSource } from '../messaging/work-source.js';
import { clearDoorbell, type DoorbellDescriptors } from '../os/doorbell.js';
import { letPromisesGoOn, type Poller, type PollerHandler, READABLE } from '../os/poller.js';
import type { Log } from '../util/log.js';
import type { UserConnection, WorkerCallbacks } from './callbacks.js';
import type { HttpService, HttpWorker, TakenRequest } from './http-service.js';
import { Inbox, type InboxHandler } from './inbox.js';
import { WorkerConnection } from './worker-connection.js';

export interface WorkerParts<C extends UserConnection> {
  readonly id: number;
  readonly lane: number;
  readonly region: Region;
  /** One per reactor. */
  readonly rings: readonly RingReader[];
  readonly reactorWakers: readonly Wakes[];
  readonly outbox: Outbox;
  readonly sleeper: Sleeper;
  readonly bell: DoorbellDescriptors;
  readonly channel: Pick<ControlChannel<ManagerToWorker, WorkerToManager>, 'listen' | 'send' | 'flushed'>;
  readonly callbacks: WorkerCallbacks<C>;
  /** What one client may have sent that is not handled yet; 0: any amount. */
  readonly maxQueuedBytes: number;
  /** Reactors want to know what is handled. */
  readonly countsHandled: boolean;
  /** Packets after which this process asks to be replaced; 0: never. */
  readonly maxRequest: number;
  /** Tasks this process gives, messages it sends and gets. */
  readonly messaging: Messaging;
  /** Where it tells how long callbacks take. */
  readonly record: ProcessRecord;
  readonly log: Log;
  createPoller(handler: PollerHandler): Poller;
  createConnection(sessionId: number): C;
  /** Whoever sent a datagram. */
  createPeer(portIndex: number, sockaddr: Buffer): unknown;
  /** Where ports speak HTTP. */
  readonly http?: HttpService | undefined;
  /** BASE mode: the connections this process owns besides. */
  readonly sockets?: OwnSockets | undefined;
  /** Ends the process. */
  exit(code: number): void;
}

/** Connections that the worker itself owns (BASE mode); elsewhere the reactors of the master do. */
export interface OwnSockets {
  /** This process bears the id from now on: the connections of the one before are its own. */
  attach(): void;
  /** Clients may come. */
  accept(): void;
  /** Ends connections that cannot go over to another process; `done`, later, when there are none. */
  dismiss(deadlineMs: number, done: () => void): void;
  /** Gives all connections to the process that comes next; `done` when they have left. */
  release(done: () => void): void;
  /** Takes nothing more in. */
  quiesce(): void;
  /** Closes every connection once what is queued for it has left, at the deadline at the latest. */
  closeAll(deadlineMs: number, done: () => void): void;
}

/** A turn lets timers, promises and I/O of the user's code go on after this long. */
const TURN_MS = 10;
const PACKETS_PER_CLOCK_LOOK = 32;
/** A released worker hears of no event any more; until it ends it looks this often whether a slow client has read on. */
const DRAIN_LOOK_MS = 10;
/** The manager's SIGTERM at the deadline may be a little early by this process's clock. */
const ON_ITS_WAY_MS = 50;
/** BASE mode: what is left of the time of a release for the hand-over. */
const HAND_OVER_MS = 300;
/** The manager is gone: what can be finished at once is, the rest is given up. */
const ORPHAN_MS = 300;

type Purpose = 'serve' | 'release' | 'settle' | 'stop';

export class Worker<C extends UserConnection> implements PollerHandler, InboxHandler, HttpWorker {
  readonly id: number;
  readonly #parts: WorkerParts<C>;
  readonly #table: ConnectionTable;
  readonly #board: WorkerBoard;
  readonly #float64: Float64Array;
  readonly #countersAt: number;
  readonly http2: Http2Record;
  readonly #inbox: Inbox;
  readonly #poller: Poller;
  readonly #connections: (WorkerConnection<C> | undefined)[] = [];
  readonly #messaging: Messaging;
  /** Tasks to run, or a process of the user's own: nothing in a plain worker. */
  #source: WorkSource | undefined;
  #attached = false;
  #awake = true;
  #purpose: Purpose = 'serve';
  #saidSettled = false;
  #saidReleased = false;
  #termSeen = false;
  #leaveBy = Number.POSITIVE_INFINITY;
  #ending = false;
  #pending = 0;
  #requests = 0;
  /** The HTTP request that is being taken; used again. */
  readonly #request = {
    ...{ fd: 0, exchange: 0, flags: 0, first: 0, second: 0, at: 0, end: 0 },
    bytes: Buffer.alloc(0) as Buffer,
  };
  /** Pieces of a datagram that is not whole yet. */
  #datagram: Buffer[] = [];
  /** Connections of which a part of a packet has come. */
  #incomplete = 0;
  #releaseWaits = false;
  #isHandingOver = false;
  #turnStarted = 0;
  /** When the last callback of this turn ended, and so the next one began: one look at the clock for each. */
  #stamp = 0;
  #packetsThisTurn = 0;
  #drainTimer: NodeJS.Timeout | undefined;

  constructor(parts: WorkerParts<C>) {
    this.id = parts.id;
    this.#parts = parts;
    this.#table = new ConnectionTable(parts.region);
    this.#board = new WorkerBoard(parts.region);
    this.#float64 = parts.region.float64;
    this.#countersAt = this.#board.counterIndex(parts.id, parts.lane);
    this.http2 = new Http2Record(parts.region, parts.id, parts.lane);
    this.#inbox = new Inbox(parts.rings, this);
    this.#poller = parts.createPoller(this);
    this.#poller.addReadable(parts.bell.read, 0);
    this.#messaging = parts.messaging;
    this.#messaging.messenger.wantsTurn = () => this.#poller.wakeSoon();
    parts.http?.begin(this);
  }

  get outbox(): Outbox {
    return this.#parts.outbox;
  }

  /** Before `boot`: what this process does besides packets. */
  setSource(source: WorkSource): void {
    this.#source = source;
  }

  /** Asks for a turn of the event loop. */
  wakeSoon(): void {
    this.#poller.wakeSoon();
  }

  /** Fires `workerStart`, then tells the manager that this worker can take packets. */
  async boot(): Promise<void> {
    this.#parts.channel.listen({ message: (message) => this.#obey(message), end: () => this.#orphaned() });
    await this.#parts.callbacks.workerStart?.(this.id);
    await returnStandardError();
    this.#parts.channel.send({ type: 'ready' });
  }

  #obey(message: ManagerToWorker): void {
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
        this.#parts.http?.drain();
        this.#purpose = 'settle';
        this.#source?.stop();
        return this.#poller.wakeSoon();
      case 'stop':
        this.#purpose = 'stop';
        this.#leaveBy = performance.now() + message.deadlineMs - ON_ITS_WAY_MS;
        this.#source?.stop();
        return this.#poller.wakeSoon();
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
    // Its first turn may have begun: what hangs in the first callback is seen too.
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
    const { outbox } = this.#parts;
    outbox.inTurn = true;
    this.#turnStarted = performance.now();
    this.#stamp = this.#turnStarted;
    this.#packetsThisTurn = 0;
    if (outbox.waitsForRoom) outbox.roomAgain();
    const goOn = (): boolean => this.#mayGoOn();
    while (this.#attached && goOn() && this.#inbox.take(goOn));
    this.#releaseAtBorder();
    const more = this.#messaging.take(goOn);
    const moreTasks = this.#source?.take(goOn);
    outbox.inTurn = false;
    outbox.flush();
    this.#float64[this.#countersAt + WorkerCounter.held] = outbox.heldBytes;
    letPromisesGoOn();
    if (more || moreTasks || (this.#attached && this.#inbox.hasPackets)) this.#poller.wakeSoon();
    else this.#fallAsleep();
    if (this.#purpose !== 'serve') this.#checkPurpose();
  }

  #wakeUp(): void {
    this.#awake = true;
    this.#parts.sleeper.wake();
    this.#countSent(); // between two turns: if this one never ends, the figures are right all the same
    if (this.#attached) this.#board.setField(this.id, WorkerField.busy, busyStamp());
  }

  #fallAsleep(): void {
    this.#awake = false;
    if (this.#attached) this.#board.setField(this.id, WorkerField.busy, 0);
    this.#countSent();
    this.#parts.sleeper.sleep();
    if (this.hasWork) this.#poller.wakeSoon();
  }

  /** Something is there that no turn has taken. */
  get hasWork(): boolean {
    if (this.#messaging.hasWork || this.#source?.hasWork) return true;
    return this.#attached && this.#inbox.hasPackets;
  }

  #mayGoOn(): boolean {
    if (++this.#packetsThisTurn % PACKETS_PER_CLOCK_LOOK !== 0) return true;
    return performance.now() - this.#turnStarted < TURN_MS;
  }

  // ——— what reactors send ———

  receive(sessionId: number, data: Buffer, flags: number): void {
    const connection = this.#connection(sessionId);
    if (flags !== 0) return this.#assemble(connection, data, flags);
    this.#received(connection, data);
  }

  // ——— HTTP ———

  takeRequest(ring: RingReader, sessionId: number): unknown {
    if (this.#table.isClosedByServer(sessionId)) return undefined;
    this.#table.setTaker(this.#table.slotOf(sessionId), process.pid);
    const request = this.#request;
    const { word, payloadAt } = ring;
    request.fd = sessionId;
    request.exchange = detailOf(word);
    request.flags = flagsOf(word);
    request.first = ring.firstWord;
    request.second = ring.secondWord;
    request.bytes = ring.bytes;
    request.at = payloadAt + REQUEST_PREFIX_BYTES;
    request.end = payloadAt + ring.length;
    return this.#parts.http?.take(request as TakenRequest);
  }

  serve(taken: unknown, bytes: number): void {
    if (taken === undefined) return;
    this.#countPacket(bytes);
    const { maxRequest } = this.#parts;
    if (maxRequest > 0 && ++this.#requests % maxRequest === 0) this.#retire();
    this.#parts.http?.serve(taken);
    this.#callbackEnded(this.#stamp);
  }

  body(sessionId: number, exchange: number, flags: number, data: Buffer): void {
    this.#parts.http?.body(sessionId, exchange, flags, data);
  }

  addPending(count: number): void {
    this.#setPending(this.#pending + count);
    if (count < 0 && this.#pending === 0 && this.#purpose !== 'serve') this.#poller.wakeSoon();
  }

  callbackFailed(error: unknown, event: string): void {
    this.#add(WorkerCounter.callbackErrors, 1);
    this.#parts.log.error(`the '${event}' callback failed`, { error });
  }

  holdConnection(fd: number): void {
    const connection = this.#connection(fd);
    connection.held = true;
    connection.pending++;
  }

  releaseConnection(fd: number): void {
    const connection = this.#connections[this.#table.slotOf(fd)];
    if (connection?.user.fd !== fd || !connection.held) return;
    connection.held = false;
    connection.pending--;
    if (connection.pending === 0) this.#end(connection);
  }

  requestDetached(fd: number): void {
    this.#table.setTaker(this.#table.slotOf(fd), 0);
  }

  packet(piece: Buffer, flags: number): void {
    const isFirst = (flags & PieceFlag.continued) === 0;
    if (isFirst) this.#datagram = [];
    this.#datagram.push(piece);
    if ((flags & PieceFlag.more) !== 0) return;
    const packet = this.#datagram.length === 1 ? piece : Buffer.concat(this.#datagram);
    this.#datagram = [];
    if (packet.length < DATAGRAM_HEADER_BYTES) return; // its beginning went to a process that has died
    const { portIndex, sockaddr, data } = readDatagram(packet);
    this.#countPacket(data.length);
    const { callbacks, createPeer } = this.#parts;
    this.#callForServer(
      () => callbacks.ports[portIndex]?.packet?.(data, createPeer(portIndex, sockaddr) as never),
      'packet',
    );
    this.#callbackEnded(this.#stamp);
  }

  #retire(): void {
    this.#parts.log.info('as many packets were handled as maxRequest says, asking to be replaced');
    this.askToBeReplaced('maxRequest');
  }

  askToBeReplaced(why: ReplaceReason): void {
    this.#parts.channel.send({ type: 'request', action: 'stopWorker', workerId: this.id, why });
  }

  /** A packet whose beginning went to a process that has died is not given to the user. */
  #assemble(connection: WorkerConnection<C>, piece: Buffer, flags: number): void {
    const isFirst = (flags & PieceFlag.continued) === 0;
    if (isFirst) this.#forgetPieces(connection);
    if (isFirst) connection.pieces = [];
    if (connection.pieces === null) return;
    if (isFirst) this.#incomplete++;
    connection.pieces.push(piece);
    if ((flags & PieceFlag.more) !== 0) return;
    const whole = Buffer.concat(connection.pieces);
    this.#forgetPieces(connection);
    this.#received(connection, whole);
  }

  #forgetPieces(connection: WorkerConnection<C>): void {
    if (connection.pieces === null) return;
    connection.pieces = null;
    this.#incomplete--;
  }

  #received(connection: WorkerConnection<C>, data: Buffer): void {
    const { fd } = connection.user;
    if (this.#table.isClosedByServer(fd)) return this.#forgo(fd, data.length);
    if (this.#parts.http?.received(fd, data)) return;
    this.#countPacket(data.length);
    const { maxRequest } = this.#parts;
    if (maxRequest > 0 && ++this.#requests % maxRequest === 0) this.#retire(); // again, if it could not be replaced
    const { receive } = connection.callbacks;
    try {
      const result = connection.ended ? undefined : receive?.(connection.user, data);
      if (isThenable(result)) return this.#track(connection, result, 'receive', data.length);
    } catch (error) {
      this.#failed(connection, error, 'receive');
    }
    this.#callbackEnded(this.#stamp);
    if (this.#parts.countsHandled) this.#handled(fd, data.length);
  }

  /** The server has closed the connection; what its client had sent until then is no user's any more. */
  #forgo(fd: number, bytes: number): void {
    if (this.#parts.countsHandled) this.#handled(fd, bytes);
  }

  /** The reactor has stopped reading from a client that is too far ahead: below half of the limit it may go on. */
  #handled(fd: number, bytes: number): void {
    const slot = this.#table.slotOf(fd);
    if (this.#table.sessionId(slot) !== fd) return;
    const queued = this.#table.countHandled(slot, bytes);
    if (!this.#table.hasFlag(slot, SlotFlag.throttled) || queued > this.#parts.maxQueuedBytes / 2) return;
    this.#table.setFlag(slot, SlotFlag.throttled, false);
    this.#parts.outbox.readOn(fd);
  }

  event(type: number, flags: number, detail: number, sessionId: number, message: string): void {
    switch (type) {
      case Event.connect: {
        this.#add(WorkerCounter.connects, 1);
        const connection = this.#connection(sessionId);
        return this.#call(connection, 'connect', () => connection.callbacks.connect?.(connection.user));
      }
      case Event.close:
        return this.#closed(sessionId, flags, detail, message);
      case Event.bufferFull: {
        const connection = this.#connection(sessionId);
        return this.#call(connection, 'bufferFull', () => connection.callbacks.bufferFull?.(connection.user));
      }
      case Event.bufferEmpty: {
        const connection = this.#connection(sessionId);
        return this.#call(connection, 'bufferEmpty', () => connection.callbacks.bufferEmpty?.(connection.user));
      }
      case Event.writable:
        return this.#parts.outbox.writable(sessionId);
      case Event.gone:
        return this.#parts.http?.gone(sessionId, detail, flags, message);
      default:
        this.#parts.log.error('a reactor sent an event this worker does not know', { type });
    }
  }

  ringReactor(reactor: number): void {
    this.#parts.reactorWakers[reactor]?.ring();
  }

  #connection(sessionId: number): WorkerConnection<C> {
    const slot = this.#table.slotOf(sessionId);
    const known = this.#connections[slot];
    if (known !== undefined && known.user.fd === sessionId) return known;
    const callbacks = this.#parts.callbacks.ports[this.#table.portIndex(slot)] ?? {};
    const connection = new WorkerConnection(this.#parts.createConnection(sessionId), callbacks);
    this.#connections[slot] = connection;
    return connection;
  }

  /** The same object for everyone in this process who speaks of this session. */
  userConnection(sessionId: number): C {
    return this.#connection(sessionId).user;
  }

  #closed(sessionId: number, flags: number, code: number, message: string): void {
    // It has been told of the client's end before, and may have done with it.
    if (flags & CloseFlag.gone && this.#connections[this.#table.slotOf(sessionId)]?.user.fd !== sessionId) {
      return this.#parts.outbox.forget(sessionId);
    }
    const connection = this.#connection(sessionId);
    this.#forgetPieces(connection);
    const awaitsAnswers = (flags & CloseFlag.awaitsAnswers) !== 0;
    connection.ending = { reason: closeReason(code, message), awaitsAnswers };
    if (connection.held) this.#parts.http?.ended(sessionId, awaitsAnswers);
    if (!awaitsAnswers || connection.pending === 0) this.#end(connection);
  }

  #end(connection: WorkerConnection<C>): void {
    if (connection.ended || connection.ending === undefined) return;
    const { reason, awaitsAnswers } = connection.ending;
    const { outbox } = this.#parts;
    const { fd } = connection.user;
    connection.ended = true;
    this.#add(WorkerCounter.closes, 1);
    connection.user.ended(this.#table.info(fd));
    this.#table.markEnded(fd);
    if (awaitsAnswers) outbox.finish(fd);
    else outbox.forget(fd);
    this.#call(connection, 'close', () => connection.callbacks.close?.(connection.user, reason));
    const slot = this.#table.slotOf(fd);
    if (this.#connections[slot] === connection) this.#connections[slot] = undefined;
  }

  // ——— calling the user ———

  #message(data: unknown, fromWorkerId: number): void {
    this.#callForServer(() => this.#parts.callbacks.pipeMessage?.(data, fromWorkerId), 'pipeMessage');
  }

  /** A callback that belongs to no connection. */
  #callForServer(call: () => unknown, event: string): void {
    const failed = (error: unknown): void => {
      this.#add(WorkerCounter.callbackErrors, 1);
      this.#parts.log.error(`the '${event}' callback failed`, { error });
    };
    try {
      const result = call();
      if (!isThenable(result)) return;
      this.#setPending(this.#pending + 1);
      result.then(
        () => this.#settled(),
        (error: unknown) => {
          failed(error);
          this.#settled();
        },
      );
    } catch (error) {
      failed(error);
    }
  }

  #settled(): void {
    this.#setPending(this.#pending - 1);
    if (this.#pending === 0 && this.#purpose !== 'serve') this.#poller.wakeSoon();
  }

  #call(connection: WorkerConnection<C>, event: string, call: () => unknown): void {
    try {
      const result = call();
      if (isThenable(result)) this.#track(connection, result, event);
    } catch (error) {
      this.#failed(connection, error, event);
    }
  }

  #track(connection: WorkerConnection<C>, promise: PromiseLike<unknown>, event: string, bytes = 0): void {
    connection.pending++;
    this.#setPending(this.#pending + 1);
    const startedAt = this.#stamp;
    this.#stamp = performance.now();
    const settled = (): void => {
      if (event === 'receive') this.#callbackEnded(startedAt);
      connection.pending--;
      if (connection.pending === 0) this.#end(connection);
      if (bytes > 0 && this.#parts.countsHandled) this.#handled(connection.user.fd, bytes);
      this.#settled();
    };
    promise.then(settled, (error: unknown) => {
      this.#failed(connection, error, event);
      settled();
    });
  }

  /** Costs that connection, never the worker. */
  #failed(connection: WorkerConnection<C>, error: unknown, event: string): void {
    const { fd } = connection.user;
    this.#add(WorkerCounter.callbackErrors, 1);
    this.#parts.log.error(`the '${event}' callback failed, its connection is closed`, { fd, error });
    if (!connection.ended) this.#parts.outbox.close(fd, false, CloseCode.CALLBACK_FAILED);
  }

  // ——— leaving ———

  /**
   * SIGTERM: asks to be replaced, so that nothing waits. One that comes while it leaves anyway changes nothing (a process
   * group gets it in all its processes at once), unless its time is over; a second one ends it at once.
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
    const { sockets, http } = this.#parts;
    const dismissMs = Math.max(0, deadlineMs - HAND_OVER_MS);
    const dismissSockets = (): void => (sockets === undefined ? release() : sockets.dismiss(dismissMs, release));
    if (http === undefined) return dismissSockets();
    this.#board.setField(this.id, WorkerField.dismissing, 1);
    http.dismiss(dismissMs, dismissSockets);
  }

  /** A packet of which a part was taken must be taken whole: the next process has not seen its beginning. */
  #releaseAtBorder(): void {
    if (!this.#releaseWaits || this.#incomplete > 0) return;
    this.#releaseWaits = false;
    this.#letGo();
    if (this.#parts.sockets !== undefined) this.#handOver(this.#parts.sockets);
    else if (!this.#source?.holdsUntilFinished) this.#sayReleased();
    this.#drainTimer ??= setInterval(() => this.#drainOn(), DRAIN_LOOK_MS);
    this.#poller.wakeSoon();
  }

  #handOver(sockets: OwnSockets): void {
    this.#isHandingOver = true;
    sockets.release(() => {
      this.#isHandingOver = false;
      this.#sayReleased();
      this.#poller.wakeSoon();
    });
  }

  #letGo(): void {
    this.#attached = false;
    this.#purpose = 'release';
    this.#messaging.messenger.stopReceiving();
    this.#source?.release();
  }

  #sayReleased(): void {
    if (!this.#saidReleased) this.#parts.channel.send({ type: 'released' });
    this.#saidReleased = true;
  }

  #drainOn(): void {
    this.#parts.outbox.poll();
    this.#parts.http?.poll();
    this.#checkPurpose();
  }

  #checkPurpose(): void {
    if (this.#owes || this.hasWork || this.#ending) return;
    if (this.#purpose === 'settle') {
      if (!this.#saidSettled) this.#parts.channel.send({ type: 'settled' });
      this.#saidSettled = true;
      return;
    }
    if (this.#purpose === 'release') this.#sayReleased();
    void this.#leave();
  }

  /** What has begun and is not finished. */
  get #owes(): boolean {
    // Task workers are told to hurry when all workers have settled: nobody waits for what is left then.
    const tasks = this.#purpose === 'settle' ? this.#messaging.awaited : this.#messaging.pending;
    const pending = this.#pending + tasks + (this.#source?.pending ?? 0);
    return pending > 0 || this.#isHandingOver || !this.#parts.outbox.isEmpty;
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
    outbox.flush();
    this.#countSent();
    await channel.flushed();
    this.#poller.close();
    this.#parts.exit(0);
  }

  /** The manager is gone, and with it whoever would end this process. */
  #orphaned(): void {
    this.#letGo();
    this.#source?.stop();
    setTimeout(() => this.#parts.exit(1), ORPHAN_MS).unref();
    this.#drainTimer ??= setInterval(() => this.#drainOn(), DRAIN_LOOK_MS);
    this.#poller.wakeSoon();
  }

  // ——— figures ———

  #callbackEnded(startedAt: number): void {
    this.#stamp = performance.now();
    this.#parts.record.callbackTook(this.#stamp - startedAt);
  }

  #countPacket(bytes: number): void {
    this.#add(WorkerCounter.received, 1);
    this.#add(WorkerCounter.receivedBytes, bytes);
  }

  #add(counter: number, amount: number): void {
    const at = this.#countersAt + counter;
    this.#float64[at] = (this.#float64[at] ?? 0) + amount;
  }

  #countSent(): void {
    const { outbox } = this.#parts;
    if (outbox.sentCount === 0) return;
    this.#add(WorkerCounter.sent, outbox.sentCount);
    this.#add(WorkerCounter.sentBytes, outbox.sentBytes);
    outbox.sentCount = 0;
    outbox.sentBytes = 0;
  }

  #setPending(count: number): void {
    this.#pending = count;
    this.#board.setField(this.id, WorkerField.pending, count);
  }
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof value === 'object' && value !== null && 'then' in value && typeof value.then === 'function';
}
