import { describe } from './describe.js';
import { ServerError } from './server-error.js';
import { isDetailOf, isErrorCode } from './table.js';

/** An error as plain JSON, for crossing from one process to another. */
export interface SerializedError {
  readonly name: string;
  readonly message: string;
  readonly code?: string | number;
  readonly stack?: string;
  readonly detail?: JsonValue;
  readonly cause?: SerializedError;
}

export type JsonValue = string | number | boolean | null | readonly JsonValue[] | { readonly [key: string]: JsonValue };

// Keeps a control message small, whatever the user throws.
const LIMIT_CAUSES = 8;
const LIMIT_DEPTH = 4;
const LIMIT_ITEMS = 64;
const LIMIT_CHARACTERS = 16_384;

/** Any thrown value as plain JSON. Never throws and never runs long: the value may be cyclic, a proxy, or not an error. */
export function serializeError(error: unknown): SerializedError {
  return serialize(error, LIMIT_CAUSES);
}

/**
 * The error a record describes: a `ServerError` for a known code with its detail, otherwise an `Error` that keeps
 * name, code, stack, detail and cause. Never throws, for any input.
 */
export function deserializeError(value: unknown): Error {
  return deserialize(value, LIMIT_CAUSES);
}

function serialize(error: unknown, causesLeft: number): SerializedError {
  const message = read(error, 'message');
  if (!isObject(error) || typeof message !== 'string') return { name: 'Error', message: messageOfOther(error) };
  const code = read(error, 'code');
  const stack = read(error, 'stack');
  const detail = read(error, 'detail');
  const cause = read(error, 'cause');
  return {
    name: classOf(error),
    message: cut(message),
    ...(isCode(code) ? { code: typeof code === 'string' ? cut(code) : code } : {}),
    ...(typeof stack === 'string' ? { stack: cut(stack) } : {}),
    ...(detail === undefined ? {} : { detail: toJson(detail, LIMIT_DEPTH) }),
    ...(cause === undefined || causesLeft === 0 ? {} : { cause: serialize(cause, causesLeft - 1) }),
  };
}

function messageOfOther(value: unknown): string {
  return typeof value === 'string' ? cut(value) : `Something that is not an error was thrown: ${describe(value)}`;
}

function deserialize(value: unknown, causesLeft: number): Error {
  const message = read(value, 'message');
  if (!isObject(value) || typeof message !== 'string') {
    return new Error(`An error of another process was expected, received ${describe(value)}`);
  }
  const cause = read(value, 'cause');
  const options = cause === undefined || causesLeft === 0 ? {} : { cause: deserialize(cause, causesLeft - 1) };
  const error = restoreServerError(value, options) ?? restoreError(value, cut(message), options);
  const stack = read(value, 'stack');
  if (typeof stack === 'string') hide(error, 'stack', cut(stack));
  return error;
}

function restoreServerError(record: object, options: { cause?: Error }): Error | undefined {
  const code = read(record, 'code');
  const received = read(record, 'detail');
  if (nameOf(record) !== 'ServerError' || !isErrorCode(code) || !isObject(received)) return undefined;
  const detail = toJson(received, LIMIT_DEPTH);
  return isDetailOf(code, detail) ? new ServerError(code, detail, options) : undefined;
}

function restoreError(record: object, message: string, options: { cause?: Error }): Error {
  const kind = builtIn[nameOf(record)] ?? Error;
  const error = new kind(message, options);
  hide(error, 'name', nameOf(record));
  const code = read(record, 'code');
  const detail = read(record, 'detail');
  if (isCode(code)) Object.assign(error, { code });
  if (detail !== undefined) Object.assign(error, { detail: toJson(detail, LIMIT_DEPTH) });
  return error;
}

/** Those that the language throws: who catches one asks `instanceof`. */
const builtIn: { readonly [name: string]: ErrorConstructor | undefined } = Object.assign(
  Object.create(null) as object,
  {
    ...{ EvalError, RangeError, ReferenceError, SyntaxError, TypeError, URIError },
  },
);

function toJson(value: unknown, depthLeft: number): JsonValue {
  if (value === null || typeof value === 'boolean') return value;
  if (typeof value === 'string') return cut(value);
  if (typeof value === 'number') return Number.isFinite(value) ? value : String(value);
  if (!isObject(value) || depthLeft === 0) return describe(value);
  try {
    return Array.isArray(value) ? arrayToJson(value, depthLeft) : objectToJson(value, depthLeft);
  } catch {
    return describe(value); // a proxy that throws
  }
}

function arrayToJson(value: readonly unknown[], depthLeft: number): JsonValue {
  return value.slice(0, LIMIT_ITEMS).map((item) => toJson(item, depthLeft - 1));
}

function objectToJson(value: object, depthLeft: number): JsonValue {
  const json: { [key: string]: JsonValue } = {};
  for (const key of Object.keys(value).slice(0, LIMIT_ITEMS)) {
    const item = read(value, key);
    // Assigning to __proto__ would set the prototype.
    if (item !== undefined && key !== '__proto__') json[cut(key)] = toJson(item, depthLeft - 1);
  }
  return json;
}

/** A property of any value; undefined when it cannot be read. */
function read(value: unknown, key: string): unknown {
  try {
    return isObject(value) ? Reflect.get(value, key) : undefined;
  } catch {
    return undefined;
  }
}

function nameOf(value: object): string {
  const name = read(value, 'name');
  return typeof name === 'string' && name !== '' ? cut(name) : 'Error';
}

/** Few classes set the name: it is that of `Error` then, and the class says more. */
function classOf(error: object): string {
  const name = nameOf(error);
  if (name !== 'Error' || !(error instanceof Error)) return name;
  const made = read(error, 'constructor');
  const ofClass: unknown = typeof made === 'function' ? made.name : '';
  return typeof ofClass === 'string' && ofClass !== '' && ofClass !== 'ServerError' ? cut(ofClass) : name;
}

function hide(error: Error, key: 'name' | 'stack', value: string): void {
  Object.defineProperty(error, key, { value, configurable: true, writable: true, enumerable: false });
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null;
}

function isCode(value: unknown): value is string | number {
  return typeof value === 'string' || (typeof value === 'number' && Number.isFinite(value));
}

function cut(text: string): string {
  return text.length <= LIMIT_CHARACTERS ? text : `${text.slice(0, LIMIT_CHARACTERS)}…`;
}
