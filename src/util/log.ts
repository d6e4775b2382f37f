import { writeSync } from 'node:fs';
import { inspect } from 'node:util';

export type LogLevel = 'debug' | 'info' | 'warn' | 'error' | 'silent';
export type LogFields = { readonly [key: string]: unknown };

export interface LogOptions {
  /** Who speaks: `master`, `manager`, `worker 0`. */
  readonly role: string;
  readonly level: LogLevel;
  /** Takes one line without its line feed; standard error when missing. */
  readonly write?: ((line: string) => void) | undefined;
}

const SEVERITY: { readonly [L in LogLevel]: number } = { debug: 0, info: 1, warn: 2, error: 3, silent: 4 };

/** One line of text per message: `2026-11-23T08:00:00.000Z warn  manager[123] message key=value`. Never throws. */
export class Log {
  readonly #role: string;
  readonly #level: LogLevel;
  readonly #write: (line: string) => void;

  constructor({ role, level, write = writeToStderr }: LogOptions) {
    this.#role = role;
    this.#level = level;
    this.#write = write;
  }

  debug(message: string, fields?: LogFields): void {
    this.#log('debug', message, fields);
  }

  info(message: string, fields?: LogFields): void {
    this.#log('info', message, fields);
  }

  warn(message: string, fields?: LogFields): void {
    this.#log('warn', message, fields);
  }

  error(message: string, fields?: LogFields): void {
    this.#log('error', message, fields);
  }

  /** The same log for another role of this process. */
  child(role: string): Log {
    return new Log({ role, level: this.#level, write: this.#write });
  }

  #log(level: Exclude<LogLevel, 'silent'>, message: string, fields: LogFields = {}): void {
    if (SEVERITY[level] < SEVERITY[this.#level]) return;
    const head = `${new Date().toISOString()} ${level.padEnd(5)} ${this.#role}[${process.pid}]`;
    try {
      this.#write([head, oneLine(message), ...Object.entries(fields).map(formatField)].join(' '));
    } catch {
      // A log that cannot be written must not take the server down with it.
    }
  }
}

/**
 * Synchronous, so that the last words of a process that is about to exit are not lost. What cannot be written (no
 * reader any more, a full disk, a full pipe that does not block) is lost: a log is not worth a server.
 */
function writeToStderr(line: string): void {
  writeSync(2, `${line}\n`);
}

function formatField([key, value]: [string, unknown]): string {
  return `${oneLine(key)}=${formatValue(value)}`;
}

function formatValue(value: unknown): string {
  if (typeof value === 'string') return oneLine(/^[^\s"=]+$/.test(value) ? value : JSON.stringify(value));
  try {
    return oneLine(value instanceof Error ? (value.stack ?? String(value)) : inspect(value, INSPECT));
  } catch {
    return typeof value; // an object whose own inspection throws
  }
}

const INSPECT = { breakLength: Number.POSITIVE_INFINITY, depth: 2, maxStringLength: 1000, maxArrayLength: 20 };

// What a client sent may be in a message: it must not be able to forge a line, or to drive a terminal.
function oneLine(text: string): string {
  return text.replaceAll(/[\p{Cc}\p{Zl}\p{Zp}]/gu, escapeCharacter);
}

function escapeCharacter(character: string): string {
  const short = JSON.stringify(character).slice(1, -1);
  return short.length > 1 ? short : `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;
}
