/**
 * Gives memory back when a process or thread has become quiet. V8 keeps what a busy moment has made it take, boot and a rush of
 * handshakes among them: its young generation grows, and never shrinks by itself. Runs in every process and reactor thread.
 */
import { getHeapStatistics } from 'node:v8';
import { monotonicMs } from '../util/clock.js';
import { importModule } from '../util/import-module.js';

/** Of a second in which the event loop was at work. */
const QUIET = 0.02;
const BUSY = 0.05;
/** A collection stops the process for about 1 ms per MiB in use: more than this is not worth it. */
const MOST_BYTES = 64 * 2 ** 20;
/**
 * What V8 has taken and does not use; or what buffers outside of its heap have grown by since the last collection: those of
 * clients that were behind are garbage now, and seem small to V8.
 */
const FEWEST_BYTES = 2 ** 20;
const MUCH_BYTES = 32 * 2 ** 20;
/** From one collection to the next, in times of what it took; before one that may bring much; at least, at most. */
const RESTS = 500;
const RESTS_BEFORE_MUCH = 100;
const SHORTEST_REST_MS = 2000;
const LONGEST_REST_MS = 60_000;

type Statistics = Record<'used_heap_size' | 'total_heap_size' | 'external_memory', number>;

export interface HeapTrimParts {
  /** A full collection after which V8 returns what it does not use. @returns how long it took, in ms */
  collect(): Promise<number>;
  statistics(): Statistics;
  now(): number;
}

export class HeapTrim {
  readonly #parts: HeapTrimParts;
  #isDue = true;
  #wasQuiet = false;
  /** After the last collection. */
  #externalBytes = 0;
  #collectedAt = Number.NEGATIVE_INFINITY;
  #tookMs = 0;

  constructor(parts: Partial<HeapTrimParts> = {}) {
    this.#parts = { collect: collectGarbage, statistics: getHeapStatistics, now: monotonicMs, ...parts };
  }

  /** Called about once a second. @param active the share of it in which the event loop was at work, 0 … 1 @returns whether it has collected */
  async look(active: number): Promise<boolean> {
    if (active >= BUSY) this.#isDue = true;
    const isQuiet = active < QUIET;
    const hasBecomeQuiet = isQuiet && this.#wasQuiet;
    this.#wasQuiet = isQuiet;
    if (!hasBecomeQuiet || !this.#isDue) return false;
    const { collect, statistics, now } = this.#parts;
    const { used_heap_size: used, total_heap_size: taken, external_memory: external } = statistics();
    const unused = Math.max(taken - used, external - this.#externalBytes);
    if (now() - this.#collectedAt < this.#restMs(unused)) return false;
    this.#isDue = false;
    if (used > MOST_BYTES || unused < FEWEST_BYTES) return false;
    this.#collectedAt = Number.POSITIVE_INFINITY; // also for a Node without inspector
    try {
      this.#tookMs = await collect();
    } catch {
      return false;
    }
    this.#collectedAt = now();
    this.#externalBytes = statistics().external_memory;
    return true;
  }

  #restMs(unused: number): number {
    const rests = unused < MUCH_BYTES ? RESTS : RESTS_BEFORE_MUCH;
    return Math.min(Math.max(this.#tookMs * rests, SHORTEST_REST_MS), LONGEST_REST_MS);
  }
}

/** V8's answer to memory pressure, of which `gc()` is but a part. Does nothing in a process that is being debugged. */
async function collectGarbage(): Promise<number> {
  const { Session, url } = await importModule<typeof import('node:inspector')>('node:inspector');
  if (url() !== undefined) return 0;
  const began = monotonicMs();
  const session = new Session();
  session.connect();
  await new Promise<void>((resolve) => session.post('HeapProfiler.collectGarbage', () => resolve()));
  session.disconnect();
  return monotonicMs() - began;
}
