import { describe, ServerError } from '../../errors/index.js';

export interface DataLimits {
  readonly maxBytes: number;
  readonly maxDepth: number;
}

/**
 * Refuses what JSON would drop, change or choke on, before the engine has anything of it: a job that runs with other data
 * than it was given is worse than one that is refused.
 *
 * @throws ServerError ERR_JOB_DATA, with the path of the value; ERR_JOB_SIZE
 */
export function checkJobData(data: unknown, limits: DataLimits): void {
  check(data, { path: 'data', depth: 0, search: { ...limits, values: 0 } });
  const bytes = Buffer.byteLength(stringify(data));
  if (bytes > limits.maxBytes) refuseSize(bytes, limits);
}

/** Where a value stands; `search` is one for all of them. */
interface Place {
  readonly path: string;
  readonly depth: number;
  readonly search: DataLimits & { values: number };
}

function check(value: unknown, place: Place): void {
  // Each takes a byte at least. What holds one array in two places, again and again, would take for ever.
  if (++place.search.values > place.search.maxBytes) refuseSize(place.search.values, place.search);
  if (value === null || typeof value === 'string' || typeof value === 'boolean') return;
  if (typeof value === 'number' && Number.isFinite(value)) return;
  if (typeof value !== 'object') refuse(value, place.path, 'a value that JSON can hold');
  // An object inside itself ends here as well.
  const { maxDepth } = place.search;
  if (place.depth >= maxDepth) {
    refuse(value, place.path, `at most ${maxDepth} arrays and objects inside each other, none inside itself`);
  }
  if (Array.isArray(value)) checkElements(value, place);
  else checkFields(value, place);
}

function checkElements(array: readonly unknown[], place: Place): void {
  // By index: a hole is as wrong as `undefined`.
  for (let at = 0; at < array.length; at++) check(array[at], inside(place, `[${at}]`));
}

function checkFields(object: object, place: Place): void {
  if (typeof Reflect.get(object, 'toJSON') === 'function') return;
  const prototype: unknown = Object.getPrototypeOf(object);
  // One level below null: `Object.prototype`, also that of another realm.
  if (prototype !== null && Object.getPrototypeOf(prototype) !== null) {
    refuse(object, place.path, 'a plain object, an array or something with toJSON()');
  }
  for (const [name, value] of Object.entries(object)) check(value, inside(place, `.${name}`));
}

function inside({ path, depth, search }: Place, step: string): Place {
  return { path: path.length > 200 ? path : path + step, depth: depth + 1, search };
}

/** A `toJSON` may give anything. */
function stringify(data: unknown): string {
  try {
    const text = JSON.stringify(data) as string | undefined;
    if (text !== undefined) return text;
  } catch (error) {
    refuse(error, 'data', 'a value that JSON can hold');
  }
  return refuse(undefined, 'data', 'a value that JSON can hold');
}

function refuse(value: unknown, path: string, expected: string): never {
  throw new ServerError('ERR_JOB_DATA', { path, expected, received: describe(value) });
}

function refuseSize(bytes: number, { maxBytes }: DataLimits): never {
  throw new ServerError('ERR_JOB_SIZE', { bytes, maxBytes });
}
