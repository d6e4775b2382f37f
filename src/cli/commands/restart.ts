import { spawn } from 'node:child_process';
import type { Command } from 'commander';
import type { RunEntry } from '../../control/run-dir.js';
import { FLAGS_VARIABLE } from '../../options/index.js';
import { environmentOf } from '../../os/other-process.js';
import { CliError, ExitCode } from '../exit.js';
import { integerBetween } from '../number.js';
import { chooseServer } from '../servers.js';
import { choiceOf, type TargetFlags, withTarget } from '../target.js';
import { print } from '../terminal.js';
import { stopServer } from './stop.js';

export function addRestart(program: Command): void {
  withTarget(program.command('restart'))
    .summary('stop a daemon and start it again')
    .description(
      'Ends a daemon and starts it again as it was started, in its folder, with its flags and its environment. Connections ' +
        'are closed: where only the script has changed, "tswoole reload" keeps them.',
    )
    .argument('[server]', 'name or pid')
    .option('--timeout <seconds>', 'how long to wait for its end', integerBetween(1, 86_400), 60)
    .option('--update-env', 'take the environment of this command, not the one the daemon was started with')
    .action(async (server: string | undefined, flags: TargetFlags & { timeout: number; updateEnv?: true }) => {
      const choice = choiceOf(flags, server);
      const { pid, entry } = await chooseServer(choice);
      if (entry?.isDaemon !== true) {
        throw new CliError(
          ExitCode.failed,
          `The server with pid ${pid} is not a daemon: the program that started it (a terminal, systemd, a container) has to start it again. ` +
            'To take a changed script, "tswoole reload" is enough.',
        );
      }
      const environment = flags.updateEnv ? process.env : (environmentOf(pid) ?? process.env);
      await stopServer({ ...choice, server: String(pid), pidFile: undefined }, flags.timeout * 1000);
      print(`The server with pid ${pid} has ended.`);
      await startAgain(entry, environment);
    });
}

async function startAgain({ command, cwd, flags }: RunEntry, environment: NodeJS.ProcessEnv): Promise<void> {
  const [file = process.execPath, ...args] = command;
  const env = { ...withoutOwn(environment), [FLAGS_VARIABLE]: JSON.stringify(flags) };
  const child = spawn(file, args, { cwd, env, stdio: 'inherit' });
  const code = await new Promise<number>((resolve) => {
    child.once('error', (error) => {
      process.stderr.write(`tswoole: ${file} cannot be started: ${error.message}\n`);
      resolve(ExitCode.failed);
    });
    child.once('exit', (exitCode) => resolve(exitCode ?? ExitCode.failed));
  });
  if (code !== 0)
    throw new CliError(ExitCode.failed, 'The server has ended and did not start again: its reason stands above.');
}

/** Removes the variables by which the processes of a server identify themselves to each other. */
function withoutOwn(environment: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const isOwn = (name: string): boolean => name.startsWith('TSWOOLE_') && !name.startsWith('TSWOOLE_OPTION_');
  return Object.fromEntries(Object.entries(environment).filter(([name]) => !isOwn(name)));
}
