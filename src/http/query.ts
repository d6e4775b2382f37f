/** `application/x-www-form-urlencoded`, of a query and of a form: decoded as `URLSearchParams` does. */

export type Values = Record<string, string | string[]>;

/** Calls `take` for each pair in order; an error that it throws ends the loop. */
export function eachPair(text: string, take: (name: string, value: string) => void): void {
  let start = 0;
  while (start <= text.length) {
    const found = text.indexOf('&', start);
    const end = found === -1 ? text.length : found;
    if (end > start) takePair(text, start, end, take);
    start = end + 1;
  }
}

function takePair(text: string, start: number, end: number, take: (name: string, value: string) => void): void {
  const equals = text.indexOf('=', start);
  if (equals === -1 || equals >= end) take(decode(text.slice(start, end)), '');
  else take(decode(text.slice(start, equals)), decode(text.slice(equals + 1, end)));
}

/** The values by name, in an object without a prototype; a repeated name has an array. */
export function parseQuery(text: string): Values {
  const values = emptyValues();
  if (text === '') return values;
  eachPair(text, (name, value) => addValue(values, name, value));
  return values;
}

export function emptyValues(): Values {
  return Object.create(null) as Values;
}

export function addValue(values: Values, name: string, value: string): void {
  const before = values[name];
  if (before === undefined) values[name] = value;
  else if (Array.isArray(before)) before.push(value);
  else values[name] = [before, value];
}

function decode(text: string): string {
  const spaced = text.includes('+') ? text.replaceAll('+', ' ') : text;
  if (!spaced.includes('%')) return spaced.toWellFormed();
  try {
    return decodeURIComponent(spaced).toWellFormed();
  } catch {
    return decodeBytes(spaced);
  }
}

/** Invalid escapes stay as they are, and bytes that are not UTF-8 become U+FFFD. */
function decodeBytes(text: string): string {
  const from = Buffer.from(text);
  let length = 0;
  for (let at = 0; at < from.length; at += 1) {
    const high = from[at] === 0x25 ? hexDigit(from[at + 1]) : -1;
    const low = high === -1 ? -1 : hexDigit(from[at + 2]);
    if (low === -1) from[length++] = from[at]!;
    else {
      from[length++] = high * 16 + low;
      at += 2;
    }
  }
  return from.toString('utf8', 0, length);
}

function hexDigit(code: number | undefined): number {
  if (code === undefined) return -1;
  if (code >= 0x30 && code <= 0x39) return code - 0x30;
  const lower = code | 0x20;
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x57 : -1;
}
