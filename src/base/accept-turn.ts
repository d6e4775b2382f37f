/**
 * Decides which worker accepts. All workers listen on the same sockets (BASE mode) and the kernel wakes the quickest,
 * so each worker first checks whether another one has fewer connections, or has had fewer so far. Runs in a worker.
 */
import type { Wakes } from '../ipc/sleep.js';
import { msSince, ReactorBoard, ReactorCounter, WorkerBoard, WorkerField } from '../memory/boards.js';
import type { Region } from '../memory/region.js';

export interface AcceptTurnParts {
  readonly id: number;
  readonly region: Region;
  readonly maxConnections: number;
  readonly slotsPerReactor: number;
  /** Each worker has sockets of its own: the kernel has already decided. */
  readonly isDecided: boolean;
  wakerOf(worker: number): Wakes;
}

/** A worker that was called and does not come is not waited for again for a while. */
const PATIENCE_MS = 50;
const ABSENT_MS = 1000;
/** A worker whose callbacks have run this long is not waited for. */
const BUSY_MS = 20;
/**
 * Small differences do not matter: the accepting worker continues for a while. But not for long: 64 clients that come
 * together, and are active, would all be with one worker (measured among 100,000 idle ones: twice the latency).
 */
const slackOf = (count: number): number => Math.min(Math.floor(count / 32), MOST_SLACK);
const MOST_SLACK = 4;

export class AcceptTurn {
  readonly #parts: AcceptTurnParts;
  readonly #reactors: ReactorBoard;
  readonly #workers: WorkerBoard;
  /** The worker that was called, and when; −1: none. */
  #called = -1;
  #calledAt = 0;
  /** By worker: until when the others do not wait for it. */
  readonly #absentUntil: number[];

  constructor(parts: AcceptTurnParts) {
    this.#parts = parts;
    this.#reactors = new ReactorBoard(parts.region);
    this.#workers = new WorkerBoard(parts.region);
    this.#absentUntil = Array.from({ length: parts.region.shape.workerNum }, () => 0);
  }

  mayTake(): 'yes' | 'full' | 'later' {
    const { id, maxConnections, slotsPerReactor, isDecided } = this.#parts;
    if (this.#connectionsOfAll() >= maxConnections || this.#reactors.occupied(id) >= slotsPerReactor) return 'full';
    return isDecided || this.#isMine(performance.now()) ? 'yes' : 'later';
  }

  /** No client waits to be accepted any more. */
  drained(): void {
    this.#called = -1;
  }

  #isMine(now: number): boolean {
    const another = this.#findBetter(now);
    if (another < 0) {
      this.#called = -1;
      return true;
    }
    if (another !== this.#called) this.#calledAt = now;
    this.#called = another;
    if (now - this.#calledAt <= PATIENCE_MS) {
      this.#parts.wakerOf(another).wake();
      return false;
    }
    this.#absentUntil[another] = now + ABSENT_MS;
    return this.#isMine(now);
  }

  #connectionsOfAll(): number {
    let total = 0;
    for (let worker = 0; worker < this.#parts.region.shape.workerNum; worker++) {
      total += this.#reactors.connections(worker);
    }
    return total;
  }

  /** @returns a worker whose turn it is before this one; −1: none */
  #findBetter(now: number): number {
    const { id, region } = this.#parts;
    const connections = this.#reactors.connections(id);
    const accepted = this.#reactors.read(id, ReactorCounter.accepted);
    for (let worker = 0; worker < region.shape.workerNum; worker++) {
      if (worker === id || now < (this.#absentUntil[worker] ?? 0) || !this.#isThere(worker)) continue;
      const fewer = connections - this.#reactors.connections(worker);
      const slack = slackOf(connections);
      if (fewer > slack) return worker;
      const less = accepted - this.#reactors.read(worker, ReactorCounter.accepted);
      if (fewer >= -slack && less > slackOf(accepted)) return worker;
    }
    return -1;
  }

  #isThere(worker: number): boolean {
    if (this.#workers.field(worker, WorkerField.pid) === 0) return false;
    return msSince(this.#workers.field(worker, WorkerField.busy)) < BUSY_MS;
  }
}
