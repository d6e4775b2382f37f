import { resolve } from 'node:path';
import type { Command } from 'commander';
import { isStopped, processStartTime } from '../../os/other-process.js';
import { CliError, ExitCode } from '../exit.js';
import { integerBetween } from '../number.js';
import { askFound, type Choice, chooseServer, type Found, scriptOf, waitUntilGone } from '../servers.js';
import { onEach, type TargetFlags, targetsOf, withTarget } from '../target.js';

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
    .argument('[servers...]', 'names or pids; without one all apps of the config file')
    .option('--timeout <seconds>', 'how long to wait for its end', integerBetween(1, 86_400), 60)
    .option('-f, --force', 'do not wait for what is not finished')
    .action(async (servers: string[], flags: Flags) =>
      onEach(await targetsOf(flags, servers), async ({ choice }, say) => {
        const found = await chooseServer(choice);
        tellWhichOne(choice, found);
        await stopServer(found, flags.timeout * 1000, flags.force === true);
        say(`The server with pid ${found.pid} has ended.`);
      }),
    );
}

/** Of a server that was not named: it may be another project's, and the only one that still runs. */
function tellWhichOne({ server, pidFile }: Choice, { entry }: Found): void {
  if (server !== undefined || pidFile !== undefined || entry === undefined || entry.cwd === process.cwd()) return;
  const script = resolve(entry.cwd, scriptOf(entry));
  process.stderr.write(`tswoole: ending "${entry.name}", the only server that runs: ${script}\n`);
}

/** @throws CliError timedOut */
export async function stopServer({ pid, entry }: Found, timeoutMs: number, byForce = false): Promise<void> {
  const processStart = processStartTime(pid);
  const tell = async (): Promise<void> => {
    if (entry === undefined)
      process.kill(pid, 'SIGTERM'); // it holds the lock of its pid file, so the pid is valid
    else await askFound({ pid, entry }, ({ call }) => call('shutdown'));
  };
  await tell();
  if (byForce && !(await waitUntilGone(pid, processStart, HURRY_AFTER_MS))) await tell();
  if (await waitUntilGone(pid, processStart, timeoutMs)) return;
  throw new CliError(
    ExitCode.timedOut,
    `The server with pid ${pid} is still there after ${timeoutMs / 1000} s. ${
      isStopped(pid)
        ? `It is stopped, by SIGSTOP, Ctrl+Z or a debugger: "kill -CONT ${pid}" lets it go on.`
        : `"tswoole stop ${pid} --force" waits for nothing.`
    }`,
  );
}
