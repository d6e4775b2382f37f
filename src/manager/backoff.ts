/** Pause before the respawn of a worker, by its deaths in a row. The first respawn comes at once. */
const DELAYS_MS = [0, 100, 300, 1000, 3000, 9000, 27_000, 30_000];

/** A worker that lived this long was healthy: the count starts again. */
export const HEALTHY_UPTIME_MS = 5000;

export interface WorkerEnd {
  readonly wasReady: boolean;
  readonly uptimeMs: number;
  readonly exitCode: number;
  /** 0: it exited by itself. */
  readonly signal: number;
}

/** Signals from outside: they are not the script's fault. */
export const FROM_OUTSIDE: ReadonlySet<number> = new Set([1, 2, 9, 15]);

/** Counts the deaths in a row that are the worker's own fault. */
export class Backoff {
  #failures = 0;

  /** @returns how long to wait before the next start, in ms */
  ended(end: WorkerEnd): number {
    const killed = end.wasReady && FROM_OUTSIDE.has(end.signal);
    const left = end.wasReady && end.exitCode === 0 && end.signal === 0 && end.uptimeMs >= HEALTHY_UPTIME_MS;
    if (killed || left) return 0;
    if (end.wasReady && end.uptimeMs >= HEALTHY_UPTIME_MS) this.#failures = 0;
    const delay = DELAYS_MS[Math.min(this.#failures, DELAYS_MS.length - 1)] ?? 0;
    this.#failures++;
    return delay;
  }

  /** Deaths in a row that were its own fault. */
  get failures(): number {
    return this.#failures;
  }

  reset(): void {
    this.#failures = 0;
  }
}
