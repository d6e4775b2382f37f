/**
 * What is wrong with a cron rule, field by field. The engine's own parser decides, and takes more than is understood here (`L`,
 * `#`, `H`): of what it takes two things are refused here, `?`, and steps that no field has, which would be "once". Pure, so that the process that schedules learns it before anything is sent.
 */

import { parseCron } from '../../util/cron.js';

export interface CronFault {
  /** "must be …" */
  readonly expected: string;
  /** The part of the rule. */
  readonly part: string;
}

interface Field {
  readonly name: string;
  readonly min: number;
  readonly max: number;
  readonly hasNames?: true;
}

/** A rule of five begins with the second one. */
const FIELDS: readonly Field[] = [
  { name: 'second', min: 0, max: 59 },
  { name: 'minute', min: 0, max: 59 },
  { name: 'hour', min: 0, max: 23 },
  { name: 'day', min: 1, max: 31 },
  { name: 'month', min: 1, max: 12, hasNames: true },
  { name: 'weekday', min: 0, max: 7, hasNames: true },
];

export const CRON_EXPECTED = 'five or six fields "[second] minute hour day month weekday", such as "0 4 * * mon-fri"';

const MONTHS = ['jan', 'feb', 'mar', 'apr', 'may', 'jun', 'jul', 'aug', 'sep', 'oct', 'nov', 'dec'];
const WEEKDAYS = ['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat'];
/** The engine's parser takes them in both fields. */
const NUMBERS = new Map([
  ...WEEKDAYS.map((name, index) => [name, index] as const),
  ...MONTHS.map((name, index) => [name, index + 1] as const),
]);
/** Letters that are no name, and none of the signs of the engine's parser. */
const UNKNOWN = /^(?=.*[^\d*/-])[^LHW#()]*$/i;
/** `*`, `5`, `1-5`, each with or without `/step`. */
const PART = /^(?:\*|(\d+)(?:-(\d+))?)(?:\/(\d+))?$/;

/** @returns undefined: nothing that is known here */
export function cronFault(rule: string): CronFault | undefined {
  const words = rule.trim().split(/\s+/);
  if (words.length !== 5 && words.length !== 6) return { expected: CRON_EXPECTED, part: rule };
  const fields = FIELDS.slice(-words.length);
  for (const [index, field] of fields.entries()) {
    for (const part of (words[index] ?? '').split(',')) {
      const expected = expectedOf(part, field);
      if (expected !== undefined) return { expected: `${CRON_EXPECTED}, whose ${field.name} has ${expected}`, part };
    }
  }
  return neverComes(words) ? { expected: `${CRON_EXPECTED}, of days that there are`, part: rule } : undefined;
}

/** Such as 30 February. Of what the parser of `cronReload` does not know, that is left open. */
function neverComes(words: readonly string[]): boolean {
  const [day = '', month = '', weekday = ''] = words.slice(-3);
  if (![day, month, weekday].every((word) => word.split(',').every((part) => PART.test(withNumbers(part)))))
    return false;
  const rule = `0 0 ${day} ${withNumbers(month)} *`;
  // With a weekday as well, one of the two is enough.
  return weekday.startsWith('*') && !/\d{4}/.test(rule) && parseCron(rule) === undefined;
}

function expectedOf(part: string, field: Field): string | undefined {
  if (part === '') return 'lists without gaps, such as 1,3';
  const known = field.hasNames ? withNumbers(part) : part;
  const [whole, fromWord, toWord, step] = PART.exec(known) ?? [];
  if (whole === undefined) return UNKNOWN.test(known) ? valuesOf(field) : undefined;
  const from = fromWord === undefined ? field.min : Number(fromWord);
  const to = toWord === undefined ? from : Number(toWord);
  if (from < field.min || Math.max(from, to) > field.max) return valuesOf(field);
  if (from > to) return 'ranges that go upwards, such as 1-5';
  const isStep = step === undefined || (Number(step) >= 1 && Number(step) <= field.max);
  return isStep ? undefined : `steps from 1 to ${field.max}, such as */5`;
}

function valuesOf({ min, max, hasNames }: Field): string {
  return `numbers from ${min} to ${max}${hasNames ? ', or names of three letters' : ''}`;
}

function withNumbers(part: string): string {
  return part.replace(/[a-z]{3}/gi, (name) => String(NUMBERS.get(name.toLowerCase()) ?? name));
}
