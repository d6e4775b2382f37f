/**
 * The byte budget of the whole server (`maxBufferedBytes`): each reactor and each worker publishes its buffered
 * bytes in shared memory, and each reactor reads the sum. Runs in the reactor.
 */
import { CloseCode } from '../ipc/frame.js';
import type { Overload } from '../ipc/overload.js';
import { ReactorCounter, WorkerCounter } from '../memory/boards.js';
import type { Connection } from './connection.js';
import type { ReactorContext } from './context.js';
import type { Ending } from './ending.js';
import { Hold } from './life.js';
import { OverloadReport } from './overload-report.js';

/** How often a paused reactor checks whether it may read again: the others do not notify it when they drain. */
const LOOK_MS = 20;
/** Reading goes on below this share of the budget. */
const LOW = 0.8;

export class MemoryBudget {
  readonly #context: ReactorContext;
  readonly #ending: Ending;
  readonly #report: OverloadReport;
  #isOver = false;
  #closedAt = Number.NEGATIVE_INFINITY;
  /** Connections that were to be read meanwhile. */
  #waiting = new Set<Connection>();
  #timer: NodeJS.Timeout | undefined;

  constructor(context: ReactorContext, ending: Ending, onOverload: (overload: Overload) => void) {
    this.#context = context;
    this.#ending = ending;
    this.#report = new OverloadReport(context, onOverload);
    this.#setOver(false); // in BASE mode a worker that was killed may have left it set
  }

  /** @returns false: not now; `check` returns the connection when it may be read */
  mayRead(connection: Connection): boolean {
    if (!this.#isOver) return true;
    connection.holds |= Hold.budget;
    this.#waiting.add(connection);
    return false;
  }

  /** Once per turn. @returns connections that may be read again */
  check(): Iterable<Connection> {
    const { maxBufferedBytes, overloadPolicy } = this.#context.options;
    if (maxBufferedBytes === 0) return nobody;
    const total = this.#total();
    if (overloadPolicy === 'close') {
      if (total > maxBufferedBytes) this.#closeLargest();
      else this.stop();
      return nobody;
    }
    if (total > maxBufferedBytes) this.#pause();
    if (!this.#isOver) return nobody;
    this.#report.goesOn(total);
    if (total > maxBufferedBytes * LOW) return nobody;
    this.#report.end(total);
    return this.#goOn();
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  #pause(): void {
    if (!this.#isOver) {
      this.#setOver(true);
      this.#report.begin();
    }
    this.#timer ??= setInterval(() => this.#look(), LOOK_MS);
  }

  #look(): void {
    this.#report.look();
    this.#context.wake();
  }

  #goOn(): Iterable<Connection> {
    this.#setOver(false);
    this.stop();
    const waiting = this.#waiting;
    this.#waiting = new Set();
    for (const connection of waiting) connection.holds &= ~Hold.budget;
    return waiting;
  }

  #setOver(is: boolean): void {
    this.#isOver = is;
    const { id, board, now } = this.#context;
    board.set(id, ReactorCounter.pausedAt, is ? now : 0);
    board.set(id, ReactorCounter.paused, is ? 1 : 0);
  }

  /** Closes one connection at a time. */
  #closeLargest(): void {
    const { now } = this.#context;
    this.#timer ??= setInterval(() => this.#context.wake(), LOOK_MS);
    if (now - this.#closedAt < LOOK_MS) return; // the bytes of the last one are not subtracted yet
    let largest: Connection | undefined;
    for (const connection of this.#context.connections.list()) {
      if (connection.buffered > (largest?.buffered ?? 0)) largest = connection;
    }
    if (largest === undefined) return;
    this.#closedAt = now;
    this.#ending.reset(largest, CloseCode.MEMORY_LIMIT);
  }

  #total(): number {
    const { board, workers, rings } = this.#context;
    let total = 0;
    for (let reactor = 0; reactor < this.#context.reactorNum; reactor++) {
      total += board.read(reactor, ReactorCounter.buffered);
    }
    for (const { worker } of rings) total += workers.read(worker, WorkerCounter.held);
    return total;
  }
}

const nobody: readonly Connection[] = [];
