// Figures as text: a table for each case, and what the targets say.
import { cpus } from 'node:os';
import { median } from '../harness/rounds.js';
import { cases } from './cases.js';

/** @param results `{ title, figures: { store: [{ ns, perSecond, cpuUs }] } }` by the title of the case */
export function reportOf({ rounds, seconds, notes, results }) {
  const twice = Object.values(results).filter(({ title }) => title.startsWith('A/A'));
  const done = cases.map(({ title }) => results[title]).filter((one) => one !== undefined);
  const sections = [...twice, ...done].flatMap(section);
  const leftOut = notes.length > 0 ? ['', '## Left out', '', ...notes.map((line) => `- ${line}`)] : [];
  return [...heading(rounds, seconds), ...targets(results), ...sections, ...leftOut].join('\n');
}

function heading(rounds, seconds) {
  return [
    '# Shared state compared',
    '',
    `Node ${process.version}, ${cpus().length} × ${cpus()[0]?.model ?? 'unknown'}, medians of ${rounds} rounds of ${seconds} s, all stores in turn in every round. 10,000 rows {int32, float64, string of 32}; cached values are texts of 200 bytes. \`ns/operation\` is the time divided by the operations of all processes together; CPU is user and kernel time of all processes, a server's too. Ratios above 1: the first is faster. Files of lmdb and SQLite are in memory and never synced. lmdb sets in batches of 100. The machine may be shared: ratios count, not figures.`,
  ];
}

function section({ title, figures }) {
  const lists = Object.entries(figures).filter(([, list]) => list.length > 0);
  const firstNs = of(lists[0]?.[1] ?? [], 'ns');
  return [
    ...['', `## ${title}`, ''],
    '| store | ns/operation | ÷ first | lowest … highest | operations/s | CPU µs/operation |',
    '| --- | ---: | ---: | ---: | ---: | ---: |',
    ...lists.map(([name, list]) => row(name, list, firstNs)),
  ];
}

function row(name, list, firstNs) {
  const times = list.map(({ ns }) => ns);
  const range = `${number(Math.min(...times))} … ${number(Math.max(...times))}`;
  const ratio = (of(list, 'ns') / firstNs).toFixed(2);
  const cpu = of(list, 'cpuUs').toFixed(2);
  return `| ${name} | ${number(of(list, 'ns'))} | ${ratio} | ${range} | ${number(of(list, 'perSecond'))} | ${cpu} |`;
}

/** Spread keys and one process unless said otherwise. A target whose cases were not measured says nothing. */
function targets(results) {
  const ns = (store, operation, rest = 'spread keys, 1 process') => {
    const list = results[`${operation}, ${rest}`]?.figures[store] ?? [];
    return list.length > 0 ? of(list, 'ns') : Number.NaN;
  };
  const than = (store, operation) => ns(store, operation) / ns('tswoole', operation);
  const ratios = [
    ['get row, of the speed of lmdb', than('lmdb', 'get row'), 2.5],
    ['get column, of the speed of lmdb', than('lmdb', 'get column'), 2.5],
    ['get row, of the speed of SQLite', than('better-sqlite3', 'get row'), 8],
    ['get column, of the speed of SQLite', than('better-sqlite3', 'get column'), 8],
    ['set, of the speed of Redis in pipelines', than('Redis, pipelines of 100', 'set'), 10],
    ['incr, of the speed of one round trip of Redis', than('Redis, 1 in flight', 'incr'), 100],
    ...['set', 'incr'].map((operation) => [
      `${operation} by 4 processes, of the throughput of one`,
      ns('tswoole', operation) / ns('tswoole', operation, 'spread keys, 4 processes'),
      2,
    ]),
  ].map(([what, ratio, least]) => line(what, ratio, `${ratio.toFixed(2)} × (at least ${least} ×)`, ratio >= least));
  const take = ns('tswoole', 'limiter take');
  const lines = [...ratios, line('limiter take', take, `${number(take)} ns (at most 1,000)`, take <= 1000)].flat();
  return lines.length > 0 ? ['', '## Targets', '', ...lines] : [];
}

function line(what, figure, text, isMet) {
  return Number.isNaN(figure) ? [] : [`- ${isMet ? 'met' : '**missed**'}: ${what}: ${text}`];
}

const of = (list, name) => median(list.map((figures) => figures[name]));
const number = (value) => Math.round(value).toLocaleString('en');
