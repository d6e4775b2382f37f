/** The config file as commands use it: loaded once, its errors told as wrong usage. */
import type { CheckedApp, CheckedConfig } from '../config/app.js';
import { findConfig, loadConfig } from '../config/load.js';
import { environmentsOf } from '../config/merge.js';
import { ServerError } from '../errors/index.js';
import { nearest } from '../options/index.js';
import { CliError, ExitCode, messageOf } from './exit.js';

const loaded = new Map<string, Promise<CheckedConfig>>();

/** @param given the file of `--config` @returns undefined where the folder has no config file @throws CliError usage */
export async function configIn(folder: string, given?: string): Promise<CheckedConfig | undefined> {
  try {
    const file = findConfig(folder, given);
    if (file === undefined) return undefined;
    const known = loaded.get(file) ?? loadWatched(file);
    loaded.set(file, known);
    return await known;
  } catch (error) {
    if (error instanceof ServerError) throw new CliError(ExitCode.usage, messageOf(error));
    throw error;
  }
}

let loading = '';

async function loadWatched(file: string): Promise<CheckedConfig> {
  loading = file;
  process.once('exit', tellOfExit);
  try {
    return await loadConfig(file);
  } finally {
    process.off('exit', tellOfExit);
  }
}

/** This process ends while a config is loaded. By `process.exit(0)` in the file a command would seem to have been carried out. */
export function tellOfExit(code: number): void {
  const why = `this process has ended with code ${code} while the file was loaded: look for process.exit() in it, or for an error beside this line`;
  process.stderr.write(`tswoole: ${messageOf(new ServerError('ERR_CONFIG', { file: loading, why }))}\n`);
  if (code === ExitCode.ok) process.exitCode = ExitCode.usage;
}

/** @throws CliError usage when the file has no such app */
export function appCalled({ apps, file }: CheckedConfig, name: string): CheckedApp {
  const found = apps.find((app) => app.name === name);
  if (found !== undefined) return found;
  const names = apps.map((app) => app.name);
  throw new CliError(
    ExitCode.usage,
    `There is no file ${name}, and no app of this name in ${file}${closest(name, names)}. Its apps: ${names.join(', ')}.`,
  );
}

/** @throws CliError usage when no app of the file has this environment */
export function refuseUnknownEnvironment(config: CheckedConfig, environment: string): void {
  const known = environmentsOf(config);
  if (environment === '' || known.includes(environment)) return;
  const has = known.length === 0 ? 'None of its apps has environments.' : `There are: ${known.join(', ')}.`;
  throw new CliError(
    ExitCode.usage,
    `No app of ${config.file} has an environment "${environment}"${closest(environment, known)}. ${has}`,
  );
}

function closest(name: string, known: readonly string[]): string {
  const near = nearest(name, known);
  return near === undefined ? '' : `; the nearest known name is "${near}"`;
}
