/**
 * Prepares an error that its reader can mend (a port in use, an invalid option): the sentence, the advice and the
 * place in their own script. The frames of this package are of no use to them.
 */
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { isMainThread } from 'node:worker_threads';
import { CLI_ENTRY } from '../entries.js';
import { ServerError } from '../errors/index.js';
import { tellBy } from '../errors/told.js';
import { waitsForDaemon } from '../master/daemon.js';

/** Where the files of this package lie. */
const OURS = dirname(dirname(fileURLToPath(CLI_ENTRY)));
/** As another machine may have it. */
const OURS_ELSEWHERE = /[\\/]node_modules[\\/]tswoole[\\/]dist[\\/]/;
/** Packages that this one calls: their frames alone do not say where the user's code stands. */
const OF_PEER = /[\\/]node_modules[\\/](?:bullmq|ioredis|pg|@nats-io)[\\/]/;
const DEEPEST = 8;
/** Frames looked at for one of the user's code: Node's own limit of 10 leaves none where many of this package are on top. */
const MOST_FRAMES = 60;

/** Who has started a thread gets its uncaught errors as an event, which a listener here would keep from it. */
let hasParent = !isMainThread;

/** In a child that runs: its parent is told of uncaught errors, unless somebody listens to them. */
export function leaveUncaughtToParent(): void {
  hasParent = true;
}

/**
 * To be called just before the throw. Removes the frames of this package from its stack and its causes; where no other is
 * left it gets those of the caller, also behind an `await`. If the script does not catch it, only that is printed.
 * @returns the error
 */
export function told<T>(error: T): T {
  if (!(error instanceof ServerError)) return error;
  trim(error, 0);
  if (!hasParent && process.listenerCount('uncaughtException') === 0) printIfUncaught(error);
  return error;
}

tellBy(told);

/** The same for an error from another process, whose stack means nothing here. @returns the error */
export function toldFromAfar(error: unknown): unknown {
  if (error instanceof ServerError || !(error instanceof Error)) return error;
  trim(error, 0);
  if (process.listenerCount('uncaughtException') === 0) printIfUncaught(error);
  return error;
}

function trim(error: Error, depth: number): void {
  const stack = typeof error.stack === 'string' ? error.stack : '';
  // A message may hold a stack of its own: in the output of a process. Of another version of this package it is another one.
  const at = stack.indexOf(error.message);
  const from = at < 0 ? 0 : at + error.message.length;
  const frames = stack
    .slice(from)
    .split('\n')
    .filter((line) => /^\s+at /.test(line));
  const kept = frames.filter(isTheirs);
  const isLost = depth === 0 && error instanceof ServerError && kept.every((frame) => OF_PEER.test(frame));
  const theirs = isLost ? framesOfCaller() : kept;
  const head = `${error.name}: ${error.message}`;
  Object.defineProperty(error, 'stack', { value: [head, ...theirs].join('\n'), configurable: true, writable: true });
  if (error.cause instanceof Error && depth < DEEPEST) trim(error.cause, depth + 1);
}

function isTheirs(frame: string): boolean {
  return (
    !frame.includes(OURS) && !/\(?node:|\(<anonymous>\)$|\(index \d+\)$/.test(frame) && !OURS_ELSEWHERE.test(frame)
  );
}

/** Of the code that has called this package. Slow: only where something has failed. */
function framesOfCaller(): string[] {
  const { stackTraceLimit } = Error;
  const here: { stack?: unknown } = {};
  // It cannot be written under --frozen-intrinsics.
  Reflect.set(Error, 'stackTraceLimit', MOST_FRAMES);
  Error.captureStackTrace(here);
  Reflect.set(Error, 'stackTraceLimit', stackTraceLimit);
  const lines = typeof here.stack === 'string' ? here.stack.split('\n').slice(1) : [];
  return lines.filter((line) => /^\s+at /.test(line) && isTheirs(line));
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
  if (error instanceof ServerError) return textOf(error);
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
