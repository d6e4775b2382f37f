// npm run bench:micro -- [--rounds N] [--case TEXT] [CHECKOUT …]
// Nanoseconds that a packet and a request cost, in the reactor and in a worker: no sockets, no kernel, no threads. Built
// checkouts are compared with the first one, in turn in every round; without any, this one is measured twice: the noise.
import { spawnSync } from 'node:child_process';
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { rounds: { type: 'string', default: '5' }, case: { type: 'string', default: '' } },
});
const path = (name) => fileURLToPath(new URL(name, import.meta.url));
const own = path('../..');
const trees = positionals.length > 0 ? positionals.map((tree) => resolve(tree)) : [own, own];
const cases = [
  ['reactor', 'raw'],
  ['reactor', 'http'],
  ['worker', 'raw'],
  ['worker', 'http'],
  ['worker', 'http-direct'],
].filter((words) => words.join(' ').includes(values.case));

function measure(file, kind, tree) {
  const { stdout, stderr } = spawnSync(process.execPath, [path(`${file}.js`), tree, kind], { encoding: 'utf8' });
  if (stdout === '') throw new Error(`${file} ${kind} of ${tree} failed: ${stderr}`);
  return Number(stdout);
}

for (const [file, kind] of cases) {
  const best = trees.map(() => Number.POSITIVE_INFINITY);
  for (let round = 0; round < Number(values.rounds); round++) {
    for (const [i, tree] of trees.entries()) best[i] = Math.min(best[i], measure(file, kind, tree));
  }
  const figures = best.map((ns) => `${ns.toFixed(0)} ns (${(ns / best[0]).toFixed(3)})`);
  console.log(`${file} ${kind}:`.padEnd(21), figures.join('  '));
}
