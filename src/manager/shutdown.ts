/**
 * Ends all processes, rung by rung, by order of the master: workers settle (they finish the packets already read),
 * close their connections (BASE mode), stop. Task workers do each of it after all others, whose tasks are still to
 * be run. Runs in the manager.
 */
import type { ProcessRole } from '../ipc/inheritance.js';
import type { ManagerToMaster } from '../ipc/message.js';
import type { Seat } from './seat.js';
import type { WorkerHandle } from './worker-handle.js';

export interface ShutdownParts {
  readonly seats: readonly Seat[];
  now(): number;
  notifyMaster(message: ManagerToMaster): void;
  /** Called once. */
  allEnded(): void;
}

/** The time a task worker gets although the others have used it up. */
const MIN_STOP_MS = 100;

export class Shutdown {
  readonly #parts: ShutdownParts;
  #isAsked = false;
  #settling = false;
  #closing = false;
  #stopping = false;
  #over = false;
  #tasksSettle = false;
  #tasksStop = false;
  #stopBy = 0;

  constructor(parts: ShutdownParts) {
    this.#parts = parts;
  }

  /** True when nothing new may begin: no reload, no other number of workers. */
  get isNear(): boolean {
    return this.#stopping || this.#settling || this.#isAsked;
  }

  get hasBegun(): boolean {
    return this.#settling || this.#closing || this.#stopping;
  }

  get isSettling(): boolean {
    return this.#settling;
  }

  get isStopping(): boolean {
    return this.#stopping;
  }

  /** No process is left. */
  get isOver(): boolean {
    return this.#over;
  }

  /** The manager has asked the master for a shutdown: it will come. */
  asked(): void {
    this.#isAsked = true;
  }

  /** Processes of the user, and the broker process, learn of it, and go on. */
  settle(): void {
    this.#settling = true;
    settleAll(this.#parts.seats.filter(({ role }) => role !== 'task'));
  }

  closeAll(deadlineMs: number): void {
    this.#closing = true;
    for (const handle of this.#owners()) handle.closeAll(deadlineMs);
  }

  stop(deadlineMs: number): void {
    this.#stopping = true;
    this.#stopBy = this.#parts.now() + deadlineMs;
    for (const seat of this.#parts.seats) if (this.#tasksStop || seat.role !== 'task') this.#stopSeat(seat);
  }

  /** Task workers together with all others. */
  stopAtOnce(deadlineMs: number): void {
    this.#tasksStop = true;
    this.stop(deadlineMs);
  }

  /** The worker got ready while all others stop: it has nothing to finish, and its end is not reported. */
  stopUnused(handle: WorkerHandle): void {
    handle.isEndLogged = true;
    handle.stop(this.#parts.now(), 0);
  }

  /** A process has taken over while others settle. */
  attached(seat: Seat, handle: WorkerHandle): void {
    if (this.#settling && (seat.role !== 'task' || this.#tasksSettle)) handle.settle();
  }

  /** Called at every step of the manager. */
  advance(): void {
    this.#checkSettled();
    this.#checkClosed();
    this.#stopTasks();
    this.#checkOver();
  }

  #checkSettled(): void {
    if (!this.#settling || this.#seatsOf('worker').some((seat) => !seat.isSettled)) return;
    const tasks = this.#seatsOf('task');
    if (!this.#tasksSettle) settleAll(tasks);
    this.#tasksSettle = true;
    if (tasks.some((seat) => !seat.isSettled)) return;
    this.#settling = false;
    this.#parts.notifyMaster({ type: 'settled' });
  }

  #checkClosed(): void {
    if (!this.#closing || this.#owners().some((handle) => !handle.closed)) return;
    this.#closing = false;
    this.#parts.notifyMaster({ type: 'closed' });
  }

  #stopTasks(): void {
    if (!this.#stopping || this.#tasksStop) return;
    if (this.#parts.seats.some((seat) => seat.role !== 'task' && !seat.isEmpty)) return;
    this.#tasksStop = true;
    for (const seat of this.#seatsOf('task')) this.#stopSeat(seat);
  }

  #checkOver(): void {
    if (!this.#stopping || this.#over || this.#parts.seats.some((seat) => !seat.isEmpty)) return;
    this.#over = true;
    this.#parts.allEnded();
  }

  #stopSeat(seat: Seat): void {
    const now = this.#parts.now();
    for (const handle of seat.all) handle.stop(now, Math.max(this.#stopBy - now, MIN_STOP_MS));
    if (seat.coming?.state === 'booting') seat.coming.process?.kill('SIGKILL');
  }

  /** BASE mode: processes that may own connections. */
  #owners(): WorkerHandle[] {
    return this.#seatsOf('worker').flatMap((seat) => [...seat.leaving, ...(seat.serving ? [seat.serving] : [])]);
  }

  #seatsOf(role: ProcessRole): Seat[] {
    return this.#parts.seats.filter((seat) => seat.role === role);
  }
}

function settleAll(seats: readonly Seat[]): void {
  for (const seat of seats) for (const handle of [seat.serving, ...seat.leaving]) handle?.settle();
}
