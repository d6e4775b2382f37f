/** Questions under way to another process: each is answered, fails, or runs into its time limit. */
import { deserializeError, ServerError } from '../errors/index.js';
import { type Deferred, deferred } from '../util/deferred.js';
import type { Answer } from './messages.js';

interface Pending extends Deferred<unknown> {
  readonly timer: NodeJS.Timeout;
}

export class Questions {
  readonly #most: number;
  readonly #pending = new Map<number, Pending>();
  /** A successor of this process must not take answers to its predecessor for its own. */
  #last = Math.floor(Math.random() * 2 ** 40);

  /** @param most under way at once */
  constructor(most: number) {
    this.#most = most;
  }

  get size(): number {
    return this.#pending.size;
  }

  /**
   * @param whom a node, or the error that says who has not answered in time @param send passes the question on @returns the answer @throws ServerError ERR_CLUSTER_FULL, ERR_CLUSTER_TIMEOUT, the answerer's error
   */
  ask(whom: string | (() => ServerError), timeoutMs: number, send: (id: number) => void): Promise<unknown> {
    if (this.#pending.size >= this.#most) {
      throw new ServerError('ERR_CLUSTER_FULL', { what: 'questions under way', most: this.#most });
    }
    const id = ++this.#last;
    const { promise, resolve, reject } = deferred<unknown>();
    const timer = setTimeout(() => {
      this.#pending.delete(id);
      reject(typeof whom === 'string' ? new ServerError('ERR_CLUSTER_TIMEOUT', { node: whom, timeoutMs }) : whom());
    }, timeoutMs);
    this.#pending.set(id, { promise, resolve, reject, timer });
    try {
      send(id);
    } catch (error) {
      this.#end(id)?.reject(error);
    }
    return promise;
  }

  /** @returns false: nobody here waits for it (any more) */
  answered(answer: Answer): boolean {
    const pending = this.#end(answer.id);
    if (answer.say === 'answer') pending?.resolve(answer.value);
    else pending?.reject(deserializeError(answer.error));
    return pending !== undefined;
  }

  /** All of them fail. */
  failAll(error: unknown): void {
    for (const id of [...this.#pending.keys()]) this.#end(id)?.reject(error);
  }

  #end(id: number): Pending | undefined {
    const pending = this.#pending.get(id);
    if (pending === undefined) return undefined;
    clearTimeout(pending.timer);
    this.#pending.delete(id);
    return pending;
  }
}
