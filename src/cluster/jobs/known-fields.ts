/** The fields that options of jobs may have: a mistyped one, or one of BullMQ's, would be left out without a word. */
import { describe, ServerError, told } from '../../errors/index.js';
import { nearest } from '../../options/nearest.js';

const POLICY = ['priority', 'attempts', 'backoff', 'keep'] as const;
const OPTIONS = [...POLICY, 'id', 'delayMs', 'trace'] as const;

export const fieldsOf = {
  options: OPTIONS,
  job: [...OPTIONS, 'name', 'data'],
  scheduled: [...POLICY, 'name', 'data'],
  rule: ['cron', 'tz', 'everyMs'],
  backoff: ['type', 'delayMs', 'maxDelayMs', 'jitter'],
  keep: ['done', 'dead'],
  page: ['offset', 'limit'],
  work: ['concurrency', 'leaseMs', 'maxLeaseLosses', 'rate'],
  rate: ['perSecond'],
} as const;

/** As BullMQ has it, and what it is here. */
const MEANT: readonly (readonly [string, string])[] = [
  ['jobId', 'id'],
  ['delay', 'delayMs'],
  ['pattern', 'cron'],
  ['every', 'everyMs'],
  ['limiter', 'rate'],
  ['lockDuration', 'leaseMs'],
  ['removeOnComplete', 'keep'],
  ['removeOnFail', 'keep'],
];

/** @param inside how the object is called, '' for what is given directly @throws ServerError ERR_JOB_OPTION */
export function checkFields(kind: keyof typeof fieldsOf, inside: string, given: unknown): void {
  const known: readonly string[] = fieldsOf[kind];
  if (typeof given !== 'object' || given === null || Array.isArray(given)) {
    throw wrong(inside === '' ? kind : inside, `an object with ${shown(known)}`, given);
  }
  for (const field of Object.keys(given)) {
    const value: unknown = Reflect.get(given, field);
    if (!known.includes(field) && value !== undefined) throw unknownField(known, inside, field, value);
  }
}

function unknownField(known: readonly string[], inside: string, unknown: string, value: unknown): ServerError {
  const aliases = MEANT.filter(([, field]) => known.includes(field));
  const near = nearest(unknown, known, aliases);
  return told(
    new ServerError('ERR_JOB_OPTION', {
      name: inside === '' ? unknown : `${inside}.${unknown}`,
      expected: 'a known name',
      received: describe(value),
      ...(near !== undefined && near !== 'trace' && { nearest: near }),
      known: shown(known),
    }),
  );
}

/** `trace` is internal. */
function shown(known: readonly string[]): string {
  return known.filter((field) => field !== 'trace').join(', ');
}

export function wrong(name: string, expected: string, received: unknown): ServerError {
  return told(new ServerError('ERR_JOB_OPTION', { name, expected, received: describe(received) }));
}
