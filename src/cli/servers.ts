/** Finds the server that a command is for, and connects to it. */
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ControlClient } from '../control/client.js';
import type { CommandName } from '../control/commands.js';
import { listEntries, type RunEntry, runDirFor } from '../control/run-dir.js';
import { RUN_APP_ENTRY } from '../entries.js';
import { ServerError } from '../errors/index.js';
import { variableOf } from '../options/index.js';
import { processStartTime } from '../os/other-process.js';
import { monotonicMs } from '../util/clock.js';
import { CliError, ExitCode } from './exit.js';
import { duration, table } from './terminal.js';

/** How a user chooses a server; nothing is needed where only one runs. */
export interface Choice {
  /** Name or pid. */
  readonly server?: string | undefined;
  readonly pidFile?: string | undefined;
  readonly runDir?: string | undefined;
}

/** A server found by its pid file; without an entry it can only receive signals. */
export interface Found {
  readonly pid: number;
  readonly entry: RunEntry | undefined;
}

export function runningServers({ runDir }: Choice): RunEntry[] {
  return listEntries(runDirFor(runDir ?? process.env[variableOf('runDir')] ?? ''));
}

/** @throws CliError notRunning, several */
export async function chooseServer(choice: Choice): Promise<Found> {
  if (choice.pidFile !== undefined) return byPidFile(choice, choice.pidFile);
  const all = runningServers(choice);
  const { server } = choice;
  const fits = server === undefined ? all : all.filter(({ name, pid }) => name === server || String(pid) === server);
  if (fits.length > 1) {
    throw new CliError(
      ExitCode.several,
      `${fits.length} servers run. Name one by its pid${server === undefined ? ' or its name' : ''}:\n${serverTable(fits)}`,
    );
  }
  const [entry] = fits;
  if (entry !== undefined) return { pid: entry.pid, entry };
  throw new CliError(ExitCode.notRunning, server === undefined ? NOTHING_RUNS : noneCalled(server, all));
}

const NOTHING_RUNS = 'No server of this user runs. Start one with "tswoole start SCRIPT".';

function noneCalled(server: string, all: readonly RunEntry[]): string {
  const rest = all.length === 0 ? NOTHING_RUNS : `These do:\n${serverTable(all)}`;
  return `No server called ${server}, or with this pid, runs. ${rest}`;
}

async function byPidFile(choice: Choice, file: string): Promise<Found> {
  const path = resolve(file);
  const { pidOfHolder } = await import('../control/pid-file.js');
  let pid: number;
  try {
    pid = pidOfHolder(path);
  } catch (error) {
    throw new CliError(ExitCode.failed, `The pid file ${path} cannot be read: ${(error as Error).message}.`);
  }
  if (pid === 0) {
    throw new CliError(
      ExitCode.notRunning,
      `No server holds the pid file ${path}: there is none, or a server that was killed has left it. No process was touched.`,
    );
  }
  return { pid, entry: runningServers(choice).find((entry) => entry.pid === pid) };
}

/** For an app the program is ours, and unknown to the user. */
const RUN_APP = fileURLToPath(RUN_APP_ENTRY);

/** Arguments of Node that take the next word; others use `=`. */
const TAKES_NEXT = new Set(['--import', '--require', '-r', '--loader', '--experimental-loader', '-C', '--conditions']);

/** The script as given, without arguments of Node and our own program. */
export function scriptOf({ command }: Pick<RunEntry, 'command'>): string {
  const words = command.slice(1);
  const isScript = (word: string, at: number): boolean =>
    !word.startsWith('-') && word !== RUN_APP && !TAKES_NEXT.has(words[at - 1] ?? '');
  return words.find(isScript) ?? '';
}

export function serverTable(entries: readonly RunEntry[]): string {
  const rows = entries.map((entry) => {
    const { name, pid, mode, startedAtMonotonic } = entry;
    return [name, pid, mode, duration(monotonicMs() - startedAtMonotonic), scriptOf(entry)];
  });
  return table(['NAME', 'PID', 'MODE', 'UP', 'SCRIPT'], rows);
}

export interface Asked {
  readonly pid: number;
  readonly entry: RunEntry;
  readonly client: ControlClient;
  call<T>(command: CommandName | (string & {}), given?: object, timeoutMs?: number): Promise<T>;
}

/** Connects, runs the commands, and closes. @throws CliError */
export async function ask<T>(choice: Choice, what: (asked: Asked) => Promise<T>): Promise<T> {
  const { pid, entry } = await chooseServer(choice);
  if (entry === undefined) {
    throw new CliError(
      ExitCode.failed,
      `The server runs as process ${pid}, but cannot be asked: it has "control" off, or another run directory (--run-dir).`,
    );
  }
  const client = await connect(entry);
  try {
    return await what({
      pid,
      entry,
      client,
      call: (command, given, timeoutMs) => call(client, command, given, timeoutMs),
    });
  } finally {
    client.close();
  }
}

async function connect({ socket, pid }: RunEntry): Promise<ControlClient> {
  try {
    return await ControlClient.connect(socket);
  } catch (error) {
    throw new CliError(ExitCode.failed, `The server with pid ${pid} does not answer: ${(error as Error).message}.`);
  }
}

async function call<T>(client: ControlClient, command: string, given?: object, timeoutMs?: number): Promise<T> {
  try {
    return (await client.call(command, given, timeoutMs)) as T;
  } catch (error) {
    const isLate = error instanceof ServerError && error.is('ERR_COMMAND_TIMEOUT');
    const isUsage =
      error instanceof ServerError &&
      /^ERR_(OPTION_|COMMAND_UNKNOWN|COMMAND_NAME|WORKER_ID|ROOM_NAME)/.test(error.code);
    if (isLate) throw new CliError(ExitCode.timedOut, messageOf(error));
    throw new CliError(isUsage ? ExitCode.usage : ExitCode.failed, messageOf(error));
  }
}

/** With the code, which leads to docs/errors.md. */
export function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const code: unknown = Reflect.get(error, 'code');
  const cause = error.cause instanceof Error ? `\n  because: ${messageOf(error.cause)}` : '';
  return typeof code === 'string' && code.startsWith('ERR_')
    ? `${error.message} (${code})${cause}`
    : error.message + cause;
}

/** @param processStart distinguishes it from a later process with the same pid @returns true when it ended in time */
export async function waitUntilGone(
  pid: number,
  processStart: string | undefined,
  timeoutMs: number,
): Promise<boolean> {
  const end = performance.now() + timeoutMs;
  while (processStart !== undefined && processStartTime(pid) === processStart) {
    if (performance.now() > end) return false;
    await new Promise((done) => setTimeout(done, LOOK_MS));
  }
  return true;
}

/** The end of a process that is not a child raises no event, so it is polled. */
const LOOK_MS = 20;
