/** The log of every process of the server. log-output.ts decides the format and the target. */
import { type LogOutput, TextOutput } from './log-output.js';

export const logLevels = ['debug', 'info', 'warn', 'error', 'silent'] as const;
export type LogLevel = (typeof logLevels)[number];
/** A level that a message can have. */
export type Severity = Exclude<LogLevel, 'silent'>;
export type LogFields = { readonly [key: string]: unknown };

export interface LogOptions {
  /** The role that logs: `master`, `manager`, `worker 0`. */
  readonly role: string;
  readonly level: LogLevel;
  readonly output?: LogOutput | undefined;
  /** In place of an output: takes one line of text without its line feed; standard error when both are missing. */
  readonly write?: ((line: string) => void) | undefined;
}

const SEVERITY: { readonly [L in LogLevel]: number } = { debug: 0, info: 1, warn: 2, error: 3, silent: 4 };
/** A line repeated within this time is counted, not written. */
const FOLD_MS = 5000;
/** The count is written after this time at the latest. */
const TELL_COUNT_MS = 1000;

/** Shared by all roles of one process. */
interface Shared {
  level: LogLevel;
  /** A level that was set while the server runs. */
  override: () => LogLevel | undefined;
  output: LogOutput;
  printer: Printer | undefined;
  /** Sees every line besides. */
  tap: LogTap | undefined;
  last: Repeated | undefined;
}

interface Repeated {
  readonly severity: Severity;
  readonly role: string;
  readonly message: string;
  readonly fields: LogFields;
  readonly at: number;
  count: number;
  timer: NodeJS.Timeout | undefined;
}

/** The origin of a printed line: the process, if it is not this one, and the stream. */
export interface PrintedBy {
  readonly role?: string;
  readonly pid: number;
  readonly stream: 'stdout' | 'stderr';
}

/** Takes lines that are not log messages: they go into the log file unchanged, at any level. */
export interface Printer {
  print(by: PrintedBy & { readonly role: string }, line: string): void;
  /** A line formatted by another process of the server. */
  relay(line: string): void;
  /** The file may have been moved: reopens it. */
  refresh(): void;
  /** The same, now. @throws an Error with `code` */
  reopen(): void;
}

/** Sees each line that is logged or printed, after the output; it must not throw. */
export interface LogTap {
  logged(severity: Severity, role: string, message: string, fields: LogFields): void;
  printed(severity: Severity, role: string, line: string): void;
}

/** Never throws. A line that repeats the one before is counted instead, and the count is logged. */
export class Log {
  readonly #role: string;
  readonly #shared: Shared;

  constructor({ role, level, output, write }: LogOptions, shared?: Shared) {
    this.#role = role;
    this.#shared = shared ?? {
      level,
      override: () => undefined,
      output: output ?? new TextOutput(write),
      printer: undefined,
      tap: undefined,
      last: undefined,
    };
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
    return new Log({ role, level: this.#shared.level }, this.#shared);
  }

  /** From now on other processes may change the level. */
  follow(override: () => LogLevel | undefined): void {
    this.#shared.override = override;
  }

  /** From now on this one sees every line too. */
  tap(tap: LogTap): void {
    this.#shared.tap = tap;
  }

  /** Switches to another output or level. */
  redirect(output: LogOutput, level: LogLevel, printer?: Printer): void {
    this.flush();
    this.#shared.printer = printer;
    this.#shared.output = output;
    this.#shared.level = level;
  }

  /** A line printed by an app. Lost without a log file. */
  print(by: PrintedBy, line: string): void {
    const { printer, tap } = this.#shared;
    printer?.print({ role: this.#role, ...by }, line);
    tap?.printed(by.stream === 'stdout' ? 'info' : 'warn', by.role ?? this.#role, line);
  }

  relay(line: string): void {
    this.#shared.printer?.relay(line);
  }

  /** After its file was moved. */
  refresh(): void {
    this.#shared.printer?.refresh();
  }

  /** The same for someone who has to know whether it could be opened. @throws an Error with `code` */
  reopen(): void {
    this.#shared.printer?.reopen();
  }

  /** Logs how often the last line was repeated; call it before the process ends. */
  flush(): void {
    const { last } = this.#shared;
    this.#shared.last = undefined;
    if (last === undefined) return;
    clearTimeout(last.timer);
    if (last.count === 0) return;
    const times = last.count === 1 ? 'once' : `${last.count} times`;
    this.#write(last.severity, last.role, `${last.message} (${times} more)`, namesIn(last.fields));
  }

  #log(severity: Severity, message: string, fields: LogFields = {}): void {
    const level = this.#shared.override() ?? this.#shared.level;
    if (SEVERITY[severity] < SEVERITY[level]) return;
    if (this.#isRepeated(severity, message, fields)) return;
    this.flush();
    this.#shared.last = {
      severity,
      role: this.#role,
      message,
      fields,
      at: performance.now(),
      count: 0,
      timer: undefined,
    };
    this.#write(severity, this.#role, message, fields);
  }

  #isRepeated(severity: Severity, message: string, fields: LogFields): boolean {
    const { last } = this.#shared;
    if (last === undefined || last.message !== message || last.severity !== severity || last.role !== this.#role) {
      return false;
    }
    if (performance.now() - last.at > FOLD_MS || !haveSameValues(last.fields, fields)) return false;
    last.count++;
    last.timer ??= setTimeout(() => this.flush(), TELL_COUNT_MS).unref();
    return true;
  }

  #write(severity: Severity, role: string, message: string, fields: LogFields): void {
    try {
      this.#shared.output.write(severity, role, message, fields);
    } catch {
      // A log that cannot be written must not take the server down with it.
    }
    this.#shared.tap?.logged(severity, role, message, fields);
  }
}

/** What a line is about: errors and the like stand in the first one. */
function namesIn(fields: LogFields): LogFields {
  const isName = (value: unknown): boolean => typeof value === 'string' || typeof value === 'number';
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => isName(value)));
}

/** Errors with the same text count as the same. What users throw may be anything, and throw when it is looked at. */
function haveSameValues(one: LogFields, other: LogFields): boolean {
  const keys = Object.keys(one);
  try {
    return keys.length === Object.keys(other).length && keys.every((key) => isSame(one[key], other[key]));
  } catch {
    return false;
  }
}

function isSame(one: unknown, other: unknown): boolean {
  if (one instanceof Error && other instanceof Error) return one.message === other.message && one.stack === other.stack;
  return Object.is(one, other);
}
