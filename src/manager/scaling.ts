/**
 * More or fewer workers while the server runs. Runs in the manager; the master gives the orders.
 *
 * More: processes are started for the ids behind the last one; when all of them serve, packets may go to them. Fewer,
 * in two steps, so that no packet is lost and none overtakes another: the reactors hold back packets for the workers
 * that go; `withdraw`: those workers finish their pending packets and report; the reactors give their connections to
 * others; `scale`: their processes end.
 */
import type { Log } from '../util/log.js';
import { reasonOf } from './end-reason.js';
import type { Seat } from './seat.js';
import type { WorkerHandle } from './worker-handle.js';

export interface ScalingParts {
  /** Seats of workers only, by id. */
  readonly seats: readonly Seat[];
  /** How many of them have a process. */
  readonly seatNum: number;
  readonly maxWaitMs: number;
  readonly log: Log;
  now(): number;
  /** The rings of this worker are empty. */
  isDrained(workerId: number): boolean;
  withdrawn(): void;
  scaled(request: number, failed?: string): void;
}

export class Scaling {
  readonly #parts: ScalingParts;
  #seatNum: number;
  /** Workers from this id on take no new packets. */
  #withdrawFrom = Number.POSITIVE_INFINITY;
  #sentWithdrawn = true;
  /** The request under way; 0: none. */
  #request = 0;
  /** The number of workers before it. */
  #before: number;

  constructor(parts: ScalingParts) {
    this.#parts = parts;
    this.#seatNum = parts.seatNum;
    this.#before = parts.seatNum;
  }

  get isRunning(): boolean {
    return this.#request !== 0 || !this.#sentWithdrawn;
  }

  /**
   * No process is wanted there. A worker that died before it had taken all its packets is respawned one more time.
   */
  isClosed(seat: Seat): boolean {
    return this.#isBeyond(seat) && this.#parts.isDrained(seat.id);
  }

  /** True when the seat takes no part in a reload, because its worker goes. */
  isGoing(seat: Seat): boolean {
    return seat.role === 'worker' && (this.#isBeyond(seat) || seat.id >= this.#withdrawFrom);
  }

  withdraw(from: number): void {
    this.#withdrawFrom = from;
    this.#sentWithdrawn = false;
    for (const seat of this.#seatsFrom(from)) {
      seat.recycle = undefined;
      if (seat.serving !== undefined && seat.coming !== undefined) seat.coming.discard();
      if (seat.serving !== undefined) this.attached(seat, seat.serving);
    }
  }

  scale(workerNum: number, request: number): void {
    this.#request = request;
    this.#before = this.#seatNum;
    this.#seatNum = workerNum;
    this.#withdrawFrom = Number.POSITIVE_INFINITY;
    this.#sentWithdrawn = true;
    for (const seat of this.#seatsFrom(workerNum)) {
      if (seat.coming !== undefined) seat.coming.discard();
      if (seat.serving !== undefined) this.attached(seat, seat.serving);
    }
    for (const seat of this.#parts.seats) if (seat.id >= this.#before) seat.spawnAt = 0;
  }

  /** A process serves, from now on or already, although its worker goes. */
  attached(seat: Seat, handle: WorkerHandle): void {
    const { maxWaitMs } = this.#parts;
    const now = this.#parts.now();
    if (!this.isGoing(seat)) return;
    handle.reason ??= 'scale';
    if (this.#isBeyond(seat)) handle.stop(now, maxWaitMs);
    else {
      handle.settle();
      handle.endBy(now + maxWaitMs); // a worker that hangs is killed; its successor takes the remaining packets
    }
  }

  /** Called at every step of the manager. */
  advance(): void {
    if (!this.#sentWithdrawn) this.#checkWithdrawn();
    if (this.#request === 0) return;
    const isComplete = this.#parts.seats.every((seat) =>
      this.#isBeyond(seat) ? seat.isEmpty && this.isClosed(seat) : seat.serving !== undefined,
    );
    if (isComplete) this.#end();
  }

  #checkWithdrawn(): void {
    const going = this.#seatsFrom(this.#withdrawFrom).filter((seat) => !this.#isBeyond(seat));
    if (!going.every(({ serving }) => serving?.settled === true)) return;
    this.#sentWithdrawn = true;
    for (const { serving } of going) serving?.stay();
    this.#parts.withdrawn();
  }

  /** A new worker did not get ready: the former number stays. */
  bootFailed(handle: WorkerHandle): void {
    if (this.#request === 0 || handle.id < this.#before) return;
    const reason = reasonOf(handle);
    this.#parts.log.error('the new workers did not start, the number of workers stays', { reason });
    this.#seatNum = this.#before;
    for (const seat of this.#seatsFrom(this.#before)) {
      if (seat.coming !== undefined) seat.coming.discard();
      if (seat.serving !== undefined) this.attached(seat, seat.serving);
    }
    this.#end(reason);
  }

  #end(failed?: string): void {
    const request = this.#request;
    this.#request = 0;
    if (failed === undefined) {
      this.#parts.log.info('the number of workers has changed', { workerNum: this.#seatNum, before: this.#before });
    }
    this.#parts.scaled(request, failed);
  }

  #isBeyond({ role, id }: Seat): boolean {
    return role === 'worker' && id >= this.#seatNum;
  }

  #seatsFrom(id: number): Seat[] {
    return this.#parts.seats.filter((seat) => seat.id >= id);
  }
}
