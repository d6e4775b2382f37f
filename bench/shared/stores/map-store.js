// What a store does that is a Map in one process: alone, and behind process.send.
import { BURST, COST, keys, PER_SECOND, rowOf, textOf } from '../cases.js';

/** @returns (key, n) => answer, by operation */
export function mapOperations() {
  const rows = new Map(keys.map((key, n) => [key, rowOf(n)]));
  const cache = new Map(keys.map((key, n) => [key, textOf(n)]));
  const arrivals = new Map();
  return {
    'get row': (key) => ({ ...rows.get(key) }),
    'get column': (key) => rows.get(key).b,
    has: (key) => rows.has(key),
    set: (key, n) => void rows.set(key, rowOf(n)),
    incr: (key) => ++rows.get(key).a,
    'limiter take': (key) => take(arrivals, key),
    'cache get': (key) => cache.get(key),
    'cache set': (key, n) => void cache.set(key, textOf(n)),
  };
}

/** GCRA. */
function take(arrivals, key) {
  const now = performance.now();
  const next = Math.max(arrivals.get(key) ?? 0, now) + (COST * 1000) / PER_SECOND;
  if (next - now > (BURST * 1000) / PER_SECOND) return false;
  arrivals.set(key, next);
  return true;
}
