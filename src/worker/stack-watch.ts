/**
 * Finds out where an event loop stands still: a thread of the same process, which runs on when the loop does not,
 * and stops it as a debugger would. Only where the option `workerTimeoutMs` is set: the thread takes some 5 MiB.
 */
import { Worker } from 'node:worker_threads';
import { STACK_WATCH_ENTRY } from '../entries.js';
import type { Log } from '../util/log.js';

export interface StackWatchData {
  readonly region: number;
  readonly peer: number;
  readonly timeoutMs: number;
}

/** Runs in a worker or task worker. */
export function startStackWatch(data: StackWatchData, log: Log): void {
  const thread = new Worker(STACK_WATCH_ENTRY, {
    name: 'stack watch',
    workerData: data,
    execArgv: [],
    resourceLimits: { maxYoungGenerationSizeMb: 2, maxOldGenerationSizeMb: 32 },
  });
  thread.on('error', (error) => log.warn('a loop that stands still will be logged without its stack', { error }));
  thread.unref();
}
