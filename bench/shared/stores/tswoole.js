// Ours: Table, RateLimiter, SharedCache; with `atomic`, an Atomic as the one counter. Built first: scripts/prepare.mjs
import { Atomic } from '../../../build/shared/atomic.js';
import { SharedCache } from '../../../build/shared/cache/shared-cache.js';
import { inheritArena, ourArena } from '../../../build/shared/objects.js';
import { RateLimiter } from '../../../build/shared/rate-limiter.js';
import { Table } from '../../../build/shared/table/table.js';
import { BURST, COST, keys, PER_SECOND, ROWS, rowOf, textOf } from '../cases.js';
import { sync } from '../runs.js';

const declare = () => ({
  table: new Table(ROWS, { a: 'int32', b: 'float', s: { type: 'string', size: 32 } }),
  limiter: new RateLimiter({ perSecond: PER_SECOND, burst: BURST, keys: 2 * ROWS }),
  cache: new SharedCache({ maxBytes: '64m' }),
  atomic: new Atomic(ROWS),
});

export function host() {
  const { table, cache } = declare();
  for (const [n, key] of keys.entries()) {
    table.set(key, rowOf(n));
    cache.set(key, textOf(n));
  }
  return { descriptor: ourArena().descriptor };
}

export function open({ variant }) {
  inheritArena(3);
  const { table, limiter, cache, atomic } = declare();
  if (variant === 'atomic') return { incr: sync(() => atomic.add(1)) };
  return {
    'get row': sync((key) => table.get(key)),
    'get column': sync((key) => table.get(key, 'b')),
    has: sync((key) => table.has(key)),
    set: sync((key, n) => table.set(key, rowOf(n))),
    incr: sync((key) => table.incr(key, 'a')),
    'limiter take': sync((key) => limiter.take(key, COST).allowed),
    'cache get': sync((key) => cache.get(key)),
    'cache set': sync((key, n) => cache.set(key, textOf(n))),
  };
}
