/**
 * Reads the standard output and error of a child, and the log lines that it may not write itself. Runs in its parent: the
 * master or the manager.
 */
import type { ChildProcess } from 'node:child_process';
import type { Readable } from 'node:stream';
import type { ResolvedOptions } from '../options/index.js';
import { LineCutter } from '../util/line-cutter.js';
import type { Log } from '../util/log.js';
import type { ChildRole } from './inheritance.js';

/** The outputs of a child that its parent reads. */
export interface ChildOutput {
  readonly log: Log;
  /** Its standard output and error: in a daemon with a log file. */
  readonly printed: boolean;
  /** Lines of its log, if it drops the rights needed to reopen the file. */
  readonly relayed: boolean;
}

/**
 * Only with a log file: on a terminal, and where a program reads the server's output, an app's output is left alone.
 * @returns the outputs to read from processes that run callbacks
 */
export function outputOfChildren(options: ResolvedOptions, log: Log): ChildOutput | undefined {
  const { logFile, daemonize, user, group, chroot } = options;
  if (logFile === '') return undefined;
  return { log, printed: daemonize, relayed: user + group + chroot !== '' };
}

/** The manager keeps its rights. */
export function outputOfManager(options: ResolvedOptions, log: Log): ChildOutput | undefined {
  return options.logFile !== '' && options.daemonize ? { log, printed: true, relayed: false } : undefined;
}

/** @returns the streams that are read, so that the caller can wait for their end */
export function takeOutput(
  child: ChildProcess,
  role: ChildRole,
  { log, printed }: ChildOutput,
  relay: number,
): Readable[] {
  const { pid = 0 } = child;
  const name = roleName(role);
  const streams: Readable[] = [];
  const read = (stream: unknown, take: (line: string) => void): void => {
    if (stream === null || stream === undefined) return; // the child could not be started
    const readable = stream as Readable;
    const cutter = new LineCutter(take);
    readable.on('data', (bytes: Buffer) => cutter.write(bytes));
    readable.on('close', () => cutter.end());
    readable.on('error', () => readable.destroy());
    streams.push(readable);
  };
  if (printed) {
    for (const stream of ['stdout', 'stderr'] as const)
      read(child[stream], (line) => log.print({ role: name, pid, stream }, line));
  }
  if (relay >= 0) read(child.stdio[relay], (line) => log.relay(line));
  return streams;
}

/** The name in the log of that process. */
function roleName(role: ChildRole): string {
  if (role.role === 'manager') return 'manager';
  const word = { worker: 'worker', task: 'task worker', user: 'process' }[role.role];
  return `${word} ${role.id}`;
}
