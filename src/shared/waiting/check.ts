/** Checks of what the user passes to the objects that wait. */
import { describe, ServerError, told } from '../../errors/index.js';
import { refuseUnknownNames } from '../../options/known-names.js';

/** @returns the fallback for undefined. @throws ServerError ERR_OPTION_RANGE */
export function whole(name: string, value: unknown, limits: readonly [number, number], fallback: number): number {
  if (value === undefined) return fallback;
  const [least, most] = limits;
  if (Number.isSafeInteger(value) && (value as number) >= least && (value as number) <= most) return value as number;
  const expected = `a whole number from ${least} to ${most}`;
  throw told(new ServerError('ERR_OPTION_RANGE', { name, expected, received: describe(value) }));
}

/** @throws ServerError ERR_OPTION_RANGE */
export function milliseconds(name: string, value: unknown): number | undefined {
  if (value === undefined) return undefined;
  if (typeof value === 'number' && value >= 0 && value <= MOST_MS) return value;
  const expected = `a number of milliseconds from 0 to ${MOST_MS}`;
  throw told(new ServerError('ERR_OPTION_RANGE', { name, expected, received: describe(value) }));
}

/** What a timer can take. */
const MOST_MS = 2 ** 31 - 1;

/** @throws ServerError ERR_OPTION_TYPE */
export function callable(name: string, value: unknown): void {
  if (typeof value === 'function') return;
  throw told(new ServerError('ERR_OPTION_TYPE', { name, expected: 'a function', received: describe(value) }));
}

/** A mistyped name is an error: a time-out that was not meant would never come. @throws ServerError ERR_OPTION_TYPE, ERR_OPTION_UNKNOWN */
export function optionsObject(value: unknown, known: readonly string[]): void {
  if (typeof value === 'object' && value !== null) return refuseUnknownNames('options', value, known);
  throw told(new ServerError('ERR_OPTION_TYPE', { name: 'options', expected: 'an object', received: describe(value) }));
}

/** @param known the others of its options @throws ServerError ERR_SHARED_NAME, ERR_OPTION_TYPE, ERR_OPTION_UNKNOWN */
export function checkDeclaration(options: { readonly name?: string }, known: readonly string[]): void {
  optionsObject(options, ['name', ...known]);
  if (options.name === undefined || typeof options.name === 'string') return;
  throw told(new ServerError('ERR_SHARED_NAME', { received: describe(options.name) }));
}

/** @throws ServerError ERR_OPTION_TYPE; the reason of a signal that is aborted already */
export function checkSignal(signal: AbortSignal | undefined): void {
  if (signal === undefined) return;
  if (signal instanceof AbortSignal) return signal.throwIfAborted();
  throw told(
    new ServerError('ERR_OPTION_TYPE', { name: 'signal', expected: 'an AbortSignal', received: describe(signal) }),
  );
}
