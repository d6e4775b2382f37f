/**
 * Options from outside the script, so that operators need not edit it. There are two sources, the later one wins:
 * environment variables (`TSWOOLE_OPTION_WORKER_NUM=8`), and the flags of the command line (`--worker-num 8`), which
 * `tswoole start` passes in one variable. Both override the script.
 */
import { isDeepStrictEqual } from 'node:util';
import { ServerError } from '../errors/index.js';
import { readWhole } from '../util/whole-file.js';
import { type Kind, NotJson } from './check.js';
import { type Definition, definitions, type OptionName } from './definitions.js';
import { nearest } from './nearest.js';
import type { ResolvedOptions, ServerOptions } from './option-types.js';

const PREFIX = 'TSWOOLE_OPTION_';
/** JSON: option name → text, as on the command line. */
export const FLAGS_VARIABLE = 'TSWOOLE_FLAGS';
/** Number of the descriptor from which a child reads options that hold secrets. */
export const SECRETS_VARIABLE = 'TSWOOLE_SECRETS';

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

/** @param source its name in messages @throws ServerError ERR_OPTION_* */
export function parseOption(name: OptionName, text: string, source: string): unknown {
  const value = readText(name, text, source);
  checkOption(name, value, source);
  return value;
}

function readText(name: OptionName, text: string, source: string): unknown {
  try {
    return parserOf(name)?.(text) ?? text;
  } catch (error) {
    if (!(error instanceof NotJson)) throw error;
    const { kind }: Definition<unknown, unknown> = definitions[name];
    const expected = `${kind.expected}; here as JSON, with names in double quotes`;
    throw new ServerError('ERR_OPTION_VALUE', { name: source, expected, received: 'a text that is no JSON' });
  }
}

/** @param source its name in messages @returns the value as a server uses it @throws ServerError ERR_OPTION_* */
export function checkOption(name: OptionName, value: unknown, source: string = name): unknown {
  const { kind }: Definition<unknown, unknown> = definitions[name];
  return kind.check(source, value);
}

/**
 * The text of a value, as an operator would write it on the command line.
 * @returns undefined where no text means the same, as for a function, a pattern or bytes
 */
export function textOfOption(name: OptionName, value: unknown): string | undefined {
  const text = typeof value === 'string' ? value : JSON.stringify(value);
  if (text === undefined || parserOf(name) === undefined) return undefined;
  const read = checkOption(name, parseOption(name, text, name));
  return isDeepStrictEqual(read, checkOption(name, value)) ? text : undefined;
}

/**
 * The options from environment and command line. Every process of a server reads the same.
 * @throws ServerError ERR_OPTION_* with the name of the variable or the flag
 */
export function optionsFromOutside(
  environment: NodeJS.ProcessEnv = ownEnvironment(),
  flags = takeFlags(),
): ServerOptions {
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

type Texts = Readonly<Record<string, string>>;

/** Secrets that this process was started with, by variable and by option; they never return to its environment. */
const taken = { flags: {} as Texts, variables: {} as Texts };
let flagsAreTaken = false;
let inheritedSecrets = -1;

/** The secrets among the options given as text. */
const secretOptions = textOptions.filter((name) => 'withoutSecrets' in definitions[name].kind);

function ownEnvironment(): NodeJS.ProcessEnv {
  takeSecrets();
  return { ...process.env, ...taken.variables };
}

/**
 * The flags of `tswoole start`. They are removed from the environment, so that a server started by a worker does not
 * inherit them.
 */
export function takeFlags(): Texts {
  takeSecrets();
  if (!flagsAreTaken) {
    flagsAreTaken = true;
    taken.flags = { ...(JSON.parse(process.env[FLAGS_VARIABLE] ?? '{}') as Texts), ...taken.flags };
  }
  delete process.env[FLAGS_VARIABLE];
  return taken.flags;
}

/** Removes options with secrets from the environment, because every child of this process would inherit them. */
function takeSecrets(): void {
  const descriptor = process.env[SECRETS_VARIABLE];
  if (descriptor !== undefined) {
    delete process.env[SECRETS_VARIABLE];
    inheritedSecrets = Number(descriptor);
    const { flags, variables } = JSON.parse(readWhole(inheritedSecrets)) as typeof taken;
    taken.flags = { ...taken.flags, ...flags };
    taken.variables = { ...taken.variables, ...variables };
  }
  for (const variable of secretOptions.map(variableOf)) {
    const text = process.env[variable];
    if (text === undefined) continue;
    taken.variables = { ...taken.variables, [variable]: text };
    delete process.env[variable];
  }
}

/** For the environment of a process of the same server: the options that are not secret. */
export function flagsForChild(): Record<string, string> {
  const flags = Object.entries(takeFlags()).filter(([name]) => !isSecret(name));
  return flags.length === 0 ? {} : { [FLAGS_VARIABLE]: JSON.stringify(Object.fromEntries(flags)) };
}

/**
 * The secrets a child needs, which it reads from a descriptor; '' when there are none. Only the master has the admin
 * listener, so its token stays there.
 */
export function secretsForChild(): string {
  takeSecrets();
  const isNeeded = (name: string): boolean => isSecret(name) && name !== 'admin';
  const flags = Object.entries(takeFlags()).filter(([name]) => isNeeded(name));
  const needed = new Set(secretOptions.filter(isNeeded).map(variableOf));
  const variables = Object.entries(taken.variables).filter(([variable]) => needed.has(variable));
  if (flags.length + variables.length === 0) return '';
  return JSON.stringify({ flags: Object.fromEntries(flags), variables: Object.fromEntries(variables) });
}

/** Given from outside the script, and kept from the processes that this one starts: theirs says nothing about the script. */
export function keptFromChildren(): readonly OptionName[] {
  takeSecrets();
  return 'admin' in takeFlags() || variableOf('admin') in taken.variables ? ['admin'] : [];
}

/** The descriptor from which this process has read its secrets; −1: none. */
export function secretsDescriptor(): number {
  return inheritedSecrets;
}

/** For the environment of a daemon, which becomes the master: all options of this process. */
export function environmentForMaster(): Record<string, string> {
  const flags = takeFlags();
  return {
    ...taken.variables,
    ...(Object.keys(flags).length === 0 ? {} : { [FLAGS_VARIABLE]: JSON.stringify(flags) }),
  };
}

export function isSecret(name: string): boolean {
  return secretOptions.some((secret) => secret === name);
}

/** Every option as operators may see it. */
export function withoutSecrets(options: ResolvedOptions): Readonly<Record<string, unknown>> {
  const shown = secretOptions.map((name) => {
    const { withoutSecrets: show } = definitions[name].kind as Kind<unknown, unknown>;
    return [name, show?.(options[name], options)];
  });
  return { ...options, ...Object.fromEntries(shown) };
}
