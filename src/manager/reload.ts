/**
 * A reload: every worker is replaced by one that runs the script as it is now. The new ones boot while the old ones
 * serve, and take over only when all are ready, so a script that does not boot changes nothing. A new process that crashes
 * before the reload is complete makes it fail, too. Runs in the manager.
 */
import { ServerError } from '../errors/index.js';
import type { Clock, TimerHandle } from '../util/clock.js';
import type { Log } from '../util/log.js';
import { FROM_OUTSIDE } from './backoff.js';
import { reasonOf } from './end-reason.js';
import type { Seat } from './seat.js';
import type { WorkerHandle } from './worker-handle.js';

export interface ReloadParts {
  /** All current seats. */
  seats(): readonly Seat[];
  readonly log: Log;
  readonly clock: Clock;
  /** For each of the callbacks. */
  readonly callbackTimeoutMs: number;
  readonly callbacks: {
    readonly beforeReload?: (() => unknown) | undefined;
    readonly afterReload?: (() => unknown) | undefined;
  };
  nextGeneration(): number;
  /** For processes that ask whether a reload is running. */
  setRunning(is: boolean): void;
  /** @param request the last one this reload has carried out @param needsRestart what the script has changed that it does not apply */
  completed(request: number, needsRestart: readonly string[]): void;
  /** @param generation that of the new workers, where they have taken over: the old ones are gone */
  failed(request: number, why: string, generation?: number): void;
  changed(): void;
}

/** Which processes are replaced. */
export type ReloadScope = 'tasks' | 'all';

export function widest(one: ReloadScope | undefined, other: ReloadScope): ReloadScope {
  return one === 'all' ? 'all' : other;
}

/** idle → announcing (beforeReload runs) → booting (the new ones) → leaving (the old ones) → idle */
type Phase = 'idle' | 'announcing' | 'booting' | 'leaving';

export class Reload {
  readonly #parts: ReloadParts;
  #phase: Phase = 'idle';
  #generation = 0;
  /** Requested while a reload was running: the changes since must take effect, so another one follows. */
  #again: ReloadScope | undefined;
  /** The request numbers that wait for the running reload, and for the next one; 0: none. */
  #request = 0;
  #requestOfNext = 0;
  /** How the first new process ended that crashed after the new ones had taken over. */
  #crash: string | undefined;
  /** The seats this reload is about. */
  #seats: readonly Seat[] = [];

  constructor(parts: ReloadParts) {
    this.#parts = parts;
  }

  request(scope: ReloadScope, request = 0): void {
    if (this.#phase !== 'idle') {
      this.#again = widest(this.#again, scope);
      this.#requestOfNext = Math.max(this.#requestOfNext, request);
      return;
    }
    this.#request = request;
    this.#setPhase('announcing');
    void this.#announce(scope);
  }

  get isRunning(): boolean {
    return this.#phase !== 'idle';
  }

  /** A ready worker waits for the others, unless no process serves in its place. */
  holdsBack(seat: Seat): boolean {
    return this.#phase === 'booting' && seat.serving !== undefined && this.#seats.includes(seat);
  }

  wants(seat: Seat): boolean {
    return this.#phase === 'booting' && this.#seats.includes(seat) && !this.#hasNew(seat);
  }

  /** Called at every step of the manager. */
  advance(): void {
    if (this.#phase === 'booting' && this.#seats.every((seat) => this.#isReady(seat))) {
      this.#phase = 'leaving';
      this.#parts.changed();
      return;
    }
    const seats = this.#seats;
    if (this.#phase !== 'leaving') return;
    if (seats.some((seat) => seat.serving?.generation !== this.#generation && !this.#isMissing(seat))) return;
    if (seats.some((seat) => seat.leaving.size > 0)) return;
    if (seats.some(({ serving }) => serving?.lastError !== undefined)) return; // it dies: `ended` follows
    this.#setPhase('idle');
    void this.#finish([...new Set(seats.flatMap(({ serving }) => serving?.needsRestart ?? []))]);
  }

  /** A new process that did not get ready, or crashed then: the old ones stay, where they are there still. */
  ended(handle: WorkerHandle, wasBooting: boolean): void {
    if (handle.generation !== this.#generation || !this.#seats.some(({ id }) => id === handle.id)) return;
    if (!wasBooting && !hasCrashed(handle)) return;
    if (this.#phase === 'leaving') this.#crash ??= reasonOf(handle);
    if (this.#phase !== 'booting') return;
    const seats = this.#seats;
    this.#fail(reasonOf(handle), () => {
      for (const { coming, serving } of seats) if (coming !== undefined && serving !== undefined) coming.discard();
    });
  }

  #fail(reason: string, undo: () => void = () => {}): void {
    const { log } = this.#parts;
    log.error('the reload failed, the old workers continue to serve', { generation: this.#generation, reason });
    this.#setPhase('idle');
    undo();
    this.#parts.failed(this.#request, reason);
    this.#requestAgain();
  }

  #requestAgain(): void {
    const scope = this.#again;
    const request = this.#requestOfNext;
    this.#again = undefined;
    this.#requestOfNext = 0;
    if (scope !== undefined) this.request(scope, request);
  }

  async #announce(scope: ReloadScope): Promise<void> {
    const { log } = this.#parts;
    const late = await this.#callUser('beforeReload');
    if (late !== undefined) return this.#fail(`${late.code}: ${late.message}`);
    this.#generation = this.#parts.nextGeneration();
    const seats = this.#parts.seats().filter(({ outlivesReloads }) => !outlivesReloads);
    this.#seats = scope === 'all' ? seats : seats.filter(({ role }) => role === 'task');
    const which = scope === 'all' ? 'workers' : 'task workers';
    log.info(`reload: starting new ${which}`, { generation: this.#generation });
    this.#phase = 'booting';
    this.#crash = undefined;
    for (const seat of this.#seats) {
      if (seat.coming !== undefined) seat.coming.discard();
      seat.spawnAt = 0;
      seat.backoff.reset();
    }
    this.#parts.changed();
  }

  async #finish(needsRestart: readonly string[]): Promise<void> {
    const { log } = this.#parts;
    const generation = this.#generation;
    if (this.#crash === undefined) {
      this.#parts.completed(this.#request, needsRestart);
      log.info('reload: done', { generation });
    } else {
      this.#parts.failed(this.#request, this.#crash, generation);
      log.error('the reload is done, and a new process has crashed since', { generation, reason: this.#crash });
    }
    if (needsRestart.length > 0) log.warn('the script has changed what only a restart applies', { needsRestart });
    const late = await this.#callUser('afterReload');
    if (late !== undefined) log.error('the reload is done, its callback is not', { error: late });
    this.#requestAgain();
  }

  #hasNew(seat: Seat): boolean {
    return seat.serving?.generation === this.#generation;
  }

  #isReady(seat: Seat): boolean {
    if (this.#hasNew(seat)) return true;
    const { coming } = seat;
    return coming?.generation === this.#generation && coming.state === 'ready' && coming.lastError === undefined;
  }

  /** Died meanwhile and is being replaced: the replacement is new anyway. */
  #isMissing(seat: Seat): boolean {
    return seat.serving === undefined && (seat.coming === undefined || seat.coming.generation === this.#generation);
  }

  #setPhase(phase: 'announcing' | 'idle'): void {
    this.#phase = phase;
    this.#parts.setRunning(this.isRunning);
  }

  /** @returns an error where it is not done in time; one that throws is done */
  async #callUser(event: 'beforeReload' | 'afterReload'): Promise<ServerError | undefined> {
    const { clock, callbackTimeoutMs: timeoutMs, callbacks, log } = this.#parts;
    let timer: TimerHandle;
    const late = new Promise<ServerError>((resolve) => {
      timer = clock.setTimeout(() => resolve(new ServerError('ERR_RELOAD_CALLBACK', { event, timeoutMs })), timeoutMs);
    });
    const done = async (): Promise<undefined> => {
      try {
        await callbacks[event]?.();
      } catch (error) {
        log.error(`the '${event}' callback failed`, { error });
      }
    };
    try {
      return await Promise.race([done(), late]);
    } finally {
      clock.clearTimeout(timer);
    }
  }
}

/** Not what was asked of it, nor a signal from outside. A process of the user's may have nothing more to do. */
function hasCrashed({ role, reason, exitCode, signal }: WorkerHandle): boolean {
  if (reason !== undefined || FROM_OUTSIDE.has(signal)) return false;
  return signal !== 0 || exitCode !== 0 || role !== 'user';
}
