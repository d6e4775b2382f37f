/**
 * Whose turn it is to accept. All workers listen on the same sockets (BASE mode) and the kernel wakes whoever is
 * quickest, so each looks first whether another one has fewer connections, or has had fewer so far. Runs in a worker.
 */
import type { Wakes } from '../ipc/sleep.js';
import { msSince, ReactorBoard, ReactorCounter, WorkerBoard, WorkerField } from '../memory/boards.js';
import type { Region } from '../memory/region.js';

export interface AcceptTurnParts {
  readonly id: number;
  readonly region: Region;
  readonly maxConnections: number;
  readonly slotsPerReactor: number;
  /** Each worker has sockets of its own: the kernel has decided already. */
  readonly isDecided: boolean;
  wakerOf(worker: number): Wakes;
}

/** One that was called and does not come has had its chance. */
const PATIENCE_MS = 3;
/** A worker that is in the same callbacks for so long is not waited for. */
const BUSY_MS = 5;
/** Differences below 1/32 do not matter: who accepts goes on for a while. */
const SLACK_SHIFT = 5;

export class AcceptTurn {
  readonly #parts: AcceptTurnParts;
  readonly #reactors: ReactorBoard;
  readonly #workers: WorkerBoard;
  #leftToOthersAt = 0;

  constructor(parts: AcceptTurnParts) {
    this.#parts = parts;
    this.#reactors = new ReactorBoard(parts.region);
    this.#workers = new WorkerBoard(parts.region);
  }

  mayTake(): 'yes' | 'full' | 'later' {
    const { id, maxConnections, slotsPerReactor, isDecided } = this.#parts;
    if (this.#connectionsOfAll() >= maxConnections || this.#reactors.occupied(id) >= slotsPerReactor) return 'full';
    const another = isDecided ? -1 : this.#findBetter();
    if (another < 0) {
      this.#leftToOthersAt = 0;
      return 'yes';
    }
    const now = performance.now();
    if (this.#leftToOthersAt === 0) this.#leftToOthersAt = now;
    if (now - this.#leftToOthersAt > PATIENCE_MS) return 'yes';
    this.#parts.wakerOf(another).wake();
    return 'later';
  }

  /** Nobody waits to be accepted any more. */
  drained(): void {
    this.#leftToOthersAt = 0;
  }

  #connectionsOfAll(): number {
    let total = 0;
    for (let worker = 0; worker < this.#parts.region.shape.workerNum; worker++) {
      total += this.#reactors.connections(worker);
    }
    return total;
  }

  /** @returns a worker whose turn it is rather than ours; −1: there is none */
  #findBetter(): number {
    const { id, region } = this.#parts;
    const connections = this.#reactors.connections(id);
    const accepted = this.#reactors.read(id, ReactorCounter.accepted);
    for (let worker = 0; worker < region.shape.workerNum; worker++) {
      if (worker === id || !this.#isThere(worker)) continue;
      const fewer = connections - this.#reactors.connections(worker);
      const slack = connections >> SLACK_SHIFT;
      if (fewer > slack) return worker;
      const less = accepted - this.#reactors.read(worker, ReactorCounter.accepted);
      if (fewer >= -slack && less > accepted / 2 ** SLACK_SHIFT) return worker;
    }
    return -1;
  }

  #isThere(worker: number): boolean {
    if (this.#workers.field(worker, WorkerField.pid) === 0) return false;
    return msSince(this.#workers.field(worker, WorkerField.busy)) < BUSY_MS;
  }
}
