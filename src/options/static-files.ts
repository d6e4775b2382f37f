/** The option `staticFiles`: folders whose files are served without a worker. */
import { dirname, resolve } from 'node:path';
import { scriptPath } from '../util/script.js';
import { flag, integer, isPlainObject, jsonOrText, type Kind, refuse, text } from './check.js';
import { refuseUnknownNames } from './known-names.js';

/** What a user gives for one folder; a text alone is its `root`. */
export interface StaticFolderOptions {
  /** The folder, relative to the script's. Required. In Swoole: `document_root`. */
  readonly root: string;
  /**
   * Paths with this prefix are looked up in `root`, without the prefix. Default: `'/'`.
   * In Swoole: `static_handler_locations`.
   */
  readonly prefix?: string;
  /**
   * Files that stand for their folder; the first existing one is served. `false`: none. Default: `'index.html'`.
   * In Swoole: `http_index_files`.
   */
  readonly index?: string | false | readonly string[];
  /** How long clients may use a file without asking. Unit: milliseconds. Default: `0`. */
  readonly maxAge?: number;
  /** Clients need not revalidate within `maxAge`: for files whose name changes with their content. Default: `false`. */
  readonly immutable?: boolean;
  /**
   * The whole field `cache-control`, in place of `maxAge` and `immutable`; `''` for none. Default: built from these two.
   */
  readonly cacheControl?: string;
  /** `'ignore'`: files and folders whose name begins with a dot count as missing. Default: `'ignore'`. */
  readonly dotFiles?: 'ignore' | 'allow';
  /** Requests for missing files go to a worker; `false`: they are answered 404. Default: `true`. */
  readonly fallthrough?: boolean;
  /**
   * Serve `FILE.br`, `FILE.zst` or `FILE.gz` for `FILE` to clients that accept it, unless older than `FILE`. Default: `true`.
   */
  readonly precompressed?: boolean;
  /** Further fields of each answer, by name. Default: none. */
  readonly fields?: Readonly<Record<string, string>>;
}

/** The option `staticFiles`: a folder, by its path or with its rules, or several, tried in that order. */
export type StaticFilesOptions = string | StaticFolderOptions | readonly (string | StaticFolderOptions)[];

export interface StaticFolderSettings {
  /** Absolute. */
  readonly root: string;
  /** With a slash at both ends. */
  readonly prefix: string;
  readonly index: readonly string[];
  /** '' for none. */
  readonly cacheControl: string;
  readonly dotFiles: 'ignore' | 'allow';
  readonly fallthrough: boolean;
  readonly precompressed: boolean;
  /** Name, value, name, value …; names in lower case. */
  readonly fields: readonly string[];
}

/** In the order in which they are tried; none: no files are served. */
export type ResolvedStaticFiles = readonly StaticFolderSettings[];

const names = [
  ...['root', 'prefix', 'index', 'maxAge', 'immutable', 'cacheControl'],
  ...['dotFiles', 'fallthrough', 'precompressed', 'fields'],
];
const MAX_AGE_MS = 365 * 24 * 3_600_000;
/** Fields that the answer sets itself. */
const ownFields = [
  ...['accept-ranges', 'cache-control', 'connection', 'content-encoding', 'content-length', 'content-range'],
  ...['content-type', 'date', 'etag', 'keep-alive', 'last-modified', 'location', 'trailer', 'transfer-encoding'],
  ...['upgrade', 'vary'],
];

const EXPECTED = 'the path of a folder, {root, prefix, index, maxAge, …}, or a list of these';

export function staticFiles(): Kind<StaticFilesOptions | null, ResolvedStaticFiles> {
  return {
    type: 'string | StaticFolderOptions | (string | StaticFolderOptions)[] | null',
    expected: EXPECTED,
    show: (value) => (value.length === 0 ? 'null' : JSON.stringify(value)),
    parse: jsonOrText,
    check(name, value) {
      if (value === null) return Object.freeze([]);
      if (!Array.isArray(value)) return Object.freeze([checkFolder(name, value)]);
      return Object.freeze(value.map((one, i) => checkFolder(`${name}[${i}]`, one)));
    },
  };
}

const isFlag = flag();
const maxAgeMs = integer({ min: 0, max: MAX_AGE_MS }, 'ms');
const rootPath = text({ min: 1, max: 4096 });
const headerText = text({ min: 0, max: 4096 });

function checkFolder(name: string, value: unknown): StaticFolderSettings {
  const given = typeof value === 'string' ? { root: value } : value;
  if (!isPlainObject(given)) refuse('ERR_OPTION_TYPE', name, EXPECTED, value);
  refuseUnknownNames(name, given, names);
  const { root, prefix, index, dotFiles, ...rest } = given;
  const isSet = (key: string, otherwise: boolean): boolean => isFlag.check(`${name}.${key}`, rest[key] ?? otherwise);
  return Object.freeze({
    root: resolve(dirname(scriptPath() ?? '.'), rootPath.check(`${name}.root`, root)),
    prefix: checkPrefix(`${name}.prefix`, prefix ?? '/'),
    index: checkIndex(`${name}.index`, index ?? 'index.html'),
    cacheControl: cacheControlOf(name, rest, isSet('immutable', false)),
    dotFiles: checkDotFiles(`${name}.dotFiles`, dotFiles ?? 'ignore'),
    fallthrough: isSet('fallthrough', true),
    precompressed: isSet('precompressed', true),
    fields: checkFields(`${name}.fields`, rest['fields'] ?? {}),
  });
}

function checkPrefix(name: string, value: unknown): string {
  const expected = 'a path such as "/static", without empty segments, "." and ".."';
  if (typeof value !== 'string') refuse('ERR_OPTION_TYPE', name, expected, value);
  const inner = value.replace(/^\//, '').replace(/\/$/, '');
  if (inner === '') return '/';
  const isPlain = inner.split('/').every((segment) => !/^\.{0,2}$|[?#\\\p{Cc}]/u.test(segment));
  if (!isPlain) refuse('ERR_OPTION_VALUE', name, expected, value);
  return `/${inner}/`;
}

function checkIndex(name: string, value: unknown): readonly string[] {
  const expected = 'the name of a file, a list of names, or false';
  if (value === false) return Object.freeze([]);
  const list: readonly unknown[] = Array.isArray(value) ? value : [value];
  const isName = (one: unknown): one is string =>
    typeof one === 'string' && one.length <= 255 && !/^\.{0,2}$|[/\\\p{Cc}]/u.test(one);
  if (!list.every((one) => typeof one === 'string')) refuse('ERR_OPTION_TYPE', name, expected, value);
  if (!list.every(isName) || list.length > 16) refuse('ERR_OPTION_VALUE', name, expected, value);
  return Object.freeze([...list]);
}

function checkDotFiles(name: string, value: unknown): 'ignore' | 'allow' {
  if (value === 'ignore' || value === 'allow') return value;
  return refuse('ERR_OPTION_VALUE', name, '"ignore" or "allow"', value);
}

function cacheControlOf(name: string, given: Record<string, unknown>, immutable: boolean): string {
  const { cacheControl, maxAge = 0 } = given;
  const seconds = Math.floor(maxAgeMs.check(`${name}.maxAge`, maxAge) / 1000);
  if (cacheControl !== undefined) return checkValue(`${name}.cacheControl`, cacheControl);
  return `public, max-age=${seconds}${immutable ? ', immutable' : ''}`;
}

function checkFields(name: string, value: unknown): readonly string[] {
  const expected = 'an object with texts by the names of fields, none of which the answer has of its own';
  if (!isPlainObject(value)) refuse('ERR_OPTION_TYPE', name, expected, value);
  const fields = Object.entries(value).flatMap(([field, said]) => {
    const lower = field.toLowerCase();
    const isField = /^[!#$%&'*+.^_`|~0-9a-z-]+$/.test(lower) && !ownFields.includes(lower);
    if (!isField) refuse('ERR_OPTION_VALUE', name, expected, field);
    return [lower, checkValue(`${name}['${field}']`, said)];
  });
  return Object.freeze(fields);
}

/** ASCII, because clients may decode other characters in different ways. */
function checkValue(name: string, value: unknown): string {
  const checked = headerText.check(name, value);
  if (/[^\x20-\x7e]/.test(checked)) refuse('ERR_OPTION_VALUE', name, 'printable ASCII', value);
  return checked.trim();
}
