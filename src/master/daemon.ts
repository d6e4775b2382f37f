/**
 * A daemon is the same script, started again in a session of its own. The calling process waits until the daemon
 * reports that the server is up, or why it is not, and exits accordingly.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, constants, openSync, writeSync } from 'node:fs';
import type { Readable } from 'node:stream';
import { deserializeError, type SerializedError, ServerError, serializeError } from '../errors/index.js';
import { withSizedHeap } from '../ipc/before-script.js';
import { BootOutput, borrowStandardError } from '../ipc/boot-output.js';
import { inspectWish, isInspect, waitsForDebugger } from '../ipc/inspect.js';
import { environmentForMaster, type ResolvedOptions } from '../options/index.js';
import { closeOnExec } from '../os/socket.js';
import { DAEMON_VARIABLE, type DaemonLog } from '../util/early-prints.js';
import { LineCutter } from '../util/line-cutter.js';
import { LineWriter } from '../util/log-file.js';
import { printedLine } from '../util/log-output.js';
import { openUnlinked } from '../util/open-file.js';
import { isTitleArgument, titleArgument } from '../util/title-argument.js';
import { within } from '../util/within.js';
import type { StopWish } from './stop-wish.js';

const REPORT_DESCRIPTOR = 3;
/** Where its standard error leads when it is up; until then the waiting process reads it. */
const ERROR_DESCRIPTOR = 4;
/** A child of the daemon may hold its standard error open. */
const LAST_WORDS_MS = 100;
/** Beyond the time of the server's processes: the master itself has to start, and to end. */
const GRACE_MS = 15_000;

type Report =
  | { readonly type: 'ready'; readonly listening: readonly string[]; readonly notice?: string }
  | { readonly type: 'failed'; readonly error: SerializedError };

export interface StartedDaemon {
  readonly pid: number;
  readonly listening: readonly string[];
  /** What is not as it should be, although the server is up. */
  readonly notice?: string;
}

let isTaken = false;
let isStarter = false;
let isDaemon = false;

/** True in the daemon itself. Read once: children of a worker are not the daemon. */
export function isTheDaemon(): boolean {
  if (!isTaken) {
    isDaemon = process.env[DAEMON_VARIABLE] !== undefined;
    delete process.env[DAEMON_VARIABLE];
    isTaken = true;
    if (isDaemon) {
      closeOnExec(REPORT_DESCRIPTOR);
      borrowStandardError(ERROR_DESCRIPTOR);
    }
  }
  return isDaemon;
}

/** True in the process that waits for the daemon: it shows what processes wrote, which else stands above already. */
export function waitsForDaemon(): boolean {
  return isStarter;
}

let notice: string | undefined;

/** What is said to the person who has started the daemon, besides that it is up. */
export function leaveNotice(text: string): void {
  notice = notice === undefined ? text : `${notice}\n${text}`;
}

/** The daemon reports that it is up, or why it is not. Once. */
export function reportToStarter(listening: readonly string[], error?: unknown): void {
  if (!isDaemon) return;
  isDaemon = false;
  const report: Report =
    error === undefined
      ? { type: 'ready', listening, ...(notice !== undefined && { notice }) }
      : { type: 'failed', error: serializeError(error) };
  try {
    writeSync(REPORT_DESCRIPTOR, `${JSON.stringify(report)}\n`);
    closeSync(REPORT_DESCRIPTOR);
  } catch {
    // the starting process has not waited
  }
}

/**
 * Resolves when the daemon is up. A request to end is passed on to it, and its end awaited.
 * @throws the daemon's error; ServerError ERR_DAEMON, ERR_LOG_FILE, ERR_START_ENDED
 */
export async function startDaemon(options: ResolvedOptions, stopWish: StopWish): Promise<StartedDaemon> {
  const { logFile, processTitle, bootTimeoutMs } = options;
  if (stopWish.isMade) throw new ServerError('ERR_START_ENDED', {});
  isStarter = true;
  const output = logFile === '' ? openSync('/dev/null', 'w') : openLogFile(logFile);
  const wish = inspectWish(); // its port is this process' own as long as it waits
  const isOurs = (word: string): boolean => isTitleArgument(word) || (wish !== undefined && isInspect(word));
  const words = withSizedHeap(
    process.execArgv.filter((argument) => !isOurs(argument)),
    process.argv.slice(1),
  );
  const child = spawn(process.execPath, [titleArgument(`${processTitle}: master`), ...words], {
    detached: true, // setsid(2)
    stdio: ['ignore', output, 'pipe', 'pipe', output],
    env: { ...process.env, ...environmentForMaster(), [DAEMON_VARIABLE]: logOf(options) },
  });
  const log = new LineWriter(output);
  const cutter = new LineCutter((line) => log.write(asLogged(line, options, child.pid ?? 0)));
  const wrote = new BootOutput(child.stderr ?? undefined, (text) => cutter.write(Buffer.from(text)));
  const timeoutMs = 2 * bootTimeoutMs + GRACE_MS;
  const late = waitsForDebugger(wish) ? undefined : setTimeout(() => child.kill('SIGKILL'), timeoutMs);
  stopWish.whenMade(() => void child.kill('SIGTERM'));
  try {
    return await hear(child, logFile, wrote);
  } finally {
    cutter.end();
    closeSync(output);
    clearTimeout(late);
    child.unref();
  }
}

function logOf({ logFile, logFormat }: ResolvedOptions): DaemonLog {
  if (logFile === '') return 'none';
  return logFormat === 'text' ? 'text' : 'json';
}

/** Output of Node itself, such as an uncaught error, is a line of the log too. */
function asLogged(line: string, options: ResolvedOptions, pid: number): string {
  const isLogged = logOf(options) !== 'json' || line.startsWith('{"level":');
  return isLogged ? `${line}\n` : printedLine(false, { role: 'master', pid, stream: 'stderr' }, line);
}

function openLogFile(path: string): number {
  try {
    return openUnlinked(path, constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT, 0o640);
  } catch (error) {
    throw new ServerError('ERR_LOG_FILE', { path, why: (error as Error).message });
  }
}

async function hear(child: ChildProcess, logFile: string, output: BootOutput): Promise<StartedDaemon> {
  const ended = new Promise<string>((resolve) => {
    child.once('error', (error) => resolve(`could not be started: ${error.message}`));
    child.once('exit', (code, signal) => {
      resolve(signal === null ? `exited with code ${code}` : `was killed by ${signal}`);
    });
  });
  const report = await readReport(child.stdio?.[REPORT_DESCRIPTOR] as Readable | undefined);
  const isReady = report?.type === 'ready';
  const how = isReady ? '' : await ended;
  // Also when the daemon is up: its earlier output is still in the pipe, and belongs into the log.
  await within(new Promise<void>((resolve) => output.whenEnded(resolve)), LAST_WORDS_MS);
  if (isReady) {
    const { listening, notice: told } = report;
    return { pid: child.pid ?? 0, listening, ...(told !== undefined && { notice: told }) };
  }
  const wrote = plain(output.text);
  if (report?.type === 'failed') {
    if (wrote !== '') process.stderr.write(`${wrote}\n`); // the error itself gives the reason
    throw deserializeError(report.error);
  }
  const file = logFile === '' ? 'none: set "logFile"' : logFile;
  throw new ServerError('ERR_DAEMON', { how, logFile: file, ...(wrote === '' ? {} : { wrote }) });
}

/** Output of the script may already have been put into lines of the log. */
function plain(text: string): string {
  const lines = text.split('\n').map((line) => {
    try {
      const { msg } = JSON.parse(line) as { msg?: unknown };
      return typeof msg === 'string' ? msg : line;
    } catch {
      return line;
    }
  });
  return lines.join('\n');
}

async function readReport(pipe: Readable | undefined): Promise<Report | undefined> {
  if (pipe === undefined) return undefined;
  let text = '';
  for await (const piece of pipe.setEncoding('utf8')) text += String(piece);
  return text === '' ? undefined : (JSON.parse(text) as Report);
}
