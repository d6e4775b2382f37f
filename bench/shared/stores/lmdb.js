// lmdb in a folder in memory, without fsync. Rows share their structure. Writes that need no answer go in batches of 100,
// others in a transaction of their own.
import { join } from 'node:path';
import { BURST, COST, keys, PER_SECOND, rowOf, textOf } from '../cases.js';
import { requirePackage } from '../packages.js';
import { batched, sync } from '../runs.js';

function openAll(folder) {
  const { open } = requirePackage('lmdb');
  const root = open({ path: join(folder, 'lmdb'), noSync: true, overlappingSync: false, mapSize: 2 ** 28, maxDbs: 4 });
  return {
    root,
    rows: root.openDB('rows', { sharedStructuresKey: Symbol.for('structures') }),
    cache: root.openDB('cache', { encoding: 'string' }),
    arrivals: root.openDB('arrivals', {}),
  };
}

export async function host({ folder }) {
  const { root, rows, cache } = openAll(folder);
  await root.transaction(() => {
    for (const [n, key] of keys.entries()) {
      rows.put(key, rowOf(n));
      cache.put(key, textOf(n));
    }
  });
  return { end: () => root.close() };
}

export function open({ folder }) {
  const { rows, cache, arrivals } = openAll(folder);
  const putAll = (db, of) =>
    batched(
      () => ({ last: undefined }),
      (batch, key, n) => {
        batch.last = db.put(key, of(n));
      },
      ({ last }) => last,
    );
  return {
    'get row': sync((key) => rows.get(key)),
    'get column': sync((key) => rows.get(key).b),
    has: sync((key) => rows.doesExist(key)),
    set: putAll(rows, rowOf),
    incr: sync((key) => rows.transactionSync(() => increment(rows, key))),
    'limiter take': sync((key) => arrivals.transactionSync(() => take(arrivals, key))),
    'cache get': sync((key) => cache.get(key)),
    'cache set': putAll(cache, textOf),
  };
}

function increment(rows, key) {
  const row = rows.get(key);
  row.a++;
  rows.put(key, row);
  return row.a;
}

/** GCRA, by a clock that all processes have. */
function take(arrivals, key) {
  const now = performance.timeOrigin + performance.now();
  const next = Math.max(arrivals.get(key) ?? 0, now) + (COST * 1000) / PER_SECOND;
  if (next - now > (BURST * 1000) / PER_SECOND) return false;
  arrivals.put(key, next);
  return true;
}
