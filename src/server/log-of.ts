/** The log of a process, as its options say. */
import { isatty } from 'node:tty';
import { ServerError } from '../errors/index.js';
import type { ResolvedOptions } from '../options/index.js';
import { duplicateTo } from '../os/lock.js';
import type { Log } from '../util/log.js';
import { LogFile, standardError } from '../util/log-file.js';
import { jsonOutput, LoggerOutput, type LogOutput, TextOutput } from '../util/log-output.js';

const STANDARD_OUTPUT = 1;
const STANDARD_ERROR = 2;

/**
 * Called when the process knows its options for good. @returns the file it writes to, if any
 * @throws ServerError ERR_LOG_FILE
 */
export function openLog(log: Log, options: ResolvedOptions): LogFile | undefined {
  const file = options.logFile === '' ? undefined : openFile(options.logFile);
  if (file !== undefined && options.daemonize) {
    file.reopened = (descriptor) => {
      for (const standard of [STANDARD_OUTPUT, STANDARD_ERROR]) duplicateTo(descriptor, standard);
    };
  }
  log.redirect(outputFor(options, file), options.logLevel);
  return file;
}

/** Before that: what goes wrong meanwhile is told on standard error. */
export function outputFor({ logger, logFormat }: ResolvedOptions, file?: LogFile): LogOutput {
  if (logger !== null) return new LoggerOutput(logger);
  const isText = logFormat === 'auto' ? file === undefined && isatty(STANDARD_ERROR) : logFormat === 'text';
  const writer = file ?? standardError;
  return isText ? new TextOutput((line) => writer.write(`${line}\n`)) : jsonOutput((line) => writer.write(line));
}

function openFile(path: string): LogFile {
  try {
    return new LogFile(path);
  } catch (error) {
    throw new ServerError('ERR_LOG_FILE', { path, why: (error as Error).message });
  }
}
