import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

const rules = {
  folders: [
    { name: 'low', holds: 'a', sees: [] as string[] },
    { name: 'bytes', holds: 'b', sees: [] as string[] },
    { name: 'left', holds: 'c', sees: ['low'] },
    { name: 'right', holds: 'd', sees: ['low'] },
    { name: 'top', holds: 'e', sees: ['low', 'left', 'right'] },
  ],
  files: [{ name: 'entries.ts', holds: 'f', sees: [] as string[] }],
  roles: ['left', 'right'],
  composers: { top: 'it puts them together' } as Record<string, string>,
  pure: { bytes: ['node:path'] },
  packages: { koffi: ['low'] },
  mostFilesInCircle: 2,
  sizes: { lines: 5, parameters: 5, exceptions: ['low/table.ts'] },
  notYet: ['right/later/'],
};

let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'tswoole-tree-'));
});

afterEach(() => rmSync(folder, { recursive: true }));

/** @returns the lines that the script has written, none where the tree is as it should be */
function run(script: 'imports' | 'sizes', tree: Record<string, string>, given: object = rules): string[] {
  for (const [path, text] of Object.entries(tree)) {
    mkdirSync(dirname(join(folder, 'tree', path)), { recursive: true });
    writeFileSync(join(folder, 'tree', path), text);
  }
  const rulesFile = join(folder, 'rules.mjs');
  const exports = Object.entries(given).map(([name, value]) => `export const ${name} = ${JSON.stringify(value)};`);
  writeFileSync(rulesFile, exports.join('\n'));
  const path = fileURLToPath(new URL(`../../scripts/${script}.mjs`, import.meta.url));
  const { stderr, status } = spawnSync(process.execPath, [path, join(folder, 'tree'), rulesFile], { encoding: 'utf8' });
  const lines = stderr.split('\n').filter((line) => line !== '');
  expect(status, stderr).toBe(lines.length === 0 ? 0 : 1);
  return lines;
}

describe('imports', () => {
  it('that point down are in order, in whatever form', () => {
    const tree = {
      'low/a.ts': "import { b } from './b.js';\nimport koffi from 'koffi';",
      'low/b.ts': "import type { a } from './a.js';",
      'bytes/a.ts': "import { join } from 'node:path';",
      'left/a.ts': "export * from '../low/a.js';",
      'top/a.ts': "export type { a } from '../left/a.js';\nconst a = await import('../right/a.js');",
      'right/a.ts': "import { b } from '../low/b.js';",
      'entries.ts': "export const ENTRY = new URL('./top/a.js', import.meta.url);",
    };
    expect(run('imports', tree)).toEqual([]);
  });

  it.each([
    ['import', "import { a } from '../top/a.js';"],
    ['import type', "import type { a } from '../top/a.js';"],
    ['export … from', "export { a } from '../top/a.js';"],
    ['export * from', "export * from '../top/a.js';"],
    ['import()', "const a = await import('../top/a.js');"],
    ['the type import()', "type A = import('../top/a.js').A;"],
  ])('that point up are told with file, line and rule: %s', (_, text) => {
    const [line, ...others] = run('imports', { 'low/a.ts': `// first\n${text}`, 'top/a.ts': 'export const a = 1;' });
    expect(line).toContain('src/low/a.ts:2 imports top/a.ts: low may not see top. Move what is needed');
    expect(others).toEqual([]);
  });

  it('of one role in another are told as such', () => {
    const [line] = run('imports', { 'left/a.ts': "import { b } from '../right/b.js';", 'right/b.ts': '' });
    expect(line).toContain('src/left/a.ts:1 imports right/b.ts: roles never import each other');
  });

  it('of what is not in the rules are told', () => {
    const [line] = run('imports', { 'new/a.ts': '' });
    expect(line).toContain('src/new/a.ts: "new" is not in');
  });

  it('in circles of two files are in order, in circles of three not', () => {
    const circle = (...names: string[]): Record<string, string> =>
      Object.fromEntries(
        names.map((name, at) => [
          `left/${name}.ts`,
          `import type { x } from './${names[(at + 1) % names.length]}.js';`,
        ]),
      );
    expect(run('imports', circle('a', 'b'))).toEqual([]);
    const [line, ...others] = run('imports', circle('c', 'd', 'e'));
    expect(line).toContain('src/left/c.ts, src/left/d.ts, src/left/e.ts import each other in a circle of 3');
    expect(others).toEqual([]);
  });

  it('of files and of modules known while the program runs have no place in a pure folder', () => {
    const text = "import { readFileSync } from 'node:fs';\nexport const load = (name: string) => import(name);";
    const lines = run('imports', { 'bytes/a.ts': text });
    expect(lines[0]).toContain('src/bytes/a.ts:1 imports node:fs: bytes is pure');
    expect(lines[1]).toContain('src/bytes/a.ts:2 loads a module while it runs');
  });

  it('of a package that one folder has for itself are told', () => {
    const [line] = run('imports', { 'left/a.ts': "import koffi from 'koffi';" });
    expect(line).toContain('src/left/a.ts:1 imports koffi, which only low may');
  });

  it('need rules that point down, and let only composers see roles', () => {
    const [low, bytes, left, right, top] = rules.folders;
    const wrong = (folders: object[], composers = rules.composers): string[] =>
      run('imports', {}, { ...rules, folders, composers });
    mkdirSync(join(folder, 'tree'));
    expect(wrong([{ ...low, sees: ['top'] }, bytes!, left!, right!, top!])[0]).toContain(
      '"low" sees "top", which does not stand below it',
    );
    expect(wrong([low!, bytes!, left!, { ...right, sees: ['left'] }, top!])[0]).toContain(
      '"right" sees "left", a role',
    );
    expect(wrong([low!, bytes!, left!, right!, top!], {})[0]).toContain('"top" sees "left", a role');
  });
});

describe('sizes', () => {
  const lines = (count: number): string => '//\n'.repeat(count);
  const parameters = (count: number): string => Array.from({ length: count }, (_, at) => `p${at}: number`).join(', ');

  it('may be as large as the rules say', () => {
    const tree = {
      'left/a.ts': lines(5),
      'low/table.ts': lines(6),
      'right/later/a.ts': lines(6),
      'left/b.ts': `export function f(${parameters(5)}) {}`,
      'left/c.ts': `export type F = (${parameters(6)}) => void;`,
    };
    expect(run('sizes', tree)).toEqual([]);
  });

  it('of a file are told', () => {
    expect(run('sizes', { 'left/a.ts': lines(6) })[0]).toContain('src/left/a.ts has 6 lines, at most 5 may be');
  });

  it.each([
    ['a function', 'f', `function f(${parameters(6)}) {}`],
    ['an arrow', 'f', `const f = (${parameters(6)}) => 1;`],
    ['a method', 'f', `class A { f(${parameters(6)}) {} }`],
    ['a constructor', 'constructor', `class A { constructor(${parameters(6)}) {} }`],
    ['a private method', 'f', `class A { #f(${parameters(6)}) {} }`],
  ])('of %s are told', (_, name, text) => {
    const [line] = run('sizes', { 'left/a.ts': text });
    expect(line).toContain(`src/left/a.ts:1 ${name} has 6 parameters, at most 5 may be`);
  });
});
