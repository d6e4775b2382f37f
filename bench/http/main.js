// npm run bench:http -- [--rounds N] [--seconds N] [--case TEXT] [--servers TEXT] [--out DIR]
// Requests/s and CPU per request of each server's whole process group, all servers in turn in every round, medians.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, release, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { endAllAtExit } from '../harness/processes.js';
import { countOf } from '../harness/rounds.js';
import { cases } from './cases.js';
import { drawPlots } from './plot.js';
import { writeReport } from './report.js';
import { checkAnswers, listServers, withHttpServer } from './servers.js';
import { hasWrk, measureRequests, writeScript } from './wrk.js';

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '5' },
    seconds: { type: 'string', default: '2' },
    case: { type: 'string', default: '' },
    servers: { type: 'string', default: '' },
    out: { type: 'string', default: fileURLToPath(new URL('..', import.meta.url)) },
  },
});
const [rounds, seconds] = [countOf('rounds', values.rounds), countOf('seconds', values.seconds)];

if (!hasWrk()) {
  console.error(
    'wrk is missing, which makes the requests. On Debian and Ubuntu: apt-get install wrk; on macOS: brew install wrk.',
  );
  process.exit(1);
}
const folder = mkdtempSync(join(tmpdir(), 'bench-http-'));
endAllAtExit(() => rmSync(folder, { recursive: true, force: true }));

const servers = listServers(folder).filter(({ name }) => name.toLowerCase().includes(values.servers.toLowerCase()));
const chosen = cases.filter(({ title }) => title.toLowerCase().includes(values.case.toLowerCase()));
if (servers.length === 0) fail(`no server has "${values.servers}" in its name`);
if (chosen.length === 0) fail(`no case has "${values.case}" in its title`);
const results = {
  machine: {
    cpu: cpus()[0]?.model ?? 'unknown',
    cores: cpus().length,
    node: process.version,
    kernel: `${process.platform} ${release()} ${process.arch}`,
  },
  rounds,
  seconds,
  cases: [],
};
for (const one of chosen) results.cases.push(await measureCase(one));

mkdirSync(join(values.out, 'http'), { recursive: true });
writeFileSync(join(values.out, 'http', 'results.json'), `${JSON.stringify(results, null, 1)}\n`);
console.log(writeReport(results, join(values.out, 'HTTP.md')));
drawPlots(results, join(values.out, 'http', 'plots'));

async function measureCase(one) {
  const script = join(folder, `${one.id}.lua`);
  writeScript(script, one);
  const { able, unavailable } = await checkAll(one);
  const runs = [];
  for (let round = 1; round <= rounds; round++) {
    for (const server of able) {
      const figures = await withHttpServer(server, one, (started) =>
        measureRequests(started, script, one, { seconds }),
      );
      runs.push({ server: server.name, round, ...figures });
      const rate = Math.round(figures.requestsPerSecond);
      console.error(`${one.title}, round ${round}: ${server.name}: ${rate}/s, ${figures.cpuUs.toFixed(2)} µs`);
    }
  }
  return { id: one.id, title: one.title, runs, unavailable };
}

/** Who does not answer right is not measured, and the report says why. */
async function checkAll(one) {
  const [able, unavailable] = [[], []];
  for (const server of servers) {
    try {
      await withHttpServer(server, one, ({ port }) => checkAnswers(port, one));
      able.push(server);
    } catch (error) {
      unavailable.push({ server: server.name, reason: error.message });
      console.error(`${one.title}: ${server.name} is left out: ${error.message}`);
    }
  }
  return { able, unavailable };
}

function fail(sentence) {
  console.error(`bench:http: ${sentence}`);
  process.exit(1);
}
