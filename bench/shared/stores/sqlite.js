// better-sqlite3: a file in memory, WAL, synchronous off, prepared statements, one statement per operation.
import { join } from 'node:path';
import { BURST, COST, keys, PER_SECOND, rowOf, textOf } from '../cases.js';
import { requirePackage } from '../packages.js';
import { sync } from '../runs.js';

const BUSY_MS = 20_000;
const SCHEMA = `
  CREATE TABLE rows (key TEXT PRIMARY KEY, a INTEGER, b REAL, s TEXT) WITHOUT ROWID;
  CREATE TABLE cache (key TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID;
  CREATE TABLE arrivals (key TEXT PRIMARY KEY, next REAL) WITHOUT ROWID;`;
const SET = `INSERT INTO rows VALUES (?, ?, ?, ?)
  ON CONFLICT (key) DO UPDATE SET a = excluded.a, b = excluded.b, s = excluded.s`;
const CACHE_SET = 'INSERT INTO cache VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value';
const PERIOD_MS = (COST * 1000) / PER_SECOND;
/** GCRA: changes no row when it refuses. */
const TAKE = `INSERT INTO arrivals VALUES (:key, :now + ${PERIOD_MS})
  ON CONFLICT (key) DO UPDATE SET next = max(next, :now) + ${PERIOD_MS}
  WHERE max(next, :now) + ${PERIOD_MS} - :now <= ${(BURST * 1000) / PER_SECOND}`;

function openFile(folder) {
  const Database = requirePackage('better-sqlite3');
  const database = new Database(join(folder, 'sqlite'), { timeout: BUSY_MS });
  database.pragma('journal_mode = WAL');
  database.pragma('synchronous = OFF');
  return database;
}

export function host({ folder }) {
  const database = openFile(folder);
  database.exec(SCHEMA);
  const [set, cacheSet] = [database.prepare(SET), database.prepare(CACHE_SET)];
  database.transaction(() => {
    for (const [n, key] of keys.entries()) {
      setRow(set, key, rowOf(n));
      cacheSet.run(key, textOf(n));
    }
  })();
  return { end: () => database.close() };
}

const setRow = (statement, key, { a, b, s }) => void statement.run(key, a, b, s);

export function open({ folder }) {
  const database = openFile(folder);
  const prepare = (text) => database.prepare(text);
  const row = prepare('SELECT a, b, s FROM rows WHERE key = ?');
  const column = prepare('SELECT b FROM rows WHERE key = ?').pluck();
  const has = prepare('SELECT 1 FROM rows WHERE key = ?').pluck();
  const set = prepare(SET);
  const incr = prepare('UPDATE rows SET a = a + 1 WHERE key = ? RETURNING a').pluck();
  const take = prepare(TAKE);
  const cacheGet = prepare('SELECT value FROM cache WHERE key = ?').pluck();
  const cacheSet = prepare(CACHE_SET);
  const now = () => performance.timeOrigin + performance.now();
  return {
    'get row': sync((key) => row.get(key)),
    'get column': sync((key) => column.get(key)),
    has: sync((key) => has.get(key)),
    set: sync((key, n) => setRow(set, key, rowOf(n))),
    incr: sync((key) => incr.get(key)),
    'limiter take': sync((key) => take.run({ key, now: now() }).changes > 0),
    'cache get': sync((key) => cacheGet.get(key)),
    'cache set': sync((key, n) => void cacheSet.run(key, textOf(n))),
  };
}
