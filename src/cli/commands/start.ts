import { fileURLToPath } from 'node:url';
import type { Command } from 'commander';
import { RUN_APP_ENTRY, SCRIPT_GUARD_ENTRY } from '../../entries.js';
import { INSPECT_VARIABLE, isInspect, parseInspect, textOf } from '../../ipc/inspect.js';
import { FLAGS_VARIABLE } from '../../options/index.js';
import { ExitCode } from '../exit.js';
import { commandFor } from '../script.js';
import { addStartFlags, type StartFlags, startFlagsOf } from '../start-flags.js';

export function addStart(program: Command): void {
  const command = program
    .command('start')
    .summary('start a server')
    .description(
      'Starts the server of a script. It runs in the foreground, or with --daemon in the background; then the command returns when ' +
        'the server is up, or prints why it is not. Arguments after "--" go to the script.',
    )
    .action((script: string, args: string[], values: Record<string, unknown>) =>
      start(script, args, startFlagsOf(values)),
    );
  addStartFlags(command);
}

/** No process has been started yet. */
function endInOrder(): void {
  process.exit(ExitCode.ok);
}

/** Replaces this process by Node with the script: the process that the caller started becomes the master. */
async function start(given: string, args: readonly string[], flags: StartFlags): Promise<never> {
  for (const signal of ['SIGTERM', 'SIGHUP'] as const) process.once(signal, endInOrder);
  const { script, nodeArgs: forTypes } = commandFor(given);
  const { replaceProcess } = await import('../../os/exec.js');
  const guard = ['--import', SCRIPT_GUARD_ENTRY.href];
  // The master runs no callbacks: the debugger is for the workers.
  const nodeArgs = flags.nodeArgs.filter((word) => !isInspect(word));
  const runner = flags.isApp ? [fileURLToPath(RUN_APP_ENTRY)] : [];
  const words = [...guard, ...forTypes, ...nodeArgs, ...runner, script, ...args];
  return replaceProcess(process.execPath, words, environmentFor(flags));
}

function environmentFor({ options, nodeArgs }: StartFlags): NodeJS.ProcessEnv {
  const environment = { ...process.env };
  for (const name of [FLAGS_VARIABLE, INSPECT_VARIABLE]) delete environment[name];
  if (Object.keys(options).length > 0) environment[FLAGS_VARIABLE] = JSON.stringify(options);
  const inspect = parseInspect(nodeArgs);
  if (inspect !== undefined) environment[INSPECT_VARIABLE] = textOf(inspect);
  return environment;
}
