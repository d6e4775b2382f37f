/**
 * ```
 * ┌────────┬──────────┬──────────┬──   stripe: ┌────────┬───────────┬────────────────────┬────────────────────────────────┐
 * │ header │ stripe 0 │ stripe 1 │             │ header │ 16 leases │ index: sets of 8   │ ring: a log of entries         │
 * │ 4 KiB  │          │          │             │ 64 B   │ 512 B     │ {tag, place, mark} │ oldest at tail, newest at head │
 * └────────┴──────────┴──────────┴──           └────────┴───────────┴────────────────────┴────────────────────────────────┘
 * entry, a multiple of 8 B: ┌───────┬──────┬───────┬──────────┬────────────┬───────────┬────────────┬─────┬───────┐
 *                           │ units │ form │ low   │ high     │ key length │ value     │ expires,   │ key │ value │
 *                           │       │      │       │          │            │ bytes     │ stale until│     │       │
 *                           └───────┴──────┴───────┴──────────┴────────────┴───────────┴────────────┴─────┴───────┘
 * ```
 * A position counts units of 8 bytes since the beginning, modulo a multiple of the ring; what lies from tail to head is whole.
 * A place in the index is position · 2 + 1; 0: none.
 */
import { float64, int32, layoutRecord } from '../../memory/record.js';

export const HEADER_BYTES = 4096;
export const UNIT = 8;
export const WAYS = 8;
export const LEASES = 16;
const STRIPE_HEADER_BYTES = 64;
const LEASE_BYTES = 32;
export const LEASE_INTS = LEASE_BYTES / 4;
const SET_BYTES = WAYS * 12;
export const SET_INTS = SET_BYTES / 4;
/** An entry is expected to have at least so many bytes: more small ones than that do not find a place in the index. */
const EXPECTED_ENTRY_BYTES = 128;
const MOST_STRIPES = 64;
const LEAST_STRIPE_BYTES = 131_072;
/** Of the largest entry, so that it does not empty its stripe. */
const ENTRIES_PER_STRIPE = 4;
export const MOST_KEY_LENGTH = 1024;
/** A place has 31 bits for a position. */
const POSITIONS = 2 ** 31;

export const header = layoutRecord({ seed: int32(2), stripes: int32(), sets: int32(), ring: int32() }, HEADER_BYTES).at;
export const stripeAt = layoutRecord(
  {
    lock: int32(),
    head: int32(),
    tail: int32(),
    hits: int32(),
    misses: int32(),
    evictions: int32(),
    inherited: int32(),
  },
  STRIPE_HEADER_BYTES,
).at;
export const leaseAt = layoutRecord(
  { low: int32(), high: int32(), owner: int32(), spare: int32(), until: float64() },
  LEASE_BYTES,
).at;
const entry = layoutRecord(
  {
    ...{ units: int32(), form: int32(), low: int32(), high: int32(), keyLength: int32(), valueBytes: int32() },
    ...{ expiresAt: float64(), staleUntil: float64() },
  },
  40,
);
export const entryAt = entry.at;
export const ENTRY_BYTES = entry.usedBytes;

export interface Geometry {
  readonly stripes: number;
  /** Of the index, per stripe. */
  readonly sets: number;
  /** Of a stripe, in units. */
  readonly ring: number;
}

/** As much as fits into `maxBytes`. */
export function geometryOf(maxBytes: number, maxValueBytes: number): Geometry {
  const least = Math.max(LEAST_STRIPE_BYTES, ENTRIES_PER_STRIPE * maxValueBytes);
  const most = Math.floor(Math.log2(Math.max(1, maxBytes / least)));
  const stripes = Math.min(MOST_STRIPES, 2 ** most);
  const bytes = Math.floor((maxBytes - HEADER_BYTES) / stripes / 64) * 64;
  const sets = Math.max(1, Math.floor(bytes / (EXPECTED_ENTRY_BYTES * WAYS)));
  return { stripes, sets, ring: Math.floor((bytes - ringAt(sets)) / 64) * (64 / UNIT) };
}

/** Of the ring in its stripe. */
export function ringAt(sets: number): number {
  return Math.ceil((indexAt + sets * SET_BYTES) / 64) * 64;
}

export const leasesAt = STRIPE_HEADER_BYTES;
export const indexAt = leasesAt + LEASES * LEASE_BYTES;

export function bytesOf({ stripes, sets, ring }: Geometry): number {
  return HEADER_BYTES + stripes * (ringAt(sets) + ring * UNIT);
}

/** Positions begin again there. */
export function positionsOf(ring: number): number {
  return Math.floor(POSITIONS / ring) * ring;
}
