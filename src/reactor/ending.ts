/**
 * How connections end, whoever ends them: the worker is told once, what is queued still leaves, the socket goes, and
 * the slot is used again when the worker has seen the end. Runs in the reactor.
 */
import { CloseCode, CloseFlag, Event } from '../ipc/frame.js';
import { ReactorCounter, WorkerField } from '../memory/boards.js';
import { SlotFlag, SlotState } from '../memory/connection-table.js';
import { EAGAIN, EINTR, errnoName, errnoOf } from '../os/libc.js';
import { closeDescriptor, receive, resetConnection, shutdownWrite } from '../os/socket.js';
import type { ReactorConnection } from './connection.js';
import { type ReactorContext, SCRATCH_BYTES } from './context.js';
import type { Slots } from './slots.js';

const SWEEP_MS = 250;
/** How long a closed connection may take to show the peer's end before the descriptor goes. */
const LINGER_MS = 1000;
/** A client that has sent something within this time is taken to be sending. */
const ACTIVE_MS = 100;
/** A client that ended its side gets what it is owed within this time. */
const ANSWER_MS = 30_000;

export class Ending {
  readonly #context: ReactorContext;
  readonly #slots: Slots;
  readonly #beforeSweep: () => void;
  #awaitingAnswers = 0;
  #lingering = 0;
  #slotsGone = 0;
  #sweepTimer: NodeJS.Timeout | undefined;
  /** Called as soon as nothing that a worker sends reaches the client any more, perhaps several times. @param code CloseCode */
  onLost: (connection: ReactorConnection, code: number) => void = () => {};
  /** Called with each connection that is gone. */
  onReleased: (connection: ReactorConnection) => void = () => {};

  /** @param beforeSweep called when deadlines are looked at outside of a turn */
  constructor(context: ReactorContext, slots: Slots, beforeSweep: () => void) {
    this.#context = context;
    this.#slots = slots;
    this.#beforeSweep = beforeSweep;
  }

  /** FIN: the client says nothing more but may wait for what it is owed, so the worker closes when it is done. */
  peerEnded(connection: ReactorConnection): void {
    connection.readable = false;
    this.tell(connection, CloseCode.CLIENT_CLOSED, CloseFlag.awaitsAnswers);
    this.#awaitAnswer(connection);
  }

  #awaitAnswer(connection: ReactorConnection): void {
    const { workers, now } = this.#context;
    if (!connection.awaitsAnswer) this.#awaitingAnswers++;
    connection.awaitsAnswer = true;
    connection.answererPid = workers.field(connection.worker, WorkerField.pid);
    connection.deadline = now + ANSWER_MS;
    this.startSweeping();
  }

  /** It cannot go over to the process that comes next: the worker may still answer, then it is closed. */
  dismiss(connection: ReactorConnection): void {
    if (connection.told || connection.closeCode >= 0) return;
    this.tell(connection, CloseCode.WORKER_REPLACED, CloseFlag.awaitsAnswers);
    this.#awaitAnswer(connection);
  }

  /** The worker has seen the client's end and owes nothing more. */
  answered(connection: ReactorConnection): void {
    this.#awaitNoAnswer(connection);
    this.closeWhenFlushed(connection, CloseCode.CLIENT_CLOSED);
  }

  fail(connection: ReactorConnection, errno: number): void {
    this.failBy(connection, errnoName(errno));
  }

  /** @param name 'ECONNRESET', or what TLS has to say */
  failBy(connection: ReactorConnection, name: string): void {
    if (connection.ended) return;
    const code = name === 'ECONNRESET' || name === 'EPIPE' ? CloseCode.CLIENT_RESET : CloseCode.SOCKET_ERROR;
    this.#context.table.setCloseErrno(connection.slot, errnoOf(name));
    this.tell(connection, code, 0, name);
    this.release(connection);
  }

  /** At once, with RST; what is queued is dropped. */
  reset(connection: ReactorConnection, code: number): void {
    this.tell(connection, code, 0);
    this.release(connection, true);
  }

  closeWhenFlushed(connection: ReactorConnection, code: number): void {
    if (connection.closeCode >= 0) return;
    connection.closeCode = code;
    this.#context.table.setState(connection.slot, SlotState.closing);
    this.onLost(connection, code);
    if (connection.isFlushed) this.finish(connection);
  }

  /** All is sent. A peer that is still sending would answer a plain close with RST and might lose our last bytes. */
  finish(connection: ReactorConnection): void {
    const { scratchAddress, again } = this.#context;
    this.tell(connection, connection.closeCode, 0);
    if (connection.tls !== null) {
      this.#linger(connection);
      return connection.tls.end();
    }
    const n = receive(connection.descriptor, scratchAddress, SCRATCH_BYTES);
    const isSilent = n === -EAGAIN && !this.#mayStillSend(connection);
    if (isSilent || n === 0 || (n < 0 && n !== -EAGAIN && n !== -EINTR)) return this.release(connection);
    this.#linger(connection);
    shutdownWrite(connection.descriptor);
    connection.readable = true;
    again.push(connection);
  }

  /** At the end of the server a client that has just been answered may have its next request on the way. */
  #mayStillSend({ closeCode, slot }: ReactorConnection): boolean {
    const { table, now } = this.#context;
    return closeCode === CloseCode.SERVER_SHUTDOWN && now - table.lastReceivedAt(slot) < ACTIVE_MS;
  }

  /** Until the peer has ended its side too. */
  #linger(connection: ReactorConnection): void {
    this.#awaitNoAnswer(connection);
    connection.lingering = true;
    connection.deadline = this.#context.now + LINGER_MS;
    this.#lingering++;
    this.startSweeping();
  }

  /** The `close` a worker sees, once per connection. */
  tell(connection: ReactorConnection, code: number, flags: number, message = ''): void {
    if ((flags & CloseFlag.awaitsAnswers) === 0) this.onLost(connection, code);
    if (connection.told) return;
    connection.told = true;
    const { table } = this.#context;
    table.setFlag(connection.slot, SlotFlag.told, true);
    if ((flags & CloseFlag.awaitsAnswers) === 0) table.setState(connection.slot, SlotState.closing);
    this.#context.lane(connection.worker).sendEvent(Event.close, flags, code, connection.sessionId, message);
  }

  /** The socket goes, and the slot as soon as the worker has seen the end. */
  release(connection: ReactorConnection, reset = false): void {
    if (connection.ended) return;
    const { id, connections, poller, table, board, workers } = this.#context;
    const { slot, worker, descriptor } = connection;
    connection.ended = true;
    connection.out?.close();
    connection.out = null;
    this.#context.account(connection, 0);
    connections.delete(connection);
    this.#awaitNoAnswer(connection);
    if (connection.lingering) this.#lingering--;
    if (connection.tls !== null) reset ? connection.tls.reset() : connection.tls.destroy();
    else {
      poller.remove(descriptor);
      if (reset) resetConnection(descriptor);
      else closeDescriptor(descriptor);
    }
    this.onReleased(connection);
    this.#discountAddress(slot);
    table.setState(slot, SlotState.closed);
    this.tellWatchers(connection); // who looks then sees that it is gone
    board.add(id, ReactorCounter.closed, 1);
    board.addConnections(id, -1);
    workers.addField(worker, WorkerField.connections, -1);
    this.#leaveSlot(worker, slot);
  }

  /** Those that wait for room on this connection hear that there is some, or that it is gone. */
  tellWatchers(connection: ReactorConnection): void {
    const watchers = connection.drainWatchers ?? [];
    connection.drainWatchers = null;
    for (const watcher of watchers) this.#context.tellRoom(watcher, connection.sessionId);
  }

  /** A connection that the process before this one was ending. */
  adopt(connection: ReactorConnection): void {
    if (connection.lingering) this.#lingering++;
    if (connection.awaitsAnswer) this.#awaitingAnswers++;
    if (connection.lingering || connection.awaitsAnswer) this.startSweeping();
  }

  /** The process that owned it has died, and the socket with it; nobody has been told. */
  bury(slot: number): void {
    const { id, table, dead } = this.#context;
    const worker = table.worker(slot);
    dead.close(id, slot);
    if (!table.hasFlag(slot, SlotFlag.told)) {
      table.setFlag(slot, SlotFlag.told, true);
      this.#context.lane(worker).sendEvent(Event.close, 0, CloseCode.WORKER_DIED, table.sessionId(slot));
    }
    this.#leaveSlot(worker, slot);
  }

  /** Slots whose connection has ended, and whose worker may not have seen it. */
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

  /** Looks at deadlines until there are none. */
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
    const isSeen = this.#context.lane(worker).mark();
    this.#slotsGone++;
    this.#slots.leave(worker, slot, () => {
      if (!isSeen()) return false;
      table.setState(slot, SlotState.free);
      return true;
    });
  }

  #sweep(): void {
    this.#beforeSweep();
    const { connections, now, poller } = this.#context;
    for (const connection of connections.list()) {
      if (connection.lingering && now >= connection.deadline) this.release(connection);
      else if (connection.awaitsAnswer) this.#checkAnswer(connection);
    }
    if (this.#lingering === 0 && this.#awaitingAnswers === 0) this.stopSweeping();
    poller.wakeSoon();
  }

  #checkAnswer(connection: ReactorConnection): void {
    const { now, options, workers } = this.#context;
    if (now >= connection.deadline) return this.closeWhenFlushed(connection, CloseCode.ANSWER_TIMEOUT);
    const hasSuccessor = workers.field(connection.worker, WorkerField.pid) !== connection.answererPid;
    const deadline = now + options.maxWaitMs + 1000;
    if (!hasSuccessor || deadline > connection.deadline) return;
    connection.answererPid = -1;
    connection.deadline = deadline;
  }

  #awaitNoAnswer(connection: ReactorConnection): void {
    if (!connection.awaitsAnswer) return;
    connection.awaitsAnswer = false;
    this.#awaitingAnswers--;
  }
}
