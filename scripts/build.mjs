// Builds the program. The compiler checks the types and puts their declarations into dist, and each module as JavaScript
// into build, where tests and tools take single modules from. The bundler draws the modules together into a few files in
// dist, which is what runs and what the package has: a process of the tree reads 26 files where it read 107, and every
// start, reload and replacement of a worker takes a third less CPU (docs/decisions/0019-bundled.md).
import { spawnSync } from 'node:child_process';
import { chmodSync, copyFileSync, existsSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { rolldown } from 'rolldown';

const root = fileURLToPath(new URL('..', import.meta.url));
const at = (...parts) => join(root, ...parts);

/** What is imported by users or runs as a program or thread of its own: src/entries.ts. */
const ENTRIES = ['index', 'reactor/entry', 'worker/stack-watch-entry', 'cli/main', 'cli/script-guard', 'http/run-app'];

compile();
await describeOptions();
const written = await bundle();
removeOrphans([...written, ...copyForRequire()]);
chmodSync(at('dist/cli/main.js'), 0o755);

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
async function bundle() {
  const program = await rolldown({
    input: Object.fromEntries(ENTRIES.map((name) => [name, at('src', `${name}.ts`)])),
    platform: 'node',
    external: /^[^./]/, // packages, and the modules of Node
    tsconfig: false,
  });
  try {
    const { output } = await program.write({
      dir: at('dist'),
      sourcemap: true,
      chunkFileNames: ({ moduleIds }) => `${folderOfMost(moduleIds)}.js`,
    });
    return output.map(({ fileName }) => at('dist', fileName));
  } finally {
    await program.close();
  }
}

/** What `require('tswoole')` finds, with its types: written by hand, as the compiler makes ES modules only. */
function copyForRequire() {
  return ['index.cjs', 'index.d.cts'].map((name) => {
    copyFileSync(at('src', name), at('dist', name));
    return at('dist', name);
  });
}

/** A stack trace then tells at least the part of the program. */
function folderOfMost(modules) {
  const counts = new Map();
  for (const module of modules) {
    const [folder] = relative(at('src'), module).split('/');
    counts.set(folder, (counts.get(folder) ?? 0) + 1);
  }
  const [most] = [...counts].sort(([, a], [, b]) => b - a);
  return most?.[0].replace(/\.ts$/, '') ?? 'shared';
}

/** What an earlier build has left, of a source file that is gone or in a chunk that is called otherwise now. */
function removeOrphans(bundled) {
  for (const file of filesIn(at('dist'))) {
    if (file.endsWith('.d.ts') ? !hasSource('dist', file) : !bundled.includes(file)) rmSync(file);
  }
  for (const file of filesIn(at('build'))) if (!hasSource('build', file)) rmSync(file);
}

function hasSource(folder, file) {
  return existsSync(at('src', relative(at(folder), file).replace(/(\.d\.ts|\.js)(\.map)?$/, '.ts')));
}

function filesIn(folder) {
  const entries = readdirSync(folder, { recursive: true, withFileTypes: true });
  return entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
}
