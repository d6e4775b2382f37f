/**
 * The first attempt of a node to join: its end is what the start of the server waits for. An id that a living server has is
 * refused only when it was taken for the whole ttl: a predecessor that is just ending, such as the broker process of a master
 * that was killed, has gone by then. Runs in the broker process.
 */
import { ServerError } from '../../errors/index.js';
import { monotonicMs } from '../../util/clock.js';

export class FirstAttempt {
  readonly #ttlMs: number;
  readonly #ended: (refused?: ServerError) => void;
  #takenSince: number | undefined;
  #isOver = false;

  /** @param ended called once. @param refused the id belongs to another server: this one must not start */
  constructor(ttlMs: number, ended: (refused?: ServerError) => void) {
    this.#ttlMs = ttlMs;
    this.#ended = ended;
  }

  joined(): void {
    this.#end();
  }

  /** An engine that cannot be reached does not hold up the start. */
  failed(error: unknown): void {
    if (!(error instanceof ServerError) || !error.is('ERR_CLUSTER_NODE_ID')) return this.#end();
    const now = monotonicMs();
    this.#takenSince ??= now;
    if (now - this.#takenSince >= this.#ttlMs) this.#end(error);
  }

  #end(refused?: ServerError): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#ended(refused);
  }
}
