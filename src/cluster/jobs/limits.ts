import { describe, ServerError, told } from '../../errors/index.js';

/** Longest pause a timer can hold, about 24 days, in milliseconds. */
export const LONGEST_MS = 2 ** 31 - 1;

/** Dead jobs that one call removes: some 40 ms of time of the engine, which does nothing else meanwhile. */
export const MOST_REMOVED = 1_000;

interface Limits {
  readonly min: number;
  readonly max: number;
}

/** @throws ServerError ERR_JOB_OPTION */
export function integer(name: string, value: unknown, { min, max }: Limits): number {
  if (typeof value === 'number' && Number.isInteger(value) && value >= min && value <= max) return value;
  throw told(
    new ServerError('ERR_JOB_OPTION', {
      name,
      expected: `an integer from ${min} to ${max}`,
      received: describe(value),
    }),
  );
}

/** @throws ServerError ERR_JOB_OPTION */
export function numeric(name: string, value: unknown, { min, max }: Limits): number {
  if (typeof value === 'number' && value >= min && value <= max) return value;
  throw told(
    new ServerError('ERR_JOB_OPTION', {
      name,
      expected: `a number from ${min} to ${max}`,
      received: describe(value),
    }),
  );
}
