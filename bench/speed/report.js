// node bench/speed/report.js [--check]: from the raw figures to SPEED.md, its plots and the summary in the README, or
// proves that they are so.
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { drawBars } from '../harness/plot.js';
import { median } from '../harness/rounds.js';
import { cases, FIGURES, isOurs } from './cases.js';

const at = (name) => fileURLToPath(new URL(name, import.meta.url));
const RESULTS = at('results.json');
const README = at('../../README.md');
const BLOCK = /(?<=<!-- speed -->\n)[\s\S]*(?=<!-- \/speed -->)/;

export function readResults() {
  return existsSync(RESULTS) ? JSON.parse(readFileSync(RESULTS, 'utf8')) : { rows: {} };
}

/** In the order of the cases; what is no longer one goes. */
export function writeResults({ machine, rows }) {
  const known = cases.filter(({ title }) => title in rows).map(({ title }) => [title, rows[title]]);
  writeFileSync(RESULTS, `${JSON.stringify({ machine, rows: Object.fromEntries(known) }, null, 1)}\n`);
}

/** Medians of each server of a case over the rounds; errors are those of all rounds. */
function summarize({ runs }) {
  const names = [...new Set(runs.map(({ server }) => server))];
  return names.map((name) => {
    const own = runs.filter(({ server }) => server === name);
    const all = (figure) => own.map((run) => run[figure] ?? 0).reduce((total, value) => total + value, 0);
    const figures = [...Object.keys(FIGURES), 'runs'].filter((figure) => own.every((run) => run[figure] !== undefined));
    const medians = figures.map((figure) => [figure, median(own.map((run) => run[figure]))]);
    return { name, isOurs: isOurs(name), ...Object.fromEntries(medians), errors: all('errors'), count: all('count') };
  });
}

/** @returns what stands in a line of the table, of each target of each case */
function judgeAll({ rows }) {
  return cases.flatMap((one) => {
    const row = rows[one.title];
    const servers = row === undefined ? [] : summarize(row);
    return one.targets.map((target) => ({ ...target, ...judge(one, target, servers, row) }));
  });
}

function judge(one, { figure, one: ours, other, atMost, atLeast }, servers, row) {
  const find = (name) => servers.find((server) => server.name === name);
  const [mine, peer] = [find(ours), find(other)];
  const shown = { title: one.title, mine: mine?.[figure], peer: peer?.[figure], peerName: other };
  if (mine === undefined || (other && peer === undefined)) return { ...shown, result: whyNot(row, [ours, other]) };
  // As it is shown, so that both agree.
  const value = other ? Number((mine[figure] / peer[figure]).toFixed(2)) : mine[figure];
  const wrong = [mine, peer].filter((server) => server && server.errors > (one.tolerated ?? 0) * server.count);
  const isMet = atMost === undefined ? value >= atLeast : value <= atMost;
  const errors = mine.errors + (peer?.errors ?? 0);
  const verdict = isMet ? 'met' : '**missed**';
  const result = wrong.length > 0 ? `**failed**: errors of ${wrong.map(({ name }) => name).join(', ')}` : verdict;
  return { ...shown, value, errors, result };
}

function whyNot({ missing = {}, failed = {} } = {}, names) {
  const failing = names.find((name) => name in failed);
  if (failing !== undefined) return `**failed**: ${failing}: ${failed[failing]}`;
  const absent = names.find((name) => name in missing);
  return absent === undefined ? 'not measured' : `not measured: ${absent}: ${missing[absent]}`;
}

function write(figure, value) {
  if (value === undefined) return '–';
  const { digits } = FIGURES[figure];
  const fixed = value.toFixed(digits);
  return digits === 0 ? Number(fixed).toLocaleString('en') : fixed;
}

const limitOf = ({ atMost, atLeast, other, figure }) =>
  `${atMost === undefined ? '≥' : '≤'} ${other ? `${atMost ?? atLeast} ×` : write(figure, atMost)}`;

function ratioOf({ value, other, figure }) {
  if (value === undefined) return '–';
  return other ? `${value.toFixed(2)} ×` : write(figure, value);
}

/** The one table: every target beside its peer. */
export function tableOf(results) {
  return [
    '| row | figure | tswoole | peer | ratio | target | | errors |',
    '| --- | --- | ---: | ---: | ---: | ---: | --- | ---: |',
    ...judgeAll(results).map((line) => {
      const { title, figure, one, mine, peer, peerName, result, errors } = line;
      const beside = peerName === undefined ? '–' : `${peerName} ${write(figure, peer)}`;
      const cells = [
        title,
        FIGURES[figure].words,
        `${one} ${write(figure, mine)}`,
        beside,
        ratioOf(line),
        limitOf(line),
      ];
      return `| ${[...cells, result, errors ?? '–'].join(' | ')} |`;
    }),
  ];
}

/** What this checkout takes over what another does, of every server of tswoole and every figure. */
export function againstOf(rows) {
  const lines = Object.entries(rows).flatMap(([title, row]) => {
    const servers = summarize(row);
    const pairs = servers.map((now) => [now, servers.find(({ name }) => name === `${now.name}, before`)]);
    return pairs.filter(([, before]) => before !== undefined).flatMap((pair) => linesAgainst(title, pair));
  });
  return [
    '| row | server | figure | now | before | now ÷ before |',
    '| --- | --- | --- | ---: | ---: | ---: |',
    ...lines,
  ];
}

function linesAgainst(title, [now, before]) {
  const figures = Object.keys(FIGURES).filter((figure) => now[figure] !== undefined && before[figure] !== undefined);
  return figures.map((figure) => {
    const ratio = (now[figure] / before[figure]).toFixed(2);
    const cells = [title, now.name, FIGURES[figure].words, write(figure, now[figure]), write(figure, before[figure])];
    return `| ${cells.join(' | ')} | ${ratio} |`;
  });
}

/** @returns the whole of SPEED.md */
function pageOf(results) {
  const { machine } = results;
  const groups = [...new Set(cases.map(({ group }) => group))];
  return [
    '# Speed: every target beside its peers',
    '',
    `${machine.cpu}, ${machine.cores} cores, Node ${machine.node}, ${machine.kernel}.`,
    '',
    `\`npm run bench\`. Medians, all servers of a row in turn in every round; CPU (user and kernel) of all processes of a server, per request, message, datagram or task. BASE is one worker, PROCESS one reactor and one worker, unless a row says otherwise; \`node\` is what Node has for it (\`node:http\`, \`node:https\`, \`node:net\`, \`node:tls\`, \`node:dgram\`). The load runs on the same cores, so per second means server and load together. The machine may be shared: ratios count, not figures. Where a row says "failed", a server has answered with errors. Many idle connections, hostile clients: [IDLE.md](IDLE.md), [HOSTILE.md](HOSTILE.md). Every round: [results.json](speed/results.json).`,
    '',
    summaryOf(results),
    ...noiseOf(results),
    '',
    ...tableOf(results),
    ...groups.flatMap((group) => sectionOf(results, group)),
    '',
  ].join('\n');
}

const fileOf = (group) => `${group.toLowerCase().replaceAll(' ', '-')}.svg`;

function summaryOf(results) {
  const lines = judgeAll(results);
  const count = (word) => lines.filter(({ result }) => result.replaceAll('*', '').startsWith(word)).length;
  const counts = ['met', 'missed', 'failed', 'not measured'].map((word) => [word, count(word)]);
  const shown = counts.filter(([word, number]) => word === 'met' || number > 0);
  return `Of ${lines.length} targets: ${shown.map(([word, number]) => `${number} ${word}`).join(', ')}.`;
}

/** One server measured as two. */
function noiseOf({ rows }) {
  const row = Object.values(rows).find(({ runs }) => runs.some(({ server }) => server === 'BASE, again'));
  if (row === undefined) return [];
  const of = (name) => median(row.runs.filter(({ server }) => server === name).map(({ cpuUs }) => cpuUs));
  const ratio = (of('BASE, again') / of('BASE')).toFixed(2);
  return ['', `How noisy the machine was: the same server measured as two, BASE again ÷ BASE (12 bytes): ${ratio} ×.`];
}

function sectionOf(results, group) {
  const own = cases.filter((one) => one.group === group && results.rows[one.title]?.runs.length > 0);
  if (own.length === 0) return [];
  return [
    '',
    `## ${group}`,
    '',
    `![${group}](speed/plots/${fileOf(group)})`,
    ...own.flatMap((one) => detailsOf(results, one)),
  ];
}

function detailsOf({ rows }, { title }) {
  const row = rows[title];
  const servers = summarize(row);
  const figures = Object.keys(FIGURES).filter((figure) => servers.some((server) => server[figure] !== undefined));
  const { missing = {}, failed } = row;
  return [
    '',
    `**${title[0].toUpperCase()}${title.slice(1)}** (${row.rounds} rounds${row.seconds ? ` of ${row.seconds} s` : ''})`,
    '',
    `| server | ${figures.map((figure) => `${FIGURES[figure].words} (lowest … highest)`).join(' | ')} | errors |`,
    `| --- | ${figures.map(() => '---:').join(' | ')} | ---: |`,
    ...servers.map((server) => {
      const cells = figures.map((figure) => withRange(figure, server, row.runs));
      const name = server.runs === undefined ? server.name : `${server.name} (${server.runs} run the app)`;
      return `| ${[name, ...cells, server.errors].join(' | ')} |`;
    }),
    ...Object.entries(missing).map(([name, reason]) => `\nNot measured: ${name}: ${reason}.`),
    ...Object.entries(failed).map(([name, reason]) => `\nFailed: ${name}: ${reason}.`),
  ];
}

function withRange(figure, server, runs) {
  if (server[figure] === undefined) return '–';
  const all = runs.filter((run) => run.server === server.name).map((run) => run[figure]);
  return `${write(figure, server[figure])} (${write(figure, Math.min(...all))} … ${write(figure, Math.max(...all))})`;
}

function plotOf({ rows }, group) {
  const sections = cases
    .filter((one) => one.group === group && rows[one.title]?.runs.length > 0)
    .map((one) => ({ title: one.title, rows: summarize(rows[one.title]), panels: panelsOf(one) }));
  return sections.length === 0 ? undefined : drawBars(group, sections);
}

function panelsOf({ shows = 'cpuUs', targets }) {
  const figures = [...new Set([shows, ...targets.map(({ figure }) => figure)])].slice(0, 3);
  return figures.map((figure) => {
    const better = figure === 'perSecond' ? 'more is better' : 'less is better';
    return { title: `${FIGURES[figure].words} (${better})`, figure, format: (value) => write(figure, value) };
  });
}

/** What stands in the README. */
function blockOf(results) {
  return [
    `${summaryOf(results)} Node ${results.machine.node}, ${results.machine.cores} cores; ratios of medians, below 1 is less than the peer takes (of rates: above 1 is more).`,
    '',
    '| | figure | tswoole ÷ peer | target | |',
    '| --- | --- | ---: | ---: | --- |',
    ...judgeAll(results).map((line) => {
      const who = line.peerName === undefined ? line.one : `${line.one} ÷ ${line.peerName}`;
      const cells = [line.title, `${FIGURES[line.figure].words}, ${who}`, ratioOf(line), limitOf(line), line.result];
      return `| ${cells.join(' | ')} |`;
    }),
    '',
  ].join('\n');
}

/** @returns text by file, of everything that comes of the results */
function filesOf(results) {
  const readme = readFileSync(README, 'utf8');
  const files = { [at('../SPEED.md')]: pageOf(results), [README]: readme.replace(BLOCK, () => blockOf(results)) };
  for (const group of new Set(cases.map((one) => one.group))) {
    const plot = plotOf(results, group);
    if (plot !== undefined) files[at(`plots/${fileOf(group)}`)] = plot;
  }
  return files;
}

export function writeReport(results) {
  for (const [file, text] of Object.entries(filesOf(results))) {
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, text);
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const results = readResults();
  if (process.argv[2] !== '--check') writeReport(results);
  else {
    const stale = Object.entries(filesOf(results)).filter(
      ([file, text]) => !existsSync(file) || readFileSync(file, 'utf8') !== text,
    );
    for (const [file] of stale)
      console.error(`speed: ${file} is not of bench/speed/results.json: node bench/speed/report.js`);
    if (stale.length > 0) process.exitCode = 1;
  }
}
