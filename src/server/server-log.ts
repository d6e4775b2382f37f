/** The log of a process, as its options configure it. */
import { isatty } from 'node:tty';
import { inspect } from 'node:util';
import { AccessLog, prepareAccessFile } from '../access-log/access-log.js';
import { ServerError } from '../errors/index.js';
import { onceReady } from '../ipc/boot-output.js';
import type { Inheritance } from '../ipc/inheritance.js';
import { LogBoard } from '../memory/log-board.js';
import type { Region } from '../memory/region.js';
import { accessLogOf } from '../options/access-log.js';
import type { ResolvedOptions } from '../options/index.js';
import { duplicateTo } from '../os/lock.js';
import { makeBlocking } from '../os/socket.js';
import { reportTo } from '../shared/report.js';
import { monotonicMs } from '../util/clock.js';
import { Log, type LogTap, type Printer } from '../util/log.js';
import { LogFile, standardError } from '../util/log-file.js';
import { jsonOutput, LoggerOutput, type LogOutput, messageLine, printedLine, TextOutput } from '../util/log-output.js';
import { takePrinted } from '../util/printed.js';
import { inherited, nameOfProcess } from './inherited.js';

const STANDARD_OUTPUT = 1;
const STANDARD_ERROR = 2;

/**
 * The log of this process: on standard error at first, then as the options configure it, then as `reload` and
 * `logs` change it.
 */
export class ServerLog {
  readonly log: Log;
  /** Of this process, where one of its threads that run the script owns connections or streams of HTTP/2. */
  accessLog: AccessLog | undefined;
  #file: LogFile | undefined;
  #region: Region | undefined;

  constructor(options: ResolvedOptions) {
    this.log = new Log({ role: nameOfProcess(), level: options.logLevel, output: outputFor(options) });
  }

  /**
   * Called when the options of the process are final. @param workerId of this process @throws ServerError ERR_LOG_FILE
   */
  open(options: ResolvedOptions, workerId: () => number): void {
    const role = (): string | undefined =>
      inherited() === undefined && workerId() >= 0 ? `worker ${workerId()}` : undefined;
    this.#file = openLog(this.log, options, { inherited: inherited(), role });
    this.#openAccessLog(options);
  }

  /** Before this process gives up the right to the file. @throws ServerError ERR_LOG_FILE */
  #openAccessLog(options: ResolvedOptions): void {
    const settings = accessLogOf(options);
    const role = inherited()?.role;
    if (settings === null || (role !== undefined && role !== 'worker')) return;
    try {
      if (role === undefined) prepareAccessFile(options);
      this.accessLog = AccessLog.open(settings, () => this.#region?.logEpoch ?? 0);
    } catch (error) {
      throw new ServerError('ERR_LOG_FILE', { path: settings.file, why: (error as Error).message });
    }
    process.on('exit', () => this.accessLog?.close());
  }

  /** Level and file follow the region from now on. */
  follow(region: Region): void {
    this.#region = region;
    this.log.follow(() => region.logLevel);
    reportTo((message, fields) => this.log.error(message, fields));
    if (region.shape.logSlots > 0) this.log.tap(tapInto(new LogBoard(region)));
    if (this.#file !== undefined) this.#file.epoch = () => region.logEpoch;
  }
}

/** The dashboard shows the lines of all processes. */
function tapInto(board: LogBoard): LogTap {
  return {
    logged: (severity, role, message, fields) =>
      board.write(severity, role, messageLine(message, fields), monotonicMs()),
    printed: (severity, role, line) => board.write(severity, role, line, monotonicMs()),
  };
}

interface LogOwner {
  /** The output of this process that its parent reads. */
  readonly inherited: Pick<Inheritance, 'printed' | 'relay'> | undefined;
  /** The role that prints, where it is another one than the log's: in BASE mode the master may be a worker. */
  role(): string | undefined;
}

/** @returns the file it writes to, if any @throws ServerError ERR_LOG_FILE */
function openLog(log: Log, options: ResolvedOptions, { inherited, role }: LogOwner): LogFile | undefined {
  const file = options.logFile === '' ? undefined : openFile(options.logFile, inherited?.relay);
  log.redirect(outputFor(options, file), options.logLevel, file && printerFor(options, file));
  if (file === undefined || !options.daemonize) return file;
  const isRead = inherited?.printed === true;
  if (!isRead) {
    logUncaught();
    file.reopened = (descriptor) => {
      for (const standard of [STANDARD_OUTPUT, STANDARD_ERROR]) duplicateTo(descriptor, standard);
    };
  }
  takePrinted('stdout', log, isRead, role);
  // Until the process is ready its parent (of the daemon itself: the waiting process) reads its standard error, to
  // know why it does not get ready.
  onceReady(() => takePrinted('stderr', log, isRead, role));
  if (isRead) for (const standard of [STANDARD_OUTPUT, STANDARD_ERROR]) makeBlocking(standard);
  return file;
}

/**
 * Node writes an uncaught error to the descriptor, as it is, into the middle of a log of other lines. Where no
 * parent reads that, this process writes it like the output of a script, and exits as Node would.
 */
function logUncaught(): void {
  process.on('uncaughtExceptionMonitor', (error) => {
    if (process.listenerCount('uncaughtException') > 0) return; // the script handles it and lives on
    process.stderr.write(`${inspect(error)}\n`);
    process.exit(process.exitCode ?? 1);
  });
}

function printerFor(options: ResolvedOptions, file: LogFile): Printer {
  const isText = isTextFor(options, file);
  if (!isText) {
    file.note = (msg) =>
      `${JSON.stringify({ level: 'warn', time: new Date().toISOString(), pid: process.pid, msg })}\n`;
  }
  return {
    print: (by, line) => file.write(printedLine(isText, by, line)),
    relay: (line) => file.write(`${line}\n`),
    refresh: () => file.refresh(),
    reopen: () => file.reopen(),
  };
}

/** Before that, errors go to standard error. */
function outputFor({ logger, logFormat }: ResolvedOptions, file?: LogFile): LogOutput {
  if (logger !== null) return new LoggerOutput(logger);
  const writer = file ?? standardError;
  return isTextFor({ logFormat }, file)
    ? new TextOutput((line) => writer.write(`${line}\n`))
    : jsonOutput((line) => writer.write(line));
}

function isTextFor({ logFormat }: Pick<ResolvedOptions, 'logFormat'>, file: LogFile | undefined): boolean {
  return logFormat === 'auto' ? file === undefined && isatty(STANDARD_ERROR) : logFormat === 'text';
}

function openFile(path: string, relay: number | undefined): LogFile {
  try {
    return new LogFile(path, { relay });
  } catch (error) {
    throw new ServerError('ERR_LOG_FILE', { path, why: (error as Error).message });
  }
}
