/** How a message of the log is written: a line of text, a line of JSON (pino), or a call of the user's own logger. */
import { createRequire } from 'node:module';
import { inspect } from 'node:util';
import type { Logger } from 'pino';
import type { LogFields, PrintedBy, Severity } from './log.js';
import { standardError } from './log-file.js';

export interface LogOutput {
  /** May throw when it cannot be written. */
  write(severity: Severity, role: string, message: string, fields: LogFields): void;
}

/** `2026-11-23T08:00:00.000Z warn  manager[123] message key=value` */
export class TextOutput implements LogOutput {
  readonly #write: (line: string) => void;

  constructor(write: (line: string) => void = (line) => standardError.write(`${line}\n`)) {
    this.#write = write;
  }

  write(severity: Severity, role: string, message: string, fields: LogFields): void {
    const head = `${new Date().toISOString()} ${severity.padEnd(5)} ${role}[${process.pid}]`;
    this.#write([head, oneLine(message), ...Object.entries(fields).map(formatField)].join(' '));
  }
}

/** What the user gives as `logger`: pino, or what takes the same calls. */
export interface UserLogger {
  /** A message that helps to find a fault. */
  debug(fields: object, message: string): void;
  /** What the server does. */
  info(fields: object, message: string): void;
  /** What a person should look at. */
  warn(fields: object, message: string): void;
  /** What has failed. */
  error(fields: object, message: string): void;
  /** A logger whose lines have these fields too: which process a line is from. Missing: each line gets them. */
  child?(bindings: object): UserLogger;
}

/** Whose each line is: in a logger of its own, as far as it can have children. */
export class LoggerOutput implements LogOutput {
  readonly #logger: UserLogger;
  readonly #children = new Map<string, UserLogger>();

  constructor(logger: UserLogger) {
    this.#logger = logger;
  }

  write(severity: Severity, role: string, message: string, fields: LogFields): void {
    if (this.#logger.child === undefined) this.#logger[severity]({ ...whose(role), ...fields }, message);
    else this.#childFor(role)[severity](fields, message);
  }

  #childFor(role: string): UserLogger {
    let child = this.#children.get(role);
    if (child === undefined) {
      child = this.#logger.child?.(whose(role)) ?? this.#logger;
      this.#children.set(role, child);
    }
    return child;
  }
}

/** One JSON object per line: `{"level":"warn","time":"…","role":"worker","workerId":3,"pid":123,"msg":"…"}`. */
export function jsonOutput(write: (line: string) => void): LogOutput {
  // Loaded where it is needed: a terminal gets text.
  const { pino } = createRequire(import.meta.url)('pino') as typeof import('pino');
  const logger: Logger = pino(
    {
      base: null,
      level: 'trace', // the level is looked at before
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (level) => ({ level }) },
      serializers: { error: pino.stdSerializers.errWithCause },
    },
    { write },
  );
  return new LoggerOutput(logger);
}

/**
 * A line that an app has printed, as `isText` or as JSON, with its line feed:
 * `{"level":"info","time":"…","role":"worker","workerId":3,"pid":123,"stream":"stdout","msg":"…"}`. An object of JSON
 * that an app prints is in `json` besides, to be searched by its fields. What goes to standard error is a warning.
 */
export function printedLine(isText: boolean, { role, pid, stream }: Required<PrintedBy>, line: string): string {
  const level = stream === 'stdout' ? 'info' : 'warn';
  const time = new Date().toISOString();
  if (!isText) return `${JSON.stringify({ level, time, ...whose(role, pid), stream, ...objectIn(line), msg: line })}\n`;
  return `${time} ${level.padEnd(5)} ${role}[${pid}] ${line.split('\t').map(oneLine).join('\t')}\n`;
}

function objectIn(line: string): { json?: unknown } {
  if (!line.startsWith('{')) return {};
  try {
    return { json: JSON.parse(line) as unknown };
  } catch {
    return {}; // it only looked like one
  }
}

/** `task worker 4` → `{role: 'task worker', workerId: 4, pid}` */
function whose(role: string, pid = process.pid): { role: string; workerId?: number; pid: number } {
  const [, name, id] = /^(.+) (\d+)$/.exec(role) ?? [];
  return name === undefined ? { role, pid } : { role: name, workerId: Number(id), pid };
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
