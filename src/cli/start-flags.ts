/** The flags of `start`, which a systemd unit repeats, and so does the advice where a restart fails. */
import { resolve } from 'node:path';
import type { Command } from 'commander';
import { flagOf, isSecret, type OptionName } from '../options/index.js';
import { addServerOptions, givenOptions } from './option-flags.js';

export interface StartFlags {
  /** Options of the server, by name. */
  readonly options: Readonly<Record<string, string>>;
  readonly nodeArgs: readonly string[];
  /** The script is an app. */
  readonly isApp: boolean;
}

export function addStartFlags(command: Command): void {
  command
    .argument(
      '[script]',
      'a file of JavaScript or TypeScript that makes a Server and calls start(); with --http one that exports an app; or the name of an ' +
        'app of the config file',
    )
    .argument('[arguments...]', 'arguments of the script')
    .option(
      '--node-arg <argument>',
      'an argument of Node; may be repeated. Those that Node knows (--inspect, --import …) can be given as they are',
      (value, all: string[]) => [...all, value],
      [],
    )
    .option(
      '--http',
      'the script is an app of Express, Fastify, Hono, … that exports what answers its requests, or calls listen()',
    )
    .option('--config <file>', 'the config file (default: tswoole.config.* of this folder)')
    .option('--env <name>', 'the environment of the config file that goes over the rest, such as production');
  addServerOptions(command);
}

export function startFlagsOf(values: Readonly<Record<string, unknown>>): StartFlags {
  return {
    options: givenOptions(values),
    nodeArgs: values['nodeArg'] as string[],
    isApp: values['http'] === true,
  };
}

/** Paths of keys are not secret. */
function holdsSecret(name: string, value: string): boolean {
  return isSecret(name) && /"(?:token|readToken|passphrase|password)"|:\/\/[^"/@]*:[^"/]*@|-----BEGIN/.test(value);
}

/** What must not stand where others read it: in a unit, in a terminal. */
export function secretsAmong({ options }: StartFlags): OptionName[] {
  const given = Object.entries(options).filter(([name, value]) => holdsSecret(name, value ?? ''));
  return given.map(([name]) => name as OptionName);
}

/** Options that are paths. */
const PATHS = new Set(['path', 'pidFile', 'logFile', 'runDir', 'workingDir', 'chroot']);

/**
 * To be given to `start` again, from another folder: so paths, which are relative to `folder`, become absolute. Without secrets, and without `daemonize`: systemd
 * would see the starting process end.
 */
export function flagWords({ options, nodeArgs, isApp }: StartFlags, folder = process.cwd()): string[] {
  const { daemonize: _, ...rest } = options;
  const open = Object.entries(rest).filter(([name, value]) => !holdsSecret(name, value));
  const own = open.map(([name, value]) => {
    const isPath = PATHS.has(name) && value !== '';
    return `--${flagOf(name as OptionName)}=${isPath ? resolve(folder, value) : value}`;
  });
  return [...(isApp ? ['--http'] : []), ...own, ...nodeArgs.map((word) => `--node-arg=${absolute(word, folder)}`)];
}

/** `--import=./trace.js` is relative to the folder. */
function absolute(word: string, folder: string): string {
  return word.replace(
    /^(--(?:import|require|env-file)=)(\.{1,2}\/.*)$/,
    (_, flag: string, path: string) => flag + resolve(folder, path),
  );
}
