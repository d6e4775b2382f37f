import { closeSync, existsSync, fstatSync, readSync, statSync } from 'node:fs';
import type { Command } from 'commander';
import { LineCutter } from '../../util/line-cutter.js';
import { openRegular } from '../../util/open-file.js';
import { CliError, ExitCode } from '../exit.js';
import { integerBetween } from '../number.js';
import { ask, askFound, type Choice, chooseServer, type Found } from '../servers.js';
import { onEach, type Say, type TargetFlags, targetsOf, withTarget } from '../target.js';
import { paint, print } from '../terminal.js';

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
    .argument('[servers...]', 'names or pids; without one all apps of the config file')
    .option('-f, --follow', 'and what is written from now on, until Ctrl+C')
    .option('-n, --lines <count>', 'how many lines', integerBetween(0, 1_000_000), 50)
    .option('--reopen', 'the server opens its log file again, after it was moved')
    .action(async (servers: string[], flags: Flags) => {
      const targets = await targetsOf(flags, servers);
      if (flags.reopen === true) return onEach(targets, ({ choice }, say) => reopen(choice, say));
      const width = Math.max(...targets.all.map(({ name }) => name.length));
      const following: Promise<void>[] = [];
      await onEach(targets, async ({ name, choice }) => {
        const file = await logFileOf(await chooseServer(choice));
        const write = targets.areSeveral ? withHead(paint('cyan', `${name.padEnd(width)} |`)) : writeBytes;
        const end = endOf(file, write);
        end.last(flags.lines);
        if (flags.follow === true) following.push(end.follow());
        else end.close();
      });
      await Promise.all(following);
    });
}

async function reopen(choice: Choice, say: Say): Promise<void> {
  await ask(choice, ({ call }) => call('reopenLogs'));
  say('The log files are opened again.');
}

async function logFileOf(found: Found): Promise<string> {
  const { pid, entry } = found;
  const file = entry?.logFile ?? '';
  if (file === '') throw new CliError(ExitCode.failed, await noFile(found));
  if (!existsSync(file))
    throw new CliError(ExitCode.failed, `The log file ${file} of the server with pid ${pid} is not there.`);
  return file;
}

async function noFile(found: Found): Promise<string> {
  const where =
    found.entry?.isDaemon === true
      ? 'has no log file, so its log is lost: start it with --log-file FILE'
      : 'logs to standard error: look where it was started (systemd: journalctl), or start it with --log-file FILE';
  const newest = (await keepsLines(found)) ? '; "tswoole call log" has its newest lines' : '';
  return `The server with pid ${found.pid} ${where}${newest}.`;
}

/** Lines are kept in shared memory where the dashboard is on. */
async function keepsLines(found: Found): Promise<boolean> {
  try {
    await askFound(found, ({ call }) => call('log', { count: 1 }));
    return true;
  } catch {
    return false;
  }
}

type Write = (bytes: Buffer) => void;

function writeBytes(bytes: Buffer): void {
  process.stdout.write(bytes);
}

function withHead(head: string): Write {
  const cutter = new LineCutter((line) => print(`${head} ${line}`));
  return (bytes) => cutter.write(bytes);
}

/** @throws CliError failed: it is a pipe, whose lines are for its reader, or may not be read */
function endOf(file: string, write: Write): LogEnd {
  try {
    return new LogEnd(file, write);
  } catch (error) {
    throw new CliError(ExitCode.failed, `The log file ${file} cannot be read: ${(error as Error).message}.`);
  }
}

/** The end of one log file. */
class LogEnd {
  readonly #file: string;
  readonly #write: Write;
  #descriptor: number;
  #at = 0;

  constructor(file: string, write: Write) {
    this.#file = file;
    this.#write = write;
    this.#descriptor = openRegular(file);
  }

  last(lines: number): void {
    this.#copyFrom(startOfLast(this.#descriptor, lines));
  }

  /** Does not return. */
  async follow(): Promise<void> {
    for (;;) {
      // After a rotation the name belongs to a new file; a truncated file begins again.
      await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
      this.#copyFrom(fstatSync(this.#descriptor).size < this.#at ? 0 : this.#at);
      if (isSame(this.#file, this.#descriptor)) continue;
      this.#copyFrom(this.#at);
      this.close();
      this.#descriptor = openRegular(this.#file);
      this.#copyFrom(0);
    }
  }

  close(): void {
    closeSync(this.#descriptor);
  }

  #copyFrom(from: number): void {
    this.#at = copy(this.#descriptor, from, this.#write);
  }
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
function copy(descriptor: number, from: number, write: Write): number {
  const chunk = Buffer.alloc(CHUNK_BYTES);
  for (let at = from; ; ) {
    const length = readSync(descriptor, chunk, 0, CHUNK_BYTES, at);
    if (length === 0) return at;
    write(Buffer.from(chunk.subarray(0, length)));
    at += length;
  }
}
