/**
 * Finds processes whose event loop stands still. Runs in the manager; the processes publish their turns in shared
 * memory.
 */
import type { Log } from '../util/log.js';
import type { WorkerHandle } from './worker-handle.js';

export interface WatchdogParts {
  readonly timeoutMs: number;
  readonly log: Log;
  /** The processes to be watched. */
  handles(): readonly WorkerHandle[];
  /** When the loop of that process last turned, and the stack that was taken since, if any. Monotonic ms; 0: not yet. */
  look(handle: WorkerHandle): { readonly seenAt: number; readonly stack: string };
  /** Monotonic ms. */
  now(): number;
}

const LOOKS_PER_TIMEOUT = 4;
/** A process whose stack is not there yet gets N ms more: on a busy machine its second thread gets no CPU. */
const STACK_GRACE_MS = 2000;

export class Watchdog {
  readonly #parts: WatchdogParts;
  readonly intervalMs: number;
  #lookedAt: number;

  constructor(parts: WatchdogParts) {
    this.#parts = parts;
    this.intervalMs = Math.max(100, Math.floor(parts.timeoutMs / LOOKS_PER_TIMEOUT));
    this.#lookedAt = parts.now();
  }

  /** To be called every `intervalMs`. */
  look(): void {
    const { timeoutMs, handles, look, now } = this.#parts;
    const at = now();
    // If the manager did not run either, the machine was busy or asleep: the workers get another chance.
    const wasLate = at - this.#lookedAt > 2 * this.intervalMs;
    this.#lookedAt = at;
    if (wasLate) return;
    for (const handle of handles()) {
      const { seenAt, stack } = look(handle);
      if (seenAt === 0 || handle.reason === 'hang') continue;
      const stoodMs = at - seenAt;
      if (stoodMs >= (stack === '' ? timeoutMs + STACK_GRACE_MS : timeoutMs)) this.#end(handle, stoodMs, stack);
    }
  }

  #end(handle: WorkerHandle, stoodMs: number, stack: string): void {
    const fields = { childPid: handle.pid, stoodMs: Math.round(stoodMs), ...(stack === '' ? {} : { stack }) };
    this.#parts.log.error(`${handle.name} hangs: its event loop stands still, it is killed and replaced`, fields);
    handle.reason = 'hang';
    handle.stack = stack;
    handle.process?.kill('SIGKILL');
  }
}
