/** Options at the edge: the given ones, with those from the environment and flags. */
import {
  optionsFromOutside,
  type ResolvedOptions,
  refuseNoObject,
  resolveOptions,
  type ServerOptions,
} from '../options/index.js';
import { told } from './told-error.js';

/** @throws ServerError ERR_OPTION_* */
export function resolveGiven(given: ServerOptions): ResolvedOptions {
  try {
    return resolveOptions({ ...given, ...optionsFromOutside() });
  } catch (error) {
    throw told(error);
  }
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
