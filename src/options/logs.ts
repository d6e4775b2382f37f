/** The options `logRotation` and `logger`. */
import type { UserLogger } from '../util/log-output.js';
import { integer, isPlainObject, jsonOrText, type Kind, refuse, size } from './check.js';
import { GIB, KIB } from './size.js';

const periods = ['daily', 'hourly'] as const;
export type RotationPeriod = (typeof periods)[number];

/** The option `logRotation`: a period, or when and how many to keep. In Swoole: `log_rotation`. */
export type LogRotation = RotationPeriod | LogRotationRules;

/** One of `every` and `size` is required; with both, the first to come counts. */
export interface LogRotationRules {
  /** At midnight, or at each full hour. Default: never. */
  readonly every?: RotationPeriod;
  /** When the file has grown to this. Unit: bytes, or a text such as `'64m'`; at least `'64k'`. Default: any size. */
  readonly size?: number | string;
  /** How many old files are kept, 0 to 10000. Default: `7`. */
  readonly keep?: number;
}

export interface ResolvedLogRotation {
  readonly every: RotationPeriod | 'never';
  /** 0: any size. */
  readonly sizeBytes: number;
  /** How many old files are kept. */
  readonly keep: number;
}

const KEEP = 7;
const names = ['every', 'size', 'keep'];

export function logRotation(): Kind<LogRotation | null, ResolvedLogRotation | null> {
  const expected = '"daily", "hourly", or {every, size, keep} with "every" or "size" or both';
  const bytes = size({ min: 64 * KIB, max: 64 * GIB });
  const keeps = integer({ min: 0, max: 10_000 });
  const isPeriod = (value: unknown): value is RotationPeriod => periods.some((period) => period === value);
  return {
    type: 'LogRotation | null',
    expected,
    show: (value) => (value === null ? 'null' : JSON.stringify(value)),
    parse: jsonOrText,
    check(name, value) {
      if (value === null) return null;
      if (isPeriod(value)) return Object.freeze({ every: value, sizeBytes: 0, keep: KEEP });
      const given: unknown = value;
      if (!isPlainObject(given)) refuse('ERR_OPTION_VALUE', name, expected, value);
      const { every, size: largest, keep = KEEP } = given;
      const isWhole = Object.keys(given).every((key) => names.includes(key)) && (every ?? largest) !== undefined;
      if (!isWhole || (every !== undefined && !isPeriod(every))) refuse('ERR_OPTION_VALUE', name, expected, value);
      return Object.freeze({
        every: every === undefined ? 'never' : (every as RotationPeriod),
        sizeBytes: largest === undefined ? 0 : bytes.check(`${name}.size`, largest),
        keep: keeps.check(`${name}.keep`, keep),
      });
    },
  };
}

const calls = ['debug', 'info', 'warn', 'error'];

export function logger(): Kind<UserLogger | null, UserLogger | null> {
  const expected = `a pino logger, or an object with the functions ${calls.join(', ')} that take (fields, message)`;
  return {
    type: 'Logger | null',
    expected,
    show: (value) => (value === null ? 'null' : '{…}'),
    check(name, value) {
      if (value === null) return null;
      const isLogger =
        typeof value === 'object' && calls.every((call) => typeof Reflect.get(value, call) === 'function');
      if (!isLogger) refuse('ERR_OPTION_TYPE', name, expected, value);
      return value as UserLogger;
    },
  };
}
