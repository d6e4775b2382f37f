/** An app in one environment. */
import { dirname, resolve } from 'node:path';
import { parseEnv } from 'node:util';
import { ServerError } from '../errors/index.js';
import { variableOf } from '../options/index.js';
import { readRegular } from '../util/open-file.js';
import type { App, CheckedApp, CheckedConfig, Settings } from './app.js';

/**
 * @param environment '' for none; an app that does not have it is as it is without
 * @returns the app with absolute paths
 */
export function appFor({ name, script, settings, environments }: CheckedApp, file: string, environment: string): App {
  const { http, cwd, env, envFile, args, nodeArgs, options } = merged(settings, environments.get(environment));
  const folder = resolve(dirname(file), cwd ?? '.');
  return {
    ...{ name, http: http ?? false, cwd: folder, script: resolve(folder, script), env, options },
    ...{ args: args ?? [], nodeArgs: nodeArgs ?? [], envFile: envFile === undefined ? '' : resolve(folder, envFile) },
  };
}

/** Variables and options are put over one by one; any other value, and any list or object in an option, as a whole. */
function merged(settings: Settings, over: Settings | undefined): Settings {
  if (over === undefined) return settings;
  const env = { ...settings.env, ...over.env };
  return { ...settings, ...over, env, options: { ...settings.options, ...over.options } };
}

/** The names of all environments of these apps. */
export function environmentsOf({ apps }: CheckedConfig): string[] {
  return [...new Set(apps.flatMap(({ environments }) => [...environments.keys()]))];
}

/**
 * What an option of the app may be, in any environment: a running app may have been started with any of them.
 * @returns texts, without repetition
 */
export function possibleTexts({ settings, environments }: CheckedApp, option: string): string[] {
  const all = [settings, ...environments.values()].map(({ options }) => options[option]);
  return [...new Set(all.filter((text) => text !== undefined))];
}

/**
 * The environment of the app: its `env` goes before the variables of the shell, which go before its `envFile`.
 * @throws ServerError ERR_CONFIG when the file of variables cannot be read
 */
export function environmentOf({ name, env, envFile }: App, file: string, shell: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return { ...(envFile === '' ? {} : readVariables(envFile, name, file)), ...shell, ...env };
}

/** Neither a pipe nor a device may keep the command waiting. */
const LONGEST_BYTES = 16 * 1024 * 1024;

function readVariables(path: string, app: string, file: string): NodeJS.Dict<string> {
  try {
    return parseEnv(readRegular(path, LONGEST_BYTES).toString('utf8'));
  } catch (error) {
    const why = `the envFile of app "${app}" cannot be read (${(error as Error).message})`;
    throw new ServerError('ERR_CONFIG', { file, why });
  }
}

/** The options of the app without those that a variable (`TSWOOLE_OPTION_…`) sets, which goes before the file. */
export function optionsBelow(environment: NodeJS.ProcessEnv, options: App['options']): Record<string, string> {
  const left = Object.entries(options).filter(([name]) => environment[variableOf(name as never)] === undefined);
  return Object.fromEntries(left);
}
