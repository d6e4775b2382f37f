/**
 * A reload: every worker is replaced by one that runs the script as it is now. The new ones boot while the old ones
 * serve; only when all are ready do they take over, so a script that does not boot changes nothing. Runs in the manager.
 */
import type { Log } from '../util/log.js';
import type { Seat } from './seat.js';
import type { WorkerHandle } from './worker-handle.js';

export interface ReloadParts {
  readonly seats: readonly Seat[];
  readonly log: Log;
  readonly callbacks: {
    readonly beforeReload?: (() => unknown) | undefined;
    readonly afterReload?: (() => unknown) | undefined;
  };
  nextGeneration(): number;
  completed(): void;
  failed(): void;
  changed(): void;
}

/** idle → announcing (beforeReload runs) → booting (the new ones) → leaving (the old ones) → idle */
type Phase = 'idle' | 'announcing' | 'booting' | 'leaving';

export class Reload {
  readonly #parts: ReloadParts;
  #phase: Phase = 'idle';
  #generation = 0;
  /** Asked for while one was running: what changed since must take effect, so another follows. */
  #again = false;

  constructor(parts: ReloadParts) {
    this.#parts = parts;
  }

  request(): void {
    if (this.#phase !== 'idle') {
      this.#again = true;
      return;
    }
    this.#phase = 'announcing';
    void this.#announce();
  }

  /** A worker that is ready waits for the others, unless nobody serves in its place. */
  holdsBack(seat: Seat): boolean {
    return this.#phase === 'booting' && seat.serving !== undefined;
  }

  wants(seat: Seat): boolean {
    return this.#phase === 'booting' && !this.#hasNew(seat);
  }

  /** Called at every step of the manager. */
  advance(): void {
    if (this.#phase === 'booting' && this.#parts.seats.every((seat) => this.#isReady(seat))) {
      this.#phase = 'leaving';
      this.#parts.changed();
      return;
    }
    const { seats } = this.#parts;
    if (this.#phase !== 'leaving') return;
    if (seats.some((seat) => seat.serving?.generation !== this.#generation && !this.#isMissing(seat))) return;
    if (seats.some((seat) => seat.leaving.size > 0)) return;
    this.#phase = 'idle';
    void this.#finish();
  }

  /** A new worker did not get ready: the old ones go on. */
  bootFailed(handle: WorkerHandle): void {
    if (this.#phase !== 'booting' || handle.generation !== this.#generation) return;
    const { log, seats } = this.#parts;
    const reason = handle.lastError?.message ?? `worker ${handle.id} ended before it was ready`;
    log.error('the reload failed, the old workers go on serving', { generation: this.#generation, reason });
    this.#phase = 'idle';
    this.#parts.failed();
    for (const seat of seats) if (seat.coming !== undefined && seat.serving !== undefined) discard(seat.coming);
    if (!this.#again) return;
    this.#again = false;
    this.request();
  }

  async #announce(): Promise<void> {
    const { seats, log } = this.#parts;
    await this.#callUser('beforeReload');
    this.#generation = this.#parts.nextGeneration();
    log.info('reload: starting new workers', { generation: this.#generation });
    this.#phase = 'booting';
    for (const seat of seats) {
      if (seat.coming !== undefined) discard(seat.coming);
      seat.spawnAt = 0;
      seat.backoff.reset();
    }
    this.#parts.changed();
  }

  async #finish(): Promise<void> {
    this.#parts.completed();
    this.#parts.log.info('reload: done', { generation: this.#generation });
    await this.#callUser('afterReload');
    if (!this.#again) return;
    this.#again = false;
    this.request();
  }

  #hasNew(seat: Seat): boolean {
    return seat.serving?.generation === this.#generation;
  }

  #isReady(seat: Seat): boolean {
    if (this.#hasNew(seat)) return true;
    return seat.coming?.generation === this.#generation && seat.coming.state === 'ready';
  }

  /** Died meanwhile and is being replaced: the replacement is new by itself. */
  #isMissing(seat: Seat): boolean {
    return seat.serving === undefined && (seat.coming === undefined || seat.coming.generation === this.#generation);
  }

  async #callUser(name: 'beforeReload' | 'afterReload'): Promise<void> {
    try {
      await this.#parts.callbacks[name]?.();
    } catch (error) {
      this.#parts.log.error(`the '${name}' callback failed`, { error });
    }
  }
}

function discard(handle: WorkerHandle): void {
  handle.isSurplus = true;
  handle.process?.kill('SIGKILL');
}
