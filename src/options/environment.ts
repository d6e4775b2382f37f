/**
 * Options from outside the script, so that whoever runs a server need not edit it. Two places, the later one wins:
 * environment variables (`TSWOOLE_OPTION_WORKER_NUM=8`), and the flags of the command line (`--worker-num 8`), which
 * `tswoole start` hands over in one variable. Both win over what the script gives.
 */
import { fstatSync, readSync } from 'node:fs';
import { ServerError } from '../errors/index.js';
import { type Definition, definitions, type OptionName } from './definitions.js';
import { nearest } from './nearest.js';
import type { ServerOptions } from './option-types.js';

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

/** What this process was started with, by variable and by option; never in its environment again. */
const taken = { flags: {} as Texts, variables: {} as Texts };
let flagsAreTaken = false;
let inheritedSecrets = -1;

/** Those among the options that are given as text. */
const secretOptions = textOptions.filter((name) => (definitions[name].kind as { secret?: true }).secret === true);

function ownEnvironment(): NodeJS.ProcessEnv {
  takeSecrets();
  return { ...process.env, ...taken.variables };
}

/**
 * The flags that `tswoole start` was given. They are taken out of the environment, so that a server that a worker starts
 * is one of its own.
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

/** Options with secrets leave the environment, which whatever this process starts would inherit. */
function takeSecrets(): void {
  const descriptor = process.env[SECRETS_VARIABLE];
  if (descriptor !== undefined) {
    delete process.env[SECRETS_VARIABLE];
    inheritedSecrets = Number(descriptor);
    const { flags, variables } = JSON.parse(readAll(inheritedSecrets)) as typeof taken;
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

/** From its start, whatever others have read: the descriptor is shared. */
function readAll(descriptor: number): string {
  const bytes = Buffer.alloc(fstatSync(descriptor).size);
  for (let at = 0; at < bytes.length; ) {
    const count = readSync(descriptor, bytes, at, bytes.length - at, at);
    if (count === 0) break;
    at += count;
  }
  return bytes.toString('utf8');
}

/** For the environment of a process of the same server: what is no secret. */
export function flagsForChild(): Record<string, string> {
  const flags = Object.entries(takeFlags()).filter(([name]) => !isSecret(name));
  return flags.length === 0 ? {} : { [FLAGS_VARIABLE]: JSON.stringify(Object.fromEntries(flags)) };
}

/**
 * The secrets a child needs, for a descriptor that it reads them from; '' when there are none. The admin listener is the
 * master's alone, so its token stays there.
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

/** The descriptor by which this process has got its secrets; −1: none. */
export function secretsDescriptor(): number {
  return inheritedSecrets;
}

/** For the environment of a daemon, which is to be the master: all that this process was given. */
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
