/**
 * Options from outside the script, so that whoever runs a server need not edit it. Two places, the later one wins:
 * environment variables (`TSWOOLE_OPTION_WORKER_NUM=8`), and the flags of the command line (`--worker-num 8`), which
 * `tswoole start` hands over in one variable. Both win over what the script gives.
 */
import { ServerError } from '../errors/index.js';
import { type Definition, definitions, type OptionName } from './definitions.js';
import { nearest } from './nearest.js';
import type { ServerOptions } from './option-types.js';

const PREFIX = 'TSWOOLE_OPTION_';
/** JSON: option name → text, as on the command line. */
export const FLAGS_VARIABLE = 'TSWOOLE_FLAGS';

/** `workerNum` → `WORKER_NUM`. */
export function variableOf(name: OptionName): string {
  return PREFIX + name.replaceAll(/[A-Z]/g, '_$&').toUpperCase();
}

/** `workerNum` → `worker-num`. */
export function flagOf(name: OptionName): string {
  return name.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}

/** Options that can be given as text. */
export const textOptions = (Object.keys(definitions) as OptionName[]).filter((name) => parserOf(name) !== undefined);

function parserOf(name: OptionName): ((text: string) => unknown) | undefined {
  const { kind }: Definition<unknown, unknown> = definitions[name];
  return kind.parse;
}

/** @param source how a message calls it @throws ServerError ERR_OPTION_* */
export function parseOption(name: OptionName, text: string, source: string): unknown {
  const value = parserOf(name)?.(text) ?? text;
  const { kind }: Definition<unknown, unknown> = definitions[name];
  kind.check(source, value);
  return value;
}

/**
 * What environment and command line say. Every process of a server reads the same.
 * @throws ServerError ERR_OPTION_* with the name of the variable or the flag
 */
export function optionsFromOutside(environment: NodeJS.ProcessEnv = process.env, flags = takeFlags()): ServerOptions {
  const options: Record<string, unknown> = {};
  const names = new Map(textOptions.map((name) => [variableOf(name), name]));
  for (const [variable, text] of Object.entries(environment)) {
    if (!variable.startsWith(PREFIX) || text === undefined) continue;
    const name = names.get(variable);
    if (name === undefined) {
      throw new ServerError('ERR_OPTION_UNKNOWN', { name: variable, nearest: nearest(variable, [...names.keys()]) });
    }
    options[name] = parseOption(name, text, variable);
  }
  for (const [name, text] of Object.entries(flags)) {
    options[name] = parseOption(name as OptionName, text, `--${flagOf(name as OptionName)}`);
  }
  return options;
}

type Flags = Readonly<Record<string, string>>;
let taken: Flags | undefined;

/**
 * The flags that `tswoole start` was given. They are taken out of the environment, so that a server that a worker starts
 * is one of its own.
 */
export function takeFlags(): Flags {
  taken ??= JSON.parse(process.env[FLAGS_VARIABLE] ?? '{}') as Flags;
  delete process.env[FLAGS_VARIABLE];
  return taken;
}

/** For the environment of a process of the same server. */
export function flagsForChild(): Record<string, string> {
  const flags = takeFlags();
  return Object.keys(flags).length === 0 ? {} : { [FLAGS_VARIABLE]: JSON.stringify(flags) };
}
