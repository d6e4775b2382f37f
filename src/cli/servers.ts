/** Finds the server that a command is for, and connects to it. */
import { resolve } from 'node:path';
import type { CheckedConfig } from '../config/app.js';
import { CALL_TIMEOUT_MS, ControlClient } from '../control/client.js';
import type { CommandName } from '../control/commands.js';
import type { RunEntry } from '../control/run-dir.js';
import { ServerError } from '../errors/index.js';
import { isStopped, processStartTime } from '../os/other-process.js';
import { configIn } from './config-file.js';
import { CliError, ExitCode, messageOf } from './exit.js';
import { type Choice, type Found, runningServers, serverTable } from './running.js';
import { chooseApp } from './running-apps.js';

export { type Choice, type Found, runningServers, scriptOf, serverTable } from './running.js';

/** @throws CliError notRunning, several */
export async function chooseServer(choice: Choice): Promise<Found> {
  const { server } = choice;
  if (choice.pidFile !== undefined) return byPidFile(choice, choice.pidFile);
  // A pid is taken whatever the config says, also where it cannot be read.
  const config = isPid(server) ? undefined : await configOf(choice);
  if (config !== undefined) {
    const found = await chooseApp(config, choice);
    if (found !== undefined) return found;
  }
  return oneOf(runningServers(choice), server);
}

/** @throws CliError usage, with the way round a file that cannot be used */
export async function configOf(choice: Choice): Promise<CheckedConfig | undefined> {
  try {
    return await configIn(process.cwd(), choice.config);
  } catch (error) {
    if (!(error instanceof CliError) || runningServers(choice).length === 0) throw error;
    const way = 'By its pid a server is reached all the same: "tswoole list" shows it.';
    throw new CliError(error.exitCode, `${error.message}\n${way}`);
  }
}

function oneOf(all: readonly RunEntry[], server: string | undefined): Found {
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

export function isPid(server: string | undefined): boolean {
  return server !== undefined && /^\d+$/.test(server);
}

const NOTHING_RUNS = 'No server of this user runs. Start one with "tswoole start SCRIPT".';

function noneCalled(server: string, all: readonly RunEntry[]): string {
  const rest = all.length === 0 ? NOTHING_RUNS : `These do:\n${serverTable(all)}`;
  if (server === 'all')
    return `No server is called all. Without a name, all apps of the config file are meant. ${rest}`;
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

export interface Asked {
  readonly pid: number;
  readonly entry: RunEntry;
  readonly client: ControlClient;
  call<T>(command: CommandName | (string & {}), given?: object, timeoutMs?: number): Promise<T>;
}

/** Connects, runs the commands, and closes. @throws CliError */
export async function ask<T>(choice: Choice, what: (asked: Asked) => Promise<T>, answersWithinMs?: number): Promise<T> {
  return askFound(await chooseServer(choice), what, answersWithinMs);
}

/**
 * The same of a server that was found before. A master that does not answer is given no command: it would carry it out
 * whenever it goes on, long after the user was told that it has failed.
 */
export async function askFound<T>(
  { pid, entry }: Found,
  what: (asked: Asked) => Promise<T>,
  answersWithinMs = CALL_TIMEOUT_MS,
): Promise<T> {
  if (entry === undefined) {
    throw new CliError(
      ExitCode.failed,
      `The server runs as process ${pid}, but cannot be asked: it has "control" off, or another run directory (--run-dir).`,
    );
  }
  const client = await connect(entry);
  try {
    await mustAnswer(client, pid, answersWithinMs);
    return await what({
      pid,
      entry,
      client,
      call: (command, given, timeoutMs) => unlessStopped(pid, call(client, command, given, timeoutMs)),
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

/** By a command that every server knows. @throws CliError timedOut */
async function mustAnswer(client: ControlClient, pid: number, timeoutMs: number): Promise<void> {
  try {
    await client.call('commands', {}, timeoutMs);
  } catch (error) {
    if (error instanceof ServerError && error.is('ERR_COMMAND_TIMEOUT')) throw silent(pid, timeoutMs);
    throw new CliError(ExitCode.failed, `The server with pid ${pid} does not answer: ${messageOf(error)}`);
  }
}

function silent(pid: number, timeoutMs: number): CliError {
  const why = isStopped(pid)
    ? 'it is stopped, by SIGSTOP, Ctrl+Z or a debugger'
    : 'something keeps its event loop from turning';
  return new CliError(ExitCode.timedOut, messageOf(new ServerError('ERR_MASTER_SILENT', { pid, timeoutMs, why })));
}

/** A command may take minutes, and one that waits for a master that was stopped meanwhile would wait for all of them. */
async function unlessStopped<T>(pid: number, answer: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const stops = new Promise<never>((_, reject) => {
    let looks = 0;
    timer = setInterval(() => {
      looks = isStopped(pid) ? looks + 1 : 0;
      if (looks * STOPPED_LOOK_MS >= CALL_TIMEOUT_MS) reject(silent(pid, CALL_TIMEOUT_MS));
    }, STOPPED_LOOK_MS);
  });
  try {
    return await Promise.race([answer, stops]);
  } finally {
    clearInterval(timer);
  }
}

const STOPPED_LOOK_MS = 500;

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
