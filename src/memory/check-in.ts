/** Records ten times a second that the event loop turns, and its delays. Runs in every process and reactor thread. */
import { type EventLoopUtilization, performance } from 'node:perf_hooks';
import { monotonicMs } from '../util/clock.js';
import { HeapTrim } from './heap-trim.js';
import { MallocTrim } from './malloc-trim.js';
import type { ProcessRecord } from './process-board.js';

const INTERVAL_MS = 100;
/** Check-ins between two of the costlier measurements. */
const LOOK_EVERY = 10;

export interface CheckInParts {
  readonly record: ProcessRecord;
  /** A thread has no resident memory of its own to report. */
  readonly isThread?: boolean;
  /** For how long in all the thread has slept where Node's event loop does not see it. */
  blockedMs?(): number;
  /** The loop turns again after it stood still so long that its stack was taken (stack-watch.ts). */
  stoodStill?(stoodMs: number, stack: string): void;
  /** Called about once a second with the memory of the process. */
  measured?(residentBytes: number): void;
}

export class CheckIn {
  readonly #parts: CheckInParts;
  readonly #heapTrim = new HeapTrim();
  readonly #mallocTrim = new MallocTrim();
  #timer: NodeJS.Timeout | undefined;
  #expectedAt = 0;
  #ticks = 0;
  #blockedMs = 0;
  #utilisation: EventLoopUtilization = performance.eventLoopUtilization();

  constructor(parts: CheckInParts) {
    this.#parts = parts;
    parts.record.stack = '';
  }

  start(): void {
    this.#expectedAt = performance.now() + INTERVAL_MS;
    const { record, isThread } = this.#parts;
    record.seenAt = monotonicMs();
    if (isThread !== true) record.residentBytes = residentBytes();
    this.#timer = setInterval(() => this.#tick(), INTERVAL_MS).unref();
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  #tick(): void {
    const { record } = this.#parts;
    const now = performance.now();
    const lateMs = Math.max(0, now - this.#expectedAt);
    record.seenAt = monotonicMs();
    record.loopWasLate(lateMs);
    const { stack } = record;
    if (stack !== '') {
      record.stack = ''; // else it would stand beside the next block as well
      this.#parts.stoodStill?.(Math.round(lateMs), stack);
    }
    this.#expectedAt = now + INTERVAL_MS;
    // Those that a block has swallowed count: else the figures of a loop that is blocked often would be seconds old.
    this.#ticks += 1 + Math.floor(lateMs / INTERVAL_MS);
    if (this.#ticks < LOOK_EVERY) return;
    this.#ticks = 0;
    this.#look();
  }

  #look(): void {
    const { record, isThread, measured } = this.#parts;
    const utilisation = performance.eventLoopUtilization();
    const blockedMs = this.#parts.blockedMs?.() ?? 0;
    const blocked = blockedMs - this.#blockedMs;
    const active = Math.max(0, utilisation.active - this.#utilisation.active - blocked);
    const idle = utilisation.idle - this.#utilisation.idle + blocked;
    record.loopRan(active, idle);
    this.#utilisation = utilisation;
    this.#blockedMs = blockedMs;
    void this.#trim(active / (active + idle));
    if (isThread === true) return;
    const bytes = residentBytes();
    record.residentBytes = bytes;
    measured?.(bytes);
  }

  async #trim(active: number): Promise<void> {
    this.#mallocTrim.look(await this.#heapTrim.look(active));
  }
}

/** Node reads it from /proc; in a `chroot` without /proc, the peak of the process stands in. */
function residentBytes(): number {
  try {
    return process.memoryUsage.rss();
  } catch {
    return process.resourceUsage().maxRSS * 1024;
  }
}
