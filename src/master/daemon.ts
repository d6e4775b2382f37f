/**
 * A daemon is the same script, started once more in a session of its own. The process that was called waits until it
 * hears that the server is up, or why it is not, so that whoever starts it knows.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, constants, writeSync } from 'node:fs';
import type { Readable } from 'node:stream';
import { deserializeError, type SerializedError, ServerError, serializeError } from '../errors/index.js';
import { environmentForMaster, type ResolvedOptions } from '../options/index.js';
import { closeOnExec } from '../os/socket.js';
import { DAEMON_VARIABLE, type DaemonLog } from '../util/early-prints.js';
import { openUnlinked } from '../util/open-file.js';
import { isTitleArgument, titleArgument } from '../util/title-argument.js';

const REPORT_DESCRIPTOR = 3;
/** Beyond what the processes of the server may take: the master itself has to start, and to end. */
const GRACE_MS = 15_000;

type Report =
  | { readonly type: 'ready'; readonly listening: readonly string[] }
  | { readonly type: 'failed'; readonly error: SerializedError };

export interface StartedDaemon {
  readonly pid: number;
  readonly listening: readonly string[];
}

let isTaken = false;
let isDaemon = false;

/** True in the daemon itself. Read once: what a worker starts is no daemon of ours. */
export function isTheDaemon(): boolean {
  if (!isTaken) {
    isDaemon = process.env[DAEMON_VARIABLE] !== undefined;
    delete process.env[DAEMON_VARIABLE];
    isTaken = true;
    if (isDaemon) closeOnExec(REPORT_DESCRIPTOR);
  }
  return isDaemon;
}

/** The daemon says that it is up, or why it is not. Once. */
export function reportToStarter(listening: readonly string[], error?: unknown): void {
  if (!isDaemon) return;
  isDaemon = false;
  const report: Report =
    error === undefined ? { type: 'ready', listening } : { type: 'failed', error: serializeError(error) };
  try {
    writeSync(REPORT_DESCRIPTOR, `${JSON.stringify(report)}\n`);
    closeSync(REPORT_DESCRIPTOR);
  } catch {
    // whoever started it has not waited
  }
}

/** Resolves when the daemon is up. @throws what it failed with; ServerError ERR_DAEMON, ERR_LOG_FILE */
export async function startDaemon(options: ResolvedOptions): Promise<StartedDaemon> {
  const { logFile, processTitle, bootTimeoutMs } = options;
  const output = logFile === '' ? 'ignore' : openLogFile(logFile);
  const nodeArguments = process.execArgv.filter((argument) => !isTitleArgument(argument));
  const child = spawn(
    process.execPath,
    [titleArgument(`${processTitle}: master`), ...nodeArguments, ...process.argv.slice(1)],
    {
      detached: true, // setsid(2)
      stdio: ['ignore', output, output, 'pipe'],
      env: { ...process.env, ...environmentForMaster(), [DAEMON_VARIABLE]: logOf(options) },
    },
  );
  if (typeof output === 'number') closeSync(output);
  const timeoutMs = 2 * bootTimeoutMs + GRACE_MS;
  const late = setTimeout(() => child.kill('SIGKILL'), timeoutMs);
  const stop = (): void => void child.kill('SIGTERM');
  process.once('SIGINT', stop);
  process.once('SIGTERM', stop);
  try {
    return await hear(child, logFile);
  } finally {
    clearTimeout(late);
    process.removeListener('SIGINT', stop);
    process.removeListener('SIGTERM', stop);
    child.unref();
  }
}

function logOf({ logFile, logFormat }: ResolvedOptions): DaemonLog {
  if (logFile === '') return 'none';
  return logFormat === 'text' ? 'text' : 'json';
}

function openLogFile(path: string): number {
  try {
    return openUnlinked(path, constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT, 0o640);
  } catch (error) {
    throw new ServerError('ERR_LOG_FILE', { path, why: (error as Error).message });
  }
}

async function hear(child: ChildProcess, logFile: string): Promise<StartedDaemon> {
  const ended = new Promise<string>((resolve) => {
    child.once('error', (error) => resolve(`could not be started: ${error.message}`));
    child.once('exit', (code, signal) => {
      resolve(signal === null ? `exited with code ${code}` : `was killed by ${signal}`);
    });
  });
  const report = await readReport(child.stdio?.[REPORT_DESCRIPTOR] as Readable | undefined);
  if (report?.type === 'ready') return { pid: child.pid ?? 0, listening: report.listening };
  const how = await ended;
  if (report?.type === 'failed') throw deserializeError(report.error);
  throw new ServerError('ERR_DAEMON', { how, logFile: logFile === '' ? 'none: set "logFile"' : logFile });
}

async function readReport(pipe: Readable | undefined): Promise<Report | undefined> {
  if (pipe === undefined) return undefined;
  let text = '';
  for await (const piece of pipe.setEncoding('utf8')) text += String(piece);
  return text === '' ? undefined : (JSON.parse(text) as Report);
}
