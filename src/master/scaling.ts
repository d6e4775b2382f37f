/**
 * Changes the number of workers while the server runs: the order of the steps, by which no packet is lost and none
 * overtakes another of its connection. Runs in the master; the manager's part is in manager/scaling.ts.
 */
import { ServerError } from '../errors/index.js';
import type { MasterToManager } from '../ipc/message.js';
import type { Region } from '../memory/region.js';
import { type Deferred, deferred } from '../util/deferred.js';
import { within } from '../util/within.js';
import type { ConnectionOwners } from './connection-owners.js';

export interface ScalingParts {
  readonly region: Region;
  readonly owners: () => ConnectionOwners;
  /** How long a worker that is to go has for what it has begun. */
  readonly maxWaitMs: number;
  /** @returns false while there is no manager */
  notify(message: MasterToManager): boolean;
}

export class Scaling {
  readonly #parts: ScalingParts;
  #isRunning = false;
  #lastRequest = 0;
  /** The last order to the manager that is not carried out yet: a new manager receives it again. */
  #step: { readonly message: MasterToManager; readonly done: Deferred<void> } | undefined;

  constructor(parts: ScalingParts) {
    this.#parts = parts;
  }

  /** Resolves when `workerNum` workers are there. @throws ServerError ERR_SCALE */
  async to(workerNum: number): Promise<void> {
    if (this.#isRunning) throw new ServerError('ERR_SCALE', { why: 'it is being changed already' });
    const { region } = this.#parts;
    this.#isRunning = true;
    try {
      if (workerNum > region.activeWorkerNum) await this.#more(workerNum);
      else if (workerNum < region.activeWorkerNum) await this.#fewer(workerNum);
    } finally {
      this.#isRunning = false;
    }
  }

  async #more(workerNum: number): Promise<void> {
    const { region, owners } = this.#parts;
    await this.#ask({ type: 'scale', workerNum, request: ++this.#lastRequest });
    region.seatNum = workerNum;
    region.activeWorkerNum = workerNum;
    owners().useWorkers(workerNum);
  }

  async #fewer(workerNum: number): Promise<void> {
    const { region, owners } = this.#parts;
    region.activeWorkerNum = workerNum;
    // A packet that is half in the ring of a worker that hangs goes on when that worker is withdrawn, and has a successor.
    await within(owners().withhold(workerNum), this.#parts.maxWaitMs);
    await this.#ask({ type: 'withdraw', from: workerNum });
    await owners().rebind();
    await this.#ask({ type: 'scale', workerNum, request: ++this.#lastRequest });
    region.seatNum = workerNum;
  }

  #ask(message: MasterToManager): Promise<void> {
    const done = deferred<void>();
    this.#step = { message, done };
    this.#parts.notify(message);
    return done.promise;
  }

  withdrawn(): void {
    if (this.#step?.message.type === 'withdraw') this.#step.done.resolve();
  }

  scaled(request: number, failed: string | undefined): void {
    const step = this.#step;
    if (step?.message.type !== 'scale' || step.message.request !== request) return;
    if (failed === undefined) step.done.resolve();
    else step.done.reject(new ServerError('ERR_SCALE', { why: failed }));
  }

  /**
   * The manager has died and another one is up. Workers that were to come are given up; those that go must still go.
   */
  managerIsBack(): void {
    if (this.#step === undefined || !this.#isRunning) return;
    const { message, done } = this.#step;
    const { region } = this.#parts;
    if (message.type === 'scale' && message.workerNum > region.seatNum) {
      done.reject(new ServerError('ERR_SCALE', { why: 'the manager has died meanwhile' }));
    } else this.#parts.notify(message);
  }
}
