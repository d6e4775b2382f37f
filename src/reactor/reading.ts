/** Which connection may be read, and when; handles the results of recv(2). Runs in the reactor. */
import { ReactorCounter } from '../memory/boards.js';
import { SlotFlag } from '../memory/connection-table.js';
import { EAGAIN, EINTR } from '../os/libc.js';
import { READABLE } from '../os/poller.js';
import type { Connection } from './connection.js';
import { type ReactorContext, SCRATCH_BYTES } from './context.js';
import type { Ending } from './ending.js';
import type { InflightLimit } from './inflight-limit.js';
import { CloseSent, Hold, Life } from './life.js';
import type { MemoryBudget } from './memory-budget.js';
import type { WorkerRing } from './worker-ring.js';

/** A connection with more to read lets the others go first after this many reads. */
export const READS_PER_TURN = 4;

export interface ReadingParts {
  readonly context: ReactorContext;
  readonly ending: Ending;
  readonly budget: MemoryBudget;
  readonly inflight: InflightLimit;
}

export class Reading {
  readonly #context: ReactorContext;
  readonly #ending: Ending;
  readonly #budget: MemoryBudget;
  readonly #inflight: InflightLimit;
  /** The server is shutting down: only connections that a worker is handling are read on. */
  isQuiet = false;

  constructor({ context, ending, budget, inflight }: ReadingParts) {
    this.#context = context;
    this.#ending = ending;
    this.#budget = budget;
    this.#inflight = inflight;
  }

  /** There may be bytes. */
  read(connection: Connection): void {
    if (connection.isClosing || connection.closeSent !== CloseSent.none) return this.#readAndDiscard(connection);
    if (connection.holds !== 0 || !this.#mayRead(connection)) return;
    connection.protocol.readable(connection);
    // An incomplete packet, and one that found no room, counts as buffered.
    const holds = connection.input !== null || connection.kept !== 0;
    if (holds || connection.buffered !== 0) this.#context.countBuffered(connection);
  }

  /** A reason to hold the connection back is over. */
  readIfHasMore(connection: Connection): void {
    const hasMore = connection.readable || connection.input !== null;
    if (connection.holds === 0 && hasMore) this.read(connection);
  }

  setPaused(connection: Connection, paused: boolean): void {
    this.#context.table.setFlag(connection.slot, SlotFlag.paused, paused);
    if (!paused) {
      connection.unconfirmed = false;
      connection.holds &= ~Hold.paused;
      return this.readIfHasMore(connection);
    }
    connection.holds |= Hold.paused;
    if (connection.hangup) this.#ending.leftWhilePaused(connection);
  }

  /** Reads the connection in the next turn. */
  readSoon(connection: Connection): void {
    this.#context.again.push(connection);
  }

  /** The client has ended its side. @returns true: that shows again when its packets are handled */
  endsLater(connection: Connection): boolean {
    return this.#inflight.untilHandled(connection);
  }

  /** Reads connections that had more than one turn's share, and those that were to be read in this turn. */
  readAgain(): void {
    const { again } = this.#context;
    this.#context.again = [];
    for (const connection of again) if (connection.readable || connection.input !== null) this.read(connection);
  }

  /** Once per turn: resumes connections that a limit has held back. */
  readHeldBack(): void {
    for (const connection of this.#budget.check()) this.readIfHasMore(connection);
    for (const connection of this.#inflight.takeForgotten()) this.readIfHasMore(connection);
  }

  /**
   * Resumes connections that wait for room, until none is left or the worker has been asked to ring: without room
   * it must be asked again.
   */
  relieve(ring: WorkerRing): void {
    while (ring.isBehind) {
      const relieved = ring.takeRelieved();
      if (relieved.length === 0) return;
      for (const connection of relieved) this.read(connection);
    }
  }

  // ——— for protocols ———

  countReceived({ slot }: Connection, bytes: number): void {
    const { id, table, board, now } = this.#context;
    this.#context.reads++;
    table.countReceived(slot, bytes, now);
    board.add(id, ReactorCounter.receivedBytes, bytes);
  }

  /** `n` bytes of at most `limit` have come. @returns true when the kernel has no more */
  isDry(connection: Connection, n: number, limit: number): boolean {
    if (n === limit || connection.hangup || !connection.transport.drainsByShortRead) return false;
    this.#ranDry(connection);
    return true;
  }

  /** A read gave no bytes. @param n as `Transport.receive` @returns true when the next read may give some */
  endOfBytes(connection: Connection, n: number): boolean {
    if (n === -EINTR) return true;
    if (n === -EAGAIN) this.#ranDry(connection);
    else if (n === 0) connection.protocol.peerEnded(connection);
    else this.#ending.fail(connection, -n);
    return false;
  }

  /**
   * Stops reading the connection until its worker has room. @param half only when half of the ring is free: a
   * whole packet waits
   */
  stall(connection: Connection, ring: WorkerRing, half: boolean): void {
    if (!connection.hasNoRoom) this.#context.board.add(this.#context.id, ReactorCounter.stalls, 1);
    ring.stall(connection, half);
  }

  #ranDry(connection: Connection): void {
    connection.readable = false;
    connection.transport.rearm(connection, READABLE);
  }

  #mayRead(connection: Connection): boolean {
    if (this.isQuiet && !connection.protocol.isBusy(connection)) {
      connection.holds |= Hold.quiet;
      return false;
    }
    return this.#budget.mayRead(connection) && !this.#inflight.mustWait(connection);
  }

  /** The bytes count no more, but only reading shows the peer's end (and spares it an RST). */
  #readAndDiscard(connection: Connection): void {
    if (connection.isClosed) return;
    const { scratch, scratchAddress, again } = this.#context;
    for (let i = 0; i < READS_PER_TURN; i++) {
      const n = connection.transport.receive(connection, scratch, 0, scratchAddress, SCRATCH_BYTES);
      if (n > 0) {
        if (this.isDry(connection, n, SCRATCH_BYTES)) return;
      } else if (n === 0) {
        if (connection.life === Life.lingering) return this.#ending.release(connection);
        connection.readable = false;
        return;
      } else if (!this.endOfBytes(connection, n)) return;
    }
    again.push(connection);
  }
}
