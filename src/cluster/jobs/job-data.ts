import { describe, ServerError, told } from '../../errors/index.js';

export interface DataLimits {
  readonly maxBytes: number;
  readonly maxDepth: number;
}

/**
 * Refuses what JSON would drop, change or choke on, before the engine has anything of it: a job that runs with other data
 * than it was given is worse than one that is refused.
 *
 * @param what it is, in errors
 * @returns bytes that the JSON has at most
 * @throws ServerError ERR_JOB_DATA, with the path of the value; ERR_JOB_SIZE
 */
export function checkJobData(data: unknown, limits: DataLimits, what: 'data' | 'result' = 'data'): number {
  const { maxBytes, maxDepth } = limits;
  // Field by field: a spread costs more than the whole search of a small job.
  const search: Search = { what, data, maxBytes, maxDepth, steps: [], values: 0, atMost: 0 };
  check(data, search);
  // Most jobs are far below the limit: those are turned into JSON once, by the engine.
  if (search.atMost <= maxBytes) return search.atMost;
  const bytes = Buffer.byteLength(stringify(search));
  if (bytes > maxBytes) refuseSize(bytes, search);
  return bytes;
}

interface Search extends DataLimits {
  readonly what: 'data' | 'result';
  readonly data: unknown;
  /** Names and indexes of the way to the value that is looked at. */
  readonly steps: (string | number)[];
  values: number;
  /** Bytes that the JSON has at most; infinite where a `toJSON` decides. */
  atMost: number;
}

/** A character of a text is at most `\\u0000`; the longest number is -1.2345678901234567e-300. */
const [BYTES_OF_CHARACTER, BYTES_OF_NUMBER, BYTES_AROUND] = [6, 25, 6];

function check(value: unknown, search: Search): void {
  // Each takes a byte at least. What holds one array in two places, again and again, would take for ever.
  if (++search.values > search.maxBytes) refuseSize(search.values, search);
  search.atMost += BYTES_AROUND;
  if (value === null || typeof value === 'boolean') return;
  if (typeof value === 'string') checkText(value, search);
  else if (typeof value === 'number' && Number.isFinite(value)) search.atMost += BYTES_OF_NUMBER;
  else if (typeof value === 'object') checkInside(value, search);
  else refuse(value, search, 'a value that JSON can hold');
}

/** Its JSON has a byte per character at least: what is far too long is not written at all. */
function checkText(value: string, search: Search): void {
  if (value.length > search.maxBytes) refuseSize(value.length, search);
  search.atMost += BYTES_OF_CHARACTER * value.length;
}

function checkInside(value: object, search: Search): void {
  // An object inside itself ends here as well.
  if (search.steps.length >= search.maxDepth) {
    refuseCircle(search);
    refuse(value, search, `at most ${search.maxDepth} arrays and objects inside each other, none inside itself`);
  }
  if (Array.isArray(value)) checkElements(value, search);
  else checkFields(value, search);
}

function checkElements(array: readonly unknown[], search: Search): void {
  // By index: a hole is as wrong as `undefined`.
  for (let at = 0; at < array.length; at++) checkStep(at, array[at], search);
}

function checkFields(object: object, search: Search): void {
  if (typeof Reflect.get(object, 'toJSON') === 'function') {
    // A digit and a comma per byte at least: to write those of a large one takes seconds, and gigabytes.
    if (Buffer.isBuffer(object) && 2 * object.length > search.maxBytes) refuseSize(2 * object.length, search);
    search.atMost = Number.POSITIVE_INFINITY;
    return;
  }
  const prototype: unknown = Object.getPrototypeOf(object);
  // One level below null: `Object.prototype`, also that of another realm.
  if (prototype !== null && Object.getPrototypeOf(prototype) !== null) {
    refuse(object, search, 'a plain object, an array or something with toJSON()');
  }
  for (const name of Object.keys(object)) {
    search.atMost += BYTES_OF_CHARACTER * name.length;
    checkStep(name, Reflect.get(object, name), search);
  }
}

function checkStep(step: string | number, value: unknown, search: Search): void {
  search.steps.push(step);
  check(value, search);
  search.steps.pop();
}

/** A `toJSON` may give anything. */
function stringify({ what, data }: Search): string {
  const top = { what, steps: [] };
  try {
    const text = JSON.stringify(data) as string | undefined;
    if (text !== undefined) return text;
  } catch (error) {
    refuse(error, top, 'a value that JSON can hold');
  }
  return refuse(undefined, top, 'a value that JSON can hold');
}

/** Where the first object stands that holds itself, and which that is. */
function refuseCircle({ what, data, steps }: Search): void {
  const outer: unknown[] = [];
  let value = data;
  for (const [depth, step] of steps.entries()) {
    const at = outer.indexOf(value);
    if (at >= 0) {
      const place = pathOf(what, steps.slice(0, at));
      throw told(
        new ServerError('ERR_JOB_DATA', {
          path: pathOf(what, steps.slice(0, depth)),
          expected: 'an object that does not hold itself',
          received: `"${place}" again`,
        }),
      );
    }
    outer.push(value);
    value = Reflect.get(value as object, step);
  }
}

function refuse(value: unknown, { what, steps }: Pick<Search, 'what' | 'steps'>, expected: string): never {
  throw told(new ServerError('ERR_JOB_DATA', { path: pathOf(what, steps), expected, received: describe(value) }));
}

function pathOf(what: string, steps: readonly (string | number)[]): string {
  const shown = steps.slice(0, MOST_STEPS).map((step) => (typeof step === 'number' ? `[${step}]` : `.${step}`));
  const way = `${what}${shown.join('')}`;
  if (way.length > MOST_CHARACTERS) return `${way.slice(0, MOST_CHARACTERS)}…`;
  return steps.length > MOST_STEPS ? `${way}…` : way;
}

/** Of a path that an error shows. */
const MOST_STEPS = 16;
const MOST_CHARACTERS = 200;

function refuseSize(bytes: number, { what, maxBytes }: Pick<Search, 'what' | 'maxBytes'>): never {
  throw told(new ServerError('ERR_JOB_SIZE', { ...(what !== 'data' && { path: what }), bytes, maxBytes }));
}
