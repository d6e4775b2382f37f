// Builds the program. The compiler checks the types and puts their declarations into dist, and each module as JavaScript
// into build, where tests and tools take single modules from. The bundler draws the modules together into a few files in
// dist, which is what runs and what the package has. They are CommonJS, so that src/load.cjs can load them with V8's code
// cache (docs/decisions/0019-bundled.md, 0029-start-and-memory.md).
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { decode, encode } from '@jridgewell/sourcemap-codec';
import { rolldown } from 'rolldown';
import { buildDashboard } from './dashboard.mjs';

const root = fileURLToPath(new URL('..', import.meta.url));
const at = (...parts) => join(root, ...parts);

/** The command line holds this package: so it is read from V8's code cache, and one file less is looked for. */
const HELD = 'commander';
/** The other packages, and the modules of Node. */
const isExternal = (id) => /^[^./]/.test(id) && id !== HELD;
/** Importing any other module does nothing: it is left out where nothing of it is used, such as koffi of the command line. */
const ACTS_AT_IMPORT = /\/early-prints\.ts$/;
/**
 * Modules of Node that take 1 to 5 ms to load, and that many processes do without: loaded where they are used first. Not
 * `http`: tools that instrument it wait until somebody requires it, and apps import it.
 */
const PUT_OFF = ['child_process', 'crypto'];
/** As in src/load.cjs. */
const HASH_LENGTH = 16;
/** What `import 'tswoole'` loads, in one file. */
const isImportedAtOnce = (id) => !id.endsWith('/run-app.ts');

/**
 * One program for each kind of process or thread, which share no objects: so nearly all calls stay within a file, where
 * V8 makes them fastest. `server` and `cli` are split further, by what is loaded where it is needed. Those in
 * src/entries.ts, and: what users import.
 */
const PROGRAMS = [
  { entries: { server: 'index', 'run-app': 'http/run-app' }, atOnce: isImportedAtOnce },
  { entries: { reactor: 'reactor/entry' } },
  { entries: { 'stack-watch': 'worker/stack-watch-entry' } },
  { entries: { cli: 'cli/main' }, atOnce: () => true },
];

/** By the path of its entry, as src/entries.ts has it. */
const STARTED = {
  'reactor/entry.cjs': 'reactor',
  'worker/stack-watch-entry.cjs': 'stack-watch',
  'http/run-app.cjs': 'run-app',
};

compile();
await describeOptions();
const bundled = [];
for (const program of PROGRAMS) bundled.push(...(await bundle(program)));
const guard = await bundleGuard();
const byHand = [...(await writeEntries()), ...copyByHand()];
const page = await buildDashboard();
removeOrphans([...bundled, ...guard, ...byHand, ...page, ...declarationsOf(at('dist/index.d.ts'))]);
rmSync(at('dist/.cache'), { recursive: true, force: true });

function compile() {
  const { status } = spawnSync(process.execPath, [at('node_modules/typescript/bin/tsc'), '-p', at('tsconfig.json')], {
    stdio: ['ignore', 2, 2],
  });
  if (status !== 0) process.exit(1);
}

/** Loaded only now: it reads the table of options in what was just compiled. */
async function describeOptions() {
  const { optionTypes } = await import('./option-types.mjs');
  writeFileSync(at('dist/options/option-types.d.ts'), optionTypes());
}

/** @returns the paths of the files in dist */
async function bundle({ entries, atOnce }) {
  const [name] = Object.keys(entries);
  const first = { name, tags: ['$initial'], test: atOnce };
  const program = await rolldown({
    input: Object.fromEntries(Object.entries(entries).map(([name, source]) => [name, at('src', `${source}.ts`)])),
    platform: 'node',
    external: isExternal,
    tsconfig: false,
    preserveEntrySignatures: 'allow-extension', // as the group of modules needs it
    treeshake: { moduleSideEffects: (id) => ACTS_AT_IMPORT.test(id) },
  });
  try {
    const { output } = await program.write({
      dir: at('dist'),
      format: 'cjs',
      sourcemap: true,
      comments: false, // they are a third of it, and V8 would keep them in memory
      charset: 'ascii', // V8 keeps a byte per letter
      entryFileNames: '[name].cjs',
      chunkFileNames: ({ moduleIds }) => `${name}-${folderOfMost(moduleIds)}.cjs`,
      codeSplitting: atOnce !== undefined && { groups: [first], includeDependenciesRecursively: false },
    });
    const files = output.map(({ fileName }) => at('dist', fileName));
    for (const file of files) {
      if (file.endsWith('.cjs')) finish(file);
      else dropSources(file);
    }
    return files;
  } finally {
    await program.close();
  }
}

/** Loaded by Node itself, before the script and beside any other copy of the package. */
async function bundleGuard() {
  const program = await rolldown({
    input: { 'cli/script-guard': at('src/cli/script-guard.ts') },
    platform: 'node',
    external: isExternal,
    tsconfig: false,
  });
  try {
    const { output } = await program.write({ dir: at('dist'), sourcemap: true });
    const files = output.map(({ fileName }) => at('dist', fileName));
    for (const file of files) if (file.endsWith('.map')) dropSources(file);
    return files;
  } finally {
    await program.close();
  }
}

/**
 * A map tells where a line came from: that is what a stack shows. The text of the sources, and a mark for each word, would be
 * a fourth of an installation.
 */
function dropSources(path) {
  const { sourcesContent: _, ...map } = JSON.parse(readFileSync(path, 'utf8'));
  const lines = decode(map.mappings).map((marks) => marks.filter(({ length }) => length > 1).slice(0, 1));
  const mappings = encode(lines.map((marks) => marks.map(([column, ...origin]) => [column, ...origin.slice(0, 3)])));
  writeFileSync(path, JSON.stringify({ ...map, names: [], mappings }));
}

/** At the end stands a hash: src/load.cjs knows by it which cache belongs to the file. */
function finish(path) {
  const text = PUT_OFF.reduce(putOff, readFileSync(path, 'utf8'));
  const hash = createHash('sha256').update(text).digest('hex');
  writeFileSync(path, `${text}\n//# ${hash.slice(0, HASH_LENGTH)}`);
}

/** The bundler loads a module of Node where the file begins, and names it at each use: `node_http.Server`. */
function putOff(text, module) {
  const name = `node_${module}`;
  const loaded = `let ${name} = require("node:${module}");`;
  const used = new RegExp(`\\b${name}\\.`, 'g');
  const isSimple = text.replace(loaded, '').split(name).length - 1 === (text.match(used) ?? []).length;
  if (!text.includes(loaded)) return text;
  if (!isSimple) throw new Error(`the bundle uses ${name} otherwise than by its members`);
  const lazy = `let ${name}$; const ${name} = () => ${name}$ ??= require("node:${module}");`;
  // `new node_crypto().X509Certificate()` would make what node_crypto is.
  return text.replaceAll(used, `(${name}()).`).replace(loaded, () => lazy);
}

/** The files by which Node comes into the program. */
async function writeEntries() {
  const names = Object.keys(await import('../build/index.js'));
  const index = [
    "import { createRequire } from 'node:module';",
    '',
    "const program = createRequire(import.meta.url)('./load.cjs')('server');",
    ...names.map((name) => `export const ${name} = program.${name};`),
  ];
  const cli = ['#!/usr/bin/env node', "require('../load.cjs')('cli');"];
  const written = [writeLines('index.js', index), writeLines('cli/main.cjs', cli)];
  chmodSync(at('dist/cli/main.cjs'), 0o755);
  for (const [path, name] of Object.entries(STARTED)) {
    written.push(writeLines(path, [`require('../load.cjs')('${name}');`]));
  }
  return written;
}

/** @returns its path */
function writeLines(name, lines) {
  const path = at('dist', name);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, `${lines.join('\n')}\n`);
  return path;
}

/**
 * The loader, what `require('tswoole')` finds, with its types, as the compiler makes no such declarations, and the licence
 * of the package that the command line holds.
 */
function copyByHand() {
  const copies = {
    [`node_modules/${HELD}/LICENSE`]: `cli/${HELD}.LICENSE`,
    'src/load.cjs': 'load.cjs',
    'src/index.cjs': 'index.cjs',
    'src/index.d.cts': 'index.d.cts',
  };
  return Object.entries(copies).map(([from, to]) => {
    copyFileSync(at(from), at('dist', to));
    return at('dist', to);
  });
}

/** A stack trace then tells at least the part of the program. */
function folderOfMost(modules) {
  const counts = new Map();
  for (const module of modules) {
    const [folder] = relative(at('src'), module).split('/');
    if (folder === '..') continue; // of the bundler itself
    counts.set(folder, (counts.get(folder) ?? 0) + 1);
  }
  const [most] = [...counts].sort(([, a], [, b]) => b - a);
  return most?.[0].replace(/\.ts$/, '') ?? 'bundler';
}

/** The declarations that a user's compiler reads: a quarter of those that the compiler makes. */
function declarationsOf(path, found = new Set()) {
  if (found.has(path)) return found;
  found.add(path);
  for (const [, target] of readFileSync(path, 'utf8').matchAll(/(?:from |import |import\()['"](\.[^'"]*)\.js['"]/g)) {
    declarationsOf(join(dirname(path), `${target}.d.ts`), found);
  }
  return found;
}

/** What the compiler makes and no user reads, and what an earlier build has left. */
function removeOrphans(kept) {
  for (const file of filesIn(at('dist'))) if (!kept.includes(file)) rmSync(file);
  for (const file of filesIn(at('build'))) if (!hasSource(file)) rmSync(file);
}

/** @param {string} file in build */
function hasSource(file) {
  return existsSync(at('src', relative(at('build'), file).replace(/\.js(?:\.map)?$/, '.ts')));
}

function filesIn(folder) {
  const entries = readdirSync(folder, { recursive: true, withFileTypes: true });
  return entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
}
