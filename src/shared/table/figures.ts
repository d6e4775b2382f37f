/** What a table tells of itself, from its memory alone. */
import type { SharedObject } from '../arena.js';
import { allocator, header, STRIPES, stripe, stripeOf } from './layout.js';

/** What a `Table` tells of itself, over all processes. */
export interface TableFigures {
  /** That it has room for. */
  readonly rows: number;
  /** Taken; a row that has expired stays until its place is needed. */
  readonly rowsUsed: number;
  /** Of address space; pages that were never written take no memory. */
  readonly bytes: number;
  /** How often a writer had to wait for another one. */
  readonly lockWaits: number;
  /** Locks of processes that died while they wrote: the next writer finished or undid their last step. */
  readonly brokenLocks: number;
  /** Rows that had to go to make room. */
  readonly evictions: number;
  readonly [name: string]: number;
}

/** Runs in any process, also one that has not declared the table. */
export function tableFigures({ memory }: Pick<SharedObject, 'memory'>): TableFigures {
  const int32 = new Int32Array(memory);
  const sum = (field: number, first: number): number => {
    let total = first;
    for (let hash = 0; hash < STRIPES; hash++) total += int32[stripeOf(hash) + field] ?? 0;
    return total;
  };
  return {
    rows: int32[header.rows] ?? 0,
    rowsUsed: Atomics.load(int32, allocator.live),
    bytes: (int32[header.bytes] ?? 0) >>> 0,
    lockWaits: sum(stripe.waits, int32[allocator.waits] ?? 0),
    brokenLocks: sum(stripe.broken, int32[allocator.broken] ?? 0),
    evictions: sum(stripe.evictions, 0),
  };
}
