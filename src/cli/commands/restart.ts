import { spawn } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { dirname } from 'node:path';
import { type Command, Option } from 'commander';
import { appFor } from '../../config/merge.js';
import type { RunEntry } from '../../control/run-dir.js';
import { ServerError } from '../../errors/index.js';
import { FLAGS_VARIABLE } from '../../options/index.js';
import { environmentOf } from '../../os/other-process.js';
import { appCalled, configIn, refuseUnknownEnvironment } from '../config-file.js';
import { CliError, ExitCode, messageOf } from '../exit.js';
import { type Launch, launchOfApp, startDaemon } from '../launch.js';
import { integerBetween } from '../number.js';
import { type Choice, chooseServer } from '../servers.js';
import { startAdvice } from '../start-command.js';
import { onEach, type Say, type TargetFlags, targetsOf, withTarget } from '../target.js';
import { stopServer } from './stop.js';

interface Flags extends TargetFlags {
  readonly timeout: number;
  readonly updateEnv?: true;
  readonly updateConfig?: true;
  readonly env?: string;
}

export function addRestart(program: Command): void {
  withTarget(program.command('restart'))
    .summary('stop a daemon and start it again')
    .description(
      'Ends a daemon and starts it again as it was started, in its folder, with its flags and its environment; with ' +
        '--update-config as the config file says now. Connections are closed: where only the script has changed, "tswoole reload" ' +
        'keeps them.',
    )
    .argument('[servers...]', 'names or pids; without one all apps of the config file')
    .option('--timeout <seconds>', 'how long to wait for its end', integerBetween(1, 86_400), 60)
    .option('--update-env', 'take the environment of this command, not the one the daemon was started with')
    .option('--update-config', 'start the app as the config file says now, with the environment of this command')
    .addOption(
      new Option('--env <name>', 'with --update-config: the environment of the config file').implies({
        updateConfig: true,
      }),
    )
    .action(async (servers: string[], flags: Flags) =>
      onEach(await targetsOf(flags, servers), ({ choice }, say) => restart(choice, flags, say)),
    );
}

async function restart(choice: Choice, flags: Flags, say: Say): Promise<void> {
  const found = await chooseServer(choice);
  const { pid, entry } = found;
  if (entry?.isDaemon !== true) {
    throw new CliError(
      ExitCode.failed,
      `The server with pid ${pid} is not a daemon: the program that started it (a terminal, systemd, a container) has to start it again. ` +
        'To take a changed script, "tswoole reload" is enough.',
    );
  }
  refuseUnwritable(entry);
  // Before the end: what is wrong with the file must not leave the app stopped.
  const launch = flags.updateConfig === true ? await launchFromFile(entry.name, flags) : undefined;
  const environment = flags.updateEnv ? process.env : (environmentOf(pid) ?? process.env);
  await stopServer(found, flags.timeout * 1000);
  say(`The server with pid ${pid} has ended.`);
  const code = launch === undefined ? await startAgain(entry, environment) : await startDaemon(launch);
  if (code === 0) return;
  const isInFile = launch !== undefined || (await standsInFile(entry.name, flags));
  const advice = isInFile
    ? `When that is mended: tswoole start ${entry.name}, with the --env that it had.`
    : startAdvice(entry, environment);
  throw new CliError(
    ExitCode.failed,
    `The server has ended and did not start again: its reason stands above. ${advice}`,
  );
}

/** A config that cannot be read now is not what failed. */
async function standsInFile(name: string, { config }: Flags): Promise<boolean> {
  const file = await configIn(process.cwd(), config).catch(() => undefined);
  return file?.apps.some((app) => app.name === name) ?? false;
}

/** A server that can leave no note there runs all the same: after a restart no command would find it. @throws CliError failed */
function refuseUnwritable({ socket, pid }: RunEntry): void {
  const path = dirname(socket);
  try {
    accessSync(path, constants.W_OK | constants.X_OK);
  } catch (error) {
    const why = `it cannot be written to (${(error as Error).message}), so no command would find the new server; the one with pid ${pid} goes on`;
    throw new CliError(ExitCode.failed, messageOf(new ServerError('ERR_RUN_DIR', { path, why })));
  }
}

async function launchFromFile(name: string, { config: given, env = '' }: Flags): Promise<Launch> {
  const config = await configIn(process.cwd(), given);
  if (config === undefined)
    throw new CliError(ExitCode.usage, 'There is no config file in this folder; name one by --config FILE.');
  refuseUnknownEnvironment(config, env);
  const app = appFor(appCalled(config, name), config.file, env);
  return launchOfApp(app, [], { options: { daemonize: 'true' }, nodeArgs: [], isApp: false }, config.file);
}

async function startAgain({ command, cwd, flags }: RunEntry, environment: NodeJS.ProcessEnv): Promise<number> {
  const [file = process.execPath, ...args] = command;
  const env = { ...withoutOwn(environment), [FLAGS_VARIABLE]: JSON.stringify(flags) };
  const child = spawn(file, args, { cwd, env, stdio: 'inherit' });
  return new Promise<number>((resolve) => {
    child.once('error', (error) => {
      process.stderr.write(`tswoole: ${file} cannot be started: ${error.message}\n`);
      resolve(ExitCode.failed);
    });
    child.once('exit', (exitCode) => resolve(exitCode ?? ExitCode.failed));
  });
}

/** Removes the variables by which the processes of a server identify themselves to each other. */
function withoutOwn(environment: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const isOwn = (name: string): boolean => name.startsWith('TSWOOLE_') && !name.startsWith('TSWOOLE_OPTION_');
  return Object.fromEntries(Object.entries(environment).filter(([name]) => !isOwn(name)));
}
