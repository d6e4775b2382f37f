/**
 * The memory of a table.
 *
 * ```
 * ┌────────┬───────────┬───────────────┬─────────────┬────────────────┬──────────────────────────────────────────┐
 * │ header │ allocator │ stripes       │ heads       │ touched        │ rows                                     │
 * │ 64 B   │ 64 B      │ S × 64 B      │ H × 4 B     │ N × 1 B (evict)│ N × (16 + key + 2 × half)                │
 * └────────┴───────────┴───────────────┴─────────────┴────────────────┴──────────────────────────────────────────┘
 * row:  ┌─────────┬────────────┬──────┬──────┬─────┬────────┬────────┐
 *       │ version │ key length │ hash │ next │ key │ half 0 │ half 1 │
 *       └─────────┴────────────┴──────┴──────┴─────┴────────┴────────┘
 * ```
 * The hash of a key names a chain, which begins at a head and goes on by `next`; a chain belongs to a stripe. Who changes rows
 * of a stripe holds its lock. Readers take none: the lowest bit of a row's version names the half that counts, a writer fills
 * the other one and adds 1 to the version. A reader that finds the version changed reads again, so it never waits.
 *
 * A row is there while its hash is not 0: storing the hash is what inserts it, storing 0 is what deletes it. Before and after,
 * it is named by the journal of its stripe, so that whoever inherits the lock of a dead owner takes it out of its chain and
 * gives it back to the allocator.
 */

import { alignTo } from '../../util/align.js';
import { type Columns, even } from './columns.js';

/** One cache line. */
const LINE_WORDS = 16;
export const STRIPES = 256;
const MIN_HEADS = STRIPES;

/** Words of the header. */
export const header = { rows: 0, bytes: 1, seed0: 2, seed1: 3, isEvicting: 4 } as const;

/**
 * Words of the allocator: its lock; what its owner is about to do (the row's number taken, or its negative given back; 0: nothing),
 * for which stripe, and what `live` is afterwards; the first free row, the rows ever used, the rows now used; where eviction
 * looks next; whether any row has ever had a time to expire.
 */
export const allocator = {
  lock: LINE_WORDS,
  doing: LINE_WORDS + 1,
  stripe: LINE_WORDS + 2,
  liveAfter: LINE_WORDS + 3,
  firstFree: LINE_WORDS + 4,
  used: LINE_WORDS + 5,
  live: LINE_WORDS + 6,
  hand: LINE_WORDS + 7,
  hasExpiry: LINE_WORDS + 8,
  waits: LINE_WORDS + 9,
  broken: LINE_WORDS + 10,
} as const;

/**
 * Words of a stripe: its lock; the number of the row that is in the making or being deleted (0: none), and its hash; how
 * many rows have left its chains; figures.
 */
export const stripe = { lock: 0, row: 1, hash: 2, left: 3, waits: 4, broken: 5, evictions: 6 } as const;
const STRIPES_AT = 2 * LINE_WORDS;
const HEADS_AT = STRIPES_AT + STRIPES * LINE_WORDS;

/** Words of a row. */
export const row = { version: 0, keyBytes: 1, hash: 2, next: 3, key: 4 } as const;

export interface Layout {
  readonly rows: number;
  readonly columns: Columns;
  readonly keyBytes: number;
  readonly isEvicting: boolean;
  readonly headMask: number;
  readonly headsAt: number;
  /** In bytes; only of a table that evicts. */
  readonly touchedAt: number;
  readonly rowsAt: number;
  readonly rowWords: number;
  /** From the start of a row to its first half. */
  readonly halfAt: number;
  readonly bytes: number;
}

export interface LayoutParts {
  readonly rows: number;
  readonly columns: Columns;
  readonly keyBytes: number;
  readonly isEvicting: boolean;
}

/** All places are in words of 4 bytes unless said otherwise. */
export function layOutTable({ rows, columns, keyBytes, isEvicting }: LayoutParts): Layout {
  const heads = Math.max(MIN_HEADS, 2 ** Math.ceil(Math.log2(rows)));
  const touchedAt = (HEADS_AT + heads) * 4;
  const rowsAt = alignTo(touchedAt + (isEvicting ? rows : 0), LINE_WORDS * 4) / 4;
  const halfAt = row.key + even(Math.ceil(keyBytes / 4));
  const rowWords = halfAt + 2 * columns.words;
  const bytes = (rowsAt + rows * rowWords) * 4;
  const chains = { headMask: heads - 1, headsAt: HEADS_AT };
  return { rows, columns, keyBytes, isEvicting, ...chains, touchedAt, rowsAt, rowWords, halfAt, bytes };
}

/** @returns where the stripe of that hash begins */
export function stripeOf(hash: number): number {
  return STRIPES_AT + (hash & (STRIPES - 1)) * LINE_WORDS;
}
