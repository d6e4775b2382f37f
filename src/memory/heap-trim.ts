/**
 * Gives memory back when a process has become quiet. V8 keeps what a busy moment has made it take, boot and a rush of
 * handshakes among them: its young generation grows, and never shrinks by itself. Runs in every process.
 */
import { getHeapStatistics } from 'node:v8';
import { monotonicMs } from '../util/clock.js';
import { importModule } from '../util/import-module.js';

/** Of a second in which the event loop was at work. */
const QUIET = 0.02;
const BUSY = 0.05;
/** A collection stops the process for about 1 ms per MiB in use: more than this is not worth it. */
const MOST_BYTES = 64 * 2 ** 20;
/** What V8 has taken and does not use. */
const FEWEST_BYTES = 2 * 2 ** 20;
/** From one collection to the next, in times of what it took; at least, at most. */
const RESTS = 500;
const SHORTEST_REST_MS = 2000;
const LONGEST_REST_MS = 60_000;

export interface HeapTrimParts {
  /** A full collection after which V8 returns what it does not use. */
  collect(): Promise<void>;
  statistics(): { readonly used_heap_size: number; readonly total_heap_size: number };
  now(): number;
}

export class HeapTrim {
  readonly #parts: HeapTrimParts;
  #isDue = true;
  #wasQuiet = false;
  #nextAt = Number.NEGATIVE_INFINITY;

  constructor(parts: Partial<HeapTrimParts> = {}) {
    this.#parts = { collect: collectGarbage, statistics: getHeapStatistics, now: monotonicMs, ...parts };
  }

  /** Called about once a second. @param active the share of it in which the event loop was at work, 0 … 1 */
  async look(active: number): Promise<void> {
    if (active >= BUSY) this.#isDue = true;
    const isQuiet = active < QUIET;
    const hasBecomeQuiet = isQuiet && this.#wasQuiet;
    this.#wasQuiet = isQuiet;
    if (!hasBecomeQuiet || !this.#isDue || this.#parts.now() < this.#nextAt) return;
    this.#isDue = false;
    const { used_heap_size: used, total_heap_size: taken } = this.#parts.statistics();
    if (used > MOST_BYTES || taken - used < FEWEST_BYTES) return;
    const { collect, now } = this.#parts;
    const began = now();
    this.#nextAt = Number.POSITIVE_INFINITY; // also for a Node without inspector
    try {
      await collect();
    } catch {
      return;
    }
    const rest = Math.min(Math.max((now() - began) * RESTS, SHORTEST_REST_MS), LONGEST_REST_MS);
    this.#nextAt = now() + rest;
  }
}

/** V8's answer to memory pressure, of which `gc()` is but a part. Does nothing in a process that is being debugged. */
async function collectGarbage(): Promise<void> {
  const { Session, url } = await importModule<typeof import('node:inspector')>('node:inspector');
  if (url() !== undefined) return;
  const session = new Session();
  session.connect();
  await new Promise<void>((resolve) => session.post('HeapProfiler.collectGarbage', () => resolve()));
  session.disconnect();
}
