/** What `addProcess` takes. */
import { describe, ServerError, told } from '../errors/index.js';
import type { Server } from './server.js';

/** `signal` aborts when the process shall finish. */
export type UserProcessRun = (server: Server, signal: AbortSignal) => unknown;

/** A supervised process of your own, for `addProcess`. */
export interface UserProcessDefinition {
  /** Shown in `ps` and in the log. */
  readonly name: string;
  /** Runs in that process, once; when it has ended the process is started again. */
  readonly run: UserProcessRun;
}

const MAX_PROCESSES = 20;
const LONGEST_NAME = 32;

/** @throws ServerError ERR_USER_PROCESS */
export function checkUserProcess(given: unknown, index: number): UserProcessDefinition {
  if (index === MAX_PROCESSES) throw refuse(`at most ${MAX_PROCESSES} processes`, 'one more');
  if (typeof given === 'function') return { name: given.name || String(index), run: given as UserProcessRun };
  if (typeof given !== 'object' || given === null) throw refuse('a function, or {name, run}', describe(given));
  const { name = String(index), run } = given as { name?: unknown; run?: unknown };
  if (typeof name !== 'string' || name.length === 0 || name.length > LONGEST_NAME) {
    throw refuse(`a name of 1 to ${LONGEST_NAME} characters`, describe(name));
  }
  if (typeof run !== 'function') throw refuse('a function as run', describe(run));
  return { name, run: run as UserProcessRun };
}

function refuse(expected: string, received: string): ServerError {
  return told(new ServerError('ERR_USER_PROCESS', { expected, received }));
}
