// The files that the build makes of a program: loading one runs what stands at the top of its modules.
import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';

const textOf = (file: string): string => readFileSync(new URL(`../../dist/${file}`, import.meta.url), 'utf8');

/** All files that it loads, at once or later. */
function closureOf(file: string, found = new Set<string>()): Set<string> {
  if (found.has(file)) return found;
  found.add(file);
  for (const [, next = ''] of textOf(file).matchAll(/\brequire\("\.\/([\w-]+\.cjs)"\)/g)) closureOf(next, found);
  return found;
}

it('no file of the server loads the program of an app, which would start a second server', () => {
  const files = closureOf('server.cjs');
  expect(files.size).toBeGreaterThan(20);
  expect([...files]).not.toContain('run-app.cjs');
});
