// npm run bench -- [--row TEXT] [--quick] [--rounds N] [--seconds N] [--save] [--against DIR] [--list]
// Every target of speed beside its peers. All servers of a row take turns in every round; medians. A whole run is written
// to SPEED.md, the plots and the README; one of some rows (--row: part of a title or a group, may be given again) only with
// --save, in place of what was known of these rows. --against measures the tswoole of another checkout, which is built,
// beside this one, and is not written.
import { mkdtempSync, rmSync } from 'node:fs';
import { cpus, release, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { endAllAtExit } from '../harness/processes.js';
import { countOf, inTurn } from '../harness/rounds.js';
import { cases, FIGURES, isOurs } from './cases.js';
import { measure } from './measure.js';
import { againstOf, readResults, tableOf, writeReport, writeResults } from './report.js';
import { listServers, listTools } from './servers.js';

const { values } = parseArgs({
  options: {
    row: { type: 'string', multiple: true, default: [''] },
    quick: { type: 'boolean', default: false },
    rounds: { type: 'string' },
    seconds: { type: 'string' },
    save: { type: 'boolean', default: false },
    against: { type: 'string' },
    list: { type: 'boolean', default: false },
  },
});
const rounds = countOf('rounds', values.rounds ?? (values.quick ? '1' : '5'));
const seconds = countOf('seconds', values.seconds ?? '1');
const isWanted = ({ group, title }) =>
  values.row.some((text) => `${group}: ${title}`.toLowerCase().includes(text.toLowerCase()));
const chosen = cases.filter(isWanted);
if (chosen.length === 0) {
  console.error(`bench: no row has "${values.row.join('" or "')}" in its title; --list shows them`);
  process.exit(1);
}
if (values.list) {
  for (const { group, title } of chosen) console.log(`${group}: ${title}`);
  process.exit(0);
}

const folder = mkdtempSync(join(tmpdir(), 'bench-speed-'));
endAllAtExit(() => rmSync(folder, { recursive: true, force: true }));
const [known, tools] = [listServers(folder), listTools(folder)];
const before = values.against === undefined ? undefined : listServers(folder, values.against);
const measured = {};
for (const [index, one] of chosen.entries()) measured[one.title] = await measureRow({ ...one, id: `row-${index}` });

const isWhole = chosen.length === cases.length && !values.quick;
const isWritten = (isWhole || values.save) && before === undefined;
const machine = {
  cpu: cpus()[0]?.model ?? 'unknown',
  cores: cpus().length,
  node: process.version,
  kernel: `${process.platform} ${release()} ${process.arch}`,
};
const results = { machine, rows: { ...(values.save ? readResults().rows : {}), ...measured } };
if (isWritten) {
  writeResults(results);
  writeReport(results);
}
if (before !== undefined) console.log(`${againstOf(measured).join('\n')}\n`);
console.log(tableOf({ machine, rows: measured }).filter(isShown).join('\n'));
console.error(`took ${Math.round(performance.now() / 1000)} s`);

/** The heading, and the lines of what was measured. */
function isShown(line, index) {
  return index < 2 || chosen.some(({ title }) => line.startsWith(`| ${title} |`));
}

async function measureRow(one) {
  const servers = one.servers.flatMap((name) => [
    { ...known[one.kind][name], name },
    ...(before !== undefined && isOurs(name) ? [{ ...before[one.kind][name], name: `${name}, before` }] : []),
  ]);
  const { runs, missing, failed } = await inTurn(
    servers,
    rounds,
    async (server) => measure(server, one, tools, seconds),
    (name, round, figures) => console.error(`${one.title}, round ${round}: ${name}: ${say(figures)}`),
  );
  for (const [name, reason] of Object.entries({ ...missing, ...failed })) {
    console.error(`${one.title}: ${name}: ${name in missing ? 'not measured' : 'failed'}: ${reason}`);
  }
  return { rounds, ...(usesSeconds(one) && { seconds }), runs, missing, failed };
}

function usesSeconds({ kind }) {
  return ['http', 'socket', 'tasks'].includes(kind);
}

function say(figures) {
  const shown = Object.entries(figures).filter(([figure]) => FIGURES[figure] !== undefined);
  const parts = shown.map(([figure, value]) => `${FIGURES[figure].words} ${value.toFixed(FIGURES[figure].digits)}`);
  return [...parts, ...(figures.errors ? [`errors ${figures.errors}`] : [])].join(', ');
}
