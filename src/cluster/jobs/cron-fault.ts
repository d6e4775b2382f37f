/**
 * What is wrong with a cron rule, field by field. The engine's own parser decides, and takes more than is understood here (`L`,
 * `#`, `H`): nothing is refused here that it takes. Pure, so that the process that schedules learns it before anything is sent.
 */

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
/** `*`, `5`, `1-5`, each with or without `/step`. */
const PART = /^(?:[*?]|(\d+)(?:-(\d+))?)(?:\/(\d+))?$/;

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
  return undefined;
}

function expectedOf(part: string, field: Field): string | undefined {
  if (part === '') return 'lists without gaps, such as 1,3';
  const [whole, fromWord, toWord, step] = PART.exec(field.hasNames ? withNumbers(part) : part) ?? [];
  if (whole === undefined) return undefined;
  const from = fromWord === undefined ? field.min : Number(fromWord);
  const to = toWord === undefined ? from : Number(toWord);
  if (from < field.min || Math.max(from, to) > field.max) return `numbers from ${field.min} to ${field.max}`;
  if (from > to) return 'ranges that go upwards, such as 1-5';
  return step !== undefined && Number(step) === 0 ? `steps from 1, such as */10` : undefined;
}

function withNumbers(part: string): string {
  return part.replace(/[a-z]{3}/gi, (name) => String(NUMBERS.get(name.toLowerCase()) ?? name));
}
