/**
 * Processes that end again and again by their own fault, the last reason, and the time of the next start. The
 * master keeps the manager's report of such an end until the process has lived long enough. Runs in the master.
 */
import type { CrashLoop } from '../control/controlled.js';
import type { CrashReport } from '../ipc/message.js';

/** The manager's id among the ids of processes. */
export const MANAGER_ID = -1;
/** From the second end in a row on: the first one may be an accident. */
const FEWEST_FAILURES = 2;

interface Known extends CrashLoop {
  /** Monotonic ms: a process that has lived until then is healthy. */
  readonly healthyAt: number;
}

export class CrashWatch {
  readonly #known = new Map<number, Known>();
  readonly #isThere: (id: number) => boolean;

  /** @param isThere true while a process of this id is ready */
  constructor(isThere: (id: number) => boolean) {
    this.#isThere = isThere;
  }

  /** A process has ended by its own fault. */
  ended({ nextInMs, healthyAfterMs, ...crash }: CrashReport): void {
    const now = Date.now();
    const healthyAt = performance.now() + nextInMs + healthyAfterMs;
    this.#known.set(crash.id, { ...crash, endedAt: now, nextAttemptAt: now + nextInMs, healthyAt });
  }

  /** New processes have come, by a reload or a new manager: counting begins anew. */
  forget(): void {
    this.#known.clear();
  }

  /** By id. */
  loops(): CrashLoop[] {
    const now = performance.now();
    for (const [id, { healthyAt }] of this.#known) if (now >= healthyAt && this.#isThere(id)) this.#known.delete(id);
    return [...this.#known.values()]
      .filter(({ failures }) => failures >= FEWEST_FAILURES)
      .sort((a, b) => a.id - b.id)
      .map(({ healthyAt: _, ...loop }) => loop);
  }
}
