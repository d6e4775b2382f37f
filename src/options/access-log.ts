/** The option `accessLog`: a line for each HTTP request. */
import { dirname, join } from 'node:path';
import { choice, integer, isPlainObject, type Kind, listOf, objectOrFalse, path, refuse } from './check.js';
import { refuseUnknownNames } from './known-names.js';

const formats = ['combined', 'common', 'json'] as const;
/** How a line is written: as Apache and nginx do, without and with `Referer` and `User-Agent`, or as JSON. */
export type AccessLogFormat = (typeof formats)[number];

/** The option `accessLog`: what is written of each HTTP request, and where. */
export interface AccessLogOptions {
  /** Default: `'combined'`. */
  readonly format?: AccessLogFormat;
  /** Default: `access.log` beside `logFile`; without a `logFile`, standard output. */
  readonly file?: string;
  /** Requests of which nothing is written. Default: none. */
  readonly skip?: AccessLogSkip;
}

/** Requests of which nothing is written: those that one of the two names. */
export interface AccessLogSkip {
  /** Paths, without a query, as they were sent; `*` at the end stands for whatever follows: `'/assets/*'`. */
  readonly paths?: string | readonly string[];
  /** Answers with a status below this, 100 to 600: `400` leaves the errors. */
  readonly statusBelow?: number;
}

export interface ResolvedAccessLog {
  readonly format: AccessLogFormat;
  /** Absolute; '': as `accessLogOf` has it. */
  readonly file: string;
  /** Paths that are skipped. */
  readonly paths: readonly string[];
  /** Beginnings of paths that are skipped. */
  readonly prefixes: readonly string[];
  /** 0: none is skipped. */
  readonly statusBelow: number;
}

const EXPECTED = 'true, false, "combined", "common", "json", or {format, file, skip}';
const PATHS =
  'paths as they are sent: they begin with "/", without a query, other characters as %C3%BC; such as "/healthz" or "/assets/*"';
/** No other path can come in a request. */
const PATH = /^\/[!-"$-)+->@-~]*\*?$/;
const MOST_PATHS = 100;
const formatKind = choice(formats);
const fileKind = path();
const statusKind = integer({ min: 100, max: 600 });

/** null: none is written. */
export function accessLog(): Kind<AccessLogOptions | AccessLogFormat | boolean, ResolvedAccessLog | null> {
  return objectOrFalse({
    type: 'AccessLogOptions | AccessLogFormat | boolean',
    expected: EXPECTED,
    takesTrue: true,
    word: { member: 'format', values: formats },
    resolve: checkAccessLog,
  });
}

function checkAccessLog(name: string, given: Readonly<Record<string, unknown>>): ResolvedAccessLog {
  refuseUnknownNames(name, given, ['format', 'file', 'skip']);
  return {
    format: formatKind.check(`${name}.format`, given['format'] ?? 'combined'),
    file: fileKind.check(`${name}.file`, given['file'] ?? ''),
    ...checkSkip(`${name}.skip`, given['skip'] ?? {}),
  };
}

function checkSkip(name: string, given: unknown): Pick<ResolvedAccessLog, 'paths' | 'prefixes' | 'statusBelow'> {
  if (!isPlainObject(given)) refuse('ERR_OPTION_TYPE', name, '{paths, statusBelow}', given);
  const { paths = [], statusBelow } = given;
  refuseUnknownNames(name, given, ['paths', 'statusBelow']);
  const all = checkPaths(`${name}.paths`, typeof paths === 'string' ? listOf(paths) : paths);
  return {
    paths: all.filter((one) => !one.endsWith('*')),
    prefixes: all.filter((one) => one.endsWith('*')).map((one) => one.slice(0, -1)),
    statusBelow: statusBelow === undefined ? 0 : statusKind.check(`${name}.statusBelow`, statusBelow),
  };
}

function checkPaths(name: string, given: unknown): readonly string[] {
  if (!Array.isArray(given)) refuse('ERR_OPTION_TYPE', name, PATHS, given);
  if (given.length > MOST_PATHS) refuse('ERR_OPTION_VALUE', name, `at most ${MOST_PATHS} ${PATHS}`, given);
  for (const one of given as readonly unknown[]) {
    if (typeof one !== 'string' || !PATH.test(one)) refuse('ERR_OPTION_VALUE', name, PATHS, one);
  }
  return given as readonly string[];
}

export interface LogOptions {
  readonly accessLog: ResolvedAccessLog | null;
  readonly logFile: string;
}

/** With the file that it goes to; '': standard output. */
export function accessLogOf({ accessLog: log, logFile }: LogOptions): ResolvedAccessLog | null {
  if (log === null || log.file !== '' || logFile === '') return log;
  return { ...log, file: join(dirname(logFile), 'access.log') };
}
