// Would the unit tests notice? Changes one token of `src` at a time and runs the unit tests that reach it:
//   node scripts/mutants.mjs --count 200 --seed 1 --folders ipc,memory
// Everything happens in a copy of the tree. docs/decisions/0024-mutants.md says what is changed and what is found.
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { parseArgs } from 'node:util';
import { GRACE_MS, makeCopy, Runner } from './mutants/runner.mjs';
import { choose, filesIn, folderOf, readSources, root, sentenceOf } from './mutants/source.mjs';

/** Tests of real processes, and of the tree itself, run what was built. */
const NOT_OF_CODE = /^test\/(integration|soak|docs|package|corpus|fixtures)\//;
/** A test file may take so many times as long as without a mutant, and so much more, before it counts as endless. */
const PATIENCE = 3;
const FIRST_RUN_MS = 180_000;

async function main() {
  const { values } = parseArgs({
    options: {
      count: { type: 'string', default: '200' },
      seed: { type: 'string', default: '1' },
      folders: { type: 'string', default: '' },
      workers: { type: 'string', default: '1' },
    },
  });
  const folders = values.folders.split(',').filter(Boolean);
  const all = readSources();
  const sources = all.filter(({ file }) => folders.length === 0 || folders.includes(folderOf(file)));
  process.once('SIGINT', () => process.exit(130)).once('SIGTERM', () => process.exit(143));
  const runners = Array.from({ length: Number(values.workers) }, () => new Runner(makeCopy()));
  const tests = await measure(runners[0], all, sources);
  const sample = choose(sources, values.seed, Number(values.count));
  say(`${sample.length} mutants, seed ${values.seed}, ${tests.length} test files, ${runners[0].boundary}`);
  const left = [...sample];
  await Promise.all(runners.map((runner) => attemptAll(runner, left, tests)));
  report(sources, sample, tests);
  for (const runner of runners) runner.stop(); // they would keep this process alive
}

// —— the tests ——

/** Runs each test file once over the noted sources: how long it takes, and which functions it comes to. */
async function measure(runner, sources, wanted) {
  const notes = join(runner.copy, 'notes.txt');
  for (const source of sources) runner.write(source, source.instrumented(notes));
  const memory = new Memory();
  const tests = [];
  for (const [file, imported] of testsOver(new Set(wanted.map((source) => source.file)))) {
    const test = await memory.recall(file, imported, () => measureOne(runner, notes, file));
    if (test.outcome === 'passed') tests.push({ file, ms: test.ms, reached: new Set(test.reached) });
    else say(`${file} is left out: without any mutant it ${test.outcome}: ${test.why}`);
  }
  runner.stop(); // it may remember the noted sources
  for (const source of sources) runner.write(source, source.text);
  return tests.sort((a, b) => a.ms - b.ms);
}

async function measureOne(runner, notes, file) {
  writeFileSync(notes, '');
  const answer = await runner.run(file, [], FIRST_RUN_MS);
  say(`${String(Math.round(answer.ms)).padStart(6)} ms  ${file}`);
  return { ...answer, reached: readFileSync(notes, 'utf8').split('\n').filter(Boolean) };
}

/** What was measured of test files that passed, as long as nothing that they import has changed. */
class Memory {
  #path = join(root, '.cache', 'mutants.json');
  #known = existsSync(this.#path) ? JSON.parse(readFileSync(this.#path, 'utf8')) : {};

  async recall(file, imported, find) {
    const texts = [...imported].sort().map((path) => `${path}\n${readFileSync(join(root, path), 'utf8')}`);
    const print = createHash('sha1').update(texts.join('\n')).digest('hex');
    if (this.#known[file]?.print === print) return this.#known[file];
    const found = { ...(await find()), print };
    if (found.outcome === 'passed') this.#known[file] = found;
    mkdirSync(dirname(this.#path), { recursive: true });
    writeFileSync(this.#path, JSON.stringify(this.#known));
    return found;
  }
}

/** The unit tests that import one of these files, directly or not, other than for its types; with all they import. */
function testsOver(wanted) {
  const tests = filesIn(join(root, 'test')).filter((file) => file.endsWith('.test.ts') && !NOT_OF_CODE.test(file));
  const known = new Map();
  const all = tests.map((file) => [file, importedBy(file, known)]);
  return all.filter(([, imported]) => [...imported].some((file) => wanted.has(file)));
}

function importedBy(file, known, found = new Set()) {
  if (found.has(file)) return found;
  found.add(file);
  if (!known.has(file)) known.set(file, directImports(file));
  for (const next of known.get(file)) importedBy(next, known, found);
  return found;
}

function directImports(file) {
  const text = readFileSync(join(root, file), 'utf8');
  const named = [...text.matchAll(/(?:^(?:im|ex)port (?!type)[^;]*?from |import\()'(\.[^']+)'/gm)];
  const paths = named.map(([, path]) => join(dirname(file), path).replace(/\.js$/, '.ts'));
  return paths.filter((path) => path.endsWith('.ts') && existsSync(join(root, path)));
}

/** Tests of the same folder first: they are the likeliest to notice. */
function testsFor({ source, place }, tests) {
  const near = ({ file }) => (file.startsWith(`test/${folderOf(source.file)}/`) ? 0 : 1);
  return tests.filter(({ reached }) => reached.has(place)).sort((a, b) => near(a) - near(b));
}

async function attemptAll(runner, left, tests) {
  for (let mutant = left.shift(); mutant !== undefined; mutant = left.shift()) await attempt(runner, mutant, tests);
}

async function attempt(runner, mutant, tests) {
  const { source } = mutant;
  const able = testsFor(mutant, tests);
  runner.write(source, source.with(mutant));
  mutant.result = able.length === 0 ? 'no test' : 'survived';
  for (const { file, ms } of able) {
    const { outcome } = await runner.run(file, [source.file], ms * PATIENCE + GRACE_MS);
    if (outcome === 'passed') continue;
    mutant.result = outcome === 'failed' ? 'killed' : 'timed out';
    mutant.by = file;
    break;
  }
  runner.write(source, source.text);
  await runner.forget(source.file);
  say(`${mutant.result.padEnd(9)} ${sentenceOf(mutant)}${mutant.by === undefined ? '' : `  (${mutant.by})`}`);
}

// —— the report ——

function report(sources, sample, tests) {
  const reached = new Set(tests.flatMap((test) => [...test.reached]));
  const rows = [...new Set(sources.map(({ file }) => folderOf(file)))].map((folder) => [
    folder,
    sources.filter(({ file }) => folderOf(file) === folder),
    sample.filter(({ source }) => folderOf(source.file) === folder),
  ]);
  console.log(
    '| folder | mutants | in files no unit test loads | in functions none calls | tried | killed | timed out | survived | no test | noticed |',
  );
  console.log('| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |');
  for (const row of rows) console.log(lineOf(row, reached));
  console.log(lineOf(['all', sources, sample], reached));
  console.log();
  for (const result of ['survived', 'no test']) {
    for (const mutant of sample) if (mutant.result === result) console.log(`- ${result}: ${sentenceOf(mutant)}`);
  }
}

function lineOf([name, sources, sample], reached) {
  const all = sources.flatMap(({ mutants }) => mutants);
  const unloaded = sources.filter(({ place }) => !reached.has(place)).flatMap(({ mutants }) => mutants);
  const uncalled = all.filter(({ place, source }) => reached.has(source.place) && !reached.has(place));
  const [killed, late, survived, untested] = ['killed', 'timed out', 'survived', 'no test'].map(
    (result) => sample.filter((mutant) => mutant.result === result).length,
  );
  const noticed = sample.length === 0 ? '–' : `${Math.round((100 * (killed + late)) / sample.length)} %`;
  const figures = [all.length, unloaded.length, uncalled.length, sample.length, killed, late, survived, untested];
  return `| ${[name, ...figures, noticed].join(' | ')} |`;
}

function say(sentence) {
  process.stderr.write(`mutants: ${sentence}\n`);
}

await main();
