/** The size of the heap holds although V8 no longer has the argument, so that it takes the compiled code of Node. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';

const inDist = (path: string): string => fileURLToPath(new URL(`../../dist/${path}`, import.meta.url));
const PROGRAM = inDist('util/heap-entry.cjs');
const GUARD = ['--import', pathToFileURL(inDist('cli/script-guard.js')).href];
/** Ours, and one behind it that shows more, in any Node: V8 takes the last one. */
const MORE = '--initial-old-space-size=400';
const SIZE = ['--initial-old-space-size=64', MORE];
const folder = mkdtempSync(join(tmpdir(), 'heap-entry-'));
afterAll(() => rmSync(folder, { recursive: true }));

/** Keeps objects until the heap has 250 MiB; then tells the tag of V8's flags, and what the script sees of its command line. */
const GROW = `const kept = [];
while (process.memoryUsage().heapUsed < 250 * 2 ** 20) for (let i = 0; i < 2000; i++) kept.push({ i, of: [i, i] });
const { argv, execArgv, mainModule } = process;
const words = { argv: argv.slice(1), execArgv, main: mainModule?.filename };
console.log(JSON.stringify({ tag: getBuiltinModule('v8').cachedDataVersionTag(), words }));`;
const write = (name: string, text: string): string => {
  const path = join(folder, name);
  writeFileSync(path, `const { getBuiltinModule } = process;\n${text}`);
  return path;
};
const COMMONJS = write('grow.cjs', `if (require.main !== module) throw new Error('not the main module');\n${GROW}`);
const ES = write('grow.mjs', GROW);
const LOADS = write('loads.mjs', `import ${JSON.stringify(inDist('index.js'))};\n${GROW}`);

interface Grown {
  readonly collections: number;
  readonly tag: number;
  readonly words: { readonly argv: string[]; readonly execArgv: string[]; readonly main?: string };
}

function grow(...words: string[]): Grown {
  const { stdout, stderr } = spawnSync(process.execPath, ['--trace-gc', ...words], { encoding: 'utf8', cwd: folder });
  const told = stdout.split('\n').find((line) => line.startsWith('{'));
  if (told === undefined) throw new Error(stderr);
  return { collections: stdout.split('Mark-Compact').length - 1, ...JSON.parse(told) };
}

describe('where the heap has a size', () => {
  const without = grow(COMMONJS, 'word');
  const sized = grow(...SIZE, COMMONJS, 'word');

  it('V8 makes fewer full collections, with flags of its own', () => {
    expect(sized.collections).toBeLessThan(without.collections);
    expect(sized.tag).not.toBe(without.tag);
  });

  it.each([
    ['the program that runs a script', [...SIZE, PROGRAM, COMMONJS, 'word']],
    ['the program that runs an ES module', [...SIZE, PROGRAM, ES, 'word']],
    ['a relative path', [...SIZE, PROGRAM, 'grow.mjs', 'word']],
    ['the guard of tswoole start', [...SIZE, ...GUARD, COMMONJS, 'word']],
    ['the package, where neither came first', [...SIZE, LOADS, 'word']],
  ])('it takes the argument back, and the size holds: %s', (_, words) => {
    const grown = grow(...words);
    const script = join(folder, words.at(-2)?.split('/').at(-1) ?? '');
    expect(grown).toMatchObject({ collections: sized.collections, tag: without.tag });
    expect(grown.words).toEqual({
      argv: [script, 'word'],
      execArgv: ['--trace-gc', MORE],
      ...(script === COMMONJS && { main: COMMONJS }),
    });
  });
});
