import type { LogLines } from '../../memory/log-board.js';
import type { LogFilter } from '../controlled.js';

const severity: Readonly<Record<string, number>> = { debug: 0, info: 1, warn: 2, error: 3 };

/** The newest `count` of the lines that fit. */
export function selectLines(
  { lines, newest, lost }: LogLines,
  { count, level = 'debug', text = '' }: Omit<LogFilter, 'after'>,
): LogLines {
  const least = severity[level] ?? 0;
  const wanted = text.toLowerCase();
  const fitting = lines.filter(
    (line) =>
      (severity[line.level] ?? 0) >= least &&
      (wanted === '' || line.text.toLowerCase().includes(wanted) || line.source.toLowerCase().includes(wanted)),
  );
  return { lines: fitting.slice(-count), newest, lost };
}
