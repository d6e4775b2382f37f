/**
 * Cron expressions of five fields, in local time: `0 4 * * mon-fri`. Pure.
 *
 * A schedule is a set of minutes on the wall clock. Each of them stands for exactly one moment: a minute that the wall clock
 * shows twice (daylight saving ends) for the first one, a minute that it leaves out (daylight saving begins) for the moment
 * that is as long after the change as the minute is after the hour left out.
 */

/** What `parseCron` makes of an expression. All numbers are sorted. */
export interface CronSchedule {
  readonly minutes: readonly number[];
  readonly hours: readonly number[];
  /** Days of the month, 1 to 31. */
  readonly days: readonly number[];
  /** 1 to 12. */
  readonly months: readonly number[];
  /** 0 (Sunday) to 6. */
  readonly weekdays: readonly number[];
  /** Neither day field begins with `*`: a day that fits one of the two is enough. */
  readonly eitherDay: boolean;
}

/** A time zone: what the wall clock shows, and when. */
export interface Zone {
  /** The wall clock at that moment, written as if it were UTC: ms since 1970. */
  wallOf(unixMs: number): number;
  /** The moment at which the wall clock shows that time. */
  unixOf(wallMs: number): number;
}

/** The time zone of the process (`TZ`, or the machine's). */
export const localZone: Zone = {
  wallOf: (unixMs) => unixMs - new Date(unixMs).getTimezoneOffset() * MINUTE_MS,
  unixOf: (wallMs) => {
    const wall = new Date(wallMs);
    const [year, month, day] = [wall.getUTCFullYear(), wall.getUTCMonth(), wall.getUTCDate()];
    return new Date(year, month, day, wall.getUTCHours(), wall.getUTCMinutes()).getTime();
  },
};

interface Field {
  readonly min: number;
  readonly max: number;
  /** In place of `min` and those after it. */
  readonly names: readonly string[];
}

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;
/** A Sunday that is 29 February may be 40 years away. */
const HORIZON_DAYS = 41 * 366;
const SUNDAY = 7;

const monthNames = ['jan', 'feb', 'mar', 'apr', 'may', 'jun', 'jul', 'aug', 'sep', 'oct', 'nov', 'dec'];
const weekdayNames = ['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat'];
const minute: Field = { min: 0, max: 59, names: [] };
const hour: Field = { min: 0, max: 23, names: [] };
const day: Field = { min: 1, max: 31, names: [] };
const month: Field = { min: 1, max: 12, names: monthNames };
const weekday: Field = { min: 0, max: SUNDAY, names: weekdayNames };

/** @returns undefined where the text is no expression, or one of a day that never comes, such as 30 February */
export function parseCron(text: string): CronSchedule | undefined {
  const words = text.trim().toLowerCase().split(/\s+/);
  if (words.length !== 5) return undefined;
  const [minuteWord = '', hourWord = '', dayWord = '', monthWord = '', weekdayWord = ''] = words;
  const minutes = valuesOf(minuteWord, minute);
  const hours = valuesOf(hourWord, hour);
  const days = valuesOf(dayWord, day);
  const months = valuesOf(monthWord, month);
  const weekdays = valuesOf(weekdayWord, weekday)?.map((value) => value % SUNDAY);
  if (!minutes || !hours || !days || !months || !weekdays) return undefined;
  const eitherDay = !dayWord.startsWith('*') && !weekdayWord.startsWith('*');
  const schedule = { minutes, hours, days, months, weekdays: sorted(weekdays), eitherDay };
  return comesEver(schedule) ? schedule : undefined;
}

/** @returns the first moment of the schedule after that one, in ms since 1970; undefined: none in the next 41 years */
export function nextOf(schedule: CronSchedule, afterMs: number, zone: Zone = localZone): number | undefined {
  // A minute left out is later than its wall time says, by a day at most: some zones have left out a whole day.
  const firstDay = Math.floor(zone.wallOf(afterMs) / DAY_MS) - 1;
  let best: number | undefined;
  for (let index = firstDay; index < firstDay + HORIZON_DAYS; index++) {
    if (best !== undefined && index * DAY_MS > zone.wallOf(best)) return best;
    if (!fitsDay(schedule, index * DAY_MS)) continue;
    for (const wallMs of timesOf(schedule, index * DAY_MS)) {
      const unixMs = zone.unixOf(wallMs);
      if (unixMs > afterMs && (best === undefined || unixMs < best)) best = unixMs;
    }
  }
  return best;
}

function* timesOf({ hours, minutes }: CronSchedule, dayMs: number): Generator<number> {
  for (const atHour of hours) for (const atMinute of minutes) yield dayMs + atHour * HOUR_MS + atMinute * MINUTE_MS;
}

function fitsDay({ days, months, weekdays, eitherDay }: CronSchedule, dayMs: number): boolean {
  const date = new Date(dayMs);
  if (!months.includes(date.getUTCMonth() + 1)) return false;
  const fitsMonthDay = days.includes(date.getUTCDate());
  const fitsWeekday = weekdays.includes(date.getUTCDay());
  return eitherDay ? fitsMonthDay || fitsWeekday : fitsMonthDay && fitsWeekday;
}

/** A leap year has every day of a month that there is. */
function comesEver({ days, months, eitherDay }: CronSchedule): boolean {
  return eitherDay || months.some((of) => days.some((at) => at <= new Date(Date.UTC(2024, of, 0)).getUTCDate()));
}

/** Of a list such as `1-5,30,40-50/2`. */
function valuesOf(word: string, field: Field): number[] | undefined {
  const values: number[] = [];
  for (const part of word.split(',')) {
    const range = rangeOf(part, field);
    if (range === undefined) return undefined;
    for (let value = range.from; value <= range.to; value += range.step) values.push(value);
  }
  return sorted(values);
}

/** `*`, `5`, `1-5`, each with or without `/step`; `5/15` is `5-MAX/15`. */
function rangeOf(part: string, field: Field): { from: number; to: number; step: number } | undefined {
  const [span = '', stepWord, more] = part.split('/');
  const step = stepWord === undefined ? 1 : numberIn(stepWord);
  // More than the field has would be "once".
  if (more !== undefined || step === undefined || step < 1 || step > field.max) return undefined;
  if (span === '*') return { from: field.min, to: lastOf(field), step };
  const [fromWord = '', toWord, third] = span.split('-');
  const from = valueIn(fromWord, field);
  if (from === undefined || third !== undefined) return undefined;
  if (toWord === undefined) return { from, to: stepWord === undefined ? from : Math.max(from, lastOf(field)), step };
  const to = valueIn(toWord, field);
  if (to === undefined) return undefined;
  const end = field === weekday && to === 0 && from > 0 ? SUNDAY : to; // fri-sun
  return from <= end ? { from, to: end, step } : undefined;
}

function valueIn(word: string, { min, max, names }: Field): number | undefined {
  const index = names.indexOf(word);
  const value = index === -1 ? numberIn(word) : min + index;
  return value !== undefined && value >= min && value <= max ? value : undefined;
}

function numberIn(word: string): number | undefined {
  return /^\d{1,3}$/.test(word) ? Number(word) : undefined;
}

function sorted(values: readonly number[]): number[] {
  return [...new Set(values)].sort((a, b) => a - b);
}

/** Sunday stands at 0 where a range has no end of its own. */
function lastOf(field: Field): number {
  return field === weekday ? SUNDAY - 1 : field.max;
}
