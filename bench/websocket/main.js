// npm run bench:websocket -- [--rounds N] [--seconds N] [--case TEXT]… [--servers TEXT,TEXT] [--out FILE]
// WebSocket servers side by side: CPU per message of each server's whole process group, messages/s, latency, memory of an
// idle connection. All servers in turn in every round, medians; first one server against itself, which shows the noise.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { endAllAtExit } from '../harness/processes.js';
import { median } from '../harness/rounds.js';
import { cases } from './cases.js';
import { compileLoad, measure } from './load.js';
import { canDo, listServers, withServerOf } from './servers.js';
import { targetsTable } from './targets.js';

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '5' },
    seconds: { type: 'string', default: '2' },
    case: { type: 'string', multiple: true, default: [''] },
    servers: { type: 'string', default: '' },
    out: { type: 'string' },
  },
});
const rounds = Number(values.rounds);
const seconds = Number(values.seconds);
const folder = mkdtempSync(join(tmpdir(), 'bench-websocket-'));
endAllAtExit(() => rmSync(folder, { recursive: true, force: true }));

const notes = [];
const note = (line) => {
  console.error(line);
  notes.push(`- ${line}`);
};
const load = compileLoad(folder);
if (load === undefined) {
  console.log(
    'bench:websocket: skipped: there is no C compiler (`cc`), and load in JavaScript would cost more than the servers.',
  );
} else {
  const all = await listServers(note);
  const isWanted = ({ name }) => values.servers.split(',').some((part) => name.includes(part));
  const report = await run(all.filter(isWanted));
  console.log(report);
  if (values.out) writeFileSync(values.out, `${report}\n`);
}

async function run(servers) {
  const sections = [];
  const measured = new Map();
  const chosen = cases.filter(({ title }) => values.case.some((text) => title.includes(text)));
  const [first] = servers;
  if (first !== undefined && chosen.length > 0) {
    const twice = [first, { ...first, name: `${first.name}, again` }];
    const { title, ...one } = chosen[0];
    sections.push(section({ ...one, title: `A/A: ${title}` }, await measureAll(twice, chosen[0])));
  }
  for (const one of chosen) {
    const able = servers.filter((server) => canDo(server, one));
    const results = await measureAll(able, one);
    measured.set(one.title, results);
    sections.push(section(one, results));
  }
  return [
    ...heading(),
    ...targetsTable(measured),
    ...sections.flat(),
    ...(notes.length > 0 ? ['', '## Left out', '', ...notes] : []),
  ].join('\n');
}

/** @returns the results of each server that could be measured, by name */
async function measureAll(servers, one) {
  const results = new Map(servers.map(({ name }) => [name, []]));
  for (let round = 0; round < rounds; round++) {
    for (const server of servers) {
      try {
        const result = await withServerOf(server, one, (running) => measure(load, { server, one, seconds, running }));
        results.get(server.name).push(result);
      } catch (error) {
        note(`${server.name}, ${one.title}: ${error.message}`);
      }
    }
  }
  return [...results].filter(([, list]) => list.length > 0);
}

function heading() {
  return [
    '# WebSocket servers compared',
    '',
    `Node ${process.version}, medians of ${rounds} rounds of ${seconds} s, all servers in turn in every round; 64 connections and one message in flight each, unless said otherwise. CPU (user and kernel) of all processes of the server. The machine may be shared: ratios count, not figures.`,
  ];
}

function section(one, results) {
  return ['', `## ${one.title}`, '', ...(one.mode === 'idle' ? idleTable(one, results) : table(one, results))];
}

function table({ mode }, results) {
  const of = (list, name) => median(list.map((result) => result[name]));
  const [[, firstList] = [undefined, []]] = results;
  const unit = mode === 'broadcast' ? 'delivery' : 'message';
  const plural = mode === 'broadcast' ? 'deliveries' : 'messages';
  return [
    `| server | CPU µs/${unit} | ÷ first | lowest … highest | ${plural}/s | p50 µs | p99 µs |`,
    '| --- | ---: | ---: | ---: | ---: | ---: | ---: |',
    ...results.map(([name, list]) => {
      const costs = list.map(({ cpuUs }) => cpuUs);
      const range = `${Math.min(...costs).toFixed(2)} … ${Math.max(...costs).toFixed(2)}`;
      const ratio = (of(list, 'cpuUs') / of(firstList, 'cpuUs')).toFixed(2);
      const rate = Math.round(of(list, 'perSecond')).toLocaleString('en');
      return `| ${name} | ${of(list, 'cpuUs').toFixed(2)} | ${ratio} | ${range} | ${rate} | ${of(list, 'p50Us')} | ${of(list, 'p99Us')} |`;
    }),
  ];
}

function idleTable({ load: { connections } }, results) {
  return [
    `| server | bytes per connection, of ${connections.toLocaleString('en')} |`,
    '| --- | ---: |',
    ...results.map(([name, list]) => {
      const bytes = Math.round(median(list.map((result) => result.bytes)));
      return `| ${name} | ${bytes.toLocaleString('en')} |`;
    }),
  ];
}
