import type { Command } from 'commander';
import { processStartTime } from '../../os/other-process.js';
import { CliError, ExitCode } from '../exit.js';
import { integerBetween } from '../number.js';
import { ask, type Choice, chooseServer, waitUntilGone } from '../servers.js';
import { choiceOf, type TargetFlags, withTarget } from '../target.js';
import { print } from '../terminal.js';

interface Flags extends TargetFlags {
  readonly timeout: number;
  readonly force?: boolean;
}

/** Within this time a server takes a second signal for a repetition of the first. */
const HURRY_AFTER_MS = 1100;

export function addStop(program: Command): void {
  withTarget(program.command('stop'))
    .summary('end a server in order')
    .description(
      'Ends a server in order: no new clients, what was received is finished, answers leave. Returns when its last process is gone.',
    )
    .argument('[server]', 'name or pid')
    .option('--timeout <seconds>', 'how long to wait for its end', integerBetween(1, 86_400), 60)
    .option('-f, --force', 'do not wait for what is not finished')
    .action(async (server: string | undefined, flags: Flags) => {
      const pid = await stopServer(choiceOf(flags, server), flags.timeout * 1000, flags.force === true);
      print(`The server with pid ${pid} has ended.`);
    });
}

/** @throws CliError notRunning, several, timedOut */
export async function stopServer(choice: Choice, timeoutMs: number, byForce = false): Promise<number> {
  const { pid, entry } = await chooseServer(choice);
  const processStart = processStartTime(pid);
  const tell = async (): Promise<void> => {
    if (entry === undefined)
      process.kill(pid, 'SIGTERM'); // it holds the lock of its pid file, so the pid is valid
    else await ask({ ...choice, server: String(pid), pidFile: undefined }, ({ call }) => call('shutdown'));
  };
  await tell();
  if (byForce && !(await waitUntilGone(pid, processStart, HURRY_AFTER_MS))) await tell();
  if (await waitUntilGone(pid, processStart, timeoutMs)) return pid;
  throw new CliError(
    ExitCode.timedOut,
    `The server with pid ${pid} is still there after ${timeoutMs / 1000} s. "tswoole stop ${pid} --force" waits for nothing.`,
  );
}
