/** Options at the edge: the given ones, with those from the environment and flags. */
import {
  optionsFromOutside,
  type ResolvedOptions,
  refuseNoObject,
  resolveOptions,
  type ServerOptions,
} from '../options/index.js';
import { runningServer } from './running-server.js';
import { told } from './told-error.js';

/** In a process of a running server what only a start applies is as that has it. @throws ServerError ERR_OPTION_* */
export function resolveGiven(given: ServerOptions): ResolvedOptions {
  try {
    const all = withOutside(given);
    const own = resolveOptions(all);
    return runningServer()?.adopt(own, all) ?? own;
  } catch (error) {
    throw told(error);
  }
}

/** @throws ServerError ERR_OPTION_* */
export function withOutside(given: ServerOptions): ServerOptions {
  return { ...given, ...optionsFromOutside() };
}

/** @throws ServerError ERR_OPTION_TYPE: they are no object */
export function copyOf<T extends object>(options: T): T {
  try {
    refuseNoObject(options);
  } catch (error) {
    throw told(error);
  }
  return { ...options };
}
