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

export class Uploads {
  readonly #parts: Http1Parts;
  readonly #held = new Set<Connection>();
  #heldTimer: NodeJS.Timeout | undefined;

  constructor(parts: Http1Parts) {
    this.#parts = parts;
  }

  /** @returns that worker if it takes uploads, or another one; undefined: none does, the connection waits */
  ringFor(connection: Connection, chosen: WorkerRing): WorkerRing | undefined {
    if (!this.#isDismissing(chosen.worker)) return chosen;
    const other = this.#parts.context.rings.find(({ worker }) => this.#takesUploads(worker));
    if (other === undefined) this.#hold(connection);
    return other;
  }

  waits(connection: Connection): boolean {
    return this.#held.has(connection);
  }

  released(connection: Connection): void {
    if (this.#held.delete(connection) && this.#held.size === 0) this.stop();
  }

  #hold(connection: Connection): void {
    this.#held.add(connection);
    this.#heldTimer ??= setInterval(() => this.#parts.context.wake(), LOOK_MS);
  }

  /** Once per turn: resumes uploads that wait for a worker. */
  readHeld(): void {
    if (this.#held.size === 0 || !this.#parts.context.rings.some(({ worker }) => this.#takesUploads(worker))) return;
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
