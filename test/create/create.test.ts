import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeEach, describe, expect, it } from 'vitest';
import { dockerfileCommand, PROJECTS, Projects } from '../helpers/create.js';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

let projects: Projects;

beforeEach(() => {
  projects = new Projects();
});

afterEach(() => projects.remove());

const filesOf = (folder: string): string[] =>
  readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(folder, join(entry.parentPath, entry.name)))
    .sort();

describe('a generated project', () => {
  /** Each is generated once, for all tests that only read it. */
  const generated = new Projects();
  const folders = new Map<string, string>();
  afterAll(() => generated.remove());

  function folderOf(template: string, language: string): string {
    const name = `${template}-${language}`;
    const folder = folders.get(name) ?? generated.generate(template, language);
    folders.set(name, folder);
    return folder;
  }

  /** Texts that Node has read without a complaint: most files are those of several templates. */
  const checked = new Set<string>();

  it.each(PROJECTS)('of $template in $language is complete, with no placeholder left', ({ template, language }) => {
    const folder = folderOf(template, language);
    const name = `${template}-${language}`;
    const files = filesOf(folder);
    const ofLanguage = language === 'ts' ? ['tsconfig.json', 'dev.mjs'] : [];
    const always = ['.dockerignore', '.gitignore', 'Dockerfile', 'README.md', `${name}.service`, 'package.json'];
    const code = [`src/server.${language}`, `test/server.test.${language}`, `test/start.${language}`];
    expect(files).toEqual(expect.arrayContaining([...always, ...code, ...ofLanguage]));
    expect(files.filter((file) => file.endsWith(language === 'ts' ? '.js' : '.ts'))).toEqual([]);
    for (const file of files) expect(readFileSync(join(folder, file), 'utf8'), file).not.toMatch(/\{\{\w+\}\}/);
    const {
      scripts,
      dependencies,
      name: told,
    } = JSON.parse(generated.read(`${name}/package.json`)) as {
      name: string;
      scripts: Record<string, string>;
      dependencies: Record<string, string>;
    };
    expect(told).toBe(name);
    expect(Object.keys(scripts)).toEqual(expect.arrayContaining(['dev', 'start', 'test']));
    expect(Object.hasOwn(scripts, 'build')).toBe(language === 'ts');
    const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { version: string };
    expect(dependencies['tswoole']).toBe(`^${version}`);
  });

  it.each(PROJECTS.filter(({ language }) => language === 'js'))(
    'of $template in JavaScript holds no types',
    ({ template }) => {
      const folder = folderOf(template, 'js');
      for (const file of filesOf(folder).filter((name) => name.endsWith('.js'))) {
        const text = readFileSync(join(folder, file), 'utf8');
        if (checked.has(text)) continue;
        const { status, stderr } = spawnSync(process.execPath, ['--check', join(folder, file)], { encoding: 'utf8' });
        expect(status, stderr).toBe(0);
        checked.add(text);
      }
    },
  );

  it.each(['ts', 'js'])('has a Dockerfile whose commands run as they are, without a shell: %s', (language) => {
    folderOf('tcp', language);
    const dockerfile = generated.read(`tcp-${language}/Dockerfile`);
    const entry = language === 'ts' ? 'dist/src/server.js' : 'src/server.js';
    expect(dockerfileCommand(dockerfile, 'CMD')).toEqual(['node_modules/.bin/tswoole', 'start', entry]);
    expect(dockerfileCommand(dockerfile, 'HEALTHCHECK')).toEqual(['node_modules/.bin/tswoole', 'status']);
  });

  it.each([
    ['npm', 'package-lock.json'],
    ['pnpm', 'pnpm-lock.yaml'],
    ['yarn', 'yarn.lock'],
    ['bun', 'bun.lock'],
  ])('for %s names it in README and its lock file in the Dockerfile', (pm, lock) => {
    projects.generate('http', 'ts', '--pm', pm);
    expect(projects.read('http-ts/README.md')).toContain(`${pm} install`);
    expect(projects.read('http-ts/Dockerfile')).toContain(`COPY package.json ${lock}* ./`);
    expect(existsSync(join(projects.folder, 'http-ts/.yarnrc.yml'))).toBe(pm === 'yarn');
  });
});

describe('create-tswoole', () => {
  it('takes TypeScript, HTTP and npm where nothing is said and no terminal is there', () => {
    const { status, stdout } = projects.create('--no-install', '--no-git');
    expect(status).toBe(0);
    expect(projects.read('my-app/src/server.ts')).toContain('new HttpServer(');
    for (const step of ['cd my-app', 'npm install', 'npm run dev', 'npm run test']) expect(stdout).toContain(step);
  });

  it('makes a git repository, and none inside of one', () => {
    projects.create('outer', '--no-install');
    expect(existsSync(join(projects.folder, 'outer/.git'))).toBe(true);
    projects.create('outer/inner', '--no-install');
    expect(existsSync(join(projects.folder, 'outer/inner/.git'))).toBe(false);
  });

  it('refuses a folder that has files, and writes into it with --force', () => {
    mkdirSync(join(projects.folder, 'app'));
    writeFileSync(join(projects.folder, 'app/notes.txt'), 'mine');
    const { status, stderr } = projects.create('app', '--no-install', '--no-git');
    expect(status).toBe(2);
    expect(stderr).toMatch(/app is not empty\. Give another folder, or --force/);
    expect(projects.create('app', '--no-install', '--no-git', '--force').status).toBe(0);
    expect(projects.read('app/notes.txt')).toBe('mine');
  });

  it('refuses a link to what is not there', () => {
    symlinkSync(join(projects.folder, 'nowhere'), join(projects.folder, 'app'));
    const { status, stderr } = projects.create('app', '--no-install', '--no-git');
    expect([status, stderr]).toEqual([2, expect.stringMatching(/app is a link to what is not there/)]);
    expect(existsSync(join(projects.folder, 'nowhere'))).toBe(false);
  });

  it.each([
    [['My App'], /A name has small letters.*"My App" came/],
    [['node_modules'], /node_modules is taken/],
    [['a', 'b'], /One folder is expected, and a, b came/],
    [['a', '--template', 'none'], /--template takes one of tcp, http.*"none" came/],
    [['a', '--pm', 'none'], /--pm takes one of npm, pnpm, yarn, bun, and "none" came/],
    [['a', '--js', '--ts'], /Either --js or --ts/],
    [['a', '--what'], /--what.*--help lists the options/],
  ])('refuses %j and writes nothing', (args, why) => {
    const { status, stderr } = projects.create(...args, '--no-install');
    expect(status).toBe(2);
    expect(stderr).toMatch(why);
    expect(readdirSync(projects.folder)).toEqual([]);
  });

  it('has no dependency, and the version of tswoole', () => {
    const own = JSON.parse(readFileSync(join(ROOT, 'create/package.json'), 'utf8')) as Record<string, unknown>;
    const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { version: string };
    expect(own['dependencies']).toBeUndefined();
    expect(own['version']).toBe(version);
  });

  it('packs every file of its templates', () => {
    const args = ['pack', '--dry-run', '--json', '--ignore-scripts'];
    const { stdout } = spawnSync('npm', args, { cwd: join(ROOT, 'create'), encoding: 'utf8' });
    const packed = [...stdout.matchAll(/"path": "(templates[^"]+)"/g)].map(([, path]) => path);
    const there = filesOf(join(ROOT, 'create/templates')).map((file) => `templates/${file}`);
    expect(packed.sort()).toEqual(there);
  });
});

describe('tswoole', () => {
  it('has at most six run-time dependencies', () => {
    const { dependencies } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { dependencies: object };
    expect(Object.keys(dependencies).length).toBeLessThanOrEqual(6);
  });
});
