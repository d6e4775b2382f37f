/**
 * The memory of a rate limiter, and its rule (GCRA): a cell holds when its key would have all of its burst again. A request
 * moves that time on by one period, and is refused where it would lie further ahead than the burst.
 *
 * ```
 * ┌────────┬───────┬───────┬──   set, 320 B: ┌──────────────────────────┬──────────┬──────────┬────────────────┐
 * │ header │ set 0 │ set 1 │                 │ lock, counters (1 line)  │ 16 × low │ 16 × high│ 16 × full again│
 * │ 4 KiB  │       │       │                 └──────────────────────────┴──────────┴──────────┴────────────────┘
 * └────────┴───────┴───────┴──
 * ```
 *
 * A key is the 64 bits of its hash. Times are whole ticks of at most 1 µs, a whole number of which makes a period: their sums
 * are exact. A holder of a set's lock that dies leaves nothing to repair: each step is one store, and a cell that changes
 * hands is emptied first.
 */
import { randomBytes } from 'node:crypto';
import { ServerError } from '../errors/index.js';
import { float64, int32, layoutRecord } from '../memory/record.js';
import type { ObjectSpec, SharedObject } from './arena.js';
import { KeyHash } from './key-hash.js';
import { OwnedLock } from './owned-lock.js';

const HEADER_BYTES = 4096;
const WAYS = 16;
/** Sets are chosen by hash: with twice the room, hardly any has more keys than ways. */
const KEYS_PER_SET = 8;
const SET_BYTES = 64 + WAYS * 16;
const SET_INTS = SET_BYTES / 4;
const SET_FLOATS = SET_BYTES / 8;

const header = layoutRecord(
  { origin: float64(), ticksPerMs: float64(), sets: int32(), seed: int32(2) },
  HEADER_BYTES,
).at;
const set = layoutRecord(
  {
    ...{ lock: int32(), evictions: int32(), allowed: float64(), refused: float64(), spare: float64(5) },
    ...{ low: int32(WAYS), high: int32(WAYS), fullAt: float64(WAYS) },
  },
  SET_BYTES,
).at;

/** The clock of some process may lie a little before that of the one that has made the limiter. */
const BEFORE_MS = 1000;
const TICK_MS = 0.001;
/** A time that is a whole number of milliseconds but for the error of a division. */
const ROUNDING_MS = 1e-5;
/** Sums of ticks stay exact far above. */
const MOST_BURST_TICKS = 2 ** 50;

export interface LimiterRule {
  /** Until one more request is allowed. */
  readonly periodMs: number;
  readonly burst: number;
  readonly keys: number;
}

/** What `RateLimiter.take` says: whether it is allowed, how many are left now, and after how many ms to come again. */
export interface LimiterAnswer {
  /** It was taken; false: nothing was. */
  readonly allowed: boolean;
  /** As many more are allowed at once. */
  readonly remaining: number;
  /** Unit: ms, a whole number. 0: allowed; Infinity: never, it costs more than the burst. */
  readonly retryAfterMs: number;
}

export function limiterSpec({ periodMs, burst, keys }: LimiterRule, nowMs: number): Omit<ObjectSpec, 'name'> {
  const sets = Math.ceil(keys / KEYS_PER_SET);
  return {
    kind: 'limiter',
    schema: `a limiter of ${1000 / periodMs} per second with a burst of ${burst} for ${keys} keys`,
    bytes: HEADER_BYTES + sets * SET_BYTES,
    initialise: (memory) => {
      const ints = new Int32Array(memory);
      const floats = new Float64Array(memory);
      floats[header.origin] = nowMs - BEFORE_MS;
      floats[header.ticksPerMs] = ticksPerPeriod(periodMs, burst) / periodMs;
      ints[header.sets] = sets;
      ints.set(new Int32Array(Uint8Array.from(randomBytes(8)).buffer), header.seed);
    },
  };
}

/** A power of two. */
function ticksPerPeriod(periodMs: number, burst: number): number {
  const fine = 2 ** Math.max(0, Math.ceil(Math.log2(periodMs / TICK_MS)));
  return Math.max(1, Math.min(fine, 2 ** Math.floor(Math.log2(MOST_BURST_TICKS / burst))));
}

export interface LimiterParts {
  /** How long a stopped process may block this one. */
  readonly patienceMs: number;
  /** What tests replace: called before each store that others see. */
  readonly atStep?: () => void;
}

/** One per process, or thread, that asks. */
export class LimiterCells {
  readonly #name: string;
  readonly #now: () => number;
  readonly #int32: Int32Array;
  readonly #float64: Float64Array;
  readonly #lock: OwnedLock;
  readonly #hash: KeyHash;
  readonly #sets: number;
  readonly #origin: number;
  readonly #ticksPerMs: number;
  readonly #period: number;
  readonly #burst: number;
  readonly #step: () => void;

  /** @param now milliseconds of a clock that all processes share and that cannot be set */
  constructor(object: SharedObject, { periodMs, burst }: LimiterRule, now: () => number, parts: LimiterParts) {
    const { patienceMs, atStep = () => {} } = parts;
    this.#name = object.name;
    this.#now = now;
    this.#int32 = new Int32Array(object.memory);
    this.#float64 = new Float64Array(object.memory);
    this.#lock = new OwnedLock(this.#int32, object.owners, patienceMs);
    this.#hash = new KeyHash(this.#int32[header.seed] ?? 0, this.#int32[header.seed + 1] ?? 0);
    this.#sets = this.#int32[header.sets] ?? 1;
    this.#origin = this.#float64[header.origin] ?? 0;
    this.#ticksPerMs = this.#float64[header.ticksPerMs] ?? 1;
    this.#period = ticksPerPeriod(periodMs, burst);
    this.#burst = burst * this.#period;
    this.#step = atStep;
  }

  /** @throws ServerError ERR_LIMITER_BUSY a process that is stopped holds the key's cell */
  take(key: string, cost: number): LimiterAnswer {
    this.#hash.of(key);
    const at = (this.#hash.low >>> 0) % this.#sets;
    const lock = HEADER_BYTES / 4 + at * SET_INTS + set.lock;
    if (this.#lock.acquire(lock) === 'busy') throw new ServerError('ERR_LIMITER_BUSY', { name: this.#name });
    const taken = this.#takeFrom(at, this.#ticks(), Math.round(cost * this.#period));
    this.#step();
    this.#lock.release(lock);
    return taken;
  }

  /** @param exactNow in ticks, with a fraction */
  #takeFrom(at: number, exactNow: number, cost: number): LimiterAnswer {
    const now = Math.floor(exactNow);
    const floats = HEADER_BYTES / 8 + at * SET_FLOATS;
    const cell = floats + set.fullAt + this.#wayOf(at, now);
    const memory = this.#float64;
    const before = Math.max(memory[cell] ?? 0, now);
    const ahead = before + cost - now;
    if (ahead > this.#burst) {
      this.#step();
      memory[floats + set.refused] = (memory[floats + set.refused] ?? 0) + 1;
      const waits = cost > this.#burst ? Number.POSITIVE_INFINITY : before + cost - this.#burst - exactNow;
      const retryAfterMs = Math.max(1, Math.ceil(waits / this.#ticksPerMs - ROUNDING_MS));
      return { allowed: false, remaining: this.#left(before - now), retryAfterMs };
    }
    this.#step();
    memory[cell] = before + cost;
    this.#step();
    memory[floats + set.allowed] = (memory[floats + set.allowed] ?? 0) + 1;
    return { allowed: true, remaining: this.#left(ahead), retryAfterMs: 0 };
  }

  #left(ahead: number): number {
    return Math.max(0, Math.floor((this.#burst - ahead) / this.#period));
  }

  /** Of the key that was hashed last; where it has no cell it gets the one that is idle for longest. */
  #wayOf(at: number, now: number): number {
    const { low, high } = this.#hash;
    const lows = HEADER_BYTES / 4 + at * SET_INTS + set.low;
    for (let way = 0; way < WAYS; way++) {
      if (this.#int32[lows + way] === low && this.#int32[lows + WAYS + way] === high) return way;
    }
    return this.#give(at, now);
  }

  #give(at: number, now: number): number {
    const ints = HEADER_BYTES / 4 + at * SET_INTS;
    const cells = HEADER_BYTES / 8 + at * SET_FLOATS + set.fullAt;
    let idle = 0;
    for (let way = 1; way < WAYS; way++) {
      if ((this.#float64[cells + way] ?? 0) < (this.#float64[cells + idle] ?? 0)) idle = way;
    }
    if ((this.#float64[cells + idle] ?? 0) > now) {
      this.#step();
      this.#int32[ints + set.evictions] = (this.#int32[ints + set.evictions] ?? 0) + 1;
    }
    this.#step();
    this.#float64[cells + idle] = 0;
    this.#step();
    this.#int32[ints + set.low + idle] = this.#hash.low;
    this.#step();
    this.#int32[ints + set.high + idle] = this.#hash.high;
    return idle;
  }

  #ticks(): number {
    return (this.#now() - this.#origin) * this.#ticksPerMs;
  }
}

/** Of any process: from the memory alone. `keys`: those that have not their whole burst. */
export function limiterFiguresAt({ memory }: SharedObject, nowMs: number) {
  const ints = new Int32Array(memory);
  const floats = new Float64Array(memory);
  const now = (nowMs - (floats[header.origin] ?? 0)) * (floats[header.ticksPerMs] ?? 0);
  const figures = { bytes: memory.byteLength, keys: 0, allowed: 0, refused: 0, evictions: 0 };
  for (let at = 0; at < (ints[header.sets] ?? 0); at++) {
    const cells = HEADER_BYTES / 8 + at * SET_FLOATS;
    figures.allowed += floats[cells + set.allowed] ?? 0;
    figures.refused += floats[cells + set.refused] ?? 0;
    figures.evictions += (ints[HEADER_BYTES / 4 + at * SET_INTS + set.evictions] ?? 0) >>> 0;
    for (let way = 0; way < WAYS; way++) if ((floats[cells + set.fullAt + way] ?? 0) > now) figures.keys++;
  }
  return figures;
}
