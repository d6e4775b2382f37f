/**
 * A worker that is being replaced finishes its uploads, and receives no further ones: those go to another worker,
 * or wait until there is one. Runs in the reactor.
 */
import { WorkerField } from '../../../memory/boards.js';
import type { Connection } from '../../connection.js';
import type { WorkerRing } from '../../worker-ring.js';
import type { Http1Parts } from './parts.js';

/** No message reports that a worker takes uploads again. */
const LOOK_MS = 20;
const NO_WORKER = -1;

export class Uploads {
  readonly #parts: Http1Parts;
  readonly #held = new Set<Connection>();
  #heldTimer: NodeJS.Timeout | undefined;
  #turn = 0;

  constructor(parts: Http1Parts) {
    this.#parts = parts;
  }

  /** @returns that worker if it takes uploads, or another one; undefined: none does, the connection waits */
  ringFor(connection: Connection, chosen: WorkerRing): WorkerRing | undefined {
    const { context } = this.#parts;
    if (context.isLeaving) return this.#hold(connection);
    if (!this.#isDismissing(chosen.worker)) return chosen;
    const other = this.#nextWorker();
    if (other === NO_WORKER) return this.#hold(connection);
    return context.ring(other);
  }

  waits(connection: Connection): boolean {
    return this.#held.has(connection);
  }

  released(connection: Connection): void {
    if (this.#held.delete(connection) && this.#held.size === 0) this.stop();
  }

  /** In turn, so that not all go to the first that takes some. */
  #nextWorker(): number {
    const { workerNum } = this.#parts.dispatcher;
    for (let tries = 0; tries < workerNum; tries++) {
      const worker = ++this.#turn % workerNum;
      if (this.#takesUploads(worker)) return worker;
    }
    return NO_WORKER;
  }

  #hold(connection: Connection): undefined {
    this.#held.add(connection);
    this.#heldTimer ??= setInterval(() => this.#parts.context.wake(), LOOK_MS);
  }

  /** Once per turn: resumes uploads that wait for a worker. */
  readHeld(): void {
    if (this.#held.size === 0 || this.#parts.context.isLeaving || this.#nextWorker() === NO_WORKER) return;
    const held = [...this.#held];
    this.stop();
    for (const connection of held) if (!connection.isClosed) this.#parts.reading.readSoon(connection);
  }

  stop(): void {
    this.#held.clear();
    clearInterval(this.#heldTimer);
    this.#heldTimer = undefined;
  }

  #isDismissing(worker: number): boolean {
    return this.#parts.context.workers.field(worker, WorkerField.dismissing) !== 0;
  }

  #takesUploads(worker: number): boolean {
    return this.#parts.context.workers.field(worker, WorkerField.pid) !== 0 && !this.#isDismissing(worker);
  }
}
