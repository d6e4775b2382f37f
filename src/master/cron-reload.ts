/** Reloads at the times of the option `cronReload`. Runs in the master. */
import { type Clock, systemClock, type TimerHandle } from '../util/clock.js';
import { type CronSchedule, localZone, nextOf, parseCron, type Zone } from '../util/cron.js';
import type { Log } from '../util/log.js';

/** How long it waits at most before it looks at the wall clock again, which may have been set. */
const LOOK_MS = 60_000;
/** A wall clock set back by less does not repeat what it has done. */
const SMALL_STEP_MS = 3 * 3_600_000;

/** What a running server has of it. */
export interface ReloadsByClock extends Pick<CronReloadParts, 'log' | 'isReloading' | 'reload'> {
  /** The option `cronReload`. */
  readonly expression: string;
}

export interface CronReloadParts {
  readonly schedule: CronSchedule;
  readonly log: Log;
  readonly clock: Clock;
  /** The wall clock: ms since 1970. */
  wallMs(): number;
  readonly zone?: Zone;
  isReloading(): boolean;
  reload(): Promise<unknown>;
}

export class CronReload {
  readonly #parts: CronReloadParts;
  #timer: TimerHandle;
  #lookedAt: number;
  #ranAt = Number.NEGATIVE_INFINITY;
  #dueAt: number;

  constructor(parts: CronReloadParts) {
    this.#parts = parts;
    this.#lookedAt = parts.wallMs();
    this.#dueAt = this.#after(this.#lookedAt);
  }

  /** @returns undefined without an expression */
  static start({ expression, ...parts }: ReloadsByClock): CronReload | undefined {
    const schedule = parseCron(expression);
    if (schedule === undefined) return undefined;
    const cron = new CronReload({ ...parts, schedule, clock: systemClock, wallMs: Date.now });
    cron.start();
    return cron;
  }

  start(): void {
    this.#parts.log.info('reloads by the clock', { next: new Date(this.#dueAt).toISOString() });
    this.#wait();
  }

  stop(): void {
    this.#parts.clock.clearTimeout(this.#timer);
  }

  #wait(): void {
    const { clock, wallMs } = this.#parts;
    const ms = Math.min(LOOK_MS, Math.max(1, this.#dueAt - wallMs()));
    this.#timer = clock.setTimeout(() => this.#look(), ms);
  }

  #look(): void {
    const now = this.#parts.wallMs();
    if (now >= this.#dueAt) {
      this.#ranAt = now;
      this.#dueAt = this.#after(now);
      this.#act();
    } else if (now < this.#lookedAt) {
      const isSmall = this.#ranAt - now < SMALL_STEP_MS;
      this.#dueAt = this.#after(isSmall ? Math.max(now, this.#ranAt) : now);
    }
    this.#lookedAt = now;
    this.#wait();
  }

  #act(): void {
    const { log, isReloading, reload } = this.#parts;
    if (isReloading()) return log.warn('a reload is running, the one of cronReload is skipped');
    log.info('it is the time of cronReload, reloading', { next: new Date(this.#dueAt).toISOString() });
    reload().catch((error: unknown) => log.warn('the reload of cronReload failed', { error }));
  }

  /** A schedule without a time in 41 years is refused with the options. */
  #after(ms: number): number {
    const { schedule, zone = localZone } = this.#parts;
    return nextOf(schedule, ms, zone) ?? Number.POSITIVE_INFINITY;
  }
}
