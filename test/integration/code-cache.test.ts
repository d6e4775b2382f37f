/** The loader of the bundle: what it compiles is cached beside the program, for the next process. */
import { spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, readdirSync, rmSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeEach, expect, it } from 'vitest';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const copy = mkdtempSync(join(tmpdir(), 'code-cache-'));
const CACHE = join(copy, 'dist/.cache');

cpSync(join(ROOT, 'dist'), join(copy, 'dist'), { recursive: true });
cpSync(join(ROOT, 'package.json'), join(copy, 'package.json'));
symlinkSync(join(ROOT, 'node_modules'), join(copy, 'node_modules'));
writeFileSync(
  join(copy, 'probe.cjs'),
  `const vm = require('node:vm');
  const { Script } = vm;
  const seen = [];
  vm.Script = class extends Script {
    constructor(text, options) {
      super(text, options);
      seen.push(options.cachedData === undefined ? 'compiled' : this.cachedDataRejected ? 'rejected' : 'cached');
    }
  };
  const { version } = require('./dist/index.cjs');
  console.log(version, ...seen);`,
);

beforeEach(() => rmSync(CACHE, { recursive: true, force: true }));
afterAll(() => rmSync(copy, { recursive: true }));

const { version } = JSON.parse(run(['-p', 'JSON.stringify(require("./package.json"))'])) as { version: string };

function run(args: readonly string[]): string {
  const { stdout, stderr, status } = spawnSync(process.execPath, args, { cwd: copy, encoding: 'utf8' });
  expect(status, stderr).toBe(0);
  return stdout.trim();
}

it('compiles once', () => {
  expect(run(['probe.cjs'])).toBe(`${version} compiled`);
  expect(readdirSync(CACHE)).toHaveLength(1);
  expect(run(['probe.cjs'])).toBe(`${version} cached`);
});

it('compiles again what V8 does not take, and replaces it', () => {
  run(['probe.cjs']);
  const [file = ''] = readdirSync(CACHE);
  truncateSync(join(CACHE, file), 1000);
  expect(run(['probe.cjs'])).toBe(`${version} rejected`);
  expect(run(['probe.cjs'])).toBe(`${version} cached`);
});

it('works where it cannot be written', () => {
  writeFileSync(CACHE, 'a file, and no folder');
  expect(run(['probe.cjs'])).toBe(`${version} compiled`);
});

it('is not used with source maps, which Node knows only of what it has loaded itself', () => {
  expect(run(['--enable-source-maps', 'probe.cjs'])).toBe(version);
});

it('gives require() and import the same objects', () => {
  const same = `import { createRequire } from 'node:module';
  import { Server } from './dist/index.js';
  console.log(createRequire(import.meta.url)('./dist/index.cjs').Server === Server);`;
  expect(run(['--input-type=module', '-e', same.replace('import.meta.url', `'${copy}/x.js'`)])).toBe('true');
});
