/** Options at the edge: the given ones, with those from the environment and flags. */
import { optionsFromOutside, type ResolvedOptions, resolveOptions, type ServerOptions } from '../options/index.js';
import { told } from './told-error.js';

/** @throws ServerError ERR_OPTION_* */
export function resolveGiven(given: ServerOptions): ResolvedOptions {
  try {
    return resolveOptions({ ...given, ...optionsFromOutside() });
  } catch (error) {
    throw told(error);
  }
}
