/** The loader of the bundle: what it compiles is cached beside the program, for the next process. */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  appendFileSync,
  chmodSync,
  chownSync,
  cpSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeEach, expect, it } from 'vitest';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const copy = mkdtempSync(join(tmpdir(), 'code-cache-'));
const DIST = join(copy, 'dist');
const CACHE = join(DIST, '.cache');
const isRoot = process.geteuid?.() === 0;
const NOBODY = 65534;

cpSync(join(ROOT, 'dist'), DIST, { recursive: true });
cpSync(join(ROOT, 'package.json'), join(copy, 'package.json'));
symlinkSync(join(ROOT, 'node_modules'), join(copy, 'node_modules'));
/** Of each file that is loaded: its name, and what V8 did. */
writeFileSync(
  join(copy, 'seen.cjs'),
  `const vm = require('node:vm');
  const { basename } = require('node:path');
  const { Script } = vm;
  const seen = module.exports = [];
  vm.Script = class extends Script {
    constructor(text, options) {
      super(text, options);
      const what = options.cachedData === undefined ? 'compiled' : this.cachedDataRejected ? 'rejected' : 'cached';
      seen.push({ name: basename(options.filename), what });
    }
  };`,
);
writeFileSync(
  join(copy, 'probe.cjs'),
  `const seen = require('./seen.cjs');
  const { version } = require('./dist/index.cjs');
  console.log(version, ...seen.map(({ what }) => what));`,
);
writeFileSync(
  join(copy, 'maps.cjs'),
  `const { ServerError, Table } = require('./dist/index.cjs');
  process.setSourceMapsEnabled(true);
  try { new Table(16, { n: 'int' }).set('a', { n: 'b' }); } catch (error) {
    const isTwice = Object.keys(require.cache).some((path) => path.endsWith('server.cjs'));
    console.log(error instanceof ServerError, isTwice);
  }`,
);
writeFileSync(
  join(copy, 'throw.cjs'),
  `const { Server } = require('./dist/index.cjs');
  try { new Server({ workerNum: -1 }); } catch (error) { console.log(error.stack); }`,
);

writeFileSync(
  join(copy, 'import.cjs'),
  `const seen = require('./seen.cjs');
  const before = new Set(Object.keys(require.cache));
  require('./dist/index.cjs');
  const packages = Object.keys(require.cache).filter((path) => !before.has(path) && path.includes('node_modules'));
  const ofNode = process.moduleLoadList.filter((name) => /^NativeModule (http|tls|crypto|child_process)$/.test(name));
  const compiled = seen.map(({ name }) => name);
  console.log(JSON.stringify({ compiled, packages: packages.filter((path) => !path.endsWith('.node')), ofNode }));`,
);

writeFileSync(
  join(copy, 'replaced.cjs'),
  `const { renameSync } = require('node:fs');
  const { ServerError, HttpServer } = require('./dist/index.cjs');
  setTimeout(() => {
    renameSync('dist', 'replaced');
    try {
      new HttpServer({ workerNum: -1 });
    } catch (error) {
      console.log(error instanceof ServerError, error.code);
    }
    renameSync('replaced', 'dist');
  }, 1500);`,
);

beforeEach(() => rmSync(CACHE, { recursive: true, force: true }));
afterAll(() => rmSync(copy, { recursive: true }));

const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { version: string };

function run(args: readonly string[], { uid }: { uid?: number } = {}): string {
  const { stdout, stderr, status } = spawnSync(process.execPath, args, {
    cwd: copy,
    encoding: 'utf8',
    ...(uid !== undefined && { uid, gid: uid }),
  });
  expect([status, stderr]).toEqual([0, '']);
  return stdout.trim();
}

function cached(): string {
  const [name = '', ...more] = readdirSync(CACHE);
  expect(more).toEqual([]);
  return join(CACHE, name);
}

it('loads one file for the import, and no module that is put off', () => {
  const { compiled, packages, ofNode } = JSON.parse(run(['import.cjs'])) as Record<string, string[]>;
  expect({ compiled, packages, ofNode }).toEqual({
    compiled: ['server.cjs'],
    packages: [],
    ofNode: ['NativeModule http'],
  });
});

it('uses what is put off of the package it has begun with, also when that has been replaced', () => {
  expect(run(['replaced.cjs'])).toBe('true ERR_OPTION_RANGE');
});

it('compiles once', () => {
  expect(run(['probe.cjs'])).toBe(`${version} compiled`);
  expect(statSync(cached()).size).toBeGreaterThan(100_000);
  expect(run(['probe.cjs'])).toBe(`${version} cached`);
});

it('that was moved with its cache compiles again, so that its stacks name the folder where it is', () => {
  expect(run(['probe.cjs'])).toBe(`${version} compiled`);
  const moved = `${copy}-moved`;
  cpSync(copy, moved, { recursive: true, verbatimSymlinks: true });
  try {
    expect(run([join(moved, 'probe.cjs')])).toBe(`${version} compiled`);
    for (const [folder, other] of [
      [moved, copy],
      [copy, moved],
    ] as const) {
      const stack = run([join(folder, 'throw.cjs')]);
      expect(stack).toContain(`${folder}/throw.cjs`);
      expect(stack).not.toContain(`${other}/`);
    }
  } finally {
    rmSync(moved, { recursive: true });
  }
});

it.each<[string, (file: string) => void]>([
  ['is cut off', (file) => truncateSync(file, 1000)],
  ['is empty', (file) => truncateSync(file, 0)],
  [
    'has not reached the disk whole',
    (file) => {
      const { size } = statSync(file);
      truncateSync(file, size - 4096);
      appendFileSync(file, Buffer.alloc(4096));
    },
  ],
])('compiles again where the cache %s, and replaces it', (_, spoil) => {
  run(['probe.cjs']);
  spoil(cached());
  expect(run(['probe.cjs'])).toBe(`${version} compiled`);
  expect(run(['probe.cjs'])).toBe(`${version} cached`);
});

it('keeps one for each set of flags that V8 compiles by', () => {
  const other = ['--no-opt', 'probe.cjs'];
  for (const args of [['probe.cjs'], other]) {
    expect(run(args)).toBe(`${version} compiled`);
    expect(run(args)).toBe(`${version} cached`);
  }
  expect(run(['probe.cjs'])).toBe(`${version} cached`);
  expect(readdirSync(CACHE)).toHaveLength(2);
});

it('is written by several processes at once', async () => {
  const processes = Array.from({ length: 4 }, () =>
    spawn(process.execPath, ['-e', "process.umask(0); require('./dist/index.cjs')"], { cwd: copy, stdio: 'inherit' }),
  );
  for (const code of await Promise.all(processes.map(async (child) => (await once(child, 'exit'))[0]))) {
    expect(code).toBe(0);
  }
  expect(statSync(CACHE).mode & 0o777).toBe(0o755);
  expect(statSync(cached()).mode & 0o777).toBe(0o644);
  expect(run(['probe.cjs'])).toBe(`${version} cached`);
});

it('works where it cannot be written', () => {
  writeFileSync(CACHE, 'a file, and no folder');
  expect(run(['probe.cjs'])).toBe(`${version} compiled`);
});

it.runIf(isRoot)('is written by the owner of the package alone, and read by all', () => {
  chmodSync(copy, 0o755);
  chownSync(DIST, NOBODY, NOBODY);
  expect(run(['probe.cjs'])).toBe(`${version} compiled`); // root does not leave files there
  expect(readdirSync(DIST)).not.toContain('.cache');
  chownSync(DIST, 0, 0);
  expect(run(['probe.cjs'], { uid: NOBODY })).toBe(`${version} compiled`);
  expect(readdirSync(DIST)).not.toContain('.cache');
  run(['probe.cjs']);
  expect(run(['probe.cjs'], { uid: NOBODY })).toBe(`${version} cached`);
});

it('is one program also where the script turns source maps on later', () => {
  expect(run(['maps.cjs'])).toBe('true false');
});

it('is not used with source maps, which Node knows only of what it has loaded itself', () => {
  expect(run(['--enable-source-maps', 'probe.cjs'])).toBe(version);
  expect(run(['--enable-source-maps', 'throw.cjs'])).toMatch(/src\/options\/[a-z-]+\.ts:\d+/);
});

it('throws what a part has thrown each time, with its place in the file', () => {
  const twice = `for (let round = 0; round < 2; round++) {
    try { require('./dist/load.cjs')('broken'); } catch (error) { console.log(error.stack.split('\\n')[1].trim()); }
  }`;
  writeFileSync(join(DIST, 'broken.cjs'), "exports.half = 1; throw new Error('broken');\n//# 0123456789abcdef");
  const place = `at ${join(DIST, 'broken.cjs')}:1:25`;
  expect(run(['-e', twice])).toBe(`${place}\n${place}`);
  expect(run(['-e', twice])).toBe(`${place}\n${place}`); // from the cache
});

it('imports modules of the user, by the import() of the loader alone', () => {
  const files = readdirSync(DIST).filter((name) => name.endsWith('.cjs'));
  const own = files.filter((name) => /\bimport\(/.test(readFileSync(join(DIST, name), 'utf8')));
  // The others for source maps, where there is no loader (src/util/import-module.ts).
  expect(own.sort()).toEqual(['cli.cjs', 'load.cjs', 'reactor.cjs', 'server.cjs']);
  writeFileSync(join(copy, 'framing.mjs'), 'await 0;\nexport const packetLength = () => 1;');
  writeFileSync(
    join(copy, 'imports.cjs'),
    `const { Server } = require('./dist/index.cjs');
    const server = new Server({ port: 0, logLevel: 'error', workerNum: 1, reactorNum: 1, framing: { type: 'custom', length: '${copy}/framing.mjs' } });
    server.on('receive', () => {});
    server.on('start', () => { console.log('up'); server.shutdown(); });
    void server.start();`,
  );
  for (const _ of ['compiled', 'cached']) expect(run(['imports.cjs'])).toBe('up');
});

it('gives require() and import the same objects', () => {
  const same = `import { createRequire } from 'node:module';
  import { Server } from './dist/index.js';
  console.log(createRequire('${copy}/x.js')('./dist/index.cjs').Server === Server);`;
  expect(run(['--input-type=module', '-e', same])).toBe('true');
});
