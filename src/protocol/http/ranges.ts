/** The Range field (RFC 9110, 14): which parts of a file a client asks for. */

export interface ByteRange {
  readonly offset: number;
  readonly length: number;
}

/**
 * `whole`: there is no range, or one to ignore; `unsatisfiable`: answered 416. Otherwise at least one range, none empty,
 * none touching another, in the requested order.
 */
export type Ranges = 'whole' | 'unsatisfiable' | readonly ByteRange[];

/** A client that asks for more gets the whole file: many small parts cost more than they carry. */
export const LIMIT_RANGES = 16;

interface Asked {
  readonly first: number;
  /** The byte after the last one. */
  readonly end: number;
}

export function parseRange(value: string | undefined, size: number): Ranges {
  // No Content-Range can name a part of an empty file. Clients that always ask for a range get the empty file.
  if (value === undefined || size === 0) return 'whole';
  const set = /^bytes=(.*)$/is.exec(value)?.[1];
  if (set === undefined) return 'whole';
  const asked = readSet(set, size);
  if (asked === undefined) return 'whole';
  const within = asked.filter(({ first, end }) => first < end);
  if (within.length === 0) return 'unsatisfiable';
  return merge(within).map(({ first, end }) => ({ offset: first, length: end - first }));
}

/** undefined: malformed, or too many. Ranges outside the file become empty ones. */
function readSet(set: string, size: number): Asked[] | undefined {
  // One more than the limit shows that there are too many; empty elements of a list count as well.
  const items = set.split(',', LIMIT_RANGES + 1);
  if (items.length > LIMIT_RANGES) return undefined;
  const asked: Asked[] = [];
  for (const item of items) {
    const text = item.replace(/^[ \t]+|[ \t]+$/g, '');
    if (text === '') continue;
    const range = readRange(text, size);
    if (range === undefined) return undefined;
    asked.push(range);
  }
  return asked.length === 0 ? undefined : asked;
}

/** Numbers too long for a double are rounded, which does not matter: they exceed any file. */
function readRange(text: string, size: number): Asked | undefined {
  const [, from, to] = /^(\d*)-(\d*)$/.exec(text) ?? [];
  if (from === undefined || to === undefined || (from === '' && to === '')) return undefined;
  if (from === '') return { first: Math.max(size - Number(to), 0), end: size };
  const first = Number(from);
  if (to === '') return { first, end: size };
  if (comesBefore(to, from)) return undefined;
  return { first, end: Math.min(Number(to) + 1, size) };
}

/** Compares them as text, because two long numbers may round to the same double. */
function comesBefore(digits: string, others: string): boolean {
  const [one, other] = [digits.replace(/^0+/, ''), others.replace(/^0+/, '')];
  return one.length === other.length ? one < other : one.length < other.length;
}

/** Merges ranges that overlap or touch into one, in the place of the first of them. */
function merge(asked: readonly Asked[]): Asked[] {
  const merged: { range: Asked; place: number }[] = [];
  const sorted = asked.map((range, place) => ({ range, place })).sort((a, b) => a.range.first - b.range.first);
  for (const { range, place } of sorted) {
    const last = merged.at(-1);
    if (last !== undefined && range.first <= last.range.end) {
      last.range = { first: last.range.first, end: Math.max(last.range.end, range.end) };
      last.place = Math.min(last.place, place);
    } else {
      merged.push({ range, place });
    }
  }
  return merged.sort((a, b) => a.place - b.place).map(({ range }) => range);
}
