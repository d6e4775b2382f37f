/** The arguments and flags by which a command selects its server, or several. */
import type { Command } from 'commander';
import { ServerError } from '../errors/index.js';
import { CliError, ExitCode, messageOf } from './exit.js';
import { noAppRuns, serversOf } from './running-apps.js';
import { type Choice, configOf } from './servers.js';
import { print } from './terminal.js';

export interface TargetFlags {
  readonly server?: string;
  readonly pidFile?: string;
  readonly runDir?: string;
  readonly config?: string;
}

export function withTarget(command: Command): Command {
  return command
    .option('-s, --server <name|pid>', 'which server, where several run')
    .option('--pid-file <file>', 'the server that holds this pid file')
    .option('--run-dir <folder>', 'where control sockets are, unless at the usual place')
    .option('--config <file>', 'the config file whose apps are meant (default: tswoole.config.* of this folder)');
}

export function choiceOf({ server, pidFile, runDir, config }: TargetFlags, positional?: string): Choice {
  return { server: positional ?? server, pidFile, runDir, config };
}

/** One of the servers that a command is for. */
export interface Target {
  readonly name: string;
  readonly choice: Choice;
}

/** The servers of a command that takes several. */
export interface Targets {
  readonly all: readonly Target[];
  /** Apps of the config file that do not run; they were not named. */
  readonly absent: readonly string[];
  /** Several were asked for, so output says which one it is about. */
  readonly areSeveral: boolean;
}

/**
 * Those that are named; without a name all apps of the config file that run, and without a file the only server.
 * @throws CliError notRunning when no app of the file runs
 */
export async function targetsOf(flags: TargetFlags, names: readonly string[]): Promise<Targets> {
  const named = [...new Set(names)];
  if (named.length > 0) {
    const all = named.map((name) => ({ name, choice: choiceOf(flags, name) }));
    return { all, absent: [], areSeveral: all.length > 1 };
  }
  const choice = choiceOf(flags);
  const isChosen = choice.server !== undefined || choice.pidFile !== undefined;
  const config = isChosen ? undefined : await configOf(choice);
  if (config === undefined) return { all: [{ name: '', choice }], absent: [], areSeveral: false };
  const apps = await Promise.all(
    config.apps.map(async (app) => ({ name: app.name, found: await serversOf(app, config.file, choice) })),
  );
  const all = apps.filter(({ found }) => found.length > 0).map(({ name }) => ({ name, choice: choiceOf(flags, name) }));
  if (all.length === 0) throw noAppRuns(config, choice);
  const absent = apps.filter(({ found }) => found.length === 0).map(({ name }) => name);
  return { all, absent, areSeveral: apps.length > 1 };
}

/** Prints a text, with the name of the server before it where there are several. */
export type Say = (text: string) => void;

/**
 * One after another. Of several, one that fails does not keep the others from their turn; the first failure's code is the
 * exit code.
 */
export async function onEach(
  { all, absent, areSeveral }: Targets,
  what: (target: Target, say: Say) => Promise<void>,
): Promise<void> {
  const [only] = all;
  if (!areSeveral && only !== undefined) return what(only, print);
  for (const target of all) {
    try {
      await what(target, (text) => print(`${target.name}: ${text}`));
    } catch (error) {
      failWith(target.name, error);
    }
  }
  for (const name of absent) print(`${name}: it does not run.`);
}

/** @throws what is no failure of a command */
export function failWith(name: string, error: unknown): void {
  if (!(error instanceof CliError) && !(error instanceof ServerError)) throw error;
  process.stderr.write(`tswoole: ${name}: ${messageOf(error)}\n`);
  process.exitCode ??= error instanceof CliError ? error.exitCode : ExitCode.failed;
}
