/** The time of day, as access logs write it; the bytes of a second are made once. */

/** Milliseconds since 1970. */
export type DayTime = number;

const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'] as const;
const two = (value: number): string => String(value).padStart(2, '0');

let second = Number.NaN;
let inLog: Uint8Array = new Uint8Array();
let inJson: Uint8Array = new Uint8Array();

/** `28/Nov/2026:09:05:03 +0000` */
export function logTime(at: DayTime): Uint8Array {
  look(at);
  return inLog;
}

/** `2026-11-28T09:05:03`: without the milliseconds */
export function isoSecond(at: DayTime): Uint8Array {
  look(at);
  return inJson;
}

function look(at: DayTime): void {
  const now = Math.floor(at / 1000);
  if (now === second) return;
  second = now;
  const date = new Date(now * 1000);
  const [day, month, year] = [date.getUTCDate(), date.getUTCMonth(), date.getUTCFullYear()];
  const time = `${two(date.getUTCHours())}:${two(date.getUTCMinutes())}:${two(date.getUTCSeconds())}`;
  inLog = Buffer.from(`${two(day)}/${MONTHS[month]}/${year}:${time} +0000`);
  inJson = Buffer.from(date.toISOString().slice(0, 'YYYY-MM-DDTHH:MM:SS'.length));
}
