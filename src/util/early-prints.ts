/**
 * In a daemon: handles output of the script from before `start()`. Standard output and error lead to the log file there,
 * whose other lines are JSON, or text with a time. The script may print as soon as its imports are done, so this module
 * acts on import, unlike others, in processes that a server has started.
 */
import { writeSync } from 'node:fs';
import { CHILD_VARIABLE } from './child-variable.js';
import { forgetHeapArgument } from './heap-argument.js';
import { printedLine } from './log-output.js';
import { replaceWrite, restAfterAWhile } from './printed.js';
import { forgetTitleArgument } from './title-argument.js';

/** Set for the daemon by the process that starts it: the format of its log, or `none` without a log file. */
export const DAEMON_VARIABLE = 'TSWOOLE_DAEMON';
export type DaemonLog = 'text' | 'json' | 'none';

forgetHeapArgument();
if (process.env[DAEMON_VARIABLE] !== undefined || process.env[CHILD_VARIABLE] !== undefined) forgetTitleArgument();

const format = process.env[DAEMON_VARIABLE];
if (format === 'text' || format === 'json') {
  for (const stream of ['stdout', 'stderr'] as const) {
    const by = { role: 'master', pid: process.pid, stream };
    const take = (line: string): void => tell(process[stream].fd, printedLine(format === 'text', by, line));
    replaceWrite(process[stream], restAfterAWhile(take));
  }
}

function tell(descriptor: number, line: string): void {
  try {
    writeSync(descriptor, line);
  } catch {
    // A full disk is reported when the log is opened.
  }
}
