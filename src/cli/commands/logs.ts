import { closeSync, existsSync, fstatSync, openSync, readSync, statSync } from 'node:fs';
import type { Command } from 'commander';
import { CliError, ExitCode } from '../exit.js';
import { integerBetween } from '../number.js';
import { ask, chooseServer } from '../servers.js';
import { choiceOf, type TargetFlags, withTarget } from '../target.js';
import { print } from '../terminal.js';

interface Flags extends TargetFlags {
  readonly follow?: boolean;
  readonly lines: number;
  readonly reopen?: boolean;
}

const CHUNK_BYTES = 64 * 1024;
const LOOK_MS = 200;

export function addLogs(program: Command): void {
  withTarget(program.command('logs'))
    .summary('the end of the log file')
    .argument('[server]', 'name or pid')
    .option('-f, --follow', 'and what is written from now on, until Ctrl+C')
    .option('-n, --lines <count>', 'how many lines', integerBetween(0, 1_000_000), 50)
    .option('--reopen', 'the server opens its log file again, after it was moved')
    .action(async (server: string | undefined, flags: Flags) => {
      const choice = choiceOf(flags, server);
      if (flags.reopen === true) {
        await ask(choice, ({ call }) => call('reopenLogs'));
        return print('The log files are opened again.');
      }
      const { pid, entry } = await chooseServer(choice);
      const file = entry?.logFile ?? '';
      if (file === '') throw new CliError(ExitCode.failed, noFile(pid, entry?.isDaemon === true));
      if (!existsSync(file))
        throw new CliError(ExitCode.failed, `The log file ${file} of the server with pid ${pid} is not there.`);
      await show(file, flags.lines, flags.follow === true);
    });
}

function noFile(pid: number, isDaemon: boolean): string {
  const where = isDaemon
    ? 'has no log file: start it with --log-file FILE'
    : 'logs to standard error: look where it was started (systemd: journalctl), or start it with --log-file FILE';
  return `The server with pid ${pid} ${where}.`;
}

async function show(file: string, lines: number, follows: boolean): Promise<void> {
  let descriptor = openSync(file, 'r');
  let at = startOfLast(descriptor, lines);
  at = copy(descriptor, at);
  while (follows) {
    // After a rotation the name belongs to a new file; a truncated file begins again.
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
    at = copy(descriptor, fstatSync(descriptor).size < at ? 0 : at);
    if (isSame(file, descriptor)) continue;
    copy(descriptor, at);
    closeSync(descriptor);
    descriptor = openSync(file, 'r');
    at = copy(descriptor, 0);
  }
  closeSync(descriptor);
}

function isSame(file: string, descriptor: number): boolean {
  try {
    return statSync(file).ino === fstatSync(descriptor).ino;
  } catch {
    return true; // moved, and not yet created again
  }
}

/** Where the last `lines` lines begin, searched from the end. */
function startOfLast(descriptor: number, lines: number): number {
  const { size } = fstatSync(descriptor);
  if (lines === 0) return size;
  const chunk = Buffer.alloc(CHUNK_BYTES);
  let left = lines + 1; // the last line ends with one itself
  for (let end = size; end > 0; end -= CHUNK_BYTES) {
    const start = Math.max(0, end - CHUNK_BYTES);
    const length = readSync(descriptor, chunk, 0, end - start, start);
    for (let i = length - 1; i >= 0; i--) if (chunk[i] === 10 && --left === 0) return start + i + 1;
  }
  return 0;
}

/** @returns where to read on */
function copy(descriptor: number, from: number): number {
  const chunk = Buffer.alloc(CHUNK_BYTES);
  for (let at = from; ; ) {
    const length = readSync(descriptor, chunk, 0, CHUNK_BYTES, at);
    if (length === 0) return at;
    process.stdout.write(Buffer.from(chunk.subarray(0, length)));
    at += length;
  }
}
