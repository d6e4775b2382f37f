// node bench/shared/table-micro.js [--rows N] [--processes N] [--ms N]
// Nanoseconds of one operation on a table {int32, float64, string(32)}: in this process by time, p10 of rounds; in several
// at once by CPU time, on keys of all rows, of each process's own, and on one. Built first: node scripts/prepare.mjs
import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { inheritArena, ourArena } from '../../build/shared/objects.js';
import { Table } from '../../build/shared/table/table.js';

const { values } = parseArgs({
  options: {
    rows: { type: 'string', default: '10000' },
    processes: { type: 'string', default: '4' },
    ms: { type: 'string', default: '1000' },
    child: { type: 'string' },
  },
});
const ROWS = Number(values.rows);
const ROUND = 20_000;
const columns = { a: 'int32', b: 'float', s: { type: 'string', size: 32 } };

const keys = Array.from({ length: ROWS }, (_, index) => `user:${index}`);
const texts = Array.from({ length: 64 }, (_, index) => `Mozilla ${index} abcd`);

/** Each gets a random number; `own` keys are of one process alone. */
function operationsOn(table, own) {
  const any = (n) => keys[n % ROWS];
  const mine = (n) => keys[own[n % own.length]];
  const write = (key, n) => table.set(key, { a: n & 0xffff, b: n * 0.5, s: texts[n & 63] });
  return {
    'get row': (n) => table.get(any(n)),
    'get column': (n) => table.get(any(n), 'b'),
    'get string': (n) => table.get(any(n), 's'),
    has: (n) => table.has(any(n)),
    'has, missing': (n) => table.has(texts[n & 63]),
    set: (n) => write(any(n), n),
    'set one column': (n) => table.set(any(n), { a: n & 0xffff }),
    incr: (n) => table.incr(any(n), 'a'),
    'incr float': (n) => table.incr(any(n), 'b'),
    'incr of one key': () => table.incr('user:1', 'a'),
    'incr of own keys': (n) => table.incr(mine(n), 'a'),
    'set of own keys': (n) => write(mine(n), n),
    update: (n) =>
      table.update(any(n), (row) => {
        row.a = n & 0xffff;
      }),
    compareAndSet: (n) => table.compareAndSet(any(n), { b: -1 }, { a: 1 }),
    'insert and delete': (n) => {
      const key = `gone:${n & 255}:${process.pid}`;
      table.set(key, { a: 1 });
      table.delete(key);
    },
  };
}

let random = process.pid;
function next() {
  random = (Math.imul(random, 1664525) + 1013904223) | 0;
  return (random >>> 4) & 0xffffff;
}

function round(operation) {
  const begin = process.hrtime.bigint();
  for (let i = 0; i < ROUND; i++) operation(next());
  return Number(process.hrtime.bigint() - begin) / ROUND;
}

/** CPU time: other processes may run on the same cores. */
function pressed(operation, ms) {
  const begin = process.cpuUsage();
  const until = performance.now() + ms;
  let count = 0;
  for (; performance.now() < until; count += ROUND / 20) for (let i = 0; i < ROUND / 20; i++) operation(next());
  const { user, system } = process.cpuUsage(begin);
  return { ns: ((user + system) * 1000) / count, count };
}

if (values.child !== undefined) {
  inheritArena(3);
  const table = new Table(ROWS + 300, columns);
  const [index, of] = values.child.split('/').map(Number);
  const own = keys.map((_, at) => at).filter((at) => at % of === index);
  const operations = operationsOn(table, own);
  for (const name of ['get row', 'set', 'incr']) for (let i = 0; i < 10; i++) round(operations[name]);
  process.on('message', ({ name, ms }) => process.send(pressed(operations[name], ms)));
  process.send('up');
} else {
  const table = new Table(ROWS + 300, columns);
  for (const [n, key] of keys.entries()) table.set(key, { a: n, b: n / 2, s: texts[n & 63] });
  const operations = operationsOn(
    table,
    keys.map((_, at) => at),
  );
  console.log(`Node ${process.version}, ${ROWS} rows, one process: ns per operation, p10 of rounds`);
  for (const [name, operation] of Object.entries(operations)) {
    const times = Array.from({ length: 40 }, () => round(operation)).sort((a, b) => a - b);
    console.log(name.padEnd(20), times[4].toFixed(0));
  }
  await several();
}

async function several() {
  for (const of of [1, 2, Number(values.processes)]) {
    const children = Array.from({ length: of }, (_, index) =>
      fork(fileURLToPath(import.meta.url), ['--child', `${index}/${of}`, '--rows', values.rows], {
        stdio: ['ignore', 'inherit', 'inherit', ourArena().descriptor, 'ipc'],
      }),
    );
    const answers = () =>
      Promise.all(children.map((child) => new Promise((resolve) => child.once('message', resolve))));
    await answers();
    for (const name of ['get row', 'set', 'incr', 'incr of one key', 'incr of own keys', 'set of own keys']) {
      for (const child of children) child.send({ name, ms: Number(values.ms) });
      const figures = await answers();
      const ns = figures.reduce((sum, each) => sum + each.ns, 0) / of;
      const perSecond = (figures.reduce((sum, each) => sum + each.count, 0) / Number(values.ms)) * 1000;
      console.log(
        `${of} processes, ${name}:`.padEnd(34),
        `${ns.toFixed(0)} ns CPU`.padEnd(14),
        `${(perSecond / 1e6).toFixed(2)} M/s`,
      );
    }
    for (const child of children) child.disconnect();
    console.log('lock waits', new Table(ROWS + 300, columns, { name: '#1' }).stats().lockWaits);
  }
}
