/**
 * Prepares an error that its reader can mend (a port in use, an invalid option): the sentence, the advice and the
 * place in their own script. The frames of this package are of no use to them.
 */
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { CLI_ENTRY } from '../entries.js';
import { ServerError } from '../errors/index.js';
import { waitsForDaemon } from '../master/daemon.js';

/** Where the files of this package lie. */
const OURS = dirname(dirname(fileURLToPath(CLI_ENTRY)));
const DEEPEST = 8;

/**
 * To be called with the errors of `new Server()`, `set`, `listen`, `on` and `start`, just before the throw. Removes the
 * frames of this package from its stack and its causes; and if the script does not catch it, only that is printed.
 * @returns the error
 */
export function told<T>(error: T): T {
  if (!(error instanceof ServerError)) return error;
  trim(error, 0);
  if (process.listenerCount('uncaughtException') === 0) printIfUncaught(error);
  return error;
}

/** The same for an error from another process, whose stack means nothing here. @returns the error */
export function toldFromAfar(error: unknown): unknown {
  if (error instanceof ServerError || !(error instanceof Error)) return error;
  trim(error, 0);
  if (process.listenerCount('uncaughtException') === 0) printIfUncaught(error);
  return error;
}

function trim(error: Error, depth: number): void {
  const stack = typeof error.stack === 'string' ? error.stack : '';
  // A message may hold a stack of its own: in the output of a process.
  const from = Math.max(stack.indexOf(error.message), 0) + error.message.length;
  const frames = stack
    .slice(from)
    .split('\n')
    .filter((line) => /^\s+at /.test(line));
  const theirs = frames.filter((frame) => !frame.includes(OURS) && !/\(?node:/.test(frame));
  const head = `${error.name}: ${error.message}`;
  Object.defineProperty(error, 'stack', { value: [head, ...theirs].join('\n'), configurable: true, writable: true });
  if (error.cause instanceof Error && depth < DEEPEST) trim(error.cause, depth + 1);
}

/** Node would print the line of this package that made the error, all fields and the causes again. */
function printIfUncaught(error: Error): void {
  const listener = (uncaught: unknown): void => {
    forget();
    if (process.listenerCount('uncaughtException') > 0) return; // another listener is called too
    process.stderr.write(`${uncaught === error ? textOf(error) : describe(uncaught)}\n`);
    process.exit(process.exitCode ?? 1);
  };
  const forget = (): void => void process.removeListener('uncaughtException', listener);
  process.on('uncaughtException', listener);
  // An uncaught error is printed before anything else happens.
  setTimeout(forget).unref();
}

function describe(error: unknown): string {
  return error instanceof Error ? (error.stack ?? String(error)) : String(error);
}

function textOf(error: Error): string {
  const lines = [error instanceof ServerError ? withCode(error) : (error.stack ?? error.message)];
  const { wrote } = (error instanceof ServerError ? error.detail : {}) as { readonly wrote?: string };
  // The failed call is in the sentence.
  let { cause } = error as { cause?: unknown };
  for (let depth = 0; cause instanceof Error && depth < DEEPEST; depth++, cause = cause.cause) {
    // Node has written it, and the waiting process has shown that.
    if (wrote?.includes(`${cause.name}: ${cause.message}`)) continue;
    if (cause.name !== 'SyscallError') lines.push(`because: ${cause.stack ?? cause.message}`);
  }
  return lines.join('\n');
}

/** What it wrote was passed on when it was written, except to who waits for a daemon. @param text has the error's message */
export function withoutRepetition(text: string, { detail }: ServerError): string {
  const { wrote } = detail as { readonly wrote?: string };
  return wrote === undefined || waitsForDaemon() ? text : text.replace(`\nIt wrote to standard error:\n${wrote}`, '');
}

function withCode(error: ServerError): string {
  const { stack, message, code } = error;
  const text = withoutRepetition(`${stack ?? message}`, error).replace('\n', ` (${code})\n`);
  return text.includes(`(${code})`) ? text : `${text} (${code})`;
}
