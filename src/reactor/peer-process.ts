/**
 * Which process a peer is at the moment: peers outlive their processes. Runs in the reactor.
 *
 * What a process has sent lies in its rings when it has gone. So the reactor looks who is there before it takes all that
 * was sent, and takes for dead who was not there even then: one that ends meanwhile, in an orderly way, may have
 * sent the rest of its answer, or the end of a long send, behind the reactor's back.
 */
import { markOf } from '../ipc/frame.js';
import { type WorkerBoard, WorkerField } from '../memory/boards.js';
import { LANES_PER_WORKER, peerNum, peerOf, peerOfManager, peerOfMaster } from '../memory/layout.js';
import type { Region } from '../memory/region.js';

export class PeerProcesses {
  readonly #region: Region;
  readonly #workers: WorkerBoard;
  /** By peer: at the last look. */
  readonly #before: number[];

  constructor(region: Region, workers: WorkerBoard) {
    this.#region = region;
    this.#workers = workers;
    this.#before = Array(peerNum(region.shape)).fill(0);
  }

  /** @returns its pid; 0: none */
  of(peer: number): number {
    const { shape, managerPid, masterPid } = this.#region;
    if (peer === peerOfManager(shape)) return managerPid;
    if (peer === peerOfMaster(shape)) return masterPid;
    const field = peer % LANES_PER_WORKER === 0 ? WorkerField.processOfLane0 : WorkerField.processOfLane1;
    return this.#workers.field(Math.floor(peer / LANES_PER_WORKER), field);
  }

  /** To be called before all that was sent is taken. Then the others tell of whom nothing more will come. */
  look(): void {
    for (let peer = 0; peer < this.#before.length; peer++) this.#before[peer] = this.of(peer);
  }

  isGone(peer: number, pid: number): boolean {
    return this.#before[peer] !== pid && this.of(peer) !== pid;
  }

  /** The process is not one of this worker id. */
  isGoneFrom(worker: number, pid: number): boolean {
    for (let lane = 0; lane < LANES_PER_WORKER; lane++) if (!this.isGone(peerOf(worker, lane), pid)) return false;
    return true;
  }

  /** Of the process that bears this mark: see `markOf`. */
  isGoneWith(peer: number, mark: number): boolean {
    return markOf(this.#before[peer] ?? 0) !== mark && markOf(this.of(peer)) !== mark;
  }

  /** All that are there, or were at the last look. */
  get living(): ReadonlySet<number> {
    return new Set(this.#before.flatMap((pid, peer) => [pid, this.of(peer)]));
  }
}
