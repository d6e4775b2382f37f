/**
 * Owns connections: reads, dispatches, writes replies, closes. Runs in a reactor thread of the master; it runs no user
 * code. (The class knows nothing of threads: `entry.ts` does.)
 *
 * A turn: the poller reports ready sockets, each is read straight into the ring of its worker; then what workers asked
 * for is carried out; then every worker that was given something is woken, once. The reactor announces its sleep in
 * shared memory, so that workers ring only when it sleeps.
 */
import type { Arrival } from '../ipc/arrival.js';
import {
  AnswerFlag,
  CloseCode,
  CloseFlag,
  detailOf,
  flagsOf,
  Request,
  SendFlag,
  typeOf,
  wordOf,
} from '../ipc/frame.js';
import { readAccept } from '../ipc/frames/accept.js';
import { readFileRequest } from '../ipc/frames/file.js';
import type { Frame } from '../ipc/frames/frame.js';
import { readTaken } from '../ipc/frames/http.js';
import type { WholeAnswer } from '../ipc/outbox.js';
import type { RingReader } from '../ipc/ring.js';
import type { Sleeper } from '../ipc/sleep.js';
import type { LoadedTls } from '../listen/tls-material.js';
import { AddressCounters } from '../memory/address-counters.js';
import { ReactorBoard, ReactorCounter, WorkerBoard } from '../memory/boards.js';
import { ConnectionTable, SlotFlag, SlotState } from '../memory/connection-table.js';
import { DeadConnections } from '../memory/dead-connections.js';
import type { Region } from '../memory/region.js';
import { clearDoorbell, type DoorbellDescriptors } from '../os/doorbell.js';
import { addressOf, EAGAIN, EINTR } from '../os/libc.js';
import { BROKEN, HANGUP, type Poller, type PollerHandler, READABLE, WRITABLE } from '../os/poller.js';
import { receive } from '../os/socket.js';
import { monotonicMs } from '../util/clock.js';
import { Admission } from './admission.js';
import { Antechamber } from './antechamber.js';
import { type Cargo, packConnection, packEvent, unpackConnection } from './cargo.js';
import type { ReactorConnection } from './connection.js';
import { ReactorContext, type ReactorOptions, SCRATCH_BYTES, watcherOf } from './context.js';
import { Datagrams } from './datagrams.js';
import { DeferredCloses } from './deferred-closes.js';
import type { DispatchFunction, DispatchStrategy } from './dispatch/index.js';
import { SharedDispatchView } from './dispatch-view.js';
import { Dispatcher } from './dispatcher.js';
import { Ending } from './ending.js';
import { Framing, type PortFraming, rawFraming } from './framing.js';
import { Http } from './http/http.js';
import { Phase } from './http/http-state.js';
import type { HttpHost } from './http/parts.js';
import { IdleClients } from './idle-clients.js';
import { Input } from './input.js';
import { FilePart } from './out-queue.js';
import { Overload } from './overload.js';
import { processOfPeer } from './peer-process.js';
import { Sending } from './sending.js';
import { Slots } from './slots.js';
import { Speeches, type WaitingFrame } from './speeches.js';
import { Throttle } from './throttle.js';
import type { TlsStream } from './tls/tls-stream.js';
import type { WorkerLane } from './worker-lane.js';

/** A process that may send to this reactor's connections. */
export interface ReactorSender {
  readonly ring: RingReader;
  /** −1: a sender that takes no events (task worker, process of the user's own, manager, master). */
  readonly worker: number;
  readonly peer: number;
  /** It waits for room in its ring. */
  ringBell(): void;
  /** Only the accepting thread may hand over descriptors. */
  readonly mayAccept: boolean;
}

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
  readonly lanes: readonly WorkerLane[];
  readonly senders: readonly ReactorSender[];
  readonly sleeper: Sleeper;
  readonly bell: DoorbellDescriptors;
  createPoller(handler: PollerHandler): Poller;
  /** A client was disconnected because of what it sent. */
  onRefused(sessionId: number, code: number, message: string): void;
  /** A sender wrote what cannot be read. */
  onBrokenSender(worker: number): void;
}

const NO_ADDRESS = Buffer.alloc(0);
const BELL_TOKEN = 0xffffffff;
/** A connection that has more to read lets the others go first after this many reads. */
const READS_PER_TURN = 4;
const REQUESTS_PER_TURN = 1024;
/** Replies below this size to the same connection in a row leave in one send(2). */
const GATHER_LIMIT = 8192;
/** What two frames have in common that are parts of one answer: type and detail. */
const SAME_ANSWER = 0xffff00ff;
/** Nothing is put behind the end of an answer, nor behind 1xx, nor behind a piece of a send: who comes next says whether it is the last. */
const goesOn = (flags: number): boolean =>
  (flags & (AnswerFlag.last | AnswerFlag.interim | AnswerFlag.tunnel | SendFlag.more)) === 0;
/** What must not overtake data of the same sender. */
const keepsPlace = (type: number): boolean =>
  type === Request.closed || type === Request.sendFile || type === Request.answerFile || type === Request.watchDrain;
/** At the end of the server a body that is on its way is still read: its worker is to finish. */
const isUpload = ({ http }: ReactorConnection): boolean => http?.phase === Phase.streaming;

export class Reactor implements PollerHandler {
  readonly #parts: ReactorParts;
  readonly #context: ReactorContext;
  readonly #view: SharedDispatchView;
  readonly #ending: Ending;
  readonly #sending: Sending;
  readonly #speeches: Speeches;
  readonly #closes = new DeferredCloses();
  readonly #slots: Slots;
  readonly #framing: Framing;
  readonly #http: Http;
  #httpTimer: NodeJS.Timeout | undefined;
  /** Ends of workers that were seen to. */
  #seenDeaths: number;
  readonly #idleClients: IdleClients;
  readonly #overload: Overload;
  readonly #throttle: Throttle;
  readonly #dispatcher: Dispatcher;
  readonly #datagrams: Datagrams | undefined;
  readonly #admission: Admission;
  readonly #poller: Poller;
  #awake = true;
  /** Takes nothing more in: the server is shutting down. */
  #quiet = false;
  #shutdown: { done: () => void; deadline: number } | undefined;
  /** Called when no connection is left that could not go over to another process. */
  #leaving: (() => void) | undefined;

  constructor(parts: ReactorParts) {
    const { id, region, options, lanes } = parts;
    const { reactorNum, workerNum, slots } = region.shape;
    const workers = new WorkerBoard(region);
    this.#parts = parts;
    this.#context = new ReactorContext({
      id,
      reactorNum,
      options,
      table: new ConnectionTable(region),
      board: new ReactorBoard(region),
      workers,
      lanes,
      addresses: new AddressCounters(region),
      dead: new DeadConnections(region, options),
    });
    this.#view = new SharedDispatchView(region, workers, this.#context.table, lanes);
    this.#slots = new Slots(id, reactorNum, slots, workerNum);
    this.#ending = new Ending(this.#context, this.#slots, () => this.#wakeUp());
    this.#sending = new Sending(this.#context, this.#ending);
    this.#speeches = new Speeches({
      context: this.#context,
      ending: this.#ending,
      region,
      play: (frame) => this.#play(frame),
    });
    this.#throttle = new Throttle(this.#context, this.#view);
    this.#dispatcher = new Dispatcher({ ...parts, context: this.#context, view: this.#view });
    this.#overload = new Overload(this.#context, this.#ending);
    this.#idleClients = new IdleClients(this.#context, this.#ending);
    this.#idleClients.start((look) => {
      this.#wakeUp();
      look();
      this.#poller.wakeSoon();
    });
    this.#framing = new Framing({
      laneFor: (connection, bytes, from, length) => this.#dispatcher.goalFor(connection, bytes, from, length),
      close: (connection) => this.#ending.closeWhenFlushed(connection, CloseCode.SERVER_CLOSED),
      laneOf: (worker) => this.#context.lane(worker),
      dispatched: (connection, lane, bytes) => this.#dispatcher.dispatched(connection, lane, bytes),
      stall: (connection, lane) => this.#stall(connection, lane, true),
      refuse: (connection, code, message) => this.#refuseInput(connection, code, message),
    });
    this.#http = this.#createHttp();
    this.#seenDeaths = region.deaths;
    this.#poller = parts.createPoller(this);
    this.#context.poller = this.#poller;
    this.#poller.addReadable(parts.bell.read, BELL_TOKEN);
    this.#admission = new Admission({
      context: this.#context,
      poller: this.#poller,
      ending: this.#ending,
      slots: this.#slots,
      strategy: parts.strategy,
      view: this.#view,
      certificates: parts.certificates,
      onRefused: (sessionId, code, message) => parts.onRefused(sessionId, code, message),
      read: (connection) => this.#read(connection),
      readFrom: (connection, rest) => this.#readFrom(connection, rest),
    });
    if (parts.takesDatagrams) this.#datagrams = new Datagrams(this.#context, parts.strategy, this.#view, this.#poller);
    this.#context.wake = () => {
      if (!this.#awake) this.#wakeUp();
      this.#poller.wakeSoon();
    };
    this.#poller.wakeSoon();
  }

  #createHttp(): Http {
    const { onRefused, dispatch } = this.#parts;
    const { region } = this.#parts;
    const byUser: HttpHost['laneForRequest'] =
      dispatch && ((connection, bytes, from, length) => this.#dispatcher.goalFor(connection, bytes, from, length));
    const bySession: HttpHost['laneForRequest'] = (connection, bytes, from, length) =>
      this.#dispatcher.laneForSession(connection, bytes, from, length);
    const http = new Http(this.#context, this.#ending, this.#sending, {
      laneFor: (connection) => this.#dispatcher.laneFor(connection),
      // Costs a load from shared memory per request where there is nothing to look for.
      get laneForRequest() {
        return byUser ?? (region.hasSessionAffinity ? bySession : undefined);
      },
      holds: (connection) => this.#dispatcher.holds(connection),
      stall: (connection, lane) => this.#stall(connection, lane, true),
      readDry: (connection) => this.#readDry(connection),
      countReceived: (connection, bytes) => this.#countReceived(connection, bytes),
      countDispatched: (connection) => this.#dispatcher.requestDispatched(connection),
      rebind: (connection, worker) => this.#dispatcher.rebind(connection, worker),
      refused: (connection, code, message) => onRefused(connection.sessionId, code, message),
      processOf: (peer) => processOfPeer(region, this.#context.workers, peer),
    });
    this.#ending.onLost = (connection, code) => http.answers.lost(connection, code);
    this.#ending.onReleased = (connection) => {
      http.released(connection);
      if (connection.speech !== null) this.#speeches.forget(connection);
    };
    this.#ending.onOverdue = (connection) => http.answers.overdue(connection);
    this.#sending.onFlushed = (connection) => http.answers.flushed(connection);
    const { lookMs } = http.times;
    if (lookMs > 0) this.#httpTimer = setInterval(() => this.#checkHttpTimes(), lookMs);
    return http;
  }

  #checkHttpTimes(): void {
    this.#wakeUp();
    this.#http.times.checkTimes();
    this.#poller.wakeSoon();
  }

  // ——— turns ———

  ready(token: number, descriptor: number, events: number): void {
    if (!this.#awake) this.#wakeUp();
    if (token === BELL_TOKEN) {
      if (this.#poller.levelTriggered) this.#clearBell();
      return;
    }
    if (Antechamber.owns(token, BELL_TOKEN)) return this.#admission.ready(token);
    if (Datagrams.owns(token, BELL_TOKEN)) {
      this.#datagrams?.ready(token);
      return;
    }
    const connection = this.#context.connections.get(token);
    if (connection === undefined || connection.descriptor !== descriptor) return;
    if (events & WRITABLE && connection.out !== null) this.#sending.writeQueued(connection);
    if ((events & READABLE) === 0 || connection.ended) return;
    connection.readable = true;
    if (events & HANGUP) connection.hangup = true;
    this.#read(connection);
    if (connection.hangup && connection.paused) this.#ending.leftWhilePaused(connection);
    if (events & BROKEN) this.#ending.broken(connection);
  }

  /** Shows workers what was read. */
  publish(): void {
    for (const lane of this.#context.lanes) lane.flush();
  }

  turnEnd(): void {
    if (!this.#awake) this.#wakeUp();
    const { id, board, lanes, again } = this.#context;
    board.add(id, ReactorCounter.wakeUps, 1);
    const { deaths } = this.#parts.region; // looked at first: what the dead have sent is taken below
    const unfinished = this.#takeRequests();
    if (deaths !== this.#seenDeaths && !unfinished) {
      this.#seenDeaths = deaths;
      this.#http.answers.reapDead();
      this.#speeches.reapDead();
    }
    this.#http.uploads.readHeld();
    if (again.length > 0) this.#readOn();
    if (this.#context.writeOn.length > 0) this.#writeOn();
    const moreDatagrams = !this.#quiet && this.#datagrams?.take();
    this.#readHeldBack(this.#overload.check());
    this.#readHeldBack(this.#throttle.takeForgotten());
    for (const lane of lanes) {
      this.#relieve(lane);
      lane.flush();
    }
    this.#context.ringWatchers((peer) => this.#parts.senders[peer]?.ringBell());
    this.#ending.reclaimSlots();
    this.#dispatcher.checkDrain();
    if (this.#shutdown) this.#checkShutdown();
    this.#checkLeaving();
    const more = unfinished || moreDatagrams || this.#context.again.length > 0 || this.#context.writeOn.length > 0;
    if (more) this.#poller.wakeSoon();
    else this.#fallAsleep();
  }

  /** Until nobody waits, or the worker has been asked to ring: one that finds no room again must ask again. */
  #relieve(lane: WorkerLane): void {
    while (lane.isBehind) {
      const relieved = lane.takeRelieved();
      if (relieved.length === 0) return;
      for (const connection of relieved) this.#read(connection);
    }
  }

  #wakeUp(): void {
    this.#awake = true;
    this.#parts.sleeper.wake();
    this.#context.now = monotonicMs();
  }

  /** Announced first, looked once more afterwards: a sender that has not seen the one is seen by the other. */
  #fallAsleep(): void {
    this.#awake = false;
    this.#parts.sleeper.sleep();
    if (this.#parts.senders.some(({ ring }) => ring.available())) this.#poller.wakeSoon();
  }

  #clearBell(): void {
    clearDoorbell(this.#parts.bell);
    this.#poller.rearm(this.#parts.bell.read, READABLE);
  }

  // ——— reading ———

  #read(connection: ReactorConnection): void {
    if (connection.paused || connection.ended || connection.throttled) return;
    if (this.#quiet && !isUpload(connection)) return;
    if (connection.closeCode >= 0 || connection.told) return this.#readAndDiscard(connection);
    if (!this.#overload.mayRead(connection) || this.#throttle.mustWait(connection)) return;
    const framing = this.#parts.framings[connection.port];
    if (this.#http.speaks(connection.port)) this.#readHttp(connection);
    else if (connection.tls !== null) this.#readTls(connection, connection.tls);
    else if (framing !== undefined) this.#readFramed(connection, framing);
    else return this.#readRaw(connection);
    this.#countInput(connection);
  }

  /** What is not a whole packet yet, or has found no room, counts as buffered beside what waits to be sent. */
  #countInput(connection: ReactorConnection): void {
    if (connection.ended) return;
    const out = (connection.out?.bytes ?? 0) + (connection.tls?.queuedBytes ?? 0);
    this.#context.account(connection, out + (connection.input?.length ?? 0));
  }

  #readHeldBack(connections: Iterable<ReactorConnection>): void {
    for (const connection of connections) if (connection.readable && !connection.stalled) this.#read(connection);
  }

  #readThrottled(connection: ReactorConnection): void {
    this.#throttle.release(connection);
    if (connection.readable && !connection.stalled) this.#read(connection);
  }

  #readRaw(connection: ReactorConnection): void {
    if (!this.#dispatcher.holds(connection)) this.#readInto(connection);
  }

  /** @param bound whose connection it is, if it is one worker's: its bytes are no packets to be dispatched */
  #readInto(connection: ReactorConnection, bound?: WorkerLane): void {
    for (let i = 0; i < READS_PER_TURN; i++) {
      const lane = bound ?? this.#dispatcher.laneFor(connection);
      const limit = lane.readLimit;
      if (limit === 0) return this.#stall(connection, lane);
      const n = receive(connection.descriptor, lane.packetAddress, limit);
      if (n > 0) {
        lane.commitPacket(connection.sessionId, n);
        this.#countReceived(connection, n);
        if (bound === undefined) this.#dispatcher.dispatched(connection, lane, n);
        if (n < limit && !connection.hangup) return this.#readDry(connection);
      } else if (n === 0) return this.#ending.peerEnded(connection);
      else if (n === -EAGAIN) return this.#readDry(connection);
      else if (n !== -EINTR) return this.#ending.fail(connection, -n);
    }
    this.#context.again.push(connection);
  }

  #readHttp(connection: ReactorConnection): void {
    const isTunnel = connection.http?.phase === Phase.tunnel && connection.input === null && connection.tls === null;
    if (isTunnel) this.#readInto(connection, this.#context.lane(connection.worker));
    else this.#http.read(connection);
  }

  #readFramed(connection: ReactorConnection, framing: PortFraming): void {
    const { scratch, scratchAddress, again } = this.#context;
    if (!this.#framing.resume(connection, framing)) return;
    for (let i = 0; i < READS_PER_TURN; i++) {
      const n = receive(connection.descriptor, scratchAddress, SCRATCH_BYTES);
      if (n > 0) {
        this.#countReceived(connection, n);
        if (!this.#framing.take(connection, framing, scratch, n)) return;
        if (n < SCRATCH_BYTES && !connection.hangup) return this.#readDry(connection);
      } else if (n === 0) return this.#ending.peerEnded(connection);
      else if (n === -EAGAIN) return this.#readDry(connection);
      else if (n !== -EINTR) return this.#ending.fail(connection, -n);
    }
    again.push(connection);
  }

  /** The stream reads ahead by itself, and stops when nobody reads from it. */
  #readTls(connection: ReactorConnection, tls: TlsStream): void {
    const framing = this.#parts.framings[connection.port] ?? rawFraming;
    if (!this.#framing.resume(connection, framing)) return;
    for (let i = 0; i < READS_PER_TURN; i++) {
      const bytes = tls.read();
      if (bytes === null) {
        connection.readable = false;
        if (tls.hasEnded) this.#ending.peerEnded(connection);
        return;
      }
      this.#countReceived(connection, bytes.length);
      if (!this.#framing.take(connection, framing, bytes, bytes.length)) return;
    }
    this.#context.again.push(connection);
  }

  /** The client is told nothing: what it sends is no packet. */
  #refuseInput(connection: ReactorConnection, code: number, message: string): void {
    connection.input = null;
    this.#parts.onRefused(connection.sessionId, code, message);
    this.#ending.tell(connection, code, 0, message);
    this.#ending.closeWhenFlushed(connection, code);
    if (!connection.ended) this.#context.again.push(connection);
  }

  #countReceived(connection: ReactorConnection, bytes: number): void {
    const { id, table, board, now } = this.#context;
    table.countReceived(connection.slot, bytes, now);
    board.add(id, ReactorCounter.receivedBytes, bytes);
  }

  #readDry(connection: ReactorConnection): void {
    connection.readable = false;
    this.#poller.rearm(connection.descriptor, READABLE);
  }

  #stall(connection: ReactorConnection, lane: WorkerLane, half = false): void {
    if (!connection.stalled) this.#context.board.add(this.#context.id, ReactorCounter.stalls, 1);
    lane.stall(connection, half);
  }

  /** Connections that had more than one turn's share. */
  #readOn(): void {
    const { again } = this.#context;
    this.#context.again = [];
    for (const connection of again) {
      // HTTP also goes on with what it has read before.
      if (connection.readable || connection.http !== null) this.#read(connection);
    }
  }

  #writeOn(): void {
    const { writeOn } = this.#context;
    this.#context.writeOn = [];
    for (const connection of writeOn) if (!connection.ended) this.#sending.writeQueued(connection);
  }

  /** Nobody wants the bytes any more, but only reading shows the peer's end (and spares it an RST). */
  #readAndDiscard(connection: ReactorConnection): void {
    const { scratchAddress, again } = this.#context;
    if (connection.tls !== null) return this.#discardTls(connection, connection.tls);
    for (let i = 0; i < READS_PER_TURN; i++) {
      const n = receive(connection.descriptor, scratchAddress, SCRATCH_BYTES);
      if (n === -EAGAIN || (n > 0 && n < SCRATCH_BYTES && !connection.hangup)) return this.#readDry(connection);
      if (n === 0 && connection.lingering) return this.#ending.release(connection);
      if (n === 0) {
        connection.readable = false;
        return;
      }
      if (n < 0 && n !== -EINTR) return this.#ending.fail(connection, -n);
    }
    again.push(connection);
  }

  #discardTls(connection: ReactorConnection, tls: TlsStream): void {
    while (tls.read() !== null);
    connection.readable = false;
    if (tls.hasEnded && connection.lingering) this.#ending.release(connection);
  }

  // ——— what workers ask for ———

  /** @returns true when there is more than one turn's share */
  #takeRequests(): boolean {
    const unfinished = this.#takeAll();
    if (this.#closes.isEmpty) return unfinished;
    return this.#closes.settle(
      () => this.#takeAll(),
      ({ word, sessionId, peer }) => this.#carryOutClose(word, sessionId, peer),
    );
  }

  #takeAll(): boolean {
    let unfinished = false;
    for (const sender of this.#parts.senders) {
      if (!sender.ring.available()) continue;
      if (this.#takeFrom(sender)) unfinished = true;
      sender.ring.release();
      if (sender.ring.writerWantsBell()) sender.ringBell();
    }
    return unfinished;
  }

  #takeFrom(sender: ReactorSender): boolean {
    const { ring } = sender;
    for (let i = 0; i < REQUESTS_PER_TURN; i++) {
      if (!ring.available()) return false;
      if (!ring.isSound) {
        ring.discard();
        this.#parts.onBrokenSender(sender.worker);
        return false;
      }
      const type = typeOf(ring.word);
      if (type === Request.send || type === Request.answer) this.#takeReply(ring, sender.peer);
      else {
        this.#takeRequest(ring, sender);
        ring.advance();
      }
    }
    return true;
  }

  /** A worker in this process, `peer`, gives a whole answer by hand. @returns false: it has to go through the ring */
  answer(answer: WholeAnswer, peer: number): boolean {
    const { sessionId, exchange } = answer;
    const connection = this.#context.connectionOf(sessionId);
    const { id, board } = this.#context;
    const isNobodys = connection === undefined || connection.closeCode >= 0;
    if (isNobodys || !this.#http.answers.isAwaited(connection, exchange, peer)) {
      board.add(id, ReactorCounter.discarded, 1);
      return true;
    }
    if (connection.speech !== null) return false;
    if (!this.#awake) this.#context.wake();
    if (!this.#http.answers.answerDirectly(connection, answer, peer)) return false;
    board.add(id, ReactorCounter.replies, 1);
    return true;
  }

  /** One reply, or several in a row for the same connection, leave in one send(2). */
  #takeReply(ring: RingReader, peer: number): void {
    const { scratch, scratchAddress } = this.#context;
    const { sessionId, word } = ring;
    let flags = flagsOf(word);
    let length = ring.length;
    let at = ring.payloadAt;
    let address = ring.address + at;
    let source = ring.bytes;
    ring.advance();
    if (length < GATHER_LIMIT && goesOn(flags) && this.#isReplyTo(ring, sessionId, word, SCRATCH_BYTES - length)) {
      source.copy(scratch, 0, at, at + length);
      do {
        flags |= flagsOf(ring.word);
        const more = ring.length;
        ring.bytes.copy(scratch, length, ring.payloadAt, ring.payloadAt + more);
        length += more;
        ring.advance();
      } while (goesOn(flags) && this.#isReplyTo(ring, sessionId, word, SCRATCH_BYTES - length));
      source = scratch;
      address = scratchAddress;
      at = 0;
    }
    const connection = this.#context.connectionOf(sessionId);
    const detail = detailOf(word);
    if (connection !== undefined && this.#speeches.holds(connection, peer)) {
      const whole = wordOf(typeOf(word), flags, detail);
      return this.#speeches.wait(connection, peer, { word: whole, sessionId, bytes: source, payloadAt: at, length });
    }
    const type = typeOf(word);
    if (!this.#mayReply(connection, peer, type, detail)) return;
    if (length > 0) this.#sending.write(connection, source, at, address, length);
    this.#replied(connection, peer, wordOf(type, flags, detail));
  }

  #mayReply(
    connection: ReactorConnection | undefined,
    peer: number,
    type: number,
    detail: number,
  ): connection is ReactorConnection {
    const { id, board } = this.#context;
    const isNobodys = connection === undefined || connection.closeCode >= 0;
    const isAnswer = type === Request.answer;
    const may = !isNobodys && (!isAnswer || this.#http.answers.isAwaited(connection, detail, peer));
    board.add(id, may ? ReactorCounter.replies : ReactorCounter.discarded, 1);
    return may;
  }

  #replied(connection: ReactorConnection, peer: number, word: number): void {
    const flags = flagsOf(word);
    const isAnswer = typeOf(word) === Request.answer;
    const more = !isAnswer && (flags & SendFlag.more) !== 0;
    if (more || connection.speech !== null) this.#speeches.spoke(connection, peer, detailOf(word), more);
    if (isAnswer) this.#http.answers.answered(connection, flags, peer);
  }

  /** What has waited until another process's send was whole. */
  #play(frame: WaitingFrame): void {
    const { word, sessionId, bytes, length, peer } = frame;
    const sender = this.#parts.senders[peer];
    if (sender === undefined) return;
    if (typeOf(word) === Request.close) return this.#carryOutClose(word, sessionId, peer);
    const type = typeOf(word);
    if (type !== Request.send && type !== Request.answer) return this.#takeRequest(frame, sender);
    const connection = this.#context.connectionOf(sessionId);
    if (!this.#mayReply(connection, peer, type, detailOf(word))) return;
    if (length > 0) this.#sending.write(connection, bytes, 0, addressOf(bytes), length);
    this.#replied(connection, peer, word);
  }

  /** Another piece of the same answer (or, where there are no answers, of the same stream). */
  #isReplyTo(ring: RingReader, sessionId: number, first: number, room: number): boolean {
    return (
      ring.available() &&
      ((ring.word ^ first) & SAME_ANSWER) === 0 &&
      ring.sessionId === sessionId &&
      ring.isSound &&
      ring.length <= room
    );
  }

  #takeRequest(frame: Frame, sender: ReactorSender): void {
    const { word, sessionId } = frame;
    const type = typeOf(word);
    const arrival = type === Request.accept && sender.mayAccept ? readAccept(frame) : undefined;
    if (arrival !== undefined) return this.accept(arrival);
    const connection = this.#context.connectionOf(sessionId);
    if (connection?.speech && this.#speeches.holds(connection, sender.peer) && keepsPlace(type)) {
      return this.#speeches.wait(connection, sender.peer, frame);
    }
    switch (type) {
      case Request.close:
        return connection && this.#closeOnRequest(connection, word, sender.peer);
      case Request.closing:
        return connection && this.#ending.announceClose(connection);
      case Request.closed:
        return connection && this.#ending.answered(connection);
      case Request.pause:
        return connection && this.#setPaused(connection, true);
      case Request.resume:
        return connection && this.#setPaused(connection, false);
      case Request.readOn:
        return connection && this.#readThrottled(connection);
      case Request.sendFile:
      case Request.answerFile:
        return connection && this.#sendFile(connection, frame, sender.peer);
      case Request.taken:
        return connection && this.#http.bodies.taken(connection, detailOf(word), readTaken(frame));
      case Request.watchDrain:
        return this.#watchDrain(connection, watcherOf(sender.worker, sender.peer), sessionId);
      default:
        this.#parts.onBrokenSender(sender.worker);
    }
  }

  /** One that is gone has room for everything: whoever asks drops what it holds for it. */
  #watchDrain(connection: ReactorConnection | undefined, watcher: number, sessionId: number): void {
    if (connection !== undefined) this.#sending.watchDrain(connection, watcher);
    else this.#context.tellRoom(watcher, sessionId);
  }

  #sendFile(connection: ReactorConnection, frame: Frame, peer: number): void {
    const [flags, exchange] = [flagsOf(frame.word), detailOf(frame.word)];
    const isAnswer = typeOf(frame.word) === Request.answerFile;
    if (connection.closeCode >= 0 || (isAnswer && !this.#http.answers.isAwaited(connection, exchange, peer))) return;
    const { path, offset, bytes } = readFileRequest(frame);
    this.#sending.writeFile(connection, new FilePart(path, offset, bytes));
    if (isAnswer) this.#http.answers.answered(connection, flags, peer);
  }

  #closeOnRequest(connection: ReactorConnection, word: number, peer: number): void {
    if (flagsOf(word) & CloseFlag.reset) this.#ending.reset(connection, detailOf(word));
    else this.#closes.add({ word, sessionId: connection.sessionId, peer });
  }

  #carryOutClose(word: number, sessionId: number, peer: number): void {
    const connection = this.#context.connectionOf(sessionId);
    if (connection === undefined) return;
    if (!this.#speeches.holds(connection, peer)) return this.#ending.closeWhenFlushed(connection, detailOf(word));
    this.#speeches.wait(connection, peer, { word, sessionId, bytes: NO_ADDRESS, payloadAt: 0, length: 0 });
  }

  #setPaused(connection: ReactorConnection, paused: boolean): void {
    connection.paused = paused;
    this.#context.table.setFlag(connection.slot, SlotFlag.paused, paused);
    if (!paused) connection.unconfirmed = false;
    else if (connection.hangup) this.#ending.leftWhilePaused(connection);
    if (!paused && connection.readable && !connection.stalled) this.#read(connection);
  }

  // ——— accepting ———

  /** Whoever accepted it has counted it as one of ours. @param arrival may be used again afterwards */
  accept(arrival: Arrival): void {
    this.#admission.accept(arrival);
  }

  /** For those who come from now on. @throws ServerError ERR_TLS_* */
  renewTls(): void {
    this.#admission.renewTls();
  }

  /** `rest` came behind a PROXY header, in the same piece. */
  #readFrom(connection: ReactorConnection, rest: Buffer): void {
    if (connection.paused) return this.#keepFor(connection, rest);
    if (this.#http.speaks(connection.port)) {
      if (rest.length > 0) {
        this.#countReceived(connection, rest.length);
        this.#http.take(connection, rest, rest.length);
      }
      return this.#read(connection);
    }
    const framing = this.#parts.framings[connection.port];
    if (framing === undefined) return;
    if (rest.length > 0) {
      this.#countReceived(connection, rest.length);
      if (!this.#framing.take(connection, framing, rest, rest.length)) return;
    }
    this.#read(connection); // what came meanwhile was told to the antechamber
  }

  /** It waits for `confirm`; then what waits here is taken before the rest is read. */
  #keepFor(connection: ReactorConnection, rest: Buffer): void {
    connection.readable = true;
    if (rest.length === 0) return;
    connection.input = new Input(rest, 0, rest.length);
    this.#countReceived(connection, rest.length);
    this.#countInput(connection);
  }

  // ——— another number of workers ———

  /** New packets go to so many workers. */
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
    for (const lane of this.#context.lanes) this.#relieve(lane);
    for (const connection of this.#context.connections.list()) {
      const isLost = connection.http?.phase === Phase.tunnel && this.#dispatcher.holdsWorker(connection.worker);
      if (isLost) this.#ending.closeWhenFlushed(connection, CloseCode.WORKER_REPLACED);
    }
    for (const connection of this.#dispatcher.endDrain()) if (!connection.stalled) this.#read(connection);
    this.publish();
    setImmediate(done);
  }

  // ——— hand-over to another process (BASE mode) ———

  /**
   * Ends what cannot go over: encrypted connections, whose keys are in this process. They are told so, what is owed on
   * them still leaves; after `deadlineMs` they are reset. `done` is called, later, when there are none.
   */
  dismiss(deadlineMs: number, done: () => void): void {
    this.#context.wake();
    for (const connection of this.#encrypted()) this.#dismiss(connection);
    const timer = setTimeout(() => {
      this.#context.wake();
      this.#admission.endHandshakes();
      for (const connection of this.#encrypted()) this.#ending.reset(connection, CloseCode.WORKER_REPLACED);
    }, deadlineMs);
    this.#admission.dismissing = true;
    this.#leaving = () => {
      this.#admission.dismissing = false;
      clearTimeout(timer);
      setImmediate(done);
    };
  }

  #dismiss(connection: ReactorConnection): void {
    if (this.#http.speaks(connection.port)) this.#http.answers.dismiss(connection);
    else this.#ending.dismiss(connection);
  }

  #encrypted(): ReactorConnection[] {
    return this.#context.connections.list().filter(({ tls }) => tls !== null);
  }

  #checkLeaving(): void {
    if (this.#leaving === undefined || this.#admission.isShakingHands) return;
    if (this.#encrypted().length > 0) return;
    const left = this.#leaving;
    this.#leaving = undefined;
    left();
  }

  /** Lets everything go as it stands; no turn comes after this. Whoever calls it closes the descriptors. */
  handOver(): Cargo[] {
    const { connections, lanes } = this.#context;
    this.#stopTimers();
    this.#admission.endHandshakes();
    for (const connection of this.#encrypted()) this.#ending.reset(connection, CloseCode.WORKER_REPLACED);
    const cargo: Cargo[] = [...connections.list().map(packConnection), ...this.#admission.handOver()];
    for (const { descriptor } of cargo) this.#poller.abandon(descriptor);
    this.#datagrams?.abandon();
    this.#poller.abandon(this.#parts.bell.read);
    for (const lane of lanes) lane.flush();
    const spilled = lanes.flatMap((lane) => lane.takeSpilled().map((event) => packEvent(lane.worker, event)));
    return [...cargo, ...spilled];
  }

  /**
   * Goes on with what the process before this one has handed over, before the first turn. Connections it has not handed
   * over have died with it.
   */
  takeOver(cargo: readonly Cargo[]): void {
    const { id, board, table, connections } = this.#context;
    for (const item of cargo) this.#takeOverOne(item);
    const used = this.#slots.restore((slot) =>
      table.sessionId(slot) === 0 ? undefined : table.state(slot) === SlotState.free,
    );
    for (const slot of used) if (connections.get(slot) === undefined) this.#ending.bury(slot);
    const living = cargo.filter(({ record }) => record.kind !== 'event').length;
    board.addConnections(id, living - board.connections(id));
    board.addOccupied(id, living + this.#ending.slotsGone - board.occupied(id));
  }

  #takeOverOne({ record, descriptor, bytes }: Cargo): void {
    if (record.kind === 'event') {
      const payload = Buffer.concat(bytes);
      return this.#context.lane(record.worker).spill({ ...record, payload });
    }
    if (record.kind === 'visitor') return this.#admission.takeOver({ record, descriptor, bytes });
    const { table, connections, again } = this.#context;
    const connection = unpackConnection({ record, descriptor, bytes });
    connections.add(connection);
    table.setDescriptor(connection.slot, descriptor);
    this.#ending.adopt(connection);
    this.#speeches.adopt(connection);
    this.#http.answers.adopt(connection);
    if (connection.throttled) this.#throttle.add(connection);
    this.#countInput(connection);
    this.#admission.watch(connection, false);
    if (connection.out !== null && !connection.ended) this.#poller.rearm(descriptor, WRITABLE);
    again.push(connection);
  }

  #stopTimers(): void {
    this.#ending.stopSweeping();
    this.#idleClients.stop();
    this.#overload.stop();
    this.#throttle.stop();
    this.#http.uploads.stop();
    clearInterval(this.#httpTimer);
  }

  // ——— shutdown ———

  /** Rung 1: takes nothing more in. What was read is with the workers when this returns. */
  quiesce(): void {
    this.#quiet = true;
    this.#admission.clear();
    for (const lane of this.#context.lanes) lane.flush();
  }

  /** Rung 2: closes every connection once what is queued for it has left. `done` is called at the deadline at the latest. */
  closeAll(deadlineMs: number, done: () => void): void {
    this.#wakeUp();
    this.#quiet = false;
    this.#takeRequests();
    for (const connection of this.#context.connections.list()) {
      this.#ending.closeWhenFlushed(connection, CloseCode.SERVER_SHUTDOWN);
    }
    this.#admission.closed = true;
    this.#shutdown = { done, deadline: this.#context.now + deadlineMs };
    this.#ending.startSweeping();
    this.#poller.wakeSoon();
  }

  #checkShutdown(): void {
    const { connections, lanes, now } = this.#context;
    const { done, deadline } = this.#shutdown ?? { done: () => {}, deadline: 0 };
    if (now >= deadline) {
      for (const connection of connections.list()) {
        this.#ending.tell(connection, CloseCode.SERVER_SHUTDOWN, 0);
        this.#ending.release(connection);
      }
    }
    // Those whose peer still sends are waited for too: an RST could take the last answers away from it.
    if (connections.size > 0) return this.#ending.startSweeping();
    for (const lane of lanes) lane.flush();
    this.#shutdown = { done: () => {}, deadline };
    done();
  }

  /** Lets every descriptor go. No turn comes after this. */
  stop(): void {
    this.#stopTimers();
    this.#admission.endHandshakes();
    for (const connection of this.#context.connections.list()) this.#ending.release(connection);
    this.#poller.close();
  }
}
