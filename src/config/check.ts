/** Checks what a config file exports. Every message names the file, the app and the key. */
import { describe, ServerError } from '../errors/index.js';
import { definitions } from '../options/definitions.js';
import {
  checkOption,
  describeUnknown,
  isPlainObject,
  type OptionName,
  optionNames,
  otherWords,
  textOfOption,
} from '../options/index.js';
import type { CheckedApp, CheckedConfig, Settings } from './app.js';

/** Keys of an app that are no options of the server. */
const OWN_SETTINGS = ['http', 'cwd', 'env', 'envFile', 'args', 'nodeArgs'] as const;
type OwnSetting = (typeof OWN_SETTINGS)[number];

const SETTINGS: readonly string[] = [...OWN_SETTINGS, ...optionNames.filter((name) => name !== 'name')];
const APP: readonly string[] = ['name', 'script', 'environments', ...SETTINGS];

const LONGEST_NAME = 64;

/** Where a value stands: for messages. */
interface Place {
  readonly file: string;
  /** '' before its name is known. */
  readonly app: string;
  /** `environments.production.` inside of one. */
  readonly prefix: string;
}

/** @throws ServerError ERR_CONFIG_KEY, ERR_CONFIG_VALUE */
export function checkConfig(exported: unknown, file: string): CheckedConfig {
  const place: Place = { file, app: '', prefix: '' };
  const config = mustBeObject(exported, '', 'an object: one app, or {apps: [ … ]}', place);
  if (!('apps' in config)) return { file, apps: [checkApp(config, place)] };
  refuseUnknown(config, ['apps'], place);
  const { apps } = config;
  if (!Array.isArray(apps) || apps.length === 0) refuse('apps', 'a list of one or more apps', apps, place);
  const checked = (apps as unknown[]).map((app, index) => {
    const at = { ...place, prefix: `apps[${index}].` };
    return checkApp(mustBeObject(app, '', 'an object with name and script', at), at);
  });
  const names = checked.map(({ name }) => name);
  const twice = names.find((name, index) => names.indexOf(name) !== index);
  if (twice !== undefined) refuse('name', 'a name that no other app of the file has', twice, { ...place, app: twice });
  return { file, apps: checked };
}

function checkApp(given: Record<string, unknown>, { file, prefix }: Place): CheckedApp {
  const { name, script, environments } = given;
  const isNamed = typeof name === 'string' && isAppName(name);
  // A config of another shape is told its unknown key first, which says more than the missing name.
  refuseUnknown(given, APP, isNamed ? { file, app: name, prefix: '' } : { file, app: '', prefix });
  if (!isNamed) {
    const expected = `a name of 1 to ${LONGEST_NAME} letters, digits, _, -, . and :, which is not a number alone`;
    refuse('name', expected, name, { file, app: '', prefix });
  }
  const place: Place = { file, app: name, prefix: '' };
  if (!isText(script) || script === '') refuse('script', 'the path of a file', script, place);
  const { name: _, script: __, environments: ___, ...settings } = given;
  return {
    name,
    script,
    settings: checkSettings(settings, place),
    environments: checkEnvironments(environments, place),
  };
}

/** A number alone is a pid, and a flag begins with "-". */
function isAppName(name: string): boolean {
  return name.length <= LONGEST_NAME && /^\w[\w.:-]*$/.test(name) && !/^\d+$/.test(name);
}

function checkEnvironments(given: unknown, place: Place): Map<string, Settings> {
  if (given === undefined) return new Map();
  const all = mustBeObject(given, 'environments', 'an object with settings by the name of an environment', place);
  return new Map(
    Object.entries(all).map(([name, settings]) => {
      const inside = { ...place, prefix: `environments.${name}.` };
      const expected = 'an object with settings of the app';
      const checked = mustBeObject(settings, `environments.${name}`, expected, place);
      refuseUnknown(checked, SETTINGS, inside);
      return [name, checkSettings(checked, inside)];
    }),
  );
}

function checkSettings(given: Record<string, unknown>, place: Place): Settings {
  const own: { -readonly [K in OwnSetting]?: unknown } = {};
  const options: Record<string, string> = {};
  for (const [key, value] of Object.entries(given)) {
    if (value === undefined) continue;
    if (isOwn(key)) own[key] = checks[key](key, value, place);
    else options[key] = optionText(key as OptionName, value, place);
  }
  return { env: {}, ...own, options } as Settings;
}

function isOwn(key: string): key is OwnSetting {
  return (OWN_SETTINGS as readonly string[]).includes(key);
}

const checks: Readonly<Record<OwnSetting, (key: string, value: unknown, place: Place) => unknown>> = {
  http: (key, value, place) => (typeof value === 'boolean' ? value : refuse(key, 'true or false', value, place)),
  cwd: (key, value, place) => textOr(key, value, 'the path of a folder', place),
  envFile: (key, value, place) => textOr(key, value, 'the path of a file', place),
  args: texts,
  nodeArgs: texts,
  env: (key, value, place) => {
    const variables = Object.entries(mustBeObject(value, key, 'an object with variables by name', place));
    return Object.fromEntries(variables.map(([name, one]) => [name, variable(`${key}.${name}`, one, place)]));
  },
};

/** What execve(2) and open(2) take whole: behind a NUL they would silently read no more. */
function isText(value: unknown): value is string {
  return typeof value === 'string' && !value.includes('\0');
}

function textOr(key: string, value: unknown, expected: string, place: Place): string {
  return isText(value) && value !== '' ? value : refuse(key, expected, value, place);
}

function texts(key: string, value: unknown, place: Place): string[] {
  if (!Array.isArray(value)) refuse(key, 'a list of strings', value, place);
  const strange = (value as unknown[]).findIndex((one) => !isText(one));
  if (strange >= 0) refuse(`${key}[${strange}]`, 'a string without NUL', (value as unknown[])[strange], place);
  return [...(value as string[])];
}

function variable(key: string, value: unknown, place: Place): string {
  const isVariable = isText(value) || typeof value === 'number' || typeof value === 'boolean';
  const name = key.slice('env.'.length);
  if (name === '' || /[=\0]/.test(name)) refuse(key, 'a variable with a name without "=" or NUL', value, place);
  return isVariable ? String(value) : refuse(key, 'a string without NUL, a number, true or false', value, place);
}

/** Checked as the value it is (a port is a number here), and kept as the text that `tswoole start` hands to the server. */
function optionText(name: OptionName, value: unknown, place: Place): string {
  try {
    checkOption(name, value);
  } catch (error) {
    if (!(error instanceof ServerError)) throw error;
    return refuseOption(name, error, place);
  }
  return textOf(name, value) ?? refuse(name, expectedOf(name, value), value, place);
}

/** What has passed its check, and cannot be handed to the server. */
function expectedOf(name: OptionName, value: unknown): string {
  if (typeof value === 'string')
    return `${definitions[name].kind.expected}; a text that begins with "[" or "{" would be read as JSON: write the list or the object itself, as in [${JSON.stringify(value.replaceAll(/^[\s[{]+|[\s\]}]+$/g, ''))}]`;
  return 'a value that can be written as text; one that is a function or an object of a class belongs into the script';
}

/** What a class has made may be read as something else than it is, and refused. */
function textOf(name: OptionName, value: unknown): string | undefined {
  try {
    return textOfOption(name, value);
  } catch (error) {
    if (error instanceof ServerError) return undefined;
    throw error;
  }
}

function refuseOption(name: string, error: ServerError, place: Place): never {
  const detail = error.detail as { name?: string; expected?: string; received?: string };
  const { expected, received } = detail;
  if (expected !== undefined && received !== undefined) {
    const key = keyOf(detail.name ?? name, place);
    throw new ServerError('ERR_CONFIG_VALUE', { ...placeOf(place), key, expected, received });
  }
  const why = `${keyOf(name, place)}${appOf(place)}: ${error.message}`;
  throw new ServerError('ERR_CONFIG', { file: place.file, why: why.replace(/\.$/, '') });
}

function mustBeObject(value: unknown, key: string, expected: string, place: Place): Record<string, unknown> {
  return isPlainObject(value) ? value : refuse(key, expected, value, place);
}

/** Keys of PM2's ecosystem file that go by another name here: docs/migrating/from-pm2.md. */
const OF_PM2 = new Map(
  Object.entries({
    ...{ instances: 'workerNum', exec_mode: 'mode', max_memory_restart: 'maxMemory', cron_restart: 'cronReload' },
    ...{ node_args: 'nodeArgs', interpreter_args: 'nodeArgs', env_file: 'envFile', env_production: 'environments' },
    ...{ kill_timeout: 'maxWaitMs', listen_timeout: 'bootTimeoutMs', uid: 'user', gid: 'group' },
    ...{ log_file: 'logFile', out_file: 'logFile', error_file: 'logFile' },
  }),
);

function refuseUnknown(given: object, known: readonly string[], place: Place): void {
  const [key, ...others] = Object.keys(given).filter((each) => !known.includes(each));
  if (key === undefined) return;
  const words = [...OF_PM2, ...otherWords(optionNames)].filter(([, here]) => known.includes(here));
  const what = describeUnknown([key, ...others], known, words);
  throw new ServerError('ERR_CONFIG_KEY', { ...placeOf(place), key: keyOf(key, place), ...what });
}

function refuse(key: string, expected: string, value: unknown, place: Place): never {
  const detail = { key: keyOf(key, place), expected, received: describe(value) };
  throw new ServerError('ERR_CONFIG_VALUE', { ...placeOf(place), ...detail });
}

/** '': the whole of what the file exports. */
function keyOf(key: string, { prefix }: Place): string {
  return key === '' ? prefix.replace(/\.$/, '') || 'default export' : prefix + key;
}

function placeOf({ file, app }: Place): { file: string; app?: string } {
  return app === '' ? { file } : { file, app };
}

function appOf({ app }: Place): string {
  return app === '' ? '' : ` of app "${app}"`;
}
