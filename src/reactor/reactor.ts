/**
 * Owns connections: reads, dispatches, writes replies, closes. Runs in a reactor thread of the master; it runs no user
 * code. (The class knows nothing of threads: `entry.ts` does.)
 *
 * A turn: the poller reports ready sockets, each is read straight into the ring of its worker; then what workers asked
 * for is carried out; then every worker that was given something is woken, once. The reactor announces its sleep in
 * shared memory, so that workers ring only when it sleeps.
 */
import { CloseCode, CloseFlag, Event, Request } from '../ipc/frame.js';
import type { RingReader } from '../ipc/ring.js';
import type { Sleeper } from '../ipc/sleep.js';
import { ReactorBoard, ReactorCounter, WorkerBoard, WorkerField } from '../memory/boards.js';
import { ConnectionTable, SlotFlag, SlotState } from '../memory/connection-table.js';
import type { Region } from '../memory/region.js';
import { clearDoorbell, type DoorbellDescriptors } from '../os/doorbell.js';
import { addressOf, allocateStable, EAGAIN, EINTR, errnoName } from '../os/libc.js';
import { HANGUP, type Poller, type PollerHandler, READABLE, WRITABLE } from '../os/poller.js';
import {
  closeDescriptor,
  receive,
  resetConnection,
  send,
  setKeepAlive,
  setNoDelay,
  shutdownWrite,
} from '../os/socket.js';
import { ReactorConnection } from './connection.js';
import type { DispatchStrategy, DispatchView } from './dispatch/index.js';
import { OutQueue } from './out-queue.js';
import { Slots } from './slots.js';
import type { WorkerLane } from './worker-lane.js';

export interface ReactorOptions {
  readonly sendBufferSize: number;
  readonly highWatermark: number;
  readonly lowWatermark: number;
  readonly maxWaitMs: number;
  /** Per listen port, in the order of the region's `ports`. */
  readonly ports: readonly { readonly noDelay: boolean; readonly keepAlive: boolean }[];
}

/** A process that may send to this reactor's connections. */
export interface ReactorSender {
  readonly ring: RingReader;
  /** −1: a sender that takes no events (manager, accepting thread). */
  readonly worker: number;
  readonly lane: number;
  /** Only the accepting thread may hand over descriptors. */
  readonly mayAccept: boolean;
}

export interface ReactorParts {
  readonly id: number;
  readonly region: Region;
  readonly options: ReactorOptions;
  readonly strategy: DispatchStrategy;
  readonly lanes: readonly WorkerLane[];
  readonly senders: readonly ReactorSender[];
  readonly sleeper: Sleeper;
  readonly bell: DoorbellDescriptors;
  createPoller(handler: PollerHandler): Poller;
  /** A sender wrote what cannot be read. */
  onBrokenSender(worker: number): void;
}

export const BELL_TOKEN = 0xffffffff;

/** A connection that has more to read lets the others go first after this many reads. */
const READS_PER_TURN = 4;
const REQUESTS_PER_TURN = 1024;
const SCRATCH_BYTES = 65536;
/** Replies below this size to the same connection in a row leave in one send(2). */
const GATHER_LIMIT = 8192;
const SWEEP_MS = 250;
/** How long a closed connection may take to show the peer's end before the descriptor goes. */
const LINGER_MS = 1000;
/** A client that ended its side gets what it is owed within this time. */
const ANSWER_MS = 30_000;

interface Waiting {
  readonly connection: ReactorConnection;
  readonly deadline: number;
  /** The process that owes the answer; when its id has another one, only `maxWaitMs` are left. */
  readonly workerPid: number;
}

export class Reactor implements PollerHandler, DispatchView {
  readonly id: number;
  readonly workerNum: number;
  readonly #parts: ReactorParts;
  readonly #options: ReactorOptions;
  readonly #table: ConnectionTable;
  readonly #board: ReactorBoard;
  readonly #workers: WorkerBoard;
  readonly #region: Region;
  readonly #lanes: readonly WorkerLane[];
  readonly #senders: readonly ReactorSender[];
  readonly #strategy: DispatchStrategy;
  readonly #poller: Poller;
  readonly #sleeper: Sleeper;
  readonly #slots: Slots;
  readonly #connections = new Map<number, ReactorConnection>();
  readonly #scratch = allocateStable(SCRATCH_BYTES);
  readonly #scratchAddress = addressOf(this.#scratch);
  readonly #awaitingAnswers = new Map<ReactorConnection, Waiting>();
  readonly #lingering = new Map<ReactorConnection, number>();
  #again: ReactorConnection[] = [];
  #slotsGone = 0;
  /** A worker that was chosen for a packet, but reading gave none. */
  #unusedChoice = -1;
  #awake = true;
  #now = Date.now();
  #quiet = false;
  #shutdown: { done: () => void; deadline: number } | undefined;
  #sweepTimer: NodeJS.Timeout | undefined;

  constructor(parts: ReactorParts) {
    const { region } = parts;
    this.id = parts.id;
    this.workerNum = region.shape.workerNum;
    this.#parts = parts;
    this.#options = parts.options;
    this.#region = region;
    this.#table = new ConnectionTable(region);
    this.#board = new ReactorBoard(region);
    this.#workers = new WorkerBoard(region);
    this.#lanes = parts.lanes;
    this.#senders = parts.senders;
    this.#strategy = parts.strategy;
    this.#sleeper = parts.sleeper;
    this.#slots = new Slots(parts.id, region.shape.reactorNum, region.shape.slots, this.workerNum);
    this.#poller = parts.createPoller(this);
    this.#poller.addReadable(parts.bell.read, BELL_TOKEN);
    this.#poller.wakeSoon();
  }

  // ——— turns ———

  ready(token: number, descriptor: number, events: number): void {
    if (!this.#awake) this.#wakeUp();
    if (token === BELL_TOKEN) {
      if (this.#poller.levelTriggered) this.#clearBell();
      return;
    }
    const connection = this.#connections.get(token);
    if (connection === undefined || connection.descriptor !== descriptor) return;
    if (events & WRITABLE && connection.out !== null) this.#writeQueued(connection);
    if ((events & READABLE) === 0 || connection.ended) return;
    connection.readable = true;
    if (events & HANGUP) connection.hangup = true;
    this.#read(connection);
  }

  turnEnd(): void {
    if (!this.#awake) this.#wakeUp();
    this.#board.add(this.id, ReactorCounter.wakeUps, 1);
    const unfinished = this.#takeRequests();
    this.#readOn();
    for (const lane of this.#lanes) {
      if (lane.isBehind) for (const connection of lane.takeRelieved()) this.#read(connection);
      lane.flush();
    }
    if (this.#slotsGone > 0) this.#reclaimSlots();
    if (this.#shutdown) this.#checkShutdown();
    if (unfinished || this.#again.length > 0) this.#poller.wakeSoon();
    else this.#fallAsleep();
  }

  #wakeUp(): void {
    this.#awake = true;
    this.#sleeper.wake();
    this.#now = Date.now();
  }

  #fallAsleep(): void {
    this.#awake = false;
    this.#sleeper.sleep();
    for (const { ring } of this.#senders) {
      if (ring.available()) {
        this.#poller.wakeSoon();
        return;
      }
    }
  }

  #clearBell(): void {
    clearDoorbell(this.#parts.bell);
    this.#poller.rearm(this.#parts.bell.read, READABLE);
  }

  // ——— reading ———

  #read(connection: ReactorConnection): void {
    if (this.#quiet || connection.paused) return;
    if (connection.closeCode >= 0 || connection.told) return this.#readAndDiscard(connection);
    for (let i = 0; i < READS_PER_TURN; i++) {
      const lane = this.#laneFor(connection);
      const limit = lane.readLimit;
      if (limit === 0) return this.#stall(connection, lane);
      const n = receive(connection.descriptor, lane.packetAddress, limit);
      if (n > 0) {
        this.#count(connection, lane, n);
        if (n < limit && !connection.hangup) return this.#readDry(connection);
      } else if (n === 0) return this.#peerEnded(connection);
      else if (n === -EAGAIN) return this.#readDry(connection);
      else if (n !== -EINTR) return this.#fail(connection, -n);
    }
    this.#again.push(connection);
  }

  #laneFor(connection: ReactorConnection): WorkerLane {
    if (this.#strategy.sticky) return this.#lane(connection.worker);
    if (this.#unusedChoice < 0) this.#unusedChoice = this.#strategy.choose(connection.sessionId, this);
    const chosen = this.#lane(this.#unusedChoice);
    if (!this.#strategy.keepsUnused) this.#unusedChoice = -1;
    if (chosen.readLimit > 0) return chosen;
    return this.#lanes.find((lane) => lane.readLimit > 0) ?? chosen;
  }

  #lane(worker: number): WorkerLane {
    const lane = this.#lanes[worker];
    if (lane === undefined) throw new RangeError(`dispatch chose worker ${worker} of ${this.#lanes.length}`);
    return lane;
  }

  #count(connection: ReactorConnection, lane: WorkerLane, bytes: number): void {
    lane.commitPacket(connection.sessionId, bytes);
    this.#unusedChoice = -1;
    this.#table.countReceived(connection.slot, bytes, this.#now);
    this.#board.add(this.id, ReactorCounter.receivedBytes, bytes);
    this.#board.add(this.id, ReactorCounter.dispatched, 1);
  }

  #readDry(connection: ReactorConnection): void {
    connection.readable = false;
    this.#poller.rearm(connection.descriptor, READABLE);
  }

  #stall(connection: ReactorConnection, lane: WorkerLane): void {
    if (!connection.stalled) this.#board.add(this.id, ReactorCounter.stalls, 1);
    lane.stall(connection);
  }

  /** Connections that had more than one turn's share. */
  #readOn(): void {
    if (this.#again.length === 0) return;
    const again = this.#again;
    this.#again = [];
    for (const connection of again) if (!connection.ended && connection.readable) this.#read(connection);
  }

  /** Nobody wants the bytes any more, but only reading shows the peer's end (and spares it an RST). */
  #readAndDiscard(connection: ReactorConnection): void {
    for (let i = 0; i < READS_PER_TURN; i++) {
      const n = receive(connection.descriptor, this.#scratchAddress, SCRATCH_BYTES);
      if (n === -EAGAIN || (n > 0 && n < SCRATCH_BYTES && !connection.hangup)) return this.#readDry(connection);
      if (n === 0 && connection.lingering) return this.#release(connection);
      if (n === 0) {
        connection.readable = false;
        return;
      }
      if (n < 0 && n !== -EINTR) return this.#fail(connection, -n);
    }
    this.#again.push(connection);
  }

  // ——— ends ———

  /** FIN: the client says nothing more but may wait for what it is owed, so the worker closes when it is done. */
  #peerEnded(connection: ReactorConnection): void {
    connection.readable = false;
    this.#tellClosed(connection, CloseCode.CLIENT_CLOSED, CloseFlag.awaitsAnswers);
    const workerPid = this.#workers.field(connection.worker, WorkerField.pid);
    this.#awaitingAnswers.set(connection, { connection, workerPid, deadline: this.#now + ANSWER_MS });
    this.#startSweeping();
  }

  #fail(connection: ReactorConnection, errno: number): void {
    const name = errnoName(errno);
    const code = name === 'ECONNRESET' || name === 'EPIPE' ? CloseCode.CLIENT_RESET : CloseCode.SOCKET_ERROR;
    this.#tellClosed(connection, code, 0, name);
    this.#release(connection);
  }

  /** Closes after what is queued has left. */
  #closeWhenFlushed(connection: ReactorConnection, code: number): void {
    if (connection.closeCode >= 0) return;
    connection.closeCode = code;
    this.#table.setState(connection.slot, SlotState.closing);
    if (connection.out === null) this.#finish(connection);
  }

  /** All is sent. A peer that is still sending would answer a plain close with RST and might lose our last bytes. */
  #finish(connection: ReactorConnection): void {
    this.#tellClosed(connection, connection.closeCode, 0);
    const n = receive(connection.descriptor, this.#scratchAddress, SCRATCH_BYTES);
    if (n === -EAGAIN || n === 0 || (n < 0 && n !== -EINTR)) return this.#release(connection);
    connection.lingering = true;
    shutdownWrite(connection.descriptor);
    this.#lingering.set(connection, this.#now + LINGER_MS);
    this.#startSweeping();
    connection.readable = true;
    this.#again.push(connection);
  }

  /** The `close` a worker sees, once per connection. */
  #tellClosed(connection: ReactorConnection, code: number, flags: number, message = ''): void {
    if (connection.told) return;
    connection.told = true;
    if ((flags & CloseFlag.awaitsAnswers) === 0) this.#table.setState(connection.slot, SlotState.closing);
    this.#lane(connection.worker).sendEvent(Event.close, flags, code, connection.sessionId, message);
  }

  /** The socket goes, and the slot as soon as the worker has seen the end. */
  #release(connection: ReactorConnection, reset = false): void {
    if (connection.ended) return;
    connection.ended = true;
    this.#connections.delete(connection.slot);
    this.#awaitingAnswers.delete(connection);
    this.#lingering.delete(connection);
    this.#poller.remove(connection.descriptor);
    if (reset) resetConnection(connection.descriptor);
    else closeDescriptor(connection.descriptor);
    connection.out = null;
    this.#tellWatchers(connection);
    const { slot, worker } = connection;
    this.#table.setState(slot, SlotState.closed);
    this.#board.add(this.id, ReactorCounter.closed, 1);
    this.#board.addConnections(this.id, -1);
    this.#workers.addField(worker, WorkerField.connections, -1);
    const isSeen = this.#lane(worker).mark();
    this.#slots.leave(worker, slot, () => {
      if (!isSeen()) return false;
      this.#table.setState(slot, SlotState.free);
      return true;
    });
    this.#slotsGone++;
  }

  #reclaimSlots(): void {
    const count = this.#slots.reclaim();
    if (count === 0) return;
    this.#slotsGone -= count;
    this.#board.addOccupied(this.id, -count);
  }

  // ——— what workers ask for ———

  /** @returns true when there is more than one turn's share */
  #takeRequests(): boolean {
    let unfinished = false;
    for (const sender of this.#senders) {
      if (!sender.ring.available()) continue;
      if (this.#takeFrom(sender)) unfinished = true;
      sender.ring.release();
      if (sender.worker >= 0 && sender.ring.writerWantsBell()) this.#lane(sender.worker).ringBell(sender.lane);
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
      if ((ring.word & 0xff) === Request.send) this.#takeReply(ring);
      else {
        this.#takeRequest(ring, sender);
        ring.advance();
      }
    }
    return true;
  }

  /** One reply, or several in a row for the same connection, leave in one send(2). */
  #takeReply(ring: RingReader): void {
    const sessionId = ring.sessionId;
    let length = ring.length;
    let at = ring.payloadAt;
    let address = ring.address + at;
    let source = ring.bytes;
    ring.advance();
    if (length < GATHER_LIMIT && this.#isReplyTo(ring, sessionId, SCRATCH_BYTES - length)) {
      source.copy(this.#scratch, 0, at, at + length);
      do {
        const more = ring.length;
        ring.bytes.copy(this.#scratch, length, ring.payloadAt, ring.payloadAt + more);
        length += more;
        ring.advance();
      } while (this.#isReplyTo(ring, sessionId, SCRATCH_BYTES - length));
      source = this.#scratch;
      address = this.#scratchAddress;
      at = 0;
    }
    const connection = this.#connections.get(this.#table.slotOf(sessionId));
    if (connection === undefined || connection.sessionId !== sessionId || connection.closeCode >= 0) {
      this.#board.add(this.id, ReactorCounter.discarded, 1);
      return;
    }
    this.#board.add(this.id, ReactorCounter.replies, 1);
    this.#write(connection, source, at, address, length);
  }

  #isReplyTo(ring: RingReader, sessionId: number, room: number): boolean {
    return (
      ring.available() &&
      (ring.word & 0xff) === Request.send &&
      ring.sessionId === sessionId &&
      ring.isSound &&
      ring.length <= room
    );
  }

  #takeRequest(ring: RingReader, sender: ReactorSender): void {
    const { word, sessionId } = ring;
    const type = word & 0xff;
    if (type === Request.accept && sender.mayAccept) return this.#accept(ring);
    const connection = this.#connections.get(this.#table.slotOf(sessionId));
    if (connection === undefined || connection.sessionId !== sessionId) return;
    switch (type) {
      case Request.close:
        return this.#closeOnRequest(connection, (word >> 8) & 0xff, word >>> 16);
      case Request.closed:
        this.#awaitingAnswers.delete(connection);
        return this.#closeWhenFlushed(connection, CloseCode.CLIENT_CLOSED);
      case Request.pause:
        return this.#setPaused(connection, true);
      case Request.resume:
        return this.#setPaused(connection, false);
      case Request.watchDrain:
        return this.#watchDrain(connection, sender.worker);
      default:
        this.#parts.onBrokenSender(sender.worker);
    }
  }

  #closeOnRequest(connection: ReactorConnection, flags: number, code: number): void {
    if ((flags & CloseFlag.reset) === 0) return this.#closeWhenFlushed(connection, code);
    this.#tellClosed(connection, code, 0);
    this.#release(connection, true);
  }

  #setPaused(connection: ReactorConnection, paused: boolean): void {
    connection.paused = paused;
    this.#table.setFlag(connection.slot, SlotFlag.paused, paused);
    if (!paused && connection.readable && !connection.stalled) this.#read(connection);
  }

  #watchDrain(connection: ReactorConnection, worker: number): void {
    if (worker < 0) return;
    if (!connection.full) return this.#lane(worker).sendEvent(Event.writable, 0, 0, connection.sessionId);
    connection.drainWatchers ??= [];
    if (!connection.drainWatchers.includes(worker)) connection.drainWatchers.push(worker);
  }

  // ——— accepting ———

  #accept(ring: RingReader): void {
    const { bytes, payloadAt } = ring;
    const portIndex = ring.word >>> 16;
    const descriptor = bytes.readInt32LE(payloadAt);
    const family = bytes.readUInt16LE(payloadAt + 4);
    const remotePort = bytes.readUInt16LE(payloadAt + 6);
    const address = bytes.subarray(payloadAt + 8, payloadAt + 24);
    const slot = this.#slots.take();
    if (slot < 0 || this.#shutdown) return this.#refuse(descriptor);
    const port = this.#options.ports[portIndex];
    if (port?.noDelay) setNoDelay(descriptor);
    if (port?.keepAlive) setKeepAlive(descriptor);
    const sessionId = this.#table.nextSessionId(slot);
    const worker = this.#strategy.sticky ? this.#strategy.choose(sessionId, this) : sessionId % this.workerNum;
    const connection = new ReactorConnection(sessionId, slot, descriptor, worker);
    const place = { sessionId, worker, reactor: this.id, portIndex, descriptor, family, address, remotePort };
    this.#table.open(slot, { ...place, now: this.#now });
    this.#workers.addField(worker, WorkerField.connections, 1);
    this.#board.add(this.id, ReactorCounter.accepted, 1);
    this.#connections.set(slot, connection);
    this.#lane(worker).sendEvent(Event.connect, 0, portIndex, sessionId);
    try {
      this.#poller.add(descriptor, slot);
    } catch (error) {
      this.#tellClosed(connection, CloseCode.SOCKET_ERROR, 0, String(error));
      this.#release(connection);
    }
  }

  /** The accepting thread counted on a slot that is not there. */
  #refuse(descriptor: number): void {
    closeDescriptor(descriptor);
    this.#board.addConnections(this.id, -1);
    this.#board.addOccupied(this.id, -1);
  }

  // ——— writing ———

  #write(connection: ReactorConnection, source: Buffer, at: number, address: number, length: number): void {
    let sent = 0;
    if (connection.out === null) {
      sent = send(connection.descriptor, address, length);
      if (sent < 0) {
        if (sent !== -EAGAIN && sent !== -EINTR) return this.#fail(connection, -sent);
        sent = 0;
      }
      this.#countSent(connection, sent);
      if (sent === length) return;
      connection.out = new OutQueue();
      this.#poller.rearm(connection.descriptor, WRITABLE);
    }
    connection.out.push(source, at + sent, at + length);
    this.#queueChanged(connection, connection.out.bytes);
  }

  #writeQueued(connection: ReactorConnection): void {
    const { out } = connection;
    while (out !== null && out.bytes > 0) {
      const wanted = out.headBytes;
      const sent = send(connection.descriptor, out.headAddress, wanted);
      if (sent === -EINTR) continue;
      if (sent < 0 && sent !== -EAGAIN) return this.#fail(connection, -sent);
      if (sent > 0) {
        out.shift(sent);
        this.#countSent(connection, sent);
      }
      if (sent < wanted) {
        this.#poller.rearm(connection.descriptor, WRITABLE);
        break;
      }
    }
    if (out?.bytes === 0) connection.out = null;
    this.#queueChanged(connection, out?.bytes ?? 0);
    if (connection.out === null && connection.closeCode >= 0) this.#finish(connection);
  }

  #countSent(connection: ReactorConnection, bytes: number): void {
    if (bytes === 0) return;
    this.#table.countSent(connection.slot, bytes, this.#now);
    this.#board.add(this.id, ReactorCounter.sentBytes, bytes);
  }

  #queueChanged(connection: ReactorConnection, bytes: number): void {
    this.#table.setSendQueued(connection.slot, bytes);
    if (!connection.full && bytes >= this.#options.highWatermark) {
      connection.full = true;
      if (!connection.told) this.#lane(connection.worker).sendEvent(Event.bufferFull, 0, 0, connection.sessionId);
    } else if (connection.full && bytes <= this.#options.lowWatermark) {
      connection.full = false;
      this.#tellDrained(connection);
    }
    if (bytes <= this.#options.sendBufferSize) return;
    this.#tellClosed(connection, CloseCode.SEND_QUEUE_LIMIT, 0);
    this.#release(connection, true);
  }

  #tellDrained(connection: ReactorConnection): void {
    if (!connection.told) this.#lane(connection.worker).sendEvent(Event.bufferEmpty, 0, 0, connection.sessionId);
    this.#tellWatchers(connection);
  }

  #tellWatchers(connection: ReactorConnection): void {
    const watchers = connection.drainWatchers ?? [];
    connection.drainWatchers = null;
    for (const worker of watchers) this.#lane(worker).sendEvent(Event.writable, 0, 0, connection.sessionId);
  }

  // ——— deadlines ———

  #startSweeping(): void {
    this.#sweepTimer ??= setInterval(() => this.#sweep(), SWEEP_MS);
  }

  #sweep(): void {
    this.#wakeUp();
    for (const [connection, deadline] of this.#lingering) if (this.#now >= deadline) this.#release(connection);
    for (const waiting of this.#awaitingAnswers.values()) this.#checkAnswer(waiting);
    if (this.#lingering.size === 0 && this.#awaitingAnswers.size === 0) {
      clearInterval(this.#sweepTimer);
      this.#sweepTimer = undefined;
    }
    this.#poller.wakeSoon();
  }

  #checkAnswer(waiting: Waiting): void {
    const { connection, deadline, workerPid } = waiting;
    if (this.#now >= deadline) return this.#closeWhenFlushed(connection, CloseCode.ANSWER_TIMEOUT);
    const successor = this.#workers.field(connection.worker, WorkerField.pid) !== workerPid;
    const left = this.#options.maxWaitMs + 1000;
    if (successor && deadline - this.#now > left) {
      this.#awaitingAnswers.set(connection, { connection, workerPid: -1, deadline: this.#now + left });
    }
  }

  // ——— shutdown ———

  /** Rung 1: takes nothing more in. What was read is with the workers when this returns. */
  quiesce(): void {
    this.#quiet = true;
    for (const lane of this.#lanes) lane.flush();
  }

  /** Rung 2: closes every connection once what is queued for it has left. `done` is called at the deadline at the latest. */
  closeAll(deadlineMs: number, done: () => void): void {
    this.#wakeUp();
    this.#quiet = false;
    this.#takeRequests();
    for (const connection of [...this.#connections.values()]) {
      if (connection.closeCode < 0) this.#closeWhenFlushed(connection, CloseCode.SERVER_SHUTDOWN);
    }
    this.#shutdown = { done, deadline: this.#now + deadlineMs };
    this.#startSweeping();
    this.#poller.wakeSoon();
  }

  #checkShutdown(): void {
    const { done, deadline } = this.#shutdown ?? { done: () => {}, deadline: 0 };
    if (this.#now >= deadline) {
      for (const connection of [...this.#connections.values()]) {
        this.#tellClosed(connection, CloseCode.SERVER_SHUTDOWN, 0);
        this.#release(connection);
      }
    }
    const onlyLingering = this.#lingering.size === this.#connections.size;
    if (!onlyLingering) return this.#startSweeping();
    for (const lane of this.#lanes) lane.flush();
    this.#shutdown = { done: () => {}, deadline };
    done();
  }

  /** Lets every descriptor go. No turn comes after this. */
  stop(): void {
    clearInterval(this.#sweepTimer);
    for (const connection of [...this.#connections.values()]) this.#release(connection);
    this.#poller.close();
  }

  /** Waits (in turns) until no closed connection waits for its peer's end. */
  get isDrained(): boolean {
    return this.#connections.size === 0;
  }

  // ——— what a dispatch strategy may look at ———

  connections(worker: number): number {
    return this.#workers.field(worker, WorkerField.connections);
  }

  isReady(worker: number): boolean {
    return this.#workers.field(worker, WorkerField.pid) !== 0;
  }

  isBusy(worker: number): boolean {
    return this.#workers.field(worker, WorkerField.busy) !== 0 || this.queuedBytes(worker) > 0;
  }

  queuedBytes(worker: number): number {
    return this.#lane(worker).queuedBytes;
  }

  nextRound(): number {
    return this.#region.nextRound();
  }
}
