import { msSince, type WorkerBoard, WorkerField } from '../memory/boards.js';
import type { ConnectionTable } from '../memory/connection-table.js';
import type { Region } from '../memory/region.js';
import type { DispatchView } from './dispatch/index.js';
import type { WorkerRing } from './worker-ring.js';

/** What dispatch strategies see of the workers: the counters in shared memory and this reactor's rings. */
export class SharedDispatchView implements DispatchView {
  /** Workers that new packets go to. */
  workerNum: number;
  readonly #region: Region;
  readonly #workers: WorkerBoard;
  readonly #table: ConnectionTable;
  readonly #rings: readonly WorkerRing[];

  constructor(region: Region, workers: WorkerBoard, table: ConnectionTable, rings: readonly WorkerRing[]) {
    this.workerNum = region.activeWorkerNum;
    this.#region = region;
    this.#workers = workers;
    this.#table = table;
    this.#rings = rings;
  }

  connections(worker: number): number {
    return this.#workers.field(worker, WorkerField.connections);
  }

  isReady(worker: number): boolean {
    return this.#workers.field(worker, WorkerField.pid) !== 0;
  }

  isBusy(worker: number): boolean {
    return this.#workers.field(worker, WorkerField.busy) !== 0 || this.queuedBytes(worker) > 0;
  }

  isIdle(worker: number): boolean {
    if (!this.isReady(worker) || this.isBusy(worker) || this.pending(worker) > 0) return false;
    return !this.#workers.hasTwoProcesses(worker); // the one before may be at work
  }

  busyForMs(worker: number): number {
    return msSince(this.#workers.field(worker, WorkerField.busy));
  }

  queuedBytes(worker: number): number {
    return this.#rings[worker]?.queuedBytes ?? 0;
  }

  pending(worker: number): number {
    return this.#workers.field(worker, WorkerField.pending);
  }

  uid(slot: number): number {
    return slot < 0 ? 0 : this.#table.uid(slot); // below 0: a datagram
  }

  nextRound(): number {
    return this.#region.nextRound();
  }
}
