/** The package as a person meets it: the tarball, put into an empty project without a network. */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createConnection } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join, normalize, relative } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { blocksOf } from '../helpers/pages.js';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const app = realpathSync(mkdtempSync(join(tmpdir(), 'package-')));
const installed = join(app, 'node_modules/tswoole');
const { version, dependencies } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as {
  version: string;
  dependencies: Record<string, string>;
};

beforeAll(() => {
  run('npm', ['pack', '--silent', '--ignore-scripts', '--pack-destination', app], ROOT);
  mkdirSync(installed, { recursive: true });
  run('tar', ['xzf', join(app, `tswoole-${version}.tgz`), '-C', installed, '--strip-components', '1']);
  for (const name of Object.keys(dependencies)) link(join(ROOT, 'node_modules', name), `node_modules/${name}`);
  link('../tswoole/dist/cli/main.js', 'node_modules/.bin/tswoole');
  writeFileSync(join(app, 'package.json'), '{ "name": "app", "private": true }');
});

afterAll(() => rmSync(app, { recursive: true }));

function link(target: string, name: string): void {
  mkdirSync(dirname(join(app, name)), { recursive: true });
  symlinkSync(target, join(app, name));
}

function run(command: string, args: readonly string[], cwd = app): string {
  const { status, stdout, stderr, error } = spawnSync(command, args, { cwd, encoding: 'utf8' });
  if (error !== undefined) throw error;
  expect(status, `${command} ${args.join(' ')}: ${stdout}${stderr}`).toBe(0);
  return stdout;
}

/** Runs a script of the app until its server is up, asks it once, and ends it. @returns what it answers */
async function askServer(file: string, text: string, line: string): Promise<string> {
  writeFileSync(join(app, file), text);
  const child = spawn(process.execPath, [file], {
    cwd: app,
    env: { ...process.env, TSWOOLE_OPTION_PORT: '0', TSWOOLE_OPTION_WORKER_NUM: '1' },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const exited = once(child, 'exit');
  try {
    let port = 0;
    for await (const said of createInterface({ input: child.stdout })) {
      port = Number(/listening on (\d+)$/.exec(said)?.[1] ?? 0);
      if (port !== 0) break;
    }
    expect(port).toBeGreaterThan(0);
    const client = createConnection({ port, host: '127.0.0.1' });
    client.write(line);
    const [answer] = (await once(client, 'data')) as [Buffer];
    client.destroy();
    return answer.toString();
  } finally {
    child.kill('SIGTERM');
    expect(await exited).toEqual([0, null]);
  }
}

const files = (): string[] =>
  readdirSync(installed, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(installed, join(entry.parentPath, entry.name)));

describe('the tarball', () => {
  it('installs no test, no script of the build and no source, and stays below 8 MiB', () => {
    const foreign = files().filter((file) => /^(src|test|scripts|build|bench\/.*\.js|node_modules)(\/|$)/.test(file));
    expect(foreign).toEqual([]);
    expect(Number(run('du', ['-sk', installed]).split('\t')[0])).toBeLessThan(8 * 1024);
  });

  it('has every file that its pages link to', () => {
    const pages = files().filter((file) => file.endsWith('.md'));
    expect(pages).toContain('README.md');
    const dead = pages.flatMap((page) => {
      const text = readFileSync(join(installed, page), 'utf8');
      const targets = [...text.matchAll(/\]\((?!\w+:|#)([^)#\s]+)/g)].map(([, target = '']) => target);
      return targets
        .filter((target) => !existsSync(join(installed, normalize(join(dirname(page), target)))))
        .map((target) => `${page}: ${target}`);
    });
    expect(dead).toEqual([]);
  });

  it('has source maps that bring their sources along', () => {
    const maps = files().filter((file) => file.endsWith('.map'));
    for (const file of maps) {
      const { sources, sourcesContent = [] } = JSON.parse(readFileSync(join(installed, file), 'utf8')) as {
        sources: string[];
        sourcesContent?: (string | null)[];
      };
      expect(sourcesContent.filter((text) => typeof text === 'string').length, file).toBe(sources.length);
    }
    const named = files().flatMap((file) =>
      file.endsWith('.js')
        ? (/^\/\/# sourceMappingURL=(.+)$/m.exec(readFileSync(join(installed, file), 'utf8')) ?? [])
        : [],
    );
    expect(maps.length).toBe(named.length / 2);
  });
});

describe('in an empty project', () => {
  it('`npx tswoole --version` tells the version', () => {
    expect(run('npx', ['--no-install', 'tswoole', '--version'])).toBe(`tswoole ${version}\n`);
  });

  it('the first example of README runs as it stands', async () => {
    const example = blocksOf('README.md').find(({ language }) => language === 'js')?.text ?? '';
    expect(await askServer('server.mjs', example, 'hello')).toBe('hello');
  });

  it('a CommonJS file requires it, and gets the very objects that import gives', async () => {
    const text = `const { Server, version } = require('tswoole');
      const server = new Server();
      server.on('workerStart', async () => {
        if ((await import('tswoole')).Server !== Server) throw new Error('there are two of it');
      });
      server.on('receive', (conn) => { conn.send(version); });
      server.start().then(() => console.log('listening on ' + server.port));`;
    expect(await askServer('server.cjs', text, 'which version?')).toBe(version);
  });

  const canLoseIt = process.allowedNodeEnvironmentFlags.has('--no-experimental-require-module');

  it.skipIf(!canLoseIt)('a Node that does not require ES modules says what to do', () => {
    writeFileSync(join(app, 'old.cjs'), "require('tswoole');");
    // Takes the ability away from a Node that has it.
    const { status, stderr } = spawnSync(process.execPath, ['--no-experimental-require-module', 'old.cjs'], {
      cwd: app,
      encoding: 'utf8',
    });
    expect(status).toBe(1);
    expect(stderr).toContain('tswoole is an ES module');
    expect(stderr).toContain("import { Server } from 'tswoole'");
  });
});
