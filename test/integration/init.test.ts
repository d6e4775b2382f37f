// `tswoole init`: the config it writes starts the app as it is.
import { existsSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, it } from 'vitest';
import { CommandLine, endCommandLines } from '../helpers/command-line.js';
import { look } from '../helpers/shared-lines.js';

afterEach(endCommandLines);

const PACKAGES = fileURLToPath(new URL('../../node_modules', import.meta.url));

interface App {
  readonly manifest: object;
  readonly script: string;
  readonly source: string;
  readonly packages?: readonly string[];
}

const APPS: readonly (readonly [name: string, app: App])[] = [
  [
    'an app of Express',
    {
      manifest: {
        name: '@shop/web',
        main: 'index.js',
        dependencies: { express: '^5.0.0' },
        scripts: { start: 'node ./bin/www.js' },
      },
      script: './bin/www.js',
      source: `const express = require('express'); const app = express();
app.get('/', (request, response) => response.send('served by ' + process.env.NODE_APP_INSTANCE)); app.listen(process.env.PORT ?? 0);`,
      packages: ['express'],
    },
  ],
  [
    'an app of Fastify',
    {
      manifest: { name: 'fast', type: 'module', main: 'server.js', dependencies: { fastify: '^5.0.0' } },
      script: 'server.js',
      source: `import Fastify from 'fastify'; const app = Fastify();
app.get('/', async () => 'served by ' + process.env.NODE_APP_INSTANCE); await app.listen({ port: 0, host: '127.0.0.1' });`,
      packages: ['fastify'],
    },
  ],
  [
    'an app of Hono',
    {
      manifest: { type: 'module', dependencies: { hono: '^4.0.0' } },
      script: 'src/index.js',
      source: `import { Hono } from 'hono'; const app = new Hono();
app.get('/', (c) => c.text('served by ' + process.env.NODE_APP_INSTANCE)); export default app;`,
      packages: ['hono'],
    },
  ],
  [
    'an app of Nest',
    {
      manifest: {
        name: 'nest',
        type: 'module',
        dependencies: { '@nestjs/core': '^11.0.0', express: '^5.0.0' },
        scripts: { start: 'nest start', 'start:prod': 'node dist/main' },
      },
      script: 'dist/main.js',
      source: `import 'reflect-metadata'; import { Controller, Get, Module } from '@nestjs/common'; import { NestFactory } from '@nestjs/core';
class Root { get() { return 'served by ' + process.env.NODE_APP_INSTANCE; } }
Get('/')(Root.prototype, 'get', Object.getOwnPropertyDescriptor(Root.prototype, 'get')); Controller()(Root);
class App {} Module({ controllers: [Root] })(App);
const app = await NestFactory.create(App, { logger: false }); await app.listen(process.env.PORT ?? 0);`,
      packages: ['@nestjs', 'reflect-metadata', 'rxjs'],
    },
  ],
  [
    'an app of Koa',
    {
      manifest: { name: 'koa', dependencies: { koa: '^3.0.0' }, scripts: { start: 'NODE_ENV=production node app' } },
      script: 'app.js',
      source: `const Koa = require('koa'); const app = new Koa();
app.use((context) => { context.body = 'served by ' + process.env.NODE_APP_INSTANCE; }); app.listen(process.env.PORT ?? 0);`,
      packages: ['koa'],
    },
  ],
  [
    'an app of H3',
    {
      manifest: { name: 'h3', type: 'module', dependencies: { h3: '^2.0.0' } },
      script: 'src/app.mjs',
      source: `import { H3 } from 'h3'; const app = new H3();
app.get('/', () => 'served by ' + process.env.NODE_APP_INSTANCE); export default app;`,
      packages: ['h3'],
    },
  ],
  [
    'an app',
    {
      manifest: { name: '1', scripts: { dev: 'node --watch app.mjs' } },
      script: 'app.mjs',
      source: `import { createServer } from 'node:http';
createServer((_, response) => response.end('served by ' + process.env.NODE_APP_INSTANCE)).listen(process.env.PORT ?? 0);`,
    },
  ],
  [
    'a server of tswoole',
    {
      manifest: { name: 'own', type: 'module', dependencies: { tswoole: '*' } },
      script: 'server.js',
      source: `import { HttpServer } from 'tswoole'; const server = new HttpServer({ host: '127.0.0.1' });
server.on('request', (_, response) => response.end('served by ' + server.workerId)); await server.start();`,
    },
  ],
];

function lineWith({ manifest, script, source, packages = [] }: App): CommandLine {
  // With an address of its own the app is not loaded once more only to ask for it.
  const line = new CommandLine({ TSWOOLE_OPTION_HOST: '127.0.0.1', TSWOOLE_OPTION_WORKER_NUM: '1' });
  writeFileSync(join(line.folder, 'package.json'), JSON.stringify(manifest));
  mkdirSync(join(line.folder, script, '..'), { recursive: true });
  writeFileSync(join(line.folder, script), source);
  for (const name of packages) symlinkSync(join(PACKAGES, name), join(line.folder, 'node_modules', name));
  return line;
}

describe('the config that tswoole init writes', () => {
  it.each(APPS)('starts %s, which answers', async (kind, app) => {
    const line = lineWith(app);
    const said = await line.must('init');
    expect(said).toContain(`Found ${kind}: ${app.script} (`);
    const name = 'type' in app.manifest ? 'tswoole.config.js' : 'tswoole.config.mjs';
    expect(said).toContain(`Wrote ${name}.`);
    expect(said).toContain('npx tswoole start');
    await line.must('start', '--daemon', '--env', 'production');
    const { status } = await look(line);
    const [address = ''] = status.listening;
    const answer = await fetch(`http://127.0.0.1:${address.split(':').at(-1)}/`);
    expect(await answer.text()).toMatch(/^served by 0$/);
    await line.must('stop');
  });
});

describe('tswoole init', () => {
  const EXPRESS = APPS[0]?.[1] as App;

  it('writes over a config only by force', async () => {
    const line = lineWith(EXPRESS);
    await line.must('init');
    const again = await line.run('init');
    expect([again.code, again.stderr]).toEqual([
      2,
      expect.stringMatching(/There is tswoole\.config\.mjs already; --force/),
    ]);
    writeFileSync(join(line.folder, 'tswoole.config.mjs'), '');
    await line.must('init', '--force');
    expect(readFileSync(join(line.folder, 'tswoole.config.mjs'), 'utf8')).toMatch(
      /name: 'web',\n {2}script: '.\/bin\/www\.js',/,
    );
    writeFileSync(join(line.folder, 'tswoole.config.json'), '{}');
    expect((await line.run('init', '--force')).stderr).toMatch(/tswoole\.config\.json is there too/);
  });

  it('writes to no other place through a link, and says what it cannot read or write', async () => {
    const line = lineWith(EXPRESS);
    const [config, elsewhere] = ['tswoole.config.mjs', 'elsewhere'].map((name) => join(line.folder, name));
    symlinkSync(elsewhere as string, config as string);
    const refused = await line.run('init');
    expect([refused.code, refused.stderr]).toEqual([2, expect.stringMatching(/There is tswoole\.config\.mjs already/)]);
    await line.must('init', '--force');
    expect([existsSync(elsewhere as string), readFileSync(config as string, 'utf8')]).toEqual([
      false,
      expect.stringContaining("name: 'web'"),
    ]);
    rmSync(config as string);
    mkdirSync(config as string);
    const folder = await line.run('init', '--force');
    expect([folder.code, folder.stderr]).toEqual([
      1,
      expect.stringMatching(/^tswoole: \S+mjs cannot be written: [^\n]+\n$/),
    ]);
    rmSync(join(line.folder, 'package.json'));
    mkdirSync(join(line.folder, 'package.json'));
    const manifest = await line.run('init');
    expect([manifest.code, manifest.stderr]).toEqual([
      2,
      expect.stringMatching(/package\.json cannot be read: EISDIR[^\n]+\n$/),
    ]);
  });

  it('says what a build has to make first, and what has to be installed', async () => {
    const line = lineWith({ manifest: { dependencies: { next: '*' } }, script: 'next.config.js', source: '' });
    writeFileSync(join(line.folder, '.env'), 'A=1\n');
    const said = await line.must('init');
    expect(said).toContain('Found an app of Next: .next/standalone/server.js');
    expect(said).toContain(`npm run build, with output: 'standalone' in the config of Next`);
    expect(readFileSync(join(line.folder, 'tswoole.config.mjs'), 'utf8')).toContain("envFile: '.env'");
    expect(readFileSync(join(line.folder, 'tswoole.config.mjs'), 'utf8')).toMatch(
      /production: \{.*, logFile: '[^/]+\.log' \}/,
    );
  });

  it('asks for the script where it finds none, and takes the one that is named', async () => {
    const line = lineWith({ manifest: {}, script: 'bin/run.js', source: '' });
    expect((await line.run('init')).stderr).toMatch(
      /No script that starts an app was found.*tswoole init src\/server\.js/,
    );
    expect((await line.run('init', 'lost.js')).stderr).toMatch(/There is no file .*lost\.js/);
    expect(await line.must('init', 'bin/run.js')).toContain('Found an app: bin/run.js (as given)');
    writeFileSync(join(line.folder, 'package.json'), '{');
    expect((await line.run('init', '--force')).stderr).toMatch(/package\.json is not JSON/);
  });
});
