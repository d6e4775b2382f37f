/** Formats output: tables, units, and colours on a terminal. */
import { stripVTControlCharacters, styleText } from 'node:util';

type Style = Parameters<typeof styleText>[0];

/** No colours in pipes and files, or with `NO_COLOR`. */
export const isTerminal = process.stdout.isTTY === true;
const hasColours = isTerminal && (process.env['NO_COLOR'] ?? '') === '' && process.env['TERM'] !== 'dumb';

export function paint(style: Style, text: string): string {
  return hasColours ? styleText(style, text, { validateStream: false } as never) : text;
}

export function print(text: string): void {
  process.stdout.write(`${text}\n`);
}

export function printJson(value: unknown): void {
  print(JSON.stringify(value, null, isTerminal ? 2 : undefined));
}

type Cell = string | number;

/** Aligns columns of numbers to the right. */
export function table(head: readonly string[], rows: readonly (readonly Cell[])[]): string {
  const texts = rows.map((row) => row.map(String));
  const widths = head.map((title, column) => Math.max(title.length, ...texts.map((row) => width(row[column] ?? ''))));
  const right = head.map(
    (_, column) => rows.length > 0 && rows.every((row) => /^([\d.,-]+( ?[a-zA-Zµ%]+)?)?$/.test(width0(row[column]))),
  );
  const line = (cells: readonly string[]): string =>
    cells
      .map((cell, column) => pad(cell, widths[column] ?? 0, right[column] === true))
      .join('  ')
      .trimEnd();
  return [paint('bold', line(head)), ...texts.map(line)].join('\n');
}

function width0(cell: Cell | undefined): string {
  return stripVTControlCharacters(String(cell ?? ''));
}

function width(text: string): number {
  return stripVTControlCharacters(text).length;
}

function pad(text: string, to: number, right: boolean): string {
  const space = ' '.repeat(Math.max(0, to - width(text)));
  return right ? space + text : text + space;
}

/** Two columns: names and values. */
export function list(entries: readonly (readonly [name: string, value: string])[]): string {
  const widest = Math.max(...entries.map(([name]) => name.length));
  return entries.map(([name, value]) => `${paint('dim', name.padEnd(widest))}  ${value}`).join('\n');
}

const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];

export function bytes(count: number): string {
  let value = count;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${unit === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`;
}

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** The two largest units: `3d 4h`. */
export function duration(ms: number): string {
  if (ms < MINUTE) return `${Math.floor(ms / SECOND)}s`;
  if (ms < HOUR) return `${Math.floor(ms / MINUTE)}m ${Math.floor((ms % MINUTE) / SECOND)}s`;
  if (ms < DAY) return `${Math.floor(ms / HOUR)}h ${Math.floor((ms % HOUR) / MINUTE)}m`;
  return `${Math.floor(ms / DAY)}d ${Math.floor((ms % DAY) / HOUR)}h`;
}

/** Seconds with a unit that fits: `180µs`, `1.2ms`. */
export function seconds(value: number): string {
  if (value < 0.001) return `${Math.round(value * 1e6)}µs`;
  if (value < 1) return `${(value * 1000).toFixed(value < 0.01 ? 1 : 0)}ms`;
  return `${value.toFixed(1)}s`;
}

/** Seconds; 0: nothing was measured. */
export function latency(value: number): string {
  return value === 0 ? '–' : seconds(value);
}

/** `12345` as `12.3k`. */
export function count(value: number): string {
  if (value < 10_000) return String(Math.round(value));
  if (value < 1e6) return `${(value / 1000).toFixed(value < 1e5 ? 1 : 0)}k`;
  return value < 1e9 ? `${(value / 1e6).toFixed(1)}M` : `${(value / 1e9).toFixed(1)}G`;
}

/** Names that others choose, such as clients and nodes: what a terminal would act on is escaped. */
export function visible(name: string): string {
  return name.replaceAll(
    /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu,
    (character) => `\\u{${character.codePointAt(0)?.toString(16)}}`,
  );
}
