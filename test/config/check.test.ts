import { describe, expect, it } from 'vitest';
import { checkConfig } from '../../src/config/check.js';
import { defineConfig } from '../../src/config/types.js';
import { ServerError } from '../../src/errors/index.js';

const FILE = '/srv/tswoole.config.js';
const app = (more: object = {}): object => ({ name: 'api', script: 'server.js', ...more });

/** The code and the message of what is thrown. */
function refusal(exported: unknown): string {
  try {
    checkConfig(exported, FILE);
  } catch (error) {
    if (error instanceof ServerError) return `${error.code}: ${error.message}`;
    throw error;
  }
  throw new Error('it was taken');
}

describe('a config', () => {
  it('is one app, or several under apps', () => {
    const one = checkConfig(app(), FILE);
    expect(one).toEqual({
      file: FILE,
      apps: [{ name: 'api', script: 'server.js', settings: { env: {}, options: {} }, environments: new Map() }],
    });
    expect(checkConfig({ apps: [app(), app({ name: 'web' })] }, FILE).apps.map(({ name }) => name)).toEqual([
      ...['api', 'web'],
    ]);
  });

  it('may have every key of an app, and keeps options as the texts of the command line', () => {
    const config = defineConfig({
      ...{ name: 'api', script: 'server.js', http: true, cwd: 'apps/api', envFile: '.env', args: ['-v'] },
      ...{ nodeArgs: ['--inspect'], env: { A: 'a', N: 1, ON: true } },
      ...{ port: 8080, workerNum: 4, daemonize: false, packageMaxLength: '2m', admin: { port: 9100 } },
      ...{ host: undefined, watch: true, framing: { type: 'eof', delimiter: '\n' } },
    });
    const [checked] = checkConfig(config, FILE).apps;
    expect(checked?.settings).toEqual({
      ...{ http: true, cwd: 'apps/api', envFile: '.env', args: ['-v'], nodeArgs: ['--inspect'] },
      env: { A: 'a', N: '1', ON: 'true' },
      options: {
        ...{ port: '8080', workerNum: '4', daemonize: 'false', packageMaxLength: '2m', admin: '{"port":9100}' },
        ...{ watch: 'true', framing: '{"type":"eof","delimiter":"\\n"}' },
      },
    });
  });

  it.each([
    [undefined, /"default export" must be an object.*received undefined/],
    [[app()], /"default export" must be an object.*received array of length 1/],
    [{ apps: [] }, /"apps" must be a list of one or more apps, received array of length 0/],
    [{ apps: app() }, /"apps" must be a list/],
    [{ apps: [app(), 'web'] }, /"apps\[1\]" must be an object with name and script, received string "web"/],
    [{ apps: [{ script: 'x' }] }, /"apps\[0\]\.name" must be a name of 1 to 64 .*received undefined/],
    [{ apps: [app(), app()] }, /"name" of app "api" must be a name that no other app of the file has/],
    [{ script: 'x' }, /"name" must be a name/],
    [app({ name: '12' }), /not a number alone, received string "12"/],
    [app({ name: '-d' }), /"name" must be/],
    [app({ name: 'a b' }), /"name" must be/],
    [app({ name: 'a'.repeat(65) }), /"name" must be/],
    [{ name: 'api' }, /"script" of app "api" must be the path of a file, received undefined/],
  ])('%j is told what it must be: %s', (config, told) => {
    expect(refusal(config)).toMatch(told);
    expect(refusal(config)).toMatch(/^ERR_CONFIG_VALUE: In the config file \/srv\/tswoole\.config\.js, /);
  });

  it('takes the longest name, and every sign that a name may have', () => {
    for (const name of ['a'.repeat(64), '1a', 'a.b-c_d:e'])
      expect(checkConfig(app({ name }), FILE).apps[0]?.name).toBe(name);
  });

  it.each([
    ['instances', 'workerNum'],
    ['max_memory_restart', 'maxMemory'],
    ['env_production', 'environments'],
    ['error_file', 'logFile'],
  ])('with the key %s of PM2 is told what it is here', (key, here) => {
    expect(refusal({ apps: [app({ [key]: 2 })] })).toMatch(new RegExp(`unknown key "${key}".*"${here}"`));
  });

  it('with several unknown keys is told all of them', () => {
    expect(refusal(app({ workers: 3, prot: 80, quite: 1 }))).toContain(
      'unknown key "workers" of app "api"; the nearest known name is "workerNum". Unknown too: "prot" (port), "quite". Correct',
    );
    const many = Object.fromEntries(Array.from({ length: 13 }, (_, index) => [`strange${index}`, 1]));
    expect(refusal(app(many))).toContain(', "strange10", and 2 more. Correct');
  });

  it('with an unknown key is told the nearest one, and where it stands', () => {
    expect(refusal({ app: [] })).toMatch(/^ERR_CONFIG_KEY: .*unknown key "app"/);
    expect(refusal({ apps: [app()], name: 'x' })).toMatch(/unknown key "name"/);
    expect(refusal(app({ worker_num: 4 }))).toMatch(/"worker_num" of app "api"; the nearest known name is "workerNum"/);
    expect(refusal({ apps: [app({ scirpt: 'x' })] })).toMatch(/"scirpt" of app "api"; the nearest .* "script"/);
    expect(refusal(app({ environments: { production: { prot: 80 } } }))).toMatch(
      /"environments\.production\.prot" of app "api"; the nearest known name is "port"/,
    );
    expect(refusal(app({ environments: { test: { name: 'other' } } }))).toMatch(/"environments\.test\.name"/);
    expect(refusal(app({ quite: 'strange' }))).not.toMatch(/nearest/);
  });

  it.each([
    [{ port: '80' }, /"port" of app "api" must be an integer from 0 to 65535, received string "80"/],
    [{ port: 65_536 }, /"port" of app "api" must be an integer from 0 to 65535, received number 65536/],
    [{ mode: 'thread' }, /"mode" of app "api" must be "process" or "base", received string "thread"/],
    [{ http: 1 }, /"http" of app "api" must be true or false, received number 1/],
    [{ cwd: '' }, /"cwd" of app "api" must be the path of a folder/],
    [{ envFile: 1 }, /"envFile" of app "api" must be the path of a file, received number 1/],
    [{ args: 'x' }, /"args" of app "api" must be a list of strings, received string "x"/],
    [{ nodeArgs: ['a', 1] }, /"nodeArgs\[1\]" of app "api" must be a string without NUL, received number 1/],
    [{ env: [] }, /"env" of app "api" must be an object with variables by name/],
    [
      { env: { A: null } },
      /"env\.A" of app "api" must be a string without NUL, a number, true or false, received null/,
    ],
    [{ env: { 'A=B': '' } }, /"env\.A=B" of app "api" must be a variable with a name without "="/],
    // What execve(2) gets ends at a NUL: the app would start with half of the value.
    [{ script: 'a\0.js' }, /"script" of app "api" must be the path of a file/],
    [{ cwd: 'a\0' }, /"cwd" of app "api" must be the path of a folder/],
    [{ envFile: 'a\0' }, /"envFile" of app "api" must be the path of a file/],
    [{ args: ['a', 'b\0c'] }, /"args\[1\]" of app "api" must be a string without NUL/],
    [{ nodeArgs: ['\0'] }, /"nodeArgs\[0\]" of app "api" must be a string without NUL/],
    [{ env: { A: 'secret\0half' } }, /"env\.A" of app "api" must be a string without NUL, a number, true or false/],
    [{ environments: [] }, /"environments" of app "api" must be an object/],
    [{ environments: { production: 1 } }, /"environments\.production" of app "api" must be an object/],
    [
      { environments: { production: { port: -1 } } },
      /"environments\.production\.port" of app "api" must be an integer/,
    ],
    [
      { staticFiles: '[assets]' },
      /"staticFiles" of app "api" must be the path of a folder, .*read as JSON: write the list .* as in \["assets"\]/,
    ],
    [{ logger: console }, /"logger" of app "api" must be a value that can be written as text/],
    [{ tls: { cert: 1, key: 'x' } }, /"tls[^"]*" of app "api" must be/],
    [{ admin: { prot: 1 } }, /"admin" of app "api" must be a port, or .*received object \{prot\}/],
    [{ tls: { cret: 1 } }, /tls\.cret/],
  ])('%j is refused with file, app, key, expected and received', (more, told) => {
    expect(refusal(app(more))).toMatch(told);
    expect(refusal(app(more))).toContain(FILE);
  });

  it('is checked by the compiler too', () => {
    // @ts-expect-error a mistyped key
    defineConfig({ name: 'api', script: 'server.js', wrokerNum: 2 });
    // @ts-expect-error a text where a number is expected
    defineConfig({ apps: [{ name: 'api', script: 'server.js', port: '80' }] });
    // @ts-expect-error without a script
    defineConfig({ name: 'api' });
    // @ts-expect-error a mistyped key of an environment
    const config = defineConfig({ name: 'a', script: 'b', environments: { production: { prot: 80 } } });
    expect(refusal(config)).toMatch(/"environments\.production\.prot"/);
  });

  it('never shows a secret that is refused', () => {
    expect(refusal(app({ admin: { port: 9100, token: 'short-secret' } }))).not.toContain('short-secret');
  });
});
