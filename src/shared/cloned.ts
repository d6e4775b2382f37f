/**
 * Values as other processes get them: by the structured clone algorithm. `node:v8` writes more than it reads again (objects some
 * 1,600 levels deep, modules of WebAssembly): that is refused where the value is given, not where it is missed.
 */
import { deserialize, serialize } from 'node:v8';
import { ServerError } from '../errors/index.js';

/** Objects inside each other. Whoever reads it has a third of its stack left at least. */
export const MOST_LEVELS = 1000;
/** Of messages of the server's own, which hold values of the user's. */
export const OUR_LEVELS = MOST_LEVELS + 16;

/** @throws ServerError ERR_DATA_NOT_CLONEABLE, also for what `node:v8` could not read again */
export function clonedBytes(value: unknown, mostLevels = MOST_LEVELS): Buffer {
  try {
    const bytes = serialize(value);
    if (isObject(value)) checkInside(value, mostLevels, { seen: new Set(), bytes: bytes.length });
    return bytes;
  } catch (error) {
    if (error instanceof ServerError) throw error;
    const isDeep = error instanceof RangeError && error.message.includes('call stack');
    const why = error instanceof Error ? error.message : String(error);
    throw refused(isDeep ? TOO_DEEP : why, error);
  }
}

/** What a stranger may have written. @throws Error */
export function checkReadable(bytes: unknown): void {
  checkBytes(bytes);
  deserialize(bytes);
}

/** @throws Error */
export function checkBytes(value: unknown): asserts value is Uint8Array {
  if (!(value instanceof Uint8Array)) throw new Error('the message of a shared object has no bytes');
}

interface Search {
  /** They are written once, and may hold each other. */
  readonly seen: Set<object>;
  /** Of the whole value. */
  readonly bytes: number;
}

/** Takes up to a third of the time of `serialize`, and a tenth of that of reading the bytes again. */
function checkInside(value: object, levels: number, search: Search): void {
  if (search.seen.has(value)) return;
  if (levels === 0) throw refused(TOO_DEEP);
  search.seen.add(value);
  for (const each of partsOf(value, search)) {
    // Most are no objects: a call for each of them costs more.
    if (isObject(each)) checkInside(each, levels - 1, search);
  }
}

const isObject = (value: unknown): value is object => typeof value === 'object' && value !== null;

/** In the order in which they are written. Further properties of a list are not looked at. */
function partsOf(value: object, { bytes }: Search): Iterable<unknown> {
  // One with more elements than bytes has holes: its length may be four thousand million.
  if (Array.isArray(value)) return value.length > bytes ? Object.values(value) : value;
  if (Object.getPrototypeOf(value) === Object.prototype) return Object.values(value);
  if (ArrayBuffer.isView(value)) return [];
  if (value instanceof Map) return [...value].flat();
  if (value instanceof Set) return value;
  if (value instanceof Error) return Object.hasOwn(value, 'cause') ? [value.cause] : [];
  if (Object.prototype.toString.call(value) === '[object WebAssembly.Module]') {
    throw refused('A WebAssembly.Module cannot be read by another process.');
  }
  return Object.values(value);
}

const TOO_DEEP = `It holds objects more than ${MOST_LEVELS} levels deep.`;

const refused = (why: string, cause?: unknown): ServerError =>
  new ServerError('ERR_DATA_NOT_CLONEABLE', { why }, cause === undefined ? {} : { cause });
