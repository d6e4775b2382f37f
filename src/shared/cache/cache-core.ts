/** A shared cache over its memory, with its clock: what `SharedCache` checks the arguments for. */
import { randomBytes } from 'node:crypto';
import type { ObjectSpec, SharedObject } from '../arena.js';
import { KeyHash } from '../key-hash.js';
import { OwnedLock } from '../owned-lock.js';
import * as L from './layout.js';
import { type Claim, Leases } from './leases.js';
import { type Found, RingLog, type Times } from './ring-log.js';
import { encode } from './values.js';

export interface CacheSettings {
  readonly maxBytes: number;
  readonly maxValueBytes: number;
}

export interface CacheParts {
  /** Milliseconds of a clock that all processes share and that cannot be set. */
  readonly now: () => number;
  /** How long a process that was stopped may keep others from a stripe. */
  readonly patienceMs: number;
  /** Ends early, without an error, when the signal says so. */
  readonly sleep: (ms: number, signal?: AbortSignal) => Promise<void>;
  /** See `RingLog`. */
  readonly step?: () => void;
}

export interface WrapTimes {
  /** Infinity: for ever. */
  readonly ttlMs: number;
  readonly staleMs: number;
  readonly timeoutMs: number;
}

const FIRST_NAP_MS = 1;
const LONGEST_NAP_MS = 20;
const LATE = Symbol('late');

export function cacheSpec({ maxBytes, maxValueBytes }: CacheSettings): Omit<ObjectSpec, 'name'> {
  const geometry = L.geometryOf(maxBytes, maxValueBytes);
  return {
    kind: 'cache',
    schema: `a cache of ${maxBytes} bytes for values of up to ${maxValueBytes} bytes`,
    bytes: L.bytesOf(geometry),
    initialise: (memory) => {
      const ints = new Int32Array(memory, 0, L.HEADER_BYTES / 4);
      ints.set(new Int32Array(Uint8Array.from(randomBytes(8)).buffer), L.header.seed);
      ints[L.header.stripes] = geometry.stripes;
      ints[L.header.sets] = geometry.sets;
      ints[L.header.ring] = geometry.ring;
    },
  };
}

export class CacheCore {
  readonly #hash: KeyHash;
  readonly #log: RingLog;
  readonly #leases: Leases;
  readonly #maxValueBytes: number;
  readonly #parts: CacheParts;
  /** What this process computes or waits for, by key. */
  readonly #underWay = new Map<string, Promise<unknown>>();

  constructor(object: SharedObject, { maxValueBytes }: CacheSettings, parts: CacheParts) {
    const { memory, owners } = object;
    const ints = new Int32Array(memory, 0, L.HEADER_BYTES / 4);
    this.#hash = new KeyHash(ints[L.header.seed] ?? 0, ints[L.header.seed + 1] ?? 0);
    const lock = new OwnedLock(new Int32Array(memory), owners, parts.patienceMs);
    this.#log = new RingLog(object, geometryIn(ints), lock, parts.step);
    this.#leases = new Leases(memory, this.#log, owners, parts.now);
    this.#maxValueBytes = maxValueBytes;
    this.#parts = parts;
  }

  get(key: string): unknown {
    const found = this.#find(key);
    const isFresh = found !== undefined && this.#parts.now() < found.expiresAt;
    this.#log.count(this.#hash, isFresh ? 'hits' : 'misses');
    return isFresh ? found.value : undefined;
  }

  /** @returns false: it is too large, or a process that was stopped holds the stripe */
  set(key: string, value: unknown, ttlMs: number, staleMs = 0): boolean {
    const encoded = encode(value);
    if (encoded.length > this.#maxValueBytes) return false;
    this.#hash.of(key);
    return this.#log.write(this.#hash, key, encoded, this.#timesOf(ttlMs, staleMs));
  }

  delete(key: string): boolean {
    this.#hash.of(key);
    return this.#log.delete(this.#hash, key);
  }

  wrap(key: string, make: () => unknown, times: WrapTimes): Promise<unknown> {
    const found = this.#find(key);
    const now = this.#parts.now();
    const isUsable = found !== undefined && now < found.staleUntil;
    this.#log.count(this.#hash, isUsable ? 'hits' : 'misses');
    if (!isUsable) return this.#join(key, make, times) ?? this.#once(key, () => this.#obtain(key, make, times));
    // Whoever asks after the stale one is over gets the error.
    if (now >= found.expiresAt) this.#once(key, () => this.#refresh(key, make, times)).catch(() => {});
    return Promise.resolve(found.value);
  }

  #find(key: string): Found | undefined {
    this.#hash.of(key);
    return this.#log.read(this.#hash, key);
  }

  #findFresh(key: string): Found | undefined {
    const found = this.#find(key);
    return found !== undefined && this.#parts.now() < found.expiresAt ? found : undefined;
  }

  #timesOf(ttlMs: number, staleMs: number): Times {
    const expiresAt = this.#parts.now() + ttlMs;
    return { expiresAt, staleUntil: expiresAt + staleMs };
  }

  #once(key: string, run: () => Promise<unknown>): Promise<unknown> {
    const known = this.#underWay.get(key);
    if (known !== undefined) return known;
    const promise = run().finally(() => this.#forget(key, promise));
    this.#underWay.set(key, promise);
    return promise;
  }

  #forget(key: string, promise: Promise<unknown>): void {
    if (this.#underWay.get(key) === promise) this.#underWay.delete(key);
  }

  /** Waits for a call of this process that computes already, or waits for another process. @returns undefined: there is none */
  #join(key: string, make: () => unknown, times: WrapTimes): Promise<unknown> | undefined {
    const known = this.#underWay.get(key);
    return (
      known &&
      this.#await(known, times.timeoutMs, () => {
        this.#forget(key, known); // those that come later wait for the new one
        return this.#once(key, () => this.#compute(key, make, times, 'each'));
      })
    );
  }

  async #await(known: Promise<unknown>, timeoutMs: number, onLate: () => Promise<unknown>): Promise<unknown> {
    const over = new AbortController();
    try {
      const late = this.#parts.sleep(timeoutMs, over.signal).then(() => LATE);
      const first = await Promise.race([known, late]);
      return first === LATE ? await onLate() : first;
    } finally {
      over.abort();
    }
  }

  /** The one that holds the lease computes, the others look from time to time. */
  async #obtain(key: string, make: () => unknown, times: WrapTimes): Promise<unknown> {
    const until = this.#parts.now() + times.timeoutMs;
    let claim = this.#claim(key, times);
    for (let napMs = FIRST_NAP_MS; typeof claim === 'number'; napMs = Math.min(LONGEST_NAP_MS, napMs * 2)) {
      if (this.#parts.now() >= until) return this.#compute(key, make, times, 'each');
      await this.#parts.sleep(napMs);
      const found = this.#findFresh(key);
      if (found !== undefined) return found.value;
      claim = this.#claim(key, times, this.#leases.isAlive(claim) ? 0 : claim);
    }
    return this.#compute(key, make, times, claim);
  }

  async #refresh(key: string, make: () => unknown, times: WrapTimes): Promise<unknown> {
    const claim = this.#claim(key, times);
    const dead = typeof claim === 'number' && !this.#leases.isAlive(claim) ? claim : 0;
    const isOurs = claim === 'ours' || (dead !== 0 && this.#claim(key, times, dead) === 'ours');
    return isOurs ? this.#compute(key, make, times, 'ours') : this.#find(key)?.value;
  }

  #claim(key: string, { timeoutMs }: WrapTimes, dead = 0): Claim {
    this.#hash.of(key);
    return this.#leases.claim(this.#hash, timeoutMs, dead);
  }

  async #compute(key: string, make: () => unknown, times: WrapTimes, claim: 'ours' | 'each'): Promise<unknown> {
    // Another process may have finished between our look and our lease.
    const found = claim === 'ours' ? this.#findFresh(key) : undefined;
    if (found !== undefined) {
      this.#end(key, true);
      return found.value;
    }
    let isKept = true; // an error is not: the next one computes
    try {
      const value = await make();
      isKept = this.set(key, value, times.ttlMs, times.staleMs);
      return value;
    } finally {
      if (claim === 'ours') this.#end(key, isKept);
    }
  }

  #end(key: string, isKept: boolean): void {
    this.#hash.of(key);
    this.#leases.end(this.#hash, isKept);
  }
}

function geometryIn(ints: Int32Array): L.Geometry {
  return { stripes: ints[L.header.stripes] ?? 1, sets: ints[L.header.sets] ?? 1, ring: ints[L.header.ring] ?? 1 };
}

/** Of any process: from the memory alone. */
export function cacheFigures({ memory }: SharedObject) {
  const ints = new Int32Array(memory);
  const { stripes, sets, ring } = geometryIn(ints);
  const stripeBytes = L.ringAt(sets) + ring * L.UNIT;
  const figures = { bytes: memory.byteLength, bytesUsed: 0, keys: 0, hits: 0, misses: 0, evictions: 0, brokenLocks: 0 };
  for (let stripe = 0; stripe < stripes; stripe++) {
    const at = (L.HEADER_BYTES + stripe * stripeBytes) / 4;
    const of = (field: keyof typeof L.stripeAt): number => (ints[at + L.stripeAt[field]] ?? 0) >>> 0;
    const units = of('head') - of('tail');
    figures.bytesUsed += (units < 0 ? units + L.positionsOf(ring) : units) * L.UNIT;
    figures.hits += of('hits');
    figures.misses += of('misses');
    figures.evictions += of('evictions');
    figures.brokenLocks += of('inherited');
    figures.keys += keysIn(ints, at + L.indexAt / 4, sets);
  }
  return figures;
}

function keysIn(ints: Int32Array, index: number, sets: number): number {
  let keys = 0;
  for (let set = 0; set < sets; set++) {
    const places = index + set * L.SET_INTS + L.WAYS;
    for (let way = 0; way < L.WAYS; way++) if (ints[places + way] !== 0) keys++;
  }
  return keys;
}
