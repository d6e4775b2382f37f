/** HTTP dates (RFC 9110, 5.6.7): written in the one format for senders, read in all three. */

const months = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];

const HOUR = 3_600_000;
const EARLIEST = Date.parse('0000-01-01T00:00:00Z');
const LATEST = Date.parse('9999-12-31T23:59:59Z');

let secondOfNow = Number.NaN;
let textOfNow = '';

/**
 * Such as `Sun, 06 Nov 1994 08:49:37 GMT`. The default is the current time, whose text is cached for its second, because
 * each answer carries it.
 */
export function httpDate(unixMs?: number): string {
  if (unixMs !== undefined) return imfFixdate(unixMs);
  return dateOfNow(Date.now());
}

/** `httpDate` for callers that have read the clock already. */
export function dateOfNow(unixMs: number): string {
  const second = Math.floor(unixMs / 1000);
  if (second !== secondOfNow) {
    textOfNow = imfFixdate(unixMs);
    secondOfNow = second;
  }
  return textOfNow;
}

/** A file may claim any time: a year that has not four digits becomes the nearest that has. */
function imfFixdate(unixMs: number): string {
  const time = Number.isNaN(unixMs) ? 0 : Math.min(Math.max(unixMs, EARLIEST), LATEST);
  return new Date(Math.floor(time / 1000) * 1000).toUTCString();
}

const TIME = String.raw`(?<hour>\d\d):(?<minute>\d\d):(?<second>\d\d)`;
const MONTH = `(?<month>${months.join('|')})`;
const formats = [
  new RegExp(String.raw`^(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), (?<day>\d\d) ${MONTH} (?<year>\d{4}) ${TIME} GMT$`),
  new RegExp(String.raw`^(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day, (?<day>\d\d)-${MONTH}-(?<year>\d\d) ${TIME} GMT$`),
  new RegExp(String.raw`^(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun) ${MONTH} (?<day>[ \d]\d) ${TIME} (?<year>\d{4})$`),
];

/** Milliseconds since 1970, or NaN. The name of the day is not checked against the date. */
export function parseHttpDate(text: string, now: number = Date.now()): number {
  for (const format of formats) {
    const parts = format.exec(text)?.groups;
    if (parts !== undefined) return timeOf(parts, now);
  }
  return Number.NaN;
}

function timeOf(parts: Record<string, string | undefined>, now: number): number {
  const part = (name: string): number => Number(parts[name]);
  const [hour, minute, second] = [part('hour'), part('minute'), part('second')];
  // A clock may show a leap second; Unix time has none, so it becomes the next second.
  if (hour > 23 || minute > 59 || second > 60) return Number.NaN;
  const year = parts['year']?.length === 2 ? fullYear(part('year'), now) : part('year');
  const month = months.indexOf(parts['month'] ?? '');
  const day = part('day');
  const date = new Date(0);
  // Not Date.UTC, which reads the years 0 to 99 as 1900 to 1999.
  date.setUTCFullYear(year, month, day);
  if (date.getUTCMonth() !== month || date.getUTCDate() !== day) return Number.NaN;
  return date.getTime() + hour * HOUR + minute * 60_000 + second * 1000;
}

/** A year more than 50 years ahead is in the past. */
function fullYear(twoDigits: number, now: number): number {
  const thisYear = new Date(now).getUTCFullYear();
  const year = thisYear - (thisYear % 100) + twoDigits;
  if (year > thisYear + 50) return year - 100;
  return year;
}
