// Would the unit tests notice? Changes one token of `src` at a time and runs the unit tests that reach it:
//   node scripts/mutants.mjs --count 200 --seed 1 --folders ipc,memory
// Everything happens in a copy of the tree. docs/decisions/0024-mutants.md says what is changed and what is found.
import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { parseAst } from 'rolldown/parseAst';

const root = fileURLToPath(new URL('..', import.meta.url));
const COPIED = ['src', 'test', 'scripts', 'examples', 'docs', 'dist', 'build', '.cache', 'package.json'];
const COPIED_TOO = ['package-lock.json', 'vitest.config.ts', 'tsconfig.json', 'tsconfig.base.json', 'README.md'];

/** Tests of real processes, and of the tree itself, run what was built. */
const NOT_OF_CODE = /^test\/(integration|soak|docs|package|corpus|fixtures)\//;
/** A test file may take so many times as long as without a mutant, and so much more, before it counts as endless. */
const PATIENCE = 3;
const GRACE_MS = 5000;
const FIRST_RUN_MS = 180_000;

async function main() {
  const { values } = parseArgs({
    options: {
      count: { type: 'string', default: '200' },
      seed: { type: 'string', default: '1' },
      folders: { type: 'string', default: '' },
    },
  });
  const folders = values.folders.split(',').filter(Boolean);
  const all = readSources();
  const sources = all.filter(({ file }) => folders.length === 0 || folders.includes(folderOf(file)));
  const copy = makeCopy();
  const runner = new Runner(copy);
  process.once('SIGINT', () => process.exit(130)).once('SIGTERM', () => process.exit(143));
  process.once('exit', () => discard(copy, runner));
  const tests = await measure(runner, copy, all, sources);
  const sample = choose(sources, values.seed, Number(values.count));
  say(`${sample.length} mutants, seed ${values.seed}, ${tests.length} test files, ${runner.boundary}`);
  for (const mutant of sample) await attempt(runner, copy, mutant, tests);
  report(sources, sample, tests);
}

// —— the mutants ——

/** Runs in the tests. It writes in a microtask, since a system call within a function of `src` would change errno. */
function noteTaker(path) {
  const { appendFileSync } = process.getBuiltinModule('node:fs');
  const later = queueMicrotask;
  const seen = new Set();
  let fresh = [];
  const write = () => {
    appendFileSync(path, fresh.join(''));
    fresh = [];
  };
  return (place) => {
    if (seen.has(place)) return;
    seen.add(place);
    if (fresh.push(`${place}\n`) === 1) later(write);
  };
}

/** The files of `src` with what could be changed in them, and the places where it is noted that a test came by. */
function readSources() {
  const files = filesIn(join(root, 'src')).filter((file) => /(?<!\.d)\.ts$/.test(file));
  return files.map((file) => new Source(file, readFileSync(join(root, file), 'utf8')));
}

function filesIn(folder) {
  const entries = readdirSync(folder, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  return files.map((file) => relative(root, file)).sort();
}

const OTHER_OPERATOR = {
  ...{ '<': '<=', '<=': '<', '>': '>=', '>=': '>', '===': '!==', '!==': '===', '==': '!=', '!=': '==' },
  ...{ '+': '-', '-': '+', '*': '/', '/': '*', '%': '*', '<<': '>>', '>>': '<<', '>>>': '<<' },
  ...{ '&': '|', '|': '&', '^': '&', '&&': '||', '||': '&&', '??': '&&', '++': '--', '--': '++' },
  ...{ '+=': '-=', '-=': '+=', '*=': '/=', '/=': '*=', '|=': '&=', '&=': '|=', '<<=': '>>=', '>>=': '<<=' },
};
const LOG_CALL = /(^|\.|#)log(\(\))?\??\.(trace|debug|info|notice|warn|error|fatal)$/i;
/** Values of these keys, and arguments of these calls, are text for people. */
const FOR_PEOPLE = /^(help|advice|sentence|says|summary|description|usage|hint)$/;
const THREE_WORDS = /[a-z]+,? [a-z]+,? [a-z]+/i;
const TYPES = /^TS(?!(As|Satisfies|NonNull)|ParameterProperty)/;

/** One file of `src`: its mutants, and its places (each function, and the file itself, which is loaded). */
class Source {
  mutants = [];
  #inserts = [];
  #place;
  #places = 0;

  constructor(file, text) {
    this.file = file;
    this.text = text;
    this.place = this.#place = this.#newPlace();
    for (const node of parseAst(text, { lang: 'ts' }).body) this.#visit(node);
    for (const mutant of this.mutants) mutant.key = keyOf(mutant, this.mutants);
  }

  /** The file with a note at the begin of each function. */
  instrumented(notes) {
    const open = `globalThis.__pass ??= (${String(noteTaker).replaceAll('\n', ' ')})(${JSON.stringify(notes)}); `;
    const start = this.text.startsWith('#!') ? this.text.indexOf('\n') + 1 : 0;
    const inserts = [[start, `${open}__pass('${this.place}'); `], ...this.#inserts].sort((a, b) => b[0] - a[0]);
    return inserts.reduce((text, [at, added]) => text.slice(0, at) + added + text.slice(at), this.text);
  }

  with({ start, end, after }) {
    return this.text.slice(0, start) + after + this.text.slice(end);
  }

  #visit(node) {
    if (Array.isArray(node)) for (const one of node) this.#visit(one);
    if (typeof node?.type !== 'string' || isLeftOut(node, this.text)) return;
    const outer = this.#place;
    if (isFunction(node)) this.#enter(node.body);
    this.#mutate(node);
    for (const [key, child] of Object.entries(node)) {
      if (typeof child === 'object' && !isName(node, key)) this.#visit(child);
    }
    this.#place = outer;
  }

  #newPlace() {
    return `${this.file}#${this.#places++}`;
  }

  #enter(body) {
    this.#place = this.#newPlace();
    const note = `globalThis.__pass?.('${this.#place}')`;
    if (body.type === 'BlockStatement') this.#inserts.push([body.start + 1, ` ${note};`]);
    else this.#inserts.push([body.start, `(${note}, `], [body.end, ')']);
  }

  #mutate(node) {
    switch (node.type) {
      case 'BinaryExpression':
      case 'LogicalExpression':
      case 'AssignmentExpression':
        return this.#operator(node);
      case 'UpdateExpression':
        return this.#add(node.start, node.end, swap(this.#slice(node), node.operator), 'operator');
      case 'UnaryExpression':
        if (/[!~-]/.test(node.operator)) this.#add(node.start, node.start + 1, '', 'operator');
        return undefined;
      case 'Literal':
        return this.#literal(node);
      case 'TemplateLiteral':
        return this.#add(node.start, node.end, '``', 'text');
      case 'ExpressionStatement':
        if (isCall(node.expression)) this.#add(node.start, node.end, ';', 'call');
        return undefined;
      case 'ReturnStatement':
        return this.#returned(node);
      case 'IfStatement':
      case 'ConditionalExpression':
      case 'WhileStatement':
      case 'DoWhileStatement':
      case 'ForStatement':
        return this.#condition(node.test);
    }
  }

  #operator({ left, right, operator }) {
    const other = OTHER_OPERATOR[operator];
    const between = this.text.slice(left.end, right.start);
    const at = left.end + between.indexOf(operator);
    if (other !== undefined) this.#add(at, at + operator.length, other, 'operator');
  }

  #literal({ start, end, value }) {
    if (typeof value === 'boolean') this.#add(start, end, String(!value), 'boolean');
    if (typeof value === 'string') this.#add(start, end, value === '' ? "'mutant'" : "''", 'text');
    if (typeof value !== 'number') return;
    this.#add(start, end, String(value + 1), 'number');
    this.#add(start, end, value === 0 ? '(-1)' : String(value - 1), 'number');
  }

  #returned({ start, end, argument }) {
    if (argument === null) this.#add(start, end, ';', 'return');
    else if (argument.name !== 'undefined') this.#add(argument.start, argument.end, 'undefined', 'return');
  }

  #condition(test) {
    if (!test || typeof test.value === 'boolean') return;
    this.#add(test.start, test.end, 'true', 'condition');
    this.#add(test.start, test.end, 'false', 'condition');
  }

  #add(start, end, after, kind) {
    const before = this.text.slice(start, end);
    const line = this.text.slice(0, start).split('\n').length;
    this.mutants.push({ source: this, place: this.#place, start, end, line, before, after, kind, result: 'untried' });
  }

  #slice({ start, end }) {
    return this.text.slice(start, end);
  }
}

function swap(text, operator) {
  return text.replace(operator, OTHER_OPERATOR[operator]);
}

/** Types, imports, and what is said to people: another sentence is no other behaviour. */
function isLeftOut(node, text) {
  const { type, source, callee, value } = node;
  if (TYPES.test(type) || type === 'ImportDeclaration' || type === 'ImportExpression' || node.directive) return true;
  if (type.startsWith('Export') && source) return true;
  const called = callee === undefined ? '' : text.slice(callee.start, callee.end);
  if (type === 'NewExpression') return /Error$/.test(called) && called !== 'ServerError';
  if (type === 'CallExpression') return LOG_CALL.test(called) || /\.(description|usage)$/.test(called);
  if (type === 'ExpressionStatement') return isLeftOut(unwrapped(node.expression), text);
  if (type === 'Property') return FOR_PEOPLE.test(node.key.name ?? '');
  if (type === 'TemplateLiteral') return node.quasis.some((quasi) => THREE_WORDS.test(quasi.value.cooked));
  return type === 'Literal' && typeof value === 'string' && THREE_WORDS.test(value);
}

function unwrapped(expression) {
  return /^(Await|Chain)Expression$/.test(expression.type)
    ? unwrapped(expression.argument ?? expression.expression)
    : expression;
}

function isCall(expression) {
  return unwrapped(expression).type === 'CallExpression';
}

function isFunction({ type, body }) {
  return /^(Arrow)?Function(Declaration|Expression)?(Expression)?$/.test(type) && Boolean(body);
}

function isName(node, key) {
  if (/^(typeAnnotation|typeArguments|typeParameters|returnType|superTypeArguments|implements)$/.test(key)) return true;
  return (key === 'key' || key === 'property') && node.computed !== true;
}

/** Tells a mutant by its line's text, not by the line's number, so that a sample stays the same when code moves. */
function keyOf(mutant, all) {
  const { text, file } = mutant.source;
  const from = text.lastIndexOf('\n', mutant.start) + 1;
  const words = [file, text.slice(from, text.indexOf('\n', mutant.end)).trim(), mutant.before, mutant.after];
  const twins = all.filter((other) => other.start <= mutant.start && other.words === words.join('\0')).length;
  mutant.words = words.join('\0');
  return `${mutant.words}\0${twins}`;
}

/** Those with the lowest hashes: another count only adds or removes some, and another file leaves them as they are. */
function choose(sources, seed, count) {
  const hash = ({ key }) => createHash('sha1').update(`${seed}\0${key}`).digest('hex');
  const all = sources.flatMap((source) => source.mutants.map((mutant) => ({ mutant, rank: hash(mutant) })));
  return all
    .sort((a, b) => (a.rank < b.rank ? -1 : 1))
    .slice(0, count)
    .map(({ mutant }) => mutant);
}

// —— the tests ——

/** Runs each test file once over the noted sources: how long it takes, and which functions it comes to. */
async function measure(runner, copy, sources, wanted) {
  const notes = join(copy, 'notes.txt');
  for (const source of sources) writeFileSync(join(copy, source.file), source.instrumented(notes));
  const memory = new Memory();
  const tests = [];
  for (const [file, imported] of testsOver(new Set(wanted.map((source) => source.file)))) {
    const test = await memory.recall(file, imported, () => measureOne(runner, notes, file));
    if (test.outcome === 'passed') tests.push({ file, ms: test.ms, reached: new Set(test.reached) });
    else say(`${file} is left out: without any mutant it ${test.outcome}: ${test.why}`);
  }
  runner.stop(); // it may remember the noted sources
  for (const { file, text } of sources) writeFileSync(join(copy, file), text);
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

async function attempt(runner, copy, mutant, tests) {
  const { source } = mutant;
  const able = testsFor(mutant, tests);
  writeFileSync(join(copy, source.file), source.with(mutant));
  mutant.result = able.length === 0 ? 'no test' : 'survived';
  for (const { file, ms } of able) {
    const { outcome } = await runner.run(file, [source.file], ms * PATIENCE + GRACE_MS);
    if (outcome === 'passed') continue;
    mutant.result = outcome === 'failed' ? 'killed' : 'timed out';
    mutant.by = file;
    break;
  }
  writeFileSync(join(copy, source.file), source.text);
  await runner.forget(source.file);
  say(`${mutant.result.padEnd(9)} ${sentenceOf(mutant)}${mutant.by === undefined ? '' : `  (${mutant.by})`}`);
}

// —— the process that runs them ——

function makeCopy() {
  const copy = mkdtempSync(join(tmpdir(), 'mutants-'));
  for (const name of [...COPIED, ...COPIED_TOO]) {
    if (existsSync(join(root, name))) cpSync(join(root, name), join(copy, name), { recursive: true });
  }
  mkdirSync(join(copy, 'tmp'));
  mkdirSync(join(copy, 'node_modules')); // a folder of links: vite writes beside the packages
  for (const name of readdirSync(join(root, 'node_modules'))) {
    if (!/^\.vite/.test(name)) symlinkSync(join(root, 'node_modules', name), join(copy, 'node_modules', name));
  }
  return copy;
}

function discard(copy, runner) {
  runner.stop();
  rmSync(copy, { recursive: true, force: true, maxRetries: 5 });
}

/** A mutant may loop for ever, signal any process or remove any file: where the system can, vitest runs behind walls. */
const WALLS = [
  'unshare --mount --pid --fork --kill-child --mount-proc sh -c',
  'mount --bind "$0" "$0" && mount -o remount,bind,ro / && cd "$0" && exec "$@"',
];

/** Holds one vitest that stays warm; one that does not answer in time is killed with all it has started. */
class Runner {
  #child;
  #copy;
  #walled;

  constructor(copy) {
    this.#copy = copy;
    this.#walled = spawnSync(...this.#command(['true'])).status === 0;
  }

  get boundary() {
    return this.#walled ? 'in namespaces of their own' : 'in a process group of their own';
  }

  /** `changed` are files of the copy that were written since the last run. */
  async run(test, changed, deadlineMs) {
    this.#child ??= this.#spawn();
    const begin = performance.now();
    const { outcome, why } = await this.#ask({ test, changed }, deadlineMs);
    return { outcome, why, ms: performance.now() - begin };
  }

  async forget(file) {
    if (this.#child !== undefined) await this.#ask({ changed: [file] }, GRACE_MS);
  }

  stop() {
    const child = this.#child;
    this.#child = undefined;
    if (child?.pid === undefined) return;
    child.removeAllListeners();
    try {
      process.kill(-child.pid, 'SIGKILL');
    } catch {
      // it has ended by itself
    }
  }

  #ask(question, deadlineMs) {
    const child = this.#child;
    return new Promise((resolve) => {
      const settle = (answer) => {
        clearTimeout(timer);
        child.removeAllListeners();
        if (answer.outcome === 'did not end') this.stop();
        resolve(answer);
      };
      const timer = setTimeout(settle, deadlineMs + (child.ready ? 0 : GRACE_MS), { outcome: 'did not end' });
      child.once('message', (answer) => {
        child.ready = true;
        settle(answer);
      });
      child.once('exit', () => {
        this.#child = undefined;
        settle({ outcome: 'failed', why: 'vitest itself ended' });
      });
      child.send(question);
    });
  }

  #spawn() {
    const [program, args] = this.#walled ? this.#command(RUNNER) : [RUNNER[0], RUNNER.slice(1)];
    const env = { ...process.env, TMPDIR: join(this.#copy, 'tmp') };
    const stdio = ['ignore', 'ignore', 'ignore', 'ipc'];
    return spawn(program, args, { cwd: this.#copy, env, stdio, detached: true });
  }

  #command(inner) {
    const [program, ...args] = WALLS[0].split(' ');
    return [program, [...args, WALLS[1], this.#copy, ...inner]];
  }
}

const RUNNER = [process.execPath, join('scripts', 'mutants.mjs'), '--runner'];

/** Runs in the copy, as a child: answers which of the asked test files pass. */
async function serveRuns() {
  const { createVitest } = await import('vitest/node');
  const options = { project: ['units'], watch: false, bail: 1, maxWorkers: 1, reporters: [{}], cache: false };
  const vitest = await createVitest('test', options, { cacheDir: join(process.cwd(), 'tmp', 'vite') });
  await vitest.standalone();
  const specifications = await vitest.globTestSpecifications();
  process.on('disconnect', () => process.exit());
  process.on('message', async ({ test, changed }) => {
    for (const file of changed) vitest.invalidateFile(join(process.cwd(), file));
    const wanted = specifications.filter(({ moduleId }) => moduleId === join(process.cwd(), test ?? ''));
    process.send(test === undefined ? { outcome: 'passed' } : await outcomeOf(vitest, wanted));
  });
}

async function outcomeOf(vitest, specifications) {
  const { testModules, unhandledErrors } = await vitest.runTestSpecifications(specifications);
  const asked = testModules.filter(({ moduleId }) => specifications.some((one) => one.moduleId === moduleId));
  const passed = asked.length > 0 && asked.every((module) => module.ok());
  if (passed && unhandledErrors.length === 0) return { outcome: 'passed' };
  const errors = [...asked.flatMap(failuresOf), ...unhandledErrors];
  return { outcome: 'failed', why: String(errors[0]?.message ?? 'it did not run').split('\n', 1)[0] };
}

function failuresOf(module) {
  return [...module.errors(), ...[...module.children.allTests('failed')].flatMap((test) => test.result().errors)];
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

function sentenceOf({ source, line, before, after, kind }) {
  const short = (text) => `\`${text.replaceAll(/\s+/g, ' ').slice(0, 90)}\``;
  return `${source.file}:${line} ${kind}: ${short(before)} → ${short(after)}`;
}

function folderOf(file) {
  return file.split('/').length > 2 ? file.split('/')[1] : '(root)';
}

function say(sentence) {
  process.stderr.write(`mutants: ${sentence}\n`);
}

if (process.argv[2] === '--runner') await serveRuns();
else await main();
