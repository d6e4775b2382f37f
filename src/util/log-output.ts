/** Writes a log message: as a line of text, as a line of JSON (pino), or by a call of the user's logger. */
import { createRequire } from 'node:module';
import { inspect } from 'node:util';
import type { Logger } from 'pino';
import type { LogFields, PrintedBy, Severity } from './log.js';
import { standardError } from './log-file.js';

export interface LogOutput {
  /** May throw when writing fails. */
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
    this.#write(`${head} ${messageLine(message, fields)}`);
  }
}

/** `message key=value`, in one line. */
export function messageLine(message: string, fields: LogFields): string {
  return [oneLine(message), ...Object.entries(fields).map(formatField)].join(' ');
}

/** The user's `logger`: pino, or an object with the same methods. */
export interface UserLogger {
  /** A message for finding faults. */
  debug(fields: object, message: string): void;
  /** An action of the server. */
  info(fields: object, message: string): void;
  /** A condition that needs attention. */
  warn(fields: object, message: string): void;
  /** A failure. */
  error(fields: object, message: string): void;
  /** A logger whose lines also have these fields, which name the process. Missing: they are added to each line. */
  child?(bindings: object): UserLogger;
}

/** Adds the process to each line: by a child logger where the logger supports it. */
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
  // Loaded by the first message: most processes log none, and it takes as long as the rest of the program (20 ms).
  let output: LogOutput | undefined;
  const plain = plainOutput(write);
  return {
    write(severity, role, message, fields): void {
      output ??= pinoOutput(write);
      (output ?? plain).write(severity, role, message, fields);
    },
  };
}

/** Where pino cannot be loaded, as while npm replaces the packages of a server that runs: no line is lost. */
function plainOutput(write: (line: string) => void): LogOutput {
  return {
    write(level, role, message, fields): void {
      const head = { level, time: new Date().toISOString(), ...whose(role) };
      try {
        write(`${JSON.stringify({ ...head, ...fields, msg: message }, plainError)}\n`);
      } catch {
        write(`${JSON.stringify({ ...head, msg: messageLine(message, fields) })}\n`); // a field that JSON does not take
      }
    },
  };
}

/** An error as pino writes it. */
function plainError(_name: string, value: unknown): unknown {
  return value instanceof Error ? { type: value.name, message: value.message, stack: value.stack } : value;
}

/** Of an error that comes from another process pino sees an `Error`; what was thrown there is its name. */
function withClass(written: Written, error: unknown): Written {
  if (!(error instanceof Error)) return written;
  if (written.type === 'Error' && error.name !== '') written.type = error.name;
  if (written.cause !== undefined) withClass(written.cause, error.cause);
  return written;
}

interface Written {
  type?: string;
  cause?: Written;
}

/** @returns undefined: it cannot be loaded now */
function pinoOutput(write: (line: string) => void): LogOutput | undefined {
  const pino = loadPino();
  if (pino === undefined) return undefined;
  const logger: Logger = pino(
    {
      base: null,
      level: 'trace', // `Log` checks the level before
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (level) => ({ level }) },
      serializers: { error: (error) => withClass(pino.stdSerializers.errWithCause(error), error) },
    },
    { write },
  );
  return new LoggerOutput(logger);
}

function loadPino(): typeof import('pino').pino | undefined {
  try {
    return (createRequire(import.meta.url)('pino') as typeof import('pino')).pino;
  } catch {
    return undefined;
  }
}

/**
 * A line printed by an app, as text (`isText`) or JSON, with its line feed:
 * `{"level":"info","time":"…","role":"worker","workerId":3,"pid":123,"stream":"stdout","msg":"…"}`. A JSON object
 * printed by an app is also in `json`, searchable by its fields. Output to standard error is a warning.
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
    return typeof value; // inspecting the object throws
  }
}

const INSPECT = { breakLength: Number.POSITIVE_INFINITY, depth: 2, maxStringLength: 1000, maxArrayLength: 20 };

// A message may contain a client's bytes: they must not forge a line, or control a terminal.
function oneLine(text: string): string {
  return text.replaceAll(/[\p{Cc}\p{Zl}\p{Zp}]/gu, escapeCharacter);
}

function escapeCharacter(character: string): string {
  const short = JSON.stringify(character).slice(1, -1);
  return short.length > 1 ? short : `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;
}
