/**
 * The connections of this process: finding them, their end, packets of which parts have come, and those that a
 * protocol holds. Runs in a worker.
 */
import { CloseFlag, closeReason, PieceFlag } from '../ipc/frame.js';
import type { Outbox } from '../ipc/outbox.js';
import type { ConnectionTable } from '../memory/connection-table.js';
import type { PortCallbacks, UserConnection } from './callbacks.js';
import type { Calls } from './calls.js';
import type { Figures } from './figures.js';
import type { InboxEnds } from './inbox.js';
import { LeftCalls } from './left-calls.js';
import type { HeldConnections } from './service.js';
import { type ByteTaker, type ConnectionEnds, WorkerConnection } from './worker-connection.js';

export interface ConnectionsParts<C extends UserConnection> {
  readonly table: ConnectionTable;
  readonly outbox: Pick<Outbox, 'finish' | 'forget' | 'heldBytesOf' | 'drain'>;
  readonly calls: Calls;
  readonly figures: Pick<Figures, 'countClose'>;
  /** By listen port. */
  readonly callbacks: readonly PortCallbacks<C>[];
  create(fd: number): C;
  /** Notifies every protocol, before `close`. */
  connectionEnded(fd: number, isHalf: boolean): void;
}

export class Connections<C extends UserConnection> implements HeldConnections, ConnectionEnds<C>, InboxEnds {
  readonly #parts: ConnectionsParts<C>;
  /** By slot. */
  readonly #connections: (WorkerConnection<C> | undefined)[] = [];
  /** By listen port. */
  readonly #takers: (ByteTaker | undefined)[] = [];
  readonly #leftCalls: LeftCalls<C>;
  /** Connections of which a part of a packet has come. */
  incomplete = 0;

  constructor(parts: ConnectionsParts<C>) {
    this.#parts = parts;
    this.#leftCalls = new LeftCalls(parts);
  }

  /** The one object per session, the same for every part of this process. */
  of(fd: number): WorkerConnection<C> {
    const { table, callbacks, create } = this.#parts;
    const slot = table.slotOf(fd);
    const known = this.#connections[slot];
    if (known !== undefined && known.user.fd === fd) return known;
    const port = table.portIndex(slot);
    const connection = new WorkerConnection(create(fd), callbacks[port] ?? {}, this.#takers[port] ?? null, this);
    this.#connections[slot] = connection;
    return connection;
  }

  find(fd: number): WorkerConnection<C> | undefined {
    const known = this.#connections[this.#parts.table.slotOf(fd)];
    return known?.user.fd === fd ? known : undefined;
  }

  // ——— its end ———

  /** @param flags CloseFlag @param code CloseCode */
  closed(fd: number, flags: number, code: number, message: string): void {
    // This process was notified of the client's end before, and may have finished with the connection.
    if (flags & CloseFlag.gone && this.find(fd) === undefined) return this.#parts.outbox.forget(fd);
    const connection = this.of(fd);
    this.forgetPieces(connection);
    const awaitsAnswers = (flags & CloseFlag.awaitsAnswers) !== 0;
    connection.ending = { reason: closeReason(code, message), awaitsAnswers };
    this.#parts.connectionEnded(fd, awaitsAnswers);
    if (!awaitsAnswers || connection.pending === 0) this.endIfOver(connection);
  }

  endIfOver(connection: WorkerConnection<C>): void {
    if (connection.isLeft) this.#leftCalls.finished(connection);
    if (connection.ended || connection.ending === undefined) return;
    const { reason, awaitsAnswers } = connection.ending;
    if (awaitsAnswers && this.#leftCalls.holds(connection)) return;
    const { table, outbox, calls, figures } = this.#parts;
    const { fd } = connection.user;
    connection.ended = true;
    figures.countClose();
    connection.user.ended(table.info(fd));
    table.markEnded(fd);
    if (awaitsAnswers) outbox.finish(fd);
    else outbox.forget(fd);
    calls.callFor(connection, 'close', () => connection.callbacks.close?.(connection.user, reason));
    const slot = table.slotOf(fd);
    if (this.#connections[slot] === connection) this.#connections[slot] = undefined;
  }

  /** Protocols that take the bytes themselves know what they owe. */
  letGo(): void {
    for (const connection of this.#connections) {
      const isCalled = connection !== undefined && connection.pending > 0 && connection.taker === null;
      if (isCalled && connection.ending === undefined) this.#leftCalls.leave(connection);
    }
  }

  // ——— packets that come in pieces ———

  /**
   * A packet whose beginning went to a process that has died is not given to the user.
   * @param flags PieceFlag @returns the packet, once it is whole
   */
  assemble(connection: WorkerConnection<C>, piece: Buffer, flags: number): Buffer | undefined {
    const isFirst = (flags & PieceFlag.continued) === 0;
    if (isFirst) this.forgetPieces(connection);
    if (isFirst) connection.pieces = [];
    if (connection.pieces === null) return undefined;
    if (isFirst) this.incomplete++;
    connection.pieces.push(piece);
    if ((flags & PieceFlag.more) !== 0) return undefined;
    const whole = Buffer.concat(connection.pieces);
    this.forgetPieces(connection);
    return whole;
  }

  forgetPieces(connection: WorkerConnection<C>): void {
    if (connection.pieces === null) return;
    connection.pieces = null;
    this.incomplete--;
  }

  // ——— held by a protocol ———

  hold(fd: number, taker: ByteTaker): void {
    const connection = this.of(fd);
    connection.taker = taker;
    connection.held = true;
    connection.pending++;
  }

  release(fd: number): void {
    const connection = this.find(fd);
    if (connection === undefined || !connection.held) return;
    connection.held = false;
    connection.taker = this.#takers[this.#parts.table.portIndex(this.#parts.table.slotOf(fd))] ?? null;
    connection.settled();
  }

  takeBytesOf(portIndex: number, taker: ByteTaker): void {
    this.#takers[portIndex] = taker;
  }
}
