import type { Command } from 'commander';
import { CALL_TIMEOUT_MS } from '../../control/client.js';
import { CliError, ExitCode } from '../exit.js';
import { integerBetween } from '../number.js';
import { ask } from '../servers.js';
import { choiceOf, type TargetFlags, withTarget } from '../target.js';
import { print, printJson, table } from '../terminal.js';

export function addCall(program: Command): void {
  withTarget(program.command('call'))
    .summary('any command of the server, those of addCommand() too')
    .description('Without a command: lists all. Prints the answer as JSON.')
    .argument('[command]', 'its name')
    .argument('[arguments]', 'a JSON object')
    .option('--timeout <seconds>', 'how long to wait', integerBetween(1, 86_400), 30)
    .action(async (command: string | undefined, text: string | undefined, flags: TargetFlags & { timeout: number }) => {
      const given = parseObject(text);
      const timeoutMs = flags.timeout * 1000;
      const answer = await ask(
        choiceOf(flags),
        ({ call }) => call<unknown>(command ?? 'commands', given, timeoutMs),
        Math.min(timeoutMs, CALL_TIMEOUT_MS),
      );
      if (command !== undefined) return printJson(answer);
      const rows = (answer as { name: string; help: string; takes: string[] }[]).map(({ name, takes, help }) => [
        name,
        takes.join(' '),
        help,
      ]);
      print(table(['COMMAND', 'TAKES', ''], rows));
    });

  withTarget(program.command('log-level'))
    .summary('change what is logged, while the server runs')
    .argument('<level>', 'debug, info, warn, error or silent')
    .argument('[server]', 'its name or pid, where several run')
    .action(async (level: string, server: string | undefined, flags: TargetFlags) => {
      await ask(choiceOf(flags, server), ({ call }) => call('logLevel', { level }));
      print(`From now on, messages from "${level}" up are logged.`);
    });
}

function parseObject(text: string | undefined): object {
  if (text === undefined) return {};
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value;
  } catch {
    // said below
  }
  throw new CliError(
    ExitCode.usage,
    `The arguments must be a JSON object such as '{"level":"debug"}', received ${text}`,
  );
}
