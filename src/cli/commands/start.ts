import { fileURLToPath } from 'node:url';
import type { Command } from 'commander';
import { RUN_APP_ENTRY, SCRIPT_GUARD_ENTRY } from '../../entries.js';
import { FLAGS_VARIABLE } from '../../options/index.js';
import { ExitCode } from '../exit.js';
import { addServerOptions, givenOptions } from '../option-flags.js';
import { commandFor } from '../script.js';

export function addStart(program: Command): void {
  const command = program
    .command('start')
    .summary('start a server')
    .description(
      'Starts the server of a script. It runs in the foreground, or with --daemon in the background; then the command returns when ' +
        'the server is up, or says why it is not. What follows "--" are arguments of the script.',
    )
    .argument(
      '<script>',
      'a file of JavaScript or TypeScript that makes a Server and calls start(); with --http one that exports an app',
    )
    .argument('[arguments...]', 'arguments of the script')
    .option(
      '--node-arg <argument>',
      'an argument of Node; may be repeated',
      (value, all: string[]) => [...all, value],
      [],
    )
    .option(
      '--http',
      'the script is an app of Express, Fastify, Hono, … that exports what answers its requests, or calls listen()',
    )
    .action((script: string, args: string[], values: Record<string, unknown>) => {
      const runner = values['http'] === true ? [fileURLToPath(RUN_APP_ENTRY)] : [];
      return start(script, args, runner, values['nodeArg'] as string[], givenOptions(values));
    });
  addServerOptions(command);
}

/** Nothing has begun yet. */
function endInOrder(): void {
  process.exit(ExitCode.ok);
}

/** Becomes Node with the script: whoever has started `tswoole` has started the master. */
async function start(
  given: string,
  args: readonly string[],
  runner: readonly string[],
  nodeArgs: readonly string[],
  flags: Readonly<Record<string, string>>,
): Promise<never> {
  for (const signal of ['SIGTERM', 'SIGHUP'] as const) process.once(signal, endInOrder);
  const { script, nodeArgs: forTypes } = commandFor(given);
  const environment = { ...process.env };
  delete environment[FLAGS_VARIABLE];
  if (Object.keys(flags).length > 0) environment[FLAGS_VARIABLE] = JSON.stringify(flags);
  const { replaceProcess } = await import('../../os/exec.js');
  const guard = ['--import', SCRIPT_GUARD_ENTRY.href];
  const words = [...guard, ...forTypes, ...nodeArgs, ...runner, script, ...args];
  return replaceProcess(process.execPath, words, environment);
}
