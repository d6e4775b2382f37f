/** A worker process as the manager holds it. Runs in the manager. */
import type { SerializedError } from '../errors/index.js';
import type { ProcessRole } from '../ipc/inheritance.js';
import type { ManagerToWorker, ReplaceReason, WorkerToManager } from '../ipc/message.js';
import { mayMove, move, type WorkerState } from './worker-state.js';

/** The process behind a handle; a fake one in tests. */
export interface WorkerProcess {
  readonly pid: number;
  send(message: ManagerToWorker): void;
  kill(signal: NodeJS.Signals): void;
}

export interface WorkerProcessEvents {
  message(message: WorkerToManager): void;
  /** @param signal 0 when it exited by itself @param wrote to standard error before it was ready: the end of it */
  exit(exitCode: number, signal: number, wrote?: string): void;
}

export interface WorkerSpec {
  readonly role: ProcessRole;
  /** Its name in the log: `worker 0`. */
  readonly name: string;
  readonly id: number;
  readonly lane: number;
  readonly generation: number;
}

/** Why a process ends, where the end was intended. */
export type LeaveReason = ReplaceReason | 'reload' | 'hang' | 'scale';

export class WorkerHandle implements WorkerSpec {
  readonly role: ProcessRole;
  readonly name: string;
  readonly id: number;
  readonly lane: number;
  readonly generation: number;
  readonly startedAt: number;
  /** Monotonic ms; before it serves: later than any time. */
  servesSince = Number.POSITIVE_INFINITY;
  /** Set when the process has been started. */
  process: WorkerProcess | undefined;
  exitCode = 0;
  signal = 0;
  wasReady = false;
  settled = false;
  /** BASE mode: it has closed its connections. */
  closed = false;
  /** Not wanted any more; its end is ignored. */
  isSurplus = false;
  /** Why it is to be replaced although it did not serve yet: it is, as soon as it does. */
  recycle: ReplaceReason | undefined;
  /** The deadline it has missed: why it is ended by a signal. */
  overdue: 'did not become ready in time' | 'did not end in time' | undefined;
  /** The log has a line about its end. */
  isEndLogged = false;
  /** The last signal sent because of it. */
  #sent: NodeJS.Signals | undefined;
  /** Set before it ends, where the end is not its own fault. */
  reason: LeaveReason | undefined;
  /** The worker's own report of why it ends. */
  lastError: SerializedError | undefined;
  /** Of its loop, where that was blocked. */
  stack = '';
  /** Its output on standard error before it was ready. */
  wrote = '';
  /** What its script has changed since the start of the server, and only a restart applies. */
  needsRestart: readonly string[] = [];
  /** Requests for profiles that it has not answered. */
  readonly profiles = new Set<number>();
  #state: WorkerState = 'booting';
  /** What happens when `deadline` has passed: first TERM, then KILL. */
  #deadline = Number.POSITIVE_INFINITY;
  #next: NodeJS.Signals = 'SIGTERM';
  readonly #bootTimeoutMs: number;
  #bootDeadline: number;

  constructor(spec: WorkerSpec, now: number, bootTimeoutMs: number) {
    this.role = spec.role;
    this.name = spec.name;
    this.id = spec.id;
    this.lane = spec.lane;
    this.generation = spec.generation;
    this.startedAt = now;
    this.#bootTimeoutMs = bootTimeoutMs;
    this.#bootDeadline = now + bootTimeoutMs;
    this.#deadline = this.#bootDeadline;
    this.#next = 'SIGKILL';
  }

  get sentSignal(): NodeJS.Signals | undefined {
    return this.#sent;
  }

  get pid(): number {
    return this.process?.pid ?? 0;
  }

  get state(): WorkerState {
    return this.#state;
  }

  get deadline(): number {
    return this.#deadline;
  }

  /** Receives packets, or will. */
  get isAlive(): boolean {
    return this.#state !== 'exited';
  }

  becomeReady(): void {
    this.#state = move(this.#state, 'ready');
    this.wasReady = true;
    this.#deadline = Number.POSITIVE_INFINITY;
  }

  /**
   * Its time to boot does not include the time in which it got no CPU.
   * @param starvedMs how long that was, since it was started @returns false: its time is up all the same
   */
  growBootTime(now: number, starvedMs: number): boolean {
    const isBooting = this.#state === 'booting' && this.#deadline === this.#bootDeadline;
    const deadline = this.startedAt + this.#bootTimeoutMs + starvedMs;
    if (!isBooting || deadline <= now) return false;
    this.#bootDeadline = deadline;
    this.#deadline = deadline;
    return true;
  }

  attach(now: number): void {
    this.#state = move(this.#state, 'serving');
    this.servesSince = now;
    this.process?.send({ type: 'attach' });
  }

  /** Rung 1 of the ladder: asks it to release its packets and end by itself. */
  release(now: number, deadlineMs: number): void {
    const wasServing = this.#state === 'serving';
    this.#state = move(this.#state, wasServing ? 'releasing' : 'draining');
    this.process?.send({ type: 'release', deadlineMs });
    this.endBy(now + deadlineMs);
  }

  released(): void {
    if (mayMove(this.#state, 'draining')) this.#state = move(this.#state, 'draining');
  }

  goOn(): void {
    this.process?.send({ type: 'goOn' });
  }

  accept(): void {
    this.process?.send({ type: 'accept' });
  }

  closeAll(deadlineMs: number): void {
    this.process?.send({ type: 'closeAll', deadlineMs });
  }

  settle(): void {
    this.process?.send({ type: 'settle' });
  }

  stop(now: number, deadlineMs: number): void {
    this.process?.send({ type: 'stop', deadlineMs });
    this.endBy(now + deadlineMs);
  }

  exited(exitCode: number, signal: number): void {
    this.#state = move(this.#state, 'exited');
    this.exitCode = exitCode;
    this.signal = signal;
    this.#deadline = Number.POSITIVE_INFINITY;
  }

  /** The worker has reported its fatal error; if it is still there at `deadline`, only SIGKILL helps. */
  lastWords(deadline: number): void {
    this.#deadline = Math.min(this.#deadline, deadline);
    this.#next = 'SIGKILL';
  }

  /** The worker is not wanted any more, before it has served. */
  discard(): void {
    this.isSurplus = true;
    this.process?.kill('SIGKILL');
  }

  /** The worker has met its deadline. */
  stay(): void {
    this.#deadline = Number.POSITIVE_INFINITY;
  }

  endBy(deadline: number): void {
    this.#deadline = Math.min(this.#deadline, deadline);
    this.#next = 'SIGTERM';
  }

  /** Rungs 2 and 3, when the deadline has passed. @returns the signal that is sent */
  terminate(now: number, graceMs: number): NodeJS.Signals {
    const signal = this.#next;
    this.#next = 'SIGKILL';
    this.#deadline = now + graceMs;
    this.#sent = signal;
    this.process?.kill(signal);
    return signal;
  }
}
