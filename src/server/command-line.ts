/**
 * A server is started from the command line only: its processes run the script again, so there must be a script
 * that does the same every time.
 */
import { existsSync } from 'node:fs';
import { isMainThread } from 'node:worker_threads';
import { ServerError, told } from '../errors/index.js';

export interface CommandLine {
  readonly platform: string;
  readonly isMainThread: boolean;
  readonly script: string | undefined;
  readonly execArgv: readonly string[];
  readonly scriptExists: boolean;
}

export function currentCommandLine(): CommandLine {
  const script = process.argv[1];
  const scriptExists = script !== undefined && (existsSync(script) || existsSync(`${script}.js`));
  return { platform: process.platform, isMainThread, script, execArgv: process.execArgv, scriptExists };
}

const EVAL_FLAGS = /^(-e|--eval|-p|-pe|--print|-i|--interactive)(=|$)/;

/** @throws ServerError ERR_PLATFORM, ERR_NOT_COMMAND_LINE */
export function checkCommandLine(line: CommandLine = currentCommandLine()): void {
  if (line.platform === 'win32') {
    throw told(new ServerError('ERR_PLATFORM', { platform: line.platform, why: 'Windows has no unix process model' }));
  }
  const why = whyNot(line);
  if (why !== undefined) throw told(new ServerError('ERR_NOT_COMMAND_LINE', { why }));
}

function whyNot(line: CommandLine): string | undefined {
  if (!line.isMainThread) return 'this is a worker thread';
  if (line.execArgv.some((argument) => EVAL_FLAGS.test(argument))) return 'the code was given with --eval or --print';
  if (line.script === undefined || line.script === '')
    return 'there is no script (a REPL, or code from standard input)';
  if (line.script === '-' || line.script === '[stdin]') return 'the code came from standard input';
  if (!line.scriptExists) return `the script '${line.script}' is not a file`;
  return undefined;
}
