import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { init } from '../../src/cli/commands/init.js';
import { CliError, ExitCode } from '../../src/cli/exit.js';
import { collect } from '../helpers/cli-world.js';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'init-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const PNG = Buffer.from('89504e470d0a1a0a0000000d49484452', 'hex');

function put(name: string, content: string | Buffer = "import 'tswoole';\n"): string {
  writeFileSync(join(folder, name), content);
  return name;
}

function putFolder(name: string): string {
  mkdirSync(join(folder, name));
  return name;
}

function putPipe(name: string): string {
  spawnSync('mkfifo', [join(folder, name)]);
  return name;
}

function failure(entry: string): unknown {
  const out = collect(process.stdout);
  try {
    init(folder, entry, false);
    return undefined;
  } catch (error) {
    return error instanceof CliError ? [error.exitCode, error.message] : error;
  } finally {
    out.restore();
  }
}

const written = (): string => readFileSync(join(folder, 'tswoole.config.mjs'), 'utf8');

describe('tswoole init with a script that was named', () => {
  it.each<[what: string, make: () => string, why: RegExp]>([
    ['a picture', () => put('logo.png', PNG), /logo\.png must end in \.js, \.mjs, .*, and ends in \.png\. Name the/],
    ['a text', () => put('README.md', '# it\n'), /README\.md must end in .*ends in \.md/],
    ['a picture with the name of a script', () => put('logo.js', PNG), /logo\.js is no text/],
    [
      'bytes without an ending',
      () => put('program', Buffer.from([0x7f, 0x45, 0x4c, 0x46, 0, 0])),
      /program is no text/,
    ],
    ['declarations of types', () => put('it.d.ts', 'export {};\n'), /it\.d\.ts declares types/],
    ['a config file', () => put('tswoole.config.mjs', 'export default {};\n'), /is a config file of tswoole/],
    ['a folder', () => putFolder('src.js'), /src\.js is a folder/],
    ['a named pipe', () => putPipe('it.js'), /it\.js is a device, a pipe/],
    ['what is not there', () => 'none.js', /There is no file .*none\.js/],
  ])('refuses %s', (_, make, why) => {
    const name = make();
    expect(failure(name)).toEqual([ExitCode.usage, expect.stringMatching(why)]);
    expect(existsSync(join(folder, 'tswoole.config.js'))).toBe(false);
  });

  it.skipIf(process.geteuid?.() === 0)('refuses one that it may not read', () => {
    chmodSync(join(folder, put('it.js')), 0);
    expect(failure('it.js')).toEqual([ExitCode.usage, expect.stringMatching(/it\.js cannot be read: EACCES/)]);
  });

  it.each(['server.js', 'server.mjs', 'server.cjs', 'server.ts', 'server.mts', 'server.cts', 'program', 'a b.js'])(
    'takes %s',
    (name) => {
      expect(failure(put(name))).toBeUndefined();
      expect(written()).toContain(`script: '${name}'`);
    },
  );

  it('takes an empty one, which is yet to be written, and an absolute path', () => {
    expect(failure(join(folder, put('later.js', '')))).toBeUndefined();
    expect(written()).toContain("script: 'later.js'");
  });

  it('does not take a "main" of package.json that is none', () => {
    put('package.json', '{"main":"style.css"}');
    put('style.css', 'body {}\n');
    expect(() => init(folder, undefined, false)).toThrow(/No script that starts an app was found/);
  });
});

describe('tswoole init with an app that speaks TLS itself, which tswoole does not let listen', () => {
  const said = (source: string): { readonly warned: string; readonly config: string } => {
    put('app.mjs', source);
    const [out, errors] = [collect(process.stdout), collect(process.stderr)];
    try {
      init(folder, 'app.mjs', true);
      return { warned: errors.text(), config: written() };
    } finally {
      out.restore();
      errors.restore();
    }
  };

  it.each([
    ["import https from 'node:https';\nhttps.createServer({}, app).listen(1);", 'https'],
    ["import * as $tls from 'tls';\n$tls . createServer({});", 'tls'],
    ["import { Agent, createServer as make } from 'https';\nmake({});", 'https'],
    ["import {\n  createSecureServer,\n} from 'node:http2';\ncreateSecureServer({});", 'http2'],
    ["const https = require('https');\nconst server = https.createServer(options, app);", 'https'],
    ['const { createServer } = require("https");\ncreateServer({}, app);', 'https'],
    ["require('node:https').createServer({}, app).listen(1);", 'https'],
    ["import http2 = require('http2');\nhttp2.createSecureServer({});", 'http2'],
    ["const https = await import('node:https');\nhttps.createServer({});", 'https'],
    [
      "import http from 'http';\nimport https from 'https';\nhttp.createServer(to).listen(80); https.createServer({}, app).listen(443);",
      'https',
    ],
  ])('says so, with what to do: %s', (source, module) => {
    const { warned, config } = said(source);
    expect(warned).toMatch(
      new RegExp(
        `^tswoole: app\\.mjs seems to make a server of node:${module}; such an app is refused, .*docs/tls\\.md\\.\\n$`,
      ),
    );
    expect(config).toContain("// tls: { cert: 'server.crt', key: 'server.key' }");
  });

  it.each([
    ['fastify', 'const app = Fastify({ https: { cert, key } });', 'https'],
    ['fastify', 'const app = Fastify({ http2: true });', 'http2'],
    ['@nestjs/core', 'NestFactory.create(AppModule, { httpsOptions });', 'https'],
    ['fastify', 'const app = Fastify({ https: null, http2: false });', ''],
    ['fastify', '// Fastify({ https: { cert, key } })', ''],
    ['express', 'const urls = { https: { port: 443 } };', ''],
  ])('knows what %s makes by its options: %s', (dependency, source, module) => {
    put('package.json', JSON.stringify({ dependencies: { [dependency]: '*' } }));
    const { warned } = said(source);
    expect(warned).toMatch(module === '' ? /^$/ : new RegExp(`seems to make a server of node:${module};`));
  });

  it.each([
    "import http from 'http';\nimport https from 'https';\nhttps.get(url); http.createServer(app).listen(80);",
    "import { createServer } from 'node:http';\nimport { Agent } from 'node:https';\ncreateServer(app).listen(80);",
    "// import https from 'https'; https.createServer({})\nimport http from 'http'; http.createServer(app).listen(80);",
    "/* const https = require('https'); https.createServer(app) */ export default app;",
    "import https from 'https';\nimport { HttpServer } from 'tswoole';\nhttps.createServer({}, admin).listen(1);",
    "import express from 'express'; const http = express(); http.listen(3000);",
  ])('says nothing of one that makes no such server: %s', (source) => {
    const { warned, config } = said(source);
    expect([warned, config.includes('tls')]).toEqual(['', false]);
  });
});
