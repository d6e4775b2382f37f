/** Which apps of the config file `start` and `systemd` mean. */
import { existsSync, statSync } from 'node:fs';
import type { App, CheckedApp } from '../config/app.js';
import { appFor } from '../config/merge.js';
import { appCalled, configIn, refuseUnknownEnvironment } from './config-file.js';
import { CliError, ExitCode } from './exit.js';
import type { StartFlags } from './start-flags.js';

export interface ChosenApps {
  readonly file: string;
  readonly checked: readonly CheckedApp[];
  /** The same, for the environment that was asked for. */
  readonly apps: readonly App[];
  /** Arguments of the script of the only app. */
  readonly args: readonly string[];
  /** They were named; else they are all of the file. */
  readonly areNamed: boolean;
}

export interface FileFlags {
  readonly config?: string | undefined;
  readonly env?: string | undefined;
}

/**
 * @param words what stands behind the command: a script, or names of apps, and arguments of the script
 * @returns undefined: the first word is a script @throws CliError
 */
export async function chosenApps(
  words: readonly string[],
  { config: given, env = '' }: FileFlags,
  flags: StartFlags,
): Promise<ChosenApps | undefined> {
  const [first] = words;
  if (first === '') throw new CliError(ExitCode.usage, NO_NAME);
  const isScript = first !== undefined && given === undefined && env === '' && isFile(first);
  const config = isScript ? undefined : await configIn(process.cwd(), given);
  if (config === undefined) {
    if (first === undefined || env !== '') throw new CliError(ExitCode.usage, NO_CONFIG);
    return undefined;
  }
  refuseUnknownEnvironment(config, env);
  const names = new Set(config.apps.map(({ name }) => name));
  const end = words.findIndex((word) => !names.has(word));
  const named = [...new Set(end < 0 ? words : words.slice(0, end))];
  const args = end < 0 ? [] : words.slice(end);
  if (first !== undefined && named.length === 0) appCalled(config, first); // throws: there is none
  const checked = named.length === 0 ? config.apps : named.map((name) => appCalled(config, name));
  refuseForSeveral(checked, args, flags);
  const apps = checked.map((app) => appFor(app, config.file, env));
  return { file: config.file, checked, apps, args, areNamed: named.length > 0 };
}

const NO_NAME =
  'The name of the script is empty (""): is a variable of the shell not set? Give the script of the server: tswoole start server.js';

const NO_CONFIG =
  'There is no config file in this folder, and no script was given. Give the script of the server: tswoole start server.js; ' +
  'or write a config file: tswoole init';

function isFile(path: string): boolean {
  return existsSync(path) && statSync(path).isFile();
}

/** Values of which each app needs one of its own. */
const OF_ONE = ['port', 'path', 'pidFile', 'admin'];

function refuseForSeveral(apps: readonly CheckedApp[], args: readonly string[], { options }: StartFlags): void {
  if (options['name'] !== undefined) {
    throw new CliError(
      ExitCode.usage,
      'The name of an app stands in the config file; --name would hide the app from it.',
    );
  }
  if (apps.length === 1) return;
  const [word] = args;
  if (word !== undefined) {
    const names = apps.map(({ name }) => name).join(', ');
    throw new CliError(
      ExitCode.usage,
      `Arguments of a script (${word}) fit one app, and ${apps.length} are meant: ${names}. Name one.`,
    );
  }
  const one = OF_ONE.find((name) => options[name] !== undefined);
  if (one === undefined) return;
  throw new CliError(
    ExitCode.usage,
    `${apps.length} apps cannot have the same ${one}. Name one of them, or write it into the config file.`,
  );
}
