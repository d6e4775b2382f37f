import { ServerError, told } from '../errors/index.js';
import { nearest } from './nearest.js';

/** For options that are objects: a mistyped name inside one is an error, like a mistyped option. */
export function refuseUnknownNames(option: string, given: object, known: readonly string[]): void {
  const unknown = Object.keys(given).find((key) => !known.includes(key));
  if (unknown === undefined) return;
  const detail = { name: `${option}.${unknown}`, nearest: nearest(unknown, known), known: known.join(', ') };
  throw told(new ServerError('ERR_OPTION_UNKNOWN', detail));
}
