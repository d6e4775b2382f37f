// From the raw figures to bench/HTTP.md.
import { writeFileSync } from 'node:fs';
import { median } from '../harness/rounds.js';
import { PLAIN_64 } from './cases.js';
import { NAMES } from './servers.js';

/** Of the plain case: figure of `one` over that of `other`, and the limit. */
const targets = [
  { figure: 'cpuUs', one: NAMES.base, other: NAMES.bun, atMost: 0.95 },
  { figure: 'cpuUs', one: NAMES.base, other: NAMES.node, atMost: 0.4 },
  { figure: 'cpuUs', one: NAMES.process, other: NAMES.node, atMost: 0.5 },
  { figure: 'requestsPerSecond', one: NAMES.process2, other: NAMES.cluster, atLeast: 2 },
  { figure: 'cpuUs', one: NAMES.fetch, other: NAMES.hono, atMost: 0.5 },
];
const words = { cpuUs: 'CPU per request', requestsPerSecond: 'requests/s' };

/** @returns one row per server: medians over the rounds, and all errors of all rounds */
export function summarize({ runs }) {
  const names = [...new Set(runs.map(({ server }) => server))];
  return names.map((name) => {
    const own = runs.filter(({ server }) => server === name);
    const of = (key) => median(own.map((run) => run[key]));
    const all = (key) => own.reduce((total, run) => total + run[key], 0);
    return {
      name,
      requestsPerSecond: of('requestsPerSecond'),
      cpuUs: of('cpuUs'),
      p50Us: of('p50Us'),
      p99Us: of('p99Us'),
      socketErrors: all('socketErrors'),
      badStatuses: all('badStatuses'),
    };
  });
}

/** @returns what was written */
export function writeReport(results, file) {
  const { machine, rounds, seconds } = results;
  const lines = [
    '# HTTP compared with other servers',
    '',
    `${machine.cpu}, ${machine.cores} cores, Node ${machine.node}, ${machine.kernel}.`,
    '',
    `wrk, one thread, over loopback; one request in flight per connection. Medians of ${rounds} rounds of ${seconds} s, each after 1 s to warm up, all servers in turn in every round; CPU of the server's whole process group; errors of all rounds. wrk runs on the same cores, so requests/s are those of server and wrk together. The machine may be shared: ratios count, not figures. Every round: [results.json](http/results.json).`,
    ...results.cases.flatMap(tableOf),
    '',
    `## Targets (${PLAIN_64})`,
    '',
    ...targets.map((target) => targetLine(results, target)),
  ];
  const text = `${lines.join('\n')}\n`;
  writeFileSync(file, text);
  return text;
}

function tableOf(one) {
  const rows = summarize(one);
  const beside = rows.find(({ name }) => name === NAMES.node)?.cpuUs;
  return [
    '',
    `## ${one.title[0].toUpperCase()}${one.title.slice(1)}`,
    '',
    `![CPU per request and requests/s: ${one.title}](http/plots/${one.id}.svg)`,
    '',
    '| server | requests/s | CPU µs/request | CPU ÷ node:http | p50 µs | p99 µs | socket errors | not 2xx |',
    '| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |',
    ...rows.map((row) => rowOf(row, beside)),
    ...one.unavailable.map(({ server, reason }) => `\n${server} was left out: ${reason}`),
  ];
}

function rowOf({ name, requestsPerSecond, cpuUs, p50Us, p99Us, socketErrors, badStatuses }, beside) {
  const rate = Math.round(requestsPerSecond).toLocaleString('en');
  const ratio = beside === undefined ? '–' : (cpuUs / beside).toFixed(2);
  const cells = [name, rate, cpuUs.toFixed(2), ratio, p50Us, p99Us, socketErrors, badStatuses];
  return `| ${cells.join(' | ')} |`;
}

function targetLine({ cases }, { figure, one, other, atMost, atLeast }) {
  const plain = cases.find(({ title }) => title === PLAIN_64);
  const rows = plain === undefined ? [] : summarize(plain);
  const of = (wanted) => rows.find(({ name }) => name === wanted)?.[figure];
  const ratio = of(one) / of(other);
  const limit = atMost === undefined ? `at least ${atLeast} ×` : `at most ${atMost} ×`;
  const what = `${words[figure]}, ${one} against ${other}`;
  if (Number.isNaN(ratio)) return `- not measured: ${what} (${limit})`;
  const isMet = atMost === undefined ? ratio >= atLeast : ratio <= atMost;
  return `- ${isMet ? 'met' : '**missed**'}: ${what}: ${ratio.toFixed(2)} × (${limit})`;
}
