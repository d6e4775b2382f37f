/** Options of calls of a running server, checked before the call does anything: a mistyped one is not taken for its default. */
import type { FinishCallback, TaskClient } from '../messaging/task-client.js';
import { refuse, refuseNoObject } from '../options/check.js';
import { refuseUnknownNames } from '../options/known-names.js';

export interface TaskOptions {
  workerId?: number;
  onFinish?: FinishCallback;
}

export interface TaskWaitOptions {
  workerId?: number;
  timeoutMs?: number;
}

/** Those of a call without options: tasks are given a hundred thousand times a second. */
export const NO_OPTIONS = Object.freeze({});

/** @throws ServerError ERR_OPTION_TYPE, ERR_OPTION_UNKNOWN */
export function checkCallOptions(options: unknown, known: readonly string[]): void {
  if (options === NO_OPTIONS) return;
  refuseNoObject(options);
  refuseUnknownNames('options', options, known);
}

/** @throws ServerError ERR_OPTION_*, and as `TaskClient.give` */
export function giveTask(tasks: TaskClient, data: unknown, options: TaskOptions): number {
  checkCallOptions(options, ['workerId', 'onFinish']);
  const { workerId, onFinish } = options;
  if (onFinish !== undefined && typeof onFinish !== 'function') {
    refuse('ERR_OPTION_TYPE', 'options.onFinish', 'a function', onFinish);
  }
  return tasks.give(data, workerId, onFinish);
}

/** Rejects with ERR_OPTION_*, and as `TaskClient.ask`. */
export function askTask(tasks: TaskClient, data: unknown, options: TaskWaitOptions): Promise<unknown> {
  try {
    checkCallOptions(options, ['workerId', 'timeoutMs']);
  } catch (error) {
    return Promise.reject(error);
  }
  return tasks.ask(data, options.workerId, options.timeoutMs);
}

/** @returns reset @throws ServerError ERR_OPTION_TYPE, ERR_OPTION_UNKNOWN */
export function checkClose(options: { readonly reset?: boolean } = NO_OPTIONS): boolean {
  checkCallOptions(options, ['reset']);
  return flagOf('reset', options.reset);
}

/** @returns tasksOnly @throws ServerError ERR_OPTION_TYPE, ERR_OPTION_UNKNOWN */
export function checkReload(options: { readonly tasksOnly?: boolean }): boolean {
  checkCallOptions(options, ['tasksOnly']);
  return flagOf('tasksOnly', options.tasksOnly);
}

function flagOf(name: string, value: unknown = false): boolean {
  if (typeof value === 'boolean') return value;
  return refuse('ERR_OPTION_TYPE', `options.${name}`, 'true or false', value);
}
