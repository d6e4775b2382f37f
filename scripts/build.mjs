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
const ACTS_AT_IMPORT = /\/early-prints\.ts$|^node:http$/;
/**
 * What takes 1 to 10 ms to load, and many processes do without: loaded where it is used first. Not `node:http`: tools that
 * instrument it wait until somebody requires it, and apps import it.
 */
const PUT_OFF = [
  ...['node:child_process', 'node:crypto', 'node:dns/promises', 'node:net', 'node:readline', 'node:tls'],
  ...['@fastify/busboy', 'mrmime'],
];
/** The same of our own modules, by their paths in src; what nobody else imports goes with them. */
const PUT_OFF_OWN = [
  // Used at the start, or never.
  ...['access-log/access-log', 'files/static-files', 'reactor/admission/handshake', 'reactor/admission/proxy-header'],
  ...['server/cluster-node', 'shared/cache/cache-core', 'shared/limiter-cells', 'shared/table/rows'],
  ...['shared/table/writes', 'shared/topic/message-ring', 'util/cron'],
  // Used at any time.
  ...['control/commands', 'control/stats', 'errors/table', 'http/detached'],
];
/** Loaded a second after the start: later, the package may have been replaced on disk. */
const LOADED_SOON = ['control/commands', 'control/stats', 'errors/table', 'http/detached'];
const STATIC_IMPORT = /^(?:import|export)\s(?:[^'"();]*\sfrom\s)?['"](\.[^'"]*)\.js['"]/gm;
/** As in src/load.cjs. */
const HASH_LENGTH = 16;
/**
 * One program for each kind of process or thread, which share no objects: so nearly all calls stay within a file, where
 * V8 makes them fastest. `server` and `cli` are split further, by what is loaded where it is needed. Those in
 * src/entries.ts, and: what users import.
 */
const PROGRAMS = [
  { server: 'index', 'run-app': 'http/run-app' },
  { reactor: 'reactor/entry' },
  { 'stack-watch': 'worker/stack-watch-entry' },
  { cli: 'cli/main' },
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
const alone = [
  ...(await bundleAlone('cli/script-guard', 'es')),
  ...(await bundleAlone('manager/first-entry', 'cjs')),
  ...(await bundleAlone('util/heap-entry', 'cjs')),
];
const byHand = [...(await writeEntries()), ...copyByHand()];
const page = await buildDashboard();
removeOrphans([...bundled, ...alone, ...byHand, ...page, ...declarationsOf(at('dist/index.d.ts'))]);
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

/** @param entries the first is what is loaded at once, and in one file @returns the paths of the files in dist */
async function bundle(entries) {
  const [[name, first]] = Object.entries(entries);
  const groups = groupsOf(name, first);
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
      codeSplitting: { groups, includeDependenciesRecursively: false },
    });
    const files = output.map(({ fileName }) => at('dist', fileName));
    const filesOf = (sources) =>
      output.filter(({ moduleIds }) => moduleIds?.some((id) => sources.includes(sourceOf(id))));
    const idsOf = (sources) => filesOf(sources).map(({ fileName }) => `./${fileName}`);
    const later = { ids: [...PUT_OFF, ...idsOf(PUT_OFF_OWN)], soon: idsOf(LOADED_SOON) };
    for (const file of files) {
      if (file.endsWith('.cjs')) finish(file, later);
      else dropSources(file);
    }
    return files;
  } finally {
    await program.close();
  }
}

/** What the entry loads at once, and each module that is put off, with what only it needs of what the entry imports. */
function groupsOf(name, entry) {
  const atOnce = closureOf(entry, PUT_OFF_OWN);
  const without = [...atOnce, ...PUT_OFF_OWN];
  const later = PUT_OFF_OWN.map((source) => ({ name: source, modules: closureOf(source, without) }));
  const isShared = (source) => later.filter(({ modules }) => modules.has(source)).length > 1;
  const isAtOnce = (source) => atOnce.has(source) || isShared(source);
  return [
    { name, test: (id) => id.includes(`/node_modules/${HELD}/`) || isAtOnce(sourceOf(id)) },
    ...later.map(({ name, modules }) => ({ name, test: (id) => modules.has(sourceOf(id)) })),
  ];
}

/** @returns its path in src, without its ending */
function sourceOf(id) {
  return relative(at('src'), id).replace(/\.ts$/, '');
}

/** @returns paths in src of a module and all that it imports, but for those of `without` and what only they import */
function closureOf(source, without, found = new Set()) {
  found.add(source);
  const file = at('build', `${source}.js`);
  if (!existsSync(file)) return found; // of another package
  for (const [, path] of readFileSync(file, 'utf8').matchAll(STATIC_IMPORT)) {
    const imported = join(dirname(source), path);
    if (!found.has(imported) && !without.includes(imported)) closureOf(imported, without, found);
  }
  return found;
}

/** Loaded by Node itself, before the script and beside any other copy of the package. @param name its path in src */
async function bundleAlone(name, format) {
  const program = await rolldown({
    input: { [name]: at('src', `${name}.ts`) },
    platform: 'node',
    external: isExternal,
    tsconfig: false,
    treeshake: { moduleSideEffects: false },
  });
  try {
    const entryFileNames = format === 'cjs' ? '[name].cjs' : '[name].js';
    const { output } = await program.write({
      dir: at('dist'),
      sourcemap: true,
      format,
      entryFileNames,
      comments: false,
    });
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
function finish(path, { ids, soon }) {
  const isSoon = (id) => soon.includes(id) || !/^(\.|node:)/.test(id);
  const text = ids.reduce((before, id) => putOff(before, id, isSoon(id)), readFileSync(path, 'utf8'));
  const hash = createHash('sha256').update(text).digest('hex');
  writeFileSync(path, `${text}\n//# ${hash.slice(0, HASH_LENGTH)}`);
}

/** The bundler loads other files where a file begins, and names them at each use: `node_crypto.X509Certificate`. */
function putOff(text, id, isSoon) {
  const asText = id.replaceAll(/[./]/g, '\\$&');
  const loads = text.matchAll(new RegExp(`^[\\t ]*(?:let|const) (\\w+) = require\\("${asText}"\\);`, 'gm'));
  return [...loads].reduce((before, [loaded, name]) => {
    const used = new RegExp(`\\b${name}\\.`, 'g');
    const rest = before.replace(loaded, '').replaceAll(used, '');
    if (new RegExp(`\\b${name}\\b`).test(rest))
      throw new Error(`the bundle uses ${name} otherwise than by its members`);
    const lazy = `let ${name}$; const ${name} = () => ${name}$ ??= require("${id}");${isSoon ? ` module.soon?.(${name});` : ''}`;
    // `new node_crypto().X509Certificate()` would make what node_crypto is.
    return before.replaceAll(used, `(${name}()).`).replace(loaded, () => lazy);
  }, text);
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
