/**
 * What each process, and each reactor thread, tells of itself: how long its callbacks take, how its event loop does,
 * when it was last seen. Kept in shared memory, so that reading it costs nobody a message and works when a process hangs.
 *
 * ```
 * record (4 KiB), float64:  0 callbacks by duration   24 their seconds
 *                          25 delays of the loop      49 their seconds
 *                          50 loop active, seconds    51 loop idle, seconds   52 utilisation 0–1
 *                          53 last seen, monotonic ms 54 resident bytes
 * from byte 512:           int32 length, then UTF-8: the stack of a loop that stands still
 * ```
 * One record per peer (a process id has two: see `peerOf`), then one per reactor thread. Each has one writer at a time,
 * and counters go on where the process before has left them.
 */
import { monotonicMs } from '../util/clock.js';
import { PROCESS_RECORD_BYTES, peerNum } from './layout.js';
import type { Region } from './region.js';

export const BUCKETS = 24;
const FIRST_BOUND_MICROSECONDS = 16;
/** Upper bounds in seconds, each twice the one before; the last bucket has none. */
export const bucketBounds: readonly number[] = Array.from(
  { length: BUCKETS - 1 },
  (_, index) => (FIRST_BOUND_MICROSECONDS * 2 ** index) / 1e6,
);

const CALLBACKS = 0;
const LOOP_DELAYS = 25;
const LOOP_ACTIVE = 50;
const LOOP_IDLE = 51;
const LOOP_UTILISATION = 52;
const SEEN_AT = 53;
const RESIDENT = 54;
const STACK_AT_BYTES = 512;
const STACK_BYTES = PROCESS_RECORD_BYTES - STACK_AT_BYTES - 4;

/** A loop that has not turned for so long has been at work for the last second. */
const STANDS_STILL_MS = 1200;

export interface Histogram {
  /** By bucket; not cumulative. */
  readonly counts: readonly number[];
  readonly seconds: number;
}

export class ProcessRecord {
  readonly #float64: Float64Array;
  readonly #int32: Int32Array;
  readonly #bytes: Buffer;
  readonly #at: number;

  private constructor(region: Region, index: number) {
    this.#float64 = region.float64;
    this.#int32 = region.int32;
    this.#bytes = region.bytes;
    this.#at = region.layout.processesAt + index * PROCESS_RECORD_BYTES;
  }

  static ofPeer(region: Region, peer: number): ProcessRecord {
    return new ProcessRecord(region, peer);
  }

  static ofReactor(region: Region, reactor: number): ProcessRecord {
    return new ProcessRecord(region, peerNum(region.shape) + reactor);
  }

  callbackTook(ms: number): void {
    this.#count(CALLBACKS, ms);
  }

  loopWasLate(ms: number): void {
    this.#count(LOOP_DELAYS, ms);
  }

  get callbacks(): Histogram {
    return this.#histogram(CALLBACKS);
  }

  get loopDelays(): Histogram {
    return this.#histogram(LOOP_DELAYS);
  }

  /** @param activeMs and idleMs since the last call */
  loopRan(activeMs: number, idleMs: number): void {
    this.#add(LOOP_ACTIVE, activeMs / 1000);
    this.#add(LOOP_IDLE, idleMs / 1000);
    this.#set(LOOP_UTILISATION, activeMs + idleMs === 0 ? 0 : activeMs / (activeMs + idleMs));
  }

  get loopActiveSeconds(): number {
    return this.#get(LOOP_ACTIVE);
  }

  get loopIdleSeconds(): number {
    return this.#get(LOOP_IDLE);
  }

  /** Share of the last second in which the loop was at work: all of it, where it stands still. */
  get loopUtilisation(): number {
    return this.seenAt !== 0 && monotonicMs() - this.seenAt > STANDS_STILL_MS ? 1 : this.#get(LOOP_UTILISATION);
  }

  /** When its event loop last turned, in ms of `monotonicMs()`; 0: nobody has begun. */
  get seenAt(): number {
    return this.#get(SEEN_AT);
  }
  set seenAt(ms: number) {
    this.#set(SEEN_AT, ms);
  }

  get residentBytes(): number {
    return this.#get(RESIDENT);
  }
  set residentBytes(bytes: number) {
    this.#set(RESIDENT, bytes);
  }

  /** Where its loop stands still; empty when nobody could find out. */
  get stack(): string {
    const at = this.#at + STACK_AT_BYTES;
    const length = Atomics.load(this.#int32, at / 4);
    return this.#bytes.toString('utf8', at + 4, at + 4 + length);
  }
  set stack(text: string) {
    const at = this.#at + STACK_AT_BYTES;
    Atomics.store(this.#int32, at / 4, 0);
    const length = this.#bytes.write(text, at + 4, STACK_BYTES, 'utf8');
    Atomics.store(this.#int32, at / 4, length);
  }

  #count(histogram: number, ms: number): void {
    const microseconds = ms * 1000;
    const above = microseconds <= FIRST_BOUND_MICROSECONDS ? 0 : Math.min(Math.ceil(microseconds) - 1, 0x7fffffff) >> 4;
    const bucket = Math.min(32 - Math.clz32(above), BUCKETS - 1);
    const at = this.#at / 8 + histogram;
    this.#float64[at + bucket] = (this.#float64[at + bucket] ?? 0) + 1;
    this.#float64[at + BUCKETS] = (this.#float64[at + BUCKETS] ?? 0) + ms / 1000;
  }

  #histogram(index: number): Histogram {
    const at = this.#at / 8 + index;
    return { counts: Array.from(this.#float64.subarray(at, at + BUCKETS)), seconds: this.#float64[at + BUCKETS] ?? 0 };
  }

  #get(index: number): number {
    return this.#float64[this.#at / 8 + index] ?? 0;
  }

  #set(index: number, value: number): void {
    this.#float64[this.#at / 8 + index] = value;
  }

  #add(index: number, amount: number): void {
    this.#set(index, this.#get(index) + amount);
  }
}

export function addHistograms(histograms: readonly Histogram[]): Histogram {
  const counts = Array.from({ length: BUCKETS }, (_, bucket) =>
    histograms.reduce((sum, { counts: own }) => sum + (own[bucket] ?? 0), 0),
  );
  return { counts, seconds: histograms.reduce((sum, { seconds }) => sum + seconds, 0) };
}

/** In seconds: the upper bound of the bucket in which that share of all lies; 0 when there was nothing. */
export function quantile({ counts }: Histogram, share: number): number {
  const total = counts.reduce((sum, count) => sum + count, 0);
  let seen = 0;
  for (const [bucket, count] of counts.entries()) {
    seen += count;
    if (total > 0 && seen >= total * share) return bucketBounds[bucket] ?? (bucketBounds.at(-1) ?? 0) * 2;
  }
  return 0;
}
