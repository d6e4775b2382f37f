/**
 * How connections end, whichever side ends them: the reactor notifies the worker once, lets queued bytes leave,
 * closes the socket, and reuses the slot after the worker has seen the end. Runs in the reactor.
 */
import { CloseCode, CloseFlag, Event } from '../ipc/frame.js';
import { ReactorCounter, WorkerField } from '../memory/boards.js';
import { SlotFlag, SlotState } from '../memory/connection-table.js';
import { EAGAIN, EINTR, errnoName, errnoOf } from '../os/libc.js';
import { hasPeerEnded } from '../os/socket.js';
import type { Connection } from './connection.js';
import type { ConnectionSlots } from './connection-slots.js';
import { type ReactorContext, SCRATCH_BYTES } from './context.js';
import { CloseSent, Life } from './life.js';
import { brokenBy, msWithoutProgress } from './progress.js';

const SWEEP_MS = 250;
/** How long a closed connection may take to show the peer's end before the descriptor goes. */
const LINGER_MS = 1000;
/** A client that has sent bytes within this time counts as sending. */
const ACTIVE_MS = 100;
/** For how long a client that is being closed may take nothing, where no option sets the limit. */
const CLOSING_MS = 30_000;

export class Ending {
  readonly #context: ReactorContext;
  readonly #slots: ConnectionSlots;
  readonly #beforeSweep: () => void;
  /** A client that is being closed and takes none of the queued bytes is reset after N ms. */
  readonly #closingMs: number;
  #slotsGone = 0;
  #sweepTimer: NodeJS.Timeout | undefined;
  /** Called with each released connection. */
  onReleased: (connection: Connection) => void = () => {};

  /** @param beforeSweep called before deadlines are checked outside of a turn */
  constructor(context: ReactorContext, slots: ConnectionSlots, beforeSweep: () => void) {
    this.#context = context;
    this.#slots = slots;
    this.#beforeSweep = beforeSweep;
    const { writeTimeoutMs, heartbeatIdleMs } = context.options;
    this.#closingMs = writeTimeoutMs || Math.min(heartbeatIdleMs || CLOSING_MS, CLOSING_MS);
  }

  /** FIN: the client sends nothing more but may wait for its reply, so the worker closes when it is done. */
  peerEnded(connection: Connection): void {
    connection.readable = false;
    this.#awaitAnswer(connection, CloseCode.CLIENT_CLOSED);
  }

  /** Ends a connection that cannot be handed off to the next process: the worker may still reply, then it is closed. */
  dismiss(connection: Connection): void {
    if (connection.closeSent !== CloseSent.none || connection.isClosing) return;
    this.#awaitAnswer(connection, CloseCode.WORKER_REPLACED);
  }

  #awaitAnswer(connection: Connection, code: number): void {
    this.notifyClose(connection, code, CloseFlag.awaitsAnswers);
    connection.answererPid = this.#context.workers.field(connection.worker, WorkerField.pid);
    this.answering(connection);
  }

  /** The client's further input is ignored: from here on the rest of its reply may not pause for long. */
  answering(connection: Connection): void {
    if (connection.life === Life.open) connection.moveTo(Life.answering);
    this.#limitPauses(connection);
  }

  #limitPauses(connection: Connection): void {
    const { options, now, table } = this.#context;
    connection.deadline = now + options.halfCloseTimeoutMs;
    connection.sentBefore = table.sentBytes(connection.slot);
    this.startSweeping();
  }

  /**
   * Handles a paused client that seems to have gone: reading does not show it. What it sent before may still be
   * wanted, so it has time; then a client that was never confirmed is closed, and others are reset once they take
   * nothing any more (RST).
   */
  leftWhilePaused(connection: Connection): void {
    if (connection.life !== Life.open) return;
    connection.mayBeLeft = true;
    this.#limitPauses(connection);
  }

  #checkLeft(connection: Connection): void {
    if (connection.isPaused && this.#context.now < connection.deadline) return;
    connection.mayBeLeft = false;
    if (!connection.isPaused) return; // reading goes on and shows the end
    this.#failIfBroken(connection);
    if (connection.isClosed || !connection.unconfirmed) return;
    if (connection.secure === null || hasPeerEnded(connection.descriptor)) {
      this.closeWhenFlushed(connection, CloseCode.CLIENT_CLOSED);
    }
  }

  /** Nothing can be written any more, and a connection that is not read does not show it by reading. */
  broken(connection: Connection): void {
    if (connection.life !== Life.answering) return;
    this.#failIfBroken(connection);
    if (connection.isClosed) return;
    this.notifyClose(connection, CloseCode.CLIENT_CLOSED, 0); // as the close of a unix socket
    this.release(connection);
  }

  #failIfBroken(connection: Connection): void {
    const name = brokenBy(connection);
    if (name !== '') this.failBy(connection, name);
  }

  /** The worker has seen the client's end, and its reply is whole. */
  answered(connection: Connection): void {
    connection.closeSent = CloseSent.whole;
    this.closeWhenFlushed(connection, CloseCode.CLIENT_CLOSED);
  }

  fail(connection: Connection, errno: number): void {
    this.failBy(connection, errnoName(errno));
  }

  /** @param name 'ECONNRESET', or the reason TLS gives */
  failBy(connection: Connection, name: string): void {
    if (connection.isClosed) return;
    const code = name === 'ECONNRESET' || name === 'EPIPE' ? CloseCode.CLIENT_RESET : CloseCode.SOCKET_ERROR;
    this.#context.table.setCloseErrno(connection.slot, errnoOf(name));
    this.notifyClose(connection, code, 0, name);
    this.release(connection);
  }

  /** The transport has lost the descriptor. */
  transportGone(connection: Connection): void {
    if (connection.life === Life.lingering) this.release(connection);
    else this.failBy(connection, 'ECONNRESET');
  }

  /** Closes at once, with RST; queued bytes are dropped. */
  reset(connection: Connection, code: number, message = ''): void {
    this.notifyClose(connection, code, 0, message);
    this.release(connection, true);
  }

  closeWhenFlushed(connection: Connection, code: number): void {
    if (connection.isClosing) return;
    connection.moveTo(Life.closing);
    connection.closeCode = code;
    this.#context.table.setState(connection.slot, SlotState.closing);
    connection.protocol.lost(connection, code);
    if (connection.isFlushed) this.#finish(connection);
    else this.startSweeping();
  }

  /** All queued bytes have left. */
  flushed(connection: Connection): void {
    if (connection.life === Life.closing) this.#finish(connection);
  }

  /** The close request stands behind bytes that the worker still holds. */
  announceClose(connection: Connection): void {
    connection.closeAnnounced = true;
    this.startSweeping();
  }

  /**
   * All is sent. A plain close to a peer that is still sending is answered with RST and might lose the last bytes.
   */
  #finish(connection: Connection): void {
    const { scratch, scratchAddress, again } = this.#context;
    const { transport } = connection;
    this.notifyClose(connection, connection.closeCode, 0);
    if (transport.isDirect) {
      const n = transport.receive(connection, scratch, 0, scratchAddress, SCRATCH_BYTES);
      const isSilent = n === -EAGAIN && !this.#mayStillSend(connection);
      if (isSilent || n === 0 || (n < 0 && n !== -EAGAIN && n !== -EINTR)) return this.release(connection);
      connection.readable = true;
      again.push(connection);
    }
    this.#linger(connection);
    transport.end(connection);
  }

  /** At the server's shutdown a client that was just answered may have its next request on the way. */
  #mayStillSend({ awaitsEnd, closeCode, slot }: Connection): boolean {
    if (awaitsEnd) return true;
    const { table, now } = this.#context;
    return closeCode === CloseCode.SERVER_SHUTDOWN && now - table.lastReceivedAt(slot) < ACTIVE_MS;
  }

  /** Waits until the peer has ended its side too. */
  #linger(connection: Connection): void {
    connection.moveTo(Life.lingering);
    connection.deadline = this.#context.now + LINGER_MS;
    this.startSweeping();
  }

  /**
   * Sends the worker its `close` event, once per connection; twice where the worker was to reply first and the
   * connection went before.
   */
  notifyClose(connection: Connection, code: number, flags: number, message = ''): void {
    const isHalf = (flags & CloseFlag.awaitsAnswers) !== 0;
    if (!isHalf) connection.protocol.lost(connection, code);
    if (connection.closeSent === CloseSent.whole) return;
    const how = connection.closeSent === CloseSent.half ? flags | CloseFlag.gone : flags;
    connection.closeSent = isHalf ? CloseSent.half : CloseSent.whole;
    const { table } = this.#context;
    table.setFlag(connection.slot, SlotFlag.closeSent, true);
    if (!isHalf) table.setState(connection.slot, SlotState.closing);
    if (!isHalf) connection.protocol.beforeClose?.(connection);
    this.#context.ring(connection.worker).sendEvent(Event.close, how, code, connection.sessionId, message);
  }

  /** Closes the socket, and frees the slot as soon as the worker has seen the end. */
  release(connection: Connection, reset = false): void {
    if (connection.isClosed) return;
    const { id, connections, table, board, workers } = this.#context;
    const { slot, worker, transport } = connection;
    connection.moveTo(Life.closed);
    connection.out?.close();
    connection.out = null;
    this.#context.countBuffered(connection);
    connections.delete(connection);
    if (reset) transport.reset(connection);
    else transport.release(connection);
    connection.protocol.closed(connection);
    this.onReleased(connection);
    this.#discountAddress(slot);
    table.setState(slot, SlotState.closed);
    this.notifyWatchers(connection); // watchers that look now see that it is gone
    board.add(id, ReactorCounter.closed, 1);
    board.addConnections(id, -1);
    workers.addField(worker, WorkerField.connections, -1);
    this.#leaveSlot(worker, slot);
  }

  /** Notifies the senders that wait for room on this connection: there is room, or the connection is gone. */
  notifyWatchers(connection: Connection): void {
    const watchers = connection.drainWatchers ?? [];
    connection.drainWatchers = null;
    for (const watcher of watchers) this.#context.notifyRoom(watcher, connection.sessionId);
  }

  /** Continues to end a connection that the preceding process was ending. */
  adopt(connection: Connection): void {
    if (isWatched(connection)) this.startSweeping();
  }

  /** Ends a connection whose process died, and the socket with it: no worker was notified. */
  bury(slot: number): void {
    const { id, table, dead } = this.#context;
    const worker = table.worker(slot);
    dead.close(id, slot);
    if (!table.hasFlag(slot, SlotFlag.closeSent)) {
      table.setFlag(slot, SlotFlag.closeSent, true);
      this.#context.ring(worker).sendEvent(Event.close, 0, CloseCode.WORKER_DIED, table.sessionId(slot));
    }
    this.#leaveSlot(worker, slot);
  }

  /** Slots of ended connections whose worker may not have seen the end. */
  get slotsGone(): number {
    return this.#slotsGone;
  }

  reclaimSlots(): void {
    if (this.#slotsGone === 0) return;
    const count = this.#slots.reclaim();
    if (count === 0) return;
    this.#slotsGone -= count;
    this.#context.board.addOccupied(this.#context.id, -count);
  }

  /** Checks deadlines until there are none. */
  startSweeping(): void {
    this.#sweepTimer ??= setInterval(() => this.#sweep(), SWEEP_MS);
  }

  stopSweeping(): void {
    clearInterval(this.#sweepTimer);
    this.#sweepTimer = undefined;
  }

  #discountAddress(slot: number): void {
    const { table, options, addresses } = this.#context;
    if (options.maxConnectionsPerIp > 0 && !table.isUnix(slot)) addresses.add(table.address(slot), 0, -1);
  }

  #leaveSlot(worker: number, slot: number): void {
    const { table } = this.#context;
    const isSeen = this.#context.ring(worker).mark();
    this.#slotsGone++;
    this.#slots.leave(worker, slot, () => {
      if (!isSeen()) return false;
      table.setState(slot, SlotState.free);
      return true;
    });
  }

  #sweep(): void {
    this.#beforeSweep();
    const { connections, poller } = this.#context;
    let watched = 0;
    for (const connection of connections.list()) {
      if (!isWatched(connection)) continue;
      this.#look(connection);
      if (!connection.isClosed) watched++;
    }
    if (watched === 0) this.stopSweeping();
    poller.wakeSoon();
  }

  #look(connection: Connection): void {
    const { now } = this.#context;
    if (connection.life === Life.lingering) {
      if (now >= connection.deadline) this.release(connection);
    } else if (endsWhenFlushed(connection) && msWithoutProgress(connection, now) >= this.#closingMs) {
      this.reset(connection, CloseCode.WRITE_TIMEOUT);
    } else if (connection.life === Life.answering) this.#checkAnswer(connection);
    else if (connection.mayBeLeft) this.#checkLeft(connection);
  }

  #checkAnswer(connection: Connection): void {
    this.#failIfBroken(connection);
    if (connection.isClosed) return;
    this.#moveDeadline(connection);
    if (this.#context.now >= connection.deadline) return connection.protocol.overdue(connection);
    if (connection.closeSent === CloseSent.half) this.#checkAnswerer(connection);
  }

  /** A reply in progress may take any time: the limit counts from the last byte that left. */
  #moveDeadline(connection: Connection): void {
    const { now, options, table } = this.#context;
    if (connection.answererPid === -1) return; // the process that owed the reply is gone
    const sent = table.sentBytes(connection.slot);
    const hasMoved = sent !== connection.sentBefore;
    connection.sentBefore = sent;
    if (connection.isFlushed && !hasMoved) return;
    const last = now - msWithoutProgress(connection, now);
    connection.deadline = Math.max(connection.deadline, last + options.halfCloseTimeoutMs);
  }

  #checkAnswerer(connection: Connection): void {
    const { now, options, workers } = this.#context;
    const hasSuccessor = workers.field(connection.worker, WorkerField.pid) !== connection.answererPid;
    const deadline = now + options.maxWaitMs + 1000;
    if (!hasSuccessor || deadline > connection.deadline) return;
    connection.answererPid = -1;
    connection.deadline = deadline;
  }
}

/** Ends after its queued bytes, or after bytes that a worker still has to send. */
function endsWhenFlushed({ life, closeAnnounced }: Connection): boolean {
  return life === Life.closing || closeAnnounced;
}

/** Has a deadline that only the sweep enforces. */
function isWatched(connection: Connection): boolean {
  return connection.life !== Life.open || connection.mayBeLeft || connection.closeAnnounced;
}
