/** scripts/release.mjs, in a stand-in of this repository, with an npm that packs and only notes the rest. */
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

const SCRIPT = fileURLToPath(new URL('../../scripts/release.mjs', import.meta.url));
const REPOSITORY = { type: 'git', url: 'git+https://git.example/tswoole/tswoole.git' };
const FILES = {
  '.': ['dist/index.js', 'dist/index.cjs', 'dist/index.d.ts', 'dist/cli/main.cjs', 'README.md', 'LICENSE'],
  create: ['bin.mjs', 'lib/main.mjs', 'README.md', 'templates/_shared/all/_gitignore', 'templates/http/src/server.ts'],
};

/** Fails where FAILS says so. `pack` tells of the files that package.json names, and of those that npm always packs. */
const NPM = `#!${process.execPath}
const { appendFileSync, existsSync, readdirSync, readFileSync, statSync } = require('node:fs');
const { basename } = require('node:path');
const words = process.argv.slice(2);
const told = [basename(process.cwd()), ...words].join(' ');
appendFileSync(process.env.NOTES, told + '\\n');
if (told === process.env.FAILS) process.exit(1);
if (words[0] !== 'pack') process.exit();
const below = (path) => statSync(path).isFile() ? [path] : readdirSync(path).flatMap((name) => below(path + '/' + name));
const named = [...JSON.parse(readFileSync('package.json', 'utf8')).files, 'README.md', 'LICENSE', 'package.json'];
const files = named.filter((path) => existsSync(path)).flatMap(below).map((path) => ({ path }));
console.log(JSON.stringify([{ files, unpackedSize: Number(process.env.SIZE) }]));
`;

let home: string;
let root: string;

beforeEach(() => {
  home = realpathSync(mkdtempSync(join(tmpdir(), 'release-')));
  root = join(home, 'project');
  for (const [folder, files] of Object.entries(FILES)) for (const file of files) write(join(folder, file), `${file}\n`);
  packages({});
  write('CHANGELOG.md', '# Changelog\n\n## [Unreleased]\n\n## [1.2.3]\n\n- It is there.\n');
  write('scripts/release.mjs', '');
  copyFileSync(SCRIPT, join(root, 'scripts/release.mjs'));
  mkdirSync(join(home, 'bin'));
  writeFileSync(join(home, 'bin/npm'), NPM);
  chmodSync(join(home, 'bin/npm'), 0o755);
  git('init', '--quiet');
  commit();
});

afterEach(() => rmSync(home, { recursive: true }));

function write(path: string, text: string): void {
  mkdirSync(dirname(join(root, path)), { recursive: true });
  writeFileSync(join(root, path), text);
}

function packages(more: object, ofCreate: object = more): void {
  const both = { version: '1.2.3', license: 'MIT', repository: REPOSITORY };
  write('package.json', JSON.stringify({ name: 'tswoole', files: ['dist'], ...both, ...more }));
  const files = ['bin.mjs', 'lib', 'templates'];
  write('create/package.json', JSON.stringify({ name: 'create-tswoole', files, ...both, ...ofCreate }));
}

function git(...args: readonly string[]): string {
  const who = ['-c', 'user.name=a', '-c', 'user.email=a@b', '-c', 'commit.gpgsign=false'];
  return spawnSync('git', [...who, ...args], { cwd: root, encoding: 'utf8' }).stdout.trim();
}

function commit(): void {
  git('add', '--all');
  git('commit', '--quiet', '--message', 'all');
}

function release(
  args: readonly string[] = [],
  { fails = '', size = 1000 } = {},
): { code: number | null; out: string; npm: string[] } {
  const notes = join(home, 'notes');
  writeFileSync(notes, '');
  const { status, stdout, stderr } = spawnSync(process.execPath, ['scripts/release.mjs', ...args], {
    cwd: root,
    encoding: 'utf8',
    env: {
      ...process.env,
      PATH: `${join(home, 'bin')}${delimiter}${process.env['PATH']}`,
      NOTES: notes,
      FAILS: fails,
      SIZE: String(size),
      ...{ GIT_AUTHOR_NAME: 'a', GIT_AUTHOR_EMAIL: 'a@b', GIT_COMMITTER_NAME: 'a', GIT_COMMITTER_EMAIL: 'a@b' },
    },
  });
  return { code: status, out: stdout + stderr, npm: readFileSync(notes, 'utf8').trim().split('\n') };
}

const PROVEN = [
  'project run check',
  ...['project', 'create'].map((at) => `${at} pack --dry-run --json --ignore-scripts`),
];

describe('a release', () => {
  it.each([[[]], [['--dry-run']]])('that is only tried publishes nothing: %j', (args) => {
    const { code, out, npm } = release(args);
    expect([code, npm], out).toEqual([0, PROVEN]);
    expect(out).toContain('1.2.3 may be published: npm run release -- --publish');
    expect(out).not.toContain('FAILED');
    expect(git('tag')).toBe('');
  });

  it('publishes both packages, and tags what it has published', () => {
    const { code, out, npm } = release(['--publish']);
    expect([code, npm], out).toEqual([0, [...PROVEN, 'project publish', 'create publish']]);
    expect(out).toContain('git push origin v1.2.3');
    expect(git('tag')).toBe('v1.2.3');
    expect(release().out).toMatch(/v1\.2\.3 is a new tag: FAILED: v1\.2\.3 is there/);
  });

  it.each([
    ['project publish', 'npm publish failed; nothing was tagged'],
    ['create publish', 'tswoole was published, create-tswoole was not: run `npm publish` in create, then tag'],
  ])('that fails at "%s" says what is left to do, and tags nothing', (fails, says) => {
    const { code, out } = release(['--publish'], { fails });
    expect([code, git('tag')]).toEqual([1, '']);
    expect(out).toContain(says);
  });

  it('is refused where the checks fail', () => {
    const { code, out, npm } = release(['--publish'], { fails: 'project run check' });
    expect([code, npm]).toEqual([1, PROVEN]);
    expect(out).toMatch(/npm run check: FAILED[\s\S]*1 of 8 steps failed; nothing was published\./);
  });

  it.each([
    [
      'no repository',
      {},
      undefined,
      /both name the repository: FAILED: set "repository": \{.*\(nothing and nothing came\)/,
    ],
    [
      'another one for create-tswoole',
      { repository: REPOSITORY.url },
      { repository: 'x' },
      /\("git\+https.*" and "x" came\)/,
    ],
    [
      'another version of create-tswoole',
      { repository: 'x' },
      { repository: 'x', version: '1.2.4' },
      /create\/package\.json is not 1\.2\.3/,
    ],
  ] as const)('is refused with %s', (_, given, ofCreate, says) => {
    packages({ repository: undefined, ...given }, { repository: undefined, ...ofCreate });
    commit();
    const { code, out, npm } = release(['--publish']);
    expect([code, npm]).toEqual([1, PROVEN]);
    expect(out).toMatch(says);
  });

  it('is refused with changes that are not committed, without a section, and with files that are missing or foreign', () => {
    write('CHANGELOG.md', '## [Unreleased]\n\n- It is here.\n\n## [1.2.3]\n\n## [1.2.2]\n\n- Older.\n');
    packages({ files: ['dist', 'src'] }, {});
    write('src/index.ts', '');
    rmSync(join(root, 'dist/cli/main.cjs'));
    const { code, out } = release();
    expect([code, relative(home, root)]).toEqual([1, 'project']);
    expect(out).toMatch(/the tree is clean: FAILED: commit or remove:/);
    expect(out).toMatch(/CHANGELOG\.md has 1\.2\.3: FAILED: a section "## \[1\.2\.3\]" is expected/);
    expect(out).toMatch(
      /the tarball of tswoole: FAILED: dist\/cli\/main\.cjs is missing; src\/index\.ts does not belong there/,
    );
    expect(out).toContain('3 of 8 steps failed');
  });

  it('is refused with a tarball above its budget', () => {
    expect(release([], { size: 300_000 }).out).toMatch(
      /create-tswoole: FAILED: 300000 bytes, and 262144 are the budget\n/,
    );
  });

  it('takes no other words', () => {
    for (const args of [['--what'], ['--publish', '--dry-run'], ['now']]) {
      const { code, out, npm } = release(args);
      expect([code, npm, out]).toEqual([
        1,
        [''],
        expect.stringMatching(/^release: .*--dry-run .* and --publish are what there is/),
      ]);
    }
  });
});
