/**
 * Gives back what malloc keeps when the whole process, all threads, has become quiet: glibc keeps what was freed in the midst
 * of an arena, such as the queues of clients that were behind. Runs in every process and reactor thread: each has its own garbage.
 */
import { libc } from '../os/libc.js';
import { monotonicMs } from '../util/clock.js';

/** Of one core: malloc in another thread waits while its arena is looked through, so none is to be at work. */
const QUIET = 0.05;
/** By then reactors have let go what they had kept for use again, and their garbage is collected, or will be (`HeapTrim`). */
const QUIET_LOOKS = 4;
/** It takes 0.2 ms where there is nothing, and 0.08 ms per MiB. From one to the next, in times of what it took; at least. */
const RESTS = 500;
const SHORTEST_REST_MS = 2000;

export interface MallocTrimParts {
  trim(): void;
  /** Of all threads of the process, since its start. */
  cpuMs(): number;
  now(): number;
}

export class MallocTrim {
  readonly #parts: MallocTrimParts;
  #isDue = true;
  #quietLooks = 0;
  #lastCpuMs: number;
  #lastAt: number;
  #nextAt = Number.NEGATIVE_INFINITY;

  constructor(parts: Partial<MallocTrimParts> = {}) {
    this.#parts = { trim: () => void libc.malloc_trim?.(0), cpuMs: processCpuMs, now: monotonicMs, ...parts };
    this.#lastCpuMs = this.#parts.cpuMs();
    this.#lastAt = this.#parts.now();
  }

  /** Called about once a second. @param hasCollected this thread has just collected its garbage */
  look(hasCollected: boolean): void {
    const { cpuMs, now, trim } = this.#parts;
    const isQuiet = this.#share(cpuMs(), now()) < QUIET;
    this.#quietLooks = isQuiet ? this.#quietLooks + 1 : 0;
    if (!isQuiet || hasCollected) this.#isDue = true;
    if (!this.#isDue || this.#quietLooks < QUIET_LOOKS || now() < this.#nextAt) return;
    this.#isDue = false;
    const began = now();
    trim();
    this.#nextAt = now() + Math.max((now() - began) * RESTS, SHORTEST_REST_MS);
  }

  /** Of one core, since the last look. */
  #share(cpuMs: number, at: number): number {
    const share = (cpuMs - this.#lastCpuMs) / (at - this.#lastAt);
    this.#lastCpuMs = cpuMs;
    this.#lastAt = at;
    return share;
  }
}

function processCpuMs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}
