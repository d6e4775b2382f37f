import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import type { App, CheckedApp } from '../../src/config/app.js';
import { checkConfig } from '../../src/config/check.js';
import { appFor, environmentOf, environmentsOf, optionsBelow, possibleTexts } from '../../src/config/merge.js';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'config-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

const file = (): string => join(folder, 'tswoole.config.js');

function checked(more: object = {}): CheckedApp {
  const [app] = checkConfig({ name: 'api', script: 'server.js', ...more }, file()).apps;
  if (app === undefined) throw new Error('no app');
  return app;
}

const inEnvironment = (more: object, environment = ''): App => appFor(checked(more), file(), environment);

it('paths are relative to the folder of the app, and that to the folder of the file', () => {
  expect(inEnvironment({ envFile: '.env' })).toMatchObject({
    ...{ cwd: folder, script: join(folder, 'server.js'), envFile: join(folder, '.env'), http: false },
  });
  expect(inEnvironment({ cwd: 'apps/api', script: './main.js', envFile: '../.env' })).toMatchObject({
    ...{ cwd: join(folder, 'apps/api'), script: join(folder, 'apps/api/main.js'), envFile: join(folder, 'apps/.env') },
  });
  expect(inEnvironment({ cwd: '/srv', script: '/opt/x.js' })).toMatchObject({ cwd: '/srv', script: '/opt/x.js' });
});

it('an environment goes over the rest: options and variables one by one, lists as a whole', () => {
  const app = {
    ...{ port: 1, workerNum: 2, http: true, args: ['a', 'b'], env: { A: '1', B: '1' } },
    environments: { production: { port: 80, http: false, args: ['c'], env: { B: '2' }, mode: 'base' } },
  };
  expect(inEnvironment(app)).toMatchObject({ http: true, args: ['a', 'b'], options: { port: '1', workerNum: '2' } });
  const production = inEnvironment(app, 'production');
  expect(production).toMatchObject({ http: false, args: ['c'], env: { A: '1', B: '2' } });
  expect(production.options).toEqual({ port: '80', workerNum: '2', mode: 'base' });
  expect(inEnvironment(app, 'staging')).toEqual(inEnvironment(app));
});

it('the environments of all apps, and what an option may be in any of them, are known', () => {
  const api = checked({ runDir: 'a', environments: { production: { runDir: 'b' }, test: { runDir: 'a' } } });
  const web = { ...checked({ environments: { staging: {}, test: {} } }), name: 'web' };
  expect(environmentsOf({ file: file(), apps: [api, web] })).toEqual(['production', 'test', 'staging']);
  expect(possibleTexts(api, 'runDir')).toEqual(['a', 'b']);
  expect(possibleTexts(api, 'pidFile')).toEqual([]);
});

it('env goes before the shell, which goes before envFile', () => {
  writeFileSync(join(folder, '.env'), '# secrets\nexport A="of the file"\nB=of the file\nC=\'of # the file\'\n');
  const app = inEnvironment({ envFile: '.env', env: { A: 'of env' } });
  expect(environmentOf(app, file(), { A: 'of the shell', B: 'of the shell' })).toEqual({
    ...{ A: 'of env', B: 'of the shell', C: 'of # the file' },
  });
  expect(environmentOf(inEnvironment({}), file(), { D: '1' })).toEqual({ D: '1' });
});

it.each(['/dev/null', '/dev'])('an envFile that is no regular file is told, with the app: %s', (envFile) => {
  const why = /envFile of app "api" cannot be read \(it is no regular file\)/;
  expect(() => environmentOf(inEnvironment({ envFile }), file(), {})).toThrow(why);
});

it('an envFile that is not there is told, with the app', () => {
  const app = inEnvironment({ envFile: 'lost.env' });
  expect(() => environmentOf(app, file(), {})).toThrow(/envFile of app "api" cannot be read \(ENOENT.*lost\.env/);
});

it('a variable for an option goes before the file', () => {
  const options = { port: '1', workerNum: '2' };
  expect(optionsBelow({ TSWOOLE_OPTION_PORT: '0' }, options)).toEqual({ workerNum: '2' });
  expect(optionsBelow({}, options)).toEqual(options);
});
