import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';

const ENTRY = fileURLToPath(new URL('../../dist/util/heap-entry.cjs', import.meta.url));

/** Keeps objects until the heap has 250 MiB; then tells the tag of V8's flags and the arguments that are left. */
const GROW = `const kept = [];
while (process.memoryUsage().heapUsed < 250 * 2 ** 20) for (let i = 0; i < 2000; i++) kept.push({ i, of: [i, i] });
const { execArgv } = process;
console.log(JSON.stringify({ tag: require('v8').cachedDataVersionTag(), loads: execArgv.some((word) => word.startsWith('--require')) }));`;

function grow(...words: string[]): { collections: number; tag: number; loads: boolean } {
  const { stdout } = spawnSync(process.execPath, ['--trace-gc', ...words, '-e', GROW], { encoding: 'utf8' });
  const told = stdout.split('\n').find((line) => line.startsWith('{')) ?? '';
  return { collections: stdout.split('Mark-Compact').length - 1, ...JSON.parse(told) };
}

it('the size of the heap holds although V8 no longer has the argument, so that it takes the compiled code of Node', () => {
  const size = '--initial-old-space-size=400';
  const without = grow();
  const sized = grow(size);
  const both = grow(size, `--require=${ENTRY}`);
  expect(sized.collections).toBeLessThan(without.collections);
  expect(both.collections).toBe(sized.collections);
  expect(sized.tag).not.toBe(without.tag);
  expect(both).toMatchObject({ tag: without.tag, loads: false });
});
