/**
 * How many durable jobs of each name stand where, over all nodes: of the names that this node takes or has enqueued, for a
 * queue that grows is what an operator must hear of. Runs in the broker process.
 */
import type { JobCounts } from '../jobs/queue.js';
import type { JobCall, NamedCounts } from '../messages.js';

export interface QueueCountsParts {
  /** Of which names this node takes jobs. */
  worked(): readonly string[];
  /** @throws ServerError ERR_CLUSTER_DOWN */
  counts(name: string): Promise<JobCounts>;
}

/** Each is a question to the engine. */
const MOST_NAMES = 100;
const COUNT_MS = 5000;

export class QueueCounts {
  readonly #parts: QueueCountsParts;
  /** That processes of this node have named, the newest last. */
  readonly #named = new Set<string>();
  readonly #timer: NodeJS.Timeout;
  #latest: readonly NamedCounts[] = [];
  #why = '';
  #counting: Promise<readonly NamedCounts[]> | undefined;

  constructor(parts: QueueCountsParts) {
    this.#parts = parts;
    this.#timer = setInterval(() => void this.read().catch(() => {}), COUNT_MS);
  }

  /** Empty also while the engine does not answer. */
  get latest(): readonly NamedCounts[] {
    return this.#latest;
  }

  /** Why the last question got no answer: no jobs run then. Empty: it got one. */
  get why(): string {
    return this.#why;
  }

  /** The engine has carried it out. */
  called(call: JobCall): void {
    for (const name of namesIn(call)) {
      this.#named.delete(name);
      this.#named.add(name);
    }
    for (const name of this.#named) if (this.#named.size > MOST_NAMES) this.#named.delete(name);
  }

  /** Counts now; who asks while it counts gets the same. @throws ServerError ERR_CLUSTER_DOWN */
  read(): Promise<readonly NamedCounts[]> {
    this.#counting ??= this.#read().finally(() => {
      this.#counting = undefined;
    });
    return this.#counting;
  }

  close(): void {
    clearInterval(this.#timer);
  }

  async #read(): Promise<readonly NamedCounts[]> {
    const worked = new Set(this.#parts.worked());
    const names = [...new Set([...worked, ...[...this.#named].reverse()])].slice(0, MOST_NAMES);
    try {
      const counts = await Promise.all(names.map((name) => this.#parts.counts(name)));
      const all = names.map((name, nth) => ({ name, isWorked: worked.has(name), ...(counts[nth] as JobCounts) }));
      this.#latest = all.sort((one, other) => (one.name < other.name ? -1 : 1));
      this.#why = '';
    } catch (error) {
      this.#latest = [];
      this.#why = (error as Error).message;
      throw error;
    }
    return this.#latest;
  }
}

/** An id begins with the name: to retry a job does not make its name known, for it is known by its jobs. */
function namesIn(call: JobCall): readonly string[] {
  if (call.method === 'enqueue') return [call.args[0]];
  if (call.method === 'enqueueMany') return call.args[0].map(({ name }) => name);
  if (call.method === 'schedule') return [call.args[2].name];
  return [];
}
