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
  for (const name of [...Object.keys(dependencies), 'express', 'hono'])
    link(join(ROOT, 'node_modules', name), `node_modules/${name}`);
  link('../tswoole/dist/cli/main.cjs', 'node_modules/.bin/tswoole');
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

/** Runs a script of the app, and ends it in order. @param use is called with the line that says it is up */
async function withServer(file: string, text: string, use: (line: string) => Promise<void> | void): Promise<void> {
  writeFileSync(join(app, file), text);
  const child = spawn(process.execPath, [file], {
    cwd: app,
    env: { ...process.env, TSWOOLE_OPTION_PORT: '0', TSWOOLE_OPTION_WORKER_NUM: '1', TSWOOLE_OPTION_REACTOR_NUM: '1' },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let errors = '';
  child.stderr.on('data', (piece: Buffer) => {
    errors += piece.toString();
  });
  const exited = once(child, 'exit');
  try {
    const lines = createInterface({ input: child.stdout });
    const line = await new Promise<string>((resolve, reject) => {
      lines.on('line', (said) => said.startsWith('listening on') && resolve(said));
      lines.once('close', () => reject(new Error(`${file} did not come up: ${errors}`)));
    });
    await use(line);
  } finally {
    child.kill('SIGTERM');
    expect(await exited, errors).toEqual([0, null]);
  }
}

async function ask(line: string, question: string): Promise<string> {
  const client = createConnection({ port: Number(line.split(' ').at(-1)), host: '127.0.0.1' });
  client.write(question);
  const [answer] = (await once(client, 'data')) as [Buffer];
  client.destroy();
  return answer.toString();
}

/** Those that listen where the environment says, and need no file but themselves. */
const runnable = ['README.md', 'docs/http.md', 'docs/frameworks.md', 'docs/tasks.md', 'docs/operating.md']
  .flatMap(blocksOf)
  .filter(({ language, text }) => language === 'js' && text.includes('.start()'));

const files = (): string[] =>
  readdirSync(installed, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(installed, join(entry.parentPath, entry.name)));

describe('the tarball', () => {
  it('installs no test, no script of the build and no source, and stays below 7 MiB', () => {
    const foreign = files().filter((file) => /^(src|test|scripts|build|bench\/.*\.js|node_modules)(\/|$)/.test(file));
    expect(foreign).toEqual([]);
    expect(Number(run('du', ['-sk', installed]).split('\t')[0])).toBeLessThan(7 * 1024);
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

  it('has source maps that name the sources, without their text', () => {
    const maps = files().filter((file) => file.endsWith('.map'));
    for (const file of maps) {
      const map = JSON.parse(readFileSync(join(installed, file), 'utf8')) as { sources: string[]; mappings: string };
      expect(map, file).not.toHaveProperty('sourcesContent');
      expect(map.sources.length, file).toBeGreaterThan(0);
      expect(map.mappings, file).not.toBe('');
    }
    const named = files().flatMap((file) =>
      /\.c?js$/.test(file)
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

  it('a cluster whose engine has no package here is refused, with the command that installs it', () => {
    const script = `import { Server } from 'tswoole';
      const server = new Server({ port: 0, cluster: { driver: 'redis', url: 'redis://127.0.0.1:1' } });
      server.on('receive', () => {});
      await server.start().catch(({ code, message }) => {
        console.log(code, message);
        process.exit(0);
      });`;
    writeFileSync(join(app, 'cluster.mjs'), script);
    const said = run(process.execPath, ['cluster.mjs']);
    expect(said).toContain('ERR_CLUSTER_PACKAGE');
    expect(said).toContain('npm install ioredis@^');
  });

  it('the first example of README runs as it stands', async () => {
    const example = blocksOf('README.md').find(({ language }) => language === 'js')?.text ?? '';
    await withServer('server.mjs', example, async (line) => expect(await ask(line, 'hello')).toBe('hello'));
  });

  it.each(runnable.map(({ page, line, text }) => [`${page}:${line}`, text] as const))(
    'the example at %s comes up as it stands, and ends in order',
    async (at, text) => {
      const file = `${at.replaceAll(/[/:]/g, '-')}.mjs`;
      await withServer(file, `${text}\nconsole.log('listening on');\n`, () => {});
    },
  );

  it('a CommonJS file requires it, and gets the very objects that import gives', async () => {
    const text = `const { Server, version } = require('tswoole');
      const server = new Server();
      server.on('workerStart', async () => {
        if ((await import('tswoole')).Server !== Server) throw new Error('there are two of it');
      });
      server.on('receive', (conn) => { conn.send(version); });
      server.start().then(() => console.log('listening on ' + server.port));`;
    await withServer('server.cjs', text, async (line) => expect(await ask(line, 'which?')).toBe(version));
  });

  it('a Node that does not require ES modules requires it all the same', () => {
    const flag = '--no-experimental-require-module';
    const args = process.allowedNodeEnvironmentFlags.has(flag) ? [flag] : [];
    expect(run(process.execPath, [...args, '-p', "require('tswoole').version"])).toBe(`${version}\n`);
  });
});
