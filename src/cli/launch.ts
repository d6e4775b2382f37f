/** How a server is started: the command by which Node runs its script, and the environment of it. */
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { App } from '../config/app.js';
import { environmentOf, optionsBelow } from '../config/merge.js';
import { RUN_APP_ENTRY, SCRIPT_GUARD_ENTRY } from '../entries.js';
import { ServerError } from '../errors/index.js';
import { INSPECT_VARIABLE, isInspect, parseInspect, textOf } from '../ipc/inspect.js';
import { FLAGS_VARIABLE, parseOption, variableOf } from '../options/index.js';
import { heapArguments } from '../util/heap-argument.js';
import { CliError, ExitCode, messageOf } from './exit.js';
import { commandFor } from './script.js';
import type { StartFlags } from './start-flags.js';

export interface Launch {
  /** Arguments of Node. */
  readonly words: readonly string[];
  readonly environment: NodeJS.ProcessEnv;
  readonly cwd: string;
  readonly isDaemon: boolean;
}

/** @throws CliError when there is no such script */
export function launchOfScript(script: string, args: readonly string[], flags: StartFlags): Launch {
  return launch({ script, args, flags, cwd: process.cwd(), environment: process.env });
}

/**
 * Flags go before what the file says, as do variables of the environment for options; nothing goes before the name.
 * @param args '[]': those of the file @param file the config file @throws CliError
 */
export function launchOfApp(app: App, args: readonly string[], flags: StartFlags, file: string): Launch {
  refuseMissing(app, file);
  const environment = environmentFromFile(app, file);
  const options = { ...optionsBelow(environment, app.options), ...flags.options, name: app.name };
  const nodeArgs = [...app.nodeArgs, ...flags.nodeArgs];
  return launch({
    ...{ script: app.script, args: args.length > 0 ? args : app.args, cwd: app.cwd, environment },
    flags: { options, nodeArgs, isApp: app.http || flags.isApp },
  });
}

/** Here, because Node would only say that it cannot be started. */
function refuseMissing({ name, cwd, script }: App, file: string): void {
  const lacks = !existsSync(cwd) ? `the folder ${cwd}` : existsSync(script) ? '' : `the script ${script}`;
  if (lacks === '') return;
  throw new CliError(
    ExitCode.usage,
    `App ${name} of ${file} cannot be started: ${lacks} is not there. Correct the file; if a build makes it, build first.`,
  );
}

function environmentFromFile(app: App, file: string): NodeJS.ProcessEnv {
  try {
    return environmentOf(app, file, process.env);
  } catch (error) {
    if (error instanceof ServerError) throw new CliError(ExitCode.usage, messageOf(error));
    throw error;
  }
}

interface Parts {
  readonly script: string;
  readonly args: readonly string[];
  readonly flags: StartFlags;
  readonly cwd: string;
  readonly environment: NodeJS.ProcessEnv;
}

function launch({ script: given, args, flags, cwd, environment }: Parts): Launch {
  const { script, nodeArgs: forTypes } = commandFor(given);
  const guard = ['--import', SCRIPT_GUARD_ENTRY.href];
  // The master runs no callbacks: the debugger is for the workers.
  const nodeArgs = flags.nodeArgs.filter((word) => !isInspect(word));
  const environmentOfServer = environmentFor(flags, environment);
  const heap = heapArguments(nodeArgs, environmentOfServer['NODE_OPTIONS'] ?? '');
  const runner = flags.isApp ? [fileURLToPath(RUN_APP_ENTRY)] : [];
  return {
    words: [...heap, ...guard, ...forTypes, ...nodeArgs, ...runner, script, ...args],
    environment: environmentOfServer,
    cwd,
    isDaemon: isDaemon(flags, environment),
  };
}

function environmentFor({ options, nodeArgs }: StartFlags, given: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const environment = { ...given };
  for (const name of [FLAGS_VARIABLE, INSPECT_VARIABLE]) delete environment[name];
  if (Object.keys(options).length > 0) environment[FLAGS_VARIABLE] = JSON.stringify(options);
  const inspect = parseInspect(nodeArgs);
  if (inspect !== undefined) environment[INSPECT_VARIABLE] = textOf(inspect);
  return environment;
}

/** The server reads it again, and tells what is wrong with it. */
function isDaemon({ options }: StartFlags, environment: NodeJS.ProcessEnv): boolean {
  const text = options['daemonize'] ?? environment[variableOf('daemonize')];
  try {
    return text !== undefined && parseOption('daemonize', text, 'daemonize') === true;
  } catch {
    return false;
  }
}

/** This process becomes Node with the script: the process that the caller started becomes the master. */
export async function become({ words, environment, cwd }: Launch): Promise<never> {
  const { replaceProcess } = await import('../os/exec.js');
  enter(cwd);
  return replaceProcess(process.execPath, words, environment);
}

function enter(cwd: string): void {
  try {
    process.chdir(cwd);
  } catch (error) {
    throw new CliError(ExitCode.usage, `The folder ${cwd} cannot be entered: ${(error as Error).message}.`);
  }
}

/** Starts a daemon beside this process. @returns its exit code: 0 when the server is up */
export async function startDaemon({ words, environment, cwd }: Launch): Promise<number> {
  const child = spawn(process.execPath, words, { cwd, env: environment, stdio: 'inherit' });
  return new Promise<number>((resolve) => {
    child.once('error', (error) => {
      process.stderr.write(`tswoole: ${process.execPath} cannot be started in ${cwd}: ${error.message}\n`);
      resolve(ExitCode.failed);
    });
    child.once('exit', (code) => resolve(code ?? ExitCode.failed));
  });
}
