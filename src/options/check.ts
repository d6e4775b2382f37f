import { dirname, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { describe, ServerError, told } from '../errors/index.js';
import { scriptPath } from '../util/script.js';
import { isIP } from './ip-address.js';
import { formatSize, parseSize } from './size.js';

/**
 * One kind of value: its name, and the check that turns a given value into the value used. `expected` is the only
 * wording of a range, so that a message cannot be stricter than its check.
 */
export interface Kind<Given, Resolved> {
  /** As TypeScript says it, for the docs. */
  readonly type: string;
  /** "must be …" */
  readonly expected: string;
  /** Throws `ServerError` ERR_OPTION_* with that option's name. */
  readonly check: (name: string, value: unknown) => Resolved;
  /** A resolved value as a user would write it. */
  show(value: Resolved): string;
  /**
   * Turns the text of a flag or an environment variable into a value for `check`. A text it cannot read is returned
   * unchanged, for `check` to refuse. Missing: the option cannot be given as text.
   */
  readonly parse?: (text: string) => unknown;
  /**
   * For operators: the value without its tokens, keys and passwords. A kind that has this is a secret: its text is kept out of
   * environments and messages. @param all on which the value in effect may depend; missing: as given
   */
  withoutSecrets?(value: Resolved, all?: { readonly maxWaitMs: number }): unknown;
  /** Only for the compiler: what a user may give. */
  readonly given?: Given;
}

type Fault = 'ERR_OPTION_TYPE' | 'ERR_OPTION_RANGE' | 'ERR_OPTION_VALUE';

interface Limits {
  readonly min: number;
  readonly max: number;
}

export function integer({ min, max }: Limits, unit = ''): Kind<number, number> {
  const expected = `an integer from ${min} to ${max}${unit === '' ? '' : ` (${unit})`}`;
  return {
    type: 'number',
    expected,
    show: String,
    parse: (text) => (/^-?\d+$/.test(text) ? Number(text) : text),
    check(name, value) {
      if (typeof value !== 'number' || !Number.isInteger(value)) refuse('ERR_OPTION_TYPE', name, expected, value);
      if (value < min || value > max) refuse('ERR_OPTION_RANGE', name, expected, value);
      return value;
    },
  };
}

/** A time limit, or 0 for none. */
export function timeLimit({ min, max }: Limits): Kind<number, number> {
  const expected = `0, or an integer from ${min} to ${max} (ms)`;
  return {
    ...integer({ min: 0, max }),
    expected,
    check(name, value) {
      if (typeof value !== 'number' || !Number.isInteger(value)) refuse('ERR_OPTION_TYPE', name, expected, value);
      if (value !== 0 && (value < min || value > max)) refuse('ERR_OPTION_RANGE', name, expected, value);
      return value;
    },
  };
}

/** Bytes: a number, or a text such as `'128k'`. */
export function size({ min, max }: Limits, only: 'any' | 'power of two' = 'any'): Kind<number | string, number> {
  const what = only === 'any' ? 'a size' : 'a power of two';
  const expected = `${what} from ${formatSize(min)} to ${formatSize(max)} (bytes as an integer, or a text such as "128k", "2m", "1g")`;
  return {
    type: 'number | string',
    expected,
    show: (bytes) => `'${formatSize(bytes)}'`,
    parse: asText,
    check(name, value) {
      const bytes = toBytes(name, expected, value);
      const fits = only === 'any' || Number.isInteger(Math.log2(bytes));
      if (bytes < min || bytes > max || !fits) refuse('ERR_OPTION_RANGE', name, expected, value);
      return bytes;
    },
  };
}

function toBytes(name: string, expected: string, value: unknown): number {
  if (typeof value === 'string') return parseSize(value) ?? refuse('ERR_OPTION_VALUE', name, expected, value);
  if (typeof value === 'number' && Number.isInteger(value)) return value;
  return refuse('ERR_OPTION_TYPE', name, expected, value);
}

const flagWords: Readonly<Record<string, boolean>> = {
  ...{ true: true, yes: true, on: true, '1': true },
  ...{ false: false, no: false, off: false, '0': false },
};

export function flag(): Kind<boolean, boolean> {
  const expected = 'true or false';
  return {
    type: 'boolean',
    expected,
    show: String,
    parse: (text) => flagWords[text.toLowerCase()] ?? text,
    check(name, value) {
      return typeof value === 'boolean' ? value : refuse('ERR_OPTION_TYPE', name, expected, value);
    },
  };
}

export function choice<const T extends string>(values: readonly T[]): Kind<T, T> {
  const expected = alternatives(values.map((value) => `"${value}"`));
  return {
    type: values.map((value) => `'${value}'`).join(' | '),
    expected,
    show: (value) => `'${value}'`,
    parse: asText,
    check(name, value) {
      return values.find((known) => known === value) ?? refuse('ERR_OPTION_VALUE', name, expected, value);
    },
  };
}

/** One of the given words, or a module with a user's function: `{module: './file.js'}`, resolved to its URL. */
export function choiceOrModule<const T extends string>(
  values: readonly T[],
): Kind<T | { readonly module: string }, T | { readonly module: string }> {
  const words = choice(values);
  const expected = `${words.expected.replace(/ or (?=[^ ]+$)/, ', ')} or {module: PATH}`;
  return {
    type: `${words.type} | {module: string}`,
    expected,
    show: (value) => (typeof value === 'string' ? words.show(value) : JSON.stringify(value)),
    parse: jsonOrText,
    check(name, value) {
      if (typeof value === 'string') {
        return values.find((known) => known === value) ?? refuse('ERR_OPTION_VALUE', name, expected, value);
      }
      if (!isPlainObject(value)) refuse('ERR_OPTION_VALUE', name, expected, value);
      const { module, ...others } = value;
      if (typeof module !== 'string' || module === '' || Object.keys(others).length > 0) {
        refuse('ERR_OPTION_VALUE', name, expected, value);
      }
      return { module: moduleUrl(module) };
    },
  };
}

/** @param path relative to the folder of the script, or a file: URL */
export function moduleUrl(path: string): string {
  if (path.startsWith('file:')) return path;
  return pathToFileURL(resolve(dirname(scriptPath() ?? '.'), path)).href;
}

/** One line of text without control characters. */
export function text({ min, max }: Limits): Kind<string, string> {
  const expected = `a string of ${min} to ${max} printable characters`;
  return {
    type: 'string',
    expected,
    show: (value) => `'${value}'`,
    parse: asText,
    check(name, value) {
      if (typeof value !== 'string') refuse('ERR_OPTION_TYPE', name, expected, value);
      if (value.length < min || value.length > max) refuse('ERR_OPTION_RANGE', name, expected, value);
      if (/\p{Cc}/u.test(value)) refuse('ERR_OPTION_VALUE', name, expected, value);
      return value;
    },
  };
}

/** A file, made absolute here, before `workingDir` is entered. Empty: none. @param max length as given */
export function path(max = 4096, expected = 'the path of a file'): Kind<string, string> {
  const given = text({ min: 0, max });
  return {
    ...given,
    expected,
    check(name, value) {
      const checked = given.check(name, value);
      return checked === '' ? '' : resolve(checked);
    },
  };
}

export function host(): Kind<string, string> {
  const expected = 'an IPv4 address, an IPv6 address without brackets, or a host name';
  return {
    type: 'string',
    expected,
    show: (value) => `'${value}'`,
    parse: asText,
    check(name, value) {
      if (typeof value !== 'string') refuse('ERR_OPTION_TYPE', name, expected, value);
      if (isIP(value) === 0 && !isHostName(value)) refuse('ERR_OPTION_VALUE', name, expected, value);
      return value;
    },
  };
}

/** IP addresses, and ranges such as `10.0.0.0/8`. */
export function addressRanges(): Kind<readonly string[], readonly string[]> {
  const expected = 'a list of IP addresses and ranges (such as "10.0.0.0/8")';
  return {
    type: 'string[]',
    expected,
    show: (value) => JSON.stringify(value),
    parse: listOf,
    check(name, value) {
      if (!Array.isArray(value)) refuse('ERR_OPTION_TYPE', name, expected, value);
      for (const item of value as unknown[]) if (!isRange(item)) refuse('ERR_OPTION_VALUE', name, expected, item);
      return Object.freeze([...(value as string[])]);
    },
  };
}

const asText = (text: string): string => text;

/** `a, b`, or the same as JSON. */
export function listOf(text: string): unknown {
  const json = parsed(text);
  return typeof json === 'string' ? json.split(',').map((item) => item.trim()) : json;
}

/** A text that can only be meant as JSON is none. It says nothing of the text, which may hold a secret. */
export class NotJson extends Error {}

/** For options that take an object, or a word. @throws NotJson */
export function jsonOrText(text: string): unknown {
  const json = parsed(text);
  if (json === text && BRACKET.test(text)) throw new NotJson();
  return json;
}

const BRACKET = /^\s*[{[]/;

function parsed(text: string): unknown {
  if (!BRACKET.test(text)) return text;
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return text;
  }
}

interface ObjectParts<Resolved> {
  /** As TypeScript says it, with the words that it may be. */
  readonly type: string;
  readonly expected: string;
  /** `true` stands for an object that names nothing; without this it is refused. */
  readonly takesTrue?: true;
  /** Words that stand for an object: those that are values of this member of it. */
  readonly word?: { readonly member: string; readonly values: readonly string[] };
  /** @throws ServerError ERR_OPTION_* */
  resolve(name: string, given: Readonly<Record<string, unknown>>): Resolved;
  /** Default: as JSON. */
  show?(value: Resolved): string;
}

/** An object, or false, which is null where it is used. As text: JSON, or a word. */
export function objectOrFalse<Given, Resolved extends object>(
  parts: ObjectParts<Resolved>,
): Kind<Given, Readonly<Resolved> | null> {
  const { type, expected, takesTrue = false, word } = parts;
  const objectOf = (value: unknown): unknown => {
    if (value === true && takesTrue) return {};
    return word?.values.includes(value as string) ? { [word.member]: value } : value;
  };
  return {
    ...{ type, expected },
    show: (value) => (value === null ? 'false' : (parts.show?.(value) ?? JSON.stringify(value))),
    parse(text) {
      const json = jsonOrText(text);
      return typeof json === 'string' ? flag().parse?.(json) : json;
    },
    check(name, value) {
      if (value === false || value === null) return null;
      const given = objectOf(value);
      if (!isPlainObject(given)) refuse('ERR_OPTION_TYPE', name, expected, value);
      return Object.freeze(parts.resolve(name, given));
    },
  };
}

/**
 * What may hold options by name: `{…}`, an object of a class of the user's, a module. A `Map`, a `Date`, a list and others
 * that JavaScript brings hold none, and each option would silently have its default.
 */
export function isPlainObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return /^\[object (?:Object|Module)\]$/.test(Object.prototype.toString.call(value));
}

/** @throws ServerError ERR_OPTION_TYPE */
export function refuseNoObject(given: unknown): asserts given is object {
  if (isPlainObject(given)) return;
  const expected = 'an object with options by name';
  throw told(new ServerError('ERR_OPTION_TYPE', { name: 'options', expected, received: describe(given) }));
}

/** An IP address, or a range of them. */
export function isRange(value: unknown): value is string {
  if (typeof value !== 'string') return false;
  const [address = '', bits, ...rest] = value.split('/');
  const family = isIP(address);
  if (family === 0 || rest.length > 0) return false;
  // Of a zone (fe80::1%eth0) nothing is compared: the same address on any other link would be taken for it.
  if (address.includes('%')) return false;
  return bits === undefined || (/^\d{1,3}$/.test(bits) && Number(bits) <= (family === 4 ? 32 : 128));
}

// A last label of digits alone is a mistyped IPv4 address, which the resolver would ask a name server for.
function isHostName(value: string): boolean {
  const labels = value.replace(/\.$/, '').split('.');
  const wellFormed = labels.every((label) => /^(?!-)[a-z0-9_-]{1,63}(?<!-)$/i.test(label));
  return wellFormed && value.length <= 253 && !/^\d+$/.test(labels.at(-1)!);
}

function alternatives(values: readonly string[]): string {
  const last = values.at(-1) ?? '';
  return values.length < 2 ? last : `${values.slice(0, -1).join(', ')} or ${last}`;
}

/** As `refuse`, without the value: a part of it may be a secret. */
export function refuseSecret(code: Fault, name: string, expected: string, value: unknown): never {
  throw told(new ServerError(code, { name, expected, received: describeSecret(value) }));
}

/** The kind of value, and how long it is. */
export function describeSecret(value: unknown): string {
  if (typeof value === 'string') return `a text of ${value.length} characters, not shown`;
  return typeof value === 'number' || typeof value === 'bigint' ? `a ${typeof value}, not shown` : describe(value);
}

export function refuse(code: Fault, name: string, expected: string, value: unknown): never {
  throw told(new ServerError(code, { name, expected, received: describe(value) }));
}
