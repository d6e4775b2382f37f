/** Wakes other processes, for entries in the messaging area, not for packets. Runs in every process. */
import { peerBell } from '../ipc/bells.js';
import { Waker } from '../ipc/sleep.js';
import { WorkerBoard, WorkerField } from '../memory/boards.js';
import { LANES_PER_WORKER, peerOf, peerOfManager, peerOfMaster } from '../memory/layout.js';
import type { Region } from '../memory/region.js';
import type { DoorbellDescriptors } from '../os/doorbell.js';

export class Peers {
  readonly #region: Region;
  readonly #board: WorkerBoard;
  readonly #bells: readonly DoorbellDescriptors[];
  readonly #wakers: (Waker | undefined)[] = [];
  #lastTaskWorker = 0;
  /** By task worker: the last look that a task was left to. */
  readonly #reliedOn: number[] = [];

  constructor(region: Region, bells: readonly DoorbellDescriptors[]) {
    this.#region = region;
    this.#board = new WorkerBoard(region);
    this.#bells = bells;
  }

  /** @returns false when it was awake, or was already rung for this sleep */
  wake(peer: number): boolean {
    return this.#waker(peer).wake();
  }

  /** Rings even if it is awake, so that it checks something it does not check by itself. */
  ring(peer: number): void {
    this.#waker(peer).ring();
  }

  /** Wakes the process that receives for this id; without one, its successor finds the message. */
  wakeProcess(id: number): void {
    this.wake(peerOf(id, this.#board.field(id, WorkerField.lane)));
  }

  ringProcess(id: number): void {
    this.ring(peerOf(id, this.#board.field(id, WorkerField.lane)));
  }

  /**
   * Wakes one task worker that sleeps and has room, if there is one, and none while another looks for tasks by itself.
   * Each one that takes a task wakes the next. The last one woken comes first: its caches are warm.
   */
  wakeFreeTaskWorker(): void {
    const { workerNum, taskWorkerNum } = this.#region.shape;
    if (this.#someoneLooks()) return;
    for (let i = 0; i < taskWorkerNum; i++) {
      const id = workerNum + ((this.#lastTaskWorker + i) % taskWorkerNum);
      if (this.#board.field(id, WorkerField.room) <= 0) continue;
      if (!this.wake(peerOf(id, this.#board.field(id, WorkerField.lane)))) continue;
      this.#lastTaskWorker = id - workerNum;
      return;
    }
  }

  /** Relies on each look once, as each sleep is rung for once: the second task wakes another task worker. */
  #someoneLooks(): boolean {
    const { workerNum, taskWorkerNum } = this.#region.shape;
    for (let id = workerNum; id < workerNum + taskWorkerNum; id++) {
      const look = this.#board.field(id, WorkerField.looking);
      if ((look & 1) === 0 || look === this.#reliedOn[id]) continue;
      this.#reliedOn[id] = look;
      return true;
    }
    return false;
  }

  /** After a death: makes every task worker check again, because the dead one may have been rung for a waiting task. */
  ringTaskWorkers(): void {
    const { workerNum, taskWorkerNum } = this.#region.shape;
    for (let id = workerNum; id < workerNum + taskWorkerNum; id++) this.ringProcess(id);
  }

  /** The process id of a peer; −1: the manager or the master. */
  idOf(peer: number): number {
    return peer < peerOfManager(this.#region.shape) ? Math.floor(peer / LANES_PER_WORKER) : -1;
  }

  #waker(peer: number): Waker {
    const known = this.#wakers[peer];
    if (known !== undefined) return known;
    const bell = peerBell(this.#bells, this.#region.shape, peer);
    const waker = new Waker(this.#region.int32, sleepIndexOf(this.#region, this.#board, peer), bell);
    this.#wakers[peer] = waker;
    return waker;
  }
}

/** The place of a peer's sleep state. */
export function sleepIndexOf(region: Region, board: WorkerBoard, peer: number): number {
  if (peer === peerOfManager(region.shape)) return region.managerSleepIndex;
  if (peer === peerOfMaster(region.shape)) return region.masterSleepIndex;
  return board.sleepIndex(Math.floor(peer / LANES_PER_WORKER), peer % LANES_PER_WORKER);
}
