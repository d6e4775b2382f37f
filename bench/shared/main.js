// npm run bench:shared -- [--rounds N] [--seconds N] [--case TEXT] [--servers TEXT,TEXT] [--out FILE] [--add]
// State that processes share: our Table, Atomic, RateLimiter and SharedCache beside other stores. All stores in turn in every
// round, medians; first ours against itself, which shows the noise. --add: cases measured before are in the report too.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { cases, processesOf } from './cases.js';
import { endAll, measure } from './measure.js';
import { reportOf } from './report.js';
import { canDo, listStores } from './stores.js';

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '5' },
    seconds: { type: 'string', default: '0.5' },
    case: { type: 'string', default: '' },
    servers: { type: 'string', default: '' },
    out: { type: 'string' },
    add: { type: 'boolean', default: false },
  },
});
const rounds = Number(values.rounds);
const seconds = Number(values.seconds);
const kept = fileURLToPath(new URL('../../.cache/shared/results.json', import.meta.url));
process.once('exit', endAll);
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.once(signal, () => process.exit(1));

const notes = new Set();
const note = (line) => {
  console.error(line);
  notes.add(line);
};
const chosen = cases.filter(({ title }) => title.includes(values.case));
const stores = listStores(note, values.servers);
const results = { ...earlier() };
const [first] = stores;
for (const one of first === undefined ? [] : [1, 4].flatMap(firstOf)) {
  const title = `A/A: ${one.title}`;
  const again = { ...first, name: `${first.name}, again` };
  results[title] ??= { title, figures: await measureAll([first, again], one) };
}
for (const one of chosen) {
  const able = stores.filter((store) => canDo(store, one));
  results[one.title] = { title: one.title, figures: await measureAll(able, one) };
}
mkdirSync(dirname(kept), { recursive: true });
writeFileSync(kept, JSON.stringify({ rounds, seconds, node: process.version, notes: [...notes], results }));
const report = reportOf({ rounds, seconds, notes: [...notes], results });
console.log(report);
if (values.out) writeFileSync(values.out, `${report}\n`);

/** Noise differs between one process and several: there is an A/A of each. */
function firstOf(processes) {
  if (Object.keys(results).some((title) => title.startsWith('A/A') && title.endsWith(processesOf(processes))))
    return [];
  return chosen.filter((one) => one.processes === processes).slice(0, 1);
}

/** @returns lists of figures by the name of the store, of those that could be measured */
async function measureAll(able, one) {
  const lists = Object.fromEntries(able.map(({ name }) => [name, []]));
  for (let round = 0; round < rounds; round++) {
    for (const store of able) {
      try {
        lists[store.name].push(await measure(store, one, seconds));
      } catch (error) {
        note(`${store.name}, ${one.title}: ${error.message}`);
      }
    }
  }
  return lists;
}

/** @returns results of an earlier run of the same length on the same Node, if they are to be kept */
function earlier() {
  if (!values.add) return {};
  try {
    const found = JSON.parse(readFileSync(kept, 'utf8'));
    const isSame = found.rounds === rounds && found.seconds === seconds && found.node === process.version;
    for (const line of isSame ? found.notes : []) notes.add(line);
    return isSame ? found.results : {};
  } catch {
    return {};
  }
}
