// npm run bench:cluster -- [--rounds N] [--seconds N] [--case TEXT]… [--servers TEXT,TEXT] [--out FILE]
// One room over three nodes: CPU of all processes of the nodes per delivery, the engine's apart, and the latency from the
// publisher to each member. All servers in turn in every round, medians; with all cases first one server against itself, which
// shows the noise.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { endAllAtExit } from '../harness/processes.js';
import { countOf, inTurn, median } from '../harness/rounds.js';
import { compileLoad, measure } from './load.js';
import { listServers, withNodes } from './servers.js';

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '5' },
    seconds: { type: 'string', default: '3' },
    case: { type: 'string', multiple: true, default: [''] },
    servers: { type: 'string', default: '' },
    out: { type: 'string' },
  },
});
const [rounds, seconds] = [countOf('rounds', values.rounds), countOf('seconds', values.seconds)];
const PEER = 'socket.io';
const MOST_RATIO = 0.3;

const cases = [
  { title: '500 messages/s to 30 members', load: { connections: 30, rate: 500 } },
  { title: '100 messages/s to 300 members', load: { connections: 300, rate: 100 } },
  { title: '300 members, four messages outstanding', load: { connections: 300, 'in-flight': 4 } },
];

const folder = mkdtempSync(join(tmpdir(), 'bench-cluster-'));
endAllAtExit(() => rmSync(folder, { recursive: true, force: true }));
const notes = [];
const note = (line) => {
  console.error(line);
  notes.push(`- ${line}`);
};
const load = compileLoad(folder);
if (load === undefined) {
  console.log('bench:cluster: skipped: there is no C compiler (`cc`).');
} else {
  const names = values.servers.split(',');
  const report = await run(listServers(note).filter(({ name }) => names.some((part) => name.includes(part))));
  console.log(report);
  if (values.out) writeFileSync(values.out, `${report}\n`);
}

async function run(servers) {
  const chosen = cases.filter(({ title }) => values.case.some((text) => title.includes(text)));
  const [sections, targets] = [[], []];
  const [first] = servers;
  if (first !== undefined && chosen.length === cases.length) {
    const twice = [first, { ...first, name: `${first.name}, again` }];
    sections.push(section(`A/A: ${chosen[0].title}`, await measureAll(twice, chosen[0])));
  }
  for (const one of chosen) {
    const results = await measureAll(servers, one);
    sections.push(section(one.title, results));
    targets.push(...targetsOf(one.title, results));
  }
  return [...heading(), ...targetTable(targets), ...sections.flat(), ...left()].join('\n');
}

/** @returns medians of each server that could be measured */
async function measureAll(servers, one) {
  const measureOne = (server) => withNodes(server, folder, (nodes) => measure(load, { server, one, seconds, nodes }));
  const say = (name, round, { cpuUs, p99Us }) =>
    console.error(`${one.title}, ${name}, round ${round}: ${cpuUs.toFixed(2)} µs, p99 ${p99Us} µs`);
  const { runs, missing, failed } = await inTurn(servers, rounds, measureOne, say);
  for (const [name, why] of Object.entries({ ...missing, ...failed })) note(`${name}, ${one.title}: ${why}`);
  return servers.flatMap(({ name }) => {
    const own = runs.filter(({ server }) => server === name);
    if (own.length === 0) return [];
    const of = (figure) => median(own.map((figures) => figures[figure]));
    const costs = own.map(({ cpuUs }) => cpuUs);
    const range = `${Math.min(...costs).toFixed(2)} … ${Math.max(...costs).toFixed(2)}`;
    const figures = ['cpuUs', 'engineUs', 'perSecond', 'p50Us', 'p99Us'].map((figure) => [figure, of(figure)]);
    return [{ name, range, ...Object.fromEntries(figures) }];
  });
}

/** Both engines and modes beside the peer. */
function targetsOf(title, results) {
  const peer = results.find(({ name }) => name.startsWith(PEER));
  if (peer === undefined) return [];
  return results
    .filter((result) => result !== peer)
    .flatMap(({ name, cpuUs, p99Us }) => [
      { title, name, what: 'CPU per delivery', ratio: cpuUs / peer.cpuUs, target: MOST_RATIO },
      { title, name, what: 'p99', ratio: p99Us / peer.p99Us, target: 1 },
    ]);
}

function heading() {
  return [
    '# A room over three nodes',
    '',
    `Node ${process.version}, medians of ${rounds} rounds of ${seconds} s, all servers in turn in every round. Three nodes on one machine with one engine and the load; members are spread over the nodes, one client of the first node publishes 64 B. CPU (user and kernel) of all processes of the three nodes, broker processes included; the engine's own stands beside it. The latency is that of all members, from the publisher's send to the member's receipt. Socket.IO 4.8 over WebSocket with @socket.io/redis-streams-adapter. The machine may be shared: ratios count, not figures.`,
  ];
}

function targetTable(targets) {
  if (targets.length === 0) return [];
  const rows = targets.map(({ title, name, what, ratio, target }) => {
    const verdict = ratio <= target ? 'met' : '**missed**';
    return `| ${title} | ${name} | ${what} | ${ratio.toFixed(2)} | ${target.toFixed(1)} | ${verdict} |`;
  });
  return [
    '',
    '## Targets, beside Socket.IO',
    '',
    '| case | server | figure | ratio | target | |',
    '| --- | --- | --- | ---: | ---: | --- |',
    ...rows,
  ];
}

function section(title, results) {
  const [first] = results;
  const rows = results.map(({ name, range, cpuUs, engineUs, perSecond, p50Us, p99Us }) => {
    const rate = Math.round(perSecond).toLocaleString('en');
    const cpu = `${cpuUs.toFixed(2)} | ${(cpuUs / first.cpuUs).toFixed(2)} | ${range}`;
    return `| ${name} | ${cpu} | ${engineUs.toFixed(2)} | ${rate} | ${p50Us} | ${p99Us} |`;
  });
  return [
    ...['', `## ${title}`, ''],
    '| server | CPU µs/delivery | ÷ first | lowest … highest | engine µs/delivery | deliveries/s | p50 µs | p99 µs |',
    '| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |',
    ...rows,
  ];
}

function left() {
  return notes.length > 0 ? ['', '## Left out', '', ...notes] : [];
}
