/**
 * The figures that each process, and each reactor thread, publishes: durations of its callbacks, delays of its event loop,
 * when it was last seen. They lie in shared memory, so that readers send no message, and can read them when a process hangs.
 *
 * One record per peer (a process id has two: see `peerOf`), then one per reactor thread. Each has one writer at a time, and
 * counters continue where the previous process left them.
 */
import { monotonicMs } from '../util/clock.js';
import { PROCESS_RECORD_BYTES, peerNum } from './layout.js';
import { float64, int32, layoutRecord } from './record.js';
import type { Region } from './region.js';

export const BUCKETS = 24;
const FIRST_BOUND_MICROSECONDS = 16;
/** Upper bounds in seconds, each twice the one before; the last bucket has none. */
export const bucketBounds: readonly number[] = Array.from(
  { length: BUCKETS - 1 },
  (_, index) => (FIRST_BOUND_MICROSECONDS * 2 ** index) / 1e6,
);

/** Counts by bucket, then their seconds. */
const HISTOGRAM = BUCKETS + 1;

/** Seconds; a power of two. */
const LONGEST_KEPT = 16;

const layout = layoutRecord(
  {
    callbacks: float64(HISTOGRAM),
    /** Delays of the loop. */
    loopDelays: float64(HISTOGRAM),
    /** Seconds. */
    loopActive: float64(),
    /** 0 to 1. */
    loopUtilisation: float64(),
    /** In ms of `monotonicMs()`. */
    seenAt: float64(),
    residentBytes: float64(),
    /** Of the seconds in which callbacks ended last: which second, and the longest of its callbacks in ms. */
    longest: float64(2 * LONGEST_KEPT),
    /** Connections for which it holds something without a place in their records: see `holders.ts`. */
    holds: int32(),
    /** Bytes of the stack of a blocked loop; its text, in UTF-8, fills the rest of the record. */
    stackLength: int32(),
  },
  PROCESS_RECORD_BYTES,
);
const record = layout.at;
const STACK_BYTES = PROCESS_RECORD_BYTES - layout.usedBytes;

/** A loop that has not turned for this time stands still: it checks in several times a second. */
export const STANDS_STILL_MS = 1200;

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
    this.#count(record.callbacks, ms);
    this.#noteLongest(ms);
  }

  /** By the second in which the loop has turned last: to ask the clock for each callback would cost more. */
  #noteLongest(ms: number): void {
    const second = Math.floor(this.#get(record.seenAt) / 1000);
    const at = this.#at / 8 + record.longest + 2 * (second & (LONGEST_KEPT - 1));
    if (this.#float64[at] !== second) {
      this.#float64[at] = second;
      this.#float64[at + 1] = ms;
    } else if (ms > (this.#float64[at + 1] as number)) this.#float64[at + 1] = ms;
  }

  /** The longest callback of the last seconds, in ms; 0: there was none. @param seconds fewer than 16 */
  longestCallback(seconds: number): number {
    const from = Math.floor(monotonicMs() / 1000) - seconds;
    let longest = 0;
    for (let slot = 0; slot < LONGEST_KEPT; slot++) {
      const at = record.longest + 2 * slot;
      if (this.#get(at) >= from) longest = Math.max(longest, this.#get(at + 1));
    }
    return longest;
  }

  loopWasLate(ms: number): void {
    this.#count(record.loopDelays, ms);
  }

  get callbacks(): Histogram {
    return this.#histogram(record.callbacks);
  }

  get loopDelays(): Histogram {
    return this.#histogram(record.loopDelays);
  }

  /** @param activeMs and idleMs since the last call */
  loopRan(activeMs: number, idleMs: number): void {
    this.#add(record.loopActive, activeMs / 1000);
    this.#set(record.loopUtilisation, activeMs + idleMs === 0 ? 0 : activeMs / (activeMs + idleMs));
  }

  get loopActiveSeconds(): number {
    return this.#get(record.loopActive);
  }

  /** Share of the last second in which the loop was busy: all of it, if the loop is blocked. */
  get loopUtilisation(): number {
    return this.seenAt !== 0 && monotonicMs() - this.seenAt > STANDS_STILL_MS ? 1 : this.#get(record.loopUtilisation);
  }

  /** When its event loop last turned, in ms of `monotonicMs()`; 0: never. */
  get seenAt(): number {
    return this.#get(record.seenAt);
  }
  set seenAt(ms: number) {
    this.#set(record.seenAt, ms);
  }

  /** It holds something for one connection more, or one fewer. Only the process itself calls it. */
  countHolds(change: 1 | -1): void {
    Atomics.add(this.#int32, this.#at / 4 + record.holds, change);
  }

  /** The process is gone, and with it what it held. @returns true when it held something */
  takeHolds(): boolean {
    return Atomics.exchange(this.#int32, this.#at / 4 + record.holds, 0) !== 0;
  }

  get residentBytes(): number {
    return this.#get(record.residentBytes);
  }
  set residentBytes(bytes: number) {
    this.#set(record.residentBytes, bytes);
  }

  /** The stack of a blocked loop; empty if it could not be taken. */
  get stack(): string {
    const at = this.#at + layout.usedBytes;
    const length = Atomics.load(this.#int32, this.#at / 4 + record.stackLength);
    return this.#bytes.toString('utf8', at, at + length);
  }
  set stack(text: string) {
    const lengthAt = this.#at / 4 + record.stackLength;
    Atomics.store(this.#int32, lengthAt, 0);
    const length = this.#bytes.write(text, this.#at + layout.usedBytes, STACK_BYTES, 'utf8');
    Atomics.store(this.#int32, lengthAt, length);
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

/** What has come since an earlier look at the same counts. */
export function subtractHistogram(now: Histogram, before: Histogram): Histogram {
  const counts = now.counts.map((count, bucket) => Math.max(0, count - (before.counts[bucket] ?? 0)));
  return { counts, seconds: now.seconds - before.seconds };
}

/** In seconds: the upper bound of the bucket that contains this quantile; 0 for an empty histogram. */
export function quantile({ counts }: Histogram, share: number): number {
  const total = counts.reduce((sum, count) => sum + count, 0);
  let seen = 0;
  for (const [bucket, count] of counts.entries()) {
    seen += count;
    if (total > 0 && seen >= total * share) return bucketBounds[bucket] ?? (bucketBounds.at(-1) ?? 0) * 2;
  }
  return 0;
}
